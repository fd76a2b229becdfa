"""Cloud Deploy: a release of a delivery pipeline, and its rollout to a first target.

https://cloud.google.com/deploy/docs/api/reference/rest/v1/projects.locations.deliveryPipelines.releases/create

A pipeline cannot be updated and released in one call, so its releases carry the sequences. Their names come from the
event, so that a repeated event creates none. Two different events of a tag run one after the other, since Pub/Sub holds
back the later message of a repository until the earlier one is acknowledged (message ordering).
"""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Final

from deployer import sequences
from deployer.events import TagMoved
from deployer.google_api import ApiError, GoogleApi
from deployer.outcomes import Outcome, TargetError
from deployer.rules import CloudDeployTarget

Sleep = Callable[[float], None]

REFERENCE_LABEL: Final = "lading_reference"
RECENT_RELEASES: Final = "50"
"""Releases of the tag that are read, the latest first."""

MAX_DESCRIPTION: Final = 255
"""Characters of a release's description. A repository and a tag have up to 384."""

MAX_POLLS: Final = 20
"""Requests for the state of an operation, a second apart. Creating a release takes a few; rendering is not part of it.
"""


def deploy(
    api: GoogleApi,
    target: CloudDeployTarget,
    event: TagMoved,
    image: str,
    sleep: Sleep = time.sleep,
) -> Outcome:
    """Create the release of an event, unless a later event of the tag has one, and its rollout where the rule asks.

    Raises:
        ApiError: an API returned an error.
        TargetError: the release was refused, or takes too long.
    """
    last = _last_sequence(api, target, event)
    if last > event.sequence:
        return Outcome.CURRENT
    release = f"lading-{event.id}"
    body = {
        "buildArtifacts": [{"image": target.image, "tag": image}],
        "skaffoldConfigUri": target.skaffold,
        "description": f"{event.repository}:{event.tag}"[:MAX_DESCRIPTION],
        "labels": {REFERENCE_LABEL: sequences.reference_hash(event)},
        "annotations": {sequences.key(event): event.sequence},
    }
    request = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{target.pipeline}/{release}"))
    path = f"v1/{target.pipeline}/releases"
    created = _create(api, path, body, sleep, releaseId=release, requestId=request)
    if target.rollout:
        rolled = _create(
            api, f"{path}/{release}/rollouts", {"targetId": target.rollout}, sleep, rolloutId=f"to-{target.rollout}"
        )
        created = created or rolled
    return Outcome.DEPLOYED if created else Outcome.CURRENT


def _last_sequence(api: GoogleApi, target: CloudDeployTarget, event: TagMoved) -> str:
    """Return the sequence of the latest release of the event's tag, or ""."""
    response = api.call(
        "clouddeploy",
        "GET",
        f"v1/{target.pipeline}/releases",
        filter=f'labels.{REFERENCE_LABEL}="{sequences.reference_hash(event)}"',
        orderBy="createTime desc",
        pageSize=RECENT_RELEASES,
    )
    key = sequences.key(event)
    return max((each.get("annotations", {}).get(key, "") for each in response.get("releases", ())), default="")


def _create(api: GoogleApi, path: str, body: Mapping[str, object], sleep: Sleep, **query: str) -> bool:
    """Create a resource and wait until it exists. Return False if it existed before."""
    try:
        operation = api.call("clouddeploy", "POST", path, body, **query)
    except ApiError as error:
        if error.status == 409 and error.reason == "ALREADY_EXISTS":  # and not ABORTED, by which nothing was created
            return False
        raise
    for _ in range(MAX_POLLS):
        if operation.get("done"):
            break
        sleep(1)
        operation = api.call("clouddeploy", "GET", f"v1/{operation['name']}")
    else:
        raise TargetError(f"{path} is not created yet: see {operation['name']}")
    if "error" in operation:
        raise TargetError(f"{path} was refused: {operation['error'].get('message')}")
    return True
