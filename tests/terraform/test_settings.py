"""The module refuses, with the program's text, the values of settings that the program refuses."""

import json
import re
from typing import Any, Final

import pytest

from lading.composition import immutable_tags, missing_content
from lading.settings import SETTINGS, SettingsError, load_settings
from tests.terraform.terraform_cli import ROOT, Terraform

NUMBERS: Final = ("1", "0", "16", "17", "1000", "1001", "007", "lots", "-1", "1.5", " 1", "1e3", "²", "3600", "3601")
TIMES: Final = ("7d", "0s", "12h", "30m", "7", "d", "1w", "36500d", "36501d", "876001h", "9999999s", "10000000s", "off")

CASES: Final[tuple[tuple[str, str], ...]] = (
    *((f"LADING_{name}", text) for name in ("THREADS", "TRUSTED_HOPS", "BODY_TIMEOUT") for text in NUMBERS),
    *(("LADING_RULES_SERIAL", text) for text in ("3", "11", "20261128001", "1000000000000000", "1000000000000001")),
    *(("LADING_LARGEST_BODY", text) for text in ("31", "0", "1000000", "1000001", "31MiB")),
    *((f"LADING_{name}", text) for name in ("UNDELETE", "GRACE", "COLLECT_EVERY", "EVENTS_KEEP") for text in TIMES),
    *(("LADING_LOG", text) for text in ("json", "text", "JSON", "xml")),
    *(("LADING_LOG_LEVEL", text) for text in ("info", "debug", "trace")),
    *(("LADING_CLEANUP_MODE", text) for text in ("plan", "apply", "delete")),
    *(("LADING_UNSCOPED_TOKENS", text) for text in ("refuse", "delete", "all")),
    *(
        ("LADING_PUBLIC", text)
        for text in ("team/app", "library/*, other/", "Team/App", "team app", "team/app:v1", ",,", "a," * 501)
    ),
    *(("LADING_FOLDERS", text) for text in ("team-a,team-b/web", "Team")),
    *(
        ("LADING_IMMUTABLE", text)
        for text in ("prod/*:v*,!prod/*:v*-rc*", "prod", "prod:", ":v1", "!:v1", "a:b:c", "a:b,c", " a:b , ", "!")
    ),
    *(
        ("LADING_ALLOW_MISSING", text)
        for text in ("windows/*:urls", "m/*:sparse,!m/base:sparse", "a:b", "urls", ":urls", "!:urls", "a:urls:b")
    ),
    *(
        ("LADING_URL", text)
        for text in (
            *(
                "https://registry.example.com",
                "HTTP://h:5000/",
                "http://[::1]:80",
                "ftp://h",
                "h",
                "http://",
                "http://h/x",
            ),
            *("http://h?x", "http://h#x", "http://ü", " http://h", "http://h:0", "http://h:65535", "http://h:65536"),
        )
    ),
    *(
        ("LADING_CORS_ORIGINS", text)
        for text in ("https://ui.example.com, http://Other:8080/", "*", "https://ui.example.com/x", "https://a b")
    ),
    *(
        (f"LADING_{name}_TOPIC", text)
        for name in ("EVENTS", "NOTIFICATIONS")
        for text in (
            "projects/p-1/topics/gcr",
            "projects/example.com:p/topics/a.b~c+d%e_f-g",
            "gcr",
            "projects/p/topics/",
        )
    ),
    *(("LADING_EVENTS_TOPIC", f"projects/p/topics/{name}") for name in ("ab", "1ab", "a/b", "abc/", "a" * 256)),
    *(
        ("LADING_WEBHOOK_NETWORKS", text)
        for text in ("10.1.0.0/16, fd00::/8", "10.1.2.3/16", "10.1.0.0", "10.1.0.0/33", "localhost/8", ",")
    ),
    *(("LADING_SCAN", text) for text in ("auto", "on", "off", "yes")),
    *(("LADING_VULNERABILITY_UPDATES", text) for text in ("on", "off", "auto")),
    *(
        ("LADING_VULNERABILITY_SOURCE", text)
        for text in ("none", "http://127.0.0.1:80/a/b", "https://h.example", "ftp://h", "https://h?x", "https://H")
    ),
    *(
        ("LADING_VULNERABILITY_REPOSITORY", text)
        for text in ("team/app__x.y--z", "Team", "team//app", "team/", "a" * 256, "a._b")
    ),
    ("LADING_THREADS", ""),
    ("LADING_USERS", "anything at all"),
)


