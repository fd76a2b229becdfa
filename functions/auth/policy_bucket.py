"""Google IAM on a bucket that holds nothing but policies: a managed folder for each prefix of repositories.

    team-a/        a managed folder: whoever may get objects below it may pull from team-a and from team-a/…
    team-a/web/    a further one, whose policy adds to that of team-a/

Rights are additive from the bucket down, so the longest folder that exists speaks for all above it.
https://cloud.google.com/storage/docs/managed-folders
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from functions.auth.access import Action, Needed
from functions.auth.google import Google, Reply, no_answer
from functions.auth.iam import Held
from functions.registry.errors import UNAUTHORIZED, RegistryError

PERMISSIONS: Final = {
    Action.PULL: "storage.objects.get",
    Action.PUSH: "storage.objects.create",
    Action.DELETE: "storage.objects.delete",
}

SCOPES: Final = frozenset(
    f"https://www.googleapis.com/auth/{name}"
    for name in (
        "cloud-platform",
        "cloud-platform.read-only",
        "devstorage.full_control",
        "devstorage.read_only",
        "devstorage.read_write",
    )
)
"""Of which a token needs one to ask Cloud Storage (discovery document of storage v1, managedFolders)."""

DEEPEST: Final = 15
"""Managed folders in one another: Cloud Storage takes no more, so a repository's longer name asks no more."""

AT_ONCE: Final = 8
"""Folders that are asked about at a time."""


class PolicyBucket:
    """Questions, to a bucket."""

    def __init__(self, google: Google, bucket: str, folders: Sequence[str]) -> None:
        """Ask about `bucket`; a listing asks about each of `folders`, which are prefixes without a slash at the end."""
        self._google = google
        self._bucket = bucket
        self._folders = tuple(folders)

    def held(self, token: str, repository: str) -> Held:
        """See Questions.held."""
        asked = []
        for folder in _folders_of(repository):
            actions = self._ask(token, folder, list(PERMISSIONS))
            asked.append(f"{self._named(folder)}: {'no such folder' if actions is None else _listed(actions)}")
            if actions is not None:
                return Held(actions, self._named(folder), tuple(asked))
        raise AssertionError("the bucket always answers")

    def readable(self, token: str) -> Sequence[str]:
        """See Questions.readable: the bucket first, since whoever may read that may read all."""
        if self._ask(token, "", [Action.PULL]):
            return ("*",)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = pool.map(lambda folder: self._ask(token, f"{folder}/", [Action.PULL]), self._folders)
            readable = [folder for folder, answer in zip(self._folders, answers, strict=True) if answer]
        return tuple(pattern for folder in readable for pattern in (folder, f"{folder}/*"))

    scopes: Final = SCOPES

    def is_taken(self, token: str) -> bool:
        """See Questions.is_taken: 403 is what a token without the right scope gets, which can be used for nothing."""
        try:
            return self._test(token, "", [Action.PULL]).status == 200
        except RegistryError as error:
            if error.row is UNAUTHORIZED:
                return False
            raise

    def needed(self, action: Action, repository: str) -> Needed:
        """See Authorizer.needed."""
        return Needed(PERMISSIONS[action], f"projects/_/buckets/{self._bucket}/managedFolders/{repository}/")

    def _ask(self, token: str, folder: str, actions: Sequence[Action]) -> frozenset[Action] | None:
        """Return what the token may do in a folder, or in the bucket where `folder` is ""; None for no such folder.

        Google does not document what it answers for a missing folder. A folder that answers 403 is taken for one, since
        its parents can only grant less; the bucket's 403 is a no.
        """
        reply = self._test(token, folder, actions)
        if reply.status in (403, 404) and folder:
            return None
        return frozenset(action for action in actions if PERMISSIONS[action] in reply.permissions)

    def _test(self, token: str, folder: str, actions: Sequence[Action]) -> Reply:
        """Return Google's reply, which is 200, 403 or, for a folder, 404. Raises UNAUTHORIZED, UNAVAILABLE."""
        reply = self._google.test_bucket(token, self._bucket, folder, [PERMISSIONS[action] for action in actions])
        if reply.status not in ((200, 403, 404) if folder else (200, 403)):
            raise no_answer(self._named(folder), f"{reply.status} from testIamPermissions")
        return reply

    def _named(self, folder: str) -> str:
        return f"managed folder {folder} of bucket {self._bucket}" if folder else f"bucket {self._bucket}"


def _folders_of(repository: str) -> Iterator[str]:
    """The folders whose policies a repository may be under, the longest first, and "" for the bucket."""
    segments = repository.split("/")[:DEEPEST]
    for count in range(len(segments), 0, -1):
        yield "/".join(segments[:count]) + "/"
    yield ""


def _listed(actions: frozenset[Action]) -> str:
    return ", ".join(sorted(PERMISSIONS[action] for action in actions)) or "nothing"
