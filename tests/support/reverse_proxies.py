"""nginx, Caddy and Envoy as processes, with the lines of docs/on-premises.md, before a registry."""

import contextlib
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.documents import DOCS
from tests.support.envoy_proxy import envoy_binary
from tests.support.requirements import find_program
from tests.support.server_process import PROCESS_TIMEOUT

TYPES: Final = "type.googleapis.com/envoy.extensions.filters"
PAGE: Final = DOCS / "on-premises.md"


def block(heading: str, language: str) -> str:
    """Return the first block of a language below a heading of the page."""
    section = PAGE.read_text().split(f"\n### {heading}\n", 1)[1]
    found = re.search(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[1]


def nginx(folder: Path, port: int, upstream: int) -> list[str]:
    """Write nginx's configuration; return its command."""
    location = block("nginx", "nginx").replace("127.0.0.1:5000", f"127.0.0.1:{upstream}")
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {paths} server {{ listen 127.0.0.1:{port};\n{location}}} }}\n"
    )
    program = find_program("nginx", "apt install nginx-light")
    return [program, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, port: int, upstream: int) -> list[str]:
    """Write the Caddyfile, without TLS; return Caddy's command."""
    text = block("Caddy", "caddyfile").replace("127.0.0.1:5000", f"127.0.0.1:{upstream}")
    text = text.replace("registry.example.com", f"http://127.0.0.1:{port}")
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{text}")
    return [
        find_program("caddy", "apt install caddy"),
        "run",
        "--adapter",
        "caddyfile",
        "--config",
        str(folder / "Caddyfile"),
    ]


def envoy(folder: Path, port: int, upstream: int) -> list[str]:
    """Return Envoy's command, with the lines of the page in a configuration without TLS."""
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "registry",
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"},
            }
        ],
        **yaml.safe_load(block("Envoy", "yaml")),
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    resources = {
        "listeners": [{"name": "clients", "address": _address(port), "filter_chains": [{"filters": filters}]}],
        "clusters": [
            {
                "name": "registry",
                "load_assignment": {
                    "cluster_name": "registry",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}],
                },
            }
        ],
    }
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]
    return [str(envoy_binary()), "--config-yaml", json.dumps({"static_resources": resources}), *options]


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


PROXIES: Final[dict[str, Callable[[Path, int, int], list[str]]]] = {"nginx": nginx, "caddy": caddy, "envoy": envoy}


@contextlib.contextmanager
def running_proxy(name: str, folder: Path, port: int, upstream: int) -> Iterator[None]:
    """Run a proxy at a port of loopback, before a server at another."""
    folder.mkdir()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(PROXIES[name](folder, port, upstream), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PROCESS_TIMEOUT
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(PROCESS_TIMEOUT)
