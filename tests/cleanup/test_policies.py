"""Files of policies: what Artifact Registry takes is taken, and unknown fields are refused by name and place."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lading.registry.cleanup.policies import Condition, Policy, TagState, Version
from lading.registry.cleanup.policy_json import MAX_POLICIES, PolicyError, parse_duration, parse_policies

PAGE = Path(__file__).parents[2] / "docs" / "clean-up.md"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def one(**fields: Any) -> Policy:
    """The policy of a file that holds it alone."""
    (policy,) = parse_policies(json.dumps([{"name": "p", "action": {"type": "Delete"}} | fields]))
    return policy


def version(*tags: str, age: timedelta = DAY, used: timedelta | None = None, attached: tuple[str, ...] = ()) -> Version:
    return Version("sha256:" + "ab" * 32, tags, attached, NOW - age, NOW - (age if used is None else used))


def test_a_file_for_artifact_registry_is_taken_as_it_is() -> None:
    text = """[
      {"name": "delete-prerelease", "action": {"type": "Delete"},
       "condition": {"tagState": "tagged", "tagPrefixes": ["alpha", "v0"], "olderThan": "2592000s"}},
      {"name": "keep-tagged-release", "action": {"type": "Keep"},
       "condition": {"tagState": "TAGGED", "tagPrefixes": ["release"], "packageNamePrefixes": ["webapp", "mobile"]}},
      {"name": "keep-minimum-versions", "action": {"type": "Keep"},
       "mostRecentVersions": {"packageNamePrefixes": ["webapp", "mobile", "sandbox"], "keepCount": 5}}
    ]"""
    assert parse_policies(text) == (
        Policy("delete-prerelease", True, Condition(TagState.TAGGED, ("alpha", "v0"), older_than=30 * DAY)),
        Policy(
            "keep-tagged-release",
            False,
            Condition(TagState.TAGGED, ("release",), package_prefixes=("webapp", "mobile")),
        ),
        Policy(
            "keep-minimum-versions",
            False,
            Condition(package_prefixes=("webapp", "mobile", "sandbox")),
            keep_count=5,
        ),
    )


def test_the_file_that_the_page_shows_is_taken() -> None:
    (shown,) = re.findall(r"```json\n(\[.*?)```", PAGE.read_text(), re.DOTALL)
    assert [policy.name for policy in parse_policies(shown)] == ["old", "ten"]


def test_what_the_api_gives_back_is_taken_as_well() -> None:
    text = """{
      "old": {"id": "old", "action": "DELETE", "condition": {"tagState": "UNTAGGED", "olderThan": "2592000.0s"}},
      "ten": {"id": "ten", "action": "KEEP", "condition": null, "mostRecentVersions": {"keepCount": 10}}
    }"""
    assert parse_policies(text) == (
        Policy("old", True, Condition(TagState.UNTAGGED, older_than=30 * DAY)),
        Policy("ten", False, Condition(), keep_count=10),
    )


def test_an_empty_list_of_artifact_registry_s_is_none() -> None:
    condition = {"tagState": "any", "tagPrefixes": [], "versionNamePrefixes": [], "packageNamePrefixes": []}
    assert one(condition=condition).condition == Condition()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", 30 * DAY),
        ("12h", timedelta(hours=12)),
        ("90m", timedelta(minutes=90)),
        ("2592000s", 30 * DAY),
        ("2592000.0s", 30 * DAY),
        ("0.5s", timedelta(seconds=0.5)),
        ("1d12h", timedelta(days=1, hours=12)),
        ("2w", 14 * DAY),
        ("P30D", 30 * DAY),
        ("PT36H", timedelta(hours=36)),
        ("P36H", timedelta(hours=36)),
        ("PT5M", timedelta(minutes=5)),
        ("T5M", timedelta(minutes=5)),
        ("P1H5M", timedelta(hours=1, minutes=5)),
        ("P1M", timedelta(seconds=2_629_743.84)),
        ("p3m", timedelta(seconds=7_889_231.52)),
        ("P1Y6MT1M", timedelta(seconds=18 * 2_629_743.84 + 60)),
    ],
)
def test_times_are_those_of_gcloud(text: str, expected: timedelta) -> None:
    assert parse_duration(text, "here") == expected


@pytest.mark.parametrize(
    "text", ["", "30", "d", "P", "PT", "P1D5M", "-3d", "1 d", "3x", "1h1d", "99999999999y", None, 30, ["30d"]]
)
def test_what_is_no_time_is_refused(text: Any) -> None:
    with pytest.raises(PolicyError, match="here"):
        parse_duration(text, "here")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("3", "a list"),
        ('[{"name": "a", "name": "b"}]', "twice"),
        ("[" * 100_000, "not JSON"),
        ("[3]", "policy 1 is not an object with a name"),
        ('[{"action": {"type": "Keep"}}]', "policy 1 is not an object with a name"),
        ('{"a": {"id": "b", "action": "KEEP", "condition": {}}}', "with the id 'a'"),
        (json.dumps([{"name": "a"}] * (MAX_POLICIES + 1)), "at most"),
        (json.dumps([{"name": "a", "action": "KEEP", "condition": {}}] * 2), "two policies are named 'a'"),
    ],
)
def test_what_is_no_list_of_policies_is_refused(text: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        parse_policies(text)


RECENT = {"keepCount": 3}
ANY = {"tagState": "any"}
KEEP = {"type": "Keep"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"condition": {"olderThen": "3d"}}, "policy 'p', condition: unknown field 'olderThen'"),
        ({"conditions": {}}, "policy 'p': unknown field 'conditions'"),
        ({"condition": {"versionAge": "3d"}}, "unknown field 'versionAge'"),
        ({"action": KEEP, "mostRecentVersions": {"keepcount": 3}}, "mostRecentVersions: unknown field 'keepcount'"),
        ({"action": KEEP, "mostRecentVersions": RECENT | {"olderThan": "3d"}}, "unknown field 'olderThan'"),
        ({"action": KEEP, "mostRecentVersions": {}}, "keepCount is an integer of at least 1"),
        ({"action": KEEP, "mostRecentVersions": {"keepCount": 0}}, "keepCount is an integer of at least 1"),
        ({"action": KEEP, "mostRecentVersions": {"keepCount": True}}, "keepCount is an integer of at least 1"),
        ({"action": KEEP, "mostRecentVersions": 3}, "mostRecentVersions is not an object"),
        ({"mostRecentVersions": RECENT}, "mostRecentVersions needs the action Keep"),
        ({"action": {"type": "Purge"}, "condition": ANY}, "policy 'p': the action is"),
        ({"action": {"type": "Keep", "dryRun": True}, "condition": ANY}, "policy 'p': the action is"),
        ({"action": None, "condition": ANY}, "policy 'p': the action is"),
        ({}, "needs a condition or mostRecentVersions"),
        ({"action": KEEP, "condition": ANY, "mostRecentVersions": RECENT}, "and not both"),
        ({"condition": {}}, "to delete all that no policy keeps"),
        ({"condition": []}, "policy 'p', condition is not an object"),
        ({"condition": {"tagState": "some"}}, "tagState is tagged, untagged or any"),
        ({"condition": {"tagState": 3}}, "tagState is tagged, untagged or any"),
        ({"condition": {"tagPrefixes": "v"}}, "tagPrefixes is a list of non-empty strings"),
        ({"condition": {"tagPrefixes": []}}, "to delete all that no policy keeps"),
        ({"condition": {"tagGlobs": []}}, "tagGlobs is a list of non-empty strings"),
        ({"condition": {"tagPrefixes": [""]}}, "tagPrefixes is a list of non-empty strings"),
        ({"condition": {"olderThan": "soon"}}, "policy 'p', condition, olderThan is not a duration"),
        ({"condition": ANY, "immutableTags": "yes"}, "immutableTags is true or false"),
        ({"action": KEEP, "condition": ANY, "immutableTags": True}, "only with the action Delete"),
    ],
)
def test_a_policy_that_could_mean_something_else_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        one(**fields)


@pytest.mark.parametrize(
    ("condition", "yes", "no"),
    [
        ({"tagState": "tagged"}, version("v1"), version()),
        ({"tagState": "Untagged"}, version(), version("v1")),
        ({"tagPrefixes": ["a", "b"]}, version("x", "beta"), version("xa")),
        ({"tagGlobs": ["v*-rc*"]}, version("v1-rc2"), version("v1")),
        ({"tagPrefixes": ["v"], "tagGlobs": ["*-rc"]}, version("v1-rc"), version("v1", "x-rc")),
        ({"tagState": "untagged"}, version(attached=("sha256-a.sig",)), version("v1")),
        ({"tagPrefixes": ["sha256-"]}, version(attached=("sha256-a.sig",)), version(attached=("sha512-a.sig",))),
        ({"versionNamePrefixes": ["sha256:ab"]}, version(), version().__class__("sha256:cd", (), (), NOW, NOW)),
        ({"olderThan": "3d"}, version(age=4 * DAY), version(age=3 * DAY)),
        ({"newerThan": "3d"}, version(age=2 * DAY), version(age=3 * DAY)),
        ({"moreStaleThan": "3d"}, version(age=9 * DAY), version(age=9 * DAY, used=DAY)),
        ({"tagState": "tagged", "olderThan": "3d"}, version("v", age=4 * DAY), version("v", age=2 * DAY)),
    ],
)
def test_all_of_a_condition_must_hold(condition: dict[str, Any], yes: Version, no: Version) -> None:
    where = one(condition=condition).condition
    assert where.matches(yes, NOW)
    assert not where.matches(no, NOW)


@pytest.mark.parametrize(
    ("condition", "yes", "no"),
    [
        (ANY, "team/web", ""),
        ({"packageNamePrefixes": ["team/", "x"]}, "team/web", "my/team/web"),
        ({"repositoryGlobs": ["*/cache", "ci/*"]}, "team/cache", "team/cache/x"),
        ({"packageNamePrefixes": ["team/"], "repositoryGlobs": ["*/cache"]}, "team/cache", "ci/cache"),
    ],
)
def test_a_policy_is_for_some_repositories(condition: dict[str, Any], yes: str, no: str) -> None:
    where = one(condition=condition).condition
    assert where.covers(yes)
    assert not no or not where.covers(no)
