"""What policies may say, and how each mistake is named."""

import re
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from lading.policies.field_kinds import PolicyError
from lading.policies.policy_json import MAX_SIZE, policies_of, policies_text, values_of
from lading.signatures.public_keys import fingerprint, load_key
from tests.policies.examples import FULL, KEYS, table


def test_each_field_is_read() -> None:
    (policy,) = policies_of(policies_text([FULL]))
    assert policy.requirements.scan is not None
    assert policy.requirements.scan.allowed_cves[0].until == datetime(2027, 2, 1, tzinfo=UTC)
    assert policy.exceptions[0].until == datetime(2027, 1, 31, 11, tzinfo=UTC)
    assert policy.push is not None
    assert policy.push.maximum_size == 2 * 2**30
    (requirement,) = policy.signature_requirements()
    assert [each.name for each in requirement.signers] == [
        "release",
        "other",
        "a@example.com (https://issuer.example)",
        "builds",
    ]
    assert requirement.keys[0].fingerprint == fingerprint(load_key(KEYS["release"].encode()))


MISTAKES: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "an unknown field": ({"scna": {}}, "policies[0] (prod) has no field 'scna'; did you mean scan?"),
    "one of Python": ({"any_of": []}, "did you mean anyOf?"),
    "an unknown field below": ({"scan": {"maxage": "1d"}}, "(prod).scan has no field 'maxage'; did you mean maxAge?"),
    "nothing": ({"scan": None}, "policies[0] (prod).scan is a table"),
    "an empty scan": ({"scan": {}}, "it requires nothing; set required = true"),
    "a scan that is not required": ({"scan": {"required": False, "maxAge": "1d"}}, "required = false means nothing"),
    "exceptions of no maximum": (
        {"scan": {"required": True, "allowedCves": [{"id": "CVE-1", "until": "2027-01-31", "reason": "x"}]}},
        "allowedCves are exceptions of a maximum",
    ),
    "a severity in upper case": ({"scan": {"maximumFixableSeverity": "HIGH"}}, "not 'HIGH'; did you mean high?"),
    "a severity of Google": ({"scan": {"maximumFixableSeverity": "BLOCK_ALL"}}, "did you mean none?"),
    "a severity that is none": ({"scan": {"maximumFixableSeverity": "unknown"}}, "did you mean low?"),
    "a duration of months": ({"scan": {"maxAge": "1M"}}, "maxAge is a duration such as 7d"),
    "no duration": ({"scan": {"maxAge": "0d"}}, "maxAge is a duration"),
    "a duration that is a number": ({"scan": {"maxAge": 7}}, "maxAge is a duration"),
    "a duration of millennia": ({"scan": {"maxAge": "999999d"}}, "of at most 36500d"),
    "an exception without an end": (
        {"exceptions": [{"image": "prod/x", "reason": "x"}], "scan": {"required": True}},
        "exceptions[0] needs until",
    ),
    "an exception without a reason": (
        {"exceptions": [{"image": "prod/x", "until": "2027-01-31"}], "scan": {"required": True}},
        "exceptions[0] needs reason",
    ),
    "an empty reason": (
        {"exceptions": [{"image": "prod/x", "until": "2027-01-31", "reason": " "}], "scan": {"required": True}},
        "reason is text of one line",
    ),
    "a time without a zone": (
        {"exceptions": [{"image": "prod/x", "until": "2027-01-31T12:00:00", "reason": "x"}]},
        "a time with its zone",
    ),
    "an exception of a glob": (
        {"exceptions": [{"image": "prod/*", "until": "2027-01-31", "reason": "x"}], "scan": {"required": True}},
        "image is REPOSITORY or REPOSITORY@DIGEST",
    ),
    "the same exception twice": (
        {"exceptions": [{"image": "prod/x", "until": "2027-01-31", "reason": "x"}] * 2, "scan": {"required": True}},
        "exceptions[1] is there twice",
    ),
    "no signers": ({"signatures": {"allOf": True}}, "it needs keys, certificates or identities"),
    "a key without its content": ({"signatures": {"keys": [{"name": "x"}]}}, "it needs pem or file"),
    "a key that is no PEM": ({"signatures": {"keys": [{"name": "x", "pem": "x"}]}}, "is one PUBLIC KEY as PEM"),
    "the same key twice": (
        {"signatures": {"keys": [{"name": name, "pem": KEYS["release"]} for name in "ab"]}},
        "keys[1] is there twice",
    ),
    "two signers of one name": (
        {"signatures": {"keys": [{"name": "a", "pem": KEYS[each]} for each in KEYS]}},
        "two signers have the same name",
    ),
    "an identity of anyone": (
        {"signatures": {"identities": [{"issuer": "https://x.example", "subjectGlob": "**"}]}},
        "it would match every identity of the issuer",
    ),
    "an issuer without TLS": (
        {"signatures": {"identities": [{"issuer": "http://x.example", "subject": "a"}]}},
        "issuer is the https URL",
    ),
    "an identity without a subject": (
        {"signatures": {"identities": [{"issuer": "https://x.example"}]}},
        "it needs subject or subjectGlob",
    ),
    "an empty alternative": ({"anyOf": [{}]}, "one that needs nothing is always fulfilled"),
    "exempt is all": ({"exempt": ["*"], "scan": {"required": True}}, "* is not one principal"),
    "exempt is a domain": ({"exempt": ["*@example.com"], "scan": {"required": True}}, "is not one principal"),
    "exempt is anonymous": ({"exempt": ["allUsers"], "scan": {"required": True}}, "is not one principal"),
    "exempt is empty": ({"exempt": [""], "scan": {"required": True}}, "is the name of a principal"),
    "a policy of nothing": ({}, "it requires nothing; it needs signatures, scan, image, anyOf or push"),
    "tags without requirements": ({"tags": ["v*"], "push": {"maximumSize": "1GiB"}}, "tags and gateRollback are about"),
    "no repositories": ({"repositories": [], "scan": {"required": True}}, "repositories is a list of 1 to 100"),
    "exceptions of repositories only": ({"repositories": ["!x"], "scan": {"required": True}}, "names nothing"),
    "a repository twice": ({"repositories": ["x", "x"], "scan": {"required": True}}, "repositories[1] is there twice"),
    "a name with capitals": ({"name": "Prod", "scan": {"required": True}}, "name is a name of lower-case letters"),
    "a mode of others": ({"mode": "warn", "scan": {"required": True}}, "mode is one of enforce, audit, not 'warn'"),
    "an age that is none": ({"image": {"minAge": "2d", "maxAge": "1d"}}, "no image is older than minAge"),
    "a push of nothing": ({"push": {}}, "it needs mediaTypes, requiredLabels or maximumSize"),
    "a size without a unit": ({"push": {"maximumSize": "100"}}, "maximumSize is a size such as 500MiB"),
    "a flag that is a text": ({"gateRollback": "yes", "scan": {"required": True}}, "gateRollback is true or false"),
    "a file in a rule": ({"signatures": {"keys": [{"name": "x", "file": "x"}]}}, "has no field 'file'"),
    "control characters": ({"exempt": ["a\nb"], "scan": {"required": True}}, "is the name of a principal"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name: str) -> None:
    fields, message = MISTAKES[name]
    with pytest.raises(PolicyError) as refused:
        policies_text([table(**fields)])
    assert message in str(refused.value)
    assert str(refused.value).isprintable()


