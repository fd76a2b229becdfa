"""A scan of an image of real packages: from its push to its result; beside syft, which lists packages in the same one.

The image has what is on this machine: the database of Debian's packages, the packages of the Python that runs, and
programs of Go. syft compares nothing with vulnerabilities, and reads the image from a folder.
"""

import contextlib
import io
import json
import os
import shutil
import site
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lading.scanning.documents.scan_document import KNOWN_STATES
from lading_storage.digests import digest_of
from tests.benchmarks.images import Pusher
from tests.benchmarks.peers import REPOSITORY, Peer
from tests.benchmarks.process_usage import Tree
from tests.benchmarks.workload import MIB, Bench, Figures, UnsupportedWorkload, Workload
from tests.support import images
from tests.support.server_process import serving

PROGRAMS: Final = ("crane", "regctl", "helm")
DATABASES: Final = ("/etc/os-release", "/var/lib/dpkg/status")
MAX_SECONDS: Final = 300.0
INTERVAL: Final = 0.05


def _layer(bench: Bench) -> bytes:
    """Return the only layer of the image; a trial has the databases alone."""
    paths = [*map(Path, DATABASES)]
    if bench.scale == 1:
        paths.append(Path(site.getsitepackages()[0]))
        paths += [Path(found) for name in PROGRAMS if (found := shutil.which(name))]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1, dereference=True) as archive:
        for path in paths:
            if path.exists():
                archive.add(path, str(path).lstrip("/"), filter=_without_bytecode)
    return stream.getvalue()


def _without_bytecode(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def _scan(bench: Bench, peer: Peer) -> Figures:
    if peer.name != "lading" or peer.tree is None:
        raise UnsupportedWorkload("it does not scan")
    layer = bench.once("scanned layer", lambda: _layer(bench))
    folder = bench.folder / f"scan-{time.monotonic_ns()}"
    folder.mkdir()
    return {"image MB": len(layer) / 1e6, **_of_lading(folder, layer), **_of_syft(folder, layer)}


def _of_lading(folder: Path, layer: bytes) -> Figures:
    """Push the image to a registry of its own; return what that used from then until the process that reads ended."""
    environment = {"LADING_ACCESS": "everybody", "LADING_SCAN": "on", "LADING_VULNERABILITY_UPDATES": "off"}
    with serving({**environment, "LADING_DATA": str(folder / "data")}, folder / "log", new=True) as server:
        tree = Tree(server.process.pid)
        pusher = Pusher(Peer("lading", server.host))
        with contextlib.closing(pusher):
            pusher.blob(images.EMPTY_CONFIG)
            pusher.blob(layer)
            rest, began, started = tree.memory(), tree.cpu(), time.monotonic()
            manifest = images.manifest([layer])
            pusher.request("PUT", f"/v2/{REPOSITORY}/manifests/{digest_of(manifest)}", manifest)
            path = f"/v2/_lading/{REPOSITORY}/scan?digest={digest_of(manifest)}"
            peak, took = rest, 0.0
            for _ in _until(started + MAX_SECONDS):
                peak = max(peak, tree.memory())
                state = json.loads(server.request("GET", path)[1])["state"]
                if state in KNOWN_STATES:
                    took = time.monotonic() - started
                    break
            assert took, state
            return {"s": took, "CPU s": tree.cpu() - began, "memory above idle MiB": (peak - rest) / MIB}


def _until(deadline: float) -> Iterator[None]:
    while time.monotonic() < deadline:
        yield
        time.sleep(INTERVAL)


def _of_syft(folder: Path, layer: bytes) -> Figures:
    """Return what syft uses for the same image; nothing where it is not installed (`.ci/run` does so nightly)."""
    syft = shutil.which("syft")
    if syft is None:
        return {}
    (folder / "image").mkdir()
    _write_layout(folder / "image", layer)
    # In a process of its own, whose only child is syft: its peak is that of the largest child.
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, syft, "scan", "-q", f"oci-dir:{folder / 'image'}", "-o", "syft-json"],
        env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"},
        capture_output=True,
        text=True,
        check=True,
    )
    cpu, peak = map(float, measured.stdout.split())
    return {"syft: CPU s": cpu, "syft: memory MiB": peak * 1024 / MIB}


MEASURE: Final = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def _write_layout(folder: Path, layer: bytes) -> None:
    """Write an OCI layout (https://github.com/opencontainers/image-spec/blob/main/image-layout.md)."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    manifest = images.manifest([layer])
    for content in (images.EMPTY_CONFIG, layer, manifest):
        (blobs / digest_of(content).partition(":")[2]).write_bytes(content)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_bytes(images.index([manifest]))


WORKS = (Workload("scan", "a push of an image of real packages, until it is scanned; beside syft", _scan),)
