"""Pulls: which images may be pulled, and what is read for that."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from lading.leader import Leader, is_leader, step_down
from lading.registry.policies.policy_cache import PolicyCache
from lading.registry.pull import PullRequest
from lading.registry.registry import Registry
from lading.scanning.findings import PARTIAL
from lading_storage.digests import digest_of
from lading_storage.errors import Unavailable
from lading_storage.protocols import Replace
from lading_storage.records.core import Key, Manifest
from lading_storage.records.jobs import LastPull
from lading_storage.records.scans import Facts
from lading_storage.records.trust import Trust
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.policies import (
    REPOSITORY,
    SCANNED,
    UNSIGNED,
    content_of,
    forget,
    policy,
    pulled,
    refused_pull,
    set_policies,
    signed_by,
)
from tests.support.registry_pushes import push_blob, push_image, push_manifest
from tests.support.scan_results import finding, report_of, store_result
from tests.support.signatures import FORGER, OTHER, RELEASE, sign, sign_by_tag
from tests.support.store_hooks import Fault, hooked_registry


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.mark.parametrize("sign_it", [sign, sign_by_tag])
def test_an_image_may_be_pulled_once_it_is_signed_by_a_key_of_the_policy(
    registry: Registry, image: Manifest, sign_it: Callable[..., Manifest]
) -> None:
    assert refused_pull(registry, "v1") == "", "there is no policy yet"
    set_policies(registry, policy(**signed_by(RELEASE)))

    assert refused_pull(registry, "v1").startswith(UNSIGNED)
    sign_it(registry, image, FORGER)
    assert refused_pull(registry, image.digest).startswith(UNSIGNED)
    sign_it(registry, image, RELEASE)

    for reference in ("v1", image.digest, "v1.asof-20990101T000000Z"):
        assert pulled(registry, reference) == ""
        assert pulled(forget(registry), reference) == ""


def test_a_signature_that_is_deleted_counts_no_more_at_the_next_pull(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**signed_by()))
    signature = sign(registry, image)
    assert refused_pull(registry, "v1") == ""

    registry.deletion.manifest(REPOSITORY, signature.digest)

    assert refused_pull(registry, "v1").startswith(UNSIGNED)
    registry.undelete.manifest(REPOSITORY, signature.digest)
    assert refused_pull(registry, "v1") == ""


def test_a_tag_of_signatures_that_is_deleted_counts_no_more(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**signed_by()))
    sign_by_tag(registry, image)
    assert refused_pull(registry, "v1") == ""

    registry.tags.delete(REPOSITORY, f"{image.digest.replace(':', '-')}.sig")

    assert refused_pull(registry, "v1").startswith(UNSIGNED)


def test_a_key_that_is_added_counts_and_one_that_is_removed_does_not(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**signed_by(RELEASE)))
    sign(registry, image, OTHER)
    assert refused_pull(registry, "v1") != ""

    set_policies(registry, policy(**signed_by(RELEASE, OTHER)))
    assert refused_pull(registry, "v1") == ""

    set_policies(registry, policy(**signed_by(RELEASE)))
    assert refused_pull(registry, "v1") != ""


def test_what_is_a_signature_by_its_content_may_be_pulled(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**signed_by()), policy("scanned", **SCANNED))
    bundle, by_tag = sign(registry, image), sign_by_tag(registry, image)

    assert refused_pull(registry, bundle.digest) == "", "its config is the empty object"
    assert refused_pull(registry, by_tag.digest) == ""


def push_attestation(registry: Registry, media_type: str, diff_id: str = "") -> Manifest:
    """Push what BuildKit adds to an index; `diff_id` is that of another layer in its config."""
    statement = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "predicate": {}}).encode()
    rootfs = {"type": "layers", "diff_ids": [diff_id or digest_of(statement)]}
    config = json.dumps({"architecture": "unknown", "os": "unknown", "rootfs": rootfs}).encode()
    for blob in (statement, config):
        push_blob(registry, REPOSITORY, blob)
    fields = json.loads(images.manifest([], config)) | {"layers": [images.descriptor(statement, media_type)]}
    return push_manifest(registry, REPOSITORY, json.dumps(fields).encode())


def test_attestations_of_buildkit_may_be_pulled(registry: Registry) -> None:
    """docker 29 pulls them with an image, and a copy of an index needs them; they are never scanned or signed."""
    set_policies(registry, policy(**signed_by()), policy("scanned", **SCANNED))
    attestation = push_attestation(registry, "application/vnd.in-toto+json")

    assert refused_pull(registry, attestation.digest) == ""
    image = push_attestation(registry, "application/vnd.oci.image.layer.v1.tar")
    assert refused_pull(registry, image.digest) != ""
    image = push_attestation(registry, "application/vnd.in-toto+json", diff_id=digest_of(b"a program"))
    assert refused_pull(registry, image.digest) != "", "a node that has the other layer would run it"


def test_signatures_of_notation_may_be_pulled(registry: Registry) -> None:
    set_policies(registry, policy(**signed_by()))
    push_blob(registry, REPOSITORY, images.EMPTY_CONFIG)
    push_blob(registry, REPOSITORY, b"envelope")
    fields = json.loads(images.manifest([])) | {"layers": [images.descriptor(b"envelope", "application/cose")]}
    fields["config"]["mediaType"] = "application/vnd.cncf.notary.signature"

    signature = push_manifest(registry, REPOSITORY, json.dumps(fields).encode())

    assert refused_pull(registry, signature.digest) == "", "`notation verify` reads it"


@pytest.mark.parametrize("disguise", ["subject", "artifactType", "annotations", "tag", "layer"])
def test_no_disguise_of_an_image_is_let_through(registry: Registry, image: Manifest, disguise: str) -> None:
    set_policies(registry, policy(**signed_by()))
    layer = images.blob()
    push_blob(registry, REPOSITORY, layer)
    fields = json.loads(images.manifest([layer]))
    tag = "v2"
    match disguise:
        case "subject":
            fields["subject"] = images.descriptor(b"x", fields["mediaType"])
        case "artifactType":
            fields["artifactType"] = "application/vnd.dev.sigstore.bundle.v0.3+json"
        case "annotations":
            fields["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
        case "tag":
            tag = f"{image.digest.replace(':', '-')}.sig"
        case "layer":
            fields["layers"][0]["mediaType"] = "application/vnd.dev.cosign.simplesigning.v1+json"
    push_manifest(registry, REPOSITORY, json.dumps(fields).encode(), tag)

    assert refused_pull(registry, tag).startswith(UNSIGNED)


def test_a_scan_decides_as_its_facts_say(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(scan={"required": True, "maximumFixableSeverity": "medium"}))
    registry.scans_images = True
    assert "it is not scanned" in refused_pull(registry, "v1")

    store_result(registry, REPOSITORY, image.digest, report_of(image.digest))
    assert refused_pull(registry, "v1") == ""

    worst = [{"id": "CVE-2026-1", "severity": "high", "package": "openssl", "version": "3.0.11-1", "fixed": "3.0.12"}]
    report = report_of(image.digest, [finding("high", fixed="3.0.12")])
    store_result(registry, REPOSITORY, image.digest, report, worst=json.dumps(worst).encode())
    assert "CVE-2026-1" in refused_pull(registry, "v1")

    store_result(registry, REPOSITORY, image.digest, report_of(image.digest, state=PARTIAL, notes=["a layer"]))
    assert "not known" in refused_pull(registry, "v1"), "a part is not enough"


def test_a_report_that_a_client_pushes_has_no_effect(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**SCANNED))
    store_result(registry, REPOSITORY, image.digest, report_of(image.digest))
    facts = registry.metadata.read([key := Key(Facts, image.digest, REPOSITORY)])[key]
    assert facts is not None
    other = push_image(registry, REPOSITORY, "v2")
    forged = json.loads(registry.manifests.content(registry.manifests.find(REPOSITORY, facts.report)))
    forged["subject"] = images.descriptor(b"", "application/vnd.oci.image.manifest.v1+json") | {"digest": other.digest}
    push_manifest(registry, REPOSITORY, json.dumps(forged).encode())

    assert "it is not scanned" in refused_pull(registry, "v2")


def test_an_image_in_quarantine_waits_since_it_was_first_pushed(
    registry: Registry, image: Manifest, clock: FakeClock
) -> None:
    set_policies(registry, policy(image={"minAge": "1h", "maxAge": "2h"}))
    assert "quarantine" in refused_pull(registry, "v1")

    clock.advance(hours=1.5)
    push_manifest(registry, REPOSITORY, content_of(registry, image), "again")
    assert refused_pull(registry, "again") == "", "another push of it does not begin anew"
    clock.advance(hours=1)
    assert "more than 2h" in refused_pull(registry, "v1")


def test_head_is_never_refused_but_warned(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**signed_by()))

    head = registry.pull(REPOSITORY, PullRequest("v1", is_head=True))

    assert head.digest == image.digest
    assert head.warning.startswith(UNSIGNED)


def test_a_policy_that_audits_warns(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**signed_by()) | {"mode": "audit"})

    assert pulled(registry, "v1").startswith(UNSIGNED)
    sign(registry, image)
    assert pulled(registry, "v1") == ""


def test_exempt_callers_pull_and_others_do_not(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(exempt=["signer"], **signed_by()))

    assert refused_pull(registry, "v1", "signer") == ""
    for other in ("", "Signer", "signer ", "node", "*"):
        assert refused_pull(registry, "v1", other) != ""


def test_all_policies_that_name_a_repository_count(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**signed_by()), policy("scanned", **SCANNED))
    set_policies(
        registry, {"name": "own", **signed_by(OTHER), "repositories": ["prod/*"], "mode": "enforce"}, namespace="prod"
    )
    push_image(registry, "free/app", "v1")

    assert "and 2 more" in refused_pull(registry, "v1")
    sign(registry, image)
    sign(registry, image, OTHER)
    assert refused_pull(registry, "v1").startswith("policy scanned: it is not scanned")
    assert refused_pull(registry, "v1", repository="free/app") == ""


def test_a_refused_pull_is_not_recorded(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**signed_by()))
    assert refused_pull(registry, "v1") != ""

    key = Key(LastPull, image.digest, REPOSITORY)
    assert registry.metadata.read([key])[key] is None
    sign(registry, image)
    pulled(registry, "v1")
    assert registry.metadata.read([key])[key] is not None


def test_policies_of_a_newer_release_refuse_all_pulls_for_now(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**signed_by()))
    rules = registry.rules.read_all().registry
    assert rules is not None
    registry.metadata.commit([Replace(replace(rules, policies='{"version": 2, "policies": []}'))])
    registry.gates.policies = PolicyCache()

    with pytest.raises(Unavailable):
        pulled(registry, "v1")


@pytest.mark.parametrize(("on_error", "refused"), [("deny", True), ("allow", False)])
def test_trust_that_cannot_be_read_is_an_error(
    registry: Registry, image: Manifest, on_error: str, refused: bool
) -> None:
    set_policies(registry, policy(onError=on_error, **signed_by()))
    sign(registry, image)
    pulled(registry, "v1")
    key = Key(Trust, image.digest, REPOSITORY)
    trust = registry.metadata.read([key])[key]
    assert trust is not None
    registry.metadata.commit([Replace(replace(trust, signatures="[{}]"))])

    assert bool(refused_pull(registry, "v1")) is refused


def test_a_store_that_fails_is_no_reason_to_allow(registry: Registry, stores: Stores, image: Manifest) -> None:
    set_policies(registry, policy(onError="allow", **signed_by()))
    down = hooked_registry(stores, Fault("find"))

    with pytest.raises(Unavailable):
        pulled(down, "v1")


def test_a_standby_verifies_and_writes_nothing(registry: Registry, stores: Stores, image: Manifest) -> None:
    set_policies(registry, policy(**signed_by()))
    sign(registry, image)
    standby = hooked_registry(stores, Fault("commit"), clock=registry._clock)
    standby.become_standby()

    assert refused_pull(standby, "v1") == ""
    other = push_image(registry, REPOSITORY, "v2")
    assert refused_pull(standby, other.digest) != ""
    standby.gates.close()


def test_the_leader_is_not_held_while_signatures_are_verified(
    registry: Registry, image: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_policies(registry, policy(**signed_by()))
    sign(registry, image)
    pulled(registry, image.digest)
    leader = Leader()

    def held(reference: str) -> bool:
        leader.acquire()
        pulled(registry, reference)
        still = is_leader()
        step_down()
        return still

    assert held(image.digest), "what is verified is compared in memory"
    set_policies(registry, policy(**signed_by(RELEASE, OTHER)))
    refused_pull(registry, push_image(registry, REPOSITORY).digest)
    assert not held(image.digest), "it was not verified with the other key"
    assert held(image.digest)
    assert not held("v1"), "a tag takes a second read"
