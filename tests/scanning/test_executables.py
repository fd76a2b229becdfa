"""Executables of Go and Rust declare what they were built from; what cannot be read is noted, and costs little."""

import json
import struct
import zlib

import pytest

from lading.scanning.extractors.go_binary import MAGIC
from tests.scanning.go_information import MODULES, build_information, string
from tests.scanning.layers import declared, executable, noted, read, tar_of


def go_program(modules: str = MODULES, version: str = "go1.22.1") -> bytes:
    return executable(b"code" * 100 + build_information(modules, version) + b"data" * 100)


def test_a_program_of_go_lists_its_modules_and_the_standard_library() -> None:
    assert declared("app", go_program()) == ["stdlib 1.22.1", "example.com/app v1.2.3", "golang.org/x/net v0.1.0"]


@pytest.mark.parametrize("head", [b"MZ", b"\xcf\xfa\xed\xfe"], ids=["Windows", "macOS"])
def test_no_format_of_executables_needs_to_be_understood(head: bytes) -> None:
    assert declared("app", head + bytes(1000) + build_information())[0] == "stdlib 1.22.1"


@pytest.mark.parametrize("at", range(2**20 - 40, 2**20 + 2, 7))
def test_the_information_may_be_on_the_edge_of_what_is_read_at_once(at: int) -> None:
    content = executable().ljust(at, b"\0") + build_information()

    assert len(declared("app", content)) == 3


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("go1.22.1", "stdlib 1.22.1"),
        ("go1.24.0 X:boringcrypto", "stdlib 1.24.0"),
        ("go1.21rc2", "stdlib 1.21rc2"),
        ("devel go1.23-2f3d 2024", "stdlib "),
    ],
)
def test_the_version_of_the_standard_library_is_the_one_of_go(version: str, expected: str) -> None:
    assert declared("app", go_program(version=version))[0] == expected


def test_the_version_of_a_main_module_that_was_built_from_a_folder_is_unknown() -> None:
    assert declared("app", go_program("mod\texample.com/app\t(devel)\t\n"))[1] == "example.com/app "


@pytest.mark.parametrize(
    ("replacement", "expected"),
    [
        ("github.com/fork/net\tv0.2.0\th1:y=", "github.com/fork/net v0.2.0"),
        ("../net\t\t", "golang.org/x/net "),
        ("./net\t(devel)\t", "golang.org/x/net "),
        ("/src/net\t\t", "golang.org/x/net "),
        ("C:\\src\\net\t\t", "golang.org/x/net "),
    ],
)
def test_a_replaced_module_is_what_replaces_it_and_of_unknown_version_if_that_is_a_folder(
    replacement: str, expected: str
) -> None:
    modules = f"dep\tgolang.org/x/net\tv0.1.0\n=>\t{replacement}\ndep\tgolang.org/x/sys\tv0.3.0\th1:z=\n"

    assert declared("app", go_program(modules)) == ["stdlib 1.22.1", expected, "golang.org/x/sys v0.3.0"]


def test_a_program_that_contains_another_lists_the_modules_of_both_once() -> None:
    content = go_program() + build_information("dep\texample.com/inner\tv1.0.0\t\n" + MODULES)

    assert sorted(declared("app", content)) == [
        "example.com/app v1.2.3",
        "example.com/inner v1.0.0",
        "golang.org/x/net v0.1.0",
        "stdlib 1.22.1",
    ]


def test_bytes_that_only_look_like_build_information_declare_nothing() -> None:
    assert declared("app", executable(MAGIC + bytes(100))[:200]) == []
    assert declared("app", executable(MAGIC + b"\x08\x02" + bytes(16) + string(b"text"))) == []
    assert declared("app", executable(MAGIC)) == []


def test_programs_of_go_that_cannot_be_read_are_noted() -> None:
    assert (
        noted("app", executable(build_information(flags=0)))
        == "app: built by Go before 1.18, whose modules cannot be read"
    )
    assert "without a list of modules" in noted("app", go_program(""))
    assert "its modules are unknown" in noted("app", executable(sections={".gopclntab": b"x"}))
    assert noted("app", executable() + b"UPX!") == "app: packed by UPX, so it is unknown what it was built from"


def test_other_executables_object_files_and_texts_declare_nothing() -> None:
    relocatable = bytearray(go_program())
    relocatable[16] = 1

    assert declared("bin/sh", executable(b"code")) == []
    assert declared("a.o", bytes(relocatable)) == []
    assert declared("notes", b"text" + build_information()) == []


def test_of_many_build_informations_the_first_16_are_read() -> None:
    content = executable(b"".join(build_information(f"dep\tm{each}\tv1\n") for each in range(1000)))

    layer = read(tar_of({"app": content}))

    assert len(layer.packages["app"]) == 17
    assert layer.notes == ("app: only the first 16 lists of modules of Go were read",)


def crates(*each: dict[str, object]) -> bytes:
    return zlib.compress(json.dumps({"packages": each}).encode())


def zeros(mebibytes: int) -> bytes:
    """Compressed zeros, of which each MiB is made of the same bytes: to compress a GiB takes 5 s of CPU time."""
    packer = zlib.compressobj()
    first, each = (packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + each * (mebibytes - 1)


def rust_program(section: bytes) -> bytes:
    return executable(b"code", {".text": b"x" * 99, ".dep-v0": section, ".data": b"y"})


def test_a_program_of_cargo_auditable_lists_its_crates_but_for_those_of_the_build() -> None:
    section = crates(
        {"name": "serde", "version": "1.0.217", "source": "crates.io"},
        {"name": "cc", "version": "1.0.0", "source": "crates.io", "kind": "build"},
        {"name": "app", "version": "0.1.0", "source": "local", "root": True},
    )

    assert declared("app", rust_program(section)) == ["serde 1.0.217", "app 0.1.0"]


def test_crates_of_the_wrong_types_are_left_out() -> None:
    section = crates({"name": 1}, {"version": "1"}, {"name": "a", "version": 2})

    assert declared("app", rust_program(section)) == ["a "]
    assert declared("app", rust_program(zlib.compress(b"[]"))) == []


@pytest.mark.parametrize(
    "section",
    [b"no zlib", zlib.compress(b"{"), crates()[:-6], zeros(1024), zlib.compress(b"[" * 100_000)],
    ids=["no zlib", "no JSON", "cut off", "1 GiB in 1 MiB", "nested"],
)
def test_a_damaged_or_hostile_list_of_crates_is_noted(section: bytes) -> None:
    assert noted("app", rust_program(section)).startswith("app: the list of cargo auditable could not be read: ")


def test_hostile_tables_of_sections_cost_no_more_than_others() -> None:
    names = b"a" * 2**20
    rows = struct.pack("<IIQQQQ24x", 0, 1, 0, 0, 64, len(names)) * 0xFF00
    header = bytearray(executable()[:64])
    header[0x28:0x30] = (64 + len(names)).to_bytes(8, "little")
    header[0x3C:0x3E] = (0xFF00).to_bytes(2, "little")
    beyond = bytearray(header)
    beyond[0x28:0x30] = b"\xff" * 8

    assert declared("app", bytes(header) + names + rows) == []
    assert declared("app", bytes(beyond)) == []
