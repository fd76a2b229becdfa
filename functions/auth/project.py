"""Google IAM on a project, with Artifact Registry's own permissions: its roles, as they are granted already, hold here.

https://cloud.google.com/artifact-registry/docs/access-control
"""

from collections.abc import Sequence
from typing import Final

from functions.auth.access import ON_REPOSITORIES, Action, Needed
from functions.auth.asker import Asker
from functions.auth.credentials import CLOUD_PLATFORM
from functions.auth.folder_answers import FolderAnswer, FolderAnswers
from functions.auth.google import Google, no_answer
from functions.auth.iam import Held
from functions.registry.errors import UNAUTHORIZED, RegistryError

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

    def __init__(self, google: Google, project: str) -> None:
        """Ask about `project`, an id or a number."""
        self._google = google
        self._project = project
        self._answers = FolderAnswers()

    def held(self, asker: Asker, repository: str) -> Held:
        """See Questions.held."""
        where = f"project {self._project}"
        answer = self._answers.get(asker, "", lambda: self._ask(asker))
        listed = ", ".join(sorted(PERMISSIONS[action] for action in answer.actions)) or "nothing"
        return Held(answer.actions, where, (f"{where}: {listed if answer.exists else 'the token may not ask (403)'}",))

    def readable(self, asker: Asker) -> Sequence[str]:
        """See Questions.readable."""
        return ("*",) if Action.PULL in self.held(asker, "").actions else ()

    def is_taken(self, asker: Asker) -> bool:
        """See Questions.is_taken."""
        try:
            return self._ask(asker).exists
        except RegistryError as error:
            if error.row is UNAUTHORIZED:
                return False
            raise

    def needed(self, action: Action, repository: str) -> Needed:
        """See Authorizer.needed."""
        return Needed(PERMISSIONS[action], f"projects/{self._project}")

    def _ask(self, asker: Asker) -> FolderAnswer:
        """Ask Google; 403 says that the token may not even ask. Raises UNAUTHORIZED, UNAVAILABLE."""
        reply = self._google.test_project(asker, self._project, list(PERMISSIONS.values()))
        if reply.status not in (200, 403):
            raise no_answer(f"project {self._project}", f"{reply.status} from testIamPermissions")
        actions = frozenset(action for action in ON_REPOSITORIES if PERMISSIONS[action] in reply.permissions)
        return FolderAnswer(reply.status == 200, actions)
