"""PermissionSource: Google IAM on a project, with Artifact Registry's permissions, so that existing grants apply.

https://cloud.google.com/artifact-registry/docs/access-control
"""

from collections.abc import Sequence
from typing import Final

from lading.auth.access import ON_REPOSITORIES, Action, RequiredPermission
from lading.auth.credentials import CLOUD_PLATFORM
from lading.auth.google.client import GoogleClient, service_unavailable
from lading.auth.google.folder_cache import FolderCache, FolderPermissions
from lading.auth.google.iam import GrantedActions
from lading.auth.google.subject import IamSubject
from lading.registry.errors import UNAUTHORIZED, RegistryError

PERMISSIONS: Final = {
    Action.PULL: "artifactregistry.repositories.downloadArtifacts",
    Action.PUSH: "artifactregistry.repositories.uploadArtifacts",
    Action.DELETE: "artifactregistry.repositories.deleteArtifacts",
}

MANAGE_PERMISSION: Final = "artifactregistry.repositories.update"
"""The permission that Artifact Registry requires to change a repository's clean-up policies and immutable tags."""

SCOPES: Final = frozenset({CLOUD_PLATFORM, f"{CLOUD_PLATFORM}.read-only"})
"""OAuth scopes of which a token needs one for queries (discovery document of cloudresourcemanager v1, projects)."""


class Project:
    """PermissionSource that queries a project: its permissions apply to all repositories."""

    scopes: Final = SCOPES

    def __init__(self, google: GoogleClient, project: str) -> None:
        """Query `project`, an id or a number."""
        self._google = google
        self._project = project
        self._cache = FolderCache()

    def granted_actions(self, subject: IamSubject, repository: str) -> GrantedActions:
        """See PermissionSource.granted_actions."""
        resource = f"project {self._project}"
        permissions = self._cache.get(subject, "", lambda: self._query(subject))
        listed = ", ".join(sorted(PERMISSIONS[action] for action in permissions.actions)) or "nothing"
        result = listed if permissions.exists else "the token may not query it (403)"
        return GrantedActions(permissions.actions, resource, (f"{resource}: {result}",))

    def may_manage(self, subject: IamSubject, scope: str) -> GrantedActions:
        """See PermissionSource.may_manage. The project's permission holds for every namespace."""
        resource = f"project {self._project}"
        reply = self._google.test_project_permissions(subject, self._project, [MANAGE_PERMISSION])
        if reply.status not in (200, 403):
            raise service_unavailable(resource, f"{reply.status} from testIamPermissions")
        allowed = reply.status == 200 and MANAGE_PERMISSION in reply.permissions
        result = f"{resource}: {MANAGE_PERMISSION if allowed else 'nothing'}"
        return GrantedActions(frozenset({Action.MANAGE} if allowed else ()), resource, (result,))

    def readable_patterns(self, subject: IamSubject) -> Sequence[str]:
        """See PermissionSource.readable_patterns."""
        return ("*",) if Action.PULL in self.granted_actions(subject, "").actions else ()

    def accepts_token(self, subject: IamSubject) -> bool:
        """See PermissionSource.accepts_token."""
        try:
            return self._query(subject).exists
        except RegistryError as error:
            if error.descriptor is UNAUTHORIZED:
                return False
            raise

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """See Authorizer.required_permission."""
        permission = MANAGE_PERMISSION if action is Action.MANAGE else PERMISSIONS[action]
        return RequiredPermission(permission, f"projects/{self._project}")

    def _query(self, subject: IamSubject) -> FolderPermissions:
        """Query Google; `exists` is false for 403, if the token may not query. Raises UNAUTHORIZED, UNAVAILABLE."""
        reply = self._google.test_project_permissions(subject, self._project, list(PERMISSIONS.values()))
        if reply.status not in (200, 403):
            raise service_unavailable(f"project {self._project}", f"{reply.status} from testIamPermissions")
        actions = frozenset(action for action in ON_REPOSITORIES if PERMISSIONS[action] in reply.permissions)
        return FolderPermissions(reply.status == 200, actions)
