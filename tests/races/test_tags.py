"""Many clients and one tag, on both pairs of stores: the history tells what everybody saw, and what is immutable is."""

import itertools
import threading
import time
from functools import partial
from typing import NamedTuple

from lading.registry.errors import TAG_IMMUTABLE, RegistryError
from lading.registry.registry import Registry
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.digests import digest_of
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.support import images
from tests.support.concurrency import run_concurrently
from tests.support.registry_pushes import push_blob, push_manifest

CLIENTS = 32
READERS = 3
MOVES = 2


class Moved(NamedTuple):
    """A move that was acknowledged: to what, and when it was asked for and answered."""

    digest: str
    asked: float
    answered: float


def contents(name: str, count: int) -> list[bytes]:
    return [images.manifest([], annotations={"n": f"{name} {number}"}) for number in range(count)]


def test_each_move_is_in_the_history_once_and_in_an_order_that_explains_what_was_seen(registry: Registry) -> None:
    push_blob(registry, "a", images.EMPTY_CONFIG)
    push_manifest(registry, "a", images.manifest([]), "v1")
    done = threading.Event()
    seen: list[list[str]] = [[] for _ in range(READERS)]

    def move(client: int) -> list[Moved]:
        moves = []
        for content in contents(str(client), MOVES):
            asked = time.monotonic()
            push_manifest(registry, "a", content, "v1")
            moves.append(Moved(digest_of(content), asked, time.monotonic()))
        return moves

    def read(saw: list[str]) -> None:
        while not done.is_set():
            saw.append(registry.manifests.find("a", "v1").digest)

    readers = [threading.Thread(target=read, args=(saw,)) for saw in seen]
    for reader in readers:
        reader.start()
    answers = run_concurrently(*(partial(move, client) for client in range(CLIENTS)))
    done.set()
    for reader in readers:
        reader.join()

    assert not any(isinstance(answer, RegistryError) for answer in answers)
    assert_explained(registry, [moved for moves in answers for moved in moves], seen)


def assert_explained(registry: Registry, acknowledged: list[Moved], seen: list[list[str]]) -> None:
    """Each acknowledged move is in the history once, in an order that agrees with times and with each reader."""
    rows = [*reversed(registry.tags.history("a", "v1", "", 1000).items)]
    assert [row.number for row in rows] == list(range(1, CLIENTS * MOVES + 2))
    assert all(earlier.digest == later.before for earlier, later in itertools.pairwise(rows))
    number = {row.digest: row.number for row in rows}
    assert sorted(moved.digest for moved in acknowledged) == sorted(row.digest for row in rows[1:])
    assert registry.manifests.find("a", "v1").digest == rows[-1].digest
    assert all(seen)
    for saw in seen:
        assert [number[digest] for digest in saw] == sorted(number[digest] for digest in saw), (
            "a reader saw time go back"
        )
    for one, other in itertools.permutations(acknowledged, 2):
        if one.answered < other.asked:
            assert number[one.digest] < number[other.digest]


def test_of_all_who_create_an_immutable_tag_one_wins(stores: Stores) -> None:
    registry = Registry(stores.blobs, stores.metadata, LocalRules(ImmutableTags.parse(["*:v*"])))
    push_blob(registry, "a", images.EMPTY_CONFIG)
    for tag in ("v1", "v2", "v3"):
        manifests = contents(tag, CLIENTS)
        answers = run_concurrently(*(partial(push_manifest, registry, "a", content, tag) for content in manifests))

        winners = [answer for answer in answers if isinstance(answer, Manifest)]
        registry_errors = [answer for answer in answers if isinstance(answer, RegistryError)]
        assert len(winners) == 1
        assert {refusal.descriptor.code for refusal in registry_errors} == {TAG_IMMUTABLE.code}
        assert {refusal.detail["tag"] for refusal in registry_errors} == {tag}
        assert registry.manifests.find("a", tag).digest == winners[0].digest
        assert [row.digest for row in registry.tags.history("a", tag, "", 9).items] == [winners[0].digest]
        for answer, content in zip(answers, manifests, strict=True):
            # A refused client has put nothing.
            there = answer is winners[0]
            assert _is_there(registry, digest_of(content)) == there
        push_manifest(registry, "a", winners[0].content or b"", tag)


def _is_there(registry: Registry, digest: str) -> bool:
    try:
        registry.manifests.find("a", digest)
    except RegistryError:
        return False
    return True
