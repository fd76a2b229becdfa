"""An emulator of the Google Cloud SDK: a Java program. No package registry has it."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulators.processes import EmulatorError, ProcessGroup

# A small heap and the simplest compiler reduce its start from five seconds to two.
JAVA: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx1g")


@dataclass(frozen=True, slots=True)
class SdkEmulator:
    """One of the SDK's emulators.

    Attributes:
        name: of the service, as in "Firestore".
        component: of the SDK, as in "cloud-firestore-emulator".
        package: of Debian, with the same emulator.
        jar: glob of the jar in the SDK.
        main: the class to start, and its words before the options.
        variable: of the environment, which names a running one as HOST:PORT. Google's clients know it.
        jar_variable: of the environment, which names another jar.
    """

    name: str
    component: str
    package: str
    jar: str
    main: tuple[str, ...]
    variable: str
    jar_variable: str

    def start(self, processes: ProcessGroup, environment: Mapping[str, str]) -> str:
        """Start an emulator, or use the running one that is named; return HOST:PORT. Raises EmulatorError."""
        if named := environment.get(self.variable):
            return named
        jar = self._jar(environment)
        java = shutil.which("java", path=environment.get("PATH"))
        if java is None:
            needs = "needs Java 11 or newer (Debian: apt install default-jre-headless)"
            raise EmulatorError(f"the {self.name} emulator {needs}")
        command = [java, *JAVA, "-cp", str(jar), *self.main, "--host=127.0.0.1", "--port={port}"]
        log = self.name.lower().replace("/", "")
        return f"127.0.0.1:{processes.start_server(log, command)}"

    def _jar(self, environment: Mapping[str, str]) -> Path:
        """Return the jar: the one that the environment names, else the Cloud SDK's. Raises EmulatorError."""
        named = environment.get(self.jar_variable)
        candidates = (
            [Path(named)] if named else [jar for root in _sdk_roots(environment) for jar in root.glob(self.jar)]
        )
        for candidate in candidates:
            if candidate.is_file():
                return candidate
        raise EmulatorError(
            f"needs Google's {self.name} emulator: install the Google Cloud SDK, then\n"
            f"  gcloud components install {self.component}   (Debian: apt install {self.package})\n"
            f"or name its jar in {self.jar_variable}, or a running one in {self.variable}"
        )


def _sdk_roots(environment: Mapping[str, str]) -> list[Path]:
    """Return possible folders of the Cloud SDK: from CLOUDSDK_ROOT_DIR, and relative to `gcloud`."""
    named = environment.get("CLOUDSDK_ROOT_DIR")
    roots = [Path(named)] if named else []
    gcloud = shutil.which("gcloud", path=environment.get("PATH"))
    if gcloud:
        prefix = Path(os.path.realpath(gcloud)).parent.parent
        # Debian's /usr/bin/gcloud is a separate script; the SDK is in ../lib.
        roots += [prefix, prefix / "lib" / "google-cloud-sdk"]
    return roots
