"""Accounts, IAM policies and settings of a deployment, as terraform/ creates them.

They have terraform's defaults, and a policy bucket in which `owner` has all permissions, and `reader` may pull from
`team-a/`.
"""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from emulators.iam_calls import PLATFORM_SCOPES
from emulators.metadata import Account

PROJECT: Final = "lading-test"
POLICIES: Final = f"{PROJECT}-lading-policies"
KEYS: Final = f"{PROJECT}/lading-keys"
EVENTS_TOPIC: Final = f"projects/{PROJECT}/topics/lading-events"
NOTIFICATIONS_TOPIC: Final = f"projects/{PROJECT}/topics/lading-notifications"
NOTE: Final = f"projects/{PROJECT}/notes/lading"
ATTESTATION_KEY: Final = f"projects/{PROJECT}/locations/europe-west1/keyRings/lading-attest/cryptoKeys/attestations"
SUBSCRIPTION: Final = f"projects/{PROJECT}/subscriptions/lading-attest"
SUBSCRIBED: Final = ("image.pushed", "image.scanned", "image.restored", "tag.moved")
"""Types of the events that call the attester."""

OBJECTS: Final = ("storage.objects.get", "storage.objects.create", "storage.objects.delete")


def _email(name: str) -> str:
    return f"lading-{name}@{PROJECT}.iam.gserviceaccount.com"


def _token() -> str:
    """Return a random access token: the registry listens on all addresses, as Cloud Run requires."""
    return f"ya29.{secrets.token_urlsafe(24)}"


@dataclass(frozen=True)
class Accounts:
    """Service accounts and users of a deployment.

    registry   service account of the registry; its key signs URLs, too
    collect    service account of the garbage collector
    publish    service account of the publisher of events
    scan       service account of the scanner
    attest     service account of the attester
    scheduler  service account of Cloud Scheduler and Eventarc, which call the collector and the scanner
    events     service account of Eventarc and Cloud Scheduler, which call the publisher
    owner      access token of a user with all permissions
    reader     access token of a user who may pull from team-a/*
    """

    registry: Account
    collect: Account
    publish: Account
    scan: Account
    attest: Account
    scheduler: Account
    events: Account
    owner: str
    reader: str

    @classmethod
    def create(cls) -> Self:
        """Create accounts with new tokens and keys."""
        # Google signs ID tokens with its own keys, and blobs with a key of the account.
        google = _private_key()
        names = ("registry", "collect", "publish", "scan", "attest", "scheduler", "events")
        accounts = {name: Account(_email(name), _token(), google, "google") for name in names}
        return cls(**accounts, owner=_token(), reader=_token())

    @property
    def services(self) -> Sequence[Account]:
        """The service accounts."""
        return self.registry, self.collect, self.publish, self.scan, self.attest, self.scheduler, self.events


def fake_iam_world(accounts: Accounts) -> dict[str, Any]:
    """Return the state of the fake of IAM (see emulators.iam)."""
    registry, key = accounts.registry.email, _private_key()
    readers = [f"serviceAccount:{each.email}" for each in (accounts.registry, accounts.publish)]
    emails = {each.token: each.email for each in accounts.services}
    emails |= {accounts.owner: "owner@example.com", accounts.reader: "reader@example.com"}
    tokens = {
        token: {"email": email, "sub": str(10**20 + number), "azp": str(10**20 + number), "scope": PLATFORM_SCOPES[0]}
        for number, (token, email) in enumerate(emails.items())
    }
    return {
        **_attestor(accounts.attest.email),
        "tokens": tokens,
        "keys": {"registry": {"email": registry, "public": _public_pem(key), "private": key}},
        "certs": {"keys": [_jwk(accounts.registry)]},
        "buckets": {
            POLICIES: {
                "bindings": {"user:owner@example.com": [*OBJECTS, "storage.buckets.update"]},
                "managedFolders": {"team-a/": {"user:reader@example.com": ["storage.objects.get"]}},
            }
        },
        "serviceAccounts": {registry: {f"serviceAccount:{registry}": ["iam.serviceAccounts.signBlob"]}},
        "secrets": {
            KEYS: {
                "bindings": {reader: ["secretmanager.versions.access"] for reader in readers},
                "versions": [_registry_keys()],
            }
        },
    }


