"""Terraform as a program, with the providers that tests/terraform/providers/build makes."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PROTECTED: Final = "prevent_destroy = true"
WAIT: Final = 'create_duration = "60s"'


PARTS: Final = ("functions", "storage", "terraform")
"""What a deployment needs of this repository."""


EVALUATED: Final = ("functions/main.py", "functions/lading/settings.py", "storage/lading_storage/__init__.py")
"""Of the program's code, what the module evaluates, and a file of each package."""

PROGRAM: Final = ("functions/", "storage/")

GARBAGE_PERCENT: Final = "400"
"""Of Go's collector (100 by default): Terraform and its providers build large schemas, and end after seconds."""


def checkout(folder: Path, *, whole: bool = False) -> Path:
    """A copy of what a deployment needs of this repository, in which Terraform may leave its files.

    Unless it is `whole`, the functions' code is EVALUATED alone. To evaluate archives of hundreds of files takes 16 of
    the 19 s of CPU time of a plan, which is the same without them, but for the archives.
    """
    for name in PARTS:
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".terraform*", "*.tfstate*")
        )
    if not whole:
        without_code(folder)
    return folder


def without_code(folder: Path) -> None:
    """Delete the functions' code from a checkout, but for EVALUATED."""
    for path in [*folder.rglob("*.py")]:
        name = path.relative_to(folder).as_posix()
        if name.startswith(PROGRAM) and name not in EVALUATED:
            path.unlink()


def without_wait(folder: Path) -> Path:
    """Let a checkout use services of Google as soon as they are enabled: the fake's can be used then."""
    apis = folder / "terraform" / "apis.tf"
    text = apis.read_text()
    assert text.count(WAIT) == 1
    apis.write_text(text.replace(WAIT, 'create_duration = "0s"'))
    return folder


def without_protection(folder: Path) -> Path:
    """Let the key of attestations be destroyed with the rest of a deployment, for which a person has to say more."""
    attest = folder / "terraform" / "attest.tf"
    text = attest.read_text()
    assert text.count(PROTECTED) == 1
    attest.write_text(text.replace(PROTECTED, "prevent_destroy = false"))
    return folder


@dataclass(frozen=True)
class Terraform:
    """The program, with a configuration that installs its providers from a folder and asks no registry."""

    program: str
    configuration: Path

    def run(self, folder: Path, *arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command in a folder to its end. Unless it may fail, it must not."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "GOOGLE_"))}
        done = subprocess.run(
            [self.program, *arguments],
            cwd=folder,
            env={
                **environment,
                "TF_CLI_CONFIG_FILE": str(self.configuration),
                "TF_IN_AUTOMATION": "1",
                "GOGC": GARBAGE_PERCENT,
            },
            capture_output=True,
            text=True,
            timeout=1800,  # all plans of the module, on a busy machine
            check=False,
        )
        assert fails or done.returncode == 0, done.stdout + done.stderr
        return done

    def init(self, folder: Path) -> Path:
        """Install the providers; return the folder."""
        self.run(folder, "init", "-backend=false", "-input=false", "-no-color")
        return folder

    def root(self, folder: Path, source: Path, google: Mapping[str, Any], **variables: Any) -> Path:
        """Make a configuration in `folder` that uses the module of a checkout, and install what it needs.

        google     settings of the provider
        variables  of the module
        """
        # As a URL names it, with // before the folder: then Terraform keeps the module's repository as a whole.
        module = {"source": f"{source}//terraform", **variables}
        configuration = {"provider": {"google": google}, "module": {"lading": module}}
        folder.mkdir(exist_ok=True)
        (folder / "main.tf.json").write_text(json.dumps(configuration, indent=2))
        return self.init(folder)
