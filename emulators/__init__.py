"""Google's public emulators, for tests and for trying Lading on the stores of Google Cloud without a cloud.

    python -m emulators run -- COMMAND…    run COMMAND beside Cloud Storage and Firestore
    python -m emulators                    print the variables to export, and wait

storage    fake-gcs-server, from PyPI
firestore  Google's Firestore emulator, in Java
processes  processes that never outlive us, not even after kill -9
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from emulators.firestore import FirestoreEmulator
from emulators.processes import EmulatorError, Family
from emulators.storage import StorageEmulator

__all__ = ["EmulatorError", "Emulators", "running"]

PROJECT = "lading-test"


@dataclass(frozen=True, slots=True)
class Emulators:
    """Both emulators, answering."""

    storage: StorageEmulator
    firestore: FirestoreEmulator

    def fresh(self) -> Mapping[str, str]:
        """The variables of a pair of stores that nobody else uses: a new bucket, and a database of a new name.

        Firestore's emulator makes a database when it is first used.
        """
        name = f"t-{secrets.token_hex(6)}"
        self.storage.make_bucket(name)
        return {
            "STORAGE_EMULATOR_HOST": self.storage.url,
            "FIRESTORE_EMULATOR_HOST": self.firestore.address,
            "LADING_BLOBS": f"gs://{name}",
            "LADING_METADATA": f"firestore://{PROJECT}/{name}",
        }


@contextlib.contextmanager
def running() -> Iterator[Emulators]:
    """Both emulators, from now to the end of the block; those that the environment names are used as they are.

    Raises EmulatorError, saying what is missing and how to install it.
    """
    with Family() as family, ThreadPoolExecutor(2) as pool:
        storage = pool.submit(StorageEmulator.start, family, os.environ)
        firestore = pool.submit(FirestoreEmulator.start, family, os.environ)
        yield Emulators(storage.result(), firestore.result())
