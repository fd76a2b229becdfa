"""Missing content: what a manifest may reference although its repository lacks it. Without a rule, nothing.

    windows/*:urls      layers with `urls`, which are stored elsewhere
    mirror/*:sparse     children of an index of which only some platforms were copied
    !mirror/base:sparse except in this repository

Content that exists is retained like anything else that a manifest references, and so is content that is pushed later.
Layers of nondistributable types need no rule (manifest_format.NONDISTRIBUTABLE). No URL is ever followed.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol, Self

from lading.registry.errors import MANIFEST_BLOB_UNKNOWN, RegistryError, blob_unknown_without_rule
from lading.registry.rules.pattern_rules import PatternRules

URLS: Final = "urls"
SPARSE: Final = "sparse"


class ReferencedContent(Protocol):
    """What a manifest references and may lack, as digests."""

    @property
    def external_layers(self) -> tuple[str, ...]:
        """Layers that have URLs."""
        ...

    @property
    def children(self) -> tuple[str, ...]:
        """Manifests of an index."""
        ...


@dataclass(frozen=True, slots=True)
class MissingContent(PatternRules):
    """Rules and exceptions, as REPOSITORY:urls and REPOSITORY:sparse."""

    SUBJECT: ClassVar[str] = f"{URLS} or REPOSITORY:{SPARSE}"

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Parse rules and exceptions. Raises ValueError with the text that is neither."""
        for text in texts:
            if text.partition(":")[2] not in (URLS, SPARSE):
                raise ValueError(f"{text} is not REPOSITORY:{cls.SUBJECT}")
        return super(MissingContent, cls).parse(texts)

    def may_lack(self, repository: str, document: ReferencedContent) -> tuple[str, ...]:
        """Return the digests that a manifest may reference in a repository although they are missing."""
        optional = {URLS: document.external_layers, SPARSE: document.children}
        return tuple(digest for kind, digests in optional.items() if self.rule(repository, kind) for digest in digests)

    @contextlib.contextmanager
    def name_missing_rule(self, repository: str, document: ReferencedContent) -> Iterator[None]:
        """If the block rejects a manifest for missing content, add to the error the rule that would allow it."""
        try:
            yield
        except RegistryError as error:
            if error.descriptor != MANIFEST_BLOB_UNKNOWN:
                raise
            digests = [each["digest"] for each in error.detail]
            for kind, optional in {URLS: document.external_layers, SPARSE: document.children}.items():
                if {*digests} <= {*optional} and not self.rule(repository, kind):
                    raise blob_unknown_without_rule(f"{repository}:{kind}", digests) from None
            raise
