"""A push to the deployment is deployed: the publisher, Pub/Sub's emulator, and the function of the example."""

import secrets
from pathlib import Path

from emulators.cloud import Cloud
from emulators.deployment import EVENTS_TOPIC
from emulators.scheduler import call
from tests.deploy.end_to_end import push, subscribed
from tests.support.container_daemons import Docker
from tests.support.server_process import run_lading


def test_a_push_is_deployed_and_a_rollback_deploys_the_former_digest(
    cloud: Cloud, docker: Docker, tmp_path: Path
) -> None:
    repository = f"team-a/{secrets.token_hex(4)}"
    docker("login", "-u", "oauth2accesstoken", "--password-stdin", cloud.host, stdin=cloud.token)
    with subscribed(tmp_path, cloud.variables["publish"]["PUBSUB_EMULATOR_HOST"], EVENTS_TOPIC) as deployments:
        name = f"{cloud.host}/{repository}:prod"
        first, second = (push(docker, name, tmp_path / each) for each in ("first", "second"))
        assert call(cloud.publish_url, cloud.accounts.events)[0] == 200
        deployments.wait_for(repository, first, second)

        rolled = run_lading(["rollback", f"{repository}:prod", "--to", first], tmp_path, cloud.environment)
        assert rolled.returncode == 0, rolled.stderr
        assert call(cloud.publish_url, cloud.accounts.events)[0] == 200
        deployments.wait_for(repository, first, second, first)
