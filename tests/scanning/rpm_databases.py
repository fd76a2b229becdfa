"""Databases of rpm: small ones made here in each format, and the real ones that go-rpmdb keeps for its own tests."""

import re
import sqlite3
import struct
from pathlib import Path
from typing import Final

from tests.support.go_modules import go_module

Installed = tuple[str, str, str]
"""Name, version and architecture."""
PUBLIC_KEY: Final = "gpg-pubkey"
PAGE: Final = 4096


def header(name: str, version: str, release: str, *, epoch: int | None = None, source: str = "") -> bytes:
    """Return the header of an installed package."""
    texts = {1000: name, 1001: version, 1002: release, 1014: "MIT", 1022: "x86_64"} | ({1044: source} if source else {})
    entries, data = b"", b""
    if epoch is not None:
        entries += struct.pack(">IIII", 1003, 4, 0, 1)
        data += struct.pack(">I", epoch)
    for tag, text in texts.items():
        entries += struct.pack(">IIII", tag, 6, len(data), 1)
        data += text.encode() + b"\0"
    return struct.pack(">II", len(entries) // 16, len(data)) + entries + data


def sqlite_of(path: Path, *headers: bytes) -> bytes:
    """Return a database in SQLite."""
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
        database.execute("CREATE TABLE 'Name' (key TEXT NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)")
        database.executemany("INSERT INTO Packages (blob) VALUES (?)", [(each,) for each in headers])
    database.close()
    return path.read_bytes()


def ndb_of(*headers: bytes) -> bytes:
    """Return a database in ndb."""
    slots, blobs, block = b"", b"", 4096 // 16
    for number, each in enumerate(headers, 1):
        blob = struct.pack("<4sIII", b"BlbS", number, 0, len(each)) + each
        blob += bytes(-len(blob) % 16)
        slots += struct.pack("<4sIII", b"Slot", number, block, len(blob) // 16)
        blobs += blob
        block += len(blob) // 16
    slots += struct.pack("<4sIII", b"Slot", 0, 0, 0) * (256 - 2 - len(headers))
    return struct.pack("<4sIII16x", b"RpmP", 0, 1, 1) + slots + blobs


def berkeley_of(*headers: bytes, order: str = "<", page_type: int = 13) -> bytes:
    """Return a database in Berkeley DB: a page of metadata, one of the hash, and pages of values."""
    values: list[bytes] = []
    links: list[tuple[int, int]] = []
    for each in headers:
        links.append((2 + len(values), len(each)))
        pieces = [each[at : at + PAGE - 26] for at in range(0, len(each), PAGE - 26)]
        for number, piece in enumerate(pieces, 2 + len(values)):
            following = 0 if piece is pieces[-1] else number + 1
            values.append(_page(order, (number, following, 1, len(piece), 7), piece))
    items = b""
    offsets: list[int] = []
    for number, (page, length) in enumerate(links, 1):
        for item in (b"\1" + struct.pack(f"{order}I", number), struct.pack(f"{order}B3xII", 3, page, length)):
            items = item + items
            offsets.append(PAGE - len(items))
    index = struct.pack(f"{order}{len(offsets)}H", *offsets)
    body = index.ljust(PAGE - 26 - len(items), b"\0") + items
    hash_page = _page(order, (1, 0, len(offsets), 0, page_type), body)
    last = 1 + len(values)
    meta = struct.pack(f"{order}8xIIIIBBBBII", 0, 0x61561, 9, PAGE, 0, 8, 0, 0, 0, last).ljust(PAGE, b"\0")
    return meta + hash_page + b"".join(values)


def _page(order: str, fields: tuple[int, ...], body: bytes) -> bytes:
    """Return a page: its fields are its number, the one that follows, its entries, its used bytes and its type."""
    number, following, entries, used, type = fields
    return (struct.pack(f"{order}8xIIIHHBB", number, 0, following, entries, used, 1, type) + body).ljust(PAGE, b"\0")


def real_databases() -> dict[str, tuple[Path, set[Installed] | None]]:
    """Return the databases of go-rpmdb by name, with what is installed as its tests expect it, if they do."""
    folder = go_module("github.com/anchore/go-rpmdb", "v0.2.2") / "pkg"
    lists = dict(
        re.findall(r'file:\s+"testdata/([^"]+)",\s+pkgList:\s+(\w+)\(\)', (folder / "rpmdb_test.go").read_text())
    )
    source = (folder / "rpmdb_testcase_test.go").read_text()
    _, *parts = re.split(r"(\w+) += func\(\) \[\]\*PackageInfo", source)
    expected = dict(zip(parts[::2], parts[1::2], strict=True))
    return {
        path.parent.name: (path, _listed(expected.get(lists.get(f"{path.parent.name}/{path.name}", ""))))
        for path in sorted((folder / "testdata").glob("*/*"))
    }


def _listed(source: str | None) -> set[Installed] | None:
    """Return the packages of a list in Go's syntax."""
    if source is None:
        return None
    row = re.compile(r'\{intRef\((\d*)\), "([^"]*)", "([^"]*)", "([^"]*)", "([^"]*)"')
    return {
        (name, f"{epoch and epoch + ':'}{version}-{release}", arch)
        for epoch, name, version, release, arch in row.findall(source)
        if name != PUBLIC_KEY
    }
