"""The function as Cloud Functions run it: its archive, started by the framework with its own requirements alone."""

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emulators.metadata import Account, MetadataServer
from emulators.processes import ProcessGroup, ServerProcess
from emulators.runtime import Runtime
from emulators.source import archive
from lading.events.cloud_event import cloud_event
from tests.deploy.fake_server import TOKEN
from tests.deploy.function_source import concurrency, files
from tests.deploy.google_world import HOST, MIRROR, TARGETS, GoogleWorld, outbox_event, push_body

RULES = json.dumps(
    {
        "hosts": {"*": MIRROR},
        "rules": [{"repository": "team-a/*", "tag": "prod", kind: TARGETS[kind]} for kind in TARGETS],
    }
)


@dataclass(frozen=True)
class DeployedFunction:
    """The running function."""

    server: ServerProcess

    @property
    def url(self) -> str:
        """Where Pub/Sub pushes messages."""
        return f"http://127.0.0.1:{self.server.port}/"

    def push(self, body: bytes) -> int:
        """Post a request of Pub/Sub's; return the status."""
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    def deliver(self, number: int, of: int | None = None, **fields: str) -> int:
        """Deliver an event of the registry."""
        return self.push(push_body(cloud_event(outbox_event(number, of, **fields), f"https://{HOST}")))

    def log(self) -> list[dict[str, str]]:
        """Return the lines of its log that Cloud Logging parses."""
        return [json.loads(line) for line in self.server.log.read_text().splitlines() if line.startswith("{")]


@contextlib.contextmanager
def started(world: GoogleWorld, folder: Path, rules: str = RULES) -> Iterator[DeployedFunction]:
    """Start the function with the credentials and the endpoints of a world of fakes; `folder` is for its files."""
    with ProcessGroup() as processes:
        metadata = MetadataServer.start(
            processes, Account("deploy@p-1.iam.gserviceaccount.com", TOKEN), folder / "account"
        )
        runtime = Runtime.install(folder / "deploy", archive(files(rules)))
        variables = {
            **runtime.environment(),
            **metadata.environment(),
            **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}": url for name, url in world.endpoints.items()},
            "FUNCTION_TARGET": "deploy",
            "K_SERVICE": "lading-deploy",
            "PORT": "{port}",
            "THREADS": str(concurrency()),
        }
        yield DeployedFunction(processes.launch("deploy", runtime.command, variables, runtime.workspace))
