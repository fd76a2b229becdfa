"""Queries of all repositories: Firestore wants an index for each, which its emulator does not miss."""

import re
from pathlib import Path

import pytest

from emulators import Emulators
from functions.composition import open_metadata
from storage.kinds import FOUND_EVERYWHERE
from storage.records import Manifest

MODULE = Path(__file__).parents[2] / "terraform" / "firestore.tf"


def test_terraform_declares_just_the_indexes_that_queries_need() -> None:
    declared = re.search(r"found_in_all_repositories = \{(.*?)\n  \}", MODULE.read_text(), re.DOTALL)

    assert declared is not None
    assert set(re.findall(r'^\s*"([a-z_.]+)"', declared[1], re.MULTILINE)) == {
        f"{kind.KIND}.{field}" for kind, field in FOUND_EVERYWHERE
    }


def test_no_other_query_is_made(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = emulators.fresh()
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", environment["FIRESTORE_EMULATOR_HOST"])
    metadata = open_metadata(environment["LADING_METADATA"])

    with pytest.raises(AssertionError):
        metadata.find(Manifest, {"blobs": "sha256:0"}, repository=None, limit=1)
    metadata.close()
    assert {field in kind.FOUND_BY for kind, field in FOUND_EVERYWHERE} == {True}
