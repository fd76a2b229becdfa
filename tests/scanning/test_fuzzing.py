"""Random damage: a layer is read, in whole or in part with notes, or fails with a reason. Nothing else is raised."""

import io
import os
import random
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from lading.scanning.compression import LayerError
from lading.scanning.layer_packages import decode, encode
from lading.scanning.layer_reader import read_layer
from tests.scanning.damage import damaged
from tests.scanning.layers import INSTALLED, STATUS, hard_link, installed, member, read, status, symlink, tar
from tests.scanning.rpm_databases import berkeley_of, header, ndb_of, sqlite_of

NIGHTLY: Final = os.environ.get("LADING_NIGHTLY") == "1"
ROUNDS: Final = 100_000 if NIGHTLY else 300
"""Of each seed."""

NAMES: Final = (
    STATUS,
    INSTALLED,
    "var/lib/rpm/Packages",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/rpmdb.sqlite",
    "etc/os-release",
    "long name",
    "links",
)


def seeds(folder: Path) -> dict[str, bytes]:
    """Return layers that have each kind of member and each database."""
    headers = [header(f"p{number}", "1", "1", epoch=number, source="s-1-1.src.rpm") for number in range(20)]
    files = {
        STATUS: status("bash 1", "zlib1g 1:1.2"),
        INSTALLED: installed("musl 1"),
        "var/lib/rpm/Packages": berkeley_of(*headers),
        "var/lib/rpm/Packages.db": ndb_of(*headers),
        "var/lib/rpm/rpmdb.sqlite": sqlite_of(folder / "rpmdb.sqlite", *headers),
        "etc/os-release": b'ID=debian\nVERSION_ID="12"\n',
    }
    each = {name: tar((member(name, content), content)) for name, content in files.items()}
    sparse = member("sparse", b"1\n0\n5\n".ljust(512, b"\0") + b"Packa")
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "900"}
    links = tar(
        symlink("lib", "usr/lib"),
        hard_link("a", "b"),
        symlink(STATUS, "x"),
        (member("a/.wh.b"), b""),
        (sparse, b"1\n0\n5\n".ljust(512, b"\0") + b"Packa"),
        (member("z/.wh..wh..opq"), b""),
    )
    long = member("/".join(["deep"] * 60))
    return {**each, "links": links, "long name": tar((long, b""))}


def with_checksums(content: bytes) -> bytes:
    """Return a tar archive whose headers have the right checksums, so that damage reaches what reads the fields."""
    result = bytearray(content)
    for at in range(0, len(result) - 511, 512):
        if result[at + 257 : at + 262] == b"ustar":
            result[at + 148 : at + 156] = b" " * 8
            result[at + 148 : at + 156] = b"%06o\0 " % sum(result[at : at + 512])
    return bytes(result)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_but_a_reason_is_raised(name: str, tmp_path: Path) -> None:
    seed = seeds(tmp_path)[name]
    assert read(seed).notes is not None
    draw = random.Random(name if not NIGHTLY else None)
    results = Counter[str]()
    for _ in range(ROUNDS):
        blob = damaged(seed, draw)
        if draw.random() < 0.8:
            blob = with_checksums(blob)
        try:
            layer = read_layer(io.BytesIO(blob), len(blob))
        except LayerError:
            results["failed"] += 1
        else:
            assert decode(encode(layer)) == layer
            results["partial" if layer.notes else "read"] += 1
    assert results["failed"] > 0
    assert results["read"] + results["partial"] > 0
