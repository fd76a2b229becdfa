"""`lading serve`."""

import argparse
import contextlib
import logging
import os
import signal
import sys
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from lading.commands.exit_status import INTERRUPTED, TERMINATED
from lading.commands.first_user import create_first_user, first_user_text, login_line
from lading.commands.options import Commands, add
from lading.settings import SETTINGS, Settings, SettingsError
from lading_storage.local.durable_folders import make_private_if_empty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.configured_rules import PolicyChanges
    from lading.job_table import JobRow
    from lading.jobs.background import BackgroundJob, SlicedJob
    from lading.metrics.metrics import Metrics
    from lading.registry.registry import Registry
    from lading.traces.traces import Traces

log = logging.getLogger("lading")

OPEN_ACCESS_REFUSED: Final = (
    "{address} can be reached from other machines, where everybody could write without a login:\n"
    "--access everybody is for loopback alone, and for containers of this machine with --url"
    " http://host.docker.internal:PORT; leave it out, or name a policy bucket or a project"
)

NO_METRICS: Final = "--metrics needs the package prometheus-client: pip install 'lading-registry[metrics]'"

TRACES_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""The variables of which one enables traces: OpenTelemetry's own."""

NO_TRACES: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT needs OpenTelemetry's packages: pip install 'lading-registry[traces]';"
    " or set OTEL_SDK_DISABLED=true"
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    add(commands, "serve", "serve the registry", _serve, [setting.option for setting in SETTINGS])


def _serve(parsed: argparse.Namespace, settings: Settings) -> None:
    """Refuse unsafe settings, print what is served, and serve."""
    from lading import logs

    _exit_at_interrupts()
    logs.start(settings.log, settings.project, settings.log_level)
    if settings.reaches_beyond_loopback and settings.access == "everybody":
        raise SettingsError(OPEN_ACCESS_REFUSED.format(address=settings.url or f"{settings.host}:{settings.port}"))
    from lading.cleanup_setting import open_cleanup_policies
    from lading.composition import create, standby_of
    from lading.configured_rules import PolicyChanges
    from lading.server.certificate import Certificate
    from lading.server.listener import listen
    from lading.server.serve import serve

    certificate = Certificate(settings)
    make_private_if_empty(settings.data)
    # Each collection reads the policies again; reading them here shows mistakes at the start.
    open_cleanup_policies(settings)
    policies = PolicyChanges(settings)
    with listen(settings) as listeners, _serve_metrics(settings) as metrics, _export_traces(settings) as traces:
        app = create(settings, metrics, traces)
        _warn(settings)
        if standby := standby_of(settings):
            # A standby's users are copied to it by backups.
            _announce(settings, None, standby)
        else:
            create_first_user(settings, lambda password: _announce(settings, password))
        jobs = [] if standby else _background_jobs(settings, app.registry, policies, metrics, traces)
        serve(app, settings, listeners, certificate, jobs)
    _end_process()


def _end_process() -> NoReturn:
    """End the process, whose stores are closed, without finalizing the interpreter.

    Threads of granian, and those that read bodies from it, may still return to Python: while an interpreter is
    finalized, and after it, that is a segmentation fault (https://github.com/python/cpython/issues/124619).
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


def _exit_at_interrupts() -> None:
    """Let SIGINT, and SIGTERM in a container, end the process until the server handles them.

    A KeyboardInterrupt is lost where it is raised in a callback of a weak reference, and the server would then start
    although it was told to end. Before it starts, there is nothing to finish: a start may be killed at any time.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    if os.getpid() == 1:
        # The first process of a container has no default for SIGTERM: it would not end before SIGKILL.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(TERMINATED))


@contextlib.contextmanager
def _serve_metrics(settings: Settings) -> "Iterator[Metrics | None]":
    """Serve metrics until the block ends, which receives them; without --metrics, import nothing of them."""
    if not settings.metrics:
        yield None
        return
    from lading.server.listener import listen_at

    try:
        from lading.metrics.listener import serve_metrics
        from lading.metrics.metrics import Metrics
    except ImportError:
        raise SettingsError(NO_METRICS) from None
    metrics = Metrics(settings)
    with listen_at(settings.metrics, "--metrics") as listeners, serve_metrics(listeners, metrics.exposition):
        yield metrics


