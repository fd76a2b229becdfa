"""A strict fake of the calls to Google that decide about access, since no public emulator has them.

    GET  storage/v1/b/BUCKET/iam/testPermissions                          who may do what in a bucket
    GET  storage/v1/b/BUCKET/managedFolders/FOLDER/iam/testPermissions    … in a managed folder
    POST v1/projects/PROJECT:testIamPermissions                           … in a project
    POST tokeninfo                                                        what is known of an access token
    GET  oauth2/v3/certs                                                  the keys of ID tokens
    POST v1/projects/-/serviceAccounts/EMAIL:signBlob                     a signature of a service account's
    GET  v1/projects/PROJECT/secrets/SECRET/versions/latest:access        a secret
    POST v1/projects/PROJECT/secrets/SECRET:addVersion

What it knows comes from a file of JSON, which is read again for each request:

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
      "outage": {"storage/v1/": 500}
    }

BINDINGS are {MEMBER: [PERMISSION]}. All calls whose path begins as one of `outage` fail with its status. Which tokens
there are, and what `tokeninfo` says of them: iam_tokens. A member is `user:…`, `serviceAccount:…`, `group:…`,
`principal:…`, `allAuthenticatedUsers`, or `allUsers`.

As in Google Cloud, rights are additive from the bucket down; a token that nobody issued gets 401, a bucket, folder or
project that is not there 404 (a project: 403), a request with a word too many or too few 400. What Google answers for a
managed folder that is not there is a guess, since no documentation says it: `missingFolder` is 404, or 403. Each
request that comes is a line of JSON in the file that --log names, without its token.
"""

import argparse
import base64
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from emulators.iam_tokens import ApiError, member_of, tokeninfo_of
from emulators.processes import ProcessGroup

READ_SCOPES: Final = tuple(
    f"https://www.googleapis.com/auth/{name}"
    for name in (
        "cloud-platform",
        "cloud-platform.read-only",
        "devstorage.full_control",
        "devstorage.read_only",
        "devstorage.read_write",
    )
)
"""The scopes of which a call of the Storage API that changes nothing needs one."""

PLATFORM_SCOPES: Final = READ_SCOPES[:2]
ROOT: Final = Path(__file__).parents[1]
MAX_BODY_SIZE: Final = 1024 * 1024


STORAGE: Final = "https://storage.googleapis.com/"
RESOURCE_MANAGER: Final = "https://cloudresourcemanager.googleapis.com/"
"""Audiences of self-signed tokens: the address of an API."""


@dataclass(frozen=True)
class Request:
    """A request, and the world in which it is answered."""

    world: Mapping[str, Any]
    token: str
    query: Mapping[str, list[str]]
    content_type: str
    body: bytes
    save: Callable[[Mapping[str, Any]], None]

    def json(self, *fields: str) -> dict[str, Any]:
        """The body, which must be an object of just these fields."""
        try:
            value = json.loads(self.body)
        except ValueError:
            raise ApiError(400, "the body is not JSON") from None
        if self.content_type.partition(";")[0] != "application/json" or not isinstance(value, dict):
            raise ApiError(400, "the body is not an object of JSON")
        if set(value) != set(fields):
            raise ApiError(400, f"the body has {sorted(value)} and not {sorted(fields)}")
        return value

    def member(self, scopes: Sequence[str], audience: str = "") -> str:
        """Return whose the token is; see member_of."""
        return member_of(self.world, self.token, scopes, audience)

    def granted_permissions(self, member: str, *bindings: Mapping[str, Sequence[str]]) -> set[str]:
        """The permissions that a member has by any of `bindings`."""
        groups = self.world.get("groups", {})
        names = {member, "allUsers", "allAuthenticatedUsers"} | {
            group for group, members in groups.items() if member in members
        }
        return {permission for each in bindings for name in names for permission in each.get(name, ())}


def test_bucket(request: Request, bucket: str) -> Any:
    """storage.buckets.testIamPermissions."""
    member, asked = request.member(READ_SCOPES, STORAGE), _permissions_in_query(request)
    found = _bucket(request, bucket)
    return _storage_response(asked, request.granted_permissions(member, found.get("bindings", {})))


