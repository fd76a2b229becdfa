"""Dumps are compiled within limits, whatever is in them, and the same records give the same bytes."""

import json
import os
import random
import sqlite3
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lading.vulnerabilities import database, dump
from lading.vulnerabilities.database import Compiled, Database
from lading.vulnerabilities.dump import DumpError
from lading.vulnerabilities.sqlite_files import DatabaseError
from tests.support.osv_dumps import affected, record, vulnerable, write_dump


def compiled(folder: Path, *records: Any, ecosystem: str = "npm") -> Compiled:
    return database.compile(ecosystem, write_dump(folder / "all.zip", records), folder / "new.sqlite")


def members(folder: Path, **contents: bytes) -> Compiled:
    """Compile a dump with one good record and these members."""
    good = json.dumps(vulnerable("GOOD", "npm", "good")).encode()
    named = {"GOOD.json": good, **{f"{name}.json": content for name, content in contents.items()}}
    return database.compile("npm", write_dump(folder / "all.zip", named), folder / "new.sqlite")


def found(folder: Path, name: str) -> list[database.Record]:
    with Database(folder / "new.sqlite") as opened:
        return opened.find(name)


def test_what_is_kept_of_a_record(tmp_path: Path) -> None:
    range = affected("npm", "a", {"introduced": "1.0.0"}, {"fixed": "1.2.0"}, {"limit": "2"}, versions=["0.1.0"])
    range["ranges"].append({"type": "GIT", "events": [{"introduced": "0"}]})
    range["ranges"].append({"type": "SEMVER", "events": [{"introduced": "3.0.0"}, {"last_affected": "3.1.0"}]})
    fields = {"aliases": ["CVE-1", "A"], "published": "2024-05-06T07:08:09.123456789Z", "summary": "x  y " * 100}
    compiled(tmp_path, record("G-1", range, **fields, database_specific={"severity": "MODERATE"}))

    (got,) = found(tmp_path, "a")

    assert (got.id, got.aliases, got.covers, got.published) == ("G-1", ("A", "CVE-1"), (), fields["published"])
    assert (got.affected.severity, got.affected.score, got.affected.release) == ("medium", None, "")
    assert len(got.summary) == 200
    assert got.summary.startswith("x y x y")
    assert got.affected.versions == ["0.1.0"]
    assert got.affected.ranges == [
        [("introduced", "1.0.0"), ("fixed", "1.2.0"), ("limit", "2")],
        [("introduced", "3.0.0"), ("last_affected", "3.1.0")],
    ]


def test_what_is_not_kept(tmp_path: Path) -> None:
    result = compiled(
        tmp_path,
        vulnerable("WITHDRAWN", "npm", "a", withdrawn="2026-01-01T00:00:00Z"),
        vulnerable("OTHER", "PyPI", "a"),
        record("COMMITS", affected("npm", "a")),
        record("NONE"),
        vulnerable("KEPT", "npm", "a"),
    )

    assert [each.id for each in found(tmp_path, "a")] == ["KEPT"]
    assert (result.records, result.unreadable) == (1, 0)


def test_the_ids_of_a_distributions_records(tmp_path: Path) -> None:
    one, other = "CVE-2024-1", "CVE-2024-2"
    compiled(
        tmp_path,
        vulnerable("DEBIAN-CVE-2024-1", "Debian:12", "a", upstream=[one]),
        vulnerable("DSA-1", "Debian:12", "a", upstream=[one, other]),
        vulnerable("DSA-2", "Debian:12", "a", related=[one, other, "DSA-1"]),
        ecosystem="Debian",
    )

    assert [(each.id, each.aliases, each.covers) for each in found(tmp_path, "a")] == [
        ("DEBIAN-CVE-2024-1", (one,), ()),
        ("DSA-1", (), (one, other)),
        ("DSA-2", (), (one, other)),
    ]


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    records = [vulnerable(f"G-{number}", "npm", f"p{number % 7}", "1.0.0", aliases=["B", "A"]) for number in range(300)]
    first = compiled(tmp_path, *records)
    content = (tmp_path / "new.sqlite").read_bytes()
    random.Random(1).shuffle(records)

    assert compiled(tmp_path, *records) == first
    assert (tmp_path / "new.sqlite").read_bytes() == content
    records[0]["summary"] = "other"
    assert compiled(tmp_path, *records).version != first.version
    assert first.version.startswith("2026-01-01T00:00:00Z-")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\xfe{}",
        b'{"id": "X"' + b" " * dump.MAX_RECORD + b"}",
        b"9" * 10_000,
        json.dumps(vulnerable("X", "npm", "a") | {"id": 7}).encode(),
        json.dumps(vulnerable("X\ud800", "npm", "a")).encode(),
        json.dumps(record("X", affected("npm", "a", {"introduced": 1}))).encode(),  # type: ignore[dict-item]
        json.dumps(record("X", {"package": {"name": "a"}})).encode(),
        json.dumps(record("X", {"package": []}, ["a"])).encode(),  # type: ignore[arg-type]
        json.dumps(vulnerable("X", "npm", "a", aliases=[1])).encode(),
        json.dumps(vulnerable("X", "npm", "a", summary=[1])).encode(),
    ],
    ids=range(16),
)
def test_a_record_that_cannot_be_read_is_counted(tmp_path: Path, content: bytes) -> None:
    result = members(tmp_path, BAD=content)

    assert (result.records, result.unreadable) == (1, 1)
    with Database(tmp_path / "new.sqlite") as opened:
        assert opened.unreadable == result.unreadable


