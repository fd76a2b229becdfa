"""The settings of a registry: each is declared once, as a field of Settings.

The options of the command line, the LADING_* variables, lading.toml, docs/settings.md and the settings that Terraform's
module knows are all derived from these declarations.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from lading import setting_values as parse
from lading.config_file import NO_CONFIG, ConfigError, ConfigFile, find_config
from lading.derived_settings import DerivedSettings, SettingsError
from lading.setting import DEFAULT, declared_in, setting
from lading.setting_texts import SettingTexts

__all__ = ["DATABASE", "SETTINGS", "Settings", "SettingsError", "load_settings", "settings_of"]

DATABASE: Final = "metadata.sqlite"
"""The file of the metadata in a data folder."""


@dataclass(frozen=True, slots=True)
class Settings(DerivedSettings):
    """The settings, parsed and checked. Empty texts and None stand for what is not set.

    project  of Google Cloud, whose traces the log belongs to: GOOGLE_CLOUD_PROJECT, or the metadata store's
    sources  where the value of each setting comes from, by its option: an option, a variable, a file, or DEFAULT
    """

    address: parse.Address = setting("server", "127.0.0.1:5000", "HOST:PORT", "where to listen", parse.address)
    data: Path = setting(
        "stores",
        "./lading-data",
        "FOLDER",
        "where blobs and metadata are, unless the next two say otherwise",
        parse.folder,
        is_path=True,
    )
    blobs: str = setting(
        "stores",
        "",
        "URL",
        "the blob store: file:///FOLDER or gs://BUCKET",
        derived=lambda data: (data / "blobs").as_uri(),
    )
    metadata: str = setting(
        "stores",
        "",
        "URL",
        "the metadata store: sqlite:///FILE or firestore://PROJECT/DATABASE",
        derived=lambda data: f"sqlite://{(data / DATABASE).as_posix()}",
    )
    url: str = setting(
        "server", "", "URL", "the address that clients see, behind a proxy or a load balancer", parse.public_url
    )
    cors_origins: tuple[str, ...] = setting(
        "server",
        "",
        "ORIGINS",
        "other sites whose web pages may use the registry with a user's credentials, as in https://ui.example.com",
        parse.origins,
    )
    trusted_hops: int = setting(
        "server",
        "0",
        "NUMBER",
        "proxies in front that are trusted: the client's address is that entry of X-Forwarded-For, from the right",
        parse.number(0, 16),
    )
    tls_cert: Path | None = setting(
        "server", "", "FILE", "the certificate chain (PEM), for HTTPS", parse.file, is_path=True
    )
    tls_key: Path | None = setting(
        "server", "", "FILE", "the certificate's private key (PEM)", parse.file, is_path=True
    )
    access: str = setting(
        "access",
        "users",
        "HOW",
        "who decides: users (two files), gs://BUCKET (IAM on a policy bucket), project://PROJECT (IAM on a project), "
        "or everybody may do everything, on loopback only",
        key="mode",
    )
    public: tuple[str, ...] = setting(
        "access", "", "NAMES", "repositories that all may pull, as in team/app,library/*", parse.names
    )
    folders: tuple[str, ...] = setting(
        "access",
        "",
        "NAMES",
        "the policy bucket's managed folders, as in team-a,team-b/web: no others are asked, and a listing asks each",
        parse.names,
    )
    unscoped_tokens: str = setting(
        "access",
        "pull",
        "refuse|pull|push|delete",
        "the most that Google tokens may do whose scopes Google does not tell, as those of federated workloads",
        parse.choice("refuse", "pull", "push", "delete"),
    )
    users: Path = setting(
        "access",
        "",
        "FILE",
        "users and bcrypt hashes (htpasswd); default users.htpasswd in the data folder",
        Path,
        derived=lambda data: data / "users.htpasswd",
        is_path=True,
    )
    grants: Path = setting(
        "access",
        "",
        "FILE",
        "who may do what; default grants.txt in the data folder",
        Path,
        derived=lambda data: data / "grants.txt",
        is_path=True,
    )
    keys: str = setting(
        "access",
        "",
        "URL",
        "the keys of tokens and robots: file:///FILE or secret://PROJECT/SECRET",
        derived=lambda data: (data / "keys.json").as_uri(),
    )
    hmac_key: Path | None = setting(
        "stores",
        "",
        "FILE",
        "an HMAC key of Cloud Storage, ACCESS_ID SECRET, that signs URLs; by default, the registry's account signs",
        parse.file,
        is_path=True,
    )
    cdn_key: Path | None = setting(
        "stores",
        "",
        "FILE",
        "a key of Cloud CDN, URL NAME KEY: pulls are redirected to that URL, signed with it",
        parse.file,
        is_path=True,
    )
    rules_serial: int = setting(
        "rules",
        "0",
        "NUMBER",
        "grows with each change of the rules here: those of the highest serial apply; 0 only makes rules stricter",
        parse.number(0, 1_000_000_000_000_000),
        key="serial",
    )
    immutable: tuple[str, ...] = setting(
        "rules",
        "",
        "RULES",
        "tags that are created once, as in prod/*:v*,!prod/*:v*-rc* (an exception begins with an exclamation mark)",
        parse.rules,
    )
    allow_missing: tuple[str, ...] = setting(
        "rules",
        "",
        "RULES",
        "what manifests may name and lack: windows/*:urls (layers with URLs), mirror/*:sparse (an index's manifests)",
        parse.rules,
    )
    undelete: timedelta = setting(
        "rules", "7d", "TIME", "how long what is deleted can be restored, as in 7d, 12h or 30m", parse.duration
    )
    grace: timedelta = setting(
        "rules", "24h", "TIME", "how long collection leaves a blob alone that no manifest names", parse.duration
    )
    collect_every: timedelta | None = setting(
        "jobs",
        "1h",
        "TIME|off",
        "how often `lading serve` collects garbage and cleans up by itself, on a folder and SQLite",
        parse.interval,
    )
    collector: str = setting("jobs", "", "EMAIL", "the service account whose calls the function `collect` answers")
    cleanup: str = setting(
        "rules",
        "",
        "FILE|JSON",
        "clean-up policies, in Artifact Registry's JSON: a file, or the JSON itself",
        is_path=True,
    )
    cleanup_mode: str = setting(
        "rules",
        "plan",
        "plan|apply",
        "whether the scheduled collection applies the policies, or only reports",
        parse.choice("plan", "apply"),
    )
    policies: str = setting(
        "rules", "", "FILE|JSON", "policies of images: a file in TOML, JSON or YAML, or the JSON itself", is_path=True
    )
    log: str = setting(
        "log",
        "text",
        "text|json",
        "the form of the access log, a line per request on standard error",
        parse.choice("text", "json"),
        key="format",
    )
    log_level: str = setting(
        "log",
        "info",
        "info|debug",
        "with `debug` also requests that held up all others for 50 ms or more",
        parse.choice("info", "debug"),
        key="level",
    )
    threads: int = setting(
        "server",
        "128",
        "NUMBER",
        "requests served at a time; uploads have three quarters of them, and one user alone half of those",
        parse.number(1, 1000),
    )
    body_timeout: int = setting(
        "server",
        "60",
        "SECONDS",
        "how long a request's body may stand still: however slow it is, one that moves goes on",
        parse.number(1, 3600),
    )
    largest_body: int = setting(
        "server",
        "0",
        "MIB",
        "the largest body of a request, where something in front ends more; 0 for any",
        parse.mebibytes(0, 1_000_000),
    )
    events_topic: str = setting(
        "events", "", "TOPIC", "Pub/Sub topic of CloudEvents: projects/PROJECT/topics/TOPIC", parse.topic, key="topic"
    )
    notifications_topic: str = setting(
        "events", "", "TOPIC", "Pub/Sub topic of notifications as Artifact Registry sends them", parse.topic
    )
    events_keep: timedelta = setting(
        "events",
        "7d",
        "TIME",
        "how long an event is kept that a topic or webhook has not taken, as in 7d, 12h or 30m",
        parse.duration,
        key="keep",
    )
    publisher: str = setting("events", "", "EMAIL", "the service account whose calls the function `publish` accepts")
    webhook_networks: tuple[IPv4Network | IPv6Network, ...] = setting(
        "events",
        "",
        "NETWORKS",
        "networks that webhooks may reach beside the public internet, as in 10.1.0.0/16,192.168.7.9/32",
        parse.networks,
    )
    scan: str = setting(
        "scans",
        "auto",
        "auto|on|off",
        "whether pushed images are scanned; auto: where the extra `scan` is installed, or `scanner` names an account",
        parse.choice("auto", "on", "off"),
        key="mode",
    )
    vulnerability_source: str = setting(
        "scans",
        "https://osv-vulnerabilities.storage.googleapis.com",
        "URL|none",
        "where data about vulnerabilities is downloaded from, laid out as OSV's bucket; none where it is imported",
        parse.source_url,
        key="source",
    )
    vulnerability_updates: str = setting(
        "scans", "on", "on|off", "whether `lading serve` updates it daily", parse.choice("on", "off"), key="updates"
    )
    vulnerability_repository: str = setting(
        "scans", "lading/vulnerabilities", "NAME", "the repository that has it", parse.repository, key="repository"
    )
    vex_keys: str = setting(
        "scans", "", "PATH|JSON", "public keys (PEM) whose VEX documents count: a file, a folder, or JSON", is_path=True
    )
    scan_keys: str = setting(
        "scans", "", "PATH|JSON", "keys (PEM) whose SBOMs and reports count: a file, a folder, or JSON", is_path=True
    )
    scanner: str = setting(
        "scans", "", "EMAIL", "the service account of the function `scan`: it may scan, nothing else"
    )
    attester: str = setting(
        "attestations", "", "EMAIL", "the service account of the function `attest`: it asks what passes, nothing else"
    )
    attest_repositories: tuple[str, ...] = setting(
        "attestations", "", "NAMES", "whose images are attested, as in prod/*,team/app", parse.names, key="repositories"
    )
    attestation_note: str = setting(
        "attestations", "", "NOTE", "the attestor's note: projects/PROJECT/notes/NOTE", parse.note, key="note"
    )
    attestation_key: str = setting(
        "attestations", "", "KEY", "the version of a key of Cloud KMS that signs them", parse.key_version, key="key"
    )
    metrics: parse.Address | None = setting(
        "telemetry",
        "",
        "HOST:PORT",
        "where to listen for Prometheus, at a port of its own, without authentication",
        parse.optional_address,
    )
    project: str = ""
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


SETTINGS: Final = declared_in(Settings)
"""All settings, in the order of their declaration."""

DATA: Final = next(each for each in SETTINGS if each.option == "data")


def load_settings(
    environment: Mapping[str, str] = os.environ, options: Mapping[str, str | None] | None = None, config: str = ""
) -> Settings:
    """Return the settings: of the command line, else the environment, else the configuration, else defaults.

    Of `options`, by option, empty values count as not given; `config` is the value of --config, or "". Raises
    SettingsError where a setting or the configuration cannot be used.
    """
    given = SettingTexts(environment, options or {}, NO_CONFIG)
    try:
        data, source = given.of(DATA)
        found = find_config(config, environment, data, SETTINGS, default=source == DEFAULT)
        return _parse(replace(given, config=found), environment)
    except ConfigError as error:
        raise SettingsError(str(error)) from None


def settings_of(config: ConfigFile) -> Settings:
    """Return the settings of a configuration alone, whatever the environment is. Raises SettingsError."""
    return _parse(SettingTexts({}, {}, config), {})


def _parse(texts: SettingTexts, environment: Mapping[str, str]) -> Settings:
    """Parse and check all settings. Raises SettingsError."""
    values, sources = texts.parse(SETTINGS)
    project = environment.get("GOOGLE_CLOUD_PROJECT") or parse.project_of(values["metadata"])
    parsed = Settings(**values, project=project, sources=sources)
    parsed.check_together(environment)
    return parsed
