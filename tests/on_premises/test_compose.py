"""The compose file: docker compose accepts each profile, and the registry that it starts serves and keeps its data."""

import contextlib
import http.client
import json
import time
from pathlib import Path
from typing import Any

import pytest

from emulators.processes import free_port
from tests.support.container_daemons import Docker
from tests.support.image_build import FOLDER, Compose
from tests.support.server_process import PROCESS_TIMEOUT

OVERRIDE = """
services:
  registry:
    network_mode: host
    ports: !reset []
    environment: {{ LADING_ADDRESS: "127.0.0.1:{port}", LADING_URL: "http://127.0.0.1:{port}" }}
"""
"""The tests' docker has no networks."""


def services(compose: Compose, *words: str, **environment: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(compose(*words, "config", "--format", "json", **environment))["services"]
    return found


def test_without_a_profile_the_registry_is_on_loopback(compose: Compose) -> None:
    (registry,) = services(compose).values()
    assert registry["ports"] == [
        {"mode": "ingress", "host_ip": "127.0.0.1", "target": 5000, "published": "5000", "protocol": "tcp"}
    ]
    assert registry["read_only"]
    assert registry["cap_drop"] == ["ALL"]
    assert registry["environment"] == {"LADING_URL": "http://localhost:5000", "LADING_TRUSTED_HOPS": ""}
    assert (Path(registry["build"]["context"]) / registry["build"]["dockerfile"]).samefile(FOLDER / "Containerfile")


def test_with_tls_caddy_is_in_front(compose: Compose) -> None:
    found = services(compose, "--profile", "tls", HOST="registry.example.com")
    assert found.keys() == {"registry", "caddy"}
    assert found["registry"]["environment"] == {
        "LADING_URL": "https://registry.example.com",
        "LADING_TRUSTED_HOPS": "1",
    }
    assert found["caddy"]["environment"] == {"HOST": "registry.example.com", "UPSTREAM": "registry:5000"}
    assert Path(found["caddy"]["volumes"][0]["source"]).samefile(FOLDER / "Caddyfile")


def test_what_compose_starts_serves_and_keeps_its_data(
    compose: Compose, docker: Docker, image_daemon: str, tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "override.yaml").write_text(OVERRIDE.format(port=port))
    environment = {"DOCKER_HOST": image_daemon, "LADING_VERSION": "test"}

    def run(*words: str) -> str:
        return compose("-f", tmp_path / "override.yaml", *words, **environment)

    def password() -> str:
        return run("exec", "-T", "registry", "cat", "/data/registry/admin.password")

    run("up", "-d", "--no-build")
    try:
        wait_until_ready(port)
        first = password()
        run("down")
        run("up", "-d", "--no-build")
        wait_until_ready(port)
        assert password() == first
        docker("login", f"127.0.0.1:{port}", "-u", "admin", "--password-stdin", stdin=first)
    finally:
        run("down", "-v")


def wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + PROCESS_TIMEOUT
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection,
        ):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    pytest.fail("the registry does not serve")
