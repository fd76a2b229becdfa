"""The container image: what is in it, and how it runs, with a read-only root and as any user."""

import contextlib
import http.client
import json
import os
import threading
import time
from pathlib import Path

import pytest

from emulators.processes import free_port
from lading_storage.digests import digest_of
from tests.on_premises.containers import MANIFEST, Container, pulled, push_manifest, request, start
from tests.support.container_daemons import Docker
from tests.support.image_build import IMAGE, ROOT
from tests.support.on_premises_files import FOLDER
from tests.support.otlp_collector import collecting
from tests.support.server_process import PROCESS_TIMEOUT, basic

DRAIN_TIMEOUT = 10
"""Seconds between SIGTERM and SIGKILL, docker's own default."""


@pytest.fixture(params=["", "12345", "1000740000:0"], ids=["own user", "any user", "any user of group 0"])
def container(request: pytest.FixtureRequest, docker: Docker, volume: str) -> Container:
    return start(docker, volume, ["--user", request.param] if request.param else [])


def test_the_image_says_what_platforms_need(docker: Docker) -> None:
    config = json.loads(docker("image", "inspect", IMAGE))[0]["Config"]

    assert config["User"] == "65532:0"
    assert config["Volumes"] == {"/data": {}}
    assert config["StopSignal"] == "SIGTERM"
    assert config["ExposedPorts"] == {"5000/tcp": {}}
    assert config["Healthcheck"]["Test"] == ["CMD", "lading", "ready"]
    assert config["Labels"]["org.opencontainers.image.version"] == "1.2.3"


def test_the_image_has_no_build_tools_and_nothing_of_the_build(docker: Docker) -> None:
    search = "command -v pip gcc cc make; ls -d /build /tools /opt/lading/bin/pip; find /opt/lading -writable"
    run = docker("run", "--rm", "--network", "host", "--entrypoint", "sh", IMAGE, "-c", f"({search}) 2>/dev/null; true")
    assert run == ""
    modules = "import importlib.util as u; print([m for m in ('pip', 'setuptools', 'wheel') if u.find_spec(m)])"
    assert docker("run", "--rm", "--network", "host", "--entrypoint", "python", IMAGE, "-c", modules) == "[]\n"


def test_the_image_serves_metrics_and_can_scan(docker: Docker, volume: str) -> None:
    port = free_port()
    # Without the extra `scan` a server with this setting does not start.
    start(docker, volume, ["-e", f"LADING_METRICS=127.0.0.1:{port}", "-e", "LADING_SCAN=on"])

    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PROCESS_TIMEOUT)) as connection:
        connection.request("GET", "/metrics")
        assert b"lading_build_info" in connection.getresponse().read()


def test_the_image_exports_traces(docker: Docker, volume: str) -> None:
    with collecting() as collector:
        options = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        container = start(docker, volume, [word for each in options.items() for word in ("-e", "=".join(each))])
        assert request(container, "GET", "/v2/", container.password())[0] == 200
        collector.wait_for(lambda: "end-1" in collector.names())


def test_the_image_is_built_from_the_locks_of_the_extras() -> None:
    """The locks of the extras are copied, and installed, by name."""
    containerfile = (FOLDER / "Containerfile").read_text()
    locks = {path.name for path in (ROOT / "functions").glob("requirements*.txt")} - {"requirements-envoy.txt"}
    for lock in locks:
        assert containerfile.count(f"functions/{lock}") == containerfile.count(f"-r wheels/{lock}") == 1


def test_any_user_may_write(container: Container) -> None:
    password = container.password()
    push_manifest(container, password)
    assert pulled(container, password) == MANIFEST


def test_docker_pushes_the_image_into_itself_and_pulls_it(docker: Docker, volume: str) -> None:
    container = start(docker, volume)
    name = f"{container.host}/tools/lading:v1"
    container.log_in()
    identity = docker("image", "inspect", "-f", "{{.Id}}", IMAGE)
    docker("tag", IMAGE, name)

    docker("push", name)
    docker("rmi", name)
    docker("pull", name)

    assert docker("image", "inspect", "-f", "{{.Id}}", name) == identity
    docker("rmi", name)
    assert container.inspect()["Status"] == "running"


