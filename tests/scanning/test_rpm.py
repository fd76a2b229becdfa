"""Databases of rpm: each format, real ones of each age, damaged ones."""

import io
import random
import struct
from pathlib import Path

import pytest

from lading.scanning.extractors.extractor import File
from lading.scanning.extractors.rpm import Rpm
from lading.scanning.packages import RPM, Package
from tests.scanning.layers import hard_link, layer_of, member, names, read, symlink, tar, tar_of
from tests.scanning.rpm_databases import PAGE, berkeley_of, header, ndb_of, real_databases, sqlite_of

SQLITE = "usr/lib/sysimage/rpm/rpmdb.sqlite"
NDB = "usr/lib/sysimage/rpm/Packages.db"
BERKELEY = "var/lib/rpm/Packages"
OPENSSL = header("openssl-libs", "3.0.7", "24.el9", epoch=1, source="openssl-3.0.7-24.el9.src.rpm")
BASH = header("bash", "5.1.8", "9.el9", source="bash-5.1.8-9.el9.src.rpm")
KEY = header("gpg-pubkey", "c105b9de", "4e0fd3a3")
LARGE = header("kernel-devel" + "x" * 100, "6", "1", source="k" * 10_000)


def packages_at(path: str) -> tuple[Package, ...]:
    return (
        Package(
            type=RPM,
            name="openssl-libs",
            version="1:3.0.7-24.el9",
            arch="x86_64",
            source="openssl",
            path=path,
            licenses=("MIT",),
        ),
        Package(type=RPM, name="bash", version="5.1.8-9.el9", arch="x86_64", path=path, licenses=("MIT",)),
    )


def databases(folder: Path, *headers: bytes) -> dict[str, tuple[str, bytes]]:
    """Return a database of each format, with its path."""
    return {
        "sqlite": (SQLITE, sqlite_of(folder / "rpmdb.sqlite", *headers)),
        "ndb": (NDB, ndb_of(*headers)),
        "berkeley": (BERKELEY, berkeley_of(*headers)),
        "big-endian": (BERKELEY, berkeley_of(*headers, order=">")),
        "of 2005": (BERKELEY, berkeley_of(*headers, page_type=2)),
    }


@pytest.mark.parametrize("format", ["sqlite", "ndb", "berkeley", "big-endian", "of 2005"])
def test_each_format_is_read(format: str, tmp_path: Path) -> None:
    path, content = databases(tmp_path, OPENSSL, KEY, BASH)[format]
    layer = layer_of({path: content})
    assert (layer.packages[path], layer.notes) == (packages_at(path), ())

    path, content = databases(tmp_path, BASH, LARGE, OPENSSL)[format]
    assert len(layer_of({path: content}).packages[path]) == 3, "a header of several pages"


def test_real_databases_are_read_as_go_rpmdb_reads_them() -> None:
    databases = real_databases()
    assert len(databases) == 18
    compared = 0
    for name, (path, expected) in databases.items():
        at = f"var/lib/rpm/{path.name}"
        layer = read(tar_of({at: path.read_bytes()}))
        found = {(each.name, each.version, each.arch) for each in layer.packages[at]}
        assert layer.notes == (), name
        assert len(found) == len(layer.packages[at]), name
        assert found == (expected or found), name
        compared += len(expected or ())
    assert compared == 3531


def test_a_database_is_read_wherever_it_is_linked() -> None:
    """Fedora links var/lib/rpm to usr/lib/sysimage/rpm; images of ostree link it to an object of their store."""
    content = ndb_of(BASH)
    fedora = read(tar((member(NDB, content), content), symlink("var/lib/rpm", "../../usr/lib/sysimage/rpm")))
    assert (names(fedora), fedora.notes) == (["bash 5.1.8-9.el9"], ())

    elsewhere = read(tar(symlink("var/lib/rpm", "/opt/rpm")))
    assert elsewhere.notes[0] == f"var/lib/rpm: a link to opt/rpm, where the {BERKELEY} was not looked for"


def test_a_database_under_the_name_of_ostree_is_read(tmp_path: Path) -> None:
    content = sqlite_of(tmp_path / "rpmdb.sqlite", BASH)
    stored = f"sysroot/ostree/repo/objects/ab/{'c' * 62}.file"

    layer = read(tar((member(stored, content), content), hard_link("usr/share/rpm/rpmdb.sqlite", stored)))

    assert (names(layer), layer.notes) == (["bash 5.1.8-9.el9"], ())
    assert layer_of({"home/x.sqlite": content}).packages == {}


