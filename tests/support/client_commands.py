"""Running clients, each with a home of its own."""

import os
import subprocess
from pathlib import Path


class ProgramRunner:
    """Runs programs with configuration in a folder of their own, and no way to anybody's credentials."""

    def __init__(self, home: Path, timeout: float = 120) -> None:
        """Let programs find their configuration in `home`, where there is none, and end after `timeout` seconds."""
        self._timeout = timeout
        self._environment = {
            **os.environ,
            "HOME": str(home),
            "DOCKER_CONFIG": str(home / "docker"),
            "REGCTL_CONFIG": str(home / "regctl.json"),
            "XDG_RUNTIME_DIR": str(home),
            # The builder that needs no plugin.
            "DOCKER_BUILDKIT": "0",
            "CLOUDSDK_CONFIG": str(home / "gcloud"),
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        }

    def configure_docker(self, configuration: str) -> None:
        """Write docker's configuration."""
        folder = Path(self._environment["DOCKER_CONFIG"])
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(configuration)

    def set(self, name: str, value: str) -> None:
        """Set an environment variable of what runs from now on."""
        self._environment[name] = value

    def run(self, *words: str | Path, stdin: str = "") -> str:
        """Run to a good end; answers standard output."""
        done = self._run(*words, stdin=stdin)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fail(self, *words: str | Path, stdin: str = "") -> str:
        """Run to a bad end; answers standard error."""
        done = self._run(*words, stdin=stdin)
        assert done.returncode != 0, f"{words}\n{done.stdout}"
        return done.stderr

    def _run(self, *words: str | Path, stdin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=self._timeout,
            check=False,
            input=stdin,
        )
