"""A record of each kind, for tests of the metadata stores."""

from datetime import UTC, datetime
from typing import Any

from lading_storage.digests import digest_of
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import (
    Blob,
    Key,
    Link,
    Manifest,
    R,
    Record,
    Repository,
    Tag,
    Upload,
)
from lading_storage.records.deleted import DeletedLink, DeletedManifest, DeletedTag, TagEvent, TagHistory
from lading_storage.records.events import Delivery, Event, PublishedEvent, StalledRepository, Webhook
from lading_storage.records.fields import converted
from lading_storage.records.jobs import Identity, InUseReport, Job, LastPull
from lading_storage.records.robots import Robot
from lading_storage.records.rules import NamespaceRules, RegistryRules
from lading_storage.records.scans import MATCH, Facts, LayerScan, VulnerabilityData
from lading_storage.records.trust import Trust

NOW = datetime(2026, 11, 1, 12, 30, 15, 123456, tzinfo=UTC)


DIGEST = digest_of(b"one")


OTHER = digest_of(b"two", "sha512")


def tag(name: str, repository: str = "team/app", **fields: Any) -> Tag:
    values: dict[str, Any] = {"digest": DIGEST, "media_type": "a/b", "size": 3, "moved": NOW} | fields
    return Tag(id=name, repository=repository, **values)


def manifest(digest: str = DIGEST, repository: str = "team/app", **fields: Any) -> Manifest:
    values: dict[str, Any] = {"media_type": "a/b", "size": 3, "created": NOW} | fields
    return Manifest(id=digest, repository=repository, **values)


def link(digest: str, repository: str) -> Link:
    return Link(id=digest, repository=repository, object="u/0", size=1, created=NOW)


def event(number: int = 1, repository: str = "team/app", **fields: Any) -> Event:
    sequence = f"{1_800_000_000_000_000 + number:016}-{number:010}"
    values: dict[str, Any] = {"name": "0" * 32, "type": "tag.moved", "tag": "v1", "digest": DIGEST, "moved": NOW}
    own = {"target": repository, "sequence": sequence}
    return Event(id=f"0-{sequence}-{'0' * 8}", **(values | own | fields))


EXAMPLES: list[Record] = [
    Repository(id="team/app", created=NOW),
    Blob(id=DIGEST, object="u/0", size=2**40, crc32c=2**32 - 1, created=NOW),
    link(OTHER, "team/app"),
    manifest(content=b"\x00\xff", object="u/1", artifact_type="t", subject=OTHER, blobs=(DIGEST,), children=(OTHER,)),
    tag("v1", content=b"{}"),
    Upload(id="u", target="team/app", parts=("0-a", "1-b"), sizes=(1, 2), offset=3, created=NOW, touched=NOW),
    Robot(id="ci", mac="00", repositories=("team/*",), actions=("pull",), created=NOW, expires=NOW, former_until=None),
    converted(manifest(content=b"{}", blobs=(DIGEST,)), DeletedManifest, deleted=NOW, by="a@b", cause=DIGEST),
    converted(tag("v1", content=b"{}"), DeletedTag, deleted=NOW, cause="team/app"),
    converted(link(DIGEST, "team/app"), DeletedLink, deleted=NOW),
    TagHistory(id="v1", repository="team/app", moves=3, moved=NOW),
    TagEvent(
        id="0-9-v1", repository="team/app", tag="v1", number=3, digest="", before=DIGEST, action="delete", moved=NOW
    ),
    LastPull(id=DIGEST, repository="team/app", pulled=NOW),
    InUseReport(id="cluster-1", references=("team/app:v1", f"team/app@{DIGEST}"), reported=NOW),
    Identity(id="registry", registry="0" * 32, created=NOW),
    Job(id="collect", holder="x", until=NOW, phase="links", after=DIGEST, within="team/app", created=NOW),
    RegistryRules(
        id="registry",
        given=("immutable", "undelete"),
        immutable=("*:v*", "!*:v*-rc*"),
        undelete=86400,
        former_until=NOW,
        cleanup='[{"name": "old"}]',
        serial=3,
        changed=NOW,
        by="a@b",
    ),
    NamespaceRules(id="team", given=("undelete",), undelete=2**31, number=1, changed=NOW),
    event(sent=("notifications",), size=3, before=OTHER, by="a@b"),
    converted(event(), PublishedEvent, published=NOW),
    Webhook(id="deploy", url="https://example.com/hook", secrets=("sealed",), types=("tag.*",), created=NOW),
    Delivery(
        id="deploy-1",
        webhook="deploy",
        event="0" * 32,
        type="tag.moved",
        target="team/app",
        body="{}",
        attempts=2,
        next=NOW,
        error="503",
        created=NOW,
    ),
    StalledRepository(id="team/app", sinks=("events",), attempts=3, since=NOW, next=NOW, error="refused"),
    Facts(
        id=DIGEST,
        repository="team/app",
        state="partial",
        task=MATCH,
        next=NOW,
        tries=1,
        claim="0" * 32,
        compare_again=True,
        accepted="1" * 32,
        reason="the scanner ended",
        created=NOW,
        at=NOW,
        counts='{"high": [1, 0]}',
        content=b"[]",
        size=2,
        truncated=3,
        notes=("a/b: could not be read: damaged",),
        data=("Debian=1", "PyPI=2"),
        missing=("Alpine",),
        extractor=1,
        fingerprint="f",
        sbom=OTHER,
        report=DIGEST,
    ),
    LayerScan(id=DIGEST, content=b"\x1f\x8b", size=2, extractor=1, created=NOW),
    VulnerabilityData(id="Rocky Linux", seen=NOW, etag='"1"', digest=OTHER, updated=NOW, checked=NOW, error="404"),
    Trust(
        id=DIGEST,
        repository="team/app",
        created=NOW,
        verified=NOW,
        verified_with=("sha256:00",),
        verifier=1,
        retry=NOW,
        signatures='[{"signer": "sha256:00"}]',
        holders=(DIGEST,),
        remarks=("1 signature does not count: it is of another manifest",),
        attachment=True,
        exceptions='[{"policy": "prod"}]',
    ),
]


def get(metadata: MetadataStore, key: Key[R]) -> R:
    record = metadata.read([key])[key]
    assert record is not None
    return record
