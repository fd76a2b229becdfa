"""Daemons that clients need, for one test or session: dockerd and containerd, and the commands that talk to them."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.support.client_commands import ProgramRunner
from tests.support.oci_layouts import Layout
from tests.support.requirements import find_program, skip_or_fail
from tests.support.server_process import PROCESS_TIMEOUT

CONTAINERD_HINTS: Final = {"": "apt install containerd", "2": "LADING_NIGHTLY=1 .ci/run builds it"}

# Of Kubernetes' part, which looks for a network, nothing is needed.
CONTAINERD = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'

TRANSFERS: Final = """
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux/amd64"
  snapshotter = "native"
"""
"""For containerd 2, whose transfer service unpacks images for the snapshotters that it is told of."""

Ctr = Callable[..., str]


class Docker:
    """The docker command, at one daemon."""

    def __init__(self, commands: ProgramRunner, address: str) -> None:
        self._commands = commands
        self._words = [find_program("docker", "apt install docker.io"), "-H", address]

    def __call__(self, *words: str | Path, stdin: str = "") -> str:
        return self._commands.run(*self._words, *words, stdin=stdin)

    def fail(self, *words: str | Path, stdin: str = "") -> str:
        return self._commands.fail(*self._words, *words, stdin=stdin)


@contextlib.contextmanager
def dockerd(folder: Path, driver: str = "vfs") -> Iterator[str]:
    """The address of a docker daemon: without a network, with plain folders for layers.

    With driver "" docker chooses how it stores layers; plain folders are copied for each step of a build.
    """
    daemon = find_program("dockerd", "apt install docker.io")
    if os.geteuid() != 0:
        skip_or_fail("dockerd needs root")
    network = ["--iptables=false", "--ip6tables=false", "--bridge=none"]
    with _socket_folder() as sockets:
        address = f"unix://{sockets}/sock"
        places = [f"--data-root={folder}/data", f"--exec-root={sockets}/exec", f"--pidfile={folder}/pid"]
        command = [daemon, *network, *places, *(["-s", driver] if driver else []), "-H", address]
        with _running(command, folder, b"API listen on", 2 * PROCESS_TIMEOUT):
            yield address
        # Containers in the host's network leave this mount.
        mount = sockets / "exec" / "netns" / "default"
        subprocess.run(["umount", "-q", mount], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def containerd(folder: Path, commands: ProgramRunner, version: str = "") -> Iterator[Ctr]:
    """ctr, at a daemon that has nothing yet; `version` "2" is containerd 2."""
    with running_containerd(folder, CONTAINERD, version) as address:
        words: list[str | Path] = [
            find_program(f"ctr{version}", CONTAINERD_HINTS[version]),
            "-a",
            address,
            "-n",
            "lading",
        ]
        yield lambda *more: commands.run(*words, *more)


@contextlib.contextmanager
def running_containerd(folder: Path, configuration: str, version: str = "") -> Iterator[Path]:
    """The address of a daemon that has nothing yet; `version` "2" is containerd 2, by any version of configuration."""
    daemon = find_program(f"containerd{version}", CONTAINERD_HINTS[version])
    if os.geteuid() != 0:
        skip_or_fail("containerd needs root")
    (folder / "config.toml").write_text(configuration + (TRANSFERS if version else ""))
    with _socket_folder() as sockets:
        socket = sockets / "sock"
        places = ["-c", "config.toml", "--root", f"{folder}/root", "--state", f"{sockets}/state", "-a", f"{socket}"]
        with _running([daemon, *places], folder, b"successfully booted", PROCESS_TIMEOUT):
            yield socket


@contextlib.contextmanager
def _socket_folder() -> Iterator[Path]:
    """A folder for sockets: the address of one has room for 107 bytes, and pytest's folders may need them all."""
    folder = Path(tempfile.mkdtemp(prefix="lading-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def buildkitd(folder: Path, host: str) -> Iterator[list[str]]:
    """The words of buildctl, at a daemon that has nothing yet, and reaches a registry by HTTP."""
    hint = "LADING_NIGHTLY=1 .ci/run builds it"
    daemon, client = find_program("buildkitd", hint), find_program("buildctl", hint)
    if os.geteuid() != 0:
        skip_or_fail("buildkitd needs root")
    (folder / "buildkitd.toml").write_text(f'[registry."{host}"]\nhttp = true\ninsecure = true\n')
    worker = ["--oci-worker-snapshotter=native", "--oci-worker-net=host", "--containerd-worker=false"]
    with _socket_folder() as sockets:
        address = f"unix://{sockets}/sock"
        places = ["--config=buildkitd.toml", f"--root={folder}/root", f"--addr={address}"]
        with _running([daemon, *places, *worker], folder, b"running server on", PROCESS_TIMEOUT):
            yield [client, "--addr", address]


@contextlib.contextmanager
def _running(command: list[str], folder: Path, ready: bytes, timeout: float) -> Iterator[None]:
    """Run a daemon that says in its log when it is ready; afterwards nothing of it is left."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + timeout
        while ready not in (folder / "log").read_bytes():
            assert time.monotonic() < deadline, "it does not start"
            assert process.poll() is None, (folder / "log").read_text()[-3000:]
            time.sleep(0.05)
        yield
    finally:
        # The daemon ends what it has started itself; what then is left of the session is killed.
        process.terminate()
        try:
            process.wait(PROCESS_TIMEOUT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            # pytest keeps the folders of three runs, and layers are large.
            shutil.rmtree(folder, ignore_errors=True)


def bring_in(ctr: Ctr, layout: Layout, repository: str) -> None:
    """Give the daemon an image, named REPOSITORY:v1."""
    archive = layout.folder.with_suffix(".tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(layout.folder, ".")
    ctr("images", "import", "--no-unpack", "--base-name", repository, archive)
    archive.unlink()


def forget(ctr: Ctr, *names: str) -> None:
    """Remove images, and wait until their blobs are gone."""
    ctr("images", "rm", "--sync", *names)
    assert ctr("content", "ls", "-q") == ""


def make_image(docker: Docker, folder: Path, name: str) -> str:
    """Make an image of four layers, one of 40 MiB and one without a byte; answers its id."""
    for number, content in enumerate([os.urandom(40 << 20), b"", b"text", os.urandom(1000)]):
        (folder / f"file{number}").write_bytes(content)
    tar = folder / "root.tar"
    with tarfile.open(tar, "w") as archive:
        archive.add(folder / "file3", "base")
    docker("import", tar, f"{name}-base")
    copies = "".join(f"COPY file{number} /file{number}\n" for number in range(3))
    (folder / "Dockerfile").write_text(f"FROM {name}-base\n{copies}")
    return docker("build", "-q", "-t", name, folder).strip()


def files_of(docker: Docker, image: str, folder: Path) -> dict[str, bytes]:
    """The bytes of each layer of an image, as `docker save` writes them."""
    folder.mkdir()
    docker("save", "-o", folder / "image.tar", image)
    with tarfile.open(folder / "image.tar") as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        layers = json.loads(manifest.read())[0]["Layers"]
        contents = {}
        for number, layer in enumerate(layers):
            member = archive.extractfile(layer)
            assert member is not None
            contents[str(number)] = member.read()
        return contents
