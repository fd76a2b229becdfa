"""The settings: a row each, from which the command line, the environment and README's table are made."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache, partial
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from lading import setting_values


class SettingsError(Exception):
    """A setting that cannot be used; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    option   of `lading serve`, without the dashes
    default  as it would be written; "" where there is none
    value    what stands for the value in a usage line
    """

    option: str
    default: str
    value: str
    help: str

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"LADING_{self.option.replace('-', '_').upper()}"


SETTINGS: Final = (
    Setting("address", "127.0.0.1:5000", "HOST:PORT", "where to listen"),
    Setting("data", "./lading-data", "FOLDER", "where blobs and metadata are, unless the next two say otherwise"),
    Setting("blobs", "", "URL", "the blob store: file:///FOLDER or gs://BUCKET"),
    Setting("metadata", "", "URL", "the metadata store: sqlite:///FILE or firestore://PROJECT/DATABASE"),
    Setting("url", "", "URL", "the address that clients see, behind a proxy or a load balancer"),
    Setting(
        "cors-origins",
        "",
        "ORIGINS",
        "other sites whose web pages may use the registry with a user's credentials, as in https://ui.example.com",
    ),
    Setting(
        "trusted-hops",
        "0",
        "NUMBER",
        "proxies in front that are trusted: the client's address is that entry of X-Forwarded-For, from the right",
    ),
    Setting("tls-cert", "", "FILE", "the certificate chain (PEM), for HTTPS"),
    Setting("tls-key", "", "FILE", "the certificate's private key (PEM)"),
    Setting(
        "access",
        "users",
        "HOW",
        "who decides: users (two files), gs://BUCKET (IAM on a policy bucket), project://PROJECT (IAM on a project), "
        "or everybody may do everything, on loopback only",
    ),
    Setting("public", "", "NAMES", "repositories that all may pull, as in team/app,library/*"),
    Setting(
        "folders",
        "",
        "NAMES",
        "the policy bucket's managed folders, as in team-a,team-b/web: no others are asked, and a listing asks each",
    ),
    Setting(
        "unscoped-tokens",
        "pull",
        "refuse|pull|push|delete",
        "the most that Google tokens may do whose scopes Google does not tell, as those of federated workloads",
    ),
    Setting("users", "", "FILE", "users and bcrypt hashes (htpasswd); default users.htpasswd in the data folder"),
    Setting("grants", "", "FILE", "who may do what; default grants.txt in the data folder"),
    Setting("keys", "", "URL", "the keys of tokens and robots: file:///FILE or secret://PROJECT/SECRET"),
    Setting(
        "hmac-key",
        "",
        "FILE",
        "an HMAC key of Cloud Storage, ACCESS_ID SECRET, to sign URLs with; else whoever the registry runs as signs",
    ),
    Setting(
        "cdn-key", "", "FILE", "a key of Cloud CDN, URL NAME KEY: pulls are redirected to that URL, signed with it"
    ),
    Setting(
        "immutable",
        "",
        "RULES",
        "tags that are created once, as in prod/*:v*,!prod/*:v*-rc* (an exception begins with an exclamation mark)",
    ),
    Setting(
        "allow-missing",
        "",
        "RULES",
        "what manifests may name and lack: windows/*:urls (layers with URLs), mirror/*:sparse (an index's manifests)",
    ),
    Setting("undelete", "7d", "TIME", "how long what is deleted can be restored, as in 7d, 12h or 30m"),
    Setting("grace", "24h", "TIME", "how long collection leaves a blob alone that no manifest names"),
    Setting(
        "collect-every",
        "1h",
        "TIME|off",
        "how often `lading serve` collects garbage and cleans up by itself, on a folder and SQLite",
    ),
    Setting("collector", "", "EMAIL", "the service account whose calls the function `collect` answers"),
    Setting("cleanup", "", "FILE|JSON", "clean-up policies, in Artifact Registry's JSON: a file, or the JSON itself"),
    Setting(
        "cleanup-mode", "plan", "plan|apply", "whether the scheduled collection applies the policies, or only reports"
    ),
    Setting("log", "text", "text|json", "the form of the access log, a line per request on standard error"),
    Setting("log-level", "info", "info|debug", "with `debug` also requests that held up all others for 50 ms or more"),
    Setting(
        "threads",
        "128",
        "NUMBER",
        "requests served at a time; uploads have three quarters of them, and one user alone half of those",
    ),
    Setting(
        "body-timeout",
        "60",
        "SECONDS",
        "how long a request's body may stand still: however slow it is, one that moves goes on",
    ),
    Setting("largest-body", "0", "MIB", "the largest body of a request, where something in front ends more; 0 for any"),
)


DATABASE: Final = "metadata.sqlite"
"""The file of the metadata in a data folder."""

UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
MAX_HOPS: Final = 16
CONTAINER_HOSTS: Final = frozenset(
    f"host.{each}.internal" for each in ("docker", "containers", "minikube", "k3d", "lima", "rancher-desktop")
)
"""Names by which containers reach the loopback of their machine: no page can have them, `.internal` is private."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, read and checked. Empty texts and None stand for what is not set.

    project  of Google Cloud, whose traces the log belongs to: GOOGLE_CLOUD_PROJECT, or the metadata store's
    """

    host: str
    port: int
    data: Path
    blobs: str
    metadata: str
    url: str
    cors_origins: tuple[str, ...]
    trusted_hops: int
    tls_cert: Path | None
    tls_key: Path | None
    access: str
    public: tuple[str, ...]
    folders: tuple[str, ...]
    unscoped_tokens: str
    users: Path
    grants: Path
    keys: str
    hmac_key: Path | None
    cdn_key: Path | None
    immutable: tuple[str, ...]
    allow_missing: tuple[str, ...]
    undelete: timedelta
    grace: timedelta
    collect_every: timedelta | None
    collector: str
    cleanup: str
    cleanup_mode: str
    log: str
    log_level: str
    threads: int
    body_timeout: float
    largest_body: int
    project: str

    @property
    def realm(self) -> str:
        """The registry's address in challenges and tokens: `url`, or where it listens. Raises SettingsError."""
        if self.url:
            return self.url
        if self.host in ("0.0.0.0", "::"):  # noqa: S104  # not listened at here
            raise SettingsError(f"clients cannot be sent to {self.host}: say --url, the address that they see")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"

    @property
    def embedded(self) -> bool:
        """Whether both stores are on this machine."""
        return urlsplit(self.blobs).scheme == "file" and urlsplit(self.metadata).scheme == "sqlite"

    @property
    def reaches_beyond_loopback(self) -> bool:
        """Whether others than this machine can reach the registry: where it listens, or through a proxy at its URL."""
        if not is_loopback(self.host):
            return True
        named = urlsplit(self.realm).hostname or ""
        return not is_loopback(named) and named not in CONTAINER_HOSTS

    @property
    def is_unencrypted(self) -> bool:
        """Whether clients on other machines are sent to an address without TLS. Raises SettingsError."""
        named = urlsplit(self.realm)
        host = named.hostname or ""
        return named.scheme == "http" and not is_loopback(host) and host not in CONTAINER_HOSTS


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine and nobody else."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(
    environment: Mapping[str, str] = os.environ, options: Mapping[str, str | None] | None = None
) -> Settings:
    """The settings: of the command line's `options`, else the environment's, else defaults. Raises SettingsError."""
    try:
        return _parse(partial(_value, environment, options or {}), environment)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _parse(value: Callable[[str], str], environment: Mapping[str, str]) -> Settings:
    """Read and check. Raises SettingsError, ValueError."""
    _check_together(value, environment)
    host, port = setting_values.address(value("address"))
    data = Path(value("data")).absolute()
    return Settings(
        host=host,
        port=port,
        data=data,
        blobs=value("blobs") or (data / "blobs").as_uri(),
        metadata=value("metadata") or f"sqlite://{(data / DATABASE).as_posix()}",
        url=setting_values.public_url(value("url")),
        cors_origins=setting_values.origins(value("cors-origins")),
        trusted_hops=_hops(value("trusted-hops")),
        tls_cert=_file(value("tls-cert")),
        tls_key=_file(value("tls-key")),
        access=value("access"),
        public=setting_values.names("public", value("public")),
        folders=setting_values.names("folders", value("folders")),
        unscoped_tokens=setting_values.choice(
            "unscoped-tokens", value("unscoped-tokens"), ("refuse", "pull", "push", "delete")
        ),
        users=Path(value("users") or data / "users.htpasswd"),
        grants=Path(value("grants") or data / "grants.txt"),
        keys=value("keys") or (data / "keys.json").as_uri(),
        hmac_key=_file(value("hmac-key")),
        cdn_key=_file(value("cdn-key")),
        immutable=setting_values.rules(value("immutable")),
        allow_missing=setting_values.rules(value("allow-missing")),
        undelete=duration(value("undelete")),
        grace=duration(value("grace")),
        collect_every=_interval(value("collect-every")),
        collector=value("collector"),
        cleanup=value("cleanup"),
        cleanup_mode=setting_values.choice("cleanup-mode", value("cleanup-mode"), ("plan", "apply")),
        log=setting_values.choice("log", value("log"), ("text", "json")),
        log_level=setting_values.choice("log-level", value("log-level"), ("info", "debug")),
        threads=setting_values.number("threads", value("threads"), 1, 1000),
        body_timeout=setting_values.number("body-timeout", value("body-timeout"), 1, 3600),
        largest_body=setting_values.number("largest-body", value("largest-body"), 0, 1_000_000) * 2**20,
        project=environment.get("GOOGLE_CLOUD_PROJECT") or _project(value("metadata")),
    )


