"""The API calls of the fake of IAM, as handlers by method and path."""

import base64
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from emulators.iam_tokens import ApiError, member_of, tokeninfo_of

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
"""OAuth scopes of which a read call of the Storage API needs one."""

PLATFORM_SCOPES: Final = READ_SCOPES[:2]

STORAGE: Final = "https://storage.googleapis.com/"
RESOURCE_MANAGER: Final = "https://cloudresourcemanager.googleapis.com/"
"""Audiences of self-signed tokens: API addresses."""


@dataclass(frozen=True)
class Request:
    """A request, and the state of the fake when it arrived.

    world  content of the file
    save   replaces the content of the file
    """

    world: Mapping[str, Any]
    token: str
    query: Mapping[str, list[str]]
    content_type: str
    body: bytes
    save: Callable[[Mapping[str, Any]], None]

    def json(self, *fields: str) -> dict[str, Any]:
        """Return the body, a JSON object with exactly these fields. Raises ApiError 400 for any other."""
        try:
            value = json.loads(self.body)
        except ValueError:
            raise ApiError(400, "the body is not JSON") from None
        if self.content_type.partition(";")[0] != "application/json" or not isinstance(value, dict):
            raise ApiError(400, "the body is not a JSON object")
        if set(value) != set(fields):
            raise ApiError(400, f"the body has {sorted(value)} and not {sorted(fields)}")
        return value

    def member(self, scopes: Sequence[str], audience: str = "") -> str:
        """Return the member that the token authenticates; see member_of."""
        return member_of(self.world, self.token, scopes, audience)

    def granted_permissions(self, member: str, *bindings: Mapping[str, Sequence[str]]) -> set[str]:
        """Return the permissions that `bindings` grant to a member, directly or through a group."""
        groups = self.world.get("groups", {})
        names = {member, "allUsers", "allAuthenticatedUsers"} | {
            group for group, members in groups.items() if member in members
        }
        return {permission for each in bindings for name in names for permission in each.get(name, ())}


def test_bucket(request: Request, bucket: str) -> Any:
    """storage.buckets.testIamPermissions."""
    member, tested = request.member(READ_SCOPES, STORAGE), _permissions_in_query(request)
    policies = _bucket(request, bucket)
    return _storage_response(tested, request.granted_permissions(member, policies.get("bindings", {})))


def test_folder(request: Request, bucket: str, folder: str) -> Any:
    """storage.managedFolders.testIamPermissions."""
    member, tested = request.member(READ_SCOPES, STORAGE), _permissions_in_query(request)
    policies = _bucket(request, bucket)
    folders = policies.get("managedFolders", {})
    name = folder if folder.endswith("/") else f"{folder}/"
    if name not in folders:
        status = request.world.get("missingFolder", 404)
        raise ApiError(status, f"The specified managed folder {bucket}/{name} does not exist.")
    inherited = [bindings for prefix, bindings in folders.items() if name.startswith(prefix)]
    return _storage_response(tested, request.granted_permissions(member, policies.get("bindings", {}), *inherited))


def test_project(request: Request, project: str) -> Any:
    """cloudresourcemanager.projects.testIamPermissions."""
    member = request.member(PLATFORM_SCOPES, RESOURCE_MANAGER)
    tested = _validate_permissions(request.json("permissions")["permissions"])
    _refuse_query(request)
    bindings = request.world.get("projects", {}).get(project)
    if bindings is None:
        raise ApiError(403, "The caller does not have permission")
    granted = [permission for permission in tested if permission in request.granted_permissions(member, bindings)]
    return {"permissions": granted} if granted else {}


def token_info(request: Request) -> Any:
    """tokeninfo, for the access token in the form."""
    form = parse_qs(request.body.decode(), strict_parsing=True) if request.body else {}
    if request.token or request.query or list(form) != ["access_token"]:
        raise ApiError(400, "the form must have one access_token and nothing else")
    try:
        fields = tokeninfo_of(request.world, form["access_token"][0])
    except ApiError as error:
        return error.status, {"error": "invalid_token", "error_description": str(error)}
    verified = {"email_verified": "true"} if "email" in fields else {}
    validity = {"aud": fields.get("azp", ""), "exp": str(int(time.time()) + 3599), "expires_in": "3599"}
    return {**fields, **verified, **validity}


def certificates(request: Request) -> Any:
    """The JWKS of ID tokens."""
    _refuse_query(request)
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
    versions = _secret(request, project, secret, "secretmanager.versions.access").get("versions", [])
    if not versions:
        raise ApiError(404, f"Secret [projects/{project}/secrets/{secret}] has no versions.")
    name = f"projects/{project}/secrets/{secret}/versions/{len(versions)}"
    return {"name": name, "payload": {"data": versions[-1]}}


def add_secret_version(request: Request, project: str, secret: str) -> Any:
    """secretmanager.projects.secrets.addVersion."""
    stored = _secret(request, project, secret, "secretmanager.versions.add")
    data = request.json("payload")["payload"]["data"]
    base64.b64decode(data, validate=True)
    stored.setdefault("versions", []).append(data)
    request.save(request.world)
    count = len(stored["versions"])
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


def _signature(pem: str, payload: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return key.sign(payload, PKCS1v15(), SHA256())


def _bucket(request: Request, name: str) -> Mapping[str, Any]:
    bucket: Mapping[str, Any] | None = request.world.get("buckets", {}).get(name)
    if bucket is None:
        raise ApiError(404, "The specified bucket does not exist.")
    return bucket


def _secret(request: Request, project: str, secret: str, permission: str) -> dict[str, Any]:
    member = request.member(PLATFORM_SCOPES[:1])
    _refuse_query(request)
    stored: dict[str, Any] | None = request.world.get("secrets", {}).get(f"{project}/{secret}")
    if stored is None or permission not in request.granted_permissions(member, stored.get("bindings", {})):
        raise ApiError(403, f"Permission '{permission}' denied for resource (or it may not exist).")
    return stored


def _permissions_in_query(request: Request) -> list[str]:
    if set(request.query) != {"permissions"} or request.body:
        raise ApiError(400, "the query must have permissions and nothing else")
    return _validate_permissions(request.query["permissions"])


def _validate_permissions(permissions: Any) -> list[str]:
    if not permissions or not all(re.fullmatch(r"[a-z]+(\.[a-zA-Z]+){2}", each) for each in permissions):
        raise ApiError(400, "invalid permissions")
    return list(permissions)


def _storage_response(tested: Sequence[str], granted: set[str]) -> dict[str, Any]:
    response: dict[str, Any] = {"kind": "storage#testIamPermissionsResponse"}
    permissions = [permission for permission in tested if permission in granted]
    return response | ({"permissions": permissions} if permissions else {})


def _refuse_query(request: Request) -> None:
    if request.query:
        raise ApiError(400, f"unknown parameters {sorted(request.query)}")