def test_a_record_with_a_strange_time_or_severity_is_kept(tmp_path: Path) -> None:
    strange = vulnerable("X", "npm", "a", published=5, severity=[{"type": "CVSS_V3", "score": "?"}, 3], modified="no")

    assert (compiled(tmp_path, strange).records, found(tmp_path, "a")[0].published) == (1, "")


def patched(path: Path, mark: bytes, offset: int, value: bytes) -> None:
    """Overwrite bytes after the first mark of a zip file."""
    content = bytearray(path.read_bytes())
    at = content.index(mark) + offset
    content[at : at + len(value)] = value
    path.write_bytes(content)


@pytest.mark.parametrize(("size", "unreadable"), [(10, 1), (2**31, 0)])
def test_the_size_that_a_member_claims_is_not_believed(tmp_path: Path, size: int, unreadable: int) -> None:
    path = write_dump(tmp_path / "all.zip", [vulnerable("A", "npm", "a"), vulnerable("B", "npm", "b")])
    patched(path, b"PK\1\2", 24, struct.pack("<L", size))

    result = database.compile("npm", path, tmp_path / "new.sqlite")

    assert (result.records, result.unreadable) == (2 - unreadable, unreadable)
    assert [each.id for each in found(tmp_path, "b")] == ["B"]


def test_a_damaged_member_is_counted(tmp_path: Path) -> None:
    path = write_dump(tmp_path / "all.zip", [vulnerable("A", "npm", "a"), vulnerable("B", "npm", "b")])
    patched(path, b"A.json", 20, b"\0\xff\0\xff\0\xff")

    assert database.compile("npm", path, tmp_path / "new.sqlite").unreadable == 1


def test_an_encrypted_member_is_counted(tmp_path: Path) -> None:
    path = write_dump(tmp_path / "all.zip", [vulnerable("A", "npm", "a"), vulnerable("B", "npm", "b")])
    patched(path, b"PK\1\2", 8, b"\1\0")

    assert database.compile("npm", path, tmp_path / "new.sqlite").unreadable == 1


def test_members_that_decompress_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert members(tmp_path, BOMB=b" " * (dump.MAX_RECORD + 1)).unreadable == 1

    monkeypatch.setattr(dump, "MAX_TOTAL", 2 * dump.MAX_RECORD)
    with pytest.raises(DumpError, match="bytes of records"):
        members(tmp_path, B1=b" " * dump.MAX_RECORD, B2=b" " * dump.MAX_RECORD)
    assert not (tmp_path / "new.sqlite").exists()


def test_the_directory_of_a_dump_is_bounded(tmp_path: Path) -> None:
    path = write_dump(tmp_path / "all.zip", [vulnerable("A", "npm", "a")])
    with path.open("r+b") as file:
        # A hole of a file: a directory of the size that the end record names.
        end = path.read_bytes()[-22:]
        file.truncate(dump.MAX_DIRECTORY + 1)
        file.seek(0, os.SEEK_END)
        file.write(end[:12] + struct.pack("<LL", dump.MAX_DIRECTORY + 1, 0) + end[20:])

    with pytest.raises(DumpError, match="directory is too large"):
        database.compile("npm", path, tmp_path / "new.sqlite")


def test_many_members(tmp_path: Path) -> None:
    """A damaged member costs no more than its directory entry says."""
    path = tmp_path / "all.zip"
    content = json.dumps(vulnerable("A", "npm", "a")).encode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("000000.json", content)
        info = archive.infolist()[0]
        for number in range(1, 20_000):
            # All share the bytes of the first.
            copy = zipfile.ZipInfo(f"{number:06}.json")
            copy.CRC, copy.file_size, copy.compress_size, copy.header_offset = (
                info.CRC,
                info.file_size,
                info.file_size,
                0,
            )
            archive.filelist.append(copy)

    result = database.compile("npm", path, tmp_path / "new.sqlite")

    # The header at that place has another name.
    assert (result.records, result.unreadable) == (1, 19_999)


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip", b"PK\5\6" + bytes(10)])
def test_what_is_no_dump_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "all.zip").write_bytes(content)
    (tmp_path / "new.sqlite").write_bytes(b"old")

    with pytest.raises(DumpError):
        database.compile("npm", tmp_path / "all.zip", tmp_path / "new.sqlite")
    assert not (tmp_path / "new.sqlite").exists()


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    for content in (b"", b"no database" * 100):
        path.write_bytes(content)
        with pytest.raises(DatabaseError):
            Database(path)
    with pytest.raises(DatabaseError):
        Database(tmp_path / "absent.sqlite")


def test_a_damaged_database_is_recognised(tmp_path: Path) -> None:
    records = [vulnerable(f"G-{number}", "npm", f"p{number}", "1.0.0") for number in range(500)]
    compiled(tmp_path, *records)
    content = bytearray((tmp_path / "new.sqlite").read_bytes())
    content[3 * 4096 : -4096] = os.urandom(len(content) - 4 * 4096)
    (tmp_path / "new.sqlite").write_bytes(content)

    with pytest.raises(DatabaseError):
        [found(tmp_path, f"p{number}") for number in range(500)]


def test_a_database_with_foreign_rows_is_recognised(tmp_path: Path) -> None:
    compiled(tmp_path, vulnerable("A", "npm", "a"))
    with sqlite3.connect(tmp_path / "new.sqlite") as connection:
        connection.execute("UPDATE affected SET ranges = '[[7]]'")
    connection.close()

    with pytest.raises(DatabaseError, match="damaged"):
        found(tmp_path, "a")
