"""A small fake of Google Cloud's control plane: it keeps what it is sent, and gives it back in the shapes of the APIs.

    with ControlPlane() as google:
        google.endpoints     the provider's settings that lead here, as in storage_custom_endpoint
        google.resources     what is there now, by service and path
        google.policies      and who may do what with it
        google.calls         what was asked, as in "POST storage/b"

What is made must not be there yet, and what is read, changed or deleted must; more is not checked, since the provider's
own schema knows what the APIs take. What takes long at Google is done at once.
"""

import base64
import json
import re
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, quote, urlsplit

from tests.terraform.apis import (
    ANY_ORDER,
    COLLECTIONS,
    NUMBER,
    PROJECT,
    STORAGE_AGENT,
    Assumptions,
    Collection,
    Resource,
    Resources,
)

SERVICES: Final = {
    "artifact_registry": "v1/",
    "binary_authorization": "v1/",
    "cloud_run_v2": "v2/",
    "cloud_scheduler": "v1/",
    "cloudfunctions2": "v2/",
    "compute": "compute/v1/",
    "container_analysis": "v1/",
    "eventarc": "v1/",
    "firestore": "v1/",
    "iam_beta": "v1/",
    "kms": "v1/",
    "logging": "v2/",
    "monitoring": "",
    "pubsub": "v1/",
    "resource_manager": "v1/",
    "secret_manager": "v1/",
    "service_usage": "v1/",
    "storage": "storage/v1/",
}
"""The services, as the provider's settings call them, and what their paths begin with."""

BATCHING: Final = {"enable_batching": True, "send_after": "1s"}
"""By default the provider waits 10 s for more changes of one policy. Without batches it waits 3 s after each change."""


class ErrorResponse(Exception):
    """An answer that is none of 200."""


