"""`lading scan`: on the stores and over HTTP alike, and never calling clean what is not known."""

import contextlib
import io
import json
import re
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.commands import scan
from lading.registry.registry import Registry
from lading.registry.scan_formats import FORMATS
from lading_storage.digests import digest_of
from tests.commands.tables import json_rows, table
from tests.support import images
from tests.support.folder_stores import folder_stores
from tests.support.indexes import push_index
from tests.support.management_server import ManagementServer
from tests.support.osv_dumps import vulnerable, write_dump
from tests.support.registry_pushes import push_blob, push_image, push_manifest
from tests.support.scan_results import finding, report_of, store_result

STATUS = """\
Package: openssl
Status: install ok installed
Architecture: amd64
Version: 3.0.11-1
"""

Both = Callable[[str], tuple[str, str]]
Run = Callable[..., str]


def same(both: Both, line: str) -> str:
    """What a command prints on the stores, and over HTTP as well."""
    local, remote = both(line)
    assert local == remote, line
    return local


@pytest.fixture
def remote(scanning_remote: ManagementServer) -> ManagementServer:
    return scanning_remote


@pytest.fixture
def image(registry: Registry) -> str:
    """The digest of team/app:v1, which has two vulnerabilities."""
    digest = push_image(registry, "team/app", "v1").digest
    found = [
        finding("critical", "DEBIAN-1", aliases=("CVE-2026-7",), fixed="3.0.12-1", epss=0.25, known_exploited=True),
        finding("low", "CVE-2026-9"),
    ]
    store_result(registry, "team/app", digest, report_of(digest, found))
    return digest


def test_a_table_has_the_worst_first_with_their_fixes(image: str, both: Both) -> None:
    lines = same(both, "scan team/app:v1 --wide").splitlines()

    assert f"digest           {image}" in lines
    assert "scan             done" in lines
    assert "vulnerabilities  1 critical (1 with a fix), 1 low (0 with a fix)" in lines
    assert [line.split() for line in lines[-3:-1]] == [
        ["critical", "CVE-2026-7", "openssl", "3.0.11-1", "3.0.12-1", "known", "exploited"],
        ["low", "CVE-2026-9", "openssl", "3.0.11-1", "-", "-"],
    ]


def test_json_has_all_fields_and_the_sbom_is_what_the_scanner_made(image: str, both: Both) -> None:
    document = json.loads(same(both, "scan team/app:v1 --json").split("\n", 1)[1])

    assert (document["digest"], document["state"], document["pending"]) == (image, "done", False)
    assert document["counts"] == {
        "critical": {"fixable": 1, "unfixable": 0},
        "low": {"fixable": 0, "unfixable": 1},
    }
    assert [each["id"] for each in document["vulnerabilities"]] == ["DEBIAN-1", "CVE-2026-9"]
    assert same(both, "scan team/app:v1 --format json") == same(both, f"scan team/app@{image[:19]} --json")
    sbom = json.loads(same(both, "scan team/app:v1 --format cyclonedx").split("\n", 1)[1])
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["name"]) == ("CycloneDX", image)


@pytest.mark.parametrize(
    ("format", "name", "expected"),
    [
        ("spdx", "spdxVersion", "SPDX-2.3"),
        ("sarif", "version", "2.1.0"),
        ("harbor", "severity", "Critical"),
    ],
)
def test_other_formats_are_made_on_request(format: str, name: str, expected: str, image: str, both: Both) -> None:
    found = json.loads(same(both, f"scan team/app:v1 --format {format}").split("\n", 1)[1])
    assert found[name] == expected


def test_occurrences_are_of_the_image(image: str, both: Both) -> None:
    """A registry has the address that clients see; the stores of a machine have one only if the settings name it."""
    uris = []
    for output in both("scan team/app:v1 --format occurrences"):
        found = json.loads(output.split("\n", 1)[1])["occurrences"]
        assert [each["kind"] for each in found] == ["DISCOVERY", "VULNERABILITY", "VULNERABILITY"]
        uris.append({each["resourceUri"] for each in found})
    (local,), (remote,) = uris
    assert local == f"https://team/app@{image}"
    assert re.fullmatch(rf"https://127\.0\.0\.1:[0-9]+/team/app@{image}", remote)


