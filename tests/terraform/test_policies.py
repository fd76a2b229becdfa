"""The module takes the policies of images that the program takes, and refuses those that it refuses."""

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import pytest

from lading.policies.field_kinds import PolicyError, Several, Table
from lading.policies.policy_fields import POLICY
from lading.policies.policy_json import policies_text
from tests.policies.certificates import certificate
from tests.policies.examples import FULL, KEYS, signatures, table
from tests.policies.mistakes import MISTAKES
from tests.terraform.terraform_cli import ROOT, Terraform

SCAN: Final = {"required": True}
CA: Final = {"name": "ca", "pem": certificate(timedelta(0), timedelta(days=1)), "subject": "CN=a"}

GOOD: Final[dict[str, list[Any]]] = {
    "none": [],
    "each field": [FULL],
    "certificates": [table(signatures={"certificates": [CA]})],
    "several": [table(name=name, scan=SCAN) for name in "abc"],
    "exceptions of repositories": [table(repositories=["!x", "*", "!y/*"], tags=["!a", "v*"], scan=SCAN)],
    "a push": [table(push={"maximumSize": "2GiB"})],
    "alternatives of other forms": [table(anyOf=[{"scan": SCAN}, {"signatures": signatures("release")}])],
    **{
        f"until {until}": [table(scan=SCAN, exceptions=[{"image": "prod/x", "until": until, "reason": "x"}])]
        for until in ("2027-01-31", "2027-01-31T12:00Z", "2027-01-31T12:00:00+01:00")
    },
}

BY_THE_INSTANCE: Final = {
    "exceptions of no maximum",
    "a duration of millennia",
    "an empty reason",
    "the same exception twice",
    "the same key twice",
    "two signers of one name",
    "an identity of anyone",
    "exempt is anonymous",
    "tags without requirements",
    "a repository twice",
    "an age that is none",
}
"""Mistakes that only the instance finds; of an age, the module does not know which one is longer."""

BAD: Final[dict[str, list[Any]]] = {
    **{name: [table(**fields)] for name, (fields, _) in MISTAKES.items() if name not in BY_THE_INSTANCE},
    "two of one name": [table(scan=SCAN)] * 2,
    "a private key": [table(signatures={"keys": [{"name": "x", "pem": KEYS["release"].replace("PUBLIC", "PRIVATE")}]})],
    "a mistake in an alternative": [table(anyOf=[{"scan": {"maximum": "high"}}])],
    "too many": [table(name=f"p{number}", scan=SCAN) for number in range(101)],
}

CASES: Final = {**GOOD, **BAD}


def is_taken(policies: list[Any]) -> bool:
    try:
        policies_text(policies)
    except PolicyError:
        return False
    return True


@pytest.fixture(scope="module")
def outputs(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the module says of each case, and which fields it knows."""
    root = tmp_path_factory.mktemp("policies")
    (root / "module").mkdir()
    shutil.copy(ROOT / "terraform" / "image_policies.tf", root / "module")
    (root / "module" / "more.tf").write_text(
        'variable "policies" { type = any }\noutput "faults" { value = local.policy_faults }\n'
        'output "fields" { value = local.policy_fields }\n'
    )
    modules = {
        f"case_{number}": {"source": "./module", "policies": f'${{jsondecode(file("{number}.json"))}}'}
        for number in range(len(CASES))
    }
    faults = [f"${{module.{name}.faults}}" for name in modules]
    value = {"value": {"faults": faults, "fields": "${module.case_0.fields}"}}
    (root / "main.tf.json").write_text(json.dumps({"module": modules, "output": {"all": value}}))
    for number, case in enumerate(CASES.values()):
        (root / f"{number}.json").write_text(json.dumps(case))
    terraform.init(root)
    terraform.run(root, "apply", "-auto-approve", "-input=false", "-no-color")
    return json.loads(terraform.run(root, "output", "-json", "all").stdout)


def test_the_plan_refuses_what_the_registry_would(outputs: Any) -> None:
    said = dict(zip(CASES, outputs["faults"], strict=True))
    assert {name for name, faults in said.items() if faults} == BAD.keys()
    assert {name for name, case in CASES.items() if not is_taken(case)} == BAD.keys()
    assert said["an unknown field below"][0].startswith("policy prod, scan: there is no maxage; there are allowedCves")


def test_what_the_plan_takes_the_instance_refuses() -> None:
    assert MISTAKES.keys() >= BY_THE_INSTANCE


def fields_of(kind: Table, name: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the fields of a table and of those in it, by the name of the field that contains it."""
    yield name, {each.key for each in kind.fields}
    for each in kind.fields:
        inner = each.kind.kind if isinstance(each.kind, Several) else each.kind
        if isinstance(inner, Table):
            yield from fields_of(inner, each.key)


def test_the_plan_knows_the_fields_of_the_program(outputs: Any) -> None:
    names = {
        "anyOf": "alternative",
        "keys": "key",
        "certificates": "certificate",
        "identities": "identity",
        "allowedCves": "cve",
        "exceptions": "exception",
    }
    fields = {names.get(name, name): keys for name, keys in fields_of(POLICY, "policy")}
    assert {name: set(keys) for name, keys in outputs["fields"].items()} == fields
