"""The audit log: a line for each refused request, and for each request that writes. It never contains a secret.

The line of a successful request has the changes that its handler recorded (`record_change`). A request that was refused
or failed changed nothing, so its line has only its path, not what its query requested.

    audit outcome=refused status=401 client=192.0.2.1 user="alice" principal=- action=pull repository=team/app …

fail2ban and SIEM rules parse these lines: docs/logs.md has the format, and a test compares the two.
"""

import logging
from collections.abc import Iterator
from typing import Any, Final

from lading import logs
from lading.http.origin import Origin
from lading.log_text import ABSENT, MAX_ID, field
from lading.registry.changes import Change
from lading.registry.errors import RegistryError

audit_log: Final = logging.getLogger("lading.audit")

LINE_FORMAT: Final = (
    "audit outcome={outcome} status={status} client={client} user={user} principal={principal} action={action} "
    "repository={repository} reference={reference} change={change} digest={digest} tags={tags} also={also} "
    "session={session} source={source} reason={reason} request={request_id} sent-id={sent_id} trace={trace} "
    'agent="{user_agent}"'
)

CHANGE_FIELDS: Final = ("change", "digest", "tags", "also", "session", "source", "reason")

MAX_NAMES: Final = 100
"""Maximum tags, and digests, in one line: Cloud Logging accepts entries of 256 KB. A change with more has several."""

MAX_REASON: Final = 300
"""Characters of the line with which a policy refuses."""

REFUSALS: Final = (401, 403, 429)
LOGIN_REFUSALS: Final = (401, 429)
"""Statuses of refused requests, and those of refused logins."""


def record_command(principal: str, action: str, repository: str, change: Change, reference: str = "") -> None:
    """Write the line of a change that was made without a request: by a command, or by the start of a server.

    Args:
        principal: the principal, or "".
        action: the action that a request would need.
        repository: what was changed, or "".
        change: the change.
        reference: what of it was changed, such as the id of a webhook, or "".
    """
    fields = dict.fromkeys(("status", "client", "request_id", "sent_id", "trace", "user_agent"), ABSENT)
    fields |= {"outcome": "allowed", "principal": field(principal), "action": action}
    fields |= {"repository": field(repository), "reference": field(reference)}
    text = _text(fields | next(_change_fields(change)))
    audit_log.info("%s", text, extra={"fields": {"message": text, "audit": fields | {"change": change.kind}}})


class Audit:
    """The audit of one request.

    origin     the origin of the request
    principal  the authenticated principal, or ""
    """

    def __init__(self, origin: Origin, anonymous: bool) -> None:
        """Begin the audit of a request.

        Args:
            origin: the origin of the request.
            anonymous: whether it has no credentials.
        """
        self.origin = origin
        self.principal = ""
        self._anonymous = anonymous
        self._attempted_user: str | None = None
        self._changes: list[Change] = []
        self._refusal: dict[str, str] = {}

    def record_login_attempt(self, user: str) -> None:
        """Record a refused login with this user name."""
        self._attempted_user = user

    def record_change(self, change: Change) -> None:
        """Record a change that the request made."""
        self._changes.append(change)

    def record_refusal(self, error: RegistryError) -> None:
        """Record why a policy of images refused the request; nothing of any other error."""
        if error.is_of_policy:
            self._refusal = {"reason": field(error.descriptor.message, MAX_REASON)}

    def decision(self, action: str, repository: str, reference: str, status: int) -> None:
        """Write a line for each recorded change, or a single one without changes.

        Args:
            action: the action of the route: pull, push, delete …
            repository: the name in the path, or "".
            reference: the last segment of the path, or "".
            status: the status of the response.
        """
        changes = [fields for change in self._changes for fields in _change_fields(change)]
        for fields in changes or [self._refusal]:
            self._write(action, repository, reference, status, fields)

    def refused(self, action: str, repository: str, reference: str) -> None:
        """Write a line for a refused action of a request that continues without it."""
        self._write(action, repository, reference, 403, {})

    def _write(self, action: str, repository: str, reference: str, status: int, change: dict[str, Any]) -> None:
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
            **change,
            "request_id": self.origin.id,
            "sent_id": self.origin.sent_id,
            "trace": self.origin.trace,
            "user_agent": self.origin.agent,
        }
        text = _text(fields)
        level = logging.WARNING if outcome == "refused" else logging.INFO
        entry = {"message": text, "audit": fields, **logs.trace_fields(self.origin.trace, self.origin.span)}
        audit_log.log(level, "%s", text, extra={"fields": entry})

    def _outcome(self, status: int) -> str:
        if status == 401 and self._anonymous and self._attempted_user is None:
            # Every login begins with an anonymous request.
            return "challenged"
        return "refused" if status in REFUSALS else "allowed" if status < 400 else "failed"


def _change_fields(change: Change) -> Iterator[dict[str, Any]]:
    """Yield the fields of a change, split so that no line has more than MAX_NAMES names; their grammar was checked."""
    for start in range(0, max(len(change.tags), len(change.also), 1), MAX_NAMES):
        fields = {
            "change": change.kind,
            "digest": change.digest,
            "tags": change.tags[start : start + MAX_NAMES],
            "also": change.also[start : start + MAX_NAMES],
            "session": change.session,
            "source": change.source,
            "reason": field(change.reason) if change.reason else "",
        }
        yield {name: value for name, value in fields.items() if value}


def _text(fields: dict[str, Any]) -> str:
    """Return the line. Every field is one word or in quotation marks, so that none can be mistaken for another."""
    shown = dict.fromkeys(CHANGE_FIELDS, ABSENT)
    shown |= {name: ",".join(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    # In quotation marks, to distinguish a login as `-` from one without a name.
    shown["user"] = f'"{fields["user"]}"' if "user" in fields else ABSENT
    return LINE_FORMAT.format(**shown)
