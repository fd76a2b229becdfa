"""The compose file: docker compose accepts each profile, and the registry that it starts serves and keeps its data."""

import contextlib
import http.client
import json
import subprocess
import time
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from emulators.processes import free_port
from lading.metrics.listener import PATH
from tests.support.container_daemons import Docker
from tests.support.image_build import Compose
from tests.support.on_premises_files import FOLDER
from tests.support.requirements import find_program
from tests.support.server_process import PROCESS_TIMEOUT

OVERRIDE = """
services:
  registry:
    network_mode: host
    ports: !reset []
    environment: {{ LADING_ADDRESS: "127.0.0.1:{port}", LADING_URL: "http://127.0.0.1:{port}" }}
"""
"""The tests' docker has no networks."""


METRICS_ADDRESS = "0.0.0.0:9464"
METRICS = FOLDER / "metrics"


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
    assert registry["environment"] == {
        "LADING_URL": "http://localhost:5000",
        "LADING_TRUSTED_HOPS": "",
        "LADING_METRICS": METRICS_ADDRESS,
    }
    assert (Path(registry["build"]["context"]) / registry["build"]["dockerfile"]).samefile(FOLDER / "Containerfile")


def test_with_tls_caddy_is_in_front(compose: Compose) -> None:
    found = services(compose, "--profile", "tls", HOST="registry.example.com")
    assert found.keys() == {"registry", "caddy"}
    assert found["registry"]["environment"] == {
        "LADING_URL": "https://registry.example.com",
        "LADING_TRUSTED_HOPS": "1",
        "LADING_METRICS": METRICS_ADDRESS,
    }
    assert found["caddy"]["environment"] == {"HOST": "registry.example.com", "UPSTREAM": "registry:5000"}
    assert Path(found["caddy"]["volumes"][0]["source"]).samefile(FOLDER / "Caddyfile")


def mounted(service: dict[str, Any]) -> dict[str, Path]:
    """Return the files of ours that a service has, by their path in its container."""
    binds = [each for each in service["volumes"] if each["type"] == "bind"]
    assert all(each["read_only"] for each in binds)
    return {each["target"]: Path(each["source"]) for each in binds}


def test_with_metrics_prometheus_and_grafana_are_on_loopback(compose: Compose) -> None:
    found = services(compose, "--profile", "metrics")
    assert found.keys() == {"registry", "prometheus", "grafana"}
    for service in found.values():
        assert {port["host_ip"] for port in service["ports"]} == {"127.0.0.1"}
        assert service["cap_drop"] == ["ALL"]
    assert all(port["target"] != 9464 for port in found["registry"]["ports"])
    assert {
        volume["source"] for each in found.values() for volume in each["volumes"] if volume["type"] == "volume"
    } == {
        "data",
        "measurements",
        "grafana",
    }


def test_metrics_can_be_left_out_and_images_pinned(compose: Compose) -> None:
    pinned = {
        f"{name}_IMAGE": f"mirror/{name.lower()}@sha256:{'0' * 64}" for name in ("CADDY", "PROMETHEUS", "GRAFANA")
    }
    found = services(compose, "--profile", "*", LADING_METRICS="", HOST="registry.example.com", **pinned)
    assert found["registry"]["environment"]["LADING_METRICS"] == ""
    assert {each["image"] for name, each in found.items() if name != "registry"} == set(pinned.values())


def test_prometheus_accepts_its_configuration_and_scrapes_the_registry(compose: Compose, tmp_path: Path) -> None:
    """The files as they are in the container, with the rules beside the configuration that names them."""
    found = services(compose, "--profile", "metrics")
    files = mounted(found["prometheus"])
    for target, source in files.items():
        place = tmp_path / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(source.read_text())
    (option,) = (word for word in found["prometheus"]["command"] if word.startswith("--config.file="))
    config = tmp_path / option.partition("=")[2].lstrip("/")

    promtool = find_program("promtool", "apt install prometheus")
    done = subprocess.run([promtool, "check", "config", config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS: 1 rule files found" in done.stdout

    (job,) = yaml.safe_load(config.read_text())["scrape_configs"]
    port = found["registry"]["environment"]["LADING_METRICS"].rpartition(":")[2]
    # The dashboard and the chart's ServiceMonitor have the job of this name.
    assert (job["job_name"], job["static_configs"]) == ("lading", [{"targets": [f"registry:{port}"]}])
    assert job.get("metrics_path", "/metrics") == PATH


def test_grafana_has_the_dashboard_and_its_source(compose: Compose) -> None:
    found = services(compose, "--profile", "metrics")
    files = mounted(found["grafana"])
    assert all(path.is_file() and path.parent.samefile(METRICS) for path in files.values())
    provisioned = {target.split("/")[4]: yaml.safe_load(source.read_text()) for target, source in files.items()
                   if target.startswith("/etc/grafana/provisioning/")}  # fmt: skip
    (source,) = provisioned["datasources"]["datasources"]
    assert source["url"] == f"http://prometheus:{found['prometheus']['ports'][0]['target']}"
    dashboard = found["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert files[dashboard].samefile(METRICS / "dashboard.json")
    (provider,) = provisioned["dashboards"]["providers"]
    assert PurePosixPath(dashboard).is_relative_to(provider["options"]["path"])
    kinds = {
        each["query"]
        for each in json.loads(files[dashboard].read_text())["templating"]["list"]
        if each["type"] == "datasource"
    }
    assert kinds == {source["type"]}


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
