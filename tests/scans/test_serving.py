"""`lading serve` scans what is pushed, where the settings say so, and nothing else does."""

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from lading import scan_composition
from lading.job_table import SCAN
from lading.jobs.backup import back_up
from lading.jobs.lease_holders import has_ended
from lading.registry.change_context import now
from lading.registry.pagination import find_all
from lading.registry.registry import Registry
from lading.registry.scans.claim import Claim, ClaimedLayer
from lading.scan_composition import scans_images
from lading.scanner.in_process import InProcessBackend
from lading.scanner.scan_job import ScanJob
from lading.scanning.layer_packages import EXTRACTOR_VERSION
from lading.settings import SettingsError, load_settings
from lading_storage.errors import Unavailable
from lading_storage.query import Query
from lading_storage.records.scans import Facts
from tests.support import images
from tests.support.folder_stores import folder_stores
from tests.support.registry_pushes import push_image
from tests.support.server_process import SOURCE_ROOTS, Server, serving, wait_until

GOOGLE = {"LADING_BLOBS": "gs://bucket", "LADING_METADATA": "firestore://project"}


def layer(name: str) -> bytes:
    """A layer with one package of npm."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        body = json.dumps({"name": name, "version": "1.0.0"}).encode()
        member = tarfile.TarInfo(f"app/node_modules/{name}/package.json")
        member.size = len(body)
        tar.addfile(member, io.BytesIO(body))
    return content.getvalue()


def push(server: Server, repository: str, *layers: bytes) -> str:
    """Push an image over HTTP; return its digest."""
    for content in (images.EMPTY_CONFIG, *layers):
        digest = images.descriptor(content)["digest"]
        response, _ = server.request("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", content)
        assert response.status == 201
    manifest = images.manifest([*layers])
    headers = {"Content-Type": json.loads(manifest)["mediaType"]}
    response, _ = server.request("PUT", f"/v2/{repository}/manifests/v1", manifest, headers)
    assert response.status == 201
    return str(response.headers["Docker-Content-Digest"])


def artifact_types(server: Server, repository: str, digest: str) -> list[str]:
    _, body = server.request("GET", f"/v2/{repository}/referrers/{digest}")
    return sorted(each["artifactType"] for each in json.loads(body)["manifests"])


def test_a_pushed_image_is_scanned_by_the_server(tmp_path: Path) -> None:
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_SCAN": "on"}
    expected = ["application/vnd.cyclonedx+json", "application/vnd.in-toto+json"]

    with serving(environment, tmp_path / "log") as server:
        digests = [push(server, name, layer("left-pad"), layer(name)) for name in ("a", "b")]
        wait_until(
            lambda: all(
                artifact_types(server, name, digest) == expected for name, digest in zip("ab", digests, strict=True)
            ),
            server,
        )
        assert server.stop() == 0

    stores = folder_stores(tmp_path / "data")
    (facts,) = stores.metadata.find(Query(Facts, repository="a", limit=9))
    assert (facts.state, facts.missing) == ("partial", ("npm",)), "there is no data yet"
    stores.close()
    assert "lading.scan" not in (tmp_path / "log").read_text() or "layers read" in (tmp_path / "log").read_text()


def test_a_standby_scans_nothing(tmp_path: Path) -> None:
    source = folder_stores(tmp_path / "source")
    registry = Registry(source.blobs, source.metadata, scans_images=True)
    push_image(registry, "a", "v1")
    back_up(source, tmp_path / "data")
    source.close()

    with serving({"LADING_DATA": str(tmp_path / "data"), "LADING_SCAN": "on"}, tmp_path / "log") as server:
        response, _ = server.request("GET", "/v2/a/manifests/v1")
        assert response.status == 200

    copy = folder_stores(tmp_path / "data")
    (facts,) = copy.metadata.find(Query(Facts, repository="a", limit=9))
    assert (facts.state, facts.claim, facts.tries) == ("waiting", "", 0)
    copy.close()


@pytest.mark.parametrize(
    ("given", "has_extra", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"LADING_SCAN": "off"}, True, False),
        ({"LADING_SCAN": "on"}, True, True),
        (GOOGLE, True, False),
        (GOOGLE | {"LADING_SCANNER": "scanner@project.iam.gserviceaccount.com"}, False, True),
    ],
)
def test_images_are_scanned_where_something_scans_them(
    given: dict[str, str], has_extra: bool, expected: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(scan_composition, "find_spec", lambda name: object() if has_extra else None)
    settings = load_settings({"LADING_DATA": str(tmp_path)} | given)

    assert scans_images(settings) == expected
    assert (SCAN.interval(settings) is not None) == expected


@pytest.mark.parametrize(("given", "message"), [({}, "lading-registry\\[scan\\]"), (GOOGLE, "--scanner")])
def test_a_scan_that_nothing_does_is_refused(
    given: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(scan_composition, "find_spec", lambda name: None)
    settings = load_settings({"LADING_DATA": str(tmp_path), "LADING_SCAN": "on"} | given)

    with pytest.raises(SettingsError, match=message):
        scans_images(settings)


IMPORTED = """
import sys, threading
from lading import composition, settings
from lading.commands.serve import _background_jobs
from lading.job_table import SCAN
from lading.registry.registry import Registry
read = settings.load_settings()
app = composition.create(read)
job = SCAN.open(read, app.registry)
job.run()
print(sorted(name for name in sys.modules if name.partition(".")[0] in
    {"univers", "cvss", "cyclonedx", "dissect", "elftools", "packageurl"}
    or name.startswith(("lading.vulnerabilities", "lading.scanning.extractors", "lading.scanner.scan_run"))))
