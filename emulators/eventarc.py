"""Emulation of Eventarc's trigger for new documents of Firestore: calls a function for each document of a collection.

    python -m emulators.eventarc FILE    the fields of a Trigger, as JSON

As documented, an event is delivered at least once and in no order, as a CloudEvent in binary mode, and again while the
function does not accept it. Eventarc waits 10 to 600 seconds in between and gives up after a day; here it waits one.
Documents that exist at the start count as new. The body, which says what the document has, is not emulated.

https://cloud.google.com/eventarc/docs/cloudevents, https://cloud.google.com/eventarc/docs/retry-events
"""

import json
import os
import sys
import threading
import urllib.error
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from emulators.invoker import invoke
from emulators.metadata import Account
from emulators.processes import ProcessGroup
from emulators.source import ROOT

MAX_CONCURRENCY: Final = 4
RETRY: Final = 1.0
"""Seconds between attempts."""

BODY: Final = b"\x0a\x00"
"""A DocumentEventData of google.events.cloud.firestore.v1, with an empty document."""


@dataclass(frozen=True)
class Trigger:
    """Trigger of a function.

    project     project of the database
    database    id of the database
    collection  collection whose new documents call the function
    url         address of the function
    account     service account that calls it
    in_repositories  whether each document of `repositories` has such a collection
    """

    project: str
    database: str
    collection: str
    url: str
    account: Account
    in_repositories: bool = False

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a trigger from a file."""
        fields = json.loads(file.read_text())
        return cls(**{**fields, "account": Account(**fields["account"])})

    def start(self, processes: ProcessGroup, folder: Path, emulator: str) -> None:
        """Call the function from now on, in a process of the group; `emulator` is Firestore's HOST:PORT."""
        file = folder / f"eventarc-{self.collection}.json"
        file.write_text(json.dumps(asdict(self)))
        environment = {**os.environ, "FIRESTORE_EMULATOR_HOST": emulator, "PYTHONPATH": str(ROOT)}
        processes.start([sys.executable, "-m", "emulators.eventarc", str(file)], environment)

    def headers(self, path: str) -> Mapping[str, str]:
        """Return the attributes of the event that a document was created."""
        return {
            "ce-specversion": "1.0",
            "ce-id": f"created-{path}",
            "ce-type": "google.cloud.firestore.document.v1.created",
            "ce-source": f"//firestore.googleapis.com/projects/{self.project}/databases/{self.database}",
            "ce-subject": f"documents/{path}",
            "ce-project": self.project,
            "ce-database": self.database,
            "ce-namespace": "(default)",
            "ce-document": path,
            "Content-Type": "application/protobuf",
            "User-Agent": "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)",
        }

    def deliver(self, path: str, stop: threading.Event) -> None:
        """Call the function for a document until it accepts the event."""
        while not stop.is_set():
            try:
                status, _ = invoke(self.url, self.account, self.headers(path), BODY)
            except urllib.error.URLError:
                status = 503
            if status < 300 or stop.wait(RETRY):
                return


def main(file: Path) -> None:
    """Call the function of a trigger until this process ends."""
    from google.cloud import firestore

    trigger, stop = Trigger.load(file), threading.Event()
    client = firestore.Client(project=trigger.project, database=trigger.database)
    with ThreadPoolExecutor(MAX_CONCURRENCY) as pool:

        def deliver(_: Any, changes: Any, __: Any) -> None:
            for change in changes:
                if change.type.name == "ADDED":
                    pool.submit(trigger.deliver, change.document.reference.path, stop)

        watched = client.collection_group if trigger.in_repositories else client.collection
        watched(trigger.collection).on_snapshot(deliver)
        stop.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
