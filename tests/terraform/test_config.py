"""The module's lading.toml sets what the same values set as environment variables, whatever characters they have."""

import json
import re
import tomllib
from dataclasses import replace
from typing import Any, Final

import pytest

from lading.configured_rules import configured_rules
from lading.setting import DEFAULT
from lading.settings import SETTINGS, load_settings
from lading.signatures.public_keys import KeyInvalid
from lading.vulnerabilities.document_keys import load_keys
from tests.policies.examples import signatures, table
from tests.support.vex_documents import public_pem
from tests.terraform.terraform_cli import ROOT, Terraform

DEFAULTS: Final[dict[str, Any]] = {
    "name": "lading",
    "project_id": "my-project",
    "region": "europe-west1",
    "domain": "",
    "http2": True,
    "access": "folders",
    "repositories": {},
    "public": [],
    "concurrency": 80,
    "unscoped_tokens": "pull",
    "rules_serial": None,
    "immutable": "",
    "allow_missing": "",
    "undelete": "7d",
    "grace": "24h",
    "cleanup": [],
    "cleanup_mode": "plan",
    "vex_keys": {},
    "scan_keys": {},
    "policies": [],
    "events": True,
    "scan": True,
    "attest": None,
    "settings": {},
}

ODD: Final = "' \" \\ ''' \\\" \\u0041 <&> # = [x]\n\r\t\b\f\x01\x7f\u0085\u2028 ü 😀 ${x} %{y} $(PORT) $$"
"""Characters that TOML, JSON, Terraform or Cloud Run give a meaning."""


def policy(name: str) -> dict[str, Any]:
    """Return a clean-up policy, for repositories of any name."""
    return {"name": name, "action": {"type": "Delete"}, "condition": {"olderThan": "30d", "tagPrefixes": [name]}}


CASES: Final[dict[str, dict[str, Any]]] = {
    "defaults": {},
    "no events": {"events": False},
    "no scans": {"scan": False},
    "attestations": {"attest": {"repositories": ["prod/*", "team/app"], "key_versions": [2, 1]}},
    "no folders": {"access": "project", "unscoped_tokens": "refuse"},
    "a function, with folders": {"http2": False, "repositories": {"team-a/": {}, "team-a/web/": {}}},
    "a domain": {"domain": "registry.example.com", "public": ["library/*", "team/app"], "concurrency": 1000},
    "rules": {"immutable": "prod/*:v*, !prod/*:v*-rc*,", "allow_missing": "windows/*:urls", "undelete": "30d"},
    "rules with a serial": {"rules_serial": 11, "immutable": "*:v*", "grace": "1h"},
    "a large serial": {"rules_serial": 10**15},
    "policies": {"rules_serial": 2, "cleanup": [policy("old"), policy("older")], "cleanup_mode": "apply"},
    "policies with any characters": {"cleanup": [policy(ODD), policy("'''")]},
    "policies of images": {
        "policies": [table(scan={"required": True}), table(name="b", signatures=signatures("release"))]
    },
    "rules with any characters": {"immutable": f"a:{ODD}"},
    "settings": {"settings": {"LADING_BODY_TIMEOUT": "030", "LADING_LOG_LEVEL": "debug", "LADING_TRUSTED_HOPS": "3"}},
    "settings with any characters": {"settings": {"LADING_USERS": ODD, "LADING_HMAC_KEY": "C:\\key"}},
    "settings that are lists": {"settings": {"LADING_CORS_ORIGINS": "https://a.example, https://b.example:8443,,"}},
    "keys": {"vex_keys": {"release": public_pem().decode(), "it's": ODD}, "scan_keys": {"a": public_pem().decode()}},
    "an empty setting": {"settings": {"LADING_TRUSTED_HOPS": "", "LADING_LOG": ""}},
}