def test_the_command_has_all_formats() -> None:
    assert {*scan.FORMATS} == {"table", *FORMATS}


@pytest.mark.parametrize(
    ("severity", "status", "reason"),
    [
        ("critical", 1, "1 vulnerability of severity critical or worse"),
        ("low", 1, "2 vulnerabilities of severity low or worse"),
    ],
)
def test_fail_on_counts_this_severity_and_worse(
    severity: str, status: int, reason: str, image: str, both: Both
) -> None:
    output = same(both, f"scan team/app:v1 --fail-on {severity}")
    assert (output[0], reason in output) == (str(status), True)


def test_fail_on_succeeds_only_where_it_is_known(registry: Registry, both: Both) -> None:
    digest = push_image(registry, "team/app", "v1").digest
    harmless = [finding("low"), finding("critical", "CVE-2026-2", suppressed="not affected")]
    line = "scan team/app:v1 --fail-on medium"

    def outcome(state: str, **fields: object) -> str:
        store_result(registry, "team/app", digest, report_of(digest, harmless, state, **fields))
        return same(both, line)

    assert "not known whether there are such vulnerabilities: the scan is not scanned" in same(both, line)
    assert outcome("done")[0] == "0"
    noted = outcome("partial", notes=["a.jar: could not be read"])
    assert (noted[0], "not known: a.jar: could not be read" in noted) == ("0", True)
    missing = outcome("partial", missing=["Debian:12"])
    assert (missing[0], "no vulnerability data of Debian:12" in missing) == ("1", True)
    assert outcome("unsupported")[0] == "1"
    assert same(both, f"{line} --again")[0] == "1", "it is due"


def test_what_was_not_compared_is_not_called_clean(registry: Registry, both: Both) -> None:
    digest = push_image(registry, "team/app", "v1").digest

    def printed(**fields: object) -> str:
        store_result(registry, "team/app", digest, report_of(digest, [], "partial", **fields))
        return same(both, "scan team/app:v1")

    assert "vulnerabilities  not compared: no data of Debian:12" in printed(data={}, missing=["Debian:12"])
    assert json.loads(same(both, "scan team/app:v1 --json").split("\n", 1)[1])["counts"] is None
    (run,) = json.loads(same(both, "scan team/app:v1 --format sarif").split("\n", 1)[1])["runs"]
    assert "results" not in run
    assert "vulnerabilities  nothing was compared" in printed(data={}, notes=["a layer is not stored"])
    assert same(both, "scan team/app:v1 --fail-on low")[0] == "1"
    assert "vulnerabilities  none found in what was compared" in printed(missing=["PyPI"])


@pytest.mark.parametrize("state", ["unsupported", "failed"])
def test_a_state_without_a_result_has_no_counts(state: str, registry: Registry, both: Both) -> None:
    digest = push_image(registry, "team/app", "v1").digest
    store_result(registry, "team/app", digest, report_of(digest, [finding("high")]))
    store_result(registry, "team/app", digest, report_of(digest, [], state), state=state, reason="no Linux")

    printed = same(both, "scan team/app:v1")

    assert f"{state}\n" in printed
    assert "no Linux" in printed
    assert "vulnerabilities  " not in printed
    assert json_rows(printed and same(both, "scan team/app:v1 --json").splitlines()[1])[0]["counts"] is None


