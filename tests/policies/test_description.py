"""What policies and their refusals say to people."""

from typing import Any, Final

import pytest

from lading.policies.denial import MAX_LINE, denial_detail, denial_line
from lading.policies.description import description, warnings
from lading.policies.evidence import ALLOWED, DENIED, Decision
from lading.policies.policy_json import policies_of, policies_text
from tests.policies.examples import DIGEST, FULL, NOW, signatures, table


def test_a_policy_is_described_in_sentences() -> None:
    (policy,) = policies_of(policies_text([FULL]))
    text = description(policy)
    assert text.startswith("Images of prod/*, and moves of the tags v* and latest there, are refused unless: signed by")
    for each in ("scanned at most 7d ago", "with a fix worse than medium", "at least 1h ago", "2147483648 bytes"):
        assert each in text
    assert [each.partition(",")[0] for each in warnings(policy, NOW)] == [
        'with onError = "allow"',
        "blockKnownExploited needs CISA's catalog",
    ]


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ({"mode": "audit", "scan": {"required": True}}, "it only reports, and refuses nothing"),
        ({"signatures": signatures("release")}, "no principal is exempt"),
        ({"scan": {"required": True}, "exempt": ["robot$signer"]}, "robot$signer is no robot of this registry"),
        ({"scan": {"required": True}, "breakGlass": ["robot$ops"]}, "robot$ops is no robot of this registry"),
        (
            {
                "scan": {"required": True},
                "exceptions": [{"image": "other/x", "until": "2027-01-31", "reason": "x"}],
            },
            "the exception of other/x is of no repository that the policy names",
        ),
        ({"scan": {"maxAge": "1d"}}, "images are compared once a day, or somewhat later: with a scan.maxAge of 1d one"),
        ({"scan": {"blockKnownExploited": True}}, "blockKnownExploited needs CISA's catalog"),
        *(
            (
                {"scan": {"required": True}, "exceptions": [{"image": "prod/x", "until": until, "reason": "x"}]},
                f"the exception of prod/x {warning}",
            )
            for until, warning in (
                ("2026-11-01", "ended at"),
                ("2026-12-05", "ends in 6 days"),
                ("2030-01-01", "lasts"),
            )
        ),
    ],
)
def test_a_warning_says_what_to_know(fields: dict[str, Any], warning: str) -> None:
    (policy,) = policies_of(policies_text([table(**fields)]))
    (found,) = warnings(policy, NOW)
    assert found.startswith(warning)


REFUSAL: Final = Decision(policy="prod", outcome=DENIED, reasons=("it is not signed by release", "it has no SBOM"))


def test_a_denial_is_one_line_with_the_next_step() -> None:
    line = denial_line([Decision(policy="base", outcome=ALLOWED), REFUSAL], "prod/app:v1")
    assert line == "policy prod: it is not signed by release; it has no SBOM; ask: lading why prod/app:v1"
    assert denial_line([REFUSAL, REFUSAL], "prod/app:v1").endswith(" (and 1 more policy); ask: lading why prod/app:v1")
    assert denial_detail([Decision(policy="base", outcome=ALLOWED), REFUSAL]) == {
        "policies": [{"policy": "prod", "reasons": ["it is not signed by release", "it has no SBOM"]}]
    }


def test_a_reason_is_whole_or_only_counted() -> None:
    worst = "1 vulnerability with a fix is worse than medium (CVE-2026-0001 (critical) in openssl 3.0, fixed in 3.1)"
    decision = Decision(policy="prod", outcome=DENIED, reasons=("it is not signed by release", worst, worst))

    line = denial_line([decision], f"prod/app@{DIGEST}")

    assert line == (
        f"policy prod: it is not signed by release; {worst}; and 1 more reason; ask: lading why prod/app@{DIGEST}"
    )
    assert denial_line([REFUSAL], "prod/app:v1", "").endswith("it has no SBOM")
    assert denial_line([REFUSAL], "prod/app:v1", "do that").endswith("it has no SBOM; do that")


@pytest.mark.parametrize("reference", ["a:v1", f"{'a' * 100}@{DIGEST}", f"{'a' * 255}@{DIGEST}"])
@pytest.mark.parametrize("reason", ["x" * 1_000, "\x1b[31m\n" * 100, "short"])
def test_a_denial_is_printable_and_not_long(reference: str, reason: str) -> None:
    line = denial_line([Decision(policy="p" * 40, outcome=DENIED, reasons=(reason,))], reference)
    assert len(line) <= MAX_LINE
    assert line.isprintable()
    assert line.isascii(), "else a header has another text than the response"
    assert "; ask: lading why" in line
