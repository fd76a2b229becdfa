"""Strict fake of Cloud Run's services, by its discovery document (run.v2)."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.deploy.fake_server import ErrorResponse, google_error
from tests.support.discovery import document, faults, unknown

SERVICE: Final = "projects/p-1/locations/europe-west1/services/app"


@dataclass(frozen=True)
class Assumptions:
    """What the fake guesses, since no reference says it. Tests run with both answers.

    conflict   the error of an outdated etag
    revision   a service that gcloud deployed returns the name of its revision in the template
    """

    conflict: tuple[int, str] = (409, "ABORTED")
    revision: bool = False


@dataclass
class FakeCloudRun:
    """Services by name, and the images of the revisions that were made of each, in order."""

    assumptions: Assumptions = Assumptions()
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    revisions: dict[str, list[str]] = field(default_factory=dict)

    def create(self, name: str = SERVICE, *containers: str) -> None:
        """Create a service as a person does."""
        listed: list[dict[str, Any]] = [{"name": each, "image": "old"} for each in containers] or [{"image": "old"}]
        listed[0]["ports"] = [{"containerPort": 8080}]
        template: dict[str, Any] = {"containers": listed, "timeout": "300s", "labels": {"team": "a"}}
        if self.assumptions.revision:
            template["revision"] = f"{name.rpartition('/')[2]}-00001-abc"
        self.services[name] = {
            "name": name,
            "etag": '"1"',
            "generation": "1",
            "annotations": {"owner": "team-a"},
            "labels": {"cost": "a"},
            "ingress": "INGRESS_TRAFFIC_ALL",
            "template": template,
        }
        self.revisions[name] = []

    def image(self, name: str = SERVICE, container: int = 0) -> str:
        """Return the image that a service runs."""
        return str(self.services[name]["template"]["containers"][container]["image"])

    def respond(self, method: str, path: str, query: Mapping[str, str], body: Any, media_type: str) -> Any:
        """See fake_server.Service."""
        if wrong := faults("run.v2", method, path, query, body):
            raise google_error(400, "INVALID_ARGUMENT", str(wrong))
        name = path.removeprefix("v2/")
        if name not in self.services:
            raise google_error(404, "NOT_FOUND", f"Resource '{name}' of kind 'SERVICE' does not exist.")
        if method == "PATCH":
            return self._patch(name, query["updateMask"].split(","), body)
        response = copy.deepcopy(self.services[name])
        assert unknown(document("run.v2"), "GoogleCloudRunV2Service", response, "service") == []
        return response

    def _patch(self, name: str, mask: list[str], body: dict[str, Any]) -> Any:
        service = self.services[name]
        if body.get("etag", service["etag"]) != service["etag"]:
            raise google_error(*self.assumptions.conflict)
        if any(each not in body or each in ("etag", "name") for each in mask):
            raise google_error(400, "INVALID_ARGUMENT", f"updateMask {mask}")
        new = {**service, **{each: copy.deepcopy(body[each]) for each in mask}}
        self._check_revision(service["template"], new["template"])
        if new["template"] != service["template"]:
            self.revisions[name].append(new["template"]["containers"][0]["image"])
        generation = int(service["generation"]) + 1
        self.services[name] = {**new, "generation": str(generation), "etag": f'"{generation}"'}
        return {"name": f"{name.rpartition('/services/')[0]}/operations/1", "done": False}

    def _check_revision(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Raise an error for a revision that has the name of another one (terraform-provider-google #14404)."""
        if "revision" in new and new["revision"] == old.get("revision") and new != old:
            raise google_error(409, "ALREADY_EXISTS", "Revision named … with different configuration already exists.")


CONFLICTS: Final = ((409, "ABORTED"), (400, "FAILED_PRECONDITION"), (412, "FAILED_PRECONDITION"))

NOT_PERMITTED: Final[ErrorResponse] = google_error(403, "PERMISSION_DENIED")