def test_two_policies_have_two_names() -> None:
    with pytest.raises(PolicyError, match=r"policies\[1\] is there twice"):
        policies_text([table(scan={"required": True})] * 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"version": 2, "policies": []}', "have version 2, and this release reads version 1"),
        ('{"version": 1, "rules": []}', "have no field 'rules'"),
        ('{"policies": {}}', "a list of tables"),
        ('[{"name": "a", "name": "b"}]', "a name twice"),
    ],
)
def test_what_is_stored_is_read_as_strictly(text: str, message: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(message)):
        policies_of(text)


def test_policies_are_sorted_and_stay_the_same() -> None:
    values = [table(name=name, scan={"required": True}) for name in ("b", "a")]
    text = policies_text(values)
    assert [each.name for each in policies_of(text)] == ["a", "b"]
    assert policies_text(values_of(text)) == text
    assert policies_of("") == ()
    assert policies_text([]) == ""


def test_policies_of_a_namespace_have_names_of_their_own() -> None:
    text = policies_text([table(scan={"required": True})])
    assert [each.name for each in policies_of(text, "team")] == ["team/prod"]


def test_the_size_of_policies_is_limited() -> None:
    reasons = [{"id": f"CVE-{number}", "until": "2027-01-31", "reason": "x" * 280} for number in range(300)]
    scan = {"maximumFixableSeverity": "low", "allowedCves": reasons}
    with pytest.raises(PolicyError, match=f"more than {MAX_SIZE}"):
        policies_text([table(scan=scan)])
