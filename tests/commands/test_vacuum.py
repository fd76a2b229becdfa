"""`lading vacuum`, beside a registry that serves."""

from collections.abc import Mapping
from pathlib import Path

from lading_storage.protocols import Create, Delete
from lading_storage.stores import Stores
from tests.support.record_examples import get, tag
from tests.support.server_process import Server, run_lading


def test_vacuum_gives_back_what_deleted_records_left(
    stores: Stores, server: Server, environment: Mapping[str, str], tmp_path: Path
) -> None:
    kept, gone = tag("kept", content=b"x" * 20_000), [tag(f"v{n}", content=b"x" * 20_000) for n in range(150)]
    stores.metadata.commit([*map(Create, gone), Create(kept)])
    stores.metadata.commit([Delete(get(stores.metadata, each.key)) for each in gone])

    done = run_lading(["vacuum"], tmp_path, environment)

    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("of the metadata's file to the file system\n")
    assert get(stores.metadata, kept.key) == kept
    assert stores.metadata.compact(1) == 0
    if data := environment.get("LADING_DATA"):
        assert done.stdout.startswith("returned 3.")
        assert (Path(data) / "metadata.sqlite").stat().st_size < 500_000
    else:
        assert done.stdout.startswith("returned 0 B")
