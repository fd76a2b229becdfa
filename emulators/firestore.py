"""Google's Firestore emulator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from emulators.processes import ProcessGroup
from emulators.sdk_emulator import SdkEmulator

EMULATOR: Final = SdkEmulator(
    name="Firestore",
    component="cloud-firestore-emulator",
    package="google-cloud-cli-firestore-emulator",
    jar="platform/cloud-firestore-emulator/cloud-firestore-emulator.jar",
    main=("com.google.cloud.datastore.emulator.firestore.CloudFirestore", "start"),
    variable="FIRESTORE_EMULATOR_HOST",
    jar_variable="LADING_FIRESTORE_EMULATOR_JAR",
)


@dataclass(frozen=True, slots=True)
class FirestoreEmulator:
    """A running Firestore emulator. `address` is HOST:PORT."""

    address: str

    @classmethod
    def start(cls, processes: ProcessGroup, environment: Mapping[str, str]) -> Self:
        """Start an emulator, or use the one that FIRESTORE_EMULATOR_HOST names. Raises EmulatorError."""
        return cls(EMULATOR.start(processes, environment))
