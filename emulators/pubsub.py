"""Google's Pub/Sub emulator, a Java program from the Cloud SDK. No package registry has it.

It enforces neither the limits of messages nor permissions, and its topics and subscriptions need ids of at least three
characters.
"""

import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

from emulators.firestore import JAVA, NO_JAVA, sdk_roots
from emulators.processes import EmulatorError, ProcessGroup

JAR_VARIABLE: Final = "LADING_PUBSUB_EMULATOR_JAR"
IN_SDK: Final = "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*.jar"
MAIN: Final = "com.google.cloud.pubsub.testing.v1.Main"
INSTALL: Final = (
    "needs Google's Pub/Sub emulator: install the Google Cloud SDK, then\n"
    "  gcloud components install pubsub-emulator   (Debian: apt install google-cloud-cli-pubsub-emulator)\n"
    f"or name its jar in {JAR_VARIABLE}, or a running one in PUBSUB_EMULATOR_HOST"
)


@dataclass(frozen=True, slots=True)
class PubSubEmulator:
    """A running Pub/Sub emulator. `address` is HOST:PORT."""

    address: str

    @classmethod
    def start(cls, processes: ProcessGroup, environment: Mapping[str, str]) -> Self:
        """Start an emulator, or use the one that PUBSUB_EMULATOR_HOST names. Raises EmulatorError."""
        named = environment.get("PUBSUB_EMULATOR_HOST")
        if named:
            return cls(named)
        jar = _jar(environment)
        java = shutil.which("java", path=environment.get("PATH"))
        if java is None:
            raise EmulatorError(NO_JAVA)
        command = [java, *JAVA, "-cp", str(jar), MAIN, "--host=127.0.0.1", "--port={port}"]
        return cls(f"127.0.0.1:{processes.start_server('pubsub', command)}")

    def make_topic(self, name: str) -> None:
        """Create a topic, projects/PROJECT/topics/TOPIC, if it does not exist."""
        url, json = f"http://{self.address}/v1/{name}", {"Content-Type": "application/json"}
        request = urllib.request.Request(url, data=b"{}", headers=json, method="PUT")
        try:
            with urllib.request.urlopen(request, timeout=30):
                pass
        except urllib.error.HTTPError as error:
            with error:
                if error.code != HTTPStatus.CONFLICT:
                    raise


def _jar(environment: Mapping[str, str]) -> Path:
    """Return the emulator's jar: the one that JAR_VARIABLE names, else the Cloud SDK's. Raises EmulatorError."""
    named = environment.get(JAR_VARIABLE)
    candidates = [Path(named)] if named else [jar for root in sdk_roots(environment) for jar in root.glob(IN_SDK)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise EmulatorError(INSTALL)
