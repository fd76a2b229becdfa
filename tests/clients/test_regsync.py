"""regsync: the one that asks for the scopes of all repositories of a host in one token request."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from lading_storage.digests import digest_of
from tests.support import images
from tests.support.client_commands import ProgramRunner
from tests.support.requirements import find_program
from tests.support.server_process import Server, serving, user_environment

REPOSITORIES = 30
"""More than were granted in one token: 20."""


@pytest.fixture
def environment(environment: Mapping[str, str], tmp_path: Path) -> Mapping[str, str]:
    """The same, with a user."""
    return {**environment, **user_environment(tmp_path / "access")[0]}


def push(server: Server, repository: str) -> str:
    """Push a small image; answers its digest."""
    layer = images.blob(1000)
    for content in (images.EMPTY_CONFIG, layer):
        target = f"/v2/{repository}/blobs/uploads/?digest={digest_of(content)}"
        assert server.request("POST", target, content)[0].status == 201
    manifest = images.manifest([layer])
    headers = {"Content-Type": json.loads(manifest)["mediaType"]}
    assert server.request("PUT", f"/v2/{repository}/manifests/v1", manifest, headers)[0].status == 201
    return digest_of(manifest)


def test_more_repositories_than_fit_into_one_token_of_old_are_copied(
    server: Server, commands: ProgramRunner, tmp_path: Path
) -> None:
    path = find_program("regsync", "go install github.com/regclient/regclient/cmd/regsync@latest")
    variables, authorization = user_environment(tmp_path / "source-access")
    with serving({"LADING_DATA": str(tmp_path / "source"), **variables}, tmp_path / "source.log") as source:
        source.authorization = server.authorization = authorization
        digests = [push(source, f"team/app-{number}") for number in range(REPOSITORIES)]
        hosts = [
            {"registry": each.host, "user": "admin", "pass": "secret", "tls": "disabled"} for each in (source, server)
        ]
        sync = [
            {
                "source": f"{source.host}/team/app-{number}:v1",
                "target": f"{server.host}/copy/app-{number}:v1",
                "type": "image",
            }
            for number in range(REPOSITORIES)
        ]
        # YAML is a superset of JSON.
        settings = tmp_path / "regsync.yml"
        settings.write_text(json.dumps({"version": 1, "creds": hosts, "defaults": {"parallel": 4}, "sync": sync}))

        for _ in range(2):
            commands.run(path, "-c", str(settings), "once")

    for number, digest in enumerate(digests):
        response, _ = server.request("HEAD", f"/v2/copy/app-{number}/manifests/v1")
        assert (response.status, response.headers["Docker-Content-Digest"]) == (200, digest)
