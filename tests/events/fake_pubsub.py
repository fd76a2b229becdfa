"""Strict fake of Pub/Sub's method topics.publish, over HTTP. Unlike Google's emulator, it enforces the limits.

https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish
https://cloud.google.com/pubsub/quotas#resource_limits
"""

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = re.compile(r"/v1/(projects/[a-z0-9:.-]+/topics/[A-Za-z][\w.~+%-]{2,254}):publish")

Fault = Callable[["FakePubSub", list[dict[str, Any]]], "tuple[int, bytes] | None"]
"""What a request gets instead: a status and a body. Nothing is published, unless the fault itself does it."""


class FakePubSub:
    """A running fake.

    messages  what was published, by topic, in order
    requests  the number of requests
    fault     of the requests; None for none
    closes    whether connections are closed without a response
    """

    def __init__(self, topics: list[str]) -> None:
        self.messages: dict[str, list[dict[str, Any]]] = {topic: [] for topic in topics}
        self.requests = 0
        self.fault: Fault | None = None
        self.closes = False
        self.lock = threading.Lock()
        self.address = ""

    def data(self, topic: str) -> list[dict[str, Any]]:
        """The JSON of the messages of a topic."""
        return [json.loads(base64.b64decode(each["data"], validate=True)) for each in self.messages[topic]]

    def ids(self, topic: str) -> list[str]:
        """The public ids of the events of a topic."""
        return [each["attributes"]["id"] for each in self.messages[topic]]

    def respond(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        with self.lock:
            self.requests += 1
            found = PATH.fullmatch(path)
            if not found or found[1] not in self.messages:
                return error(404, "Resource not found")
            if headers.get("Content-Type") != "application/json":
                return error(400, "the type of the content")
            messages = json.loads(body)["messages"]
            if self.fault and (response := self.fault(self, messages)):
                return response
            if problem := problem_of(messages, body):
                return error(400, problem)
            return self.publish(found[1], messages)

    def publish(self, topic: str, messages: list[dict[str, Any]]) -> tuple[int, bytes]:
        """Store messages, and return the response."""
        first = len(self.messages[topic])
        self.messages[topic] += messages
        return 200, json.dumps({"messageIds": [str(first + number) for number in range(len(messages))]}).encode()


def problem_of(messages: list[dict[str, Any]], body: bytes) -> str:
    """What is wrong with a request, or ""."""
    if not messages or len(messages) > 1000 or len(body) > 10_000_000:
        return "the request is empty, or too large"
    if len({each.get("orderingKey", "") for each in messages}) != 1:
        return "all messages of a request must have the same ordering key"
    for each in messages:
        if each.keys() - {"data", "attributes", "orderingKey"} or not each.get("data"):
            return "the fields of a message"
        attributes = each.get("attributes", {})
        if len(each.get("orderingKey", "").encode()) > 1024 or len(attributes) > 100:
            return "the ordering key, or the attributes, are too large"
        for name, value in attributes.items():
            if not isinstance(value, str) or len(name) > 256 or len(value) > 1024 or name.startswith("goog"):
                return "an attribute"
        base64.b64decode(each["data"], validate=True)
    return ""


def error(status: int, message: str) -> tuple[int, bytes]:
    """A response as Google's APIs have it."""
    return status, json.dumps({"error": {"code": status, "message": message, "status": "X"}}).encode()


@contextmanager
def fake_pubsub(*topics: str) -> Iterator[FakePubSub]:
    """Run a fake with some topics until the block ends."""
    fake = FakePubSub(list(topics))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, content = fake.respond(self.path, dict(self.headers), body)
            if fake.closes:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.address = f"127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
