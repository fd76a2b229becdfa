"""Policies, facts and evidence that the tests of policies share."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from lading.policies.evaluate import evaluate
from lading.policies.evidence import Decision, Evidence
from lading.policies.policy import Policy
from lading.policies.policy_json import policies_of, policies_text
from lading.signatures.signature import Signature
from lading_storage.records.scans import Facts

NOW: Final = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
DIGEST: Final = f"sha256:{'a' * 64}"
OTHER_DIGEST: Final = f"sha256:{'b' * 64}"
REPOSITORY: Final = "prod/app"

KEYS: Final = {
    "release": """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
""",
    "other": """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8A
iTo7Tu6KPAqv7D7gS2XpJFbZiItSs3m9+9Ue6GnvHw/GW2ZZaVtszggXIw==
-----END PUBLIC KEY-----
""",
}
"""Public keys of RFC 8410, section 10.3, and of an example of jwt.io; no test signs with them."""


def policy(**fields: Any) -> Policy:
    """Return a policy of prod/* that enforces."""
    return policies_of(policies_text([table(**fields)]))[0]


def table(**fields: Any) -> dict[str, Any]:
    """Return the table of a policy of prod/* that enforces."""
    return {"name": "prod", "repositories": ["prod/*"], "mode": "enforce", **fields}


def finding(id: str = "CVE-2026-1", severity: str = "high", fixed: str = "2.0", **fields: Any) -> dict[str, Any]:
    """Return a finding as facts list it."""
    return {"id": id, "severity": severity, "package": "openssl", "version": "1.0", "fixed": fixed, **fields}


def counts_of(findings: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Return the counts of findings as facts have them: with a fix, and without."""
    counts: dict[str, list[int]] = {}
    for each in findings:
        if not each.get("suppressed"):
            counts.setdefault(each["severity"], [0, 0])[not each["fixed"]] += 1
    return counts


def facts(*findings: Mapping[str, Any], counts: Mapping[str, Sequence[int]] | None = None, **fields: Any) -> Facts:
    """Return the facts of a scan that is done, of an hour ago."""
    content = json.dumps(findings).encode()
    given: dict[str, Any] = {
        "state": "done",
        "at": NOW - timedelta(hours=1),
        "counts": json.dumps(counts_of(findings) if counts is None else counts),
        "content": content,
        "size": len(content),
        "data": ("Debian=1", "exploits=1"),
        "sbom": OTHER_DIGEST,
    }
    return Facts(id=DIGEST, repository=REPOSITORY, next=NOW, created=NOW, **(given | fields))


EVIDENCE: Final = Evidence(
    repository=REPOSITORY, digest=DIGEST, now=NOW, facts=facts(), first_seen=NOW - timedelta(days=1)
)


def decide(policy: Policy, principal: str = "node", **evidence: Any) -> Decision:
    """Return what a policy decides."""
    return evaluate(policy, replace(EVIDENCE, **evidence), principal)


def key_signature(policy: Policy, name: str = "release", **fields: Any) -> Signature:
    """Return a signature by one of the keys of a policy."""
    signers = {key.name: key for each in policy.signature_requirements() for key in each.keys}
    return Signature(signer=signers[name].fingerprint, format="cosign-bundle", **fields)


def signatures(*names: str, **fields: Any) -> dict[str, Any]:
    """Return the requirement of signatures by some of KEYS."""
    return {"keys": [{"name": name, "pem": KEYS[name]} for name in names], **fields}


FULL: Final[dict[str, Any]] = table(
    tags=["v*", "latest"],
    exempt=["robot+signer"],
    breakGlass=["alice@example.com"],
    onError="allow",
    gateRollback=True,
    signatures={
        **signatures("release", "other", allOf=True),
        "identities": [
            {"issuer": "https://issuer.example", "subject": "a@example.com"},
            {"name": "builds", "issuer": "https://issuer.example", "subjectGlob": "https://builds.example/*"},
        ],
    },
    scan={
        "required": True,
        "maxAge": "7d",
        "maximumFixableSeverity": "medium",
        "maximumUnfixableSeverity": "high",
        "blockKnownExploited": True,
        "sbom": "required",
        "allowedCves": [{"id": "CVE-2026-1", "until": "2027-01-31", "reason": "not reachable"}],
    },
    image={"maxAge": "90d", "minAge": "1h"},
    anyOf=[{"image": {"minAge": "7d"}}, {"scan": {"required": True}}],
    push={"mediaTypes": ["application/vnd.oci.*"], "requiredLabels": ["team"], "maximumSize": "2GiB"},
    exceptions=[{"image": f"prod/legacy@{DIGEST}", "until": "2027-01-31T12:00:00+01:00", "reason": "legacy"}],
)
"""A policy with each field but certificates."""
