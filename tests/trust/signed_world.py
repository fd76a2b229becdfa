"""An image, an index, and all that can be done to them and their signatures; and what their trust has to be.

Each blob of a type of signatures counts as one by itself: what is examined is which ones the registry counts.
"""

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from lading.jobs.backup import back_up, restore
from lading.registry.change_context import ChangeContext
from lading.registry.deletion_causes import of_manifest, of_repository, of_tag
from lading.registry.pagination import scan_all
from lading.registry.registry import Registry
from lading.registry.trust.trust_contents import signatures_of
from lading.registry.trust.verifier import Verifier
from lading.registry.trust_records import SIGNATURE_TYPES, signature_tag
from lading.signatures.signature import (
    BUNDLE,
    FORMATS,
    JWS,
    NOTATION,
    SIMPLE_SIGNING,
    Anchors,
    Candidate,
    Signature,
    VerificationResult,
)
from lading_storage.digests import digest_of
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.records.trust import Trust
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.operations import Scenario
from tests.support.registry_pushes import push_blob, push_manifest

A: Final = "a"
IMAGE: Final = images.manifest([], annotations={"n": "image"})
INDEX: Final = images.index([IMAGE])
SUBJECTS: Final = (IMAGE, INDEX)
ANCHORS: Final = Anchors(keys={"sha256:00": None})  # type: ignore[dict-item]  # no key is used
BLOBS: Final = (b"first", b"second")


def attached(subject: bytes, artifact_type: str, layer_type: str, blob: bytes) -> bytes:
    """A manifest that refers to a subject."""
    about = images.descriptor(subject, json.loads(subject)["mediaType"])
    return images.signature(blob, layer_type, artifactType=artifact_type, subject=about)


def count_all(candidate: Candidate, anchors: Anchors, digest: str, now: object) -> VerificationResult:
    """Let each candidate be a signature by a signer of its own."""
    name = digest_of(candidate.content + candidate.media_type.encode())
    return VerificationResult((Signature(signer=name, format=FORMATS[candidate.media_type]),))


class SignedWorld(Scenario):
    """A registry, and what is done to it."""

    def __init__(self, stores: Stores, clock: FakeClock, folder: Path, metadata: MetadataStore | None = None) -> None:
        around = Stores(stores.blobs, metadata or stores.metadata)
        super().__init__(Registry(around.blobs, around.metadata, clock=clock), clock)
        self.stores = around
        self.folder = folder

    def begin(self) -> None:
        """Push the blobs, which a manifest under another tag keeps, and the subjects."""
        for blob in (images.EMPTY_CONFIG, *BLOBS):
            push_blob(self.registry, A, blob)
        push_manifest(self.registry, A, images.manifest(list(BLOBS)), "base")
        push_manifest(self.registry, A, IMAGE, "v1")
        push_manifest(self.registry, A, INDEX, "multi")

    def put(self, content: bytes, *tags: str) -> None:
        """Push a manifest, and its blobs."""
        for blob in (images.EMPTY_CONFIG, *BLOBS):
            push_blob(self.registry, A, blob)
        if content is INDEX:
            push_manifest(self.registry, A, IMAGE)
        push_manifest(self.registry, A, content, *tags)

    def tag(self, content: bytes, tag: str) -> None:
        self.registry.push.tag(A, digest_of(content), tag, ChangeContext("tag"))

    def for_good(self, cause: str) -> None:
        self.registry.undelete.purge_by_cause(A, cause)

    def back_up(self) -> None:
        back_up(self.stores, self.folder / "backup")

    def restore_backup(self) -> None:
        restore(self.folder / "backup", self.stores)

    def verify(self, subject: bytes) -> Trust:
        contents, metadata = self.registry._referrer_contents, self.registry.metadata
        verifier = Verifier(metadata, contents, self.clock, verify_candidate=count_all)
        return verifier.trust_of(A, digest_of(subject), ANCHORS)


def is_live(metadata: MetadataStore, subject: bytes) -> bool:
    """Whether a subject can be pulled."""
    key = Key(Manifest, digest_of(subject), A)
    return metadata.read([key])[key] is not None


def counted(trust: Trust, clock: Callable[[], Any]) -> set[tuple[str, str]]:
    """The signatures that trust counts: signers, and the manifests that hold them."""
    return {(each.signature.signer, each.signature.format) for each in signatures_of(trust, clock())}


def present(metadata: MetadataStore, subject: bytes) -> set[tuple[str, str]]:
    """The signatures that are there, from nothing but manifests and tags."""
    tag = Key(Tag, signature_tag(digest_of(subject)), A)
    found = [
        each.key
        for each in scan_all(metadata, Manifest, A)
        if each.subject == digest_of(subject) and each.artifact_type in SIGNATURE_TYPES
    ]
    if (tagged := metadata.read([tag])[tag]) is not None:
        found.append(Key(Manifest, tagged.digest, A))
    signatures: set[tuple[str, str]] = set()
    for key in dict.fromkeys(found):
        manifest = metadata.read([key])[key]
        assert manifest is not None, "a tag without its manifest"
        assert manifest.content is not None
        for layer in json.loads(manifest.content).get("layers", []):
            if layer["mediaType"] in FORMATS:
                blob = next(each for each in BLOBS if digest_of(each) == layer["digest"])
                named = digest_of(blob + layer["mediaType"].encode())
                signatures.add((named, FORMATS[layer["mediaType"]]))
    return signatures


