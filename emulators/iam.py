"""Strict fake of the Google APIs for access control, which no public emulator has.

    GET  storage/v1/b/BUCKET/iam/testPermissions                          permissions on a bucket
    GET  storage/v1/b/BUCKET/managedFolders/FOLDER/iam/testPermissions    … on a managed folder
    POST v1/projects/PROJECT:testIamPermissions                           … on a project
    POST tokeninfo                                                        fields of an access token
    GET  oauth2/v3/certs                                                  keys of ID tokens
    POST v1/projects/-/serviceAccounts/EMAIL:signBlob                     signature with a service account's key
    GET  v1/projects/PROJECT/secrets/SECRET/versions/latest:access        a secret
    POST v1/projects/PROJECT/secrets/SECRET:addVersion

Its state, the world, is a JSON file that is reloaded for each request:

    {
      "tokens": {"ya29.alice": {"email": "alice@example.com", "sub": "1", "azp": "2", "scope": "…", "principal": "…"}},
      "keys": {"KEY ID": {"email": "ci@p.iam.gserviceaccount.com", "public": "PEM", "private": "PEM"}},
      "certs": {"keys": [JWK]},
      "groups": {"group:devs@example.com": ["user:alice@example.com"]},
      "buckets": {"policy": {"bindings": BINDINGS, "managedFolders": {"team-a/": BINDINGS}}},
      "projects": {"p": BINDINGS},
      "serviceAccounts": {"ci@p.iam.gserviceaccount.com": BINDINGS},
      "secrets": {"p/keys": {"bindings": BINDINGS, "versions": ["base64"]}},
      "tokeninfo": {"unknown": 400, "federated": 400, "self-signed": 400},
      "missingFolder": 404,
      "outage": {"storage/v1/": 500},
      "faults": {"v1/projects/": [429, 503]}
    }

BINDINGS are {MEMBER: [PERMISSION]}. Calls whose path begins with a key of `outage` fail with that status; and with the
next one of `faults`, which is used up. A negative one comes after the call was carried out. What writes attestations is
in attestation_calls. Kinds of
tokens and `tokeninfo`: see iam_tokens. A member is `user:…`, `serviceAccount:…`, `group:…`, `principal:…`,
`allAuthenticatedUsers`, or `allUsers`.

As in Google Cloud, permissions are inherited from the bucket down. An unknown token gets 401, a missing bucket or
folder 404, a missing project 403, and a request with an unknown or missing parameter 400. Google does not document its
status for a missing managed folder, so `missingFolder` may be 404 or 403. Each request is logged as a line of JSON,
without its token, in the file of --log.
"""

import argparse
import json
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from emulators.attestation_calls import ATTESTATION_CALLS
from emulators.iam_calls import CALLS, PLATFORM_SCOPES, Request
from emulators.iam_tokens import ApiError
from emulators.processes import ProcessGroup

ROOT: Final = Path(__file__).parents[1]
MAX_BODY_SIZE: Final = 1024 * 1024
"""Bytes of a request's body that are read."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: Path
    log: Path | None
    lock = threading.Lock()

    def do_GET(self) -> None:  # the name that http.server calls
        self._respond()

    do_POST = do_PATCH = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing to stderr: requests are logged to a file."""

    def _respond(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MAX_BODY_SIZE))
        try:
            status, value = self._dispatch(body)
        except ApiError as error:
            status, value = error.status, {"error": {"code": error.status, "message": str(error)}}
        except (KeyError, TypeError, ValueError) as error:
            status, value = 400, {"error": {"code": 400, "message": f"invalid request: {type(error).__name__}"}}
        content = json.dumps(value).encode()
        self._log_call(status)
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _dispatch(self, body: bytes) -> tuple[int, Any]:
        """Return the status and the JSON value of the response."""
        parts = urlsplit(self.path)
        if not parts.path.strip("/"):
            return 200, {}
        for prefix, status in json.loads(self.world.read_text()).get("outage", {}).items():
            if parts.path.startswith(f"/{prefix}"):
                raise ApiError(status, "an outage")
        fault = self._fault(parts.path)
        if fault > 0:
            raise ApiError(fault, "a fault")
        for method, path, handler in (*CALLS, *ATTESTATION_CALLS):
            if (match := path.fullmatch(parts.path)) and method == self.command:
                # Serialized, so that concurrent calls of addVersion lose no version.
                with self.lock:
                    result = handler(self._request(parts.query, body), *map(unquote, match.groups()))
                if fault:
                    raise ApiError(-fault, "a fault after the call")
                return result if isinstance(result, tuple) else (200, result)
        raise ApiError(404, f"there is no call {self.command} {parts.path}")

    def _request(self, query: str, body: bytes) -> Request:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if token and scheme != "Bearer":
            raise ApiError(401, "Request had invalid authentication credentials.")
        parameters = {name: values for name, values in parse_qs(query).items() if name not in ("alt", "prettyPrint")}
        world = json.loads(self.world.read_text())
        return Request(world, token, parameters, self.headers.get("Content-Type", ""), body, self._save)

    def _fault(self, path: str) -> int:
        """Return the next status of `faults` for a path, and remove it; 0 for none."""
        with self.lock:
            world = json.loads(self.world.read_text())
            for prefix, statuses in world.get("faults", {}).items():
                if path.startswith(f"/{prefix}") and statuses:
                    fault: int = statuses.pop(0)
                    self._save(world)
                    return fault
        return 0

    def _save(self, world: Mapping[str, Any]) -> None:
        new = self.world.with_suffix(".new")
        new.write_text(json.dumps(world, indent=1))
        new.replace(self.world)

    def _log_call(self, status: int) -> None:
        if self.log is not None:
            with self.lock, self.log.open("a") as log:
                log.write(json.dumps({"method": self.command, "path": self.path, "status": status}) + "\n")


EXAMPLE: Final = {
    "tokens": {
        "ya29.owner": {"email": "owner@example.com", "scope": PLATFORM_SCOPES[0]},
        "ya29.reader": {"email": "reader@example.com", "scope": PLATFORM_SCOPES[0]},
    },
    "buckets": {
        "policy": {
            "bindings": {
                "user:owner@example.com": ["storage.objects.get", "storage.objects.create", "storage.objects.delete"]
            },
            "managedFolders": {"team-a/": {"user:reader@example.com": ["storage.objects.get"]}},
        }
    },
}
"""Initial world: a user with all permissions and a reader of team-a, in the policy bucket `policy`."""


@dataclass(frozen=True)
class IamEmulator:
    """A running fake of IAM.

    url    as in http://127.0.0.1:4444
    world  file with its state
    log    file with a line for each request
    """

    url: str
    world: Path
    log: Path

    @classmethod
    def start(cls, processes: ProcessGroup, folder: Path) -> Self:
        """Start a fake with its files in `folder`. Raises EmulatorError."""
        emulator = cls("", folder / "world.json", folder / "requests.log")
        emulator.world.write_text(json.dumps(EXAMPLE, indent=1))
        files = ["--bindings", str(emulator.world), "--log", str(emulator.log)]
        # From any working directory: this package may be importable only from that of this process.
        script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from emulators.iam import main; main()"
        port = processes.start_server("iam", [sys.executable, "-c", script, "--port", "{port}", *files])
        return replace(emulator, url=f"http://127.0.0.1:{port}")


def main() -> None:
    """Serve until the process is killed."""
    parser = argparse.ArgumentParser(prog="python -m emulators.iam")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bindings", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    parsed = parser.parse_args()
    _Handler.world, _Handler.log = parsed.bindings, parsed.log
    server = ThreadingHTTPServer(("127.0.0.1", parsed.port), _Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
