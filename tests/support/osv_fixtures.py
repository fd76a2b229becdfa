"""Fixtures for tests that need databases of records that they make."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.osv_dumps import Databases, MakeDatabases, make_databases


@pytest.fixture
def databases_of(tmp_path: Path) -> Iterator[MakeDatabases]:
    made: list[Databases] = []

    def make(*records: Mapping[str, Any]) -> Databases:
        made.append(make_databases(tmp_path, *records))
        return made[-1]

    yield make
    for databases in made:
        for each in databases.values():
            each.close()
