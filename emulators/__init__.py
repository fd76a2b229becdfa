"""Emulators of Google Cloud, for tests and for local trials of Lading.

    python -m emulators run -- COMMAND…    run COMMAND with emulators of Cloud Storage, Firestore, Pub/Sub and IAM
    python -m emulators                    print the variables to export, and wait

`storage` and `firestore` start public emulators; `iam` and `metadata` are strict fakes of our own.
"""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from emulators.firestore import FirestoreEmulator
from emulators.iam import IamEmulator
from emulators.processes import EmulatorError, ProcessGroup
from emulators.storage import StorageEmulator

__all__ = ["EmulatorError", "Emulators", "running"]

PROJECT = "lading-test"


@dataclass(frozen=True, slots=True)
class Emulators:
    """Running emulators that accept requests."""

    storage: StorageEmulator
    firestore: FirestoreEmulator
    iam: IamEmulator

    def fresh_stores(self) -> Mapping[str, str]:
        """Return environment variables for a new, unshared pair of stores: a new bucket, and a new database.

        Firestore's emulator creates a database on first use.
        """
        name = f"t-{secrets.token_hex(6)}"
        self.storage.make_bucket(name)
        return {
            "STORAGE_EMULATOR_HOST": self.storage.url,
            "FIRESTORE_EMULATOR_HOST": self.firestore.address,
            "LADING_IAM_EMULATOR_HOST": self.iam.url,
            "LADING_BLOBS": f"gs://{name}",
            "LADING_METADATA": f"firestore://{PROJECT}/{name}",
        }


@contextlib.contextmanager
def running() -> Iterator[Emulators]:
    """Run all emulators until the block ends. Those that the environment names are used instead of new ones.

    Raises EmulatorError, whose message names what is missing and how to install it.
    """
    with ProcessGroup() as processes, tempfile.TemporaryDirectory(prefix="lading-iam-") as folder:
        # No thread of the pool may remain: the kernel could deliver a signal to it, and no Python handler would run.
        with ThreadPoolExecutor(3) as pool:
            storage = pool.submit(StorageEmulator.start, processes, os.environ)
            firestore = pool.submit(FirestoreEmulator.start, processes, os.environ)
            iam = pool.submit(IamEmulator.start, processes, Path(folder))
        yield Emulators(storage.result(), firestore.result(), iam.result())
