"""The chart's jobs in containers of their own, which share the volume of a container that serves."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.on_premises.containers import HARDENED, MANIFEST, pulled, push_manifest, request, start
from tests.support.container_daemons import Docker
from tests.support.helm_chart import URL, only, render
from tests.support.image_build import IMAGE

RunJob = Callable[[str], dict[str, Any]]
"""Runs a job of the chart by its name, and returns what it printed."""


@pytest.fixture
def backup_volume(docker: Docker, volume: str) -> Iterator[str]:
    """A volume of the user of the image, as fsGroup makes it in Kubernetes."""
    name = f"{volume}-backup"
    docker("run", "--rm", "--network", "none", "-v", f"{name}:/data", "--entrypoint", "true", IMAGE)
    yield name
    if containers := docker("ps", "-aq").split():
        docker("rm", "-f", *containers)
    docker("volume", "rm", "-f", name)


@pytest.fixture
def run_job(docker: Docker, volume: str, backup_volume: str) -> RunJob:
    volumes = {"data": volume, "backup": backup_volume}
    documents = render(URL, "backup.enabled=true", "scrub.enabled=true")

    def run(name: str) -> dict[str, Any]:
        pod = only(documents, "CronJob", name)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        mounts = [
            w for each in container["volumeMounts"] for w in ("-v", f"{volumes[each['name']]}:{each['mountPath']}")
        ]
        variables = [word for each in container["env"] for word in ("-e", f"{each['name']}={each['value']}")]
        words = ("run", "--rm", "--network", "none", *HARDENED, *mounts, *variables, IMAGE, *container["args"])
        printed: dict[str, Any] = json.loads(docker(*words))
        return printed

    return run


def test_jobs_run_while_the_registry_serves_and_the_backup_can_be_served(
    docker: Docker, volume: str, backup_volume: str, run_job: RunJob
) -> None:
    server = start(docker, volume)
    password = server.password()
    assert run_job("backup")["manifests"] == 0
    push_manifest(server, password)
    assert run_job("backup")["manifests"] == 1
    scrub = run_job("scrub")
    assert (scrub["finished"], scrub["findings"]) == (True, [])
    assert pulled(server, password) == MANIFEST

    users = ("-v", f"{volume}:/users:ro", "-e", "LADING_USERS=/users/registry/users.htpasswd")
    secrets = (
        *users,
        "-e",
        "LADING_GRANTS=/users/registry/grants.txt",
        "-e",
        "LADING_KEYS=file:///users/registry/keys.json",
    )
    standby = start(docker, backup_volume, secrets)
    assert pulled(standby, password) == MANIFEST
    assert request(standby, "DELETE", "/v2/team/app/manifests/v1", password)[0] == 405

    docker("exec", standby.id, "lading", "promote", "/data/registry")
    docker("restart", standby.id)
    standby.wait_until_ready()
    assert request(standby, "DELETE", "/v2/team/app/manifests/v1", password)[0] == 202
    assert pulled(server, password) == MANIFEST
