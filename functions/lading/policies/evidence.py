"""Evidence: what a registry knows of an image when a policy judges it; and Decision: what came of it.

Nothing of it is read by this package. It imports neither cryptography nor the scanner: a gated pull evaluates.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from lading.signatures.signature import Signature
    from lading_storage.records.scans import Facts

ALLOWED: Final = "allowed"
DENIED: Final = "denied"
AUDITED: Final = "audited"
EXEMPTED: Final = "exempted"
Outcome = Literal["allowed", "denied", "audited", "exempted"]


class Reason(NamedTuple):
    """Why an image does not pass: a clause, and the worst vulnerabilities because of which it does not."""

    text: str
    findings: tuple[str, ...] = ()


class NotJudged(Exception):
    """An image cannot be judged by what is known of it; the message is a clause that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedException:
    """Exception that a principal of Policy.break_glass opened for one image.

    Attributes:
        policy: the name of the policy.
        until: when it ends.
        reason: why.
        by: the principal.
    """

    policy: str
    until: datetime
    reason: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of an image.

    Attributes:
        repository: where it is.
        digest: of its manifest.
        now: when it is judged.
        facts: of its scan, with their content, or None if it was never to be scanned.
        signatures: of the image itself, that were verified.
        parents: those of each index that contains it, which vouch for it.
        first_seen: when it was first pushed to the repository, or None if that is not known.
        exceptions: those that were opened for it.
        unreadable: why its facts or signatures could not be read, or "".
    """

    repository: str
    digest: str
    now: datetime
    facts: Facts | None = None
    signatures: tuple[Signature, ...] = ()
    parents: tuple[tuple[Signature, ...], ...] = ()
    first_seen: datetime | None = None
    exceptions: tuple[OpenedException, ...] = ()
    unreadable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a policy decides about an image.

    Attributes:
        policy: its name.
        outcome: ALLOWED; DENIED; AUDITED: would be denied, by a policy that only reports; or EXEMPTED.
        reasons: why it does not pass, clauses, the most important one first; () if it does.
        findings: the worst vulnerabilities because of which it does not pass.
        exemption: why it is exempted, or "".
        is_error: whether it could not be judged: the outcome is then that of Policy.on_error.
    """

    policy: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    exemption: str = ""
    is_error: bool = False

    @property
    def refuses(self) -> bool:
        """Whether the image may not be pulled."""
        return self.outcome == DENIED
