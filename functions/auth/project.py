"""Google IAM on a project, with Artifact Registry's own permissions: its roles, as they are granted already, hold here.

https://cloud.google.com/artifact-registry/docs/access-control
"""

from collections.abc import Sequence
from typing import Final

from functions.auth.access import ON_REPOSITORIES, Action, Needed
from functions.auth.credentials import CLOUD_PLATFORM
from functions.auth.google import Google, Reply, no_answer
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

    def __init__(self, google: Google, project: str) -> None:
        """Ask about `project`, an id or a number."""
        self._google = google
        self._project = project

    def held(self, token: str, repository: str) -> Held:
        """See Questions.held."""
        where = f"project {self._project}"
        reply = self._test(token)
        actions = frozenset(action for action in ON_REPOSITORIES if PERMISSIONS[action] in reply.permissions)
        answer = ", ".join(sorted(reply.permissions)) or (
            "nothing" if reply.status == 200 else "the token may not ask (403)"
        )
        return Held(actions, where, (f"{where}: {answer}",))

    def readable(self, token: str) -> Sequence[str]:
        """See Questions.readable."""
        return ("*",) if Action.PULL in self.held(token, "").actions else ()

    scopes: Final = SCOPES

    def is_taken(self, token: str) -> bool:
        """See Questions.is_taken."""
        try:
            return self._test(token).status == 200
        except RegistryError as error:
            if error.row is UNAUTHORIZED:
                return False
            raise

    def needed(self, action: Action, repository: str) -> Needed:
        """See Authorizer.needed."""
        return Needed(PERMISSIONS[action], f"projects/{self._project}")

    def _test(self, token: str) -> Reply:
        """Return Google's reply, which is 200, or 403 where the token may not even ask. Raises as Questions does."""
        reply = self._google.test_project(token, self._project, list(PERMISSIONS.values()))
        if reply.status not in (200, 403):
            raise no_answer(f"project {self._project}", f"{reply.status} from testIamPermissions")
        return reply