def test_a_scan_that_is_asked_for_is_due_and_can_be_waited_for(
    registry: Registry, image: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "done; another scan is due" in run("scan team/app:v1 --again")
    waited: list[float] = []

    def scanner(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            store_result(registry, "team/app", image, report_of(image))

    monkeypatch.setattr(time, "sleep", scanner)

    assert "none found" in run("scan team/app:v1 --wait")
    assert waited == [2.0, 2.0]
    monkeypatch.setattr(scan, "MAX_WAIT", -1.0)
    assert "is a scanner running?" in run("scan team/app:v1 --again --wait", status=1)


def test_of_an_index_one_image_is_named(registry: Registry, both: Both) -> None:
    _, children, _ = push_index(registry, "team/app", "v1")
    arm64 = digest_of(children[1])
    store_result(registry, "team/app", arm64, report_of(arm64, [finding("high")]))

    assert "name a platform: linux/amd64, linux/arm64/v8" in same(both, "scan team/app:v1")
    assert arm64 in same(both, "scan team/app:v1 --platform linux/arm64 --wide")
    assert "no image for linux/s390x" in same(both, "scan team/app:v1 --platform linux/s390x")


def test_of_an_index_with_one_image_it_needs_no_name(registry: Registry, both: Both) -> None:
    statement = b"{}"
    children = [images.manifest([statement]), images.signature(statement, "application/vnd.in-toto+json")]
    push_blob(registry, "team/app", statement)
    for child in children:
        push_manifest(registry, "team/app", child)
    push_manifest(registry, "team/app", images.index(children), "v1")

    assert digest_of(children[0]) in same(both, "scan team/app:v1 --wide")


def test_errors_are_the_same(registry: Registry, image: str, both: Both) -> None:
    push_blob(registry, "team/app", b"{}")
    push_manifest(registry, "team/app", images.signature(b"{}", "application/vnd.in-toto+json"), "signature")
    push_image(registry, "team/app", "v2")

    for line, reason in (
        ("scan team/app", "names no image"),
        ("scan team/app:absent", "manifest"),
        ("scan absent:v1", "manifest"),
        ("scan team/app:signature", "only images are scanned"),
        ("scan team/app:v2 --format cyclonedx", "no SBOM"),
        ("scan team/app@sha256:0000", "manifest"),
    ):
        assert reason in same(both, line), line


def test_a_report_that_was_deleted_leaves_the_worst_findings(registry: Registry, image: str, both: Both) -> None:
    for each in registry.manifests.referrers("team/app", image, "application/vnd.in-toto+json", "").items:
        registry.deletion.manifest("team/app", each.manifest.digest)

    printed = same(both, "scan team/app:v1")

    assert "only the worst vulnerabilities are listed" in printed
    assert "1 critical" in printed


def layer_with(files: dict[str, str]) -> bytes:
    """A layer that has these files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


def test_on_the_stores_of_this_machine_the_command_scans(
    lading: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LADING_DATA", str(tmp_path / "data"))
    stores = folder_stores(tmp_path / "data")
    with contextlib.closing(Registry(stores.blobs, stores.metadata)) as registry:
        layer = layer_with({"etc/os-release": "ID=debian\nVERSION_ID=12\n", "var/lib/dpkg/status": STATUS})
        push_blob(registry, "team/app", layer)
        push_blob(registry, "team/app", images.EMPTY_CONFIG)
        push_manifest(registry, "team/app", images.manifest([layer]), "v1")
    (tmp_path / "dumps" / "Debian").mkdir(parents=True)
    record = vulnerable("DEBIAN-CVE-2026-1", "Debian:12", "openssl", "3.0.12-1", aliases=["CVE-2026-1"])
    write_dump(tmp_path / "dumps" / "Debian" / "all.zip", [record])

    assert "`lading scan team/app:v1 --again --wait` scans it" in lading("scan", "team/app:v1")
    missing = lading("scan", "team/app:v1", "--again", "--wait")
    assert "there is no vulnerability data of Debian:12" in missing
    assert [row["ecosystem"] for row in json_rows(lading("vulnerabilities", "status", "--json"))] == ["Debian"]
    lading("vulnerabilities", "import", str(tmp_path / "dumps"))

    found = lading("scan", "team/app:v1", "--wait")

    assert "vulnerabilities  1 unknown (1 with a fix)" in found
    assert "CVE-2026-1  openssl  3.0.11-1  3.0.12-1" in found
    assert table(lading("ls", "team/app"))[0]["SCAN"] == "1 unknown"
