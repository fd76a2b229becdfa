"""What policies may say, and how each mistake is named."""

import re
from datetime import UTC, datetime

import pytest

from lading.policies.field_kinds import PolicyError
from lading.policies.policy_json import MAX_SIZE, policies_of, policies_text, values_of
from lading.signatures.public_keys import fingerprint, load_key
from tests.policies.examples import FULL, KEYS, table
from tests.policies.mistakes import MISTAKES


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
        ('{"version": 1, "rules": []}', "there is no field 'rules'"),
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
