"""Running clients, each with a home of its own."""

import os
import subprocess
from pathlib import Path


class Commands:
    """Runs programs with configuration in a folder of their own, and no way to anybody's credentials."""

    def __init__(self, home: Path) -> None:
        """Let programs find their configuration in `home`, where there is none."""
        self._environment = {
            **os.environ,
            "HOME": str(home),
            "DOCKER_CONFIG": str(home / "docker"),
            "REGCTL_CONFIG": str(home / "regctl.json"),
            "XDG_RUNTIME_DIR": str(home),
        }

    def run(self, *words: str | Path) -> str:
        """Run to a good end; answers standard output."""
        done = self._run(*words)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fail(self, *words: str | Path) -> str:
        """Run to a bad end; answers standard error."""
        done = self._run(*words)
        assert done.returncode != 0, f"{words}\n{done.stdout}"
        return done.stderr

    def _run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )
