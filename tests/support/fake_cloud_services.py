"""What a registry has around it in the cloud, as far as no emulator has it: a metadata server, and a strict storage.

The metadata server says as whom a process runs, and gives it tokens (Cloud Run, Compute Engine).
The strict storage stands before fake-gcs-server, and refuses what Cloud Storage would refuse: a URL that is not signed
as it should be, and one that comes with another Authorization besides.
"""

import contextlib
import http.client
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emulators import Emulators
from emulators.metadata import Account, MetadataServer
from emulators.processes import ProcessGroup
from tests.support import fake_iam_world
from tests.support.fake_iam_world import FakeIamWorld
from tests.support.server_process import Server, serving, user_environment
from tests.support.signed_url_verifier import SignatureRefused, Verifier

SIGNING_METHODS = ("hmac", "key", "iam")
"""In which URLs are signed."""

ACCESS_ID, SECRET = "GOOG1EACCESS", "s3cret+/=of-an-HMAC-key"
TOKEN = "ya29.runtime"
SIGN_BLOB = "iam.serviceAccounts.signBlob"

HOP_BY_HOP = {"connection", "host", "transfer-encoding", "content-length", "keep-alive"}


@contextlib.contextmanager
def metadata_server(email: str, token: str) -> Iterator[dict[str, str]]:
    """The variables of an environment whose processes run as a service account."""
    with ProcessGroup() as family, tempfile.TemporaryDirectory() as folder:
        server = MetadataServer.start(family, Account(email, token), Path(folder) / "account.json")
        yield dict(server.environment())


@dataclass
class StrictStorage:
    """A running strict storage: how often it was asked, how many signed URLs it has read, and why it refused any."""

    url: str = ""
    request_count: int = 0
    read: int = 0
    refused: list[str] = field(default_factory=list)


@contextlib.contextmanager
def strict_storage(upstream: str, verifier: Verifier) -> Iterator[StrictStorage]:
    """A storage before the one at `upstream`."""
    storage = StrictStorage()
    target = urlsplit(upstream)

    class Handler(SilentRequestHandler):
        def do_GET(self) -> None:
            storage.request_count += 1
            if not urlsplit(self.path).path.startswith(("/storage/", "/upload/", "/download/")):
                try:
                    self.check()
                    storage.read += 1
                except SignatureRefused as error:
                    storage.refused.append(f"{self.command} {self.path}: {error}")
                    self.respond(403, b"")
                    return
            self.pass_on()

        do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815

        def check(self) -> None:
            if "Authorization" in self.headers:
                raise SignatureRefused("somebody sent an Authorization along")
            verifier.check(self.command, f"{storage.url}{self.path}", self.headers["Host"])

        def pass_on(self) -> None:
            connection = http.client.HTTPConnection(target.netloc, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            with contextlib.closing(connection):
                connection.request(self.command, self.path, self.body(), headers)
                answer = connection.getresponse()
                kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
                self.respond(answer.status, answer.read(), kept)

    with serve_handler(Handler) as port:
        # `localhost`, not 127.0.0.1: crane follows no redirect to a private address.
        storage.url = f"http://localhost:{port}"
        yield storage


@dataclass
class RedirectingRegistry:
    """A registry that redirects pulls; its user is `admin`, `secret`.

    environment  its settings
    """

    environment: Mapping[str, str]
    server: Server
    storage: StrictStorage
    signer: str
    secrets: Sequence[str]


@contextlib.contextmanager
def redirecting_registry(
    way: str, emulators: Emulators, world: FakeIamWorld, folder: Path
) -> Iterator[RedirectingRegistry]:
    """A registry that signs in one of WAYS, before a storage that takes no other signature."""
    fake_iam_world.register_service_account(world)
    world.fields["serviceAccounts"] = {
        fake_iam_world.SERVICE_ACCOUNT: {f"serviceAccount:{fake_iam_world.SERVICE_ACCOUNT}": [SIGN_BLOB]}
    }
    world.token("runtime", email=fake_iam_world.SERVICE_ACCOUNT)
    verifier = Verifier(
        {ACCESS_ID: SECRET}, {fake_iam_world.SERVICE_ACCOUNT: fake_iam_world.private_key().public_key()}
    )
    variables, authorization = user_environment(folder / "access")
    (folder / "hmac").write_text(f"{ACCESS_ID} {SECRET}\n")
    # Its token_uri is never asked.
    (folder / "key.json").write_text(fake_iam_world.service_account_key(token_uri="http://127.0.0.1:1/"))
    with contextlib.ExitStack() as stack:
        storage = stack.enter_context(strict_storage(emulators.storage.url, verifier))
        named = {
            "hmac": lambda: {"LADING_HMAC_KEY": str(folder / "hmac")},
            "key": lambda: {"GOOGLE_APPLICATION_CREDENTIALS": str(folder / "key.json")},
            "iam": lambda: stack.enter_context(metadata_server(fake_iam_world.SERVICE_ACCOUNT, TOKEN)),
        }[way]()
        stores = {
            **emulators.fresh_stores(),
            "STORAGE_EMULATOR_HOST": storage.url,
            "LADING_IAM_EMULATOR_HOST": world.iam.url,
        }
        environment = {**stores, **variables, **named, "CLOUDSDK_CONFIG": str(folder)}
        server = stack.enter_context(serving(environment, folder / "server.log"))
        server.authorization = authorization
        yield RedirectingRegistry(
            environment,
            server,
            storage,
            ACCESS_ID if way == "hmac" else fake_iam_world.SERVICE_ACCOUNT,
            (SECRET, TOKEN),
        )


class SilentRequestHandler(BaseHTTPRequestHandler):
    """A handler that logs nothing, and whose bodies are small."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def respond(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        """The request's body, of a known length or in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)


@contextlib.contextmanager
def serve_handler(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port of a server that responds with `handler` until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