def assert_no_wrong_trust(metadata: MetadataStore, clock: Callable[[], Any]) -> None:
    """See that all trust that is not stale is right."""
    for subject in SUBJECTS:
        key = Key(Trust, digest_of(subject), A)
        trust = metadata.read([key])[key]
        if trust is not None and trust.verified is not None and is_live(metadata, subject):
            assert counted(trust, clock) == present(metadata, subject), "a gate would use this"


Operation = Callable[[SignedWorld], object]


def _operations() -> Mapping[str, Operation]:
    operations: dict[str, Operation] = {
        "push the image": lambda world: world.put(IMAGE, "v1"),
        "push the index": lambda world: world.put(INDEX, "multi"),
        "delete the repository": lambda world: world.registry.deletion.repository(A),
        "restore the repository": lambda world: world.registry.undelete.repository(A),
        "forget the repository": lambda world: world.for_good(of_repository(A)),
        "forget all": lambda world: world.purge(),
        "clean up all": lambda world: world.clean_up("ANY"),
        "clean up what has no tag": lambda world: world.clean_up("UNTAGGED"),
        "collect": lambda world: world.collect(),
        "advance": lambda world: world.clock.advance(days=8),
        "back up": lambda world: world.back_up(),
        "restore a backup": lambda world: world.restore_backup(),
    }
    for name, subject in (("image", IMAGE), ("index", INDEX)):
        operations |= _operations_on(name, subject)
    return operations


def _operations_on(name: str, subject: bytes) -> Mapping[str, Operation]:
    tag, digest = signature_tag(digest_of(subject)), digest_of(subject)
    bundle, notation = attached(subject, BUNDLE, BUNDLE, BLOBS[0]), attached(subject, NOTATION, JWS, BLOBS[1])
    sbom = attached(subject, "application/spdx+json", "application/spdx+json", BLOBS[0])
    first, second = (images.signature(blob, SIMPLE_SIGNING, annotations={"of": name}) for blob in BLOBS)
    operations: dict[str, Operation] = {
        f"delete the {name}": lambda world: world.registry.deletion.manifest(A, digest),
        f"restore the {name}": lambda world: world.registry.undelete.manifest(A, digest),
        f"forget the {name}": lambda world: world.for_good(of_manifest(digest)),
        f"attach an SBOM to the {name}": lambda world: world.put(sbom),
        f"tag an image as signature of the {name}": lambda world: world.tag(IMAGE, tag),
        f"delete the signatures' tag of the {name}": lambda world: world.registry.tags.delete(A, tag),
        f"restore the signatures' tag of the {name}": lambda world: world.registry.undelete.tag(A, tag, force=True),
        f"forget the signatures' tag of the {name}": lambda world: world.for_good(of_tag(tag)),
        f"roll the signatures' tag of the {name} back": lambda world: world.registry.rollback.by_steps(A, tag, 1),
    }
    for kind, content in (("bundle", bundle), ("notation", notation)):
        operations |= _operations_on_signature(f"{kind} of the {name}", content, "")
    for kind, content in (("first", first), ("second", second)):
        operations |= _operations_on_signature(f"{kind} signatures of the {name}", content, tag)
        # cosign pushes signatures under this tag; a tag of one's own keeps them when it moves on.
        operations[f"keep the {kind} signatures of the {name}"] = lambda world, own=content, kind=kind: world.put(  # type: ignore[misc]
            own, kind
        )
        operations[f"tag the {kind} signatures of the {name}"] = lambda world, own=content: world.tag(own, tag)  # type: ignore[misc]
    return operations


def _operations_on_signature(name: str, content: bytes, tag: str) -> Mapping[str, Operation]:
    digest = digest_of(content)
    return {
        f"push the {name}": lambda world: world.put(content, *([tag] if tag else [])),
        f"delete the {name}": lambda world: world.registry.deletion.manifest(A, digest),
        f"restore the {name}": lambda world: world.registry.undelete.manifest(A, digest),
        f"forget the {name}": lambda world: world.for_good(of_manifest(digest)),
    }


OPERATIONS: Final = _operations()


def chosen(random_: random.Random, before: str) -> str:
    """Return the name of an operation.

    Pushes are more frequent, since without them nothing else does anything; and what was just deleted is often restored
    or forgotten.
    """
    names = list(OPERATIONS)
    if before.startswith("delete ") and random_.random() < 0.6:
        names = [each for each in names if each.partition(" ")[2] == before.partition(" ")[2]] + ["restore a backup"]
    elif random_.random() < 0.4:
        names = [each for each in names if each.startswith(("push", "tag"))]
    return random_.choice(names)