def test_a_kill_and_a_restart_keep_the_data(docker: Docker, volume: str) -> None:
    container = start(docker, volume)
    password = container.password()
    push_manifest(container, password)

    docker("kill", "--signal", "KILL", container.id)
    assert container.inspect()["ExitCode"] == 137
    docker("start", container.id)
    container.wait_until_ready()
    assert pulled(container, password) == MANIFEST

    docker("rm", "-f", container.id)
    replaced = start(docker, volume)
    assert pulled(replaced, password) == MANIFEST
    assert replaced.password() == password


def test_sigterm_finishes_an_upload_that_runs(container: Container) -> None:
    authorization = {"Authorization": basic("admin", container.password())}
    blob = b"x" * 100_000
    with contextlib.closing(container.connection()) as connection:
        connection.putrequest("POST", f"/v2/team/app/blobs/uploads/?digest={digest_of(blob)}")
        for name, value in {**authorization, "Content-Length": str(len(blob))}.items():
            connection.putheader(name, value)
        connection.endheaders(blob[:1000])
        stop = threading.Thread(target=container.docker, args=["stop", "-t", str(DRAIN_TIMEOUT), container.id])
        stop.start()
        wait_until_refused(container)
        connection.send(blob[1000:])
        assert connection.getresponse().status == 201
    stop.join()

    state = container.inspect()
    # 137 were SIGKILL, after DRAIN_TIMEOUT.
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)


def test_sigterm_ends_a_start(docker: Docker, volume: str, tmp_path: Path) -> None:
    """The first process of a container ignores SIGTERM unless it handles it."""
    pipe = tmp_path / "policies"
    os.mkfifo(pipe, 0o644)
    tmp_path.chmod(0o755)
    words = (
        "--network",
        "host",
        "-v",
        f"{volume}:/data",
        "-v",
        f"{tmp_path}:/pipe",
        "-e",
        "LADING_CLEANUP=/pipe/policies",
    )
    container = Container(docker, docker("run", "-d", *words, IMAGE).strip(), 0)
    writer = open_when_read(pipe)

    docker("stop", "-t", str(DRAIN_TIMEOUT), container.id)

    os.close(writer)
    assert container.inspect()["ExitCode"] == 128 + 15


def open_when_read(pipe: Path) -> int:
    """Open a named pipe for writing once the server reads it; from then on its start waits."""
    deadline = time.monotonic() + PROCESS_TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.05)
    raise AssertionError("the server does not read the policies")


def test_the_health_check_is_the_servers_readiness(docker: Docker, volume: str) -> None:
    container = start(docker, volume, ["--health-interval", "1s", "--health-retries", "1"])
    wait_for_health(container, "healthy")
    docker("exec", container.id, "lading", "ready")

    broken = docker("run", "-d", "--network", "host", "--health-interval", "1s", "--health-start-period", "1s",
                    "--health-retries", "1", "--entrypoint", "sleep", IMAGE, "60").strip()  # fmt: skip
    wait_for_health(Container(docker, broken, 0), "unhealthy")


def wait_for_health(container: Container, expected: str) -> None:
    deadline = time.monotonic() + PROCESS_TIMEOUT
    while (status := container.inspect()["Health"]["Status"]) != expected:
        assert time.monotonic() < deadline, status
        time.sleep(0.2)


def wait_until_refused(container: Container) -> None:
    """Wait until the server accepts no new connections: its shutdown has begun."""
    deadline = time.monotonic() + PROCESS_TIMEOUT
    while time.monotonic() < deadline:
        try:
            connection = container.connection()
            connection.connect()
        except ConnectionRefusedError:
            return
        connection.close()
        time.sleep(0.05)
    raise AssertionError("the server still accepts connections")
