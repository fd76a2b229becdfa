"""Trials of policies: what a file would decide, by the stores and over HTTP; nothing is kept."""

from typing import Any

from lading.policies.evidence import ALLOWED, DENIED
from lading.policies.policy_json import policies_of, policies_text
from lading.registry.policies.explainer import NO_POLICY
from lading.registry.registry import Registry
from lading_storage.records.core import Key, Manifest
from lading_storage.records.trust import Trust
from tests.support.policies import REPOSITORY, SCANNED, policy, refused_pull, set_policies, signed_by
from tests.support.signatures import OTHER, RELEASE, sign


def tried(registry: Registry, *policies: dict[str, Any], principal: str = "") -> tuple[str, str]:
    """Return the outcome and the note of a trial about v1."""
    found = registry.gates.trial.explain(REPOSITORY, "v1", principal, others=policies_of(policies_text(policies)))
    return found.outcome, found.note


def trust_of(registry: Registry, image: Manifest) -> Trust | None:
    key = Key(Trust, image.digest, image.repository)
    return registry.metadata.read([key])[key]


def test_policies_are_tried_instead_of_those_in_effect(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**SCANNED))
    sign(registry, image, RELEASE)

    assert tried(registry, policy(**signed_by(RELEASE))) == (ALLOWED, "")
    assert tried(registry, policy(**signed_by(OTHER))) == (DENIED, "")
    assert tried(registry, policy(**signed_by(OTHER), exempt=["ci"]), principal="ci") == (ALLOWED, "")
    assert tried(registry, policy(**signed_by(OTHER), mode="audit")) == (ALLOWED, "")
    assert tried(registry, {**policy(**SCANNED), "repositories": ["other/*"]}) == (ALLOWED, NO_POLICY)
    assert refused_pull(registry, "v1").startswith("policy prod: it is not scanned")


def test_a_trial_keeps_nothing(registry: Registry, image: Manifest) -> None:
    sign(registry, image, RELEASE)
    before = trust_of(registry, image)
    assert tried(registry, policy(**signed_by(RELEASE))) == (ALLOWED, "")
    after = trust_of(registry, image)
    assert (before and before.version) == (after and after.version)

    # A key of a trial counts in no pull.
    set_policies(registry, policy(**signed_by(OTHER)))
    assert refused_pull(registry, "v1").startswith("policy prod: it is not signed")
