"""OpenVEX: statements that a vulnerability does, or does not, affect an image.

    Statement (signed, see dsse) ──parse──▶ VexStatements ──suppress──▶ findings that do not count, with the reason

Of several statements about the same, the latest counts. https://github.com/openvex/spec, versions 0.0.1 to 0.2.0
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from lading.scanning.findings import Finding
from lading.scanning.packages import Package

PREDICATE: Final = "https://openvex.dev/ns"
"""Beginning of the types of predicates that are OpenVEX."""

SUPPRESSING: Final = ("not_affected", "fixed")
STATUSES: Final = (*SUPPRESSING, "affected", "under_investigation")

MAX_STATEMENTS: Final = 10_000
"""Statements of a document."""

MAX_PARSED: Final = 30_000
"""Package URLs that are kept parsed."""

MAX_REASON: Final = 300
"""Characters of a reason."""


class VexError(Exception):
    """A document is not OpenVEX; the message is a clause that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What a statement is about.

    Attributes:
        names: its identifiers: package URLs, and others.
        digests: of its content, as sha256:….
        parts: identifiers of the packages in it that the statement is about; all, if there are none.
    """

    names: Sequence[str]
    digests: Sequence[str] = ()
    parts: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VexStatement:
    """Statement of a document.

    Attributes:
        ids: of the vulnerability.
        products: what it is about.
        status: one of STATUSES.
        reason: the status and why, at most MAX_REASON characters.
        at: when it was made.
    """

    ids: frozenset[str]
    products: Sequence[Product]
    status: str
    reason: str
    at: datetime


def parse(document: Mapping[str, Any]) -> Sequence[VexStatement]:
    """Return the statements of a document. Raises VexError."""
    try:
        statements = document["statements"]
        if len(statements) > MAX_STATEMENTS:
            raise VexError(f"it has more than {MAX_STATEMENTS} statements")
        return [_statement(each, document) for each in statements]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise VexError("it is not a document of OpenVEX") from None


def _statement(statement: Mapping[str, Any], document: Mapping[str, Any]) -> VexStatement:
    vulnerability = statement["vulnerability"]
    if isinstance(vulnerability, str):
        vulnerability = {"name": vulnerability}
    ids = {vulnerability["name"], *(vulnerability.get("aliases") or ())}
    status = statement["status"]
    if status not in STATUSES or not all(isinstance(each, str) for each in ids):
        raise ValueError
    why = statement.get("justification") or statement.get("impact_statement") or statement.get("status_notes") or ""
    inherited = statement.get("subcomponents") or ()
    return VexStatement(
        ids=frozenset(ids),
        products=[_product(each, inherited) for each in statement.get("products") or ()],
        status=status,
        reason=(f"{status}: {why}" if why else status)[:MAX_REASON],
        at=_time(
            statement.get("last_updated")
            or statement.get("timestamp")
            or document.get("last_updated")
            or document["timestamp"]
        ),
    )


def _product(product: Any, inherited: Iterable[Any]) -> Product:
    """Return a product: a string in version 0.0.1, with the subcomponents of its statement."""
    parts = [name for each in (*inherited, *_field(product, "subcomponents", ())) for name in _names(each)]
    found = _field(product, "hashes", {})
    digests = [f"sha256:{value}" for name, value in found.items() if name in ("sha-256", "sha256")]
    return Product(names=list(_names(product)), digests=digests, parts=parts)


def _names(component: Any) -> Iterator[str]:
    if isinstance(component, str):
        yield component
    elif component.get("@id"):
        yield str(component["@id"])
    yield from (str(each) for each in _field(component, "identifiers", {}).values())


def _field(component: Any, name: str, default: Any) -> Any:
    return default if isinstance(component, str) else component.get(name) or default


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def suppress(findings: Iterable[Finding], statements: Iterable[VexStatement], digest: str) -> list[Finding]:
    """Return findings, with the reason at those that do not count.

    An advisory about several vulnerabilities counts until none of them does.

    Args:
        findings: of an image.
        statements: of documents whose signatures were verified, and whose subject is the image.
        digest: of the image's manifest.
    """
    latest = _Latest(statements, digest)
    return [replace(each, suppressed=_suppressed(each, latest)) for each in findings]


def _suppressed(finding: Finding, latest: "_Latest") -> str:
    reason = latest.reason({finding.id, *finding.aliases}, finding.package)
    if reason or not finding.covers:
        return reason
    reasons = [latest.reason({id}, finding.package) for id in finding.covers]
    return reasons[0] if all(reasons) else ""


class _Latest:
    """The latest statements about the vulnerabilities of one image."""

    def __init__(self, statements: Iterable[VexStatement], digest: str) -> None:
        self._digest = digest
        self._ordered = sorted(statements, key=lambda statement: statement.at)
        self._by_id: dict[str, list[int]] = {}
        for number, statement in enumerate(self._ordered):
            for id in statement.ids:
                self._by_id.setdefault(id, []).append(number)

    def reason(self, ids: set[str], package: Package) -> str:
        """Return the reason of the latest statement, or "" if there is none that suppresses."""
        numbers = {number for id in ids for number in self._by_id.get(id, ())}
        for number in sorted(numbers, reverse=True):
            statement = self._ordered[number]
            if any(_is_about(each, package, self._digest) for each in statement.products):
                return statement.reason if statement.status in SUPPRESSING else ""
        return ""


def _is_about(product: Product, package: Package, digest: str) -> bool:
    if digest in product.digests or any(_is_image(name, digest) for name in product.names):
        return not product.parts or any(_is_package(name, package) for name in product.parts)
    # A statement about a package itself, which is what a vendor makes.
    return not product.digests and any(_is_package(name, package) for name in product.names)


def _is_image(name: str, digest: str) -> bool:
    """Return whether a name is of an image: with its digest, or with none, as the statement's subject is the image."""
    plain, _, _ = unquote(name).partition("?")
    return plain.endswith(f"@{digest}") or (plain.startswith("pkg:oci/") and "@" not in plain)


def _is_package(name: str, package: Package) -> bool:
    """Return whether a package URL is of a package: what it leaves out, such as the version, is as it may be."""
    found = _parsed(name)
    own = _own(package.type, package.namespace, package.name)
    return (
        found is not None
        and (found.type, found.full_name) == own
        and found.version in ("", package.version)
        and (found.arch is None or found.arch == package.arch)
    )


class _Parsed(NamedTuple):
    """What a package URL names. For a module of Go, namespace and name are both parts of its path."""

    type: str
    full_name: str
    version: str
    arch: str | None


@lru_cache(MAX_PARSED)
def _parsed(name: str) -> _Parsed | None:
    """Return what a package URL names, or None if it is none. A statement may list thousands, for each finding."""
    from packageurl import PackageURL

    try:
        found = PackageURL.from_string(name)
    except ValueError:
        return None
    qualifiers = found.qualifiers if isinstance(found.qualifiers, dict) else {}
    return _Parsed(found.type, _full_name(found.namespace, found.name), found.version or "", qualifiers.get("arch"))


@lru_cache(MAX_PARSED)
def _own(type: str, namespace: str, name: str) -> tuple[str, str] | None:
    """Return type and full name of a package as package URLs spell them: PyPI, say, has rules. None if they cannot."""
    from packageurl import PackageURL

    try:
        own = PackageURL(type=type, namespace=namespace or None, name=name)
    except ValueError:
        return None
    return own.type, _full_name(own.namespace, own.name)


def _full_name(*parts: str | None) -> str:
    """Return the name with the namespace."""
    return "/".join(each for each in parts if each)
