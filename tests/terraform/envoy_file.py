"""The file terraform/envoy.json, which configures the sidecar: `python -m tests.terraform.envoy_file`.

Terraform cannot run Python, so it reads what lading.server.envoy_config declares from this file.
"""

import json
from typing import Final

from lading.server.envoy_config import OPTIONS, bootstrap
from lading.server.envoy_supervisor import DEFAULT_PORT, STOP_TIMEOUT
from tests.terraform.terraform_cli import ROOT

FILE: Final = ROOT / "terraform" / "envoy.json"

SERVER_PORT: Final = 8081
"""Port of the server in the other container."""

SCRIPT: Final = f"trap 'sleep {STOP_TIMEOUT}; kill $!; exit 0' TERM; envoy \"$@\" & wait $!"
"""Program of the shell that starts Envoy.

Envoy ends at SIGTERM, and with it the requests that run. Cloud Run sends SIGTERM to the first process of a container,
the shell: Envoy goes on while the server finishes these requests. If Envoy exits, so does the shell, with its status.
"""


def text() -> str:
    """Return the file as it has to be."""
    content = {
        "command": ["sh", "-c", SCRIPT, "envoy"],
        "options": OPTIONS,
        "bootstrap": bootstrap(int(DEFAULT_PORT), SERVER_PORT, None),
    }
    return json.dumps(content, indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
