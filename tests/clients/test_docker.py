"""docker, with a daemon of its own: push, pull, and push again, on both pairs of stores."""

from pathlib import Path

from tests.support.container_daemons import Docker, files_of, make_image
from tests.support.server_process import Server


def test_what_docker_pushes_it_pulls_byte_for_byte(docker: Docker, server: Server, tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    name = f"{server.host}/team/app:v1"
    image = make_image(docker, tmp_path / "context", name)
    before = files_of(docker, name, tmp_path / "before")

    pushed = docker("push", name)
    docker("rmi", "-f", name, f"{name}-base", image)
    assert docker("image", "ls", "-q") == ""
    pulled = docker("pull", name)

    digest = pushed.split("digest: ")[1].split()[0]
    assert f"Digest: {digest}" in pulled
    assert docker("image", "inspect", "-f", "{{.Id}}", name).strip() == image
    assert files_of(docker, name, tmp_path / "after") == before
    docker("rmi", "-f", name)
    docker("pull", f"{server.host}/team/app@{digest}")


def test_docker_pushes_only_what_is_not_there_and_mounts_the_rest(
    docker: Docker, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "context").mkdir()
    first, again, other = (f"{server.host}/{name}" for name in ("one/app:v1", "one/app:v2", "two/app:v1"))
    make_image(docker, tmp_path / "context", first)
    docker("push", first)
    docker("tag", first, again)
    docker("tag", first, other)

    assert docker("push", again).count("Layer already exists") == 4
    assert docker("push", other).count("Mounted from one/app") == 4
    docker("push", "--all-tags", f"{server.host}/one/app")

    docker("rmi", "-f", other, again, first)
    docker("pull", other)
    assert server.request("GET", "/v2/one/app/tags/list")[1] == b'{"name": "one/app", "tags": ["v1", "v1-base", "v2"]}'


def test_docker_is_told_what_is_not_there(docker: Docker, server: Server) -> None:
    assert "not found" in docker.fail("pull", f"{server.host}/no/app:v1")
