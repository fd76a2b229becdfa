"""Clean-up beside those who push: whatever was acknowledged and is to be kept is whole."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from lading.jobs.cleanup import CleanupContext, clean_up
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from tests.support import images
from tests.support.registry_pushes import pull_blob, push_blob, push_manifest

REPOSITORY = "team/app"
OLD = parse_policies('[{"name": "old", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["old"]}}]')
ROUNDS = 6
PUSHERS = 3


def push_index(registry: Registry, child: bytes, layer: bytes, tag: str) -> str:
    """Push as clients do: what is refused for want of a part is pushed again with that part."""
    index = images.index([child], annotations={"for": tag})
    while True:
        try:
            return push_manifest(registry, REPOSITORY, index, tag).digest
        except RegistryError as error:
            if error.descriptor.code != "MANIFEST_BLOB_UNKNOWN":
                raise
            push_blob(registry, REPOSITORY, images.EMPTY_CONFIG)
            push_blob(registry, REPOSITORY, layer)
            push_manifest(registry, REPOSITORY, child)


def test_what_an_old_index_and_a_new_one_name_stays_for_the_new_one(registry: Registry) -> None:
    over = threading.Event()
    deleted = []

    def clean() -> None:
        while not over.is_set():
            rules = CleanupContext(OLD, (), datetime.now(UTC))
            deleted.append(clean_up(registry, REPOSITORY, rules, apply_plan=True).deleted)

    def push(number: int) -> list[str]:
        kept = []
        for turn in range(ROUNDS):
            layer = b"%d %d" % (number, turn)
            child = images.manifest([layer])
            push_index(registry, child, layer, f"old-{number}-{turn}")
            kept.append(push_index(registry, child, layer, f"new-{number}-{turn}"))
        return kept

    with ThreadPoolExecutor(PUSHERS + 1) as pool:
        cleaning = pool.submit(clean)
        pushed = [digest for digests in pool.map(push, range(PUSHERS)) for digest in digests]
        over.set()
        cleaning.result()
    clean_up(registry, REPOSITORY, CleanupContext(OLD, (), datetime.now(UTC)), apply_plan=True)

    assert sum(deleted) > 0
    nodes = {node.digest: node for node in registry.inventory.nodes(REPOSITORY)}
    assert {tag for node in nodes.values() for tag in node.tags} == {
        f"new-{number}-{turn}" for number in range(PUSHERS) for turn in range(ROUNDS)
    }
    for digest in pushed:
        (child,) = nodes[digest].children
        for blob in nodes[child].blobs:
            pull_blob(registry, REPOSITORY, blob)
