"""PermissionSource: Google IAM on a bucket that holds only policies, with a managed folder for each repository prefix.

    team-a/        managed folder: principals that may get objects below it may pull from team-a and team-a/…
    team-a/web/    nested managed folder, whose policy adds to that of team-a/

Permissions are inherited from the bucket down, so the result for the longest existing folder includes all above it.
https://cloud.google.com/storage/docs/managed-folders
"""

from collections.abc import Sequence
from typing import Final

from lading.auth.access import Action, RequiredPermission
from lading.auth.google.client import GoogleClient, Reply, service_unavailable
from lading.auth.google.folder_cache import FolderCache, FolderPermissions
from lading.auth.google.iam import GrantedActions
from lading.auth.google.managed_folders import ManagedFolders
from lading.auth.google.subject import IamSubject, QueryBudget
from lading.concurrent_map import map_concurrently
from lading.registry.errors import UNAUTHORIZED, RegistryError

PERMISSIONS: Final = {
    Action.PULL: "storage.objects.get",
    Action.PUSH: "storage.objects.create",
    Action.DELETE: "storage.objects.delete",
}

MANAGE_BUCKET: Final = "storage.buckets.update"
MANAGE_FOLDER: Final = "storage.managedFolders.setIamPolicy"
"""The permissions for MANAGE: to change the policy bucket, and to decide who has access to a namespace's folder."""

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
"""OAuth scopes of which a token needs one to query Cloud Storage (discovery document of storage v1, managedFolders)."""

MAX_CONCURRENT_QUERIES: Final = 8
"""Folders that a listing queries concurrently."""

MISSING_FOLDER: Final = FolderPermissions(exists=False, actions=frozenset())


class PolicyBucket:
    """PermissionSource that queries a bucket and its managed folders."""

    scopes: Final = SCOPES

    def __init__(self, google: GoogleClient, bucket: str, folders: Sequence[str]) -> None:
        """Query `bucket`.

        Args:
            google: client of Cloud Storage.
            bucket: name of the policy bucket.
            folders: its managed folders, without a trailing slash. If empty, any prefix of a repository's name may be
                a folder, and listings query the bucket alone.
        """
        self._google = google
        self._bucket = bucket
        self._folders = ManagedFolders(folders)
        self._cache = FolderCache()

    def granted_actions(self, subject: IamSubject, repository: str) -> GrantedActions:
        """See PermissionSource.granted_actions."""
        consulted = []
        for folder in self._folders.candidates(repository):
            permissions = self._folder_permissions(subject, folder, subject.budget)
            listed = _describe_permissions(permissions.actions) if permissions.exists else "no such folder"
            consulted.append(f"{self._describe_folder(folder)}: {listed}")
            if permissions.exists:
                return GrantedActions(permissions.actions, self._describe_folder(folder), tuple(consulted))
        raise AssertionError("the bucket itself always exists")

    def may_manage(self, subject: IamSubject, scope: str) -> GrantedActions:
        """See PermissionSource.may_manage: on the managed folder of a namespace, or on the bucket."""
        consulted = []
        for folder, permission in ([(scope, MANAGE_FOLDER)] if scope else []) + [("", MANAGE_BUCKET)]:
            resource = self._describe_folder(folder)
            reply = self._google.test_bucket_permissions(subject, self._bucket, folder, [permission])
            if reply.status not in ((200, 403, 404) if folder else (200, 403)):
                raise service_unavailable(resource, f"{reply.status} from testIamPermissions")
            allowed = reply.status == 200 and permission in reply.permissions
            consulted.append(f"{resource}: {permission if allowed else 'nothing'}")
            if allowed:
                return GrantedActions(frozenset({Action.MANAGE}), resource, tuple(consulted))
        return GrantedActions(frozenset(), resource, tuple(consulted))

    def readable_patterns(self, subject: IamSubject) -> Sequence[str]:
        """See PermissionSource.readable_patterns. Queries the bucket first: its permissions apply to all folders."""
        if Action.PULL in self._folder_permissions(subject, "").actions:
            return ("*",)
        results = map_concurrently(
            lambda folder: self._folder_permissions(subject, folder), self._folders.named, MAX_CONCURRENT_QUERIES
        )
        readable_folders = [
            folder.rstrip("/")
            for folder, permissions in zip(self._folders.named, results, strict=True)
            if Action.PULL in permissions.actions
        ]
        return tuple(pattern for folder in readable_folders for pattern in (folder, f"{folder}/*"))

    def accepts_token(self, subject: IamSubject) -> bool:
        """See PermissionSource.accepts_token. A token without a suitable scope gets 403, and is useless here."""
        try:
            return self._test(subject, "").status == 200
        except RegistryError as error:
            if error.descriptor is UNAUTHORIZED:
                return False
            raise

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """See Authorizer.required_permission."""
        bucket = f"projects/_/buckets/{self._bucket}"
        if action is Action.MANAGE:
            return (
                RequiredPermission(MANAGE_FOLDER, f"{bucket}/managedFolders/{repository}")
                if repository
                else (RequiredPermission(MANAGE_BUCKET, bucket))
            )
        return RequiredPermission(PERMISSIONS[action], f"{bucket}/managedFolders/{repository}/")

    def _folder_permissions(
        self, subject: IamSubject, folder: str, budget: QueryBudget | None = None
    ) -> FolderPermissions:
        """Return the caller's permissions on a folder, or on the bucket if `folder` is "". Cached."""
        if self._folders.is_missing(folder):
            return MISSING_FOLDER
        return self._cache.get(subject, folder, lambda: self._query_folder(subject, folder, budget))

    def _query_folder(self, subject: IamSubject, folder: str, budget: QueryBudget | None) -> FolderPermissions:
        """Query Google for the permissions on a folder, or on the bucket if `folder` is "".

        Google does not document its status for a missing folder. 403 for a folder is treated as missing, since its
        parents can only grant less; 403 for the bucket is a denial.

        Args:
            subject: the caller.
            folder: with a trailing slash.
            budget: charged with the query; None for no limit.

        Raises:
            QueryBudgetExceededError: the budget is spent.
            RegistryError: UNAUTHORIZED, UNAVAILABLE.
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
        """Return Google's reply, with status 200, 403 or, for a folder, 404. Raises UNAUTHORIZED, UNAVAILABLE."""
        reply = self._google.test_bucket_permissions(subject, self._bucket, folder, list(PERMISSIONS.values()))
        if reply.status not in ((200, 403, 404) if folder else (200, 403)):
            raise service_unavailable(self._describe_folder(folder), f"{reply.status} from testIamPermissions")
        return reply

    def _describe_folder(self, folder: str) -> str:
        return f"managed folder {folder} of bucket {self._bucket}" if folder else f"bucket {self._bucket}"


def _describe_permissions(actions: frozenset[Action]) -> str:
    return ", ".join(sorted(PERMISSIONS[action] for action in actions)) or "nothing"
