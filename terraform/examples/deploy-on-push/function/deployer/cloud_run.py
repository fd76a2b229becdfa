"""Cloud Run: a new revision of a service.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services/patch
"""

from typing import Any

from deployer import sequences
from deployer.events import TagMoved
from deployer.google_api import ApiError, GoogleApi
from deployer.outcomes import MAX_ATTEMPTS, Outcome, TargetError
from deployer.rules import CloudRunTarget


def deploy(api: GoogleApi, target: CloudRunTarget, event: TagMoved, image: str) -> Outcome:
    """Update a service to an image, unless the event or a later one was deployed before.

    The update is made on condition of the service's etag, so that of two instances one reads the other's annotation.

    Raises:
        ApiError: an API returned an error.
        TargetError: the service has no such container.
    """
    path = f"v2/{target.service}"
    for attempt in range(MAX_ATTEMPTS):
        service = api.call("run", "GET", path)
        annotations = service.get("annotations", {})
        if not sequences.is_new(annotations, event, target.container):
            return Outcome.CURRENT
        updated = {**annotations, **sequences.changes(annotations, event, target.container)}
        body = {
            "name": target.service,
            "etag": service["etag"],
            "annotations": {name: value for name, value in updated.items() if value is not None},
            "template": _with_image(service["template"], target, image),
        }
        try:
            api.call("run", "PATCH", path, body, updateMask="annotations,template")
        except ApiError as error:
            if not error.is_conflict or attempt == MAX_ATTEMPTS - 1:
                raise
        else:
            return Outcome.DEPLOYED
    raise AssertionError("the last attempt returns or raises")


def _with_image(template: dict[str, Any], target: CloudRunTarget, image: str) -> dict[str, Any]:
    """Return the template of the next revision.

    It must not have the name of the last one, which gcloud sets: "Revision named … with different configuration already
    exists".
    """
    containers = [dict(container) for container in template["containers"]]
    chosen = [each for each in containers if not target.container or each.get("name") == target.container]
    if len(chosen) != 1:
        names = ", ".join(each.get("name", "(unnamed)") for each in containers)
        raise TargetError(f"{target.service} has the containers {names}: name one of them in the rule's `container`")
    chosen[0]["image"] = image
    return {name: value for name, value in template.items() if name != "revision"} | {"containers": containers}
