"""Google's Firestore emulator, a Java program from the Cloud SDK. No package registry has it."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from emulators.processes import EmulatorError, ProcessGroup

JAR_VARIABLE: Final = "LADING_FIRESTORE_EMULATOR_JAR"
IN_SDK: Final = Path("platform/cloud-firestore-emulator/cloud-firestore-emulator.jar")
MAIN: Final = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"

# A small heap and the simplest compiler reduce its start from five seconds to two.
JAVA: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx1g")

INSTALL: Final = (
    "needs Google's Firestore emulator: install the Google Cloud SDK, then\n"
    "  gcloud components install cloud-firestore-emulator   (Debian: apt install google-cloud-cli-firestore-emulator)\n"
    f"or name its jar in {JAR_VARIABLE}, or a running one in FIRESTORE_EMULATOR_HOST"
)
NO_JAVA: Final = "the Firestore emulator needs Java 11 or newer (Debian: apt install default-jre-headless)"


@dataclass(frozen=True, slots=True)
class FirestoreEmulator:
    """A running Firestore emulator. `address` is HOST:PORT."""

    address: str

    @classmethod
    def start(cls, processes: ProcessGroup, environment: Mapping[str, str]) -> Self:
        """Start an emulator, or use the one that FIRESTORE_EMULATOR_HOST names. Raises EmulatorError."""
        named = environment.get("FIRESTORE_EMULATOR_HOST")
        if named:
            return cls(named)
        jar = _jar(environment)
        java = shutil.which("java", path=environment.get("PATH"))
        if java is None:
            raise EmulatorError(NO_JAVA)
        command = [java, *JAVA, "-cp", str(jar), MAIN, "start", "--host=127.0.0.1", "--port={port}"]
        return cls(f"127.0.0.1:{processes.start_server('firestore', command)}")


def _jar(environment: Mapping[str, str]) -> Path:
    """Return the emulator's jar: the one that JAR_VARIABLE names, else the Cloud SDK's. Raises EmulatorError."""
    named = environment.get(JAR_VARIABLE)
    candidates = [Path(named)] if named else [root / IN_SDK for root in sdk_roots(environment)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise EmulatorError(INSTALL)


def sdk_roots(environment: Mapping[str, str]) -> list[Path]:
    """Return possible folders of the Cloud SDK: from CLOUDSDK_ROOT_DIR, and relative to `gcloud`."""
    roots = [Path(root) for name in ("CLOUDSDK_ROOT_DIR",) if (root := environment.get(name))]
    gcloud = shutil.which("gcloud", path=environment.get("PATH"))
    if gcloud:
        prefix = Path(os.path.realpath(gcloud)).parent.parent
        # Debian's /usr/bin/gcloud is a separate script; the SDK is in ../lib.
        roots += [prefix, prefix / "lib" / "google-cloud-sdk"]
    return roots
