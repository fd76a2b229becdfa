"""Authorizer that uses a users file and a grants file instead of Google (format: access_files).

In a grant, `*` is every user of the users file. An e-mail address or a Google account number is the caller with a
Google ID token for it. Any Google account in the world can obtain an ID token for this registry, so `*` does not
include those. Both files are reloaded when they change; an invalid new version is ignored.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lading.auth import grants
from lading.auth.access import RIGHTS, Action, Decision, Effect, RequiredPermission, allow_or_deny
from lading.auth.access_files import COST, Users, cost_of, hash_password, read_users
from lading.auth.credentials import TOKEN_USERS
from lading.auth.google.id_tokens import IdTokens
from lading.auth.grants import Rights
from lading.auth.passwords import Passwords
from lading.auth.users_file import UsersFile
from lading.auth.watched_file import WatchedFile
from lading.http.client_address import NO_ADDRESS, ClientAddress
from lading.registry.errors import UNAUTHORIZED, RegistryError
from lading_storage.errors import StorageError

MAX_NAMES_LOGGED = 5
"""Users with weak hashes that the log names."""

log = logging.getLogger("lading")


class HtpasswdAuthorizer:
    """Authorizer that uses a users file and a grants file."""

    def __init__(self, users: Path, grants_file: Path, id_tokens: IdTokens, rehash: bool = False) -> None:
        """Load both files, either of which may be absent.

        Args:
            users: path of the users file.
            grants_file: path of the grants file.
            id_tokens: verifies Google ID tokens.
            rehash: whether a login replaces a hash of a cost below COST in the users file, which Lading then manages.

        Raises:
            FileInvalid: a file is invalid.
        """
        self.users = WatchedFile(users, read_users)
        self.grants = WatchedFile(grants_file, grants.parse)
        self._id_tokens = id_tokens
        self._passwords = Passwords()
        self._managed_file = UsersFile(users) if rehash else None
        self._rehashed: set[str] = set()
        if weak := self.users.value.weakly_hashed:
            log.warning(
                "%d users have a weak password hash (bcrypt cost below %d), such as %s: %s",
                len(weak),
                COST,
                ", ".join(weak[:MAX_NAMES_LOGGED]),
                "their next login replaces it" if rehash else "set their passwords again with htpasswd -B -C 10",
            )

    def identify(self, user: str, secret: str, client: ClientAddress = NO_ADDRESS) -> "HtpasswdCaller":
        """See Authorizer.identify. Accepts the password of a user, or a Google ID token."""
        if TOKEN_USERS.fullmatch(user):
            return self.caller_named(self._id_tokens.principal(secret))
        users = self.users.value
        if not self._passwords.verify(user, secret, users, client):
            raise RegistryError(UNAUTHORIZED)
        if self._managed_file and cost_of(users.hashes[user]) < COST and user not in self._rehashed:
            # One attempt per process, even if it fails: a read-only file must not slow every login down.
            self._rehashed.add(user)
            self._rehash(self._managed_file, user, secret, users)
        return self.caller_named(user)

    def caller_named(self, principal: str) -> "HtpasswdCaller":
        """Return the caller with an authenticated name."""
        is_user = principal in self.users.value.hashes
        return HtpasswdCaller(principal, self.grants.value.rights_of(principal, is_user))

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """See Authorizer.required_permission."""
        return RequiredPermission(action.value, f"repositories/{repository or '*'}")

    def _rehash(self, file: UsersFile, user: str, password: str, users: Users) -> None:
        """Replace a weak hash, now that the password is known. A failure does not fail the login."""
        try:
            file.replace(user, users.hashes[user].decode(), hash_password(password))
        except (OSError, StorageError) as error:
            log.warning("the weak password hash of %s was not replaced: %s", user, error)


@dataclass(frozen=True, slots=True)
class HtpasswdCaller:
    """Caller authorized by its grants."""

    principal: str
    rights: Rights

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        if action not in RIGHTS:
            return Decision(Effect.ALLOWED, "the user is known")
        if grant := self.rights.grant_for(action, repository):
            return allow_or_deny(True, str(grant))
        return allow_or_deny(False, f"no grant for {self.principal} allows {action.value} on {repository or '*'}")

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable_patterns."""
        return self.rights.readable_patterns
