"""Anchors from the PEM that policies hold, with the fingerprints that policies compute."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from lading.policies.policy_fields import fingerprint_of
from lading.signatures.anchors import load_anchors
from lading.signatures.keyless import load_trusted_root
from lading.signatures.public_keys import KeyInvalid
from tests.signatures.authorities import CHAIN
from tests.signatures.golden_inputs import COSIGN, KEYS


def test_anchors_have_the_fingerprints_that_policies_compute() -> None:
    keys = tuple((COSIGN / f"{name}.pub").read_text() for name in KEYS)
    certificates = tuple(each.public_bytes(Encoding.PEM).decode() for each in CHAIN)
    root = load_trusted_root(None)

    anchors = load_anchors(keys, certificates, root)

    assert set(anchors.keys) == {fingerprint_of(each) for each in keys}
    assert set(anchors.certificates) == {fingerprint_of(each) for each in certificates}
    assert set(anchors.fingerprints) == {*anchors.keys, *anchors.certificates, root.fingerprint}
    assert load_anchors((), ()).fingerprints == ()


def test_one_that_cannot_be_used_is_an_error() -> None:
    key = (COSIGN / "p256.pub").read_text()
    with pytest.raises(KeyInvalid):
        load_anchors((key, "x"), ())
    with pytest.raises(KeyInvalid):
        load_anchors((key,), (key,))
