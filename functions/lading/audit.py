"""The audit: a line for each decision that refuses, and for each request that writes. Never a secret.

A request that was carried out is told by what its handler reports (`did`). One that was refused or failed did nothing,
so its line repeats no more than its path: what a query asks for is only the wish of a client.

    audit outcome=refused status=401 client=192.0.2.1 user="alice" principal=- action=pull repository=team/app …

fail2ban and SIEM rules read these lines: docs/logs.md has the format, and a test holds the two together.
"""

import logging
from collections.abc import Iterator
from typing import Any, Final

from lading import logs
from lading.http.origin import Origin
from lading.log_text import ABSENT, MAX_ID, field
from lading.registry.changes import Change

audit_log: Final = logging.getLogger("lading.audit")

LINE_FORMAT: Final = (
    "audit outcome={outcome} status={status} client={client} user={user} principal={principal} action={action} "
    "repository={repository} reference={reference} change={change} digest={digest} tags={tags} also={also} "
    "session={session} source={source} request={request_id} sent-id={sent_id} trace={trace} "
    'agent="{user_agent}"'
)

CHANGE_FIELDS: Final = ("change", "digest", "tags", "also", "session", "source")

MAX_NAMES: Final = 100
"""Tags, and digests, in one line: Cloud Logging takes entries of 256 KB, and a change with more has several lines."""

REFUSALS: Final = (401, 403, 429)
LOGIN_REFUSALS: Final = (401, 429)
"""Statuses of what is refused, and of those what a login is refused with."""


class Audit:
    """The lines of one request.

    origin     where the request came from
    principal  the caller, once known
    """

    def __init__(self, origin: Origin, anonymous: bool) -> None:
        """Write for a request from `origin`, which came without credentials (`anonymous`), or with some."""
        self.origin = origin
        self.principal = ""
        self._anonymous = anonymous
        self._attempted_user: str | None = None
        self._changes: list[Change] = []

    def record_login_attempt(self, user: str) -> None:
        """Record that a login with this user name was refused."""
        self._attempted_user = user

    def record_change(self, change: Change) -> None:
        """Record what the request changed."""
        self._changes.append(change)

    def decision(self, action: str, repository: str, reference: str, status: int) -> None:
        """Write a line for each change that was made, or one where none was.

        Args:
            action: what the route needs: pull, push, delete …
            repository: the name in the path, or "".
            reference: the last part of the path, or "".
            status: of the answer.
        """
        described = [part for change in self._changes for part in _change_fields(change)]
        for part in described or [{}]:
            self._write(action, repository, reference, status, part)

    def refused(self, action: str, repository: str, reference: str) -> None:
        """Write that an action was refused, though the request goes on without it."""
        self._write(action, repository, reference, 403, {})

    def _write(self, action: str, repository: str, reference: str, status: int, described: dict[str, Any]) -> None:
        outcome = self._outcome(status)
        fields = {
            "outcome": outcome,
            "status": status,
            "client": self.origin.client.text or ABSENT,
            **(
                {}
                if self._attempted_user is None
                else {"user": field(self._attempted_user, MAX_ID) if self._attempted_user else ""}
            ),
            "principal": field(self.principal),
            "action": action,
            "repository": field(repository),
            "reference": field(reference),
            **described,
            "request_id": self.origin.id,
            "sent_id": self.origin.sent_id,
            "trace": self.origin.trace,
            "user_agent": self.origin.agent,
        }
        text = _text(fields)
        level = logging.WARNING if outcome == "refused" else logging.INFO
        told = {"message": text, "audit": fields, **logs.trace_field(self.origin.trace)}
        audit_log.log(level, "%s", text, extra={"fields": told})

    def _outcome(self, status: int) -> str:
        if status == 401 and self._anonymous and self._attempted_user is None:
            # How every login begins.
            return "challenged"
        return "refused" if status in REFUSALS else "allowed" if status < 400 else "failed"


def _change_fields(change: Change) -> Iterator[dict[str, Any]]:
    """Return the fields of a change, in as many parts as keep a line short; their grammar was checked."""
    for start in range(0, max(len(change.tags), len(change.also), 1), MAX_NAMES):
        fields = {
            "change": change.kind,
            "digest": change.digest,
            "tags": change.tags[start : start + MAX_NAMES],
            "also": change.also[start : start + MAX_NAMES],
            "session": change.session,
            "source": change.source,
        }
        yield {name: value for name, value in fields.items() if value}


def _text(fields: dict[str, Any]) -> str:
    """Return the line. Every field is one word, or in quotation marks, so that none can be taken for another."""
    shown = dict.fromkeys(CHANGE_FIELDS, ABSENT)
    shown |= {name: ",".join(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    # In quotation marks, so that a login as `-` is none without a name.
    shown["user"] = f'"{fields["user"]}"' if "user" in fields else ABSENT
    return LINE_FORMAT.format(**shown)