class ControlPlane:
    """The fake. It serves while its block runs, on a port of its own."""

    def __init__(self, guesses: Assumptions | None = None) -> None:
        """Nothing is there but the project."""
        self._guesses = guesses or Assumptions()
        self.resources: dict[str, Resource] = {
            f"resource_manager/projects/{PROJECT}": {"projectId": PROJECT, "lifecycleState": "ACTIVE"},
            f"storage/projects/{PROJECT}/serviceAccount": {
                "kind": "storage#serviceAccount",
                "email_address": STORAGE_AGENT,
            },
        }
        self.policies: dict[str, Resource] = {}
        self.calls: list[str] = []
        self._count = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"plane": self}))

    def __enter__(self) -> Self:
        """Begin to serve."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoints(self) -> Mapping[str, str]:
        """The provider's settings."""
        port = self._server.server_address[1]
        return {f"{name}_custom_endpoint": f"http://127.0.0.1:{port}/{name}/{path}" for name, path in SERVICES.items()}

    @property
    def provider(self) -> Mapping[str, Any]:
        """All settings of a provider that asks this fake."""
        return {"access_token": "ya29.fake", "batching": [BATCHING], **self.endpoints}

    def respond(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Any:
        """What the service that `path` begins with says. Raises Refused."""
        service, _, rest = path.partition("/")
        name = f"{service}/{rest.removeprefix(SERVICES.get(service, ''))}"
        with self._lock:
            self.calls.append(f"{method} {name}")
            if service == "upload":
                return self._create(
                    COLLECTIONS["storage/b/*/o"], f"storage/{rest.removeprefix('storage/v1/')}", query, body
                )
            if service == "service_usage":
                return self._enable(method, name, body)
            if policy := re.fullmatch(r"(.+?)(?::([gs]et)IamPolicy|/iam)", name):
                reads = (policy[2] or ("get" if method == "GET" else "set")) == "get"
                return self._policy(policy[1], None if reads else body)
            # A digest has a colon, too.
            verb = name.rpartition(":")[2] if re.search(r":[a-zA-Z]+$", name) else ""
            name = name.removesuffix(f":{verb}")
            if verb == "addVersion":
                name += "/versions"
            elif verb:
                # Whatever else is done to a resource leaves it as it is: what is enabled or resumed was so before.
                method = "DELETE" if verb == "destroy" else "GET"
            if "/operations/" in name:
                return {"name": name, "done": True, "status": "DONE"}
            return self._resource(method, name, query, body)

    def number(self) -> str:
        """Another number each time."""
        self._count += 1
        return str(self._count)

    def _resource(self, method: str, name: str, query: Mapping[str, str], body: Any) -> Any:
        collection = _collection_of(name)
        if collection is not None and method == "POST":
            return self._create(collection, name, query, body)
        if collection is not None and method == "GET" and collection.listed:
            return self._list(collection, name, query)
        parent, _, last = name.rpartition("/")
        if method == "POST" and parent in self.resources:
            return self._act(parent, last, query, body)
        collection = _collection_of(parent) or Collection()
        if method == "POST" or (method == "PUT" and collection.put and name not in self.resources):
            return self._create(collection, name, query, body)
        return self._existing(collection, method, name, query, body)

    def _existing(self, collection: Collection, method: str, name: str, query: Mapping[str, str], body: Any) -> Any:
        if collection.always and name not in self.resources:
            self.resources[name] = {"name": name.partition("/")[2]}
        if name not in self.resources:
            raise ErrorResponse(HTTPStatus.NOT_FOUND)
        if method == "GET":
            return self.resources[name]
        if method == "DELETE":
            for other in (name, *self._beside(collection, name)):
                self.resources.pop(other, None)
            return collection.operation(name, {})
        for field in set(query.get("updateMask", "").split(",")) - set(body):
            self.resources[name].pop(field, None)
        self.resources[name] |= body | collection.computed(name, self.resources[name] | body)
        self.resources |= self._beside(collection, name)
        return collection.operation(name, self.resources[name])

    def _act(self, name: str, action: str, query: Mapping[str, str], body: Any) -> Any:
        """What is done to a resource of Compute Engine: setLabels, addSignedUrlKey and the like."""
        resource = self.resources[name]
        keys = resource.setdefault("cdnPolicy", {}).setdefault("signedUrlKeyNames", [])
        match action:
            case "addSignedUrlKey":
                keys.append(body["keyName"])
            case "deleteSignedUrlKey":
                keys.remove(query["keyName"])
            case "setEdgeSecurityPolicy":
                resource["edgeSecurityPolicy"] = body.get("securityPolicy")
            case _:
                resource |= body
        return (_collection_of(name.rpartition("/")[0]) or Collection()).operation(name, resource)

    def _create(self, collection: Collection, parent: str, query: Mapping[str, str], body: Any) -> Any:
        id = collection.id(query, body) or self.number()
        name = parent if collection.put else f"{parent}/{quote(id, safe='@')}"
        if name in self.resources:
            raise ErrorResponse(HTTPStatus.CONFLICT)
        content = collection.content(body)
        if not collection.valid(name, content, self.resources):
            raise ErrorResponse(HTTPStatus.BAD_REQUEST)
        self.resources[name] = content | collection.computed(name, content)
        self.resources |= self._beside(collection, name)
        return collection.operation(name, self.resources[name])

    def _beside(self, collection: Collection, name: str) -> Resources:
        return collection.beside(name, self.resources[name], self.resources, self._guesses)

    def _list(self, collection: Collection, name: str, query: Mapping[str, str]) -> Any:
        """Return a page of a collection, which is all of it here."""
        is_right = query.get("orderBy") == collection.listed and 1 <= int(query.get("pageSize", 0)) <= 1000
        if collection.listed != ANY_ORDER and not is_right:
            raise ErrorResponse(HTTPStatus.BAD_REQUEST)
        found = [each for path, each in self.resources.items() if path.rpartition("/")[0] == name]
        return {name.rpartition("/")[2]: found}

    def _enable(self, method: str, name: str, body: Any) -> Any:
        """The services of Google that are enabled: one by one, or many at once, and all of them listed."""
        enabled = self.resources.setdefault("service_usage/enabled", {})
        if method == "GET":
            names = [{"name": f"projects/{NUMBER}/services/{each}", "state": "ENABLED"} for each in enabled]
            return {"services": [{**each, "parent": f"projects/{NUMBER}"} for each in names]}
        for each in body.get("serviceIds") or [name.rpartition("/")[2].partition(":")[0]]:
            enabled[each] = {}
        return {"name": f"operations/{self.number()}", "done": True, "response": {}}

    def _policy(self, name: str, body: Any) -> Resource:
        if body is not None:
            self.policies[name] = {**body.get("policy", body), "etag": self.number()}
        return self.policies.get(name, {"version": 1, "etag": "none"})


def _collection_of(name: str) -> Collection | None:
    return next((each for pattern, each in COLLECTIONS.items() if _matches(pattern, name)), None)


def _matches(pattern: str, name: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]+"), name) is not None


class _Handler(BaseHTTPRequestHandler):
    plane: ControlPlane
    protocol_version = "HTTP/1.1"

    def _respond(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            answer = self.plane.respond(self.command, parts.path.strip("/"), query, self._body())
            status = HTTPStatus.OK
        except ErrorResponse as refused:
            status = refused.args[0]
            answer = {"error": {"code": status.value, "message": f"{self.command} {self.path}", "status": status.name}}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond  # noqa: N815  # as the library wants them called

    def _body(self) -> Any:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Type", "").startswith("multipart/"):
            return _parts(content, self.headers["Content-Type"])
        return json.loads(content) if content else {}

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _parts(content: bytes, content_type: str) -> Resource:
    """An object's description with its bytes beside it, as uploadType=multipart sends both."""
    boundary = b"--" + content_type.partition("boundary=")[2].strip('"').encode()
    described, media = (part.partition(b"\r\n\r\n")[2] for part in content.split(boundary)[1:3])
    return {**json.loads(described), "media": base64.b64encode(media[:-2]).decode()}
