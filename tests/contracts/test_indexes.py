"""Queries: Firestore wants an index for each, which its emulator does not miss, and nothing else is to be indexed."""

import dataclasses
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from emulators import Emulators
from lading.composition import open_metadata
from lading_storage.firestore_indexes import indexes_of
from lading_storage.records.core import (
    HIDDEN,
    HIDDEN_UNVERIFIED,
    MARKED,
    UNVERIFIED,
    Blob,
    Manifest,
    Record,
    Repository,
    Upload,
)
from lading_storage.records.deleted import DeletedLink
from lading_storage.records.events import DEAD, Delivery
from lading_storage.records.fields import CONTENT, layout_of
from lading_storage.records.kinds import CROSS_REPOSITORY_FIELDS, KINDS
from lading_storage.records.scans import BACKLOG, MATCH, SCAN, Facts
from tests.support.record_examples import DIGEST, EXAMPLES, NOW, link

MODULE = Path(__file__).parents[2] / "terraform" / "firestore.tf"


def declared(name: str) -> str:
    """The text of a local value of the module."""
    found = re.search(rf"^  {name} = [{{\[]\n(.*?)^  [}}\]]$", MODULE.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_terraform_declares_just_the_indexes_that_queries_need() -> None:
    rows = re.findall(r'"([a-z_.]+)"\s+= "([A-Z_ ]+)"', declared("queried"))

    assert sorted(rows) == sorted(
        (f"{kind.KIND}.{index.field}", f"{index.scope} {index.mode}") for kind in KINDS for index in indexes_of(kind)
    )
    assert len(rows) == len(dict(rows)), "a field has one index"


def test_terraform_exempts_all_other_fields_of_every_kind() -> None:
    assert sorted(re.findall(r'"([a-z_]+)"', declared("collections"))) == sorted(kind.KIND for kind in KINDS)
    for name in re.findall(r'"([a-z_.]+)"', declared("never_asked_for")):
        assert name not in declared("queried")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_a_kind_names_its_queues(kind: type[Record]) -> None:
    assert bool(kind.QUEUES) == (kind.due is not Record.due)
    names = {each.name for each in dataclasses.fields(kind)}
    assert set(kind.INDEXED_FIELDS) <= names
    for special in (kind.CROSS_REPOSITORY_FIELDS, kind.FILTER_FIELDS, kind.FIXED_FIELDS):
        assert set(special) <= set(kind.INDEXED_FIELDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_a_kind_has_fields_of_types_that_every_store_keeps(kind: type[Record]) -> None:
    plain = (str, int, bool, datetime, datetime | None, tuple[str, ...], tuple[int, ...])

    for name, type_ in layout_of(kind).types.items():
        assert type_ == bytes | None if name == CONTENT else type_ in plain


def test_an_entry_is_in_a_queue_that_its_kind_names() -> None:
    # In every state that a record can be in.
    records = [*EXAMPLES, *(replace(link(DIGEST, "team/app"), state=state) for state in (UNVERIFIED, MARKED, ""))]
    hidden = next(each for each in EXAMPLES if isinstance(each, DeletedLink))
    records += [replace(hidden, state=state) for state in (HIDDEN, HIDDEN_UNVERIFIED, "")]
    blob = next(each for each in EXAMPLES if isinstance(each, Blob))
    upload = next(each for each in EXAMPLES if isinstance(each, Upload))
    repository = next(each for each in EXAMPLES if isinstance(each, Repository))
    records += [replace(blob, state=UNVERIFIED), replace(upload, cancelled=True)]
    delivery = next(each for each in EXAMPLES if isinstance(each, Delivery))
    facts = next(each for each in EXAMPLES if isinstance(each, Facts))
    records += [replace(delivery, state=DEAD), replace(facts, task=SCAN), replace(facts, task="")]
    records += [replace(facts, task=BACKLOG), replace(facts, task=MATCH, data=("signed=1",))]
    records += [replace(repository, deleted=NOW), replace(repository, review=NOW)]

    seen = {(type(record), record.due.partition(" ")[0]) for record in records if record.due}

    assert seen == {(kind, queue) for kind in KINDS for queue in kind.QUEUES}


def test_no_other_queue_is_read(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = emulators.fresh_stores()
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", environment["FIRESTORE_EMULATOR_HOST"])
    metadata = open_metadata(environment["LADING_METADATA"])

    with pytest.raises(AssertionError):
        metadata.due(Manifest, UNVERIFIED, NOW, limit=1)
    metadata.close()
    assert {field in kind.INDEXED_FIELDS for kind, field in CROSS_REPOSITORY_FIELDS} == {True}
