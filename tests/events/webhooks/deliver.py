"""A process that attempts the deliveries of the stores that its environment names: python -m … KEY, in hexadecimal."""

import sys

from lading import settings
from lading.addresses import Addresses
from lading.composition import open_metadata
from lading.events.deliveries import DeliveryRun
from lading.events.webhook_attempts import WebhookClient
from lading.outbound import Outbound
from lading.registry.change_context import now
from tests.events.webhooks.webhook_fixtures import LOOPBACK


def main(key: bytes) -> None:
    """Wait for a line on standard input, then deliver what is due; print what became of it."""
    client = WebhookClient(Outbound(Addresses(LOOPBACK)), lambda: key, now)
    run = DeliveryRun(open_metadata(settings.load_settings().metadata), client, now)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(f"{dict(run.run(lambda: False))}\n")


if __name__ == "__main__":
    main(bytes.fromhex(sys.argv[1]))