def test_what_is_only_in_the_log_of_sqlite_is_noted() -> None:
    assert layer_of({f"{SQLITE}-wal": b""}).notes == ()
    assert layer_of({f"{SQLITE}-wal": b"x"}).notes == (
        f"{SQLITE}-wal: changes to the database of rpm that are only in this log were not read",
    )


def test_the_manifest_of_azure_linux_is_read() -> None:
    path = "var/lib/rpmmanifest/container-manifest-2"
    rows = [
        "openssl-libs\t3.0.7-24.cm2\t1\t2\tMicrosoft\t1\t9\tx86_64\t1\topenssl-3.0.7-24.cm2.src.rpm",
        "zlib\t1.2.13-2.cm2\t1\t2\tMicrosoft\t(none)\t9\tx86_64\t0\tzlib-1.2.13-2.cm2.src.rpm",
        "",
        "short",
    ]
    layer = layer_of({path: "\n".join(rows).encode()})
    assert names(layer) == ["openssl-libs 1:3.0.7-24.cm2", "zlib 1.2.13-2.cm2"]
    assert [each.source for each in layer.packages[path]] == ["openssl", ""]
    assert layer.notes == (f"{path}: a line without ten columns was left out",)


def test_an_empty_database_declares_nothing() -> None:
    layer = layer_of({BERKELEY: b""})
    assert (layer.packages, layer.notes, layer.present) == ({}, (), (BERKELEY,))


@pytest.mark.parametrize("format", ["sqlite", "ndb", "berkeley"])
def test_a_truncated_database_is_noted(format: str, tmp_path: Path) -> None:
    path, content = databases(tmp_path, *[header(f"p{number}", "1", "1") for number in range(50)])[format]
    for cut in (1, 15, 100, len(content) // 2, len(content) - 60):
        assert len(layer_of({path: content[:cut]}).notes) == 1, cut


@pytest.mark.parametrize("content", [b"garbage" * 100, b"\0" * 512, b"SQLite format 3\0" + bytes(84)])
def test_another_format_is_noted(content: bytes) -> None:
    [note] = layer_of({BERKELEY: content}).notes
    assert note.startswith(f"{BERKELEY}: the database of rpm could not be read: ")


def test_a_cycle_of_pages_has_an_end(tmp_path: Path) -> None:
    cyclic = bytearray(berkeley_of(LARGE))
    struct.pack_into("<I", cyclic, 3 * PAGE + 16, 3)  # the page that follows page 3 is page 3
    struct.pack_into("<I", cyclic, 2 * PAGE - 9, 60 * 1024 * 1024)  # and the value seems to be large
    layer = layer_of({BERKELEY: bytes(cyclic)})
    assert len(layer.notes) == 1

    empty = bytearray(berkeley_of(LARGE))
    struct.pack_into("<H", empty, 3 * PAGE + 22, 0)  # a page that holds nothing
    struct.pack_into("<I", empty, 3 * PAGE + 16, 3)
    assert len(layer_of({BERKELEY: bytes(empty)}).notes) == 1

    content = bytearray(sqlite_of(tmp_path / "rpmdb.sqlite", *[header(f"p{n}", "1", "1") for n in range(500)]))
    interior = next(at for at in range(4096, len(content), 4096) if content[at] == 5)
    struct.pack_into(">I", content, interior + 8, interior // 4096 + 1)  # its last child is itself
    [note] = layer_of({SQLITE: bytes(content)}).notes
    assert "could not be read" in note


class CountingBytes(io.BytesIO):
    """Counts what is read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


@pytest.mark.parametrize("format", ["sqlite", "ndb", "berkeley"])
def test_damage_costs_no_more_than_the_size_of_the_database(format: str, tmp_path: Path) -> None:
    headers = [header(f"p{number}", "1", "1", source="s" * 300) for number in range(50)]
    path, content = databases(tmp_path, *headers)[format]
    draw = random.Random(21)
    failures = 0
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(draw.choice((1, 8, 200))):
            damaged[draw.randrange(len(damaged))] = draw.choice((0, 1, 255, draw.randrange(256)))
        counting = CountingBytes(damaged)
        try:
            found = list(Rpm().packages(File(path, len(damaged), counting, lambda text: None)))
        except Exception:
            failures += 1
        else:
            assert len(found) <= 50
        assert counting.count < 20 * len(content)
    assert 10 < failures < 200