@contextlib.contextmanager
def _export_traces(settings: Settings) -> "Iterator[Traces | None]":
    """Export traces until the block ends, which receives them; without an endpoint, import nothing of them."""
    if not any(os.environ.get(name) for name in TRACES_ENDPOINTS):
        yield None
        return
    from lading.traces.environment import are_enabled

    if not are_enabled(os.environ):
        yield None
        return
    try:
        from lading.traces.traces import Traces
    except ImportError:
        raise SettingsError(NO_TRACES) from None
    with contextlib.closing(Traces(settings)) as traces:
        yield traces


def _background_jobs(
    settings: Settings,
    registry: "Registry",
    policies: "PolicyChanges",
    metrics: "Metrics | None" = None,
    traces: "Traces | None" = None,
) -> "list[BackgroundJob]":
    """Return the jobs to run beside requests; none in the cloud, where Cloud Scheduler calls a function for each."""
    if not settings.embedded:
        return []
    from lading.job_table import JOBS
    from lading.jobs.background import BackgroundJob
    from lading.jobs.gc.reserve import released

    def background_job(row: "JobRow", interval: timedelta) -> BackgroundJob:
        def open_job() -> "SlicedJob":
            job = _open_job(row, settings, registry, policies)
            job = metrics.job(row.name, interval, job) if metrics else job
            return traces.job(row.name, job) if traces else job

        return BackgroundJob(
            row.name,
            interval,
            cache(open_job) if row.opened_once else open_job,
            lambda: released(settings.metadata),
            lambda report: row.log(report.as_json()),
        )

    return [background_job(row, interval) for row in JOBS if (interval := row.interval(settings))]


def _open_job(row: "JobRow", settings: Settings, registry: "Registry", policies: "PolicyChanges") -> "SlicedJob":
    """Open a job; first apply the clean-up policies again if their file has changed."""
    if not row.opened_once:
        policies.apply(registry)
    return row.open(settings, registry)


def _warn(settings: Settings) -> None:
    """Log warnings about unsafe settings that are accepted."""
    from lading.jobs.doctor.modes import FileModeChecks
    from lading.loopback import is_loopback

    if settings.is_unencrypted:
        log.warning("%s sends passwords, tokens and layers unencrypted through the network: use https", settings.realm)
    if settings.metrics and not is_loopback(settings.metrics.host):
        log.warning(
            "all clients that reach %s:%d may read the metrics, with the names of namespaces", *settings.metrics
        )
    for path in FileModeChecks(settings).exposed():
        log.warning("other users of this machine may read %s: chmod go= %s", path, path)


def _announce(settings: Settings, password: Path | None, standby: str = "") -> None:
    """Print what is served, for people on standard output, or as a line of the JSON log."""
    if settings.log != "json":
        print(_welcome(settings, password, standby), flush=True)
        return
    fields = {
        "message": f"Lading serves {settings.realm}",
        "blobs": settings.blobs,
        "metadata": settings.metadata,
        "access": settings.access,
        "public": list(settings.public),
        "scans": _scans(settings, standby),
        "standby": standby,
        "first_user": first_user_text(password) if password else "",
    }
    log.info(fields["message"], extra={"fields": {name: value for name, value in fields.items() if value}})


def _scans(settings: Settings, standby: str) -> str:
    """Return what is scanned, and how to have images scanned where none are."""
    from lading.scan_composition import EXTRA_COMMAND, scans_images

    if standby:
        return "nothing: the results are those that the backup has"
    if scans_images(settings):
        return "each image that is pushed"
    return "nothing" if settings.scan == "off" else f"nothing, since the extra is missing: {EXTRA_COMMAND}"


def _welcome(settings: Settings, password: Path | None, standby: str) -> str:
    """Return what is served, and commands to try: of a standby, those that write nothing."""
    address, line = settings.realm.partition("://")[2], login_line(settings, password)
    first = f"{first_user_text(password)}\n" if password else ""
    login = f"  {line}\n" if line else ""
    push = "" if standby else f"  docker tag IMAGE {address}/IMAGE\n  docker push {address}/IMAGE\n"
    last = f"\n{standby}" if standby else ""
    return f"""\
Lading serves {settings.realm}
  blobs     {settings.blobs}
  metadata  {settings.metadata}
  access    {settings.access}
  public    {", ".join(settings.public) or "nothing"}
  scans     {_scans(settings, standby)}

{first}Try:
{login}{push}  docker pull {address}/IMAGE
{last}"""