def _value(environment: Mapping[str, str], options: Mapping[str, str | None], option: str) -> str:
    """Return the text of a setting: of the command line, else of the environment, else its default."""
    setting = next(each for each in SETTINGS if each.option == option)
    return options.get(option) or environment.get(setting.variable) or setting.default


def _file(text: str) -> Path | None:
    return Path(text) if text else None


def _check_together(value: Callable[[str], str], environment: Mapping[str, str]) -> None:
    """Raise SettingsError where settings that are good by themselves contradict one another, or the platform."""
    in_cloud_run, to_all = "K_SERVICE" in environment, value("access") == "everybody"
    lets_in = not to_all and environment.get("FUNCTION_TARGET", "registry") == "registry"
    if in_cloud_run and lets_in and not value("keys"):
        # What one instance makes for itself in a folder of its own, no other would trust.
        raise SettingsError("instances share their keys: say --keys, as in secret://PROJECT/SECRET")
    if bool(value("tls-cert")) != bool(value("tls-key")):
        raise SettingsError("--tls-cert and --tls-key go together")
    if to_all and (in_cloud_run or _hops(value("trusted-hops"))):
        # Every client has the proxy's address there, which may well be loopback.
        raise SettingsError("--access everybody is for loopback alone, and refused with --trusted-hops or in Cloud Run")


def _hops(text: str) -> int:
    return setting_values.number("trusted-hops", text, 0, MAX_HOPS)


def _project(metadata: str) -> str:
    """Return the project of Google Cloud in the URL of a metadata store, or ""."""
    parts = urlsplit(metadata)
    return parts.netloc if parts.scheme == "firestore" else ""


def duration(text: str) -> timedelta:
    """A time such as 90d, 12h, 30m or 45s. Raises SettingsError."""
    found = re.fullmatch(r"(\d{1,7})([dhms])", text)
    if not found:
        raise SettingsError(f"{text} is not a time such as 90d, 12h or 30m")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def _interval(text: str) -> timedelta | None:
    """Return a time, or None for `off`. Raises SettingsError."""
    found = None if text == "off" else duration(text)
    if found == timedelta(0):
        raise SettingsError(f"--collect-every is a time such as 1h, or off, not {text}")
    return found


def local_path(url: str, scheme: str) -> Path:
    """The path of a `file:` or `sqlite:` URL. Raises SettingsError."""
    parts = urlsplit(url)
    if parts.netloc or not parts.path.startswith("/"):
        raise SettingsError(f"{url} is not of the form {scheme}:///PATH")
    return Path(unquote(parts.path))
