"""Emulation of the buildpack: a folder with the functions' source, and a Python environment with its requirements.

The environment has the distributions in requirements.txt and nothing else, neither this checkout nor packages for
tests. So a file that is missing in the archive, or in the requirements, causes an error here as in the cloud.
"""

import io
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final, Self

from emulators.processes import EmulatorError

PIP_TIMEOUT: Final = 600
"""Seconds."""

INSTALL: Final = "run pip install -e '.[cloud,test]', or use --pip to install the requirements with pip"


@dataclass(frozen=True)
class Runtime:
    """Installed source of a function.

    workspace  folder with the source, the working directory of the function
    python     folder of the environment (venv)
    """

    workspace: Path
    python: Path

    @classmethod
    def install(cls, folder: Path, archive: bytes, with_pip: bool = False) -> Self:
        """Install an archive of the source below an empty folder.

        Args:
            folder: target of all files.
            archive: from `source.archive`, or as it was uploaded.
            with_pip: install requirements.txt from the package index, with hashes checked by pip, instead of linking
                the packages of this interpreter.

        Raises:
            EmulatorError: a requirement is missing.
        """
        runtime = cls(folder / "workspace", folder / "python")
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            packed.extractall(runtime.workspace)
        venv.create(runtime.python, symlinks=True, with_pip=with_pip)
        requirements = runtime.workspace / "requirements.txt"
        if with_pip:
            pip = [str(runtime.python / "bin" / "pip"), "install", "-q", "--require-hashes", "-r", str(requirements)]
            subprocess.run(pip, check=True, timeout=PIP_TIMEOUT)
        else:
            for name in required(requirements.read_text()):
                runtime._link(_installed(name))
        return runtime

    @property
    def command(self) -> list[str]:
        """The command of the container: the buildpack's web process, which is configured by environment variables."""
        return [str(self.python / "bin" / "functions-framework")]

    def environment(self) -> Mapping[str, str]:
        """Return the environment variables that the buildpack's image sets."""
        path = os.pathsep.join([str(self.python / "bin"), "/usr/local/bin", "/usr/bin", "/bin"])
        return {"PATH": path, "HOME": str(self.workspace), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "TRUE"}

    def _link(self, package: Distribution) -> None:
        """Link a distribution of this interpreter into the environment, including its scripts."""
        site = next((self.python / "lib").glob("python*/site-packages"))
        for name in {Path(file).parts[0] for file in package.files or () if not str(file).startswith("..")}:
            target = Path(str(package.locate_file(name)))
            if name != "__pycache__" and not (site / name).exists():
                (site / name).symlink_to(target)
        for file in package.files or ():
            program = Path(str(package.locate_file(file)))
            if program.parent.name == "bin" and str(file).startswith(".."):
                self._copy_program(program.resolve())

    def _copy_program(self, program: Path) -> None:
        """Copy a Python script so that the environment's Python runs it, or link another program."""
        copy, content = self.python / "bin" / program.name, program.read_bytes()
        first, _, rest = content.partition(b"\n")
        if first.startswith(b"#!") and b"python" in first:
            copy.write_bytes(b"#!%b\n" % os.fsencode(self.python / "bin" / "python") + rest)
            copy.chmod(0o755)
        else:
            copy.symlink_to(program)


def required(requirements: str) -> list[str]:
    """Return the names of the distributions in a requirements file whose markers match this environment."""
    from packaging.requirements import Requirement

    lines = (line.strip() for line in requirements.splitlines())
    parsed = [Requirement(line.rstrip("\\").strip()) for line in lines if line and not line.startswith(("#", "--"))]
    return [each.name for each in parsed if each.marker is None or each.marker.evaluate()]


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise EmulatorError(f"the functions require {name}, which {sys.executable} does not have: {INSTALL}") from None
