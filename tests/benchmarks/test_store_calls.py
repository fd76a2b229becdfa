"""How often each operation calls the stores: such counts do not vary, so that none rises unnoticed."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lading import settings
from lading.composition import open_blobs, open_metadata
from lading_storage.stores import Stores
from tests.benchmarks import images
from tests.benchmarks.images import Pushed, Pusher, pusher
from tests.benchmarks.peers import Peer
from tests.benchmarks.store_calls import OPERATIONS, Operation
from tests.support.call_counts import count_outgoing_requests, serve_in_process
from tests.support.client_commands import ProgramRunner
from tests.support.oci_layouts import write_image
from tests.support.requirements import find_program
from tests.support.store_hooks import RecordedBlobs, RecordedMetadata

MAX_CALLS_PER_IMAGE = 20
"""Calls that pushing an image of one layer by crane may cost: distribution's driver is called 48 times."""


class CountedRegistry:
    """A registry in this process, over stores that are counted, and a client of it."""

    def __init__(self, blobs: RecordedBlobs, metadata: RecordedMetadata, peer: Peer, push: Pusher) -> None:
        self.blobs, self.metadata = blobs, metadata
        self.peer = peer
        self.push = push

    def image(self) -> Pushed:
        """An image of 12 layers, pushed, and pulled within the hour, before anything is counted."""
        image = images.image(self.peer)
        self.push.request("GET", image.manifest())
        self.forget()
        return image

    def forget(self) -> None:
        self.metadata.calls.clear()
        self.blobs.calls.clear()

    @property
    def storage(self) -> list[str]:
        """The calls to the blob store; signing with a key makes none."""
        return [call for call in self.blobs.calls if call != "signed_url"]


@pytest.fixture
def counted(
    environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CountedRegistry]:
    (tmp_path / "hmac").write_text("GOOG1EXAMPLE a-secret-of-forty-characters-as-they-are\n")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    read = settings.load_settings(environment)
    blobs = RecordedBlobs(open_blobs(read.blobs, tmp_path / "hmac"))
    metadata = RecordedMetadata(open_metadata(read.metadata))
    with serve_in_process(Stores(blobs, metadata)) as address:
        peer = Peer("lading", address)
        with pusher(peer) as push:
            yield CountedRegistry(blobs, metadata, peer, push)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_costs_so_many_calls(
    counted: CountedRegistry, operation: Operation, environment: Mapping[str, str]
) -> None:
    on_google = "LADING_BLOBS" in environment
    storage = operation.storage
    if operation.name == "GET a blob" and not on_google:
        # A folder has no address to redirect to.
        storage = ("open",)
    image = counted.image()

    with count_outgoing_requests() as sent:
        operation.act(counted.push, image)

    assert tuple(counted.metadata.calls) == operation.metadata
    assert tuple(counted.storage) == storage
    assert sent.total() == (len(operation.metadata) + len(storage) if on_google else 0)


def test_a_pull_is_written_down_once_an_hour(counted: CountedRegistry, environment: Mapping[str, str]) -> None:
    image = images.image(counted.peer)
    counted.forget()

    with count_outgoing_requests() as sent:
        counted.push.request("GET", image.manifest("v1"))
    assert counted.metadata.calls == ["read", "read", "commit"]
    assert sent.total() == (3 if "LADING_BLOBS" in environment else 0)

    counted.forget()
    for reference in ("v1", "", "v1"):
        counted.push.request("GET", image.manifest(reference))
    assert counted.metadata.calls == ["read"] * 3


def test_an_image_by_crane_costs_less_than_half_of_what_others_need(
    counted: CountedRegistry, commands: ProgramRunner, tmp_path: Path
) -> None:
    crane = find_program("crane", "go install github.com/google/go-containerregistry/cmd/crane@latest")
    layout = write_image(tmp_path / "layout", [])
    counted.forget()

    commands.run(crane, "push", layout.folder, f"{counted.peer.address}/team/app:v1")

    assert 0 < len(counted.metadata.calls) + len(counted.storage) <= MAX_CALLS_PER_IMAGE