def test_folder(request: Request, bucket: str, folder: str) -> Any:
    """storage.managedFolders.testIamPermissions."""
    member, asked = request.member(READ_SCOPES, STORAGE), _permissions_in_query(request)
    found = _bucket(request, bucket)
    folders = found.get("managedFolders", {})
    name = folder if folder.endswith("/") else f"{folder}/"
    if name not in folders:
        status = request.world.get("missingFolder", 404)
        raise ApiError(status, f"The specified managed folder {bucket}/{name} does not exist.")
    above = [bindings for prefix, bindings in folders.items() if name.startswith(prefix)]
    return _storage_response(asked, request.granted_permissions(member, found.get("bindings", {}), *above))


def test_project(request: Request, project: str) -> Any:
    """cloudresourcemanager.projects.testIamPermissions."""
    member = request.member(PLATFORM_SCOPES, RESOURCE_MANAGER)
    asked = _checked(request.json("permissions")["permissions"])
    _no_query(request)
    found = request.world.get("projects", {}).get(project)
    if found is None:
        raise ApiError(403, "The caller does not have permission")
    held = [permission for permission in asked if permission in request.granted_permissions(member, found)]
    return {"permissions": held} if held else {}


def token_info(request: Request) -> Any:
    """tokeninfo: of the access token in the form."""
    form = parse_qs(request.body.decode(), strict_parsing=True) if request.body else {}
    if request.token or request.query or list(form) != ["access_token"]:
        raise ApiError(400, "one access_token, in the form, and nothing else")
    try:
        known = tokeninfo_of(request.world, form["access_token"][0])
    except ApiError as error:
        return error.status, {"error": "invalid_token", "error_description": str(error)}
    verified = {"email_verified": "true"} if "email" in known else {}
    lives = {"aud": known.get("azp", ""), "exp": str(int(time.time()) + 3599), "expires_in": "3599"}
    return {**known, **verified, **lives}


def certificates(request: Request) -> Any:
    """The JWKS of ID tokens."""
    _no_query(request)
    return request.world.get("certs", {"keys": []})


def sign_blob(request: Request, email: str) -> Any:
    """iamcredentials.projects.serviceAccounts.signBlob."""
    member = request.member(PLATFORM_SCOPES[:1])
    payload = base64.b64decode(request.json("payload")["payload"], validate=True)
    bindings = request.world.get("serviceAccounts", {}).get(email)
    if bindings is None or "iam.serviceAccounts.signBlob" not in request.granted_permissions(member, bindings):
        raise ApiError(403, "Permission 'iam.serviceAccounts.signBlob' denied on resource (or it may not exist).")
    for id, key in request.world.get("keys", {}).items():
        if key["email"] == email and "private" in key:
            return {"keyId": id, "signedBlob": base64.b64encode(_signature(key["private"], payload)).decode()}
    raise ApiError(404, f"Unknown service account {email}")


def access_secret(request: Request, project: str, secret: str) -> Any:
    """secretmanager.projects.secrets.versions.access."""
    found = _secret(request, project, secret, "secretmanager.versions.access")
    versions = found.get("versions", [])
    if not versions:
        raise ApiError(404, f"Secret [projects/{project}/secrets/{secret}] has no versions.")
    name = f"projects/{project}/secrets/{secret}/versions/{len(versions)}"
    return {"name": name, "payload": {"data": versions[-1]}}


def add_secret_version(request: Request, project: str, secret: str) -> Any:
    """secretmanager.projects.secrets.addVersion."""
    found = _secret(request, project, secret, "secretmanager.versions.add")
    data = request.json("payload")["payload"]["data"]
    base64.b64decode(data, validate=True)
    found.setdefault("versions", []).append(data)
    request.save(request.world)
    count = len(found["versions"])
    return {"name": f"projects/{project}/secrets/{secret}/versions/{count}", "state": "ENABLED"}


Handler = Callable[..., Any]