def _attestor(attester: str) -> dict[str, Any]:
    """Return the attestor's note and key, and the rights of the attester, an account."""
    member, resource = f"serviceAccount:{attester}", "containeranalysis"
    notes = [f"{resource}.notes.attachOccurrence", f"{resource}.notes.listOccurrences"]
    signs = {"bindings": {member: ["cloudkms.cryptoKeyVersions.useToSign"]}, "versions": {"1": _elliptic_key()}}
    return {
        "projects": {PROJECT: {member: [f"{resource}.occurrences.create", f"{resource}.occurrences.update"]}},
        "notes": {NOTE: {"bindings": {member: notes}}},
        "cryptoKeys": {ATTESTATION_KEY: signs},
    }


def settings(url: str, stores: Mapping[str, str], accounts: Accounts, *, attests: bool = False) -> Mapping[str, str]:
    """Return the environment variables that terraform/functions.tf sets.

    Args:
        url: of the registry, for clients.
        stores: LADING_BLOBS and LADING_METADATA.
        accounts: of the deployment.
        attests: whether images of all repositories are attested.
    """
    attested = _attestations(accounts) if attests else ""
    return {
        "LADING_CONFIG": _configuration(url, stores, accounts) + attested,
        "LADING_SOURCE_HASH": "0123456789abcdef",
        "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA": "true",
    }


def _configuration(url: str, stores: Mapping[str, str], accounts: Accounts) -> str:
    """Return the lading.toml that terraform/config.tf makes."""
    return f"""[access]
folders = ["team-a"]
keys = "secret://{KEYS}"
mode = "gs://{POLICIES}"
unscoped-tokens = "pull"

[events]
topic = "{EVENTS_TOPIC}"
notifications-topic = "{NOTIFICATIONS_TOPIC}"
publisher = "{accounts.events.email}"

[jobs]
collector = "{accounts.scheduler.email}"

[log]
format = "json"

[rules]
grace = "24h"
undelete = "7d"

[scans]
scanner = "{accounts.scan.email}"

[server]
threads = 80
trusted-hops = 1
url = "{url}"

[stores]
blobs = "{stores["LADING_BLOBS"]}"
metadata = "{stores["LADING_METADATA"]}"
"""


def _attestations(accounts: Accounts) -> str:
    """Return what the variable `attest` adds to it."""
    return f"""
[attestations]
attester = "{accounts.attest.email}"
key = "{ATTESTATION_KEY}/cryptoKeyVersions/1"
note = "{NOTE}"
repositories = ["*"]
"""


def platform(function: str) -> Mapping[str, str]:
    """Return the environment variables that Cloud Run and the function's build set.

    https://cloud.google.com/run/docs/container-contract#env-vars
    """
    name = "lading" if function == "registry" else f"lading-{function}"
    run = {"PORT": "{port}", "K_SERVICE": name, "K_CONFIGURATION": name, "K_REVISION": f"{name}-00001-abc"}
    return run | {"FUNCTION_TARGET": function, "FUNCTION_SIGNATURE_TYPE": "http"}


def _registry_keys() -> str:
    """Return the first version of the secret with the registry's keys, as terraform/keys.tf creates it."""
    key, robots = (base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
    return base64.b64encode(json.dumps({"tokens": [{"kid": "first", "key": key}], "robots": robots}).encode()).decode()


def _private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, format = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, format, serialization.NoEncryption()).decode()


def _elliptic_key() -> str:
    """Return a key as Cloud KMS has it for EC_SIGN_P256_SHA256."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    encoding, format = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(encoding, format, serialization.NoEncryption()).decode()


def _public_pem(private: str) -> str:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(private.encode(), None).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def _jwk(account: Account) -> dict[str, Any]:
    """Return the public half of the key that signs an account's ID tokens (RFC 7517)."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from jwt.algorithms import RSAAlgorithm

    key = load_pem_private_key(account.key.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    jwk: dict[str, Any] = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return jwk | {"kid": account.kid, "alg": "RS256", "use": "sig"}