def error_of(name: str, text: str) -> str:
    """What the program says of a value, or ""."""
    try:
        settings = load_settings({name: text, "LADING_DATA": "/nowhere"})
        immutable_tags(settings)
        missing_content(settings)
    except SettingsError as error:
        return re.sub(r"^--(immutable|allow-missing)(?=: )", name, str(error))
    return ""


def grouped() -> list[dict[str, str]]:
    """Return the cases, with one value of each setting in a group: a module takes 0.1 s, and checks all of a group."""
    groups: list[dict[str, str]] = []
    for name, text in CASES:
        group = next((each for each in groups if name not in each), None)
        if group is None:
            groups.append(group := {})
        group[name] = text
    return groups


GROUPS: Final = grouped()


@pytest.fixture(scope="module")
def faults(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """What the module says of each group."""
    root = tmp_path_factory.mktemp("settings")
    (root / "module").mkdir()
    (root / "module" / "settings.tf").write_text((ROOT / "terraform" / "settings.tf").read_text())
    variables = {
        "settings": {"type": "map(string)"},
        "undelete": {"default": "7d"},
        "grace": {"default": "24h"},
        "concurrency": {"default": 80},
        "unscoped_tokens": {"default": "pull"},
    }
    more = {
        "variable": variables,
        "locals": {"optional": {}, "root": str(ROOT)},
        "output": {"faults": {"value": "${concat(local.setting_faults, local.rule_faults)}"}},
    }
    (root / "module" / "more.tf.json").write_text(json.dumps(more))
    modules = {
        f"case_{number}": {"source": "./module", "settings": f'${{jsondecode(file("{number}.json"))}}'}
        for number in range(len(GROUPS))
    }
    outputs = {"faults": {"value": [f"${{module.{name}.faults}}" for name in modules]}}
    (root / "main.tf.json").write_text(json.dumps({"module": modules, "output": outputs}))
    for number, group in enumerate(GROUPS):
        (root / f"{number}.json").write_text(json.dumps(group))
    terraform.init(root)
    terraform.run(root, "apply", "-auto-approve", "-input=false", "-no-color")
    found: list[list[str]] = json.loads(terraform.run(root, "output", "-json", "faults").stdout)
    return found


def test_the_plan_says_of_a_value_what_the_program_says(faults: list[list[str]]) -> None:
    expected = [[error for name, text in group.items() if (error := error_of(name, text))] for group in GROUPS]
    # Each error begins with the name of its setting.
    assert [sorted(each) for each in faults] == [sorted(each) for each in expected]


def test_there_are_values_of_both_kinds_for_each_setting_that_is_parsed() -> None:
    """A new parser needs a row in the module, and cases here."""
    decided: Any = (
        "address",
        "data",
        "tls_cert",
        "tls_key",
        "metrics",
        "users",
        "grants",
        "hmac_key",
        "cdn_key",
        "scan_keys",
        "vex_keys",
    )
    accounts: Any = ("attester", "attest_repositories", "attestation_key", "attestation_note", "publisher", "scanner")
    stored: Any = ("blobs", "metadata", "access", "keys", "collector", "cleanup", "policies", *accounts)
    parsed = {each.variable for each in SETTINGS if each.name not in (*decided, *stored)}
    good = {name for name, text in CASES if text and not error_of(name, text)}
    bad = {name for name, text in CASES if error_of(name, text)}
    assert good - {"LADING_USERS"} == bad == parsed


def test_the_plan_knows_the_settings_of_the_program() -> None:
    """They are read from the program's declarations, whose form may change."""
    text = (ROOT / "terraform" / "settings.tf").read_text()
    (pattern,) = re.findall(r'regexall\("(.*?)", file\("\$\{local\.root}/functions/lading/settings\.py"', text)
    found = re.findall(
        pattern.replace(r"\\", "\\").replace("\\n", "\n"), (ROOT / "functions" / "lading" / "settings.py").read_text()
    )
    assert [name for name, _ in found] == [setting.name for setting in SETTINGS]


def test_the_plan_refuses_metrics() -> None:
    """With them a function would not start: its requirements lack their package, and no collector reaches it."""
    (decided,) = re.findall(
        r"decided_settings = \[for name in (\[.*?\])", (ROOT / "terraform" / "settings.tf").read_text()
    )
    assert "metrics" in json.loads(decided)
    assert "prometheus" not in (ROOT / "functions" / "requirements.txt").read_text()
