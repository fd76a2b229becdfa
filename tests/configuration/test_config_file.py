"""lading.toml: where it is found, what overrides it, and what is wrong with it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from emulators import Emulators
from lading.registry.cleanup.policy_json import parse_policies
from lading.settings import SETTINGS, Settings, SettingsError, load_settings

ROOT: Final = Path(__file__).parents[2]

KEY_VERSION: Final = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"

VALUES: Mapping[str, tuple[str, str]] = {
    "address": ('"0.0.0.0:5001"', "0.0.0.0:5001"),
    "data": ('"/srv/data"', "/srv/data"),
    "blobs": ('"gs://bucket"', "gs://bucket"),
    "metadata": ('"firestore://p/d"', "firestore://p/d"),
    "url": ('"https://r.example.com"', "https://r.example.com"),
    "cors-origins": (
        '["https://a.example.com", "https://b.example.com"]',
        "https://a.example.com,https://b.example.com",
    ),
    "trusted-hops": ("2", "2"),
    "tls-cert": ('"/srv/cert.pem"', "/srv/cert.pem"),
    "tls-key": ('"/srv/key.pem"', "/srv/key.pem"),
    "access": ('"project://p"', "project://p"),
    "public": ('["team/*", "library/*"]', "team/*,library/*"),
    "folders": ('["team-a", "team-b"]', "team-a,team-b"),
    "unscoped-tokens": ('"push"', "push"),
    "users": ('"/srv/users"', "/srv/users"),
    "grants": ('"/srv/grants"', "/srv/grants"),
    "keys": ('"secret://p/s"', "secret://p/s"),
    "hmac-key": ('"/srv/hmac"', "/srv/hmac"),
    "cdn-key": ('"/srv/cdn"', "/srv/cdn"),
    "immutable": ('["prod/*:v*", "!prod/*:v*-rc*"]', "prod/*:v*,!prod/*:v*-rc*"),
    "allow-missing": ('["mirror/*:sparse"]', "mirror/*:sparse"),
    "undelete": ('"30d"', "30d"),
    "grace": ('"12h"', "12h"),
    "rules-serial": ("7", "7"),
    "collect-every": ('"off"', "off"),
    "collector": ('"c@example.com"', "c@example.com"),
    "cleanup": ('[{name = "old", action = {type = "Delete"}}]', '[{"name": "old", "action": {"type": "Delete"}}]'),
    "cleanup-mode": ('"apply"', "apply"),
    "policies": ('[{name = "prod", until = 2027-01-31}]', '[{"name": "prod", "until": "2027-01-31"}]'),
    "log": ('"json"', "json"),
    "log-level": ('"debug"', "debug"),
    "threads": ("64", "64"),
    "body-timeout": ("30", "30"),
    "largest-body": ("31", "31"),
    "events-topic": ('"projects/p/topics/events"', "projects/p/topics/events"),
    "notifications-topic": ('"projects/p/topics/gcr"', "projects/p/topics/gcr"),
    "events-keep": ('"3d"', "3d"),
    "publisher": ('"p@example.com"', "p@example.com"),
    "webhook-networks": ('["10.0.0.0/8", "fd00::/8"]', "10.0.0.0/8,fd00::/8"),
    "scanner": ('"scan@p.iam.gserviceaccount.com"', "scan@p.iam.gserviceaccount.com"),
    "scan": ('"off"', "off"),
    "vulnerability-source": ('"none"', "none"),
    "vulnerability-updates": ('"off"', "off"),
    "vulnerability-repository": ('"tools/vulnerabilities"', "tools/vulnerabilities"),
    "vex-keys": ('"/srv/vex"', "/srv/vex"),
    "scan-keys": ('"/srv/scanners"', "/srv/scanners"),
    "attester": ('"attest@p.iam.gserviceaccount.com"', "attest@p.iam.gserviceaccount.com"),
    "attest-repositories": ('["prod/*", "team/app"]', "prod/*,team/app"),
    "attestation-note": ('"projects/p/notes/n"', "projects/p/notes/n"),
    "attestation-key": (f'"{KEY_VERSION}"', KEY_VERSION),
    "metrics": ('"127.0.0.1:9464"', "127.0.0.1:9464"),
}
"""A value of each setting in TOML, and the same as an option gives it."""


def write(folder: Path, text: str) -> str:
    """Write a lading.toml into a folder; return its path."""
    folder.mkdir(exist_ok=True)
    (folder / "lading.toml").write_text(text)
    return str(folder / "lading.toml")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_each_setting_can_be_set(here: Path) -> None:
    assert VALUES.keys() == {each.option for each in SETTINGS}
    sections: dict[str, list[str]] = {}
    for each in SETTINGS:
        sections.setdefault(each.section, []).append(f"{each.key} = {VALUES[each.option][0]}")
    write(here, "\n".join(f"[{section}]\n" + "\n".join(lines) for section, lines in sections.items()))

    configured = load_settings({})

    assert configured == load_settings({}, {option: text for option, (_, text) in VALUES.items()})
    assert all(configured.is_given(each.option) for each in SETTINGS)


def test_options_and_variables_override_single_values(here: Path) -> None:
    write(here, "[server]\nthreads = 64\nbody-timeout = 30\nlargest-body = 5\n")
    read = load_settings({"LADING_THREADS": "65", "LADING_BODY_TIMEOUT": "31"}, {"threads": "66"})
    assert (read.threads, read.body_timeout, read.largest_body) == (66, 31, 5 * 2**20)
    assert read.sources["threads"] == "--threads"
    assert read.sources["body-timeout"] == "LADING_BODY_TIMEOUT"
    assert read.sources["largest-body"] == "largest-body in [server] of lading.toml"
    assert read.sources["grace"] == "default"


def threads(read: Settings) -> int:
    return read.threads


def test_the_first_that_is_found_is_the_only_one(here: Path, tmp_path: Path) -> None:
    named = write(tmp_path / "named", "[server]\nthreads = 1\n")
    variable = write(tmp_path / "variable", "[server]\nthreads = 2\n")
    data = tmp_path / "data"
    write(data, "[server]\nthreads = 3\n")
    write(here, "[server]\nthreads = 4\n[log]\nlevel = 'debug'\n")
    stores = {"LADING_DATA": str(data)}

    assert threads(load_settings({**stores, "LADING_CONFIG": variable}, config=named)) == 1
    assert threads(load_settings({**stores, "LADING_CONFIG": variable})) == 2
    assert (threads(read := load_settings(stores)), read.log_level) == (3, "info")
    assert threads(load_settings({"LADING_DATA": str(tmp_path / "other")})) == 4


def test_the_variable_may_hold_the_text(here: Path) -> None:
    assert load_settings({"LADING_CONFIG": "server.threads = 7"}).threads == 7
    assert load_settings({"LADING_CONFIG": "[server]\nthreads = 8\n"}).threads == 8


def test_the_variable_may_name_an_object(here: Path, emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.cloud import storage

    environment = emulators.fresh_stores()
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.setenv(name, environment.get(name, "project"))
    bucket = environment["LADING_BLOBS"].removeprefix("gs://")
    storage.Client().bucket(bucket).blob("lading.toml").upload_from_string("[server]\nthreads = 9\n")

    assert load_settings({"LADING_CONFIG": f"gs://{bucket}/lading.toml"}).threads == 9
    with pytest.raises(SettingsError, match=f"gs://{bucket}/absent cannot be read"):
        load_settings({"LADING_CONFIG": f"gs://{bucket}/absent"})
    with pytest.raises(SettingsError, match="gs://BUCKET/OBJECT"):
        load_settings({"LADING_CONFIG": "gs://bucket"})


def test_relative_paths_begin_at_the_files_folder(here: Path, tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    config = write(etc, "[stores]\ndata = 'data'\n[access]\nusers = 'users'\n[rules]\ncleanup = '[]'\n")
    read = load_settings({}, config=config)
    assert (read.data, read.users, read.cleanup) == (etc / "data", etc / "users", "[]")
    assert load_settings({"LADING_CONFIG": "access.users = 'users'"}).users == Path("users")


def test_a_home_folder_is_expanded(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = here / "home"
    monkeypatch.setenv("HOME", str(home))
    write(home, "[stores]\ndata = '~/data'\n[access]\nusers = '~/users'\n")

    read = load_settings({}, config="~/lading.toml")
    assert (read.data, read.users) == (home / "data", home / "users")
    assert load_settings({"LADING_DATA": "~/other", "LADING_CONFIG": "access.users = '~/u'"}).users == home / "u"
    assert load_settings({}, {"data": "~/other"}).data == home / "other"
    with pytest.raises(SettingsError, match="--data begins with a home folder that is known, not ~nobody-here/x"):
        load_settings({}, {"data": "~nobody-here/x"})


def test_a_file_that_was_found_leads_to_no_other_file(here: Path, tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    write(data, "[server]\nthreads = 3\n")
    write(here, f"[stores]\ndata = '{data}'\n")

    with pytest.raises(SettingsError, match=re.escape(f"configuration of its own, {data}/lading.toml: merge the two")):
        load_settings({})
    assert load_settings({}, config="lading.toml").data == data, "it was named"
    assert threads(load_settings({"LADING_DATA": str(data)})) == 3
    assert load_settings({"LADING_DATA": str(other)}).data == other, "where the option says so, no file is left out"

    write(data, f"[stores]\ndata = '{other}'\n")
    with pytest.raises(SettingsError, match=re.escape(f"sets data to {other}: remove that entry")):
        load_settings({}, {"data": str(data)})
    write(data, "[stores]\ndata = '.'\n")
    assert load_settings({}, {"data": str(data)}).data.resolve() == data


def test_the_documented_example_can_be_used(here: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "settings.md").read_text(), re.DOTALL)
    write(here, example)
    read = load_settings({})
    assert (read.realm, read.undelete.days) == ("https://registry.example.com", 30)
    assert parse_policies(read.cleanup)


WRONG = {
    "[server": "lading.toml is not TOML",
    "[sever]\nthreads = 1": "there is no section [sever]; did you mean server?",
    "threads = 1": "there is no section [threads]; it is threads in [server]",
    "[xyz]": "there is no section [xyz]; there are access, attestations, events, jobs, log, rules, scans, server",
    "[server]\nthread = 1": "there is no thread in [server]; did you mean threads?",
    "[server]\nundelete = '1d'": "there is no undelete in [server]; it is undelete in [rules]",
    "[server]\nthreads = 0": "threads in [server] of lading.toml is a number from 1 to 1000, not 0",
    "[server]\nthreads = true": "threads in [server] is true or false, which no setting is",
    "[server]\nthreads = 1.5": "threads in [server] is neither a string, nor a number",
    "[access]\npublic = ['a,b']": "public in [access] is neither",
    "[log]\nlevel = 'loud'": "level in [log] of lading.toml is info or debug, not loud",
    "server = 1": "server is a section; write [server] on a line, and its settings below it",
    "[server]\nthreads = " + "9" * 5000: "lading.toml is not TOML: Exceeds the limit",
    "a = " + "[" * 5000: "lading.toml is not TOML",
    "[stores]\ndata = '/tmp/x'\nblobs = \"a\\u0000b\"": "blobs in [stores] is neither a string",
    "[[rules.cleanup]]\nname = nan": "cleanup in [rules] has no form in JSON",
    '[server]\n"\\u001b[31mx\\nInj" = 1': "there is no \\x1b[31mx\\nInj in [server]",
    '[server]\naddress = "\\u001b[31m\\nx"': "is HOST:PORT, not \\x1b[31m\\nx",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_named(here: Path, text: str) -> None:
    write(here, text)
    with pytest.raises(SettingsError) as refused:
        load_settings({})
    assert WRONG[text] in str(refused.value)
    assert "lading.toml" in str(refused.value)


def test_a_configuration_that_was_named_is_there(here: Path) -> None:
    with pytest.raises(SettingsError, match=r"the configuration absent\.toml cannot be read: No such file"):
        load_settings({}, config="absent.toml")
    (here / "latin.toml").write_bytes(b"# \xff")
    with pytest.raises(SettingsError, match=r"latin\.toml cannot be read: it is not UTF-8"):
        load_settings({}, config="latin.toml")


@pytest.mark.parametrize(
    ("option", "wrong"), [("threads", "x"), ("undelete", "soon"), ("address", "nowhere"), ("log", "loud")]
)
def test_a_wrong_value_names_its_source(here: Path, option: str, wrong: str) -> None:
    variable = f"LADING_{option.upper()}"
    with pytest.raises(SettingsError, match=f"^{variable} is .*, not {wrong}$"):
        load_settings({variable: wrong})
    with pytest.raises(SettingsError, match=f"^--{option} is .*, not {wrong}$"):
        load_settings({variable: "1"}, {option: wrong})


def test_the_json_of_policies_is_what_the_option_takes(here: Path) -> None:
    write(here, '[[rules.cleanup]]\nname = "old"\naction = { type = "Delete" }\ncondition = { olderThan = "30d" }\n')
    (policy,) = json.loads(load_settings({}).cleanup)
    assert policy == {"name": "old", "action": {"type": "Delete"}, "condition": {"olderThan": "30d"}}


def test_what_should_be_a_file_is_an_error(here: Path) -> None:
    config = here / "lading.toml"
    config.symlink_to("absent")
    with pytest.raises(SettingsError, match=r"lading\.toml cannot be read: No such file"):
        load_settings({})
    config.unlink()
    config.mkdir()
    with pytest.raises(SettingsError, match=r"lading\.toml cannot be read: Is a directory"):
        load_settings({})
    config.rmdir()
    config.symlink_to("/dev/zero")
    with pytest.raises(SettingsError, match="more than"):
        load_settings({})


def test_a_path_with_an_equals_sign_and_a_byte_order_mark_are_read(here: Path) -> None:
    (here / "a=b.toml").write_bytes(b"\xef\xbb\xbf[server]\nthreads = 7\n")
    assert load_settings({"LADING_CONFIG": "a=b.toml"}).threads == 7