CALLS: Final[tuple[tuple[str, re.Pattern[str], Handler], ...]] = tuple(
    (method, re.compile(path), handler)
    for method, path, handler in (
        ("GET", "/storage/v1/b/([^/]+)/iam/testPermissions", test_bucket),
        ("GET", "/storage/v1/b/([^/]+)/managedFolders/([^/]+)/iam/testPermissions", test_folder),
        ("POST", "/v1/projects/([^/:]+):testIamPermissions", test_project),
        ("POST", "/tokeninfo", token_info),
        ("GET", "/oauth2/v3/certs", certificates),
        ("POST", "/v1/projects/-/serviceAccounts/([^/:]+):signBlob", sign_blob),
        ("GET", "/v1/projects/([^/]+)/secrets/([^/]+)/versions/latest:access", access_secret),
        ("POST", "/v1/projects/([^/]+)/secrets/([^/:]+):addVersion", add_secret_version),
    )
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: Path
    log: Path | None
    lock = threading.Lock()

    def do_GET(self) -> None:  # the name that http.server calls
        self._respond()

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the log is a file."""

    def _respond(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MAX_BODY_SIZE))
        try:
            status, value = self._called(body)
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

    def _called(self, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(self.path)
        if not parts.path.strip("/"):
            return 200, {}
        for prefix, status in json.loads(self.world.read_text()).get("outage", {}).items():
            if parts.path.startswith(f"/{prefix}"):
                raise ApiError(status, "an outage")
        for method, path, handler in CALLS:
            if (found := path.fullmatch(parts.path)) and method == self.command:
                # One after the other: two that add a version must not lose one.
                with self.lock:
                    answer = handler(self._request(parts.query, body), *map(unquote, found.groups()))
                return answer if isinstance(answer, tuple) else (200, answer)
        raise ApiError(404, f"there is no call {self.command} {parts.path}")

    def _request(self, query: str, body: bytes) -> Request:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if token and scheme != "Bearer":
            raise ApiError(401, "Request had invalid authentication credentials.")
        known = {name: values for name, values in parse_qs(query).items() if name not in ("alt", "prettyPrint")}
        world = json.loads(self.world.read_text())
        return Request(world, token, known, self.headers.get("Content-Type", ""), body, self._save)

    def _save(self, world: Mapping[str, Any]) -> None:
        new = self.world.with_suffix(".new")
        new.write_text(json.dumps(world, indent=1))
        new.replace(self.world)

    def _log_call(self, status: int) -> None:
        if self.log is not None:
            with self.lock, self.log.open("a") as log:
                log.write(json.dumps({"method": self.command, "path": self.path, "status": status}) + "\n")


def _signature(pem: str, payload: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return key.sign(payload, PKCS1v15(), SHA256())


def _bucket(request: Request, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] | None = request.world.get("buckets", {}).get(name)
    if found is None:
        raise ApiError(404, "The specified bucket does not exist.")
    return found


def _secret(request: Request, project: str, secret: str, permission: str) -> dict[str, Any]:
    member = request.member(PLATFORM_SCOPES[:1])
    _no_query(request)
    found: dict[str, Any] | None = request.world.get("secrets", {}).get(f"{project}/{secret}")
    if found is None or permission not in request.granted_permissions(member, found.get("bindings", {})):
        raise ApiError(403, f"Permission '{permission}' denied for resource (or it may not exist).")
    return found


def _permissions_in_query(request: Request) -> list[str]:
    if set(request.query) != {"permissions"} or request.body:
        raise ApiError(400, "permissions, in the query, and nothing else")
    return _checked(request.query["permissions"])


def _checked(permissions: Any) -> list[str]:
    if not permissions or not all(re.fullmatch(r"[a-z]+(\.[a-zA-Z]+){2}", each) for each in permissions):
        raise ApiError(400, "invalid permissions")
    return list(permissions)


def _storage_response(asked: Sequence[str], held: set[str]) -> dict[str, Any]:
    answer: dict[str, Any] = {"kind": "storage#testIamPermissionsResponse"}
    granted = [permission for permission in asked if permission in held]
    return answer | ({"permissions": granted} if granted else {})


def _no_query(request: Request) -> None:
    if request.query:
        raise ApiError(400, f"unknown parameters {sorted(request.query)}")


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
"""A world to begin with: an owner of all, and a reader of team-a, as the policy bucket `policy` has it."""


@dataclass(frozen=True)
class IamEmulator:
    """A running fake.

    url    as in http://127.0.0.1:4444
    world  the file that it answers from
    log    the file in which it writes a line for each request
    """

    url: str
    world: Path
    log: Path

    @classmethod
    def start(cls, family: ProcessGroup, folder: Path) -> Self:
        """Start one, whose files are in `folder`. Raises EmulatorError."""
        emulator = cls("", folder / "world.json", folder / "requests.log")
        emulator.world.write_text(json.dumps(EXAMPLE, indent=1))
        files = ["--bindings", str(emulator.world), "--log", str(emulator.log)]
        # From wherever we are: our packages may be importable by our working directory alone.
        script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from emulators.iam import main; main()"
        port = family.start_server("iam", [sys.executable, "-c", script, "--port", "{port}", *files])
        return replace(emulator, url=f"http://127.0.0.1:{port}")


def main() -> None:
    """Serve until we are killed."""
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
