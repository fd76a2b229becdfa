"""Policy: what images have to fulfil to be pulled, or to get a tag, and who and what is exempt.

    Policy ─┬─ repositories, tags              what it is about
            ├─ requirements, any_of            Requirements: signatures, scan, image
            ├─ push                            what a manifest has to fulfil when it is put
            └─ exempt, break_glass, exceptions who and what is exempt

lading.policies.policy_json reads them, and lading.policies.evaluate judges an image by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from lading.registry.globs import matches

if TYPE_CHECKING:
    from lading.signatures.signature import Signature

ENFORCE: Final = "enforce"
AUDIT: Final = "audit"
Mode = Literal["enforce", "audit"]

DENY: Final = "deny"
ALLOW: Final = "allow"
OnError = Literal["deny", "allow"]

NONE: Final = "none"
"""The bound of a severity below which nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """Public key whose signatures count.

    Attributes:
        name: for people.
        pem: SubjectPublicKeyInfo as PEM.
        fingerprint: Signature.signer, as lading.signatures.public_keys.fingerprint returns it.
    """

    name: str
    pem: str
    fingerprint: str

    def signed(self, signature: Signature) -> bool:
        """Return whether a signature is one of this key."""
        return signature.signer == self.fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustAnchor:
    """Certificate, of an authority or of a signer itself, with which signatures of notation are verified.

    Attributes:
        name: for people.
        pem: the certificate as PEM.
        fingerprint: Signature.signer: the digest of the certificate as DER, as sha256:….
        subject: a glob that the subject of the signer's certificate, or another name in it, has to match; "" for any.
    """

    name: str
    pem: str
    fingerprint: str
    subject: str = ""

    def signed(self, signature: Signature) -> bool:
        """Return whether a signature was verified with this certificate, and its signer has the subject."""
        if signature.signer != self.fingerprint:
            return False
        return not self.subject or any(matches(self.subject, each) for each in (signature.identity, *signature.names))


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningIdentity:
    """Identity whose keyless signatures count.

    Attributes:
        name: for people.
        issuer: of the ID token, as https://….
        subject: of the ID token: exact, or a glob.
        is_glob: which of the two.
    """

    name: str
    issuer: str
    subject: str
    is_glob: bool = False

    def signed(self, signature: Signature) -> bool:
        """Return whether a signature is one of this identity. Only keyless signatures have an issuer."""
        if signature.issuer != self.issuer:
            return False
        return matches(self.subject, signature.identity) if self.is_glob else signature.identity == self.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureRequirement:
    """Signatures that an image needs: of one of the signers, or of each."""

    keys: tuple[SigningKey, ...] = ()
    certificates: tuple[TrustAnchor, ...] = ()
    identities: tuple[SigningIdentity, ...] = ()
    all_of: bool = False

    @property
    def signers(self) -> tuple[SigningKey | TrustAnchor | SigningIdentity, ...]:
        """All signers."""
        return (*self.keys, *self.certificates, *self.identities)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedCve:
    """Vulnerability that does not count until a time. The id is any of those by which it is known."""

    id: str
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRequirement:
    """What the scan of an image has to say. Each of the words needs a scan.

    Attributes:
        max_age: how long ago the packages may have been compared with the data, or None.
        maximum_fixable: the worst severity that vulnerabilities with a fix may have: NONE, a severity, or "" for any.
        maximum_unfixable: the same of those without a fix.
        allowed_cves: vulnerabilities that do not count.
        block_known_exploited: whether no vulnerability may be one that is known to be exploited.
        sbom: whether an SBOM has to be attached.
    """

    max_age: timedelta | None = None
    maximum_fixable: str = ""
    maximum_unfixable: str = ""
    allowed_cves: tuple[AllowedCve, ...] = ()
    block_known_exploited: bool = False
    sbom: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequirement:
    """How long ago an image may, and has to, have been pushed."""

    max_age: timedelta | None = None
    min_age: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What an image has to fulfil, all of it."""

    signatures: SignatureRequirement | None = None
    scan: ScanRequirement | None = None
    image: ImageRequirement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRequirement:
    """What a manifest has to fulfil when it is put.

    Attributes:
        media_types: globs of the media types that the manifest, its config and its layers may have; () for any.
        required_labels: the names of annotations, or of labels of the config, that an image needs.
        maximum_size: bytes of all blobs that it references, or None.
    """

    media_types: tuple[str, ...] = ()
    required_labels: tuple[str, ...] = ()
    maximum_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageException:
    """Image, or all images of a repository, that a policy allows until a time.

    Attributes:
        repository: the name.
        digest: of the image, or "" for all.
        until: when it ends.
        reason: why.
    """

    repository: str
    digest: str
    until: datetime
    reason: str

    def covers(self, repository: str, digest: str, now: datetime) -> bool:
        """Return whether an image is one that this exception allows now."""
        return repository == self.repository and self.digest in ("", digest) and now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Policy of some repositories. An image needs all policies that name its repository.

    Attributes:
        name: unique in the registry, or in its namespace.
        repositories: globs; those with the prefix `!` are exceptions.
        tags: globs of tags that only move to images that pass; () for none: then only pulls are gated.
        mode: ENFORCE or AUDIT.
        exempt: principals that it does not apply to.
        break_glass: principals that may open an exception of an image for a while.
        on_error: what happens where an image cannot be judged.
        gate_rollback: whether a roll-back, an undelete and a restore of a tag count as its move.
        requirements: what an image has to fulfil.
        any_of: besides, one of these; () for nothing.
        push: what a manifest has to fulfil when it is put, or None.
        exceptions: images that it allows for a while.
    """

    name: str
    repositories: tuple[str, ...]
    tags: tuple[str, ...] = ()
    mode: Mode = AUDIT
    exempt: tuple[str, ...] = ()
    break_glass: tuple[str, ...] = ()
    on_error: OnError = DENY
    gate_rollback: bool = False
    requirements: Requirements = Requirements()
    any_of: tuple[Requirements, ...] = ()
    push: PushRequirement | None = None
    exceptions: tuple[ImageException, ...] = ()

    @property
    def enforces(self) -> bool:
        """Whether images that do not pass are refused, rather than reported."""
        return self.mode == ENFORCE

    @property
    def alternatives(self) -> tuple[Requirements, ...]:
        """All sets of requirements."""
        return (self.requirements, *self.any_of)

    @property
    def judges_images(self) -> bool:
        """Whether images need anything but what is known when they are pushed."""
        return any(each != Requirements() for each in self.alternatives)

    @property
    def needs_facts(self) -> bool:
        """Whether the facts about an image are needed to judge it."""
        return any(each.scan for each in self.alternatives)

    def covers(self, repository: str) -> bool:
        """Return whether the policy is about a repository."""
        return matches_any(self.repositories, repository)

    def covers_tag(self, repository: str, tag: str) -> bool:
        """Return whether a tag only moves to images that pass."""
        return matches_any(self.tags, tag) and self.covers(repository)

    def signature_requirements(self) -> Iterator[SignatureRequirement]:
        """Yield all requirements of signatures."""
        return (each.signatures for each in self.alternatives if each.signatures)


def matches_any(globs: tuple[str, ...], text: str) -> bool:
    """Return whether a text matches one of the globs, and none of those with the prefix `!`."""
    if any(glob.startswith("!") and matches(glob[1:], text) for glob in globs):
        return False
    return any(matches(glob, text) for glob in globs if not glob.startswith("!"))


def covering(policies: tuple[Policy, ...], repository: str) -> tuple[Policy, ...]:
    """Return the policies that are about a repository."""
    return tuple(each for each in policies if each.covers(repository))
