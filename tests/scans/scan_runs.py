"""Runs of a scanner in the process of the registry, with layers and data that a test chooses."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping

from lading.registry.registry import Registry
from lading.scanner.in_process import InProcessBackend
from lading.scanner.scan_run import ScanRun
from lading.scanning.layer_scanner import MEDIA_TYPES, LayerDescriptor, LayerFailed, LayerInterrupted, LayerUnread
from lading.scanning.packages import LayerPackages, Package
from lading.vulnerabilities.exploits import Exploits
from lading_storage.digests import digest_of
from lading_storage.records.core import Manifest
from tests.scans.scan_steps import A
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.osv_dumps import Databases
from tests.support.registry_pushes import push_blob, push_manifest


def npm(name: str, version: str) -> LayerPackages:
    path = f"app/node_modules/{name}/package.json"
    return LayerPackages(packages={path: [Package(type="npm", name=name, version=version, path=path)]})


class FakeLayers:
    """Reads layers as `packages` says, by their bytes, and records which."""

    def __init__(self, packages: Mapping[bytes, LayerPackages | str]) -> None:
        self._packages = {digest_of(content): found for content, found in packages.items()}
        self.read: list[str] = []
        self.failures = 0

    def scan(self, layer: LayerDescriptor, chunks: Iterable[bytes] | None) -> LayerPackages:
        if chunks is None or layer.media_type not in MEDIA_TYPES:
            raise LayerUnread(f"{layer.digest}: the layer is not stored in this registry, or of another type")
        assert digest_of(b"".join(chunks)) == layer.digest
        self.read.append(layer.digest)
        if self.failures:
            self.failures -= 1
            raise LayerInterrupted("the process that reads it was killed")
        found = self._packages[layer.digest]
        if isinstance(found, str):
            raise LayerFailed(found)
        return found


class FakeData:
    """Data of some ecosystems, which a test replaces."""

    def __init__(self, databases: Databases) -> None:
        self.databases = databases
        self.unusable: set[str] = set()

    def database(self, ecosystem: str) -> "object":
        return self.databases.get(ecosystem)

    def exploits(self) -> Exploits | None:
        return None

    @contextlib.contextmanager
    def opened(self) -> Iterator["FakeData"]:
        yield self


def run(registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData) -> Mapping[str, int]:
    scanner = ScanRun(InProcessBackend(registry), layers, data, clock, "1.0")  # type: ignore[arg-type]  # fakes
    scanner.run(lambda: False)
    return dict(scanner.counts)


def image_of(registry: Registry, tag: str, *layers: bytes) -> Manifest:
    for content in (images.EMPTY_CONFIG, *layers):
        push_blob(registry, A, content)
    return push_manifest(registry, A, images.manifest([*layers], annotations={"tag": tag}), tag)
