"""What real scanners write and a real cosign signs, on both pairs of stores.

documents/*.bundle.json are bundles of cosign 3.1.3, with SBOMs of syft 1.57.1 of an image of Debian with packages of
npm, PyPI and Go, of which most components were left out; documents/grype-*.json is what grype 0.121.3 finds in it by a
database made by hand, and documents/trivy-*.json a report of Trivy's own tests (Apache-2.0), each in a predicate of
cosign. The subject of the bundles is the image that these tests push.
"""

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pytest

from lading.registry.registry import Registry
from lading.scanning.findings import DONE
from lading.vulnerabilities import sboms
from lading.vulnerabilities.document_keys import DocumentKeys, load_keys
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.scans.scan_runs import FakeData, FakeLayers, image_of, npm, run
from tests.scans.scan_steps import A
from tests.support.fake_clock import FakeClock
from tests.support.osv_dumps import MakeDatabases, vulnerable
from tests.support.scanner_documents import NAMES, attach_signed
from tests.support.vex_documents import attach, write_keys

DOCUMENTS: Final = Path(__file__).with_name("documents")
PACKAGES: Final = {
    "pkg:deb/debian/bash@5.2.37-2%2Bb10?arch=amd64&distro=debian-13.8&upstream=bash%405.2.37-2",
    "pkg:deb/debian/libc6@2.41-12%2Bdeb13u5?arch=amd64&distro=debian-13.8&upstream=glibc",
    "pkg:deb/debian/openssl@3.5.9-1~deb13u1?arch=amd64&distro=debian-13.8",
    "pkg:deb/debian/perl-base@5.40.1-6%2Bdeb13u1?arch=amd64&distro=debian-13.8&upstream=perl",
    "pkg:deb/debian/zlib1g@1%3A1.3.dfsg%2Breally1.3.1-1%2Bdeb13u1?arch=amd64&distro=debian-13.8&upstream=zlib",
    "pkg:golang/github.com/docker/cli@v29.7.2%2Bincompatible",
    "pkg:golang/stdlib@1.26.8",
    "pkg:npm/lodash@4.17.20",
    "pkg:pypi/attrs@26.1.0",
    "pkg:pypi/certifi@2026.10.19.post1",
    "pkg:pypi/cffi@2.1.1",
}
PURLS: Final = (*PACKAGES, "pkg:npm/left-pad@1.0.0")
SIGNED: Final = "signed by scanner"
VULNERABLE: Final = {
    ("GHSA-35jh-r3h4-6jhm", "lodash", "4.17.20", SIGNED),
    ("DSA-1", "libc6", "2.41-12+deb13u5", SIGNED),
    ("GO-2026-1", "github.com/docker/cli", "v29.7.2+incompatible", SIGNED),
    ("PYSEC-2026-1", "certifi", "2026.10.19.post1", SIGNED),
}

Scan = Callable[[], Mapping[str, int]]


@pytest.fixture
def registry(stores: Stores, clock: FakeClock, tmp_path: Path) -> Registry:
    registry = Registry(stores.blobs, stores.metadata, clock=clock, scans_images=True)
    keys = write_keys(tmp_path / "keys")
    (keys / "scanner.pem").write_bytes((DOCUMENTS / "scanner.pub").read_bytes())
    registry.honour_documents(DocumentKeys(vex={}, scans=load_keys(str(keys))))
    return registry


@pytest.fixture
def scan(registry: Registry, clock: FakeClock, databases_of: MakeDatabases) -> Scan:
    data = FakeData(
        databases_of(
            vulnerable("GHSA-35jh-r3h4-6jhm", "npm", "lodash", "4.17.21"),
            vulnerable("PYSEC-2026-1", "PyPI", "certifi", "2027.1.1"),
            vulnerable("GO-2026-1", "Go", "github.com/docker/cli", "30.0.0"),
            vulnerable("DSA-1", "Debian:13", "glibc", "2.41-12+deb13u6"),
            vulnerable("DSA-2", "Debian:13", "perl", "5.40.1-6"),
        )
    )
    return lambda: run(registry, clock, FakeLayers({b"base": npm("left-pad", "1.0.0")}), data)


@pytest.fixture
def image(registry: Registry) -> Manifest:
    return image_of(registry, "v1", b"base")


def content(kind: str) -> bytes:
    return (DOCUMENTS / f"syft-{kind}.bundle.json").read_bytes()


def found(registry: Registry, image: Manifest) -> set[tuple[str, str, str, str]]:
    document = registry.image_scans.document(A, image.digest)
    return {(each.id, each.package, each.version, each.source) for each in document.vulnerabilities}


