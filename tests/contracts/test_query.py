"""Queries that no store has an index for are refused before they reach one."""

from collections.abc import Mapping

import pytest

from lading_storage.query import Query
from lading_storage.records.core import Link, Manifest, Record, Tag
from tests.support.record_examples import DIGEST, link


@pytest.mark.parametrize(
    ("kind", "where", "repository"),
    [
        (Tag, {"media_type": "t"}, "a"),
        (Manifest, {"subject": DIGEST, "size": "1"}, "a"),
        (Manifest, {"subject": DIGEST}, None),
        (Manifest, {"artifact_type": "sbom"}, "a"),
        (Link, {"id": DIGEST}, "a"),
        (Link, {"object": DIGEST}, None),
        (Link, {}, None),
    ],
)
def test_a_query_without_an_index_is_refused(
    kind: type[Record], where: Mapping[str, str], repository: str | None
) -> None:
    with pytest.raises(ValueError, match=rf"^{kind.KIND} cannot be (searched|listed)"):
        Query(kind, where, repository=repository, limit=1)


def test_the_next_page_is_of_the_same_query() -> None:
    query = Query(Link, {"id": DIGEST}, repository=None, limit=7)

    following = query.after_record(link(DIGEST, "team/app"))

    assert following == Query(Link, {"id": DIGEST}, repository=None, after=DIGEST, after_repository="team/app", limit=7)
