"""Policies that tests set, and what a registry then decides."""

from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lading.policies.policy_json import policies_text
from lading.registry.change_context import ChangeContext
from lading.registry.errors import RegistryError
from lading.registry.policies.policy_cache import PolicyCache
from lading.registry.pull import PullRequest
from lading.registry.registry import Registry
from lading.registry.rules.changes import REGISTRY, RulesDocument, change_rules
from lading_storage.records.core import Manifest
from tests.support.signatures import RELEASE

REPOSITORY: Final = "prod/app"

UNSIGNED: Final = f"policy prod: it is not signed by key0; ask: lading why {REPOSITORY}@"
"""How the refusal of an image begins, but for its digest, that `signed_by` is required of."""

SCANNED: Final[dict[str, Any]] = {"scan": {"required": True}}


def policy(name: str = "prod", **fields: Any) -> dict[str, Any]:
    """A policy that enforces, of the repositories below prod."""
    return {"name": name, "repositories": ["prod/*"], "mode": "enforce", **fields}


def signed_by(*keys: ec.EllipticCurvePrivateKey, **fields: Any) -> dict[str, Any]:
    """The requirement of a signature by one of these keys."""
    named = [{"name": f"key{number}", "pem": pem_of(key)} for number, key in enumerate(keys or (RELEASE,))]
    return {"signatures": {"keys": named, **fields}}


def pem_of(key: ec.EllipticCurvePrivateKey) -> str:
    """The public key as PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def set_policies(registry: Registry, *policies: dict[str, Any], namespace: str = REGISTRY) -> None:
    """Set policies, which count at once: as POLICY_TTL later, or in a process that has just started."""
    values = {"policies": policies_text(policies)}
    change_rules(registry.metadata, RulesDocument({namespace: values}), "admin", registry._clock)
    registry.gates.policies = PolicyCache()


def pulled(registry: Registry, reference: str, principal: str = "", repository: str = REPOSITORY) -> str:
    """Pull, and return a warning, or ""."""
    return registry.pull(repository, PullRequest(reference, context=ChangeContext("pull", principal))).warning


def refusal(act: Callable[[], object]) -> str:
    """Return the message with which a policy refuses, or "" where it does not."""
    try:
        act()
    except RegistryError as error:
        if (error.descriptor.code, error.descriptor.status) != ("DENIED", 403) or not error.detail["policies"]:
            raise
        return error.descriptor.message
    return ""


def refused_pull(registry: Registry, reference: str, principal: str = "", repository: str = REPOSITORY) -> str:
    """Return the message with which a pull is refused, or ""."""
    return refusal(lambda: pulled(registry, reference, principal, repository))


def content_of(registry: Registry, image: Manifest) -> bytes:
    """The bytes of a manifest."""
    return registry.manifests.content(registry.manifests.find(image.repository, image.digest))


def forget(registry: Registry) -> Registry:
    """The registry in a process that has just started."""
    return Registry(registry.objects, registry.metadata, clock=registry._clock)
