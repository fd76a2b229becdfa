"""Google IAM on a bucket that holds nothing but policies: a managed folder for each prefix of repositories.

    team-a/        a managed folder: whoever may get objects below it may pull from team-a and from team-a/…
    team-a/web/    a further one, whose policy adds to that of team-a/

Rights are additive from the bucket down, so the longest folder that exists speaks for all above it.
https://cloud.google.com/storage/docs/managed-folders
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from functions.auth.access import Action, Needed
from functions.auth.asker import Asker, QuestionBudget
from functions.auth.folder_answers import FolderAnswer, FolderAnswers
from functions.auth.google import Google, Reply, no_answer
from functions.auth.iam import Held
from functions.auth.managed_folders import ManagedFolders
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

AT_ONCE: Final = 8
"""Folders that a listing asks about at a time."""

NO_FOLDER: Final = FolderAnswer(exists=False, actions=frozenset())


class PolicyBucket:
    """Questions, to a bucket."""

    scopes: Final = SCOPES

    def __init__(self, google: Google, bucket: str, folders: Sequence[str]) -> None:
        """Ask about `bucket`, and about its `folders`, which are prefixes without a slash at the end.

        Where none are named, any prefix of a repository's name may be a folder, and a listing knows of none.
        """
        self._google = google
        self._bucket = bucket
        self._folders = ManagedFolders(folders)
        self._answers = FolderAnswers()

    def held(self, asker: Asker, repository: str) -> Held:
        """See Questions.held."""
        asked = []
        for folder in self._folders.of(repository):
            answer = self._answer(asker, folder, asker.budget)
            asked.append(f"{self._named(folder)}: {_listed(answer.actions) if answer.exists else 'no such folder'}")
            if answer.exists:
                return Held(answer.actions, self._named(folder), tuple(asked))
        raise AssertionError("the bucket always answers")

    def readable(self, asker: Asker) -> Sequence[str]:
        """See Questions.readable: the bucket first, since whoever may read that may read all."""
        if Action.PULL in self._answer(asker, "").actions:
            return ("*",)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda folder: self._answer(asker, folder), self._folders.named))
        readable = [
            folder.rstrip("/")
            for folder, answer in zip(self._folders.named, answers, strict=True)
            if Action.PULL in answer.actions
        ]
        return tuple(pattern for folder in readable for pattern in (folder, f"{folder}/*"))

    def is_taken(self, asker: Asker) -> bool:
        """See Questions.is_taken: 403 is what a token without the right scope gets, which can be used for nothing."""
        try:
            return self._test(asker, "").status == 200
        except RegistryError as error:
            if error.row is UNAUTHORIZED:
                return False
            raise

    def needed(self, action: Action, repository: str) -> Needed:
        """See Authorizer.needed."""
        return Needed(PERMISSIONS[action], f"projects/_/buckets/{self._bucket}/managedFolders/{repository}/")

    def _answer(self, asker: Asker, folder: str, budget: QuestionBudget | None = None) -> FolderAnswer:
        """Return what the caller may do in a folder, or in the bucket where `folder` is ""."""
        if self._folders.is_missing(folder):
            return NO_FOLDER
        return self._answers.get(asker, folder, lambda: self._ask(asker, folder, budget))

    def _ask(self, asker: Asker, folder: str, budget: QuestionBudget | None) -> FolderAnswer:
        """Ask Google about a folder, or about the bucket where `folder` is "".

        Google does not document what it answers for a missing folder. A folder that answers 403 is taken for one, since
        its parents can only grant less; the bucket's 403 is a no. Raises TooManyQuestionsError, UNAUTHORIZED,
        UNAVAILABLE.
        """
        if budget is not None:
            budget.spend()
        reply = self._test(asker, folder)
        if folder and reply.status == 200:
            self._folders.found(folder)
        elif folder and reply.status == 404:
            self._folders.not_found(folder)
        actions = frozenset(action for action in PERMISSIONS if PERMISSIONS[action] in reply.permissions)
        return FolderAnswer(not folder or reply.status == 200, actions)

    def _test(self, asker: Asker, folder: str) -> Reply:
        """Return Google's reply, which is 200, 403 or, for a folder, 404. Raises UNAUTHORIZED, UNAVAILABLE."""
        reply = self._google.test_bucket(asker, self._bucket, folder, list(PERMISSIONS.values()))
        if reply.status not in ((200, 403, 404) if folder else (200, 403)):
            raise no_answer(self._named(folder), f"{reply.status} from testIamPermissions")
        return reply

    def _named(self, folder: str) -> str:
        return f"managed folder {folder} of bucket {self._bucket}" if folder else f"bucket {self._bucket}"


def _listed(actions: frozenset[Action]) -> str:
    return ", ".join(sorted(PERMISSIONS[action] for action in actions)) or "nothing"
