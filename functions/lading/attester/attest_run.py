"""AttestRun: one call of the function: the images of an event, or a sweep of all repositories.

    event ──▶ decisions of the registry ──▶ attestations of those that pass
    sweep ──▶ all attestations of the note, all images ──▶ decisions about those without one ──▶ …

The sweep finds what no event tells: an image that passes because time has passed, or because a policy has changed, and
what a lost event has left. It ends after TIME_SLICE, and the next one goes on after the last image: the registry keeps
that position, since a process of the function seldom lives until the next sweep, and may be killed in one.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Final

from lading.attester.attestation import Image
from lading.attester.attestations import Attestations
from lading.attester.google_api import GoogleRefused
from lading.attester.wake_up import WakeUp
from lading.registry import globs
from lading.registry.attestations.messages import (
    MAX_DIGESTS,
    DecisionsRequest,
    DecisionsResponse,
    ImageDecision,
    ImagesRequest,
    NamesResponse,
    PositionRequest,
    RepositoriesRequest,
    SweepPosition,
)
from lading.scanner.registry_client import RegistryClient

TIME_SLICE: Final = 240.0
"""Seconds after which a sweep asks about no further images."""

LIST_SLICE: Final = 100.0
"""Seconds after which it lists no further attestations of the note; about each of these images Google is asked."""

KEEP_INTERVAL: Final = 10.0
"""Seconds of work that a killed sweep repeats at most, and a batch more."""

OF_ALL_IMAGES: Final = frozenset({401, 403, 404})
"""Statuses of refusals that each image would meet: a right, the note or the key is missing."""

ONLY_SHA256: Final = "Binary Authorization knows digests of SHA-256 alone"

MAX_REASONS: Final = 20
"""Images in the report that do not pass, with the reasons."""


COUNTS: Final = ("attested", "present", "refused", "failed", "other")


@dataclass(slots=True)
class AttestReport:
    """What a call has done.

    Attributes:
        attested: images that have an attestation now, and had none.
        present: images that pass, and had one.
        refused: images that do not pass.
        failed: images that pass, and of which Google refuses this very attestation.
        other: events about repositories that are not attested, or about no image.
        reasons: why images are refused, or failed, by REPOSITORY@DIGEST; the first MAX_REASONS.
        finished: whether the sweep has reached its end.
    """

    attested: int = 0
    present: int = 0
    refused: int = 0
    failed: int = 0
    other: int = 0
    reasons: dict[str, str] = field(default_factory=dict)
    finished: bool = True

    def add_reason(self, image: Image, reason: str) -> None:
        """Add why an image has no attestation."""
        if len(self.reasons) < MAX_REASONS:
            self.reasons[f"{image.repository}@{image.digest}"] = reason

    def as_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "images": {name: getattr(self, name) for name in COUNTS},
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

    def sweep(self) -> AttestReport:
        """Attest images from the position on that the registry keeps, to the end or for TIME_SLICE.

        Raises RegistryUnreachable, GoogleError.
        """
        report, known = AttestReport(), self._known()
        position = self._registry.post("position", PositionRequest(), SweepPosition)
        end, keep = self._timer() + TIME_SLICE, self._timer() + KEEP_INTERVAL
        for after, digests in self._batches(position, known):
            now = self._timer()
            if now >= keep or now >= end:
                self._keep(position)
                keep = now + KEEP_INTERVAL
            if now >= end:
                report.finished = False
                return report
            if digests:
                self._attest(after.repository, self._decisions(after.repository, digests), report)
            position = after
        self._keep(SweepPosition())
        return report

    def _known(self) -> set[str]:
        """Return the URIs of images that have an attestation, as many as can be listed in LIST_SLICE."""
        end = self._timer() + LIST_SLICE
        return set(takewhile(lambda _: self._timer() < end, self._attestations.uris()))

    def _keep(self, position: SweepPosition) -> None:
        self._registry.post("keep-position", position, SweepPosition)

    def _batches(self, begin: SweepPosition, known: set[str]) -> Iterator[tuple[SweepPosition, Sequence[str]]]:
        """Yield batches of images without an attestation from a position on, each with the position after it.

        A batch is empty where a page or a repository has no such image: to list them takes time as well.
        """
        if begin.digest and self._is_attested(begin.repository):
            yield from self._batches_of(begin.repository, begin.digest, known)
        for repository in self._all_repositories(begin.repository):
            yield from self._batches_of(repository, "", known)

    def _batches_of(
        self, repository: str, after: str, known: set[str]
    ) -> Iterator[tuple[SweepPosition, Sequence[str]]]:
        """Yield the batches of one repository, after a digest."""

        def request(last: str) -> NamesResponse:
            return self._registry.post("images", ImagesRequest(repository=repository, after=last), NamesResponse)

        for page in _pages(request, after):
            unknown = [each for each in page.names if self._image(repository, each).uri not in known]
            for start in range(0, len(unknown), MAX_DIGESTS):
                batch = unknown[start : start + MAX_DIGESTS]
                yield SweepPosition(repository=repository, digest=batch[-1]), batch
            yield SweepPosition(repository=repository, digest=page.next), ()

    def _is_attested(self, repository: str) -> bool:
        return any(globs.matches(each, repository) for each in self._repositories)

    def _all_repositories(self, after: str) -> Iterator[str]:
        def request(last: str) -> NamesResponse:
            return self._registry.post("repositories", RepositoriesRequest(after=last), NamesResponse)

        return (each for page in _pages(request, after) for each in page.names if self._is_attested(each))

    def _decisions(self, repository: str, digests: Sequence[str], *, related: bool = False) -> Sequence[ImageDecision]:
        request = DecisionsRequest(repository=repository, digests=digests, related=related)
        return self._registry.post("decisions", request, DecisionsResponse).decisions

    def _attest(self, repository: str, decisions: Sequence[ImageDecision], report: AttestReport) -> None:
        for each in decisions:
            is_known = each.digest.startswith("sha256:")
            if not each.passes or not is_known:
                report.refused += 1
                report.add_reason(self._image(repository, each.digest), each.reason or ONLY_SHA256)
            else:
                self._write(self._image(repository, each.digest), report)

    def _write(self, image: Image, report: AttestReport) -> None:
        """Write one attestation. Raises GoogleError, but for what only this one is refused for."""
        try:
            is_new = self._attestations.attest(image)
        except GoogleRefused as error:
            if error.status in OF_ALL_IMAGES:
                raise
            report.failed += 1
            report.add_reason(image, str(error))
            return
        report.attested += is_new
        report.present += not is_new

    def _image(self, repository: str, digest: str) -> Image:
        return Image(self._host, repository, digest)


def _pages(request: Callable[[str], NamesResponse], after: str) -> Iterator[NamesResponse]:
    """Yield all pages of a listing, after a name."""
    while True:
        page = request(after)
        yield page
        if not page.next or page.next <= after:
            return
        after = page.next