@pytest.fixture(scope="module")
def rendered(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The configuration of each case, its size, and the environment variables that say the same."""
    root = tmp_path_factory.mktemp("config")
    (root / "module").mkdir()
    config = (ROOT / "terraform" / "config.tf").read_text()
    # Names that Google would give, since nothing is created here.
    config, count = re.subn(r"(?<=[ {])google_[a-z_]+\.([a-z]+)(?:\[0\])?\.[a-z_]+", r'"\1@name"', config)
    assert count >= 4
    (root / "module" / "config.tf").write_text(config)
    (root / "module" / "settings.tf").write_text((ROOT / "terraform" / "settings.tf").read_text())
    outputs = ("config", "config_size", "settings")
    more = {
        "variable": {name: {"type": "any", "default": value} for name, value in DEFAULTS.items()},
        "locals": {
            "root": str(ROOT),
            "project_number": "123456789012",
            "notifications_topic": "projects/p/topics/gcr",
        },
        "output": {name: {"value": f"${{local.{name}}}"} for name in outputs},
    }
    (root / "module" / "more.tf.json").write_text(json.dumps(more))
    modules: dict[str, Any] = {}
    values = {}
    for number, (name, variables) in enumerate(CASES.items()):
        # A file, in which Terraform does not look for ${…}.
        (root / f"{number}.json").write_text(json.dumps(variables))
        modules[f"case_{number}"] = {"source": "./module"} | {
            each: f'${{jsondecode(file("{number}.json")).{each}}}' for each in variables
        }
        values[name] = {each: f"${{module.case_{number}.{each}}}" for each in outputs}
    (root / "main.tf.json").write_text(json.dumps({"module": modules, "output": {"values": {"value": values}}}))
    terraform.init(root)
    terraform.run(root, "apply", "-auto-approve", "-input=false", "-no-color")
    found: dict[str, dict[str, Any]] = json.loads(terraform.run(root, "output", "-json", "values").stdout)
    return found


def test_the_program_loads_the_keys_of_the_variables(rendered: dict[str, dict[str, Any]]) -> None:
    settings = load_settings({"LADING_DATA": "/data", "LADING_CONFIG": rendered["keys"]["config"]})

    assert [*load_keys(settings.scan_keys)] == ["a"]
    with pytest.raises(KeyInvalid, match=r"it's.* is no name of a key"):
        load_keys(settings.vex_keys)


@pytest.mark.parametrize("case", CASES)
def test_the_program_reads_what_the_variables_said(rendered: dict[str, dict[str, Any]], case: str) -> None:
    text, variables = rendered[case]["config"], rendered[case]["settings"]
    expected = load_settings({"LADING_DATA": "/data", **variables})
    read = load_settings({"LADING_DATA": "/data", "LADING_CONFIG": text})
    # JSON has several forms for one character.
    for name in ("cleanup", "policies", "vex_keys", "scan_keys"):
        texts = [getattr(each, name) or "[]" for each in (read, expected)]
        assert json.loads(texts[0]) == json.loads(texts[1])
    none: dict[str, Any] = {"cleanup": "", "policies": "", "vex_keys": "", "scan_keys": ""}
    assert replace(read, **none) == replace(expected, **none)
    given = [{each for each, source in found.sources.items() if source != DEFAULT} for found in (read, expected)]
    assert given[0] == given[1]
    if case != "rules with any characters":
        assert configured_rules(read) == configured_rules(expected)


def test_the_cases_set_what_they_are_about(rendered: dict[str, dict[str, Any]]) -> None:
    """Otherwise two equal mistakes would compare as equal."""
    read = {case: load_settings({"LADING_CONFIG": each["config"]}) for case, each in rendered.items()}
    assert [each["name"] for each in json.loads(read["policies with any characters"].cleanup)] == [ODD, "'''"]
    assert read["settings with any characters"].users.name.endswith(ODD.rsplit("/", maxsplit=1)[-1])
    assert read["rules"].immutable == ("prod/*:v*", "!prod/*:v*-rc*")
    assert (read["defaults"].rules_serial, read["rules with a serial"].rules_serial) == (0, 11)
    assert read["a large serial"].rules_serial == 10**15
    assert read["defaults"].events_topic == "projects/my-project/topics/lading-events"
    assert read["attestations"].attest_repositories == ("prod/*", "team/app")
    assert read["attestations"].attestation_key.endswith(
        "/keyRings/lading-attest/cryptoKeys/attestations/cryptoKeyVersions/2"
    )
    assert read["defaults"].publisher == "lading-events@my-project.iam.gserviceaccount.com"
    assert read["no scans"].scanner == ""
    assert read["defaults"].scanner == "lading-scan@my-project.iam.gserviceaccount.com"
    assert (read["no events"].events_topic, read["no events"].publisher) == ("", "")
    assert read["a function, with folders"].folders == ("team-a", "team-a/web")
    assert read["settings"].trusted_hops == 3


def test_numbers_and_lists_are_those_of_toml(rendered: dict[str, dict[str, Any]]) -> None:
    """People read the text in plans."""
    rules = tomllib.loads(rendered["rules with a serial"]["config"])["rules"]
    assert rules == {"grace": "1h", "immutable": ["*:v*"], "serial": 11, "undelete": "7d"}


def test_its_size_is_that_of_its_bytes(rendered: dict[str, dict[str, Any]]) -> None:
    for each in rendered.values():
        assert 0 <= each["config_size"] - len(each["config"].encode()) <= 2


def test_each_setting_has_its_place(rendered: dict[str, dict[str, Any]]) -> None:
    """The module reads it from the program's declarations, whose form may change."""
    for case in ("settings", "policies", "a domain"):
        places = {(section, key) for section, keys in tomllib.loads(rendered[case]["config"]).items() for key in keys}
        expected = {(each.section, each.key) for each in SETTINGS if each.variable in rendered[case]["settings"]}
        assert places == expected
