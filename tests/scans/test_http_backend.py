"""A scanner over HTTP, without stores: the same results as in the registry's process, by the account's rights alone."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from lading.jobs.vulnerability_updates import VulnerabilityUpdateJob
from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading.registry.scans.claim import Claim, ScanResult
from lading.scanner import http_backend, registry_client
from lading.scanner.http_backend import MAX_CONTENT, HttpArtifacts, HttpBackend, fitting
from lading.scanner.registry_client import RegistryUnreachable
from lading.scanner.scan_job import ScanJob
from lading.scanning.layer_scanner import LayerDescriptor
from lading.scanning.packages import LayerPackages, Package
from lading.vulnerabilities.document_keys import DocumentKeys, load_keys
from lading.vulnerabilities.download import Update
from lading_storage.digests import digest_of
from tests.scans.scan_steps import EXTRACTOR, facts_of, pushed, referrers, result_of
from tests.scans.scanner_server import ScannerServer, SignedStore, running, serving_scanner
from tests.support.fake_clock import FakeClock
from tests.support.fake_iam_world import FakeIamWorld
from tests.support.registry_pushes import push_blob
from tests.support.vex_documents import FORGER, attach, bundle, document, envelope, write_keys

DATA: Final = "lading/vulnerabilities"


@pytest.fixture
def server(registry: Registry, world: FakeIamWorld, tmp_path: Path) -> Iterator[ScannerServer]:
    # `world` last: the stores name a fake of IAM as well.
    with serving_scanner(world, registry, tmp_path / "keys") as served:
        yield served


@pytest.fixture
def backend(server: ScannerServer) -> HttpBackend:
    return HttpBackend(server.client())


def claimed(backend: HttpBackend) -> Claim:
    claim = backend.claim(EXTRACTOR)
    assert claim is not None
    return claim


def read(chunks: Iterable[bytes] | None) -> bytes:
    assert chunks is not None
    return b"".join(chunks)


def test_layers_are_read_and_results_accepted(registry: Registry, backend: HttpBackend, clock: FakeClock) -> None:
    image = pushed(registry, layers=2)
    claim = claimed(backend)

    contents = [read(backend.layer(claim, layer)) for layer in claim.layers]
    for _ in range(2):
        backend.accept(claim, result_of(claim, clock))

    assert [digest_of(content) for content in contents] == [layer.digest for layer in claim.layers]
    assert facts_of(registry, image).state == "done"
    assert len(referrers(registry, image)) == 2
    assert backend.claim(EXTRACTOR) is None


def test_a_layer_of_another_repository_is_not_there(registry: Registry, backend: HttpBackend) -> None:
    pushed(registry)
    claim = claimed(backend)
    other = push_blob(registry, "team/other", b"not linked by the repository of the claim").id
    (layer, *_) = claim.layers

    assert backend.layer(claim, type(layer)(digest=other, media_type=layer.media_type, size=1)) is None


def test_the_token_does_not_go_to_the_host_of_signed_urls(
    registry: Registry, server: ScannerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(registry)
    backend = HttpBackend(server.client())
    claim = claimed(backend)
    with SignedStore(b"layer") as store, running(store):
        monkeypatch.setattr("lading.registry.content.blobs.Blobs.signed_url", lambda self, link: store.url)

        content = read(backend.layer(claim, claim.layers[0]))

    assert content == b"layer"
    assert [name for each in store.headers for name in each if name.lower() == "authorization"] == []


def test_a_layer_that_is_cut_short_is_an_error(
    registry: Registry, server: ScannerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(registry)
    backend = HttpBackend(server.client())
    claim = claimed(backend)
    with SignedStore(b"layer", cut=2) as store, running(store):
        monkeypatch.setattr("lading.registry.content.blobs.Blobs.signed_url", lambda self, link: store.url)

        with pytest.raises(RegistryUnreachable) as raised:
            read(backend.layer(claim, claim.layers[0]))

    assert "secret" not in str(raised.value)


def test_requests_are_repeated_while_the_registry_is_busy(registry: Registry, server: ScannerServer) -> None:
    pushed(registry)
    server.statuses = [503, 429]

    assert HttpBackend(server.client()).claim(EXTRACTOR) is not None
    assert server.waits == [1, 2]

    server.statuses = [503] * 4
    with pytest.raises(RegistryUnreachable, match="status 503"):
        HttpBackend(server.client()).claim(EXTRACTOR)


def test_a_lost_response_leaves_one_report(
    registry: Registry, server: ScannerServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pushed(registry)
    backend = HttpBackend(server.client())
    claim = claimed(backend)
    app = server.app

    def lose(environ: dict[str, object], start_response: object) -> list[bytes]:
        server.app = app
        list(app(environ, lambda status, headers: None))  # type: ignore[arg-type]
        start_response("502 Lost", [("Content-Length", "0")])  # type: ignore[operator]
        return []

    server.app = lose
    backend.accept(claim, result_of(claim, clock))

    assert server.waits == [1]
    assert {len(found) for found in referrers(registry, image).values()} == {1}


def test_a_claim_that_ended_is_refused(registry: Registry, backend: HttpBackend, clock: FakeClock) -> None:
    pushed(registry)
    claim = claimed(backend)
    clock.advance(minutes=20)
    registry.scans.claims.claim(1, EXTRACTOR)

    with pytest.raises(RegistryError):
        backend.accept(claim, result_of(claim, clock))
    with pytest.raises(RegistryError):
        backend.layer(claim, claim.layers[0])


class NpmLayers:
    """Finds one package in each layer."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __enter__(self) -> "NpmLayers":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def scan(self, layer: LayerDescriptor, chunks: Iterable[bytes] | None) -> LayerPackages:
        assert digest_of(read(chunks)) == layer.digest
        self.read.append(layer.digest)
        path = f"app/node_modules/lodash-{layer.size}/package.json"
        return LayerPackages(packages={path: [Package(type="npm", name="lodash", version="4.17.20", path=path)]})


