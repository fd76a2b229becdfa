"""Emulation of a push subscription of Pub/Sub that authenticates: calls a function for each message of a topic.

    python -m emulators.subscription FILE    the fields of a Subscription, as JSON

Google's emulator pushes without a token, so this pulls, and pushes as documented: at least once, in no order, and again
while the function does not accept the message, here after a second.

https://cloud.google.com/pubsub/docs/push#receive_push
"""

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

from emulators.invoker import invoke
from emulators.metadata import Account
from emulators.processes import ProcessGroup
from emulators.source import ROOT

MAX_CONCURRENCY: Final = 4
MAX_MESSAGES: Final = 10
DEADLINE: Final = 600
"""Seconds in which a message has to be acknowledged."""

RETRY: Final = 1.0
"""Seconds between attempts."""

HEADERS: Final[Mapping[str, str]] = {"Content-Type": "application/json", "User-Agent": "APIs-Google"}


@dataclass(frozen=True)
class Subscription:
    """Push subscription.

    name     projects/PROJECT/subscriptions/SUBSCRIPTION
    topic    projects/PROJECT/topics/TOPIC
    filter   of the attributes, as Pub/Sub has it
    url      address of the function
    account  service account that calls it
    """

    name: str
    topic: str
    filter: str
    url: str
    account: Account

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a subscription from a file."""
        fields = json.loads(file.read_text())
        return cls(**{**fields, "account": Account(**fields["account"])})

    def start(self, processes: ProcessGroup, folder: Path, emulator: str) -> None:
        """Create it, and call the function from now on, in a process of the group, with Pub/Sub at HOST:PORT."""
        body = {"topic": self.topic, "filter": self.filter, "ackDeadlineSeconds": DEADLINE}
        _request(emulator, "PUT", self.name, body)
        file = folder / "subscription.json"
        file.write_text(json.dumps(asdict(self)))
        environment = {**os.environ, "PUBSUB_EMULATOR_HOST": emulator, "PYTHONPATH": str(ROOT)}
        processes.start([sys.executable, "-m", "emulators.subscription", str(file)], environment)

    def deliver(self, received: Mapping[str, Any], emulator: str, stop: threading.Event) -> None:
        """Call the function for a message until it accepts it, and acknowledge the message then."""
        body = json.dumps({"message": received["message"], "subscription": self.name}).encode()
        while not stop.is_set():
            try:
                status, _ = invoke(self.url, self.account, HEADERS, body)
            except urllib.error.URLError:
                status = HTTPStatus.SERVICE_UNAVAILABLE
            if status < HTTPStatus.MULTIPLE_CHOICES:
                _request(emulator, "POST", f"{self.name}:acknowledge", {"ackIds": [received["ackId"]]})
                return
            stop.wait(RETRY)


def _request(emulator: str, method: str, path: str, body: Any) -> Any:
    """Make a request of the emulator. What is there already is no error."""
    request = urllib.request.Request(
        f"http://{emulator}/v1/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != HTTPStatus.CONFLICT:
                raise
        return {}


def main(file: Path) -> None:
    """Call the function of a subscription until this process ends."""
    subscription, emulator, stop = Subscription.load(file), os.environ["PUBSUB_EMULATOR_HOST"], threading.Event()
    with ThreadPoolExecutor(MAX_CONCURRENCY) as pool:
        while True:
            pulled = _request(emulator, "POST", f"{subscription.name}:pull", {"maxMessages": MAX_MESSAGES})
            for each in pulled.get("receivedMessages", []):
                pool.submit(subscription.deliver, each, emulator, stop)
            if not pulled.get("receivedMessages"):
                time.sleep(RETRY / 10)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
