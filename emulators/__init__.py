"""Google's public emulators, and a fake of IAM, for tests and for trying Lading without a cloud.

    python -m emulators run -- COMMAND…    run COMMAND beside Cloud Storage, Firestore and IAM
    python -m emulators                    print the variables to export, and wait

storage    fake-gcs-server, from PyPI
firestore  Google's Firestore emulator, in Java
iam        a strict fake of the calls that decide about access
processes  processes that never outlive us, not even after kill -9
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
    """All emulators, answering."""

    storage: StorageEmulator
    firestore: FirestoreEmulator
    iam: IamEmulator

    def fresh_stores(self) -> Mapping[str, str]:
        """The variables of a pair of stores that nobody else uses: a new bucket, and a database of a new name.

        Firestore's emulator makes a database when it is first used.
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
    """All emulators, from now to the end of the block; those that the environment names are used as they are.

    Raises EmulatorError, saying what is missing and how to install it.
    """
    with ProcessGroup() as family, tempfile.TemporaryDirectory(prefix="lading-iam-") as folder:
        # No thread of the pool may be left: the kernel could give it a signal, and Python's handlers would not run.
        with ThreadPoolExecutor(3) as pool:
            storage = pool.submit(StorageEmulator.start, family, os.environ)
            firestore = pool.submit(FirestoreEmulator.start, family, os.environ)
            iam = pool.submit(IamEmulator.start, family, Path(folder))
        yield Emulators(storage.result(), firestore.result(), iam.result())
