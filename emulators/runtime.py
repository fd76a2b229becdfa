"""What the buildpack makes of the functions' source: a folder with the files, and Python with what they require.

The Python sees the distributions that requirements.txt names and nothing else: neither this checkout nor what the tests
have beside them. So a file that is missing in the archive, or a line in the requirements, fails here as in the cloud.
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

INSTALL: Final = "pip install -e '.[cloud,test]', or let pip install what the functions require: --pip"


@dataclass(frozen=True)
class Runtime:
    """An installed source.

    workspace  the folder with the source, in which a function runs
    python     the environment's folder (venv)
    """

    workspace: Path
    python: Path

    @classmethod
    def install(cls, folder: Path, archive: bytes, with_pip: bool = False) -> Self:
        """Install an archive of the source below an empty folder.

        Args:
            folder: gets all files.
            archive: as `source.archive` makes it, or as it was uploaded.
            with_pip: install requirements.txt, whose hashes pip checks, from the package index; else link what this
                interpreter has of it.

        Raises:
            EmulatorError: a requirement is missing.
        """
        made = cls(folder / "workspace", folder / "python")
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            packed.extractall(made.workspace)
        venv.create(made.python, symlinks=True, with_pip=with_pip)
        requirements = made.workspace / "requirements.txt"
        if with_pip:
            pip = [str(made.python / "bin" / "pip"), "install", "-q", "--require-hashes", "-r", str(requirements)]
            subprocess.run(pip, check=True, timeout=PIP_TIMEOUT)
        else:
            for name in required(requirements.read_text()):
                made._link(_installed(name))
        return made

    @property
    def command(self) -> list[str]:
        """The command of the container. The buildpack's web process, which finds the rest in its environment."""
        return [str(self.python / "bin" / "functions-framework")]

    def environment(self) -> Mapping[str, str]:
        """The variables that the buildpack's image sets."""
        path = os.pathsep.join([str(self.python / "bin"), "/usr/local/bin", "/usr/bin", "/bin"])
        return {"PATH": path, "HOME": str(self.workspace), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "TRUE"}

    def _link(self, package: Distribution) -> None:
        """Make a distribution of this interpreter part of the environment, its programs included."""
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
        """Let a program run by the environment's Python, if it is a Python script."""
        copy, content = self.python / "bin" / program.name, program.read_bytes()
        first, _, rest = content.partition(b"\n")
        if first.startswith(b"#!") and b"python" in first:
            copy.write_bytes(b"#!%b\n" % os.fsencode(self.python / "bin" / "python") + rest)
            copy.chmod(0o755)
        else:
            copy.symlink_to(program)


def required(requirements: str) -> list[str]:
    """Return the names of the distributions that pip would install here, of a requirements file."""
    from packaging.requirements import Requirement

    lines = (line.strip() for line in requirements.splitlines())
    wanted = [Requirement(line.rstrip("\\").strip()) for line in lines if line and not line.startswith(("#", "--"))]
    return [each.name for each in wanted if each.marker is None or each.marker.evaluate()]


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise EmulatorError(f"the functions require {name}, which {sys.executable} does not have: {INSTALL}") from None
