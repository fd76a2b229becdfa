"""One event: its targets, one after the other. A target that fails does not keep the others from being updated."""

from dataclasses import dataclass

from deployer import cloud_deploy, cloud_run, gke
from deployer.events import TagMoved
from deployer.google_api import ApiError, GoogleApi
from deployer.outcomes import Outcome, TargetError
from deployer.rules import CloudDeployTarget, CloudRunTarget, GkeTarget, Rules, Target


@dataclass(frozen=True)
class Deployment:
    """What became of one target.

    Attributes:
        target: the target.
        image: what it was to be updated to.
        outcome: None if it failed.
        error: why it failed, or "".
        permanent: whether it fails again until a person changes something.
    """

    target: Target
    image: str
    outcome: Outcome | None
    error: str = ""
    permanent: bool = False


def run(api: GoogleApi, rules: Rules, event: TagMoved) -> list[Deployment]:
    """Deploy an event to all its targets. A repeated call deploys to those that failed, and to no other."""
    return [_deploy(api, target, event, rules.image_of(event)) for target in rules.targets_of(event)]


def _deploy(api: GoogleApi, target: Target, event: TagMoved, image: str) -> Deployment:
    try:
        match target:
            case CloudRunTarget():
                outcome = cloud_run.deploy(api, target, event, image)
            case GkeTarget():
                outcome = gke.deploy(api, target, event, image)
            case CloudDeployTarget():
                outcome = cloud_deploy.deploy(api, target, event, image)
    except ApiError as error:
        return Deployment(target, image, None, str(error), error.is_permanent)
    except TargetError as error:
        return Deployment(target, image, None, str(error), permanent=True)
    return Deployment(target, image, outcome)
