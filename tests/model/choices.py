"""What operations of the model choose from: repositories, layers, tags and existing digests."""

from collections.abc import Collection

from hypothesis import strategies as st

from lading_storage.digests import digest_of
from tests.model.reference_model import IMMUTABLE

NAMES = ("a", "b/c")
LAYERS = tuple(f"layer {number}".encode() for number in range(4))
TAGGED = '[{"name": "tagged", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["v2"]}}]'
UNTAGGED = '[{"name": "u", "action": {"type": "Delete"}, "condition": {"tagState": "UNTAGGED", "olderThan": "1d"}}]'
name = st.sampled_from(NAMES)
tag = st.sampled_from(("", "v1", "v1", "v2", "v2", IMMUTABLE))
pick = st.integers(0, 99)


def chosen(pick: int, among: Collection[str], otherwise: str = digest_of(b"never")) -> str:
    """One of `among`; where there is none, and now and then, what need not be there."""
    every = sorted(among)
    return every[pick % len(every)] if every and pick < 90 else otherwise
