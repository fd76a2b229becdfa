"""The image of terraform/on-premises/, built by docker from a base that is made of Debian's packages."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.container_daemons import Docker
from tests.support.on_premises_files import FOLDER
from tests.support.requirements import find_program, skip_or_fail

ROOT: Final = Path(__file__).parents[2]
CONTEXT: Final = ("functions", "storage", "pyproject.toml", "setup.py", "README.md", "LICENSE")
"""What the Containerfile copies."""

IMAGE: Final = "lading:test"

Compose = Callable[..., str]
"""Runs docker compose with the file of the folder; keywords are environment variables."""


@dataclass(frozen=True)
class ImageBase:
    """What the image is built from without a registry: the archive of a base, and a folder of wheels."""

    archive: Path
    wheels: Path


def image_base() -> ImageBase:
    """Return the base, made on the first use of a machine; the test is skipped where it cannot be made."""
    find_program("mmdebstrap", "apt install mmdebstrap")
    if os.geteuid() != 0:
        skip_or_fail("mmdebstrap needs root")
    script = ROOT / "tests" / "on_premises" / "base"
    done = subprocess.run([script], capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        skip_or_fail(f"no base can be made of Debian's packages: {done.stderr[-1000:]}")
    archive, wheels = map(Path, done.stdout.split())
    return ImageBase(archive, wheels)


def build_image(docker: Docker, folder: Path, name: str = IMAGE) -> None:
    """Build the image, without a network, in a folder that holds the context."""
    base = image_base()
    for each in CONTEXT:
        if (ROOT / each).is_dir():
            shutil.copytree(ROOT / each, folder / each, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / each, folder)
    shutil.copytree(base.wheels, folder / "wheels")
    docker("import", base.archive, "lading-base")
    arguments = ("BASE=lading-base", "PIP_NO_INDEX=1", "VERSION=1.2.3")
    options = [word for each in arguments for word in ("--build-arg", each)]
    docker("build", "--network", "none", "-q", "-f", FOLDER / "Containerfile", *options, "-t", name, folder)