@pytest.mark.parametrize("kinds", [("cyclonedx",), ("spdx",), ("spdx", "cyclonedx")], ids=" and ".join)
def test_packages_that_syft_found_and_cosign_signed_are_compared(
    kinds: tuple[str, ...], registry: Registry, image: Manifest, scan: Scan
) -> None:
    for kind in kinds:
        named = {"dev.sigstore.bundle.predicateType": NAMES[kind], "dev.sigstore.bundle.content": "dsse-envelope"}
        attach(registry, image, content(kind), annotations=named)

    scan()

    document = registry.image_scans.document(A, image.digest)
    assert (document.state, document.remarks, document.notes) == (DONE, (), ())
    assert document.packages == len(PURLS)
    assert found(registry, image) == VULNERABLE
    listed = json.loads(registry.image_scans.sbom(A, image.digest))["components"]
    assert {bare(each["purl"]) for each in listed if "purl" in each} == {bare(each) for each in PURLS}


def bare(purl: str) -> str:
    """A package URL without qualifiers, which are written in several ways."""
    return unquote(purl.partition("?")[0])


@pytest.mark.parametrize("where", ["payload", "signature"])
def test_one_changed_byte_of_a_bundle_leaves_a_remark_and_nothing_else(
    where: str, registry: Registry, image: Manifest, scan: Scan
) -> None:
    bundle = json.loads(content("cyclonedx"))
    envelope = bundle["dsseEnvelope"]
    if where == "payload":
        envelope["payload"] = envelope["payload"][:40] + "A" + envelope["payload"][41:]
    else:
        sig = envelope["signatures"][0]["sig"]
        envelope["signatures"][0]["sig"] = sig[:20] + ("A" if sig[20] != "A" else "B") + sig[21:]
    named = {"dev.sigstore.bundle.predicateType": NAMES["cyclonedx"]}
    attach(registry, image, json.dumps(bundle).encode(), annotations=named)

    scan()

    assert found(registry, image) == set()
    document = registry.image_scans.document(A, image.digest)
    assert document.packages == 1
    assert document.remarks == ("1 SBOM does not count: no key of the configuration signed it",)


def test_what_syft_names_is_what_is_read(registry: Registry, image: Manifest) -> None:
    """The image itself, which syft names in SPDX as pkg:oci, and its files are no packages."""
    for kind in ("cyclonedx", "spdx"):
        predicate = predicate_of(kind)
        read = sboms.parse(NAMES[kind], predicate)
        assert ({*read.purls}, read.unnamed) == (PACKAGES, 0), kind
        essential = sboms.essential(NAMES[kind], predicate)
        assert sboms.parse(NAMES[kind], essential) == read
        assert len(json.dumps(essential)) < len(json.dumps(predicate)) / 5


def predicate_of(kind: str) -> dict[str, Any]:
    payload = json.loads(content(kind))["dsseEnvelope"]["payload"]
    predicate: dict[str, Any] = json.loads(base64.b64decode(payload))["predicate"]
    return predicate


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("trivy-debian", {("CVE-2019-18224", "libidn2-0", "2.0.5-1")}),
        (
            "grype-npm-and-go",
            {
                ("GHSA-35jh-r3h4-6jhm", "lodash", "4.17.20"),
                ("GHSA-xxxx-xxxx-0001", "github.com/docker/cli", "v29.7.2+incompatible"),
            },
        ),
    ],
    ids=["trivy", "grype"],
)
def test_vulnerabilities_that_a_scanner_found_are_added(
    file: str, expected: set[tuple[str, str, str]], registry: Registry, image: Manifest, scan: Scan
) -> None:
    kind = file.partition("-")[0]
    attach_signed(registry, image, kind, json.loads((DOCUMENTS / f"{file}.json").read_bytes()))

    scan()

    assert found(registry, image) == {(*each, "signed by release") for each in expected}


def test_what_the_data_finds_in_packages_of_an_sbom_counts_once_beside_a_report(
    registry: Registry, image: Manifest, scan: Scan
) -> None:
    attach(registry, image, content("spdx"), annotations={"dev.sigstore.bundle.predicateType": NAMES["spdx"]})
    attach_signed(registry, image, "grype", json.loads((DOCUMENTS / "grype-npm-and-go.json").read_bytes()))

    scan()

    more = ("GHSA-xxxx-xxxx-0001", "github.com/docker/cli", "v29.7.2+incompatible", "signed by release")
    assert found(registry, image) == {*VULNERABLE, more}
