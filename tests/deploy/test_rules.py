"""Rules: globs, hosts, and the messages of what is not valid, by the check that runs without a cloud."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from deployer.__main__ import main
from deployer.rules import CloudRunTarget, GkeTarget, RulesError, parse
from tests.deploy.fake_cloud_deploy import PIPELINE
from tests.deploy.fake_cloud_run import SERVICE
from tests.deploy.google_world import HOST, MIRROR, TARGETS, digest, event, rules_of
from tests.support.documents import ROOT

EXAMPLE = ROOT / "terraform" / "examples" / "deploy-on-push" / "rules.json"


@pytest.mark.parametrize(
    ("repository", "tag", "matches"),
    [
        ("team-a/app", "prod", True),
        ("team-a/*", "prod", True),
        ("*", "*", True),
        ("team-a/app", "pro*", True),
        ("*app", "*rod", True),
        ("team-*pp", "p*o*d", True),
        ("team-a", "prod", False),
        ("team-a/ap", "prod", False),
        ("team-a/app", "prod2", False),
        ("team-a/app", "PROD", False),
        ("team-a/app.", "prod", False),
        ("team-a.app", "prod", False),
        ("eam-a/app", "prod", False),
        ("team-a/app-*", "prod", False),
        ("team-a/*/app", "prod", False),
        ("*a*a*a*a*a*a*a*a*a*a*z", "*", False),
    ],
)
def test_globs(repository: str, tag: str, matches: bool) -> None:
    rules = rules_of("cloud_run", repository=repository, tag=tag)
    assert rules.targets_of(event(1)) == ((CloudRunTarget(SERVICE),) if matches else ())


def test_all_rules_that_match_apply_and_a_target_once() -> None:
    kinds = ("cloud_run", "gke", "cloud_run")
    assert [type(each) for each in rules_of(*kinds).targets_of(event(1))] == [CloudRunTarget, GkeTarget]


@pytest.mark.parametrize(
    ("hosts", "pulled"),
    [
        ({}, HOST),
        ({"*": MIRROR}, MIRROR),
        ({"*": f"{MIRROR}/"}, MIRROR),
        ({HOST: MIRROR}, MIRROR),
        ({HOST: MIRROR, "*": "other"}, MIRROR),
        ({HOST: HOST}, HOST),
    ],
)
def test_hosts(hosts: dict[str, str], pulled: str) -> None:
    rules = parse(json.dumps({"hosts": hosts, "rules": []}))
    assert rules.image_of(event(1)) == f"{pulled}/team-a/app@{digest(1)}"


def test_a_glob_does_not_match_a_name_that_only_begins_alike() -> None:
    rules = rules_of("cloud_run", repository="team-a/app")
    for repository in ("team-a/app-evil", "team-a/app/evil", "evil/team-a/app", "team-a/apps"):
        assert rules.targets_of(event(1, target=repository)) == ()
    assert rules_of("cloud_run", repository="team-a/*").targets_of(event(1, target="team-a-evil/app")) == ()


@pytest.mark.parametrize(
    ("hosts", "known"),
    [({}, True), ({"*": MIRROR}, True), ({HOST: MIRROR}, True), ({"other.example.com": MIRROR}, False)],
)
def test_another_registry_deploys_nothing_where_hosts_are_named(hosts: dict[str, str], known: bool) -> None:
    entry = {"repository": "*", "tag": "*", "gke": TARGETS["gke"]}
    rules = parse(json.dumps({"hosts": hosts, "rules": [entry]}))
    assert (rules.knows(HOST), len(rules.targets_of(event(1)))) == (known, int(known))


def with_rule(**changes: Any) -> dict[str, Any]:
    rule = {"repository": "a", "tag": "b", "gke": TARGETS["gke"], **changes}
    return {"rules": [{name: value for name, value in rule.items() if value is not None}]}


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ([], 'the file must be an object with a list "rules"'),
        ({"rules": {}}, 'the file must be an object with a list "rules"'),
        ({"rules": [], "rule": 1}, 'the file: "rule" is not known; known are hosts, rules'),
        ({"rules": [], "hosts": []}, '"hosts" must be an object'),
        ({"rules": [], "hosts": {"a": "https://b"}}, 'hosts: "a" must be a host or *, and its value HOST/PATH'),
        ({"rules": [], "hosts": {"a/b": "c"}}, 'hosts: "a/b" must be a host or *'),
        ({"rules": [], "hosts": {"\u0430": "c"}}, 'hosts: "\u0430" must be a host or *'),
        ({"rules": [1]}, "rule 1 must be an object"),
        (with_rule(repository=None), 'rule 1: "repository" must be a glob'),
        (with_rule(tag=3), 'rule 1: "tag" must be a glob'),
        (with_rule(tag="a b"), 'rule 1: "tag" must be a glob'),
        (with_rule(branch="main"), 'rule 1: "branch" is not known'),
        (with_rule(gke=None), "rule 1 must have one of cloud_run, gke, cloud_deploy"),
        (with_rule(cloud_deploy=TARGETS["cloud_deploy"]), "rule 1 must have one of"),
        (with_rule(gke=[]), "rule 1, gke must be an object"),
        (with_rule(gke={}), 'rule 1, gke: "cluster" is missing: projects/PROJECT/locations/LOCATION/clusters/NAME'),
        (with_rule(gke={**TARGETS["gke"], "pod": "x"}), 'rule 1, gke: "pod" is not known'),
        (with_rule(gke={**TARGETS["gke"], "deployment": "a/b"}), '"deployment" must be the name of a Deployment'),
        (with_rule(gke=None, cloud_run={"service": "app"}), '"service" must be projects/PROJECT/locations/REGION/'),
        (with_rule(gke=None, cloud_run=TARGETS["cloud_run"]), "rule 1: Cloud Run pulls only from Google's"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    document: Any, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(document))
    assert main([str(file)]) == 1
    assert fault in capsys.readouterr().err


@pytest.mark.parametrize(
    ("repository", "tag", "changes", "collide"),
    [
        ("team-a/app", "v1", {"image": "web"}, True),
        ("team-a/app", "v1", {"skaffold": "gs://b/other.tar.gz"}, True),
        ("team-a/app", "v1", {"rollout": "test"}, False),
        ("*/app", "*1", {"image": "web"}, True),
        ("team-b/*", "v1", {"image": "web"}, False),
        ("team-a/*", "w*", {"image": "web"}, False),
        ("team-a/*", "*w*", {"image": "web"}, True),
        ("team-a/*b", "v1", {"image": "web"}, False),
        ("team-a/app", "v1", {"image": "web", "pipeline": PIPELINE + "-2"}, False),
    ],
)
def test_one_event_has_one_release_of_a_pipeline(
    repository: str, tag: str, changes: dict[str, str], collide: bool
) -> None:
    """The second one would have the name of the first, and so would not be created, without an error."""
    first, second = TARGETS["cloud_deploy"], {**TARGETS["cloud_deploy"], **changes}
    rules = [
        {"repository": "team-a/app", "tag": "v*", "cloud_deploy": first},
        {"repository": repository, "tag": tag, "cloud_deploy": second},
    ]
    for order in (rules, rules[::-1]):
        with pytest.raises(RulesError, match="rules 1 and 2") if collide else contextlib.nullcontext():
            parse(json.dumps({"rules": order}))


def test_all_faults_are_said_at_once() -> None:
    with pytest.raises(RulesError) as caught:
        parse(json.dumps({"rules": [{}, {"repository": "a", "tag": "b"}]}))
    assert len(str(caught.value).splitlines()) == 4


def test_a_file_that_is_missing_or_no_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none")]) == 1
    (tmp_path / "bad").write_text("{")
    assert main([str(tmp_path / "bad")]) == 1
    assert "the rules are not JSON" in capsys.readouterr().err


def test_the_check_shows_what_a_push_would_deploy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(EXAMPLE), f"{HOST}/team-a/app:prod", f"{HOST}/team-a/app:dev", "app"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        "docker.pkg.dev/my-project/lading/team-a/app@DIGEST → CloudRunTarget(service='projects/my-project" in lines[1]
    )
    assert lines[2] == f"{HOST}/team-a/app:dev: no rule matches"
    assert lines[3] == "app: not HOST/REPOSITORY:TAG"


def test_the_check_names_a_host_that_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"hosts": {HOST: MIRROR}, "rules": []}))
    assert main([str(file), f"{HOST}/a:b", "evil.example.com/a:b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        f"{HOST}/a:b: no rule matches",
        "evil.example.com/a:b: evil.example.com is not in the rules' `hosts`",
    ]
