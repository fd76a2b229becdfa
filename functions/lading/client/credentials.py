"""Credentials for a registry: those that were given, docker's, or gcloud's.

    --username with a password from a file or standard input
    --gcloud        `gcloud auth print-access-token`, for a registry that is named so: the token is worth much elsewhere
    otherwise       docker's config.json: credHelpers, credsStore (programs docker-credential-…), auths

https://docs.docker.com/reference/cli/docker/login/#credential-stores
"""

import base64
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lading.client.errors import ClientError

GCLOUD_USER: Final = "oauth2accesstoken"
"""The user name that registries of Google take with an access token."""

TOKEN_USER: Final = "<token>"  # noqa: S105  # a user name
"""The user name of docker's credential helpers for an identity token."""

PROGRAM_TIMEOUT: Final = 60.0
"""Seconds for a credential helper, which may ask a person."""

MAX_CONFIG: Final = 4 * 2**20
"""Maximum bytes of docker's config.json."""

HELPER: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
"""A credential helper's name, which never leads to another folder."""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """A user name and a secret. Its text has no secret.

    source  where they come from, as messages say it
    """

    user: str
    secret: str
    source: str

    @property
    def authorization(self) -> str:
        """The header Authorization (RFC 7617)."""
        return f"Basic {base64.b64encode(f'{self.user}:{self.secret}'.encode()).decode()}"

    def __repr__(self) -> str:
        return f"Credentials({self.user!r}, {self.source!r})"


def docker_config() -> Path:
    """Return the path of docker's config.json."""
    return Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "config.json"


def from_docker(host: str) -> Credentials | None:
    """Return docker's credentials for a host with its port, or None. Raises ClientError."""
    path = docker_config()
    config = _read_config(path)
    helpers, auths = _object(config.get("credHelpers")), _object(config.get("auths"))
    names = (host, f"https://{host}", f"http://{host}", f"https://{host}/v2/", f"https://{host}/v1/")
    helper = next((helpers[name] for name in names if name in helpers), config.get("credsStore"))
    if helper:
        found = _from_helper(str(helper), host)
        if found:
            return found
    for name in names:
        if entry := _object(auths.get(name)):
            return _from_entry(entry, f"{path}")
    return None


def from_gcloud() -> Credentials:
    """Return the access token of gcloud's active account. Raises ClientError."""
    command = ["gcloud", "auth", "print-access-token", "--quiet"]
    token = _run(command, "", "install the Google Cloud CLI, or leave out --gcloud").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise ClientError(f"`{' '.join(command)}` printed no token; run `gcloud auth login`")
    return Credentials(GCLOUD_USER, token, "`gcloud auth print-access-token`")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG + 1)
        if len(content) > MAX_CONFIG:
            raise ValueError
        return _object(json.loads(content))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ClientError(f"docker's configuration {path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ClientError(f"docker's configuration {path} is not JSON; correct it, or use --username") from None


def _from_helper(name: str, host: str) -> Credentials | None:
    """Return the credentials that a helper has for a host, or None where it has none. Raises ClientError."""
    if not HELPER.fullmatch(name):
        raise ClientError(f"{name[:80]} in {docker_config()} is not the name of a credential helper")
    program = f"docker-credential-{name}"
    printed = _run([program, "get"], host, f"install {program}, or use --username", missing_is_error=False)
    if not printed:
        return None
    try:
        fields = _object(json.loads(printed))
    except (ValueError, RecursionError):
        raise ClientError(f"{program} printed no JSON; use --username") from None
    user, secret = fields.get("Username"), fields.get("Secret")
    if not isinstance(user, str) or not isinstance(secret, str) or not secret:
        return None
    # An access token of Google's, as helpers return it with this name.
    return Credentials(GCLOUD_USER if user == TOKEN_USER else user, secret, program)


def _from_entry(entry: dict[str, Any], source: str) -> Credentials | None:
    try:
        user, _, secret = base64.b64decode(str(entry.get("auth", ""))).decode().partition(":")
    except ValueError:
        raise ClientError(f"an entry of auths in {source} cannot be read; run `docker login` again") from None
    user, secret = user or str(entry.get("username", "")), secret or str(entry.get("password", ""))
    return Credentials(user, secret.rstrip("\0"), source) if user and secret else None


def _run(command: list[str], text: str, advice: str, missing_is_error: bool = True) -> str:
    """Run a program; return what it prints, or "" where it fails and that is no error. Raises ClientError."""
    try:
        done = subprocess.run(  # noqa: S603  # no shell, and a helper's name was checked
            command, input=text, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise ClientError(f"there is no program {command[0]}; {advice}") from None
    except (OSError, UnicodeDecodeError, subprocess.TimeoutExpired) as error:
        raise ClientError(f"{command[0]} cannot be run ({type(error).__name__}); {advice}") from None
    if done.returncode and missing_is_error:
        # Its standard error only: the output might be half a token.
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        reason = next((line for line in lines if "ERROR" in line), lines[-1])
        raise ClientError(f"`{' '.join(command)}` failed: {reason[:200].rstrip('.')}; run it to see more")
    return "" if done.returncode else done.stdout


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
