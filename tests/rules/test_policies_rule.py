"""The rule `policies`: what loosens it, what a start without a serial adds, and what a namespace may say."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from lading.configured_rules import PolicyChanges, configure_rules, configured_rules
from lading.policies.policy_json import policies_text, values_of
from lading.registry.registry import Registry
from lading.registry.rules.changes import REGISTRY, RuleChange, RulesDocument, RulesError, check_document
from lading.registry.rules.rule_types import BY_NAME, POLICIES
from lading.rules_file import document_of, read_rules
from lading.settings import SettingsError, load_settings
from lading_storage.records.rules import REGISTRY_RULES
from tests.policies.examples import KEYS, signatures, table

SCAN: Final = {"required": True}
EXCEPTION: Final = {"image": "prod/legacy", "until": "2027-01-31", "reason": "legacy"}
STRICT: Final = table(scan=SCAN)


def text(*tables: dict[str, Any]) -> str:
    return policies_text(tables)


STRICTER: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "enforced": (table(mode="audit", scan=SCAN), STRICT),
    "enforced, which was the default": ({**STRICT, "mode": "audit"}, STRICT),
    "denies errors": (table(scan=SCAN, onError="allow"), STRICT),
    "gates roll-backs": (STRICT, table(scan=SCAN, gateRollback=True)),
    "fewer exempt": (table(scan=SCAN, exempt=["a", "b"]), table(scan=SCAN, exempt=["b"])),
    "no break-glass": (table(scan=SCAN, breakGlass=["a"]), STRICT),
    "fewer exceptions": (table(scan=SCAN, exceptions=[EXCEPTION]), STRICT),
}

OTHER: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    **{f"not {name}": (new, old) for name, (old, new) in STRICTER.items()},
    "other repositories": (STRICT, {**STRICT, "repositories": ["prod/*", "team/*"]}),
    "another requirement": (STRICT, table(scan=SCAN, image={"minAge": "1h"})),
    "another key": (table(signatures=signatures("release")), table(signatures=signatures("other"))),
    "enforced with an exception": (table(mode="audit", scan=SCAN), table(scan=SCAN, exceptions=[EXCEPTION])),
}


@pytest.mark.parametrize("name", STRICTER)
def test_a_policy_that_is_stricter_for_sure_replaces_the_recorded_one(name: str) -> None:
    old, new = (text(each) for each in STRICTER[name])
    assert POLICIES.strictest(old, new) == new
    assert not POLICIES.loosens(old, new)
    assert POLICIES.loosens(new, old)


@pytest.mark.parametrize("name", OTHER)
def test_any_other_policy_of_the_name_stays_as_it_was_recorded(name: str) -> None:
    old, new = (text(each) for each in OTHER[name])
    assert POLICIES.strictest(old, new) == old
    assert POLICIES.loosens(old, new)


def test_new_policies_are_added() -> None:
    base = table(name="base", repositories=["*"], scan=SCAN)
    assert POLICIES.strictest(text(STRICT), text(base)) == text(base, STRICT)
    assert not POLICIES.loosens(text(STRICT), text(base, STRICT))
    assert POLICIES.loosens(text(base, STRICT), text(STRICT))
    assert not POLICIES.loosens(None, text(STRICT))
    assert RuleChange("prod", "policies", text(STRICT), None).loosens
    assert not RuleChange("prod", "policies", None, text(STRICT)).loosens


def test_a_change_shows_names_and_not_keys() -> None:
    change = RuleChange(REGISTRY, "policies", text(STRICT), text({**STRICT, "mode": "audit"}))
    before, after = str(change).removeprefix("policies: ").split(" -> ")
    assert before.startswith("prod (enforce, ")
    assert after.startswith("prod (audit, ")
    assert BY_NAME["policies"].show(None) == "not set"
    assert BY_NAME["policies"].show("") == "none"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"repositories": ["team/*"]}, "policy prod names team/*, which is not in the namespace prod"),
        ({"repositories": ["prod*"]}, "names prod*"),
        ({"repositories": ["*"]}, "names *"),
        ({"repositories": ["prod/*", "!team/x"]}, "names team/x"),
        ({"exceptions": [{**EXCEPTION, "image": "team/x"}]}, "names team/x"),
        ({}, ""),
        ({"repositories": ["prod", "!prod/tools/*"]}, ""),
    ],
)
def test_a_namespace_has_policies_of_its_own_repositories(fields: dict[str, Any], reason: str) -> None:
    document = RulesDocument({"prod": {"policies": text({**STRICT, **fields})}})
    if not reason:
        check_document(document)
        return
    with pytest.raises(RulesError) as refused:
        check_document(document)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    "value", ["[]", '{"version":9,"policies":[]}', json.dumps({"version": 1, "policies": [STRICT]})]
)
def test_a_value_is_what_this_release_writes(value: str) -> None:
    with pytest.raises(RulesError, match="policies"):
        check_document(RulesDocument({REGISTRY: {"policies": value}}))


FILE: Final = """
[[policies]]
name = "prod"
repositories = ["prod/*"]
mode = "enforce"
signatures.keys = [{name = "release", file = "cosign.pub"}]
"""


def test_rules_name_policies_in_a_file_or_have_them(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "cosign.pub").write_text(KEYS["release"])
    (tmp_path / "keys" / "policies.toml").write_text(FILE)
    (tmp_path / "named.toml").write_text('[rules]\npolicies = "keys/policies.toml"\n')
    inline = FILE.replace("[[policies]]", "[[rules.policies]]").replace("cosign.pub", "keys/cosign.pub")
    (tmp_path / "inline.toml").write_text(inline)
    expected = {"policies": text(table(signatures=signatures("release")))}
    for name in ("named.toml", "inline.toml"):
        assert read_rules(tmp_path / name).tables == {REGISTRY: expected}


@pytest.mark.parametrize(
    "policies",
    ["keys/policies.toml", [table(signatures={"keys": [{"name": "x", "file": "/etc/hostname"}]})], {"a": 1}, [3]],
    ids=["a path", "a file of a key", "a table", "a number"],
)
def test_a_request_names_no_file_of_the_server(policies: Any) -> None:
    with pytest.raises(RulesError, match=r"array of tables|names a file|is a table"):
        document_of({"rules": {"policies": policies}}, "the request")
    with pytest.raises(RulesError, match=r"array of tables|names a file|is a table"):
        document_of({"namespaces": {"prod": {"policies": policies}}}, "the request")


def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(FILE)
    for value, reason in ((str(tmp_path / "p.toml"), "cosign.pub, cannot be read"), ("absent.toml", "cannot be read")):
        with pytest.raises(SettingsError, match=f"--policies: .*{reason}"):
            configured_rules(load_settings({}, {"policies": value}))


def test_a_file_that_changes_is_applied_again(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "cosign.pub").write_text(KEYS["release"])
    file = tmp_path / "policies.toml"
    file.write_text(FILE.replace("enforce", "audit"))
    settings = load_settings({"LADING_DATA": str(tmp_path)}, {"policies": str(file)})
    changes = PolicyChanges(settings)
    changes.apply(registry)
    assert registry.metadata.read([REGISTRY_RULES])[REGISTRY_RULES] is None, "nothing changed since the start"

    for mode, expected in (("enforce", "enforce"), ("audit", "enforce")):
        file.write_text(FILE.replace("enforce", mode))
        changes.apply(registry)
        record = registry.metadata.read([REGISTRY_RULES])[REGISTRY_RULES]
        assert record is not None
        (value,) = values_of(record.policies)
        assert value["mode"] == expected, mode


@pytest.mark.parametrize("scans_images", [True, False])
@pytest.mark.parametrize("requirement", ["scan", "signatures"])
def test_a_start_warns_of_policies_that_need_scans_where_nothing_scans(
    registry: Registry, scans_images: bool, requirement: str, caplog: pytest.LogCaptureFixture
) -> None:
    value = {"scan": table(scan=SCAN), "signatures": table(signatures=signatures("release"))}[requirement]
    registry.scans_images = scans_images
    for given in ({"policies": json.dumps([value])}, {}):
        caplog.clear()
        configure_rules(load_settings({}, given), registry)

        warned = [each.getMessage() for each in caplog.records if "not scanned here" in each.getMessage()]
        expected = requirement == "scan" and not scans_images
        assert [each.rpartition(": ")[2] for each in warned] == (["prod"] if expected else []), "recorded ones as well"
