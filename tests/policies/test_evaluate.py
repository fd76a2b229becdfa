"""What policies decide about signatures and ages, who and what is exempt, and what cannot be judged."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from lading.policies.evidence import ALLOWED, AUDITED, DENIED, EXEMPTED, OpenedException
from lading.signatures.signature import Signature
from tests.policies.examples import (
    DIGEST,
    NOW,
    OTHER_DIGEST,
    REPOSITORY,
    decide,
    facts,
    finding,
    key_signature,
    policy,
    signatures,
)

SECOND: Final = timedelta(seconds=1)
MAXIMUM: Final = {"maximumFixableSeverity": "medium"}


@pytest.mark.parametrize(
    ("image", "age", "outcome"),
    [
        ({"maxAge": "90d"}, timedelta(days=90), ALLOWED),
        ({"maxAge": "90d"}, timedelta(days=90) + SECOND, DENIED),
        ({"minAge": "1h"}, timedelta(hours=1), ALLOWED),
        ({"minAge": "1h"}, timedelta(hours=1) - SECOND, DENIED),
        ({"minAge": "1h"}, -timedelta(hours=1), DENIED),
    ],
)
def test_an_image_has_the_right_age(image: dict[str, Any], age: timedelta, outcome: str) -> None:
    assert decide(policy(image=image), first_seen=NOW - age).outcome == outcome


@pytest.mark.parametrize("image", [{"maxAge": "90d"}, {"minAge": "1h"}])
def test_an_image_of_unknown_age_has_no_age_that_is_right(image: dict[str, Any]) -> None:
    assert decide(policy(image=image), first_seen=None).reasons == ("when it was pushed is not known",)


def test_quarantine_says_until_when() -> None:
    decision = decide(policy(image={"minAge": "2d"}))
    assert decision.reasons == ("it is in quarantine for 2d, until 2026-11-30T12:00:00+00:00",)


BOTH: Final = policy(signatures=signatures("release", "other"))
EACH: Final = policy(signatures=signatures("release", "other", allOf=True))
RELEASE, OTHER = key_signature(BOTH, "release"), key_signature(BOTH, "other")


@pytest.mark.parametrize(
    ("given", "any_of", "all_of"),
    [
        ({}, DENIED, DENIED),
        ({"signatures": (RELEASE,)}, ALLOWED, DENIED),
        ({"signatures": (OTHER,)}, ALLOWED, DENIED),
        ({"signatures": (RELEASE, OTHER)}, ALLOWED, ALLOWED),
        ({"parents": ((RELEASE, OTHER),)}, ALLOWED, ALLOWED),
        ({"parents": ((), (OTHER,))}, ALLOWED, DENIED),
        ({"signatures": (RELEASE,), "parents": ((OTHER,),)}, ALLOWED, DENIED),
        ({"signatures": (replace(RELEASE, signer="sha256:0"),)}, DENIED, DENIED),
        ({"signatures": (replace(RELEASE, expires=NOW),)}, DENIED, DENIED),
        ({"signatures": (replace(RELEASE, expires=NOW + SECOND),)}, ALLOWED, DENIED),
    ],
)
def test_one_signer_or_each_has_signed(given: dict[str, Any], any_of: str, all_of: str) -> None:
    assert decide(BOTH, **given).outcome == any_of
    assert decide(EACH, **given).outcome == all_of


def test_the_reason_names_the_signers_that_are_missing() -> None:
    assert decide(BOTH).reasons == ("it is not signed by release or other",)
    assert decide(EACH).reasons == ("it is not signed by release and other",)
    assert decide(EACH, signatures=(OTHER,)).reasons == ("it is not signed by release",)


ISSUER: Final = "https://issuer.example"


@pytest.mark.parametrize(
    ("required", "identity", "issuer", "outcome"),
    [
        ({"subject": "a@example.com"}, "a@example.com", ISSUER, ALLOWED),
        ({"subject": "a@example.com"}, "a@example.com", "https://issuer.example.evil", DENIED),
        ({"subject": "a@example.com"}, "A@example.com", ISSUER, DENIED),
        ({"subject": "a@example.com"}, "a@example.com", "", DENIED),
        ({"subject": "*@example.com"}, "a@example.com", ISSUER, DENIED),
        ({"subjectGlob": "*@example.com"}, "a@example.com", ISSUER, ALLOWED),
        ({"subjectGlob": "*@example.com"}, "a@example.com.evil", ISSUER, DENIED),
    ],
)
def test_an_identity_has_its_issuer(required: dict[str, str], identity: str, issuer: str, outcome: str) -> None:
    rule = policy(signatures={"identities": [{"issuer": ISSUER, **required}]})
    signature = Signature(signer="sha256:root", format="cosign-bundle", identity=identity, issuer=issuer)
    assert decide(rule, signatures=(signature,)).outcome == outcome


ALTERNATIVES: Final = [{"signatures": signatures("release")}, {"scan": MAXIMUM, "image": {"minAge": "2d"}}]


def test_one_of_several_alternatives_is_enough() -> None:
    rule = policy(anyOf=ALTERNATIVES)
    assert decide(rule, signatures=(RELEASE,), facts=None).outcome == ALLOWED
    assert decide(rule, first_seen=NOW - timedelta(days=3)).outcome == ALLOWED
    decision = decide(rule, facts=None)
    assert decision.reasons == (
        "none of 2 alternatives is fulfilled: it is not signed by release; or it is not scanned and it is in"
        " quarantine for 2d, until 2026-11-30T12:00:00+00:00",
    )


def test_alternatives_are_beside_the_other_requirements() -> None:
    rule = policy(anyOf=ALTERNATIVES, scan={"required": True})
    assert decide(rule, signatures=(RELEASE,), facts=None).reasons == ("it is not scanned",)


def test_audit_reports_and_does_not_refuse() -> None:
    decision = decide(policy(mode="audit", scan={"required": True}), facts=None)
    assert (decision.outcome, decision.refuses) == (AUDITED, False)
    assert decision.reasons


@pytest.mark.parametrize("principal", ["", "node", "robot+signers", "robot+signe", "*"])
def test_only_the_exempt_principal_is_exempt(principal: str) -> None:
    rule = policy(scan={"required": True}, exempt=["robot+signer"])
    assert decide(rule, principal, facts=None).outcome == DENIED
    exempted = decide(rule, "robot+signer", facts=None)
    assert (exempted.outcome, exempted.exemption) == (EXEMPTED, "robot+signer is exempt")
    assert decide(rule, "robot+signer").outcome == ALLOWED


@pytest.mark.parametrize(
    ("image", "outcome"),
    [
        (REPOSITORY, EXEMPTED),
        (f"{REPOSITORY}@{DIGEST}", EXEMPTED),
        (f"{REPOSITORY}@{OTHER_DIGEST}", DENIED),
        ("prod/app2", DENIED),
        ("prod", DENIED),
    ],
)
def test_an_exception_is_of_its_image(image: str, outcome: str) -> None:
    given = [{"image": image, "until": "2026-12-31", "reason": "legacy"}]
    assert decide(policy(scan={"required": True}, exceptions=given), facts=None).outcome == outcome


@pytest.mark.parametrize(
    ("until", "outcome"),
    [
        ("2026-11-29", EXEMPTED),
        ("2026-11-28", DENIED),
        (NOW.isoformat(), DENIED),
        ("2026-11-29T14:00:00+01:00", EXEMPTED),
    ],
)
def test_an_exception_ends(until: str, outcome: str) -> None:
    given = [{"image": REPOSITORY, "until": until, "reason": "legacy"}]
    assert decide(policy(scan={"required": True}, exceptions=given), facts=None).outcome == outcome


@pytest.mark.parametrize(
    ("name", "until", "outcome"),
    [("prod", NOW + SECOND, EXEMPTED), ("prod", NOW, DENIED), ("other", NOW + SECOND, DENIED)],
)
def test_an_opened_exception_is_of_its_policy_and_ends(name: str, until: Any, outcome: str) -> None:
    opened = OpenedException(policy=name, until=until, reason="incident 7", by="alice@example.com")
    decision = decide(policy(scan={"required": True}), facts=None, exceptions=(opened,))
    assert decision.outcome == outcome
    if outcome == EXEMPTED:
        assert decision.exemption.startswith("alice@example.com opened an exception")


MALFORMED: Final[dict[str, dict[str, Any]]] = {
    "counts that are no JSON": {"counts": "{"},
    "no counts": {"counts": ""},
    "counts of another form": {"counts": '{"high": 1}'},
    "counts of three": {"counts": '{"high": [1, 2, 3]}'},
    "findings that are no JSON": {"counts": '{"high": [1, 0]}', "content": b"["},
    "findings that are no list": {"counts": '{"high": [1, 0]}', "content": b'{"a": 1}'},
    "findings without an id": {"counts": '{"high": [1, 0]}', "content": b'[{"severity": "high"}]'},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_an_image_that_cannot_be_judged_is_what_the_policy_says(name: str) -> None:
    given = replace(facts(), **MALFORMED[name])
    denied = decide(policy(scan=MAXIMUM), facts=given)
    assert (denied.outcome, denied.is_error) == (DENIED, True)
    assert denied.reasons[0].startswith("the image cannot be judged: ")
    allowed = decide(policy(scan=MAXIMUM, onError="allow"), facts=given)
    assert (allowed.outcome, allowed.is_error) == (ALLOWED, True)
    assert decide(policy(scan=MAXIMUM, mode="audit"), facts=given).outcome == AUDITED
    assert decide(policy(scan=MAXIMUM, exempt=["node"]), facts=given).outcome == EXEMPTED


def test_evidence_that_cannot_be_read_does_not_pass() -> None:
    assert decide(policy(scan={"required": True}), unreadable="of a newer release").outcome == DENIED
    assert decide(policy(push={"maximumSize": "1GiB"}), unreadable="of a newer release").outcome == ALLOWED


def test_a_policy_of_pushes_alone_allows_each_pull() -> None:
    assert decide(policy(push={"maximumSize": "1GiB"}), facts=None).outcome == ALLOWED


def test_listed_findings_are_bounded() -> None:
    given = facts(*(finding(f"CVE-2026-{number}") for number in range(200)))
    decision = decide(policy(scan=MAXIMUM), facts=given)
    assert len(decision.findings) == 20
    assert decision.reasons[0].startswith("200 vulnerabilities")
