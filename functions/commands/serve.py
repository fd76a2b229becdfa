"""`lading serve`."""

import argparse
import secrets
from pathlib import Path
from typing import Final

from functions.commands.options import Commands, add
from functions.settings import SETTINGS, Settings, SettingsError

OPEN_REFUSED: Final = (
    "{address} can be reached from other machines, and nothing may be written by everybody there:\n"
    "--access everybody is for loopback alone; leave it out, or name a policy bucket or a project"
)

ADMIN: Final = "admin"


def add_to(commands: Commands) -> None:
    """Add the command."""
    add(commands, "serve", "serve the registry", _serve, [setting.option for setting in SETTINGS])


def _serve(parsed: argparse.Namespace, read: Settings) -> None:
    """Refuse what is unsafe, say where things are, serve."""
    if read.reaches_beyond_loopback and read.access == "everybody":
        raise SettingsError(OPEN_REFUSED.format(address=read.url or f"{read.host}:{read.port}"))
    from functions import logs
    from functions.composition import create
    from functions.serve import serve

    logs.start(read.log)
    password = _first_user(read) if read.access == "users" else ""
    app = create(read)
    print(_welcome(read, password), flush=True)
    serve(app, read)


def _first_user(read: Settings) -> str:
    """Where there is no file of users yet, make one, with one user who may do all; answers the password, or ""."""
    if read.users.exists() or read.grants.exists():
        return ""
    from functions.auth.local import hash_password

    password = secrets.token_urlsafe(12)
    for path, line in (
        (read.grants, f"# who      repositories   may\n{ADMIN}      *              pull,push,delete\n"),
        (read.users, f"{ADMIN}:{hash_password(password)}\n"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_new(path, line)
    return password


def _write_new(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text)


def _welcome(read: Settings, password: str) -> str:
    address = read.realm.partition("://")[2]
    login, first = _login(read, address), ""
    if password:
        first = f"The first user is {ADMIN}. This password is shown once; `lading users set {ADMIN}` sets another.\n"
        login = f"  docker login {address} -u {ADMIN} -p {password}\n"
    return f"""\
Lading serves {read.realm}
  blobs     {read.blobs}
  metadata  {read.metadata}
  access    {read.access}
  public    {", ".join(read.public) or "nothing"}

{first}Try:
{login}  docker tag IMAGE {address}/IMAGE
  docker push {address}/IMAGE
  docker pull {address}/IMAGE
"""


def _login(read: Settings, address: str) -> str:
    match read.access:
        case "everybody":
            return ""
        case "users":
            return f"  docker login {address} -u USER\n"
    return f"  gcloud auth print-access-token | docker login -u oauth2accesstoken --password-stdin {address}\n"