"""


def test_a_server_with_nothing_to_scan_imports_nothing_that_scans(tmp_path: Path) -> None:
    variables = {
        **os.environ,
        "PYTHONPATH": SOURCE_ROOTS,
        "LADING_DATA": str(tmp_path / "data"),
        "LADING_SCAN": "on",
        "LADING_ACCESS": "everybody",
    }
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], env=variables, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.stdout.strip() == "[]", done.stderr


class _Stopping(InProcessBackend):
    """A registry whose server is stopped while a layer is read, and whose store may be down then."""

    job: ScanJob
    is_down = False

    def layer(self, claim: Claim, layer: ClaimedLayer) -> Iterable[bytes] | None:
        self.job.stop()
        return super().layer(claim, layer)

    def release(self, claim: Claim) -> None:
        if self.is_down:
            raise Unavailable("by plan")
        super().release(claim)


@pytest.mark.parametrize("is_down", [False, True])
def test_a_stop_in_the_middle_of_a_scan_counts_as_no_try(is_down: bool, tmp_path: Path) -> None:
    with contextlib.closing(folder_stores(tmp_path / "data")) as stores:
        registry = Registry(stores.blobs, stores.metadata, scans_images=True)
        for tag in ("v1", "v2"):
            push_image(registry, "a", tag)
        backend = _Stopping(registry)
        backend.is_down = is_down
        settings = load_settings({"LADING_DATA": str(tmp_path / "data")})
        backend.job = ScanJob(backend, lambda: scan_composition.open_data(settings, registry), now)

        report = backend.job.run()

        # Random bytes are no layer, so that the result, where it counts, is that the scan failed.
        assert report.counts["failed" if is_down else "claims that had ended"] == 1
        states = [(each.state, each.tries, each.claim) for each in find_all(stores.metadata, Facts, {}, "a")]
        assert sorted(states) == [("failed" if is_down else "waiting", 0, ""), ("waiting", 0, "")]
        assert len(registry.scans.claims.claim(9, EXTRACTOR_VERSION)) == (1 if is_down else 2)


class _Killed(InProcessBackend):
    """A registry whose scanner is interrupted while a layer is read."""

    def layer(self, claim: Claim, layer: ClaimedLayer) -> Iterable[bytes] | None:
        raise KeyboardInterrupt


def test_an_interrupt_in_the_middle_of_a_scan_counts_as_no_try(tmp_path: Path) -> None:
    with contextlib.closing(folder_stores(tmp_path / "data")) as stores:
        registry = Registry(stores.blobs, stores.metadata, scans_images=True)
        push_image(registry, "a", "v1")
        settings = load_settings({"LADING_DATA": str(tmp_path / "data")})
        job = ScanJob(_Killed(registry), lambda: scan_composition.open_data(settings, registry), now)

        with pytest.raises(KeyboardInterrupt):
            job.run()

        (facts,) = stores.metadata.find(Query(Facts, repository="a", limit=9))
        assert (facts.state, facts.tries, facts.claim) == ("waiting", 0, "")
        assert len(registry.scans.claims.claim(9, EXTRACTOR_VERSION)) == 1


CLAIM: Final = """
import os, sys
from pathlib import Path
from lading.registry.registry import Registry
from lading.scanner.in_process import InProcessBackend
from lading.scanning.layer_packages import EXTRACTOR_VERSION
from tests.support.folder_stores import folder_stores
stores = folder_stores(Path(sys.argv[1]))
assert InProcessBackend(Registry(stores.blobs, stores.metadata, scans_images=True)).claim(EXTRACTOR_VERSION)
os._exit(9)
"""


def test_a_zombie_holds_no_claim() -> None:
    """What has started a server may learn late that it was killed."""
    code = "from lading.jobs.lease_holders import new_holder; print(new_holder(), flush=True); input()"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": SOURCE_ROOTS}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        holder = process.stdout.readline().strip()
        assert not has_ended(holder)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert has_ended(holder), "it is not reaped yet"


def test_the_image_of_a_scanner_that_was_killed_does_not_wait_for_the_lease(tmp_path: Path) -> None:
    with contextlib.closing(folder_stores(tmp_path / "data")) as stores:
        registry = Registry(stores.blobs, stores.metadata, scans_images=True)
        push_image(registry, "a", "v1")
        path = os.pathsep.join([SOURCE_ROOTS, str(Path(__file__).parents[2])])
        command = [sys.executable, "-c", CLAIM, str(tmp_path / "data")]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False, timeout=60)
        assert done.returncode == 9
        assert registry.scans.claims.claim(9, EXTRACTOR_VERSION) == [], "it is claimed"

        claim = InProcessBackend(registry).claim(EXTRACTOR_VERSION)

        assert claim is not None
        (facts,) = stores.metadata.find(Query(Facts, repository="a", limit=9))
        assert facts.tries == 2, "the image may be what killed the scanner"
        assert InProcessBackend(registry).claim(EXTRACTOR_VERSION) is None, "this process has not ended"
