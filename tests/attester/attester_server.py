"""A registry over HTTP with an attester's account, and the attester of it, whose Google is the fake of IAM."""

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from requests import Session
from werkzeug.serving import make_server

from emulators.processes import free_port
from lading.app import App
from lading.attester.attest_run import AttestReport, AttestRun
from lading.attester.attestations import Attestations, Written
from lading.attester.google_api import GoogleApi
from lading.auth_composition import open_authenticator
from lading.policies.evidence import ALLOWED, Decision, Outcome
from lading.policies.policy import ENFORCE, ImageRequirement, Policy, Requirements
from lading.registry.registry import Registry
from lading.scanner.registry_client import RegistryClient
from lading.settings import load_settings
from tests.scans.scanner_server import running
from tests.support.binary_authorization import ACCOUNT, KEY, NOTE
from tests.support.fake_iam_world import BUCKET, FakeIamWorld, id_token, publish_certificates

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "registry.example.com"
AGED = Requirements(image=ImageRequirement(min_age=timedelta(hours=1)))
PROD = Policy(name="prod", repositories=("team/*",), mode=ENFORCE, requirements=AGED)


@dataclass
class Judged:
    """Decisions as a test wants them: all images of team/ pass but for these.

    Attributes:
        outcomes: by digest.
        policies: those that name the repositories.
        is_error: whether no image can be judged.
        calls: the digests that were judged.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    policies: tuple[Policy, ...] = (PROD,)
    is_error: bool = False
    calls: list[str] = field(default_factory=list)

    def __call__(self, repository: str, digest: str) -> list[tuple[Policy, Decision]]:
        self.calls.append(digest)
        outcome = self.outcomes.get(digest, ALLOWED)
        reasons = () if outcome == ALLOWED else ("it is not signed by release",)
        return [
            (each, Decision(policy=each.name, outcome=outcome, reasons=reasons, is_error=self.is_error))
            for each in self.policies
            if each.covers(repository)
        ]


@dataclass
class AttesterServer:
    """A running registry.

    Attributes:
        statuses: of the next responses, in the place of the registry's; 0 is the registry's own.
        requests: the paths of requests.
        waits: seconds that the clients waited before repetitions.
    """

    url: str
    app: "WSGIApplication"
    token: str
    statuses: list[int] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        self.requests.append(environ["PATH_INFO"].rpartition("/")[2])
        if self.statuses and (status := self.statuses.pop(0)):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response(f"{status} Status", [("Content-Length", "0")])
            return []
        return self.app(environ, start_response)

    def run(self, *repositories: str, version: str = "1", written: Written | None = None) -> AttestRun:
        """Return a run of a new process, or of one that has `written`."""
        client = RegistryClient(
            self.url,
            lambda: id_token(email=ACCOUNT, aud=self.url),
            self.waits.append,
            user="attester",
            endpoints="attestations",
        )
        api = GoogleApi(self.session, self.waits.append)
        attestations = Attestations(api, NOTE, f"{KEY}/cryptoKeyVersions/{version}", written or Written())
        return AttestRun(client, attestations, HOST, repositories or ("team/*",))

    def session(self) -> Session:
        """Return a session as the function's account."""
        session = Session()
        session.headers["Authorization"] = f"Bearer {self.token}"
        return session


@contextmanager
def serving_attester(world: FakeIamWorld, registry: Registry, token: str, folder: Path) -> Iterator[AttesterServer]:
    """Serve a registry to the attester until the block ends."""
    publish_certificates(world)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {"LADING_ACCESS": f"gs://{BUCKET}", "LADING_ATTESTER": ACCOUNT, "LADING_URL": url}
    read = load_settings({**environment, "LADING_DATA": str(folder)})
    served = AttesterServer(url, App(registry, read, open_authenticator(read, registry.metadata)), token)
    server = make_server("127.0.0.1", port, served, threaded=True)
    with server, running(server):
        yield served


def counts(report: AttestReport) -> tuple[int, int, int, int]:
    return report.attested, report.present, report.refused, report.other


def calls(world: FakeIamWorld) -> list[str]:
    """The last part of the path of each call to Google."""
    return [re.split(r"[/:]", each.split()[1].partition("?")[0])[-1] for each in world.requests() if "/v1/" in each]


def at_once(*functions: object) -> None:
    """Call functions concurrently."""
    threads = [threading.Thread(target=each) for each in functions]  # type: ignore[arg-type]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
