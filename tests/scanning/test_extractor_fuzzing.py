"""No damage to a file makes an extractor raise, loop or take memory: what it cannot read is a note.

300 random changes of each format, and nightly 10 minutes of them (LADING_NIGHTLY=1).
"""

import json
import os
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.scanning.layer_packages import decode, encode
from lading.scanning.packages import LayerPackages
from tests.scanning.damage import damaged, limited_time
from tests.scanning.go_information import build_information
from tests.scanning.layers import executable, jar, read, tar_of

NIGHTLY = os.environ.get("LADING_NIGHTLY") == "1"
ROUNDS: Final = 300
MIB: Final = 1 << 20


@dataclass(frozen=True)
class Format:
    """Files of one format: what is damaged, and how that becomes a file."""

    path: str
    content: bytes
    wrap: Callable[[bytes], bytes] = bytes


CRATES = (
    b'{"packages":[{"name":"a","version":"1.0","source":"crates.io","kind":"runtime","root":true,"dependencies":[1]}]}'
)
POM = b"#\nversion=1.0\ngroupId=org.a\nartifactId=a\n"
MANIFEST = (
    b"Manifest-Version: 1.0\r\nBundle-SymbolicName: org.a;single\r\n ton:=true\r\nImplementation-Version: 1.0\r\n\r\n"
)
METADATA = b"Metadata-Version: 2.1\nName: a\nVersion: 1\nLicense: MIT\n x\nClassifier: License :: X\n\nText\n"
PACKAGE_JSON = (
    b'{"name":"@a/b","version":"1.0.0","license":{"type":"MIT"},"licenses":[{"type":"X"}],"engines":{"node":"1"}}'
)
DEPS_JSON = (
    b'{"targets":{"t":{"A/1.0":{"dependencies":{"B":"2.0"}},"B/2.0":{"dependencies":{"A":"1.0"},"native":{"b":{}}}}},'
    b'"libraries":{"A/1.0":{"type":"package"},"B/2.0":{"type":"package"},"runtimepack.C/2.0":{"type":"runtimepack"}}}'
)
INSTALLED_JSON = b'{"packages":[{"name":"a/b","version":"v1","license":["MIT"]}]}'
GEMSPEC = b'# stub: a 1.0 ruby lib\ns.name = "a".freeze\ns.version = Gem::Version.new(\'1.0\')\ns.licenses = ["MIT"]\n'
GO = executable(bytes(100) + build_information() + bytes(100), {".gopclntab": b"x"})


def rust_program(content: bytes) -> bytes:
    return executable(b"", {".dep-v0": content})


FORMATS = {
    "Go": Format("app", GO),
    "Rust": Format("app", rust_program(zlib.compress(CRATES))),
    "Rust's crates": Format("app", CRATES, lambda content: rust_program(zlib.compress(content))),
    "jar": Format(
        "a.jar", jar({"b.jar": jar({"c/pom.properties": POM}), "META-INF/MANIFEST.MF": MANIFEST, "A.class": b"x"})
    ),
    "stored jar": Format("a.jar", jar({"b.jar": jar({"pom.properties": POM}, 0)}, 0)),
    "pom.properties": Format("a.jar", POM, lambda content: jar({"pom.properties": content})),
    "manifest": Format("a.jar", MANIFEST, lambda content: jar({"META-INF/MANIFEST.MF": content})),
    "METADATA": Format("a.dist-info/METADATA", METADATA),
    "egg": Format("a.egg", jar({"EGG-INFO/PKG-INFO": METADATA})),
    "package.json": Format("node_modules/a/package.json", PACKAGE_JSON),
    "deps.json": Format("a.deps.json", DEPS_JSON),
    "installed.json": Format("composer/installed.json", INSTALLED_JSON),
    "gemspec": Format("specifications/a.gemspec", GEMSPEC),
}


def checked(path: str, content: bytes) -> LayerPackages:
    """Return what a file declares, which can be stored and read again as it is."""
    with limited_time(20):
        layer = read(tar_of({path: content}))
    assert decode(encode(layer)) == layer
    return layer


def seeds() -> Iterator[int]:
    """Yield seeds: always the same, or nightly others for 10 minutes."""
    yield from range(ROUNDS)
    until = time.monotonic() + 600
    while NIGHTLY and time.monotonic() < until:
        yield time.time_ns()


@contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """Return how to measure the most bytes that Python had at once since the measurement before."""

    def measure() -> int:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        return peak

    tracemalloc.start()
    try:
        yield measure
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_that_is_not_changed_declares_a_package(name: str) -> None:
    layer = checked(FORMATS[name].path, FORMATS[name].wrap(FORMATS[name].content))

    assert layer.packages
    assert layer.notes == ()


@pytest.mark.parametrize("name", FORMATS)
def test_damage_raises_nothing_and_takes_neither_time_nor_memory(name: str) -> None:
    with peak_memory() as peak:
        for seed in seeds():
            content = FORMATS[name].wrap(damaged(FORMATS[name].content, Random(seed)))
            checked(FORMATS[name].path, content)
            assert peak() < 64 * MIB, seed


NAMES = ["packages", "libraries", "targets", "dependencies", "runtime", "name", "version", "license", "licenses"]
NAMES += ["type", "kind", "engines", "unity", "a/b"]
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(NAMES),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.sampled_from(NAMES), each, max_size=6),
)


@given(value=VALUES)
@pytest.mark.parametrize("name", ["Rust's crates", "package.json", "deps.json", "installed.json"])
def test_values_of_any_type_are_read(name: str, value: object) -> None:
    layer = checked(FORMATS[name].path, FORMATS[name].wrap(json.dumps(value).encode()))

    assert layer.notes == ()