def test_a_run_reads_data_by_the_registry_and_updates_it(
    registry: Registry,
    server: ScannerServer,
    clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lading.scanner.database_files import DatabaseFiles
    from lading.vulnerabilities import database
    from tests.support.osv_dumps import vulnerable, write_dump

    image, layers = pushed(registry, layers=2), NpmLayers()
    monkeypatch.setattr("lading.scanning.layer_scanner.LayerScanner", lambda: layers)
    client = server.client()
    artifacts = HttpArtifacts(client)
    job = ScanJob(HttpBackend(client), lambda: DatabaseFiles(artifacts, tmp_path / "cache"), clock)

    def download(etags: Mapping[str, str], folder: Path) -> Iterator[Update]:
        for name in etags:
            dump = write_dump(folder / "dump.zip", [vulnerable("GHSA-1", "npm", "lodash", "4.17.21")])
            compiled = database.compile(name, dump, folder / "db.sqlite")
            yield Update(ecosystem=name, etag="1", path=folder / "db.sqlite", compiled=compiled)

    first = job.run().counts
    before = facts_of(registry, image)
    updates = VulnerabilityUpdateJob(artifacts, download, clock)
    outcomes, again = updates.run().counts, updates.run().counts
    registry.scans.claims._looks.clear()
    artifacts.refresh()
    second = job.run().counts

    assert (before.state, before.missing) == ("partial", ("npm",))
    assert (outcomes, again) == ({"updated": 1}, {})
    assert facts_of(registry, image).state == "done"
    assert json.loads(facts_of(registry, image).counts) != {}
    assert len(layers.read) == 2
    assert (first["partial"], second["done"]) == (1, 1)


def test_data_is_uploaded_in_parts(
    registry: Registry, server: ScannerServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(registry)
    backend = HttpBackend(server.client())
    claim = claimed(backend)
    backend.accept(claim, result_of(claim, clock, ecosystems=["Go"]))
    monkeypatch.setattr(registry_client, "UPLOAD_SIZE", 1000)
    artifacts, content = HttpArtifacts(server.client()), bytes(range(250)) * 10

    for _ in range(2):
        artifacts.publish(
            "Go", "application/vnd.x", digest_of(content), [content[:900], content[900:1800], content[1800:]], "etag"
        )

    found = artifacts.current(["Go", "PyPI"])
    assert found.keys() == {"Go"}
    assert (read(artifacts.open(found["Go"])), found["Go"].layer.size) == (content, 2500)
    assert sum(each.startswith("PATCH") for each in server.requests) == 1 + 1
    assert [each.id for each in artifacts.records()] == ["Go"]


def test_an_upload_to_another_host_is_refused(server: ScannerServer) -> None:
    elsewhere = {"Location": "https://elsewhere.example/upload"}

    def redirecting(environ: dict[str, object], start_response: object) -> list[bytes]:
        start_response("202 Accepted", [*elsewhere.items(), ("Content-Length", "0")])  # type: ignore[operator]
        return []

    client = server.client()
    client._bearer()
    server.app, server.statuses = redirecting, [404]

    with pytest.raises(RegistryUnreachable, match="another host"):
        client.upload(DATA, digest_of(b"x"), [b"x"])


def test_large_results_fit(clock: FakeClock) -> None:
    half = MAX_CONTENT // 2
    layers = {"sha256:large": bytes(half), "sha256:small": b"1", "sha256:middle": b"22"}

    def result(size: int) -> ScanResult:
        return ScanResult(state="done", at=clock.time, layers=layers, sbom=bytes(size), report=b"")

    assert fitting(result(10)).layers.keys() == layers.keys()
    assert fitting(result(half)).layers.keys() == {"sha256:small", "sha256:middle"}
    failed = fitting(result(MAX_CONTENT + 1))
    assert (failed.state, failed.reason, failed.sbom, failed.report) == ("failed", http_backend.TOO_LARGE, None, None)
    failed.check()


def test_the_registry_verifies_vex_documents_for_a_scanner(
    registry: Registry, backend: HttpBackend, tmp_path: Path
) -> None:
    image = pushed(registry)
    registry.honour_documents(DocumentKeys(vex=load_keys(str(write_keys(tmp_path / "vex")))))
    about = document("CVE-1", "pkg:npm/left-pad")
    attach(registry, image, bundle(envelope(about, image.digest)))
    attach(registry, image, bundle(envelope(about, image.digest, FORGER)))

    claim = claimed(backend)

    assert [(each.key, json.loads(each.content)) for each in claim.signed] == [("release", about)]
    assert claim.remarks == ("1 VEX document does not count: no key of the configuration signed it",)
