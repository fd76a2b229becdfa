"""Counting the calls to the stores: those of the registry's rules, and those that go out to Google."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any
from unittest import mock

import urllib3
from werkzeug.serving import WSGIRequestHandler, make_server

from lading import settings
from lading.app import App
from lading.auth.authenticator import OpenAuthenticator
from lading.registry.registry import Registry
from lading_storage.stores import Stores


class SilentHandler(WSGIRequestHandler):
    """A handler that writes no log."""

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def serve_in_process(stores: Stores) -> Iterator[str]:
    """The address of a registry over these stores, in this process; the stores are closed with it."""
    with serve_app_in_process(
        App(Registry(stores.blobs, stores.metadata), settings.load_settings({}), OpenAuthenticator())
    ) as address:
        yield address


@contextlib.contextmanager
def serve_app_in_process(app: App) -> Iterator[str]:
    """The address of an app, in this process; its stores are closed with it."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=SilentHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.registry.close()


@contextlib.contextmanager
def count_outgoing_requests() -> Iterator[Counter[str]]:
    """How many requests go out within the block, by HTTP and by gRPC."""
    from google.cloud.firestore_v1.services.firestore import FirestoreClient

    sent: Counter[str] = Counter()

    def counted(kind: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def called(*words: Any, **more: Any) -> Any:
            sent[kind] += 1
            return method(*words, **more)

        return called

    with contextlib.ExitStack() as stack:
        pool = urllib3.HTTPConnectionPool
        stack.enter_context(mock.patch.object(pool, "urlopen", counted("http", pool.urlopen)))
        for name in ("commit", "run_query", "batch_get_documents"):
            method = counted("grpc", getattr(FirestoreClient, name))
            stack.enter_context(mock.patch.object(FirestoreClient, name, method))
        yield sent
