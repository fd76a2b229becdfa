"""Bombs: small layers that would take much memory or time. Each ends with a reason or a note, and costs little."""

import gzip
import hashlib
import io
import json
import re
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.scanning.layer_scanner import LayerDescriptor, LayerFailed, LayerScanner
from lading.scanning.limits import MIB
from lading.scanning.packages import LayerPackages
from tests.scanning.layers import STATUS, member, status, tar, tar_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    import backports.zstd as zstd  # noqa: PLR0402

GIB = 1024 * MIB
END = bytes(1024)
MAX_RSS = 128 * MIB
MAX_SECONDS = 20

MEASURED = """
import resource, time
import lading.scanning.layer_process as process
read = process._read
def measured(*arguments):
    reply = read(*arguments)
    peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
    with open({path!r}, "w") as file:
        file.write('[%d, %f]' % (int(peak) * 1024, time.process_time()))
    return reply
process._read = measured
process.main()
"""


def zeros(size: int) -> bytes:
    """Return `size` bytes of zeros as gzip; of many members, so that making them is quick."""
    return gzip.compress(bytes(64 * MIB), 9) * (size // (64 * MIB))


def head(name: str, size: int, type: bytes = tarfile.REGTYPE) -> bytes:
    """Return the header of a member that says that it has `size` bytes."""
    info = member(name, type=type)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def extended(records: int) -> bytes:
    """Return a header of pax with this many records."""
    content = b"".join(b"30 SCHILY.xattr.user.%07d=x\n" % number for number in range(records))
    return head("x", len(content), tarfile.XHDTYPE) + content + bytes(-len(content) % 512)


def sparse_map(blocks: int) -> bytes:
    """Return a sparse file of GNU tar with this many blocks of its map."""
    header = bytearray(head("sparse", 0, tarfile.GNUTYPE_SPARSE))
    header[482] = 1  # isextended
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    block = (b"%011o\0%011o\0" % (0, 512)) * 21 + b"\1" + bytes(7)
    return bytes(header) + block * blocks


def sparse_file(size: int) -> tuple[tarfile.TarInfo, bytes]:
    content = b"1\n0\n5\n".ljust(512, b"\0") + b"Packa"
    info = member("x", content)
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": STATUS,
        "GNU.sparse.realsize": str(size),
    }
    return info, content


def many(count: int, name: Callable[[int], str]) -> bytes:
    """Return a layer of empty files."""
    return gzip.compress(b"".join(head(name(number), 0) for number in range(count)) + END, 1)


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "8 GiB of gzip": (lambda: gzip.compress(head("big", 8 * GIB)) + zeros(8 * GIB), "contains more than"),
    "8 GiB of zstd": (
        lambda: zstd.compress(head("big", 8 * GIB)) + zstd.compress(bytes(64 * MIB)) * 128,
        "contains more than",
    ),
    "8 GiB after the end": (lambda: gzip.compress(tar_of({"a": b""})) + zeros(8 * GIB), "contains more than"),
    # Not of a single segment, and with a window of 2 to the power of 31 (RFC 8878, section 3.1.1.1.2).
    "a window of 2 GiB": (lambda: b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", "zstd stream is corrupt"),
    "a long name of 1 GiB": (
        lambda: gzip.compress(head("x", GIB, tarfile.GNUTYPE_LONGNAME)) + zeros(GIB),
        "headers of one of its files are larger",
    ),
    "an extended header of 1 GiB": (
        lambda: gzip.compress(head("x", GIB, tarfile.XHDTYPE)) + zeros(GIB),
        "headers of one of its files are larger",
    ),
    "extended headers without a file": (lambda: gzip.compress(extended(1) * 5000 + END), "recursion|larger"),
    "a global header for each file": (
        lambda: gzip.compress((head("g", 99_840, tarfile.XGLTYPE) + bytes(99_840) + head("a", 0)) * 2000 + END),
        "",
    ),
    "a map of 1 GiB": (lambda: gzip.compress(sparse_map(2_000_000)), "headers of one of its files are larger"),
    "a sparse file of 8 EiB": (lambda: tar(sparse_file(8 * GIB * GIB)), "larger than 128 MiB"),
    "negative sizes": (lambda: gzip.compress(head("a", -(2**40)) + END), "corrupt|truncated|before the current"),
    "50,001 packages": (
        lambda: gzip.compress(tar_of({STATUS: status(*(f"p{number} 1" for number in range(60_000)))}), 1),
        "more than 50,000 packages",
    ),
    "a database of one line": (
        lambda: (
            gzip.compress(head(STATUS, 120 * MIB) + b"Package: bash\nDescription: x".ljust(MIB, b"x"))
            + gzip.compress(b"x" * MIB) * 119
            + gzip.compress(END)
        ),
        "",
    ),
    "100,000 whiteouts": (lambda: many(100_000, lambda number: f".wh.{number}"), "removes more than"),
    "paths of 200 KiB": (
        lambda: gzip.compress(
            b"".join(
                head("x", 200_000, tarfile.GNUTYPE_LONGNAME) + b"%0200000d" % number + bytes(192) + head("x", 0)
                for number in range(1000)
            )
            + END,
            1,
        ),
        "",
    ),
    "empty members of gzip": (lambda: gzip.compress(tar_of({"a": b"b"})) + gzip.compress(b"") * 200_000, ""),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little_and_is_no_clean_result(name: str, tmp_path: Path) -> None:
    make, expected = BOMBS[name]
    blob = make()
    measured = tmp_path / "measured"
    command = (sys.executable, "-P", "-B", "-c", MEASURED.format(path=str(measured)))
    layer = LayerDescriptor(
        f"sha256:{hashlib.sha256(blob).hexdigest()}", len(blob), "application/vnd.oci.image.layer.v1.tar+gzip"
    )
    result: LayerPackages | None = None
    with LayerScanner(command) as scanner:
        try:
            result = scanner.scan(layer, (blob[at : at + MIB] for at in range(0, len(blob), MIB)))
        except LayerFailed as error:
            text = str(error)
        else:
            text = " ".join(result.notes)
    peak, seconds = json.load(io.StringIO(measured.read_text()))

    if expected:
        assert re.search(expected, text), text
    assert peak < MAX_RSS
    assert seconds < MAX_SECONDS
