"""Google's Firestore emulator. No package registry has it: it comes with the Cloud SDK, and runs in Java."""

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

# A small heap and the simplest compilers: it is up in two seconds instead of five.
JAVA: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx1g")

INSTALL: Final = (
    "needs Google's Firestore emulator: install the Google Cloud SDK, then\n"
    "  gcloud components install cloud-firestore-emulator   (Debian: apt install google-cloud-cli-firestore-emulator)\n"
    f"or name its jar in {JAR_VARIABLE}, or a running one in FIRESTORE_EMULATOR_HOST"
)
NO_JAVA: Final = "the Firestore emulator needs Java 11 or newer (Debian: apt install default-jre-headless)"


@dataclass(frozen=True, slots=True)
class FirestoreEmulator:
    """A running Firestore emulator; its address is HOST:PORT."""

    address: str

    @classmethod
    def start(cls, family: ProcessGroup, environment: Mapping[str, str]) -> Self:
        """Start one, or use the one that FIRESTORE_EMULATOR_HOST names. Raises EmulatorError."""
        named = environment.get("FIRESTORE_EMULATOR_HOST")
        if named:
            return cls(named)
        jar = _jar(environment)
        java = shutil.which("java", path=environment.get("PATH"))
        if java is None:
            raise EmulatorError(NO_JAVA)
        command = [java, *JAVA, "-cp", str(jar), MAIN, "start", "--host=127.0.0.1", "--port={port}"]
        return cls(f"127.0.0.1:{family.start_server('firestore', command)}")


def _jar(environment: Mapping[str, str]) -> Path:
    """The emulator's jar: the one that is named, else the Cloud SDK's."""
    named = environment.get(JAR_VARIABLE)
    candidates = [Path(named)] if named else [root / IN_SDK for root in _sdk_roots(environment)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise EmulatorError(INSTALL)


def _sdk_roots(environment: Mapping[str, str]) -> list[Path]:
    """Where the Cloud SDK may be: as it says itself, or around its `gcloud`."""
    roots = [Path(root) for name in ("CLOUDSDK_ROOT_DIR",) if (root := environment.get(name))]
    gcloud = shutil.which("gcloud", path=environment.get("PATH"))
    if gcloud:
        beside = Path(os.path.realpath(gcloud)).parent
        # Debian's /usr/bin/gcloud is a script of its own; the SDK is in ../lib.
        roots += [beside.parent, beside.parent / "lib" / "google-cloud-sdk"]
    return roots
