"""`lading serve`."""

import argparse
import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final

from lading.commands.first_user import ADMIN, create_first_user, first_user_text
from lading.commands.options import Commands, add
from lading.settings import SETTINGS, Settings, SettingsError
from lading_storage.local.durable_folders import make_private_if_empty

if TYPE_CHECKING:
    from lading.registry.registry import Registry

log = logging.getLogger("lading")

OPEN_ACCESS_REFUSED: Final = (
    "{address} can be reached from other machines, and nothing may be written by everybody there:\n"
    "--access everybody is for loopback alone, and for containers of this machine with --url"
    " http://host.docker.internal:PORT; leave it out, or name a policy bucket or a project"
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    add(commands, "serve", "serve the registry", _serve, [setting.option for setting in SETTINGS])


def _serve(parsed: argparse.Namespace, settings: Settings) -> None:
    """Refuse what is unsafe, say where things are, serve."""
    from lading import logs

    logs.start(settings.log, settings.project, settings.log_level)
    if settings.reaches_beyond_loopback and settings.access == "everybody":
        raise SettingsError(OPEN_ACCESS_REFUSED.format(address=settings.url or f"{settings.host}:{settings.port}"))
    from lading.composition import create, open_policies, standby_of
    from lading.server.listener import check_certificate, listen
    from lading.server.serve import serve

    check_certificate(settings)
    make_private_if_empty(settings.data)
    # Collections read them again: here a mistake is found while the operator looks.
    open_policies(settings)
    with listen(settings) as listeners:
        app = create(settings)
        _warn(settings)
        if standby := standby_of(settings):
            # Its users are those that are copied to it.
            _announce(settings, None, standby)
        else:
            create_first_user(settings, lambda password: _announce(settings, password))
        serve(app, settings, listeners, nullcontext() if standby else _collection(settings, app.registry))


def _collection(settings: Settings, registry: "Registry") -> AbstractContextManager[object]:
    """Return what collects garbage beside the server: in the cloud a function does, when Cloud Scheduler calls it."""
    if settings.collect_every is None or not settings.embedded:
        return nullcontext()
    from lading import logs
    from lading.composition import collector_of
    from lading.jobs.gc.background import BackgroundCollection
    from lading.jobs.gc.reserve import released

    return BackgroundCollection(
        settings.collect_every,
        lambda: collector_of(settings, registry),
        lambda: released(settings.metadata),
        lambda report: logs.log_collection(report.as_json()),
    )


def _warn(settings: Settings) -> None:
    """Log what is served all the same, though it is not safe."""
    from lading.jobs.doctor.modes import FileModeChecks

    if settings.is_unencrypted:
        log.warning("%s sends passwords, tokens and layers unencrypted through the network: use https", settings.realm)
    for path in FileModeChecks(settings).exposed():
        log.warning("other users of this machine may read %s: chmod go= %s", path, path)


def _announce(read: Settings, password: Path | None, standby: str = "") -> None:
    """Say what is served: to people on standard output, or as a line of a log in JSON."""
    if read.log != "json":
        print(f"{_welcome(read, password)}\n{standby}" if standby else _welcome(read, password), flush=True)
        return
    fields = {
        "message": f"Lading serves {read.realm}",
        "blobs": read.blobs,
        "metadata": read.metadata,
        "access": read.access,
        "public": list(read.public),
        "standby": standby,
        "first_user": first_user_text(password) if password else "",
    }
    log.info(fields["message"], extra={"fields": {name: value for name, value in fields.items() if value}})


def _welcome(settings: Settings, password: Path | None) -> str:
    address = settings.realm.partition("://")[2]
    login, first = _login(settings, address), ""
    if password:
        first = f"{first_user_text(password)}\n"
        login = f"  docker login {address} -u {ADMIN} --password-stdin < {quote(str(password))}\n"
    return f"""\
Lading serves {settings.realm}
  blobs     {settings.blobs}
  metadata  {settings.metadata}
  access    {settings.access}
  public    {", ".join(settings.public) or "nothing"}

{first}Try:
{login}  docker tag IMAGE {address}/IMAGE
  docker push {address}/IMAGE
  docker pull {address}/IMAGE
"""


def _login(settings: Settings, address: str) -> str:
    match settings.access:
        case "everybody":
            return ""
        case "users":
            return f"  docker login {address} -u USER\n"
    return f"  gcloud auth print-access-token | docker login -u oauth2accesstoken --password-stdin {address}\n"
