"""The composition of authentication: opens the keys, users, robots and rights that the settings name.

A module of its own, since most commands open stores without it, and its libraries are half of what they would import.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from lading.auth.access import Authenticator, Authorizer
from lading.auth.authenticator import Accounts, OpenAuthenticator, RestrictedAuthenticator
from lading.auth.google.client import GoogleClient
from lading.auth.google.function_account import ATTESTER, SCANNER, FunctionAccount
from lading.auth.google.google_tokens import Pseudonyms
from lading.auth.google.iam import IamAuthorizer
from lading.auth.google.id_tokens import IdTokens
from lading.auth.google.policy_bucket import PolicyBucket
from lading.auth.google.project import Project
from lading.auth.keys import KeyFile, KeyRing, KeyStore
from lading.auth.robots import Robots
from lading.local_path import local_path
from lading.settings import Settings, SettingsError
from lading_storage.protocols import MetadataStore


def open_keys(url: str, create: bool = True) -> KeyStore:
    """Return the store of the registry's keys at `url`.

    Args:
        url: file:///FILE or secret://PROJECT/SECRET.
        create: whether a missing file is created, with new keys.

    Raises:
        SettingsError: the URL is invalid.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "file":
            return KeyFile(local_path(url, "file"), create)
        case "secret" if parts.netloc and parts.path.strip("/"):
            from lading.auth.google.secret_manager import SecretManagerKeyStore

            return SecretManagerKeyStore(parts.netloc, parts.path.strip("/"))
    raise SettingsError(f"keys are in file:///FILE or secret://PROJECT/SECRET, not {url}")


def open_authorizer(
    settings: Settings, key: Callable[[], bytes], standby: bool = False, google: GoogleClient | None = None
) -> Authorizer:
    """Return the authorizer, which knows callers and their rights. Raises SettingsError, StorageError.

    Args:
        settings: name the authorizer (`access`).
        key: returns the robots' key, from which pseudonyms of callers are derived; called on demand.
        standby: whether nothing may be written.
        google: the client of Google's APIs, where it is not the default one.
    """
    google, parts = google or GoogleClient(), urlsplit(settings.access)
    if settings.access == "users":
        # Imported here, since only this authorizer needs bcrypt.
        from lading.auth.htpasswd import HtpasswdAuthorizer

        # A `--users` file outside the data folder may be shared with other programs, so it is not rewritten.
        rehash = settings.users.parent == settings.data and not standby
        return HtpasswdAuthorizer(settings.users, settings.grants, IdTokens(google, settings.realm), rehash)
    match parts.scheme:
        case "gs" if parts.netloc and not parts.path.strip("/"):
            bucket = PolicyBucket(google, parts.netloc, settings.folders)
            return IamAuthorizer(google, bucket, Pseudonyms(key), settings.unscoped_tokens)
        case "project" if parts.netloc and not parts.path.strip("/"):
            project = Project(google, parts.netloc)
            return IamAuthorizer(google, project, Pseudonyms(key), settings.unscoped_tokens)
    raise SettingsError(f"--access is users, gs://BUCKET, project://PROJECT or everybody, not {settings.access}")


def open_robots(settings: Settings, metadata: MetadataStore) -> Robots:
    """Return the robots in `metadata`. Raises SettingsError, StorageError."""
    return Robots(metadata, KeyRing(open_keys(settings.keys).load))


def open_authenticator(
    settings: Settings, metadata: MetadataStore, standby: bool = False, google: GoogleClient | None = None
) -> Authenticator:
    """Return the authenticator of the registry with this metadata. See open_authorizer for the other arguments.

    Raises SettingsError, StorageError.
    """
    if settings.access == "everybody":
        return OpenAuthenticator()
    keys = KeyRing(open_keys(settings.keys).load)
    google = google or GoogleClient()
    authorizer = open_authorizer(settings, lambda: keys.robots, standby, google)
    id_tokens = IdTokens(google, settings.realm)
    rows = ((SCANNER, settings.scanner), (ATTESTER, settings.attester))
    functions = [FunctionAccount(role, account, id_tokens) for role, account in rows]
    accounts = Accounts(authorizer, Robots(metadata, keys), functions)
    return RestrictedAuthenticator(accounts, keys, settings.realm, settings.public)
