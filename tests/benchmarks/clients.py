"""What people wait for: an image of 12 layers by crane and by docker, pushed, pushed where its layers are, and pulled.

Each first push is of an image that no registry has seen; each pull begins with nothing.
"""

import io
import itertools
import json
import resource
import shutil
import tarfile
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

from lading_storage.digests import digest_of
from tests.benchmarks.peers import REPOSITORY, Peer
from tests.benchmarks.workload import MIB, Bench, Figures, Workload
from tests.support import images
from tests.support.client_commands import ProgramRunner
from tests.support.container_daemons import Docker, dockerd
from tests.support.oci_layouts import write_image
from tests.support.requirements import find_program

LAYERS: Final = 12
SIZE: Final = MIB
"""Bytes of a layer, which do not become fewer when they are compressed."""

IMAGE_NUMBERS = itertools.count()
"""Numbers for what must be new."""


class Crane:
    """crane."""

    def __init__(self, bench: Bench) -> None:
        self._folder = bench.folder
        self._size = SIZE // bench.scale
        self._path = find_program("crane", "go install github.com/google/go-containerregistry/cmd/crane@latest")
        self._commands = bench.once("commands", lambda: _commands(bench))

    def image(self, peer: Peer) -> str:
        """A new image that can be pushed; answers its name there."""
        name = f"{peer.address}/{REPOSITORY}:c{next(IMAGE_NUMBERS)}"
        # The layout adds a layer of its own.
        write_image(self._place(name), [images.blob(self._size) for _ in range(LAYERS - 1)])
        return name

    def push(self, name: str) -> None:
        self._commands.run(self._path, "push", self._place(name), name)

    def push_again(self, name: str) -> None:
        # Of an image that is there crane sends nothing at all.
        _relabel(self._place(name))
        self.push(name)

    def forget(self, name: str) -> None:
        shutil.rmtree(self._folder / "pulled", ignore_errors=True)

    def pull(self, name: str) -> None:
        self._commands.run(self._path, "pull", "--format", "oci", name, self._folder / "pulled")

    def _place(self, name: str) -> Path:
        return self._folder / name.replace("/", "_").replace(":", "_")


class DockerClient:
    """docker, at a daemon that has nothing but what is put there."""

    def __init__(self, bench: Bench) -> None:
        self._folder = bench.folder
        self._size = SIZE // bench.scale
        self._docker: Docker = bench.once("docker", lambda: _docker(bench))

    def image(self, peer: Peer) -> str:
        """A new image that can be pushed; answers its name there."""
        name = f"{peer.address}/{REPOSITORY}:d{next(IMAGE_NUMBERS)}"
        archive = self._folder / "image.tar"
        _write_archive(archive, name, [images.blob(self._size) for _ in range(LAYERS)])
        self._docker("load", "-i", archive)
        return name

    def push(self, name: str) -> None:
        self._docker("push", name)

    def push_again(self, name: str) -> None:
        self.push(name)

    def forget(self, name: str) -> None:
        known = self._docker("image", "ls", "-aq").split()
        if known:
            self._docker("rmi", "-f", *dict.fromkeys(known))

    def pull(self, name: str) -> None:
        self._docker("pull", name)


Client = Crane | DockerClient


def _first_push(bench: Bench, peer: Peer, make: Callable[[Bench], Client]) -> Figures:
    client = make(bench)
    name = client.image(peer)
    return _timed(bench, peer, lambda: client.push(name))


def _push_again(bench: Bench, peer: Peer, make: Callable[[Bench], Client]) -> Figures:
    client = make(bench)
    name = client.image(peer)
    client.push(name)
    return _timed(bench, peer, lambda: client.push_again(name))


def _pull(bench: Bench, peer: Peer, make: Callable[[Bench], Client]) -> Figures:
    client = make(bench)
    name = client.image(peer)
    client.push(name)
    client.forget(name)
    return _timed(bench, peer, lambda: client.pull(name))


def _timed(bench: Bench, peer: Peer, work: Callable[[], None]) -> Figures:
    with bench.watching(peer) as used:
        # Within: to watch a process costs more, the more threads it has.
        began, own = time.perf_counter(), _own_cpu()
        work()
        took, clients = time.perf_counter() - began, _own_cpu() - own
    return {
        "s": took,
        "CPU s": used.cpu,
        "client's CPU s": clients,
        "memory MiB": used.peak,
    }


def _own_cpu() -> float:
    """Seconds of CPU time of all clients that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _commands(bench: Bench) -> ProgramRunner:
    home = bench.folder / "home"
    home.mkdir()
    return ProgramRunner(home)


def _docker(bench: Bench) -> Docker:
    folder = bench.folder / "dockerd"
    folder.mkdir()
    return Docker(bench.once("commands", lambda: _commands(bench)), bench.stack.enter_context(dockerd(folder)))


def _relabel(layout: Path) -> None:
    """Make of the image in a layout another one, of the same layers."""
    blobs, index = layout / "blobs" / "sha256", json.loads((layout / "index.json").read_text())
    manifest = json.loads((blobs / _hex(index["manifests"][0])).read_text())
    config = json.loads((blobs / _hex(manifest["config"])).read_text())
    config["author"] = str(next(IMAGE_NUMBERS))
    for content, named in ((config, manifest["config"]), (manifest, index["manifests"][0])):
        written = json.dumps(content).encode()
        named |= {"digest": digest_of(written), "size": len(written)}
        (blobs / _hex(named)).write_bytes(written)
    (layout / "index.json").write_text(json.dumps(index))


def _hex(descriptor: dict[str, str]) -> str:
    return descriptor["digest"].removeprefix("sha256:")


def _write_archive(path: Path, name: str, contents: list[bytes]) -> None:
    """An image as `docker load` reads it, with a layer for each of `contents`."""
    layers = {f"{number}/layer.tar": _tar({"file": content}) for number, content in enumerate(contents)}
    digests = [f"sha256:{sha256(layer).hexdigest()}" for layer in layers.values()]
    rootfs = {"type": "layers", "diff_ids": digests}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": list(layers)}]
    described = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    path.write_bytes(_tar(layers | described))


def _tar(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


WORKS = tuple(
    Workload(f"{name}-{what}", f"{text} by {name}", partial(run, make=make))
    for name, make in (("crane", Crane), ("docker", DockerClient))
    for what, text, run in (
        ("push", "the first push of an image of 12 layers of 1 MiB", _first_push),
        ("push-again", "the push of one whose layers are there", _push_again),
        ("pull", "the pull of one where nothing is", _pull),
    )
)
