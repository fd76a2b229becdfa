"""A hash that stops and goes on is the same hash."""

import hashlib
import random
import sys

import pytest

from lading.registry.content.referrer_tags import referrer_tags_of
from lading_storage import digests
from lading_storage.digests import ALGORITHMS, Hasher, digest_of, is_digest, is_well_formed


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_any_split_gives_the_same_digest(algorithm: str) -> None:
    rng = random.Random(11)
    for _ in range(200):
        content = rng.randbytes(rng.randrange(0, 700))
        cuts = sorted(rng.randrange(0, len(content) + 1) for _ in range(rng.randrange(0, 5)))
        state = ""
        for start, stop in zip([0, *cuts], [*cuts, len(content)], strict=True):
            hasher = Hasher(algorithm, state)
            hasher.update(content[start:stop])
            assert hasher.digest == digest_of(content[:stop], algorithm)
            state = hasher.state


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libcrypto is used on Linux only")
def test_the_hash_can_be_carried_here() -> None:
    assert Hasher("sha256").state
    assert Hasher("sha512").state


@pytest.mark.parametrize(
    "state", ["sha256-little-00", "sha512-" + sys.byteorder + "-00", "x", "sha256-" + sys.byteorder]
)
def test_a_state_of_something_else_is_refused(state: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Hasher("sha256", state)


def test_without_libcrypto_hashlib_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_resumable", lambda algorithm: False)
    hasher = Hasher("sha256")
    hasher.update(b"abc")

    assert hasher.digest == f"sha256:{hashlib.sha256(b'abc').hexdigest()}"
    assert hasher.state == ""
    with pytest.raises(ValueError, match="cannot resume"):
        Hasher("sha256", "sha256-little-00")


@pytest.mark.parametrize(
    "text", ["", "sha256", "sha256:", "sha256:ab", "md5:" + "0" * 32, "SHA256:" + "0" * 64, "sha256:" + "A" * 64]
)
def test_what_is_no_digest(text: str) -> None:
    assert not is_digest(text)
    assert not is_digest(digest_of(b"") + "\n")


@pytest.mark.parametrize(
    "digest",
    [f"sha256:{'a' * 64}", f"sha512:{'0' * 128}", f"blake3:{'0' * 64}", "a:0", "a+b.c_d-e:Az09=_-", f"a:{'x' * 510}"],
)
def test_a_digest_of_any_algorithm_can_be_well_formed(digest: str) -> None:
    assert is_well_formed(digest)


@pytest.mark.parametrize(
    "digest",
    [
        f"sha256:{'A' * 64}",
        f"sha512:{'0' * 64}",
        "blake3:0",
        "A:0",
        ":0",
        "a:",
        "a",
        "a++b:0",
        "a+:0",
        "a:0/0",
        "a:0\n",
        f"a:{'x' * 511}",
    ],
)
def test_what_is_not_in_the_grammar_is_no_digest(digest: str) -> None:
    """image-spec, descriptor.md: the grammar, and what registered algorithms say about their digits."""
    assert not is_well_formed(digest)


@pytest.mark.parametrize(
    ("digest", "tag"),
    [
        (f"sha256:{'a' * 64}", f"sha256-{'a' * 64}"),
        (f"sha512:{'a' * 128}", f"sha512-{'a' * 64}"),
        (
            "test+algorithm+using+algorithm+separators+and+lots+of+characters+to+excercise+overall+truncation:"
            "alsoSome=InTheEncodedSectionToShowHyphenReplacementAndLotsAndLotsOfCharactersToExcerciseEncodedTruncation",
            "test-algorithm-using-algorithm-s-alsoSome-InTheEncodedSectionToShowHyphenReplacementAndLotsAndLot",
        ),
    ],
)
def test_the_tag_of_a_subject_is_that_of_the_specification(digest: str, tag: str) -> None:
    """distribution-spec, "Referrers Tag Schema"."""
    assert referrer_tags_of(digest)[0] == tag
