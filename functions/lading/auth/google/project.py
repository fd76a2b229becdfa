"""Google IAM on a project, with Artifact Registry's own permissions: its roles, as they are granted already, hold here.

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

SCOPES: Final = frozenset({CLOUD_PLATFORM, f"{CLOUD_PLATFORM}.read-only"})
"""Of which a token needs one to ask (discovery document of cloudresourcemanager v1, projects)."""


class Project:
    """Questions, to a project: what is allowed is allowed on all repositories."""

    scopes: Final = SCOPES

    def __init__(self, google: GoogleClient, project: str) -> None:
        """Ask about `project`, an id or a number."""
        self._google = google
        self._project = project
        self._cache = FolderCache()

    def granted_actions(self, subject: IamSubject, repository: str) -> GrantedActions:
        """See PermissionSource.granted_actions."""
        where = f"project {self._project}"
        answer = self._cache.get(subject, "", lambda: self._ask(subject))
        listed = ", ".join(sorted(PERMISSIONS[action] for action in answer.actions)) or "nothing"
        return GrantedActions(
            answer.actions, where, (f"{where}: {listed if answer.exists else 'the token may not ask (403)'}",)
        )

    def readable_patterns(self, subject: IamSubject) -> Sequence[str]:
        """See PermissionSource.readable_patterns."""
        return ("*",) if Action.PULL in self.granted_actions(subject, "").actions else ()

    def accepts_token(self, subject: IamSubject) -> bool:
        """See PermissionSource.accepts_token."""
        try:
            return self._ask(subject).exists
        except RegistryError as error:
            if error.descriptor is UNAUTHORIZED:
                return False
            raise

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """See Authorizer.required_permission."""
        return RequiredPermission(PERMISSIONS[action], f"projects/{self._project}")

    def _ask(self, subject: IamSubject) -> FolderPermissions:
        """Ask Google; 403 says that the token may not even ask. Raises UNAUTHORIZED, UNAVAILABLE."""
        reply = self._google.test_project_permissions(subject, self._project, list(PERMISSIONS.values()))
        if reply.status not in (200, 403):
            raise service_unavailable(f"project {self._project}", f"{reply.status} from testIamPermissions")
        actions = frozenset(action for action in ON_REPOSITORIES if PERMISSIONS[action] in reply.permissions)
        return FolderPermissions(reply.status == 200, actions)
