"""DerivedSettings: what follows from several settings together."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from lading.loopback import CONTAINER_HOSTS, is_loopback
from lading.setting import DEFAULT
from lading.setting_values import Address


class SettingsError(Exception):
    """A setting that cannot be used; the message says which, and why."""


class DerivedSettings:
    """Base class of Settings, which declares the settings that are used here."""

    __slots__ = ()

    access: str
    address: Address
    blobs: str
    metadata: str
    url: str
    tls_cert: Path | None
    tls_key: Path | None
    trusted_hops: int
    metrics: Address | None
    sources: Mapping[str, str]

    @property
    def host(self) -> str:
        """The host of `address`."""
        return self.address.host

    @property
    def port(self) -> int:
        """The port of `address`."""
        return self.address.port

    def is_given(self, option: str) -> bool:
        """Return whether a setting was set at all."""
        return self.sources[option] != DEFAULT

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
    def events_url(self) -> str:
        """The registry's address in events: `realm`. Raises SettingsError where only `url` can say it."""
        if not self.url and not self.embedded:
            raise SettingsError("events name the registry's address: set --url, the address that clients see")
        return self.realm

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

    def check_together(self, environment: Mapping[str, str]) -> None:
        """Raise SettingsError where settings that are good by themselves contradict one another, or the platform."""
        in_cloud_run, is_open = "K_SERVICE" in environment, self.access == "everybody"
        is_registry = environment.get("FUNCTION_TARGET", "registry") == "registry"
        if in_cloud_run and is_registry and not is_open and not self.is_given("keys"):
            # What one instance makes for itself in a folder of its own, no other would trust.
            raise SettingsError("instances share their keys: set --keys, as in secret://PROJECT/SECRET")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise SettingsError("--tls-cert and --tls-key go together")
        if self.metrics and self.metrics.port == self.port:
            raise SettingsError("--metrics needs a port of its own, never that of --address")
        if is_open and (in_cloud_run or self.trusted_hops):
            # Every client has the proxy's address there, which may well be loopback.
            raise SettingsError(
                "--access everybody is for loopback alone, and refused with --trusted-hops or in Cloud Run"
            )
