"""PullGate: whether a manifest may be pulled, by the policies that name its repository.

    by digest   the records that decide are read with the manifest: no round trip more
    by tag      one read more, since the tag names the digest
    HEAD        is never refused: clients then show no reason, or suggest a login. It has a warning, and the GET after
                it is refused

A refused pull has the error DENIED, with a line that clients print. A policy that only audits warns in the same words.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lading.leader import step_down
from lading.policies.denial import audit_line, denial_detail, denial_line
from lading.registry import errors
from lading.registry.change_context import ChangeContext
from lading.registry.errors import MANIFEST_UNKNOWN, RegistryError
from lading.registry.policies.decision_log import DecisionLog
from lading.registry.policies.gated_types import GatedTypes
from lading.registry.policies.judge import Judge
from lading.registry.policies.verdict import Verdict
from lading_storage.protocols import Found, MetadataStore
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.records.trust import Trust

if TYPE_CHECKING:
    from lading.policies.policy import Policy

ReadContent = Callable[[Manifest | Tag], bytes]


class PullGate:
    """The gate of pulls of one registry. Thread-safe."""

    def __init__(self, metadata: MetadataStore, judge: Judge, content: ReadContent, log: DecisionLog) -> None:
        """Let `judge` decide, and record decisions in `log`. `content` returns the bytes of a manifest."""
        self._metadata = metadata
        self._judge = judge
        self._content = content
        self._log = log
        self._types = GatedTypes()

    def companions(self, key: Key[Any]) -> Sequence[Key[Any]]:
        """Return the keys to read with a manifest; those of a tag's are not known before."""
        return self._judge.keys(key.repository, key.id) if key.kind is Manifest else ()

    def check(
        self,
        policies: "tuple[Policy, ...]",
        found: Manifest | Tag,
        read: Found,
        context: ChangeContext,
        *,
        is_head: bool,
    ) -> str:
        """Return a warning, or "".

        Args:
            policies: that name the repository.
            found: what is pulled.
            read: the result of the read that found it.
            context: of the pull; its actor is the authenticated caller, or "".
            is_head: whether it is only asked for.

        Raises:
            RegistryError: DENIED, MANIFEST_UNKNOWN.
            StorageError: a store failed.
        """
        judged = tuple(each for each in policies if each.judges_images)
        if not judged or not self._is_gated(found):
            return ""
        verdict = self._verdict(judged, *self._records(found, read), context.actor)
        if verdict is None:
            return ""
        if not is_head:
            self._log.record(judged, verdict, context)
        return _outcome(verdict, is_head)

    def verdict(self, policies: "tuple[Policy, ...]", manifest: Manifest, principal: str) -> Verdict | None:
        """Return what policies decide about a pull, or None if the manifest is not gated. Raises as `check` does."""
        if not self._is_gated(manifest):
            return None
        return self._verdict(policies, *self._records(manifest, Found({})), principal)

    def _verdict(
        self, policies: "tuple[Policy, ...]", manifest: Manifest, read: Found, principal: str
    ) -> Verdict | None:
        verdict = self._judge.judge(policies, manifest, read, principal)
        return verdict if verdict.is_clean or not self._judge.is_attachment(verdict, policies, read) else None

    def _is_gated(self, found: Manifest | Tag) -> bool:
        known = self._types.known(found.digest, found.media_type)
        if known is not None:
            return known
        return self._types.of(found.digest, found.media_type, self._content(found))

    def _records(self, found: Manifest | Tag, read: Found) -> tuple[Manifest, Found]:
        """Return the manifest, and a read of the records that decide."""
        repository, digest = found.repository, found.digest
        if isinstance(found, Manifest) and read.has_read(Key(Trust, digest, repository)):
            return found, read
        step_down()
        key = Key(Manifest, digest, repository)
        read = self._metadata.read([key, *self._judge.keys(repository, digest)])
        manifest = read[key]
        if manifest is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": digest})
        return manifest, read


def _outcome(verdict: Verdict, is_head: bool) -> str:
    """Return a warning, or "". Raises RegistryError: DENIED."""
    if not verdict.refuses:
        return audit_line(verdict.decisions, verdict.reference)
    line = denial_line(verdict.decisions, verdict.reference)
    if is_head:
        return line
    raise errors.denied_by_policy(line, denial_detail(verdict.decisions))
