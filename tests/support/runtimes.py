"""Container runtimes that run an image, or refuse it: docker, containerd by itself and below Kubernetes, and podman."""

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import grpc

from tests.support.client_commands import ProgramRunner
from tests.support.container_daemons import Ctr, Docker
from tests.support.kubernetes_runtime import KubernetesRuntime
from tests.support.requirements import find_program

PROGRAM: Final = """#include <unistd.h>
int main(int count, char **words) { if (count > 1) for (;;) pause(); write(1, "it runs\\n", 8); return 0; }
"""
"""Says that it runs; with an argument, it waits for ever."""

OUTPUT: Final = "it runs"

Runtime = Callable[[str], str]
"""Runs /program of an image; returns "" if it ran, else why it did not."""


def layer_with_program(folder: Path) -> bytes:
    """The layer of an image whose only file is the program."""
    source, program = folder / "program.c", folder / "program"
    source.write_text(PROGRAM)
    compiler = find_program("cc", "apt-get install gcc libc6-dev")
    subprocess.run([compiler, "-static", "-Os", "-s", "-o", program, source], check=True)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("program")
        entry.size, entry.mode = program.stat().st_size, 0o755
        tar.addfile(entry, io.BytesIO(program.read_bytes()))
    return archive.getvalue()


def docker_runtime(docker: Docker) -> Runtime:
    """docker, with its own store of layers."""

    def run(image: str) -> str:
        docker("pull", image)
        return docker("run", "--rm", "--network=host", "--entrypoint=/program", image)

    return _reason(run)


def containerd_runtime(ctr: Ctr) -> Runtime:
    """containerd by its own command."""

    def run(image: str) -> str:
        ctr("images", "pull", "--plain-http", "--snapshotter", "native", image)
        name = image.rpartition(":")[2]
        return ctr("run", "--rm", "--snapshotter", "native", "--net-host", image, name, "/program")

    return _reason(run)


def kubernetes(runtime: KubernetesRuntime) -> Runtime:
    """containerd by the interface of a kubelet."""
    return _reason(lambda image: runtime.output(image, "/program"))


def podman_runtime(commands: ProgramRunner, folder: Path) -> Runtime:
    """podman, up to the container that it makes: to run it needs more of the machine. CRI-O has the same library.

    The name of the folder has at most 40 characters.
    """
    commands.configure_docker("{}")
    places: list[str | Path] = ["--root", folder / "root", "--runroot", folder / "run", "--storage-driver=vfs"]
    words = [
        find_program("podman", "apt install podman"),
        *places,
        "--cgroup-manager=cgroupfs",
        "--events-backend=file",
    ]

    def run(image: str) -> str:
        commands.run(*words, "pull", "--quiet", "--tls-verify=false", image)
        container = commands.run(*words, "create", "--network=host", "--entrypoint=/program", image).strip()
        archive = folder / "exported.tar"
        commands.run(*words, "export", "--output", archive, container)
        with tarfile.open(archive) as tar:
            return OUTPUT if "program" in tar.getnames() else "its container has no program"

    return _reason(run)


def _reason(run: Callable[[str], str]) -> Runtime:
    """Return the runtime whose client is `run`, which returns the output, and fails where the image is refused."""

    def runtime(image: str) -> str:
        try:
            output = run(image)
        except (AssertionError, grpc.RpcError) as error:
            return str(error)[-2000:]
        return "" if OUTPUT in output else f"it said {output}"

    return runtime
