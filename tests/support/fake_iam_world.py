"""Worlds for the fake of IAM: who there is, and what each may do; and the credentials with which they come."""

import base64
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from emulators.iam import IamEmulator
from lading import settings
from lading.app import App
from lading.auth.access import Authenticator
from lading.auth.google.google_tokens import Pseudonyms
from lading.auth_composition import open_authenticator
from lading.registry.registry import Registry
from lading_storage.stores import Stores
from tests.support.app_client import Client
from tests.support.server_process import basic

URL = "https://registry.example"
SERVICE = "registry.example"
BUCKET = "policy"
PROJECT = "some-project"
PLATFORM_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
READ_ONLY_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
READ_WRITE_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
PULL, PUSH, DELETE = "storage.objects.get", "storage.objects.create", "storage.objects.delete"
SERVICE_ACCOUNT = "ci@some-project.iam.gserviceaccount.com"
KEY_ID = "0123456789abcdef"
POOL = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool"
STORAGE = "https://storage.googleapis.com/"
"""The audience of a self-signed token without a scope, for Cloud Storage."""

PSEUDONYMS = Pseudonyms(lambda: b"k" * 32)


@dataclass
class FakeIamWorld:
    """What the fake answers from, and the requests that it got."""

    iam: IamEmulator
    fields: dict[str, Any] = field(default_factory=dict)

    def save(self) -> None:
        self.iam.world.write_text(json.dumps(self.fields))

    def token(self, name: str, scope: str | None = PLATFORM_SCOPE, **more: Any) -> str:
        """A new token of a user; a federated one, which tokeninfo does not know, where `scope` is None.

        With `tokeninfo` among `more`, tokeninfo refuses this token with that status, and IAM knows its scope.
        """
        token = f"ya29.{name}"
        known = {"email": f"{name}@example.com", "sub": "12345", "azp": "67890"} | more
        self.fields.setdefault("tokens", {})[token] = known | ({} if scope is None else {"scope": scope})
        self.save()
        return token

    def federated(self, subject: str, token: str = "") -> str:
        """A new token of a workload, `token` where it has several; policies name it `POOL/subject/SUBJECT`."""
        return self.token(f"federated-{token or subject}", None, principal=f"{POOL}/subject/{subject}")

    def missing_folders(self, status: int) -> None:
        """Answer so for managed folders that do not exist."""
        self.fields["missingFolder"] = status
        self.save()

    def tokeninfo(self, **statuses: int) -> None:
        """Let tokeninfo refuse tokens so, by kind: unknown, federated, self_signed."""
        kinds = {kind.replace("_", "-"): status for kind, status in statuses.items()}
        self.fields["tokeninfo"] = self.fields.get("tokeninfo", {}) | kinds
        self.save()

    def folder(self, folder: str, *permissions: str, member: str) -> None:
        """Grant permissions on a managed folder of the policy bucket, or on the bucket where `folder` is ""."""
        bucket = self.fields.setdefault("buckets", {}).setdefault(BUCKET, {"bindings": {}, "managedFolders": {}})
        bindings = bucket["managedFolders"].setdefault(folder, {}) if folder else bucket["bindings"]
        bindings.setdefault(member, []).extend(permissions)
        self.save()

    def project(self, *permissions: str, member: str) -> None:
        """Grant permissions on the project."""
        self.fields.setdefault("projects", {}).setdefault(PROJECT, {}).setdefault(member, []).extend(permissions)
        self.save()

    def outage(self, prefix: str, status: int) -> None:
        """Let all calls whose path begins so fail."""
        self.fields["outage"] = {prefix: status}
        self.save()

    def requests(self) -> list[str]:
        """METHOD PATH STATUS of all requests since the last time."""
        lines = self.iam.log.read_text().splitlines() if self.iam.log.exists() else []
        self.iam.log.write_text("")
        return ["{method} {path} {status}".format(**json.loads(line)) for line in lines]


@cache
def private_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key, the same for the same number."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def pem(key: Any, password: bytes = b"") -> str:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    encoded: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    return encoded.decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    format = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, format).decode()


def service_account_key(**changes: Any) -> str:
    """A service account's key, as Google hands it out."""
    fields = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": KEY_ID,
        "private_key": pem(private_key()),
        "client_email": SERVICE_ACCOUNT,
        "client_id": "1",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return json.dumps(fields | changes)


def register_service_account(world: FakeIamWorld) -> None:
    """Let the fake know the service account and the public half of its key."""
    world.fields["keys"] = {
        KEY_ID: {"email": SERVICE_ACCOUNT, "public": public_pem(private_key()), "private": pem(private_key())}
    }
    world.save()


def self_signed(key: Any = None, kid: str = KEY_ID, **changes: Any) -> str:
    """A token that the service account signed itself; a claim that is None is left out."""
    now = int(time.time())
    claims = {
        "iss": SERVICE_ACCOUNT,
        "sub": SERVICE_ACCOUNT,
        "scope": PLATFORM_SCOPE,
        "iat": now,
        "exp": now + 3600,
    } | changes
    left = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(left, key or private_key(), "RS256", headers={"kid": kid})


def publish_certificates(world: FakeIamWorld) -> None:
    """Let the fake publish the key with which `id_token` signs."""
    described: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(private_key(1).public_key()))
    world.fields["certs"] = {"keys": [described | {"kid": "google-1", "alg": "RS256", "use": "sig"}]}
    world.save()


def id_token(email: Any = "alice@example.com", kid: str = "google-1", key: Any = None, **changes: Any) -> str:
    """One of Google's ID tokens for this registry."""
    now = int(time.time())
    claims = {
        "iss": "https://accounts.google.com",
        "aud": URL,
        "sub": "12345",
        "email": email,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
    }
    return jwt.encode(claims | changes, key or private_key(1), "RS256", headers={"kid": kid})


@dataclass
class RestrictedApp:
    """A client of an app behind a door."""

    authenticator: Authenticator
    client: Client

    def token(self, *scopes: str, authorization: str = "") -> str:
        """A token of the registry's own."""
        query = "&".join(f"scope={scope}" for scope in scopes)
        headers = {"Authorization": authorization} if authorization else {}
        answer = self.client.request("GET", f"/v2/token?service={SERVICE}&{query}", headers=headers)
        assert answer.status == 200, answer
        text: str = answer.json["token"]
        return text


def restricted_app(stores: Stores, environment: Mapping[str, str], folder: Any) -> RestrictedApp:
    """An app over `stores`, guarded as `environment` says; its keys are in `folder`."""
    defaults = {"LADING_URL": URL, "LADING_DATA": str(folder)}
    read = settings.load_settings(defaults | dict(environment))
    authenticator = open_authenticator(read, stores.metadata)
    registry = Registry(stores.blobs, stores.metadata, scans_images=read.scan == "on")
    return RestrictedApp(authenticator, Client(App(registry, read, authenticator)))


def token_as_basic(token: str) -> str:
    """The Authorization header with which docker sends one of Google's tokens."""
    return basic("oauth2accesstoken", token)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def json_base64(value: Any) -> str:
    """JSON in base64, as the parts of a JWT are."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def lines_of(folder: Any) -> Iterator[str]:
    yield from folder.read_text().splitlines()


def actions_of(access: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What `access` of a token grants: actions by repository."""
    return {each["name"]: each["actions"] for each in access}
