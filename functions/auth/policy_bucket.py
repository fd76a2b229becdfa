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
from functions.auth.google import Google, no_answer
from functions.auth.iam import Held

PERMISSIONS: Final = {
    Action.PULL: "storage.objects.get",
    Action.PUSH: "storage.objects.create",
    Action.DELETE: "storage.objects.delete",
}

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

    def check(self, token: str) -> None:
        """See Questions.check."""
        self._ask(token, "", [Action.PULL])

    def needed(self, action: Action, repository: str) -> Needed:
        """See Authorizer.needed."""
        return Needed(PERMISSIONS[action], f"projects/_/buckets/{self._bucket}/managedFolders/{repository}/")

    def _ask(self, token: str, folder: str, actions: Sequence[Action]) -> frozenset[Action] | None:
        """What the token may do in a folder, or in the bucket where `folder` is ""; None where there is none."""
        reply = self._google.test_bucket(token, self._bucket, folder, [PERMISSIONS[action] for action in actions])
        if reply.status == 404 and folder:
            return None
        if reply.status != 200:
            raise no_answer(self._named(folder), f"{reply.status} from testIamPermissions")
        return frozenset(action for action in actions if PERMISSIONS[action] in reply.permissions)

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
