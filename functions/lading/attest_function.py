"""The HTTP endpoint of the function `attest`: called by Pub/Sub for each event of an image, and by Cloud Scheduler.

It writes an attestation of Binary Authorization for each image that passes the policies. A call may be repeated, and
may end at any point: the next one leaves the same. Pub/Sub repeats a call until the response is 2xx.

The function has no rights to any store. It asks the registry over HTTP as the account of LADING_ATTESTER
(lading.api.attestations), and may sign with one key, and write on one note.
"""

import logging
import threading
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from werkzeug.wrappers import Request

from lading import function_call, logs
from lading.attester.attest_run import AttestReport, AttestRun
from lading.attester.attestations import Attestations, Written
from lading.attester.google_api import GoogleApi, GoogleError, GoogleRefused
from lading.attester.wake_up import MAX_BODY, InvalidMessage, WakeUp, wake_up_of
from lading.auth.google.own_identity import OwnIdentity
from lading.http.responses import Response
from lading.quantity import counted
from lading.registry.errors import UNAVAILABLE, RegistryError
from lading.scanner.registry_client import RegistryClient, RegistryUnreachable
from lading.settings import Settings

USER: Final = "attester"
"""The user name that the ID token is the password of (lading.auth.google.function_account)."""

log = logging.getLogger("lading.attest")


def respond(request: Request) -> Response:
    """Attest what an event is about, or sweep where there is none (POST), and return the report, which is also logged.

    Only the service account of LADING_COLLECTOR may call it, which calls all jobs. The response is 503 where the
    registry or Google cannot be reached, or refuses a request: the log says which permission is missing.
    """
    return function_call.respond(
        request, "attest", lambda config: config.collector, lambda config: _run(request, config)
    )


def _run(request: Request, config: Settings) -> dict[str, Any]:
    """Run for a call. Raises RegistryError."""
    try:
        report = _report(request, config)
    except GoogleRefused as error:
        log.error("Google refuses an attestation: %s", error)
        raise RegistryError(UNAVAILABLE) from None
    except (RegistryUnreachable, GoogleError) as error:
        log.warning("images cannot be attested now: %s", error)
        raise RegistryError(UNAVAILABLE) from None
    if failed := report["images"]["failed"]:
        log.error("Google refuses %s: see jsonPayload.attest.reasons", counted(failed, "attestation"))
    logs.log_attestations(report)
    return report


def _report(request: Request, config: Settings) -> dict[str, Any]:
    """Return the report of a call. Raises RegistryError, RegistryUnreachable, GoogleError."""
    if not request.content_length:
        return _attester().sweep(config)
    try:
        event = _event(request)
    except InvalidMessage as error:
        log.warning("a message is dropped: %s", error)
        return AttestReport(other=1).as_json()
    return _attester().run(config).handle(event).as_json()


def _event(request: Request) -> WakeUp | None:
    """Return what a push request is about. Raises InvalidMessage."""
    body = request.stream.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise InvalidMessage(f"it has more than {MAX_BODY} bytes")
    return wake_up_of(body)


class Attester:
    """The attester of a process, which keeps a connection for each thread, and what it has written."""

    def __init__(self) -> None:
        """Know nothing so far."""
        self._written = Written()
        self._threads = threading.local()
        self._sweeping = threading.Lock()

    def run(self, config: Settings) -> AttestRun:
        """Return the run of this thread."""
        run: AttestRun | None = getattr(self._threads, "run", None)
        if run is None:
            run = self._threads.run = open_run(config, self._written)
        return run

    def sweep(self, config: Settings) -> dict[str, Any]:
        """Go on with the sweep; the report of one beside another is empty."""
        if not self._sweeping.acquire(blocking=False):
            return AttestReport(finished=False).as_json()
        try:
            return self.run(config).sweep().as_json()
        finally:
            self._sweeping.release()


def open_run(config: Settings, written: Written) -> AttestRun:
    """Return the run that the settings describe."""
    registry = RegistryClient(config.realm, OwnIdentity(config.realm).token, user=USER, endpoints="attestations")
    attestations = Attestations(GoogleApi(), config.attestation_note, config.attestation_key, written)
    return AttestRun(registry, attestations, urlsplit(config.realm).netloc, config.attest_repositories)


@cache
def _attester() -> Attester:
    return Attester()
