"""A repository of many multi-arch tags with signatures and SBOMs: what is kept is whole, for every client.

With LADING_NIGHTLY=1 there are 2,000; -s shows time and memory.
"""

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from tests.cleanup.signed_images import SignedImage, push_signed_image, runnable_image
from tests.faults import NIGHTLY
from tests.support.client_commands import ProgramRunner
from tests.support.registry_pushes import pull_blob
from tests.support.requirements import find_program
from tests.support.server_process import Server

TAGS = int(os.environ.get("LADING_TEST_TAGS", "2000" if NIGHTLY else "24"))
KEPT = 3
MAX_MEMORY = 300 * 1024 * 1024
"""Bytes that a command may take at its peak, Python and Google's clients included."""

REPOSITORY = "team/app"
POLICIES = json.dumps(
    [
        {"name": "rest", "action": {"type": "Delete"}, "condition": {"tagState": "tagged", "tagPrefixes": ["v"]}},
        {"name": "last", "action": {"type": "Keep"}, "mostRecentVersions": {"keepCount": KEPT}},
    ]
)


def push_many(registry: Registry, count: int) -> list[SignedImage]:
    """Push images with the tags v0, v1 and so on; the last ones last."""
    base = gzip.compress(bytes(10_240), mtime=0)

    def push(number: int) -> SignedImage:
        return push_signed_image(registry, REPOSITORY, f"v{number}", base=base, make=runnable_image)

    with ThreadPoolExecutor(4) as pool:
        first = list(pool.map(push, range(count - KEPT)))
    return first + [push(number) for number in range(count - KEPT, count)]


def measured(*words: str, folder: Path) -> tuple[list[str], int]:
    """Run `lading WORDS…`; return the lines that it printed, and its peak of memory in bytes."""
    began, output = time.monotonic(), folder / "output"
    with output.open("w") as out:
        process = subprocess.Popen([sys.executable, "-m", "lading.cli", *words], stdout=out)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    peak = used.ru_maxrss * 1024
    print(f"{words[:2]}: {time.monotonic() - began:.1f} s, {peak / 1e6:.0f} MB at the peak")  # noqa: T201
    return output.read_text().splitlines(), peak


def pull_whole(registry: Registry, digest: str) -> int:
    """Pull a manifest and all below it, byte for byte; return how many manifests that were."""
    (node,) = [node for node in registry.inventory.nodes(REPOSITORY) if node.digest == digest]
    assert digest_of(registry.manifests.content(registry.manifests.find(REPOSITORY, digest))) == digest
    for blob in node.blobs:
        assert digest_of(pull_blob(registry, REPOSITORY, blob)) == blob
    return 1 + sum(pull_whole(registry, child) for child in node.children)


def test_of_many_images_with_signatures_what_is_kept_is_whole(
    registry: Registry, server: Server, environment: Mapping[str, str], tmp_path: Path
) -> None:
    pushed = push_many(registry, TAGS)
    kept, gone = pushed[-KEPT:], pushed[:-KEPT]
    options = ("--cleanup", POLICIES)

    lines, peak = measured("cleanup", "plan", "--json", *options, folder=tmp_path)
    rows = {row["digest"]: row for row in map(json.loads, lines)}
    assert {digest for digest, row in rows.items() if row["kept"]} == {each for image in kept for each in image.all}
    assert rows.keys() == {digest for image in pushed for digest in image.all}
    (tmp_path / "plan").write_text("\n".join(lines))
    assert TAGS < 1_000 or peak < MAX_MEMORY

    lines, peak = measured("cleanup", "apply", "--yes", "--json", *options, str(tmp_path / "plan"), folder=tmp_path)
    assert [json.loads(line) for line in lines] == [
        {"repository": REPOSITORY, "deleted": 6 * len(gone), "kept": 6 * KEPT, "skipped": 0, "tags": 0}
    ]
    assert TAGS < 1_000 or peak < MAX_MEMORY

    left = {node.digest for node in registry.inventory.nodes(REPOSITORY)}
    assert left == {each for image in kept for each in image.all}
    for image in kept:
        assert sum(pull_whole(registry, digest) for digest in image.all - set(image.platforms)) == 6
    assert {node.digest for node in registry.inventory.nodes(REPOSITORY)} == {
        each for image in kept for each in image.all
    }
    commands, remote = ProgramRunner(tmp_path), f"{server.host}/{REPOSITORY}"
    crane, oras = (find_program(name, "see .ci/run") for name in ("crane", "oras"))
    signatures = [each.replace(":", "-") + ".sig" for image in kept for each in (image.index, image.platforms[0])]
    assert set(commands.run(crane, "ls", remote).split()) == {f"v{TAGS - 1 - n}" for n in range(KEPT)} | set(signatures)
    commands.run(crane, "validate", "--remote", f"{remote}:v{TAGS - 1}")
    found = json.loads(commands.run(oras, "discover", "--plain-http", "--format", "json", f"{remote}:v{TAGS - 1}"))
    assert [each["digest"] for each in found["referrers"]] == [kept[-1].sbom]
    tag = kept[-1].index.replace(":", "-") + ".sig"
    assert commands.run(crane, "digest", f"{remote}:{tag}").strip() == kept[-1].signature
    assert "MANIFEST_UNKNOWN" in commands.fail(crane, "manifest", f"{remote}:v0")
