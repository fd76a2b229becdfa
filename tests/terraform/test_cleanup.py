"""The module takes the clean-up policies that the program takes, and refuses those that it refuses."""

import json
import shutil
from typing import Any, Final

import pytest

from lading.registry.cleanup.policy_json import PolicyError, parse_policies
from tests.terraform.terraform_cli import ROOT, Terraform

DELETE: Final = {"type": "Delete"}
KEEP: Final = {"type": "Keep"}


def policy(**fields: Any) -> Any:
    return [{"name": "p", "action": DELETE, "condition": {"olderThan": "30d"}, **fields}]


def when(**condition: Any) -> Any:
    return policy(condition=condition)


def recent(**fields: Any) -> Any:
    return [{"name": "p", "action": KEEP, "mostRecentVersions": fields}]


TIMES: Final = (
    *(
        "30d",
        "12h",
        "1d12h",
        "2592000s",
        "2592000.0s",
        "P30D",
        "P1M",
        "p1y2m3w4dt5h6m7s",
        "P1DT1H",
        "P1D1H",
        "1y1w",
        "T5m",
    ),
    *("P5S", "5m", "1dT5m", "0s", "", "P", "T", "d", "30", "30x", "30d ", "-1d", "1d1d", "1h1d", "P5", "PT", "1.5.5d"),
    *("P1H1D", "1Y1M", "5m1h", "P1DT", "1234567890123d"),
)

CASES: Final = (
    [],
    policy(),
    policy(action=KEEP),
    policy(action="DELETE"),
    policy(action="keep"),
    policy(action={"type": "delete"}),
    policy(action="Remove"),
    policy(action={"type": "Delete", "more": 1}),
    policy(action=None),
    [{"name": "p", "condition": {"olderThan": "1d"}}],
    policy(name=""),
    [{"action": DELETE, "condition": {"olderThan": "1d"}}],
    [*policy(), *policy(action=KEEP)],
    [*policy(), *recent(keepCount=3)],
    [*policy(), {"name": "q", "action": KEEP, "mostRecentVersions": {"keepCount": 3}}],
    policy(priority=1),
    policy(condition=None),
    policy(mostRecentVersions={"keepCount": 1}),
    policy(action=KEEP, condition=None, mostRecentVersions={"keepCount": 1}),
    policy(condition=None, mostRecentVersions={"keepCount": 1}),
    policy(immutableTags=True),
    policy(immutableTags=False),
    policy(immutableTags="true"),
    policy(action=KEEP, immutableTags=True),
    when(),
    when(tagState="any"),
    when(tagState="ANY"),
    when(tagState="Tagged"),
    when(tagState="untagged", olderThan="1d"),
    when(tagState="TAG_STATE_UNSPECIFIED"),
    when(tagState="tag_state_unspecified"),
    when(tagState="some"),
    when(tagState=1),
    when(tagState=None),
    when(oldrThan="1d"),
    when(olderThan=30),
    when(olderThan=None),
    when(olderThan="1d", newerThan="12h", moreStaleThan="1w"),
    when(tagPrefixes=["a", "b"]),
    when(tagPrefixes="a"),
    when(tagPrefixes=[""]),
    when(tagPrefixes=[1]),
    when(tagPrefixes=[]),
    when(tagPrefixes=[], olderThan="1d"),
    when(tagGlobs=[], olderThan="1d"),
    when(tagGlobs=['*-"x"', "a\\b"]),
    when(repositoryGlobs=["team-*/**"], versionNamePrefixes=["sha256:"], packageNamePrefixes=["a"]),
    policy(action=KEEP, condition={}),
    recent(keepCount=10, packageNamePrefixes=["a"], tagGlobs=["v*"]),
    recent(keepCount=0),
    recent(keepCount="10"),
    recent(keepCount=1.5),
    recent(keepCount=10, tagPrefixes=["v"]),
    recent(packageNamePrefixes=["a"]),
    [{**policy()[0], "name": f"p{number}"} for number in range(101)],
    *(when(olderThan=time) for time in TIMES),
)


def taken(case: Any) -> bool:
    try:
        parse_policies(json.dumps(case))
    except PolicyError:
        return False
    return True


@pytest.fixture(scope="module")
def faults(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """What the module says of each case."""
    root = tmp_path_factory.mktemp("cleanup")
    (root / "module").mkdir()
    shutil.copy(ROOT / "terraform" / "cleanup.tf", root / "module")
    (root / "module" / "more.tf").write_text(
        'variable "cleanup" { type = any }\noutput "faults" { value = local.cleanup_faults }\n'
    )
    modules = {
        f"case_{number}": {"source": "./module", "cleanup": f'${{jsondecode(file("{number}.json"))}}'}
        for number in range(len(CASES))
    }
    outputs = {"faults": {"value": [f"${{module.{name}.faults}}" for name in modules]}}
    (root / "main.tf.json").write_text(json.dumps({"module": modules, "output": outputs}))
    for number, case in enumerate(CASES):
        (root / f"{number}.json").write_text(json.dumps(case))
    terraform.init(root)
    terraform.run(root, "apply", "-auto-approve", "-input=false", "-no-color")
    found: list[list[str]] = json.loads(terraform.run(root, "output", "-json", "faults").stdout)
    return found


def test_the_plan_refuses_what_the_collector_would(faults: list[list[str]]) -> None:
    assert len(faults) == len(CASES)
    differ = [(case, said) for case, said in zip(CASES, faults, strict=True) if taken(case) == bool(said)]
    assert differ == []


def test_a_fault_names_its_policy(faults: list[list[str]]) -> None:
    number = CASES.index(when(oldrThan="1d"))
    assert faults[number][0] == "policy p has an unknown condition: oldrThan"
