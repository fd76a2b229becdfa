"""A registry over HTTP in this process, with users, for commands with `--registry`; and servers that misbehave."""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import bcrypt
from werkzeug.serving import make_server

from emulators.processes import free_port
from lading_storage.stores import Stores
from tests.support.fake_iam_world import restricted_app

USERS = {"admin": "pull,push,delete,manage", "reader": "pull", "pusher": "pull,push", "deleter": "pull,delete"}
"""The rights of each user everywhere; the password is the name with `-password`."""


@dataclass
class ManagementServer:
    """A registry that serves on 127.0.0.1, and docker's configuration for its users."""

    url: str
    folder: Path

    @property
    def host(self) -> str:
        """HOST:PORT."""
        return self.url.removeprefix("http://")

    def log_in(self, user: str, password: str = "") -> Mapping[str, str]:
        """Write docker's configuration of a user; return the variable that names its folder."""
        return self.write_config({"auths": {self.host: {"auth": encoded(user, password or f"{user}-password")}}})

    def write_config(self, config: Any) -> Mapping[str, str]:
        """Write docker's configuration; return the variable that names its folder."""
        (self.folder / "config.json").write_text(json.dumps(config))
        return {"DOCKER_CONFIG": str(self.folder)}


def encoded(user: str, password: str) -> str:
    """A login as docker's configuration has it."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@contextmanager
def serving_users(stores: Stores, folder: Path, **environment: str) -> Iterator[ManagementServer]:
    """Serve stores to USERS until the block ends."""
    folder.mkdir(exist_ok=True)
    hashes = {user: bcrypt.hashpw(f"{user}-password".encode(), bcrypt.gensalt(4)).decode() for user in USERS}
    (folder / "users").write_text("".join(f"{user}:{text}\n" for user, text in hashes.items()))
    (folder / "grants").write_text("".join(f"{user} * {rights}\n" for user, rights in USERS.items()))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        # Users beside the data are Lading's to manage: it replaces their hashes by such as take 50 ms of each login.
        "LADING_DATA": str(folder / "data"),
        "LADING_ACCESS": "users",
        "LADING_URL": url,
        "LADING_USERS": str(folder / "users"),
        "LADING_GRANTS": str(folder / "grants"),
        "LADING_KEYS": (folder / "keys.json").as_uri(),
        **environment,
    }
    app = restricted_app(stores, settings, folder).client.app
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield ManagementServer(url, folder)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def misbehaving(
    respond: Callable[[BaseHTTPRequestHandler], None], certificate: tuple[Path, Path] | None = None
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Serve whatever `respond` writes; yield the URL, and the requests' paths and credentials.

    Args:
        respond: writes a response.
        certificate: the files of a certificate and its key, for TLS.
    """
    seen: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization", "")))
            respond(self)

        do_POST = do_GET  # noqa: N815  # the name that http.server calls

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    """Send a response; an underscore in the name of a header stands for a hyphen."""
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def challenging(reply: bytes, realm: str = "") -> Callable[[BaseHTTPRequestHandler], None]:
    """Respond as a registry with tokens does, and to the request itself with `reply`."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        own = f"http://127.0.0.1:{handler.server.server_address[1]}/v2/token"  # type: ignore[index]
        if handler.path == "/v2/":
            send(handler, 401, WWW_Authenticate=f'Bearer realm="{realm or own}",service="x"')
        elif handler.path.startswith("/v2/token"):
            send(handler, 200, b'{"token": "t"}')
        else:
            send(handler, 200, reply)

    return respond
