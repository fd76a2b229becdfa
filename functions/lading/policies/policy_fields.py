"""The fields of a policy, a row each: docs/policies.md and docs/policies.schema.json have them as well."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from lading.policies import refusals
from lading.policies.field_kinds import Choice, Duration, Field, Flag, Pem, Several, Size, Table, Text, Time
from lading.policies.policy import (
    ALLOW,
    AUDIT,
    DENY,
    ENFORCE,
    AllowedCve,
    ImageException,
    ImageRequirement,
    Policy,
    PushRequirement,
    Requirements,
    ScanRequirement,
    SignatureRequirement,
    SigningIdentity,
    SigningKey,
    TrustAnchor,
)
from lading.policies.scan_reasons import BOUNDS
from lading.setting_values import REPOSITORY

MAX_REPOSITORY: Final = 255

MAX_POLICIES: Final = 100
MAX_GLOBS: Final = 100
MAX_PRINCIPALS: Final = 100
MAX_SIGNERS: Final = 20
MAX_CVES: Final = 300
MAX_EXCEPTIONS: Final = 200
MAX_ALTERNATIVES: Final = 10
"""Entries of a list. The text of all policies is limited as well: rule_types.MAX_POLICIES."""

BINARY_AUTHORIZATION: Final = {"MINIMAL": "negligible", "BLOCK_ALL": "none", "ALLOW_ALL": "critical", "unknown": "low"}
"""Words of Binary Authorization for severities; the others are ours in upper case."""


NAME: Final = Text(40, "[a-z0-9-]{1,40}", "a name of lower-case letters, digits and hyphens")
LABEL: Final = Text(100)
REASON: Final = Text(300)
PRINCIPALS: Final = Several(Text(300, meaning="the name of a principal", refuse=refusals.of_everybody), MAX_PRINCIPALS)
REPOSITORIES: Final = Several(
    Text(
        256,
        r"!?[a-z0-9._/*-]+",
        "a glob of repositories, as in prod/*; ! in front makes an exception",
        refusals.of_no_repository,
    ),
    MAX_GLOBS,
)
TAGS: Final = Several(Text(129, r"!?[A-Za-z0-9._*-]+", "a glob of tags, as in v*"), MAX_GLOBS)
ISSUER: Final = Text(500, r"https://[^\s/]+\S*", "the https URL of an issuer of ID tokens")
CVE: Final = Text(100, r"(?!cve-)[A-Za-z0-9][A-Za-z0-9.:_-]*", "the id of a vulnerability, as in CVE-2026-1234")
IMAGE: Final = Text(
    400,
    rf"{REPOSITORY.pattern.replace('.{1,255}$', '.{1,400}$')}(?:@sha256:[0-9a-f]{{64}}|@sha512:[0-9a-f]{{128}})?",
    "REPOSITORY or REPOSITORY@DIGEST",
)


def fingerprint_of(pem: str) -> str:
    """Return the digest of what a PEM contains, as lading.signatures has fingerprints. Raises ValueError."""
    body = "".join(line for line in pem.splitlines() if not line.startswith("-----"))
    try:
        return f"sha256:{hashlib.sha256(base64.b64decode(body, validate=True)).hexdigest()}"
    except binascii.Error:
        raise ValueError("its pem is not PEM") from None


def _pem(found: Mapping[str, Any]) -> dict[str, str]:
    if "pem" not in found:
        raise ValueError("it needs pem or file: the public key or certificate")
    return {"pem": found["pem"], "fingerprint": fingerprint_of(found["pem"])}


def _key(found: Mapping[str, Any]) -> SigningKey:
    return SigningKey(name=found["name"], **_pem(found))


def _anchor(found: Mapping[str, Any]) -> TrustAnchor:
    return TrustAnchor(name=found["name"], subject=found.get("subject", ""), **_pem(found))


def _identity(found: Mapping[str, Any]) -> SigningIdentity:
    if ("subject" in found) == ("subjectGlob" in found):
        raise ValueError("it needs subject or subjectGlob, and not both")
    subject = found.get("subject") or found["subjectGlob"]
    name = found.get("name", f"{subject} ({found['issuer']})")
    return SigningIdentity(name=name, issuer=found["issuer"], subject=subject, is_glob="subjectGlob" in found)


def _signatures(found: Mapping[str, Any]) -> SignatureRequirement:
    signers = {each: found[each] for each in ("keys", "certificates", "identities") if each in found}
    if not signers:
        raise ValueError("it needs keys, certificates or identities")
    names = [each.name for several in signers.values() for each in several]
    if len(set(names)) < len(names):
        raise ValueError("two signers have the same name")
    return SignatureRequirement(all_of=found.get("allOf", False), **signers)


def _scan(found: Mapping[str, Any]) -> ScanRequirement:
    if not found.keys() - {"required", "allowedCves"} and not found.get("required"):
        raise ValueError("it requires nothing; set required = true, or a maximum")
    if found.get("required") is False:
        raise ValueError("required = false means nothing: each of the other words needs a scan; leave it out")
    maximums = [found.get("maximumFixableSeverity"), found.get("maximumUnfixableSeverity")]
    if "allowedCves" in found and not any(maximums) and not found.get("blockKnownExploited"):
        raise ValueError("allowedCves are exceptions of a maximum, or of blockKnownExploited, and there is none")
    return ScanRequirement(
        max_age=found.get("maxAge"),
        maximum_fixable=maximums[0] or "",
        maximum_unfixable=maximums[1] or "",
        allowed_cves=found.get("allowedCves", ()),
        block_known_exploited=found.get("blockKnownExploited", False),
        sbom="sbom" in found,
    )


def _image(found: Mapping[str, Any]) -> ImageRequirement:
    requirement = ImageRequirement(max_age=found.get("maxAge"), min_age=found.get("minAge"))
    if requirement == ImageRequirement():
        raise ValueError("it needs maxAge or minAge")
    if requirement.max_age and requirement.min_age and requirement.min_age >= requirement.max_age:
        raise ValueError("no image is older than minAge and not older than maxAge")
    return requirement


def _push(found: Mapping[str, Any]) -> PushRequirement:
    if not found:
        raise ValueError("it needs mediaTypes, requiredLabels or maximumSize")
    return PushRequirement(
        media_types=found.get("mediaTypes", ()),
        required_labels=found.get("requiredLabels", ()),
        maximum_size=found.get("maximumSize"),
    )


def _requirements(found: Mapping[str, Any]) -> Requirements:
    if not found:
        raise ValueError("it needs signatures, scan or image: one that needs nothing is always fulfilled")
    return Requirements(**found)


def _exception(found: Mapping[str, Any]) -> ImageException:
    repository, _, digest = found["image"].partition("@")
    if len(repository) > MAX_REPOSITORY:
        raise ValueError(f"the name of a repository has at most {MAX_REPOSITORY} characters")
    return ImageException(repository=repository, digest=digest, until=found["until"], reason=found["reason"])


def _policy(found: Mapping[str, Any]) -> Policy:
    requirements = {each: found[each] for each in ("signatures", "scan", "image") if each in found}
    policy = Policy(
        name=found["name"],
        repositories=found["repositories"],
        tags=found.get("tags", ()),
        mode=found.get("mode", AUDIT),
        exempt=found.get("exempt", ()),
        break_glass=found.get("breakGlass", ()),
        on_error=found.get("onError", DENY),
        gate_rollback=found.get("gateRollback", False),
        requirements=Requirements(**requirements),
        any_of=found.get("anyOf", ()),
        push=found.get("push"),
        exceptions=found.get("exceptions", ()),
    )
    for each, globs in (("repositories", policy.repositories), ("tags", policy.tags)):
        if globs and all(glob.startswith("!") for glob in globs):
            raise ValueError(f"{each} has only exceptions, and names nothing")
    if not policy.judges_images and not policy.push:
        raise ValueError("it requires nothing; it needs signatures, scan, image, anyOf or push")
    if not policy.judges_images and (policy.tags or policy.gate_rollback):
        raise ValueError("tags and gateRollback are about signatures, scan, image or anyOf, and there is none")
    return policy


SIGNATURES: Final = Table(
    (
        Field(
            "keys",
            Several(
                Table(
                    (
                        Field("name", LABEL, "what messages call it", is_required=True),
                        Field("pem", Pem("PUBLIC KEY"), "the public key: ECDSA, Ed25519, or RSA of 2048 bits and more"),
                    ),
                    _key,
                    is_named=True,
                ),
                MAX_SIGNERS,
                lambda key: key.fingerprint,
            ),
            "public keys of cosign",
        ),
        Field(
            "certificates",
            Several(
                Table(
                    (
                        Field("name", LABEL, "what messages call it", is_required=True),
                        Field("pem", Pem("CERTIFICATE"), "the certificate: of an authority, or the signer's own"),
                        Field(
                            "subject", Text(500), "a glob of the subject, or another name, of the signer's certificate"
                        ),
                    ),
                    _anchor,
                    is_named=True,
                ),
                MAX_SIGNERS,
                lambda anchor: (anchor.fingerprint, anchor.subject),
            ),
            "trust anchors of notation",
        ),
        Field(
            "identities",
            Several(
                Table(
                    (
                        Field("name", LABEL, "what messages call it"),
                        Field("issuer", ISSUER, "the issuer of the ID token", is_required=True),
                        Field("subject", Text(500), "the subject of the ID token: an email address or a URL"),
                        Field("subjectGlob", Text(500, refuse=refusals.of_any_subject), "a glob of the subject"),
                    ),
                    _identity,
                    is_named=True,
                ),
                MAX_SIGNERS,
                lambda identity: (identity.issuer, identity.subject, identity.is_glob),
            ),
            "identities of keyless signatures",
        ),
        Field("allOf", Flag(), "whether each signer has to have signed, rather than one of them"),
    ),
    _signatures,
)

SEVERITY: Final = Choice(BOUNDS, BINARY_AUTHORIZATION)

SCAN: Final = Table(
    (
        Field("required", Flag(), "the image has to be scanned; each of the other words needs that too"),
        Field("maxAge", Duration(), "how long ago it may have been compared with the vulnerability data"),
        Field("maximumFixableSeverity", SEVERITY, "the worst severity that vulnerabilities with a fix may have"),
        Field("maximumUnfixableSeverity", SEVERITY, "the worst severity that those without a fix may have"),
        Field(
            "allowedCves",
            Several(
                Table(
                    (
                        Field("id", CVE, "its id, or an alias", is_required=True),
                        Field("until", Time(), "when this ends", is_required=True),
                        Field("reason", REASON, "why", is_required=True),
                    ),
                    lambda found: AllowedCve(**found),
                ),
                MAX_CVES,
                lambda allowed: allowed.id,
            ),
            "vulnerabilities that do not count for a while",
        ),
        Field("blockKnownExploited", Flag(), "whether vulnerabilities that are known to be exploited are refused"),
        Field("sbom", Choice(("required",)), "an SBOM has to be attached, as the scan of an image does"),
    ),
    _scan,
)

IMAGE_AGE: Final = Table(
    (
        Field("maxAge", Duration(), "how long ago the image may have been pushed first"),
        Field("minAge", Duration(), "how long an image is held back after its first push (quarantine)"),
    ),
    _image,
)

REQUIREMENTS: Final = (
    Field("signatures", SIGNATURES, "who has to have signed the image"),
    Field("scan", SCAN, "what the scan of the image has to say"),
    Field("image", IMAGE_AGE, "how old the image has to be, and may be"),
)

PUSH: Final = Table(
    (
        Field(
            "mediaTypes",
            Several(Text(256, r"[A-Za-z0-9!#$&^_.+*/-]+", "a glob of media types"), MAX_GLOBS),
            "the media types that manifests, configs and layers may have",
        ),
        Field("requiredLabels", Several(Text(256), MAX_GLOBS), "annotations or labels that an image needs"),
        Field("maximumSize", Size(), "bytes of all blobs of an image"),
    ),
    _push,
)

EXCEPTION: Final = Table(
    (
        Field("image", IMAGE, "REPOSITORY, or REPOSITORY@DIGEST", is_required=True),
        Field("until", Time(), "when this ends", is_required=True),
        Field("reason", REASON, "why", is_required=True),
    ),
    _exception,
)

POLICY: Final = Table(
    (
        Field("name", NAME, "unique; what messages call it", is_required=True),
        Field("repositories", REPOSITORIES, "globs of repositories; ! in front makes an exception", is_required=True),
        Field("tags", TAGS, "globs of tags that only move to images that pass"),
        Field("mode", Choice((ENFORCE, AUDIT)), "whether images are refused, or only reported, which is the default"),
        Field("exempt", PRINCIPALS, "principals that it does not apply to, such as the one that signs"),
        Field("breakGlass", PRINCIPALS, "principals that may open an exception of an image for up to a day"),
        Field("onError", Choice((DENY, ALLOW)), "what happens where an image cannot be judged"),
        Field("gateRollback", Flag(), "whether rollback, undelete and restore of a tag need an image that passes too"),
        *REQUIREMENTS,
        Field(
            "anyOf",
            Several(Table(REQUIREMENTS, _requirements), MAX_ALTERNATIVES, lambda _: None),
            "besides, one of these has to be fulfilled",
        ),
        Field("push", PUSH, "what a manifest has to fulfil when it is pushed"),
        Field(
            "exceptions",
            Several(EXCEPTION, MAX_EXCEPTIONS, lambda exception: f"{exception.repository}@{exception.digest}"),
            "images that are allowed for a while",
        ),
    ),
    _policy,
    is_named=True,
)

POLICIES: Final = Several(POLICY, MAX_POLICIES, lambda policy: policy.name)
