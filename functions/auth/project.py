"""Google IAM on a project, with Artifact Registry's own permissions: its roles, as they are granted already, hold here.

https://cloud.google.com/artifact-registry/docs/access-control
"""

from collections.abc import Sequence
from typing import Final

from functions.auth.access import ON_REPOSITORIES, Action, Needed
from functions.auth.google import Google, no_answer
from functions.auth.iam import Held

PERMISSIONS: Final = {
    Action.PULL: "artifactregistry.repositories.downloadArtifacts",
    Action.PUSH: "artifactregistry.repositories.uploadArtifacts",
    Action.DELETE: "artifactregistry.repositories.deleteArtifacts",
}


class Project:
    """Questions, to a project: what is allowed is allowed on all repositories."""

    def __init__(self, google: Google, project: str) -> None:
        """Ask about `project`, an id or a number."""
        self._google = google
        self._project = project

    def held(self, token: str, repository: str) -> Held:
        """See Questions.held."""
        where = f"project {self._project}"
        reply = self._google.test_project(token, self._project, list(PERMISSIONS.values()))
        # 403 is an answer: a token without the scope cloud-platform may not even ask.
        if reply.status not in (200, 403):
            raise no_answer(where, f"{reply.status} from testIamPermissions")
        held = reply.permissions if reply.status == 200 else frozenset()
        actions = frozenset(action for action in ON_REPOSITORIES if PERMISSIONS[action] in held)
        answer = ", ".join(sorted(held)) or ("nothing" if reply.status == 200 else "the token may not ask (403)")
        return Held(actions, where, (f"{where}: {answer}",))

    def readable(self, token: str) -> Sequence[str]:
        """See Questions.readable."""
        return ("*",) if Action.PULL in self.held(token, "").actions else ()

    def check(self, token: str) -> None:
        """See Questions.check."""
        self.held(token, "")

    def needed(self, action: Action, repository: str) -> Needed:
        """See Authorizer.needed."""
        return Needed(PERMISSIONS[action], f"projects/{self._project}")
