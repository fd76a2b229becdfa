"""Callers by two files, where no Google is: who there is, and what each may do (access_files has their form).

`*` is every user of the first file. An address, or one of Google's numbers, is whoever comes with one of Google's ID
tokens for it, which anybody in the world can have made for this registry: so `*` does not stand for those. Both files
are read again when they change; one that then cannot be read changes nothing.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lading.auth import grants
from lading.auth.access import ON_REPOSITORIES, Action, Decision, Effect, RequiredPermission, allow_or_deny
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
"""Users with cheap hashes that the log names."""

log = logging.getLogger("lading")


class HtpasswdAuthorizer:
    """Authorizer by two files."""

    def __init__(self, users: Path, grants_file: Path, id_tokens: IdTokens, rehash: bool = False) -> None:
        """Read both files, of which either may be absent. Raises FileInvalid.

        With `rehash` the file of users is the registry's own: a hash with a cost below COST is replaced at a login.
        """
        self.users = WatchedFile(users, read_users)
        self.grants = WatchedFile(grants_file, grants.parse)
        self._id_tokens = id_tokens
        self._passwords = Passwords()
        self._own = UsersFile(users) if rehash else None
        self._rehashed: set[str] = set()
        if cheap := self.users.value.weakly_hashed:
            log.warning(
                "%d users have a password hash that is cheap to guess (bcrypt with a cost below %d), such as %s: %s",
                len(cheap),
                COST,
                ", ".join(cheap[:MAX_NAMES_LOGGED]),
                "their next login replaces it" if rehash else "set them again with htpasswd -B -C 10",
            )

    def identify(self, user: str, secret: str, client: ClientAddress = NO_ADDRESS) -> "HtpasswdCaller":
        """See Authorizer.identify: a user with a password, or one of Google's ID tokens."""
        if TOKEN_USERS.fullmatch(user):
            return self.caller_named(self._id_tokens.principal(secret))
        users = self.users.value
        if not self._passwords.verify(user, secret, users, client):
            raise RegistryError(UNAUTHORIZED)
        if self._own and cost_of(users.hashes[user]) < COST and user not in self._rehashed:
            # Once, whatever becomes of it: where the file cannot be written, no login is slower for that.
            self._rehashed.add(user)
            self._rehash(self._own, user, secret, users)
        return self.caller_named(user)

    def caller_named(self, principal: str) -> "HtpasswdCaller":
        """The caller of a name that has been proved."""
        is_user = principal in self.users.value.hashes
        return HtpasswdCaller(principal, self.grants.value.rights_of(principal, is_user))

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """See Authorizer.required_permission."""
        return RequiredPermission(action.value, f"repositories/{repository}")

    def _rehash(self, own: UsersFile, user: str, password: str, users: Users) -> None:
        """Replace a cheap hash, now that the password is known. A login does not fail because of it."""
        try:
            own.replace(user, users.hashes[user].decode(), hash_password(password))
        except (OSError, StorageError) as error:
            log.warning("the password hash of %s stays as cheap as it is: %s", user, error)


@dataclass(frozen=True, slots=True)
class HtpasswdCaller:
    """Caller by the grants that there are for it."""

    principal: str
    rights: Rights

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        if action not in ON_REPOSITORIES:
            return Decision(Effect.ALLOWED, "the user is known")
        if grant := self.rights.grant_for(action, repository):
            return allow_or_deny(True, str(grant))
        return allow_or_deny(False, f"no line of the grants lets {self.principal} {action.value} here")

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable_patterns."""
        return self.rights.readable_patterns
