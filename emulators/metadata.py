"""Strict fake of the metadata server, from which a process in Google Cloud gets its service account's credentials.

It has the paths that Cloud Run documents, for one service account:

    project/project-id, project/numeric-project-id, instance/id, instance/region, universe/universe-domain
    instance/service-accounts/{default,EMAIL}/      JSON with ?recursive=true, else the names of its entries
    instance/service-accounts/{default,EMAIL}/{aliases,email,scopes}
    instance/service-accounts/{default,EMAIL}/token                      an access token
    instance/service-accounts/{default,EMAIL}/identity?audience=…        an ID token, signed with the account's key here

As documented, it returns 403 for requests without `Metadata-Flavor: Google`, and for requests through a proxy
(X-Forwarded-For). An ID token has the e-mail address of the account only with `format=full`, as on Compute Engine.

https://cloud.google.com/run/docs/container-contract#metadata-server
https://cloud.google.com/compute/docs/metadata/querying-metadata
https://cloud.google.com/compute/docs/instances/verifying-instance-identity
"""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from emulators.processes import ProcessGroup
from emulators.source import ROOT

PROJECT_NUMBER: Final = "123456789012"
PREFIX: Final = "/computeMetadata/v1/"
ACCOUNTS: Final = "instance/service-accounts/"
SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
ISSUER: Final = "https://accounts.google.com"
TOKEN_TTL: Final = 3599
"""Lifetime in seconds of a new token."""

Response = tuple[int, Any]
"""A status, and a text or an object to send as JSON."""


@dataclass(frozen=True)
class Account:
    """Service account of a process.

    email    address of the account
    token    access token
    key      private key (PEM) that signs ID tokens, "" for none
    kid      id of that key
    project  id of the account's project
    """

    email: str
    token: str
    key: str = ""
    kid: str = ""
    project: str = "lading-test"


@dataclass(frozen=True)
class MetadataServer:
    """A running metadata server. `address` is HOST:PORT."""

    address: str

    @classmethod
    def start(cls, processes: ProcessGroup, account: Account, file: Path) -> Self:
        """Start a server for processes that run as `account`, which is written to `file`. Raises EmulatorError."""
        file.touch(mode=0o600)
        file.write_text(json.dumps(asdict(account)))
        script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from emulators.metadata import main; main()"
        command = [sys.executable, "-c", script, "{port}", str(file)]
        return cls(f"127.0.0.1:{processes.start_server('metadata', command)}")

    def environment(self) -> Mapping[str, str]:
        """Return the environment variables that direct Google's libraries to it."""
        return {"GCE_METADATA_HOST": self.address, "GCE_METADATA_IP": self.address}


def respond(account: Account, path: str, query: Mapping[str, list[str]]) -> Response:
    """Return the response to a request for a path below PREFIX."""
    texts = {
        "project/project-id": account.project,
        "project/numeric-project-id": PROJECT_NUMBER,
        "instance/id": "00bf4bf02d",
        "instance/region": f"projects/{PROJECT_NUMBER}/regions/europe-west1",
        "universe/universe-domain": "googleapis.com",
        ACCOUNTS: f"default/\n{account.email}/\n",
    }
    if path in texts:
        return 200, texts[path]
    name, _, below = path.removeprefix(ACCOUNTS).partition("/")
    if not path.startswith(ACCOUNTS) or name not in ("default", account.email):
        return 404, "Not Found"
    return _of_account(account, below, query)


def _of_account(account: Account, name: str, query: Mapping[str, list[str]]) -> Response:
    known = {"aliases": ["default"], "email": account.email, "scopes": list(SCOPES)}
    match name:
        case "":
            is_recursive = query.get("recursive", [""])[0].lower() == "true"
            return 200, known if is_recursive else "aliases\nemail\nidentity\nscopes\ntoken\n"
        case "email":
            return 200, account.email
        case "aliases" | "scopes":
            return 200, "".join(f"{each}\n" for each in known[name])
        case "token":
            return 200, {"access_token": account.token, "expires_in": TOKEN_TTL, "token_type": "Bearer"}
        case "identity":
            return _identity(account, query)
    return 404, "Not Found"


def _identity(account: Account, query: Mapping[str, list[str]]) -> Response:
    audience, form = query.get("audience", [""])[0], query.get("format", ["standard"])[0]
    if not audience:
        return 400, "non-empty audience parameter required"
    if form not in ("standard", "full") or not account.key:
        return 400, "no such format, or no key to sign with"
    return 200, identity_token(account, audience, with_email=form == "full")


def identity_token(account: Account, audience: str, with_email: bool = True) -> str:
    """Return an ID token of the account in Google's format."""
    import jwt

    now = int(time.time())
    claims: dict[str, Any] = {"iss": ISSUER, "aud": audience, "azp": "112233445566778899", "sub": "112233445566778899"}
    if with_email:
        claims |= {"email": account.email, "email_verified": True}
    return jwt.encode(claims | {"iat": now, "exp": now + TOKEN_TTL}, account.key, "RS256", headers={"kid": account.kid})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    account: Account

    def do_GET(self) -> None:  # the name that http.server calls
        parts = urlsplit(self.path)
        if parts.path == "/":
            # Libraries request this path to detect a metadata server.
            self._send(200, "computeMetadata/\n")
        elif self.headers.get("Metadata-Flavor") != "Google" or "X-Forwarded-For" in self.headers:
            self._send(403, "Missing Metadata-Flavor:Google header, or forwarded by a proxy")
        elif not parts.path.startswith(PREFIX):
            self._send(404, "Not Found")
        else:
            self._send(*respond(self.account, parts.path.removeprefix(PREFIX), parse_qs(parts.query)))

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, since responses contain tokens."""

    def _send(self, status: int, value: Any) -> None:
        content = (value if isinstance(value, str) else json.dumps(value)).encode()
        self.send_response(status)
        kind = "text" if isinstance(value, str) else "json"
        self.send_header("Content-Type", f"application/{kind}" if status == 200 else "text/html; charset=UTF-8")
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    """Serve on the port in the first argument, for the account in the file that the second argument names."""
    port, file = sys.argv[1:]
    _Handler.account = Account(**json.loads(Path(file).read_text()))
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), _Handler)
    server.daemon_threads = True
    server.serve_forever()
