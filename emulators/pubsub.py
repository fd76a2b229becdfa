"""Google's Pub/Sub emulator.

It enforces neither the limits of messages nor permissions, and its topics and subscriptions need ids of at least three
characters.
"""

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Self

from emulators.processes import ProcessGroup
from emulators.sdk_emulator import SdkEmulator

EMULATOR: Final = SdkEmulator(
    name="Pub/Sub",
    component="pubsub-emulator",
    package="google-cloud-cli-pubsub-emulator",
    jar="platform/pubsub-emulator/lib/cloud-pubsub-emulator-*.jar",
    main=("com.google.cloud.pubsub.testing.v1.Main",),
    variable="PUBSUB_EMULATOR_HOST",
    jar_variable="LADING_PUBSUB_EMULATOR_JAR",
)


@dataclass(frozen=True, slots=True)
class PubSubEmulator:
    """A running Pub/Sub emulator. `address` is HOST:PORT."""

    address: str

    @classmethod
    def start(cls, processes: ProcessGroup, environment: Mapping[str, str]) -> Self:
        """Start an emulator, or use the one that PUBSUB_EMULATOR_HOST names. Raises EmulatorError."""
        return cls(EMULATOR.start(processes, environment))

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
