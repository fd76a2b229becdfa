"""Rows of `lading events tail`, from CloudEvents: those of the endpoint, and the same of the stores."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from lading.commands.output import Column
from lading.json_values import parse


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """Event that was published.

    id        the same each time that the event is published
    type      tag.moved, image.pushed …
    digest    of the manifest, "" where the tag or repository was deleted
    before    the digest that the tag named before, or ""
    action    push, delete, rollback, restore, clean-up, scan, pull, tag, audit, break-glass
    by        the principal, "" where it is unknown or hidden
    request   the request id, likewise
    sequence  sorts the events of one reference
    policy    which policy decided, or ""
    reason    why it refused, or let pass, or ""; hidden where `by` is
    scan      the state of a scan, or ""
    """

    id: str
    time: datetime
    type: str
    repository: str
    tag: str
    digest: str
    before: str
    action: str
    by: str
    request: str
    sequence: str
    policy: str
    reason: str
    scan: str

    @property
    def detail(self) -> str:
        """What a policy decided, or a scan: a policy that only audits says so."""
        if not self.policy:
            return self.scan
        policy = f"{self.policy} (audit)" if self.action == "audit" else self.policy
        return f"{policy}: {self.reason}" if self.reason else policy

    @property
    def reference(self) -> str:
        """The repository, with the tag where there is one."""
        return f"{self.repository}:{self.tag}" if self.tag else self.repository


COLUMNS: Final[tuple[Column[PublishedRow], ...]] = (
    Column("TIME", lambda row: row.time, width=20),
    Column("TYPE", lambda row: row.type, width=18),
    Column("REFERENCE", lambda row: row.reference, width=24),
    Column("DIGEST", lambda row: row.digest, width=19),
    Column("BY", lambda row: row.by, width=12),
    Column("DETAIL", lambda row: row.detail),
)


def row_of(event: Any) -> PublishedRow:
    """Return the row of a CloudEvent. Raises ValueError where it is none of a registry."""
    outer = event if isinstance(event, Mapping) else {}
    inner = outer.get("data")
    data = inner if isinstance(inner, Mapping) else {}
    scan = data.get("scan")
    kind = outer.get("type")
    fields = {
        "id": outer.get("id"),
        "time": outer.get("time"),
        "type": kind.removeprefix("dev.lading.").removesuffix(".v1") if isinstance(kind, str) else None,
        "repository": data.get("repository"),
        "tag": data.get("tag", ""),
        "digest": data.get("digest", ""),
        "before": data.get("previousDigest", ""),
        "action": data.get("action", ""),
        "by": outer.get("actor", ""),
        "request": outer.get("requestid", ""),
        "sequence": outer.get("sequence", ""),
        "policy": data.get("policy", ""),
        "reason": data.get("reason", ""),
        "scan": scan.get("state", "") if isinstance(scan, Mapping) else "",
    }
    return parse(PublishedRow, fields)
