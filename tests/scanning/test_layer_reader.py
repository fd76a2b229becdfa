"""A layer is read as a runtime would unpack it: members, whiteouts, links, and each way to store it."""

import gzip
import io
import sys
import tarfile
from collections.abc import Iterator

import pytest

from lading.scanning.compression import LayerError
from lading.scanning.extractors.extractor import File
from lading.scanning.layer_reader import read_layer
from lading.scanning.packages import Distribution, Package
from tests.scanning.layers import (
    INSTALLED,
    STATUS,
    hard_link,
    installed,
    layer_of,
    member,
    names,
    read,
    status,
    symlink,
    tar,
    tar_of,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    import backports.zstd as zstd  # noqa: PLR0402

LAYER = tar_of({"etc/motd": b"x" * 3000, STATUS: status("bash 5.1-2", "zlib1g 1:1.2"), "bin/sh": b"\x7fELF"})
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"


def pieces(data: bytes, size: int = 700) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


STORED = {
    "tar": LAYER,
    "gzip": gzip.compress(LAYER),
    "gzip of many members, as eStargz": b"".join(gzip.compress(each) for each in pieces(LAYER)),
    "gzip padded with zeros": gzip.compress(LAYER) + bytes(100_000),
    "zstd": zstd.compress(LAYER),
    "zstd of many frames": b"".join(zstd.compress(each) for each in pieces(LAYER)),
    "zstd:chunked, with skippable frames": zstd.compress(LAYER) + SKIPPABLE,
    "zstd that begins with a skippable frame": SKIPPABLE + zstd.compress(LAYER),
}


@pytest.mark.parametrize("how", STORED)
def test_a_layer_is_read_however_it_is_stored(how: str) -> None:
    layer = read(STORED[how])

    assert names(layer) == ["bash 5.1-2", "zlib1g 1:1.2"]
    assert layer.notes == ()


@pytest.mark.parametrize("how", STORED)
def test_a_truncated_layer_is_never_a_result(how: str) -> None:
    blob = STORED[how].rstrip(b"\0")
    cuts = {1, 5, 12, 100, len(blob) // 2, len(blob) - 9, len(blob) - 1}
    if how == "tar":
        cuts = {1, 100, 600, len(blob) // 2, len(blob) - 1}
    if "skippable" in how:
        cuts -= {12}  # between two frames
    for cut in cuts:
        with pytest.raises(LayerError, match=r"truncated|corrupt"):
            read(blob[:cut])


@pytest.mark.parametrize("how", ["gzip", "gzip of many members, as eStargz"])
def test_a_corrupt_layer_is_never_a_result(how: str) -> None:
    blob = STORED[how]
    for at in range(0, len(blob), max(1, len(blob) // 200)):
        damaged = blob[:at] + bytes([blob[at] ^ 0x10]) + blob[at + 1 :]
        try:
            layer = read(damaged)
        except LayerError:
            continue
        assert names(layer) == ["bash 5.1-2", "zlib1g 1:1.2"], at


def test_a_damaged_header_is_no_end() -> None:
    """tarfile takes it for one, so that the packages after it would be missed."""
    damaged = bytearray(LAYER)
    damaged[LAYER.index(STATUS.encode()) + 150] ^= 1

    with pytest.raises(LayerError, match="header of one of its files is damaged"):
        read(bytes(damaged))


@pytest.mark.parametrize("blob", [b"", b"x", b"{}", b"hello" * 1000])
def test_what_is_no_layer_is_an_error(blob: bytes) -> None:
    with pytest.raises(LayerError, match="corrupt"):
        read(blob)


def test_an_empty_layer_declares_nothing() -> None:
    assert read(gzip.compress(bytes(1024))).packages == {}


def test_whiteouts_are_kept_by_path() -> None:
    layer = layer_of(
        {"var/lib/.wh.dpkg": b"", "opt/.wh..wh..opq": b"", ".wh.srv": b"", ".wh..wh.plnk": b"", "./usr/.wh.x.jar": b""}
    )

    assert layer.removed == ("var/lib/dpkg", "srv", "usr/x.jar")
    assert layer.opaque == ("opt",)


@pytest.mark.parametrize("name", ["./" + STATUS, "/" + STATUS, "//" + STATUS, "a/../" + STATUS, "../../" + STATUS])
def test_paths_are_below_the_root(name: str) -> None:
    layer = layer_of({name: status("bash 1")})

    assert list(layer.packages) == [STATUS]
    assert layer.packages[STATUS][0].path == STATUS


def test_of_members_with_the_same_path_the_last_counts() -> None:
    first, second = status("bash 1"), status("bash 2")

    assert names(read(tar((member(STATUS, first), first), (member(f"./{STATUS}", second), second)))) == ["bash 2"]
    emptied = read(tar((member(STATUS, first), first), (member(STATUS), b"")))
    assert (emptied.packages, emptied.present) == ({}, (STATUS,))
    linked = read(tar((member(STATUS, first), first), symlink(STATUS, "elsewhere")))
    assert names(linked) == []
    assert linked.notes == (f"{STATUS}: a link to var/lib/dpkg/elsewhere, which was not read",)


def test_long_names_of_pax_and_of_gnu_tar_are_read() -> None:
    long = "/".join(["d" * 90] * 3)
    for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=format) as archive:
            archive.addfile(member(f"{long}/.wh.x"))
            info = member(STATUS, status("bash 1"))
            info.pax_headers = {"SCHILY.xattr.user.x": "ü" * 1000, "path": f"./{STATUS}"}
            archive.addfile(info, io.BytesIO(status("bash 1")))
        layer = read(stream.getvalue())
        assert layer.removed == (f"{long}/x",)
        assert names(layer) == ["bash 1"]


def test_a_sparse_file_is_read_with_its_hole() -> None:
    """GNU sparse format 1.0: the map is in front of the data (https://www.gnu.org/software/tar/manual)."""
    content = status("bash 1")
    data = f"1\n0\n{len(content)}\n".encode().ljust(512, b"\0") + content
    info = member("GNUSparseFile.0/status", data)
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": STATUS,
        "GNU.sparse.realsize": "10240",
    }
    after = status("zlib1g 2")
    layer = read(tar((info, data), (member("var/lib/dpkg/status.d/zlib1g", after), after)))

    assert names(layer) == ["bash 1", "zlib1g 2"]


class Failing:
    """An extractor that yields a package and then fails."""

    name = "list of failures"
    limit = 100

    def wants(self, path: str, size: int, head: bytes) -> bool:
        return path.endswith(".fail")

    def packages(self, file: File) -> Iterator[Package]:
        yield Package(type="deb", name=file.content.read().decode(), path=file.path)
        file.note("one of two was read")
        raise RuntimeError("line\n2")


def test_damage_to_a_file_is_noted_and_the_others_are_read() -> None:
    blob = tar_of({"a.fail": b"a", "b.fail": b"b" * 101, "c.fail": b"c"})

    layer = read_layer(io.BytesIO(blob), len(blob), (Failing(),))

    assert [each.name for packages in layer.packages.values() for each in packages] == ["a", "c"]
    assert layer.notes == (
        "a.fail: one of two was read",
        "a.fail: the list of failures could not be read: line\N{REPLACEMENT CHARACTER}2",
        "b.fail: larger than 0 MiB, so the list of failures was not read",
        "c.fail: one of two was read",
        "c.fail: the list of failures could not be read: line\N{REPLACEMENT CHARACTER}2",
    )
    assert layer.present == ("b.fail",)


def test_links_to_what_is_not_read_are_noted() -> None:
    content = installed("musl 1")
    usr_merged = tar(symlink("lib", "usr/lib"), (member(f"usr/{INSTALLED}", content), content))
    assert names(read(usr_merged)) == ["musl 1"]
    assert read(usr_merged).notes == ()
    assert read(tar(symlink("var", "/opt/var"))).notes[0] == (
        f"var: a link to opt/var, where the {STATUS} was not looked for"
    )
    moved = tar((member("opt/status", content), content), hard_link(STATUS, "opt/status"))
    assert read(moved).notes == (f"{STATUS}: a link to opt/status, which was not read",)
    again = tar((member(STATUS, status("bash 1")), status("bash 1")), hard_link(STATUS + "-old", STATUS))
    assert (names(read(again)), read(again).notes) == (["bash 1"], ())


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"etc/os-release": b'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'}, ("debian", "12", "bookworm")),
        ({"usr/lib/os-release": b"# x\nNAME=A\n ID='Alpine'\nVERSION_ID=3.18.4"}, ("alpine", "3.18.4", "")),
        (
            {"usr/lib/os-release": b"ID=a", "etc/os-release": b"ID=b", "etc/redhat-release": b"C release 6"},
            ("b", "", ""),
        ),
        ({"etc/redhat-release": b"CentOS release 6.10 (Final)\n"}, ("centos", "6.10", "")),
        ({"etc/redhat-release": b"Red Hat Enterprise Linux Server release 5.11 (Tikanga)"}, ("rhel", "5.11", "")),
        ({"etc/os-release": b'NAME=x\nID=""\n'}, None),
        ({"etc/os-release": b"\xff=\xfe\nID=\x1b[31m"}, ("\N{REPLACEMENT CHARACTER}[31m", "", "")),
    ],
)
def test_the_distribution_is_read(files: dict[str, bytes], expected: tuple[str, str, str] | None) -> None:
    id, version, codename = expected or ("", "", "")
    found = Distribution(id=id, version=version, codename=codename) if expected else None
    assert layer_of(files).distribution == found


def test_names_can_be_printed_and_stored() -> None:
    layer = layer_of({STATUS: b"Package: \x1b[2Jx\xff\nVersion: " + b"1" * 9999 + b"\n\nPackage:\nVersion: 1\n"})

    [package] = layer.packages[STATUS]
    assert (package.name, len(package.version)) == ("\N{REPLACEMENT CHARACTER}[2Jx\N{REPLACEMENT CHARACTER}", 512)
    assert layer.notes == (f"{STATUS}: a package without a name was left out",)
