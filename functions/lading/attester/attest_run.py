"""AttestRun: one call of the function: the images of an event, or a sweep of all repositories.

    event ──▶ decisions of the registry ──▶ attestations of those that pass
    sweep ──▶ all attestations of the note, all images ──▶ decisions about those without one ──▶ …

The sweep finds what no event tells: an image that passes because time has passed, or because a policy has changed, and
what a lost event has left. It ends after TIME_SLICE, and the next one goes on at the same repository.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lading.attester.attestation import Image
from lading.attester.attestations import Attestations
from lading.attester.wake_up import WakeUp
from lading.registry import globs
from lading.registry.attestations.messages import (
    MAX_DIGESTS,
    DecisionsRequest,
    DecisionsResponse,
    ImageDecision,
    ImagesRequest,
    NamesResponse,
    RepositoriesRequest,
)
from lading.scanner.registry_client import RegistryClient

TIME_SLICE: Final = 240.0
"""Seconds after which a sweep asks about no further images."""

ONLY_SHA256: Final = "Binary Authorization knows digests of SHA-256 alone"

MAX_REASONS: Final = 20
"""Images in the report that do not pass, with the reasons."""


@dataclass(slots=True)
class AttestReport:
    """What a call has done.

    Attributes:
        attested: images that have an attestation now, and had none.
        present: images that pass, and had one.
        refused: images that do not pass.
        other: events about repositories that are not attested, or about no image.
        reasons: why images do not pass, by REPOSITORY@DIGEST; the first MAX_REASONS.
        finished: whether the sweep has reached its end.
    """

    attested: int = 0
    present: int = 0
    refused: int = 0
    other: int = 0
    reasons: dict[str, str] = field(default_factory=dict)
    finished: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "images": {name: getattr(self, name) for name in ("attested", "present", "refused", "other")},
            "reasons": self.reasons,
            "finished": self.finished,
        }


class AttestRun:
    """Attests images of one registry. It is for one thread."""

    def __init__(
        self,
        registry: RegistryClient,
        attestations: Attestations,
        host: str,
        repositories: Sequence[str],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Attest images of `repositories`, globs, that `registry` says pass, by the names that they have at `host`."""
        self._registry = registry
        self._attestations = attestations
        self._host = host
        self._repositories = repositories
        self._timer = timer

    def handle(self, event: WakeUp | None) -> AttestReport:
        """Attest what an event is about. Raises RegistryUnreachable, GoogleError."""
        report = AttestReport()
        if event is None or not self._is_attested(event.repository):
            report.other += 1
        else:
            self._attest(event.repository, self._decisions(event.repository, event.digests, related=True), report)
        return report

    def sweep(self, after: str = "") -> tuple[AttestReport, str]:
        """Attest all images of the repositories after one; return where the next sweep begins, or "" at the end.

        Raises RegistryUnreachable, GoogleError.
        """
        report, end = AttestReport(), self._timer() + TIME_SLICE
        known = set(self._attestations.uris())
        last = after
        for repository in self._all_repositories(after):
            for digests in self._unattested(repository, known):
                if self._timer() >= end:
                    report.finished = False
                    return report, last
                self._attest(repository, self._decisions(repository, digests), report)
            last = repository
        return report, ""

    def _is_attested(self, repository: str) -> bool:
        return any(globs.matches(each, repository) for each in self._repositories)

    def _all_repositories(self, after: str) -> Iterator[str]:
        def request(last: str) -> NamesResponse:
            return self._registry.post("repositories", RepositoriesRequest(after=last), NamesResponse)

        return (each for page in _pages(request, after) for each in page if self._is_attested(each))

    def _unattested(self, repository: str, known: set[str]) -> Iterator[list[str]]:
        """Yield batches of images without an attestation."""

        def request(last: str) -> NamesResponse:
            return self._registry.post("images", ImagesRequest(repository=repository, after=last), NamesResponse)

        waiting: list[str] = []
        for page in _pages(request):
            waiting += [each for each in page if self._image(repository, each).uri not in known]
            while len(waiting) >= MAX_DIGESTS:
                yield waiting[:MAX_DIGESTS]
                del waiting[:MAX_DIGESTS]
        if waiting:
            yield waiting

    def _decisions(self, repository: str, digests: Sequence[str], *, related: bool = False) -> Sequence[ImageDecision]:
        request = DecisionsRequest(repository=repository, digests=digests, related=related)
        return self._registry.post("decisions", request, DecisionsResponse).decisions

    def _attest(self, repository: str, decisions: Sequence[ImageDecision], report: AttestReport) -> None:
        for each in decisions:
            is_known = each.digest.startswith("sha256:")
            if not each.passes or not is_known:
                report.refused += 1
                if len(report.reasons) < MAX_REASONS:
                    report.reasons[f"{repository}@{each.digest}"] = each.reason or ONLY_SHA256
            elif self._attestations.attest(self._image(repository, each.digest)):
                report.attested += 1
            else:
                report.present += 1

    def _image(self, repository: str, digest: str) -> Image:
        return Image(self._host, repository, digest)


def _pages(request: Callable[[str], NamesResponse], after: str = "") -> Iterator[Sequence[str]]:
    """Yield all pages of a listing, after a name."""
    while True:
        page = request(after)
        yield page.names
        if not page.next or page.next <= after:
            return
        after = page.next
