"""Google IAM on a bucket that holds nothing but policies: a managed folder for each prefix of repositories.

    team-a/        a managed folder: whoever may get objects below it may pull from team-a and from team-a/…
    team-a/web/    a further one, whose policy adds to that of team-a/

Rights are additive from the bucket down, so the longest folder that exists speaks for all above it.
https://cloud.google.com/storage/docs/managed-folders
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from lading.auth.access import Action, RequiredPermission
from lading.auth.google.client import GoogleClient, Reply, service_unavailable
from lading.auth.google.folder_cache import FolderCache, FolderPermissions
from lading.auth.google.iam import GrantedActions
from lading.auth.google.managed_folders import ManagedFolders
from lading.auth.google.subject import IamSubject, QueryBudget
from lading.registry.errors import UNAUTHORIZED, RegistryError

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

MAX_CONCURRENT_QUERIES: Final = 8
"""Folders that a listing asks about at a time."""

MISSING_FOLDER: Final = FolderPermissions(exists=False, actions=frozenset())


class PolicyBucket:
    """Questions, to a bucket."""

    scopes: Final = SCOPES

    def __init__(self, google: GoogleClient, bucket: str, folders: Sequence[str]) -> None:
        """Ask about `bucket`, and about its `folders`, which are prefixes without a slash at the end.

        Where none are named, any prefix of a repository's name may be a folder, and a listing knows of none.
        """
        self._google = google
        self._bucket = bucket
        self._folders = ManagedFolders(folders)
        self._cache = FolderCache()

    def granted_actions(self, subject: IamSubject, repository: str) -> GrantedActions:
        """See Questions.held."""
        asked = []
        for folder in self._folders.candidates(repository):
            answer = self._folder_permissions(subject, folder, subject.budget)
            found = _describe_permissions(answer.actions) if answer.exists else "no such folder"
            asked.append(f"{self._describe_folder(folder)}: {found}")
            if answer.exists:
                return GrantedActions(answer.actions, self._describe_folder(folder), tuple(asked))
        raise AssertionError("the bucket always answers")

    def readable_patterns(self, subject: IamSubject) -> Sequence[str]:
        """See Questions.readable: the bucket first, since whoever may read that may read all."""
        if Action.PULL in self._folder_permissions(subject, "").actions:
            return ("*",)
        with ThreadPoolExecutor(MAX_CONCURRENT_QUERIES) as pool:
            answers = list(pool.map(lambda folder: self._folder_permissions(subject, folder), self._folders.named))
        readable_patterns = [
            folder.rstrip("/")
            for folder, answer in zip(self._folders.named, answers, strict=True)
            if Action.PULL in answer.actions
        ]
        return tuple(pattern for folder in readable_patterns for pattern in (folder, f"{folder}/*"))

    def accepts_token(self, subject: IamSubject) -> bool:
        """See Questions.is_taken: 403 is what a token without the right scope gets, which can be used for nothing."""
        try:
            return self._test(subject, "").status == 200
        except RegistryError as error:
            if error.descriptor is UNAUTHORIZED:
                return False
            raise

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """See Authorizer.needed."""
        return RequiredPermission(
            PERMISSIONS[action], f"projects/_/buckets/{self._bucket}/managedFolders/{repository}/"
        )

    def _folder_permissions(
        self, subject: IamSubject, folder: str, budget: QueryBudget | None = None
    ) -> FolderPermissions:
        """Return what the caller may do in a folder, or in the bucket where `folder` is ""."""
        if self._folders.is_missing(folder):
            return MISSING_FOLDER
        return self._cache.get(subject, folder, lambda: self._query_folder(subject, folder, budget))

    def _query_folder(self, subject: IamSubject, folder: str, budget: QueryBudget | None) -> FolderPermissions:
        """Ask Google about a folder, or about the bucket where `folder` is "".

        Google does not document what it answers for a missing folder. A folder that answers 403 is taken for one, since
        its parents can only grant less; the bucket's 403 is a no. Raises QueryBudgetExceededError, UNAUTHORIZED,
        UNAVAILABLE.
        """
        if budget is not None:
            budget.spend()
        reply = self._test(subject, folder)
        if folder and reply.status == 200:
            self._folders.mark_existing(folder)
        elif folder and reply.status == 404:
            self._folders.mark_missing(folder)
        actions = frozenset(action for action in PERMISSIONS if PERMISSIONS[action] in reply.permissions)
        return FolderPermissions(not folder or reply.status == 200, actions)

    def _test(self, subject: IamSubject, folder: str) -> Reply:
        """Return Google's reply, which is 200, 403 or, for a folder, 404. Raises UNAUTHORIZED, UNAVAILABLE."""
        reply = self._google.test_bucket_permissions(subject, self._bucket, folder, list(PERMISSIONS.values()))
        if reply.status not in ((200, 403, 404) if folder else (200, 403)):
            raise service_unavailable(self._describe_folder(folder), f"{reply.status} from testIamPermissions")
        return reply

    def _describe_folder(self, folder: str) -> str:
        return f"managed folder {folder} of bucket {self._bucket}" if folder else f"bucket {self._bucket}"


def _describe_permissions(actions: frozenset[Action]) -> str:
    return ", ".join(sorted(PERMISSIONS[action] for action in actions)) or "nothing"
