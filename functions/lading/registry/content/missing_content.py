"""Content that a manifest may name although its repository lacks it: none, unless a rule allows it.

    windows/*:urls      layers that say in `urls` where else they are
    mirror/*:sparse     manifests of an index, of which only some platforms were copied
    !mirror/base:sparse except in this repository

What is there is kept like anything else that a manifest names; what comes later is kept from then on. Layers of the
types that their owners let nobody distribute need no rule (documents.NONDISTRIBUTABLE). No URL is ever followed.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from lading.registry.content.manifest_format import ParsedManifest
from lading.registry.errors import MANIFEST_BLOB_UNKNOWN, RegistryError, blob_unknown_without_rule
from lading.registry.repository_rules import Rules

URLS: Final = "urls"
SPARSE: Final = "sparse"


@dataclass(frozen=True, slots=True)
class MissingContent(Rules):
    """The rules and exceptions, as REPOSITORY:urls and REPOSITORY:sparse."""

    SUBJECT: ClassVar[str] = f"{URLS} or REPOSITORY:{SPARSE}"

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Read rules as they are written. Raises ValueError, saying which is none."""
        for text in texts:
            if text.partition(":")[2] not in (URLS, SPARSE):
                raise ValueError(f"{text} is not REPOSITORY:{cls.SUBJECT}")
        return super(MissingContent, cls).parse(texts)

    def may_lack(self, repository: str, document: ParsedManifest) -> tuple[str, ...]:
        """Return the digests that a manifest may name in a repository although they are not there."""
        lacking = {URLS: document.external_layers, SPARSE: document.children}
        return tuple(digest for kind, digests in lacking.items() if self.rule(repository, kind) for digest in digests)

    @contextlib.contextmanager
    def name_missing_rule(self, repository: str, document: ParsedManifest) -> Iterator[None]:
        """Name the rule that would accept a manifest, where this block refuses it for what is not there."""
        try:
            yield
        except RegistryError as error:
            if error.descriptor != MANIFEST_BLOB_UNKNOWN:
                raise
            digests = [each["digest"] for each in error.detail]
            for kind, lacking in {URLS: document.external_layers, SPARSE: document.children}.items():
                if {*digests} <= {*lacking} and not self.rule(repository, kind):
                    raise blob_unknown_without_rule(f"{repository}:{kind}", digests) from None
            raise
