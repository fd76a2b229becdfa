"""ScanRun: one run of a scanner over the images that are due.

    claim ─▶ layers that are not read yet ─▶ merge ─▶ match ─▶ documents ─▶ result

One image is claimed at a time, so that its lease is its own, and the next image finds the layers that this one has
read. Data that did not change is not compared again, and findings that did not change write no documents.
"""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lading import __version__
from lading.json_values import plain
from lading.registry.change_context import Clock
from lading.registry.errors import SCAN_CLAIM_UNKNOWN, RegistryError
from lading.registry.scans.claim import MAX_WORST, MAX_WORST_SIZE, Claim, ClaimedLayer, ScanResult
from lading.scanner import signed_documents
from lading.scanner.backend import LayerReader, OpenedData, ScanBackend
from lading.scanning import image_packages
from lading.scanning.documents.cyclonedx import cyclonedx
from lading.scanning.documents.encoding import encode as encode_document
from lading.scanning.documents.statement import document_of, statement
from lading.scanning.findings import DONE, EXPLOITS, FAILED, PARTIAL, SIGNED, UNSUPPORTED, WAITING, Finding, Report
from lading.scanning.layer_packages import EXTRACTOR_VERSION, decode, decoded_size, encode
from lading.scanning.layer_scanner import LayerDescriptor, LayerFailed, LayerInterrupted, LayerUnread
from lading.scanning.limits import MAX_DECLARED_PACKAGES, MAX_IMAGE_PACKAGES, MAX_IMAGE_TEXT, MIB
from lading.scanning.packages import ImagePackages, LayerPackages
from lading.vulnerabilities import ecosystems, reported
from lading.vulnerabilities.matcher import Matcher, Matches
from lading.vulnerabilities.openvex import suppress

MAX_IMAGE_SECONDS: Final = 600.0
"""Seconds after which no further layer of an image is begun. What was read is kept for the next try."""

ENDED_CLAIMS: Final = "claims that had ended"
UNCHANGED: Final = "unchanged"
"""What became of claims, beside the states of their results."""

log = logging.getLogger("lading")


class _Stopped(Exception):
    """The scan of an image does not end in this run, for a reason."""


@dataclass(slots=True)
class _Layers:
    """Layers of one image that were read, encoded, by digest."""

    encoded: dict[str, bytes] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)


class ScanRun:
    """One run."""

    def __init__(
        self, backend: ScanBackend, layers: LayerReader, data: OpenedData, clock: Clock, scanner: str = ""
    ) -> None:
        """Work for `backend`.

        Args:
            backend: the registry.
            layers: reads layers.
            data: the vulnerability data.
            clock: dates results.
            scanner: the version of Lading, in documents.
        """
        self._backend = backend
        self._layers = layers
        self._data = data
        self._clock = clock
        self._scanner = scanner or __version__
        self._matcher = Matcher(data.database, data.exploits())
        self.claim: Claim | None = None
        """The claim that is being worked on."""
        self.counts: Counter[str] = Counter()
        """How many claims ended in each state, and how many layers were read."""

    def run(self, is_out_of_time: Callable[[], bool], pause: Callable[[], object] = lambda: None) -> None:
        """Work on images until none is due.

        Args:
            is_out_of_time: whether no further image should be claimed.
            pause: called after each image.

        Raises:
            Exception: what the backend raises; the claim ends by itself.
        """
        while not is_out_of_time() and (claim := self._backend.claim(EXTRACTOR_VERSION)) is not None:
            self.work_on(claim)
            pause()

    def work_on(self, claim: Claim) -> None:
        """Work on one claim, and give its result. Raises what the backend raises."""
        self.claim = claim
        try:
            self._finish(claim, self._result_of(claim))
        except KeyboardInterrupt:
            # A person ended the command, which is no fault of the image.
            self._backend.release(claim)
            raise
        finally:
            self.claim = None

    def _finish(self, claim: Claim, result: ScanResult) -> None:
        try:
            self._backend.accept(claim, result)
        except RegistryError as error:
            if error.descriptor != SCAN_CLAIM_UNKNOWN:
                raise
            # It took longer than its lease, or the image was purged.
            self.counts[ENDED_CLAIMS] += 1
            return
        self.counts[UNCHANGED if result.is_unchanged else result.state] += 1

    def _result_of(self, claim: Claim) -> ScanResult:
        if self._is_unchanged(claim):
            return ScanResult(state=DONE, at=self._clock(), is_unchanged=True)
        read = _Layers()
        try:
            packages = image_packages.merge(list(self._all_layers(claim, read)))
            if len(packages.packages) > MAX_IMAGE_PACKAGES:
                raise LayerFailed(f"the image has more than {MAX_IMAGE_PACKAGES} packages")
            result = self._compared(claim, packages)
            self._check_data(claim)
        except LayerFailed as error:
            result = ScanResult(state=FAILED, at=self._clock(), reason=str(error))
        except _Stopped as error:
            result = ScanResult(state=WAITING, at=self._clock(), reason=str(error))
        except Exception as error:
            log.exception("the scan of %s@%s failed", claim.repository, claim.digest)
            result = ScanResult(state=WAITING, at=self._clock(), reason=f"{type(error).__name__}: {error}")
        return replace(result, extractor=EXTRACTOR_VERSION, layers=read.encoded)

    def _is_unchanged(self, claim: Claim) -> bool:
        """Return whether the last result is what a comparison would give: all layers are read, and no data is newer."""
        if not claim.fingerprint or any(layer.packages is None for layer in claim.layers):
            return False
        if any(self._version(name.partition(":")[0]) for name in claim.missing):
            return False
        if claim.data.get(SIGNED, "") != claim.signed_version:
            return False
        used = {*claim.data} - {SIGNED} | ({EXPLOITS} if self._version(EXPLOITS) else set())
        return all(claim.data.get(name) == self._version(name) for name in used)

    def _version(self, name: str) -> str:
        """Return the version of data, or "" if there is none."""
        if name == EXPLOITS:
            exploits = self._data.exploits()
            return exploits.version if exploits else ""
        database = self._matcher.database(name)
        return database.version if database else ""

    def _all_layers(self, claim: Claim, read: _Layers) -> Iterator[LayerPackages]:
        """Yield what the layers declare, while memory holds all of it. Raises as _layer."""
        size, count = 0, 0
        for layer in claim.layers:
            content = self._layer(claim, layer, read)
            size += decoded_size(content)
            if size > MAX_IMAGE_TEXT:
                raise LayerFailed(f"its layers declare more than {MAX_IMAGE_TEXT // MIB} MiB of packages and paths")
            declared = decode(content)
            count += sum(map(len, declared.packages.values()))
            if count > MAX_DECLARED_PACKAGES:
                raise LayerFailed(f"its layers declare more than {MAX_DECLARED_PACKAGES} packages")
            yield declared

    def _layer(self, claim: Claim, layer: ClaimedLayer, read: _Layers) -> bytes:
        """Return what a layer declares, encoded: as it was read before, or by reading it.

        Raises:
            LayerFailed: it cannot be read.
            _Stopped: the image takes too long, or what reads it was interrupted.
        """
        if (packages := layer.packages or read.encoded.get(layer.digest)) is not None:
            return packages
        if time.monotonic() - read.began > MAX_IMAGE_SECONDS:
            raise _Stopped(f"it takes longer than {MAX_IMAGE_SECONDS / 60:.0f} minutes to read its layers")
        try:
            found = self._read_twice(claim, layer)
        except LayerUnread as error:
            # This manifest is the reason, or its repository: other images have the same layer, so it is not kept.
            return encode(LayerPackages(notes=(str(error),)))
        self.counts["layers read"] += 1
        read.encoded[layer.digest] = encode(found)
        return read.encoded[layer.digest]

    def _read_twice(self, claim: Claim, layer: ClaimedLayer) -> LayerPackages:
        """Read a layer, and once more if that fails. Raises LayerFailed, LayerUnread, _Stopped."""
        try:
            return self._read(claim, layer)
        except LayerFailed:
            # The process may have been a victim, such as of another one's need of memory.
            try:
                return self._read(claim, layer)
            except LayerInterrupted as error:
                raise _Stopped(f"the layer {layer.digest}: {error}") from None
            except LayerFailed as error:
                raise LayerFailed(f"the layer {layer.digest}: {error}") from None

    def _read(self, claim: Claim, layer: ClaimedLayer) -> LayerPackages:
        descriptor = LayerDescriptor(layer.digest, layer.size, layer.media_type)
        with _closed(self._backend.layer(claim, layer)) as chunks:
            return self._layers.scan(descriptor, chunks)

    def _check_data(self, claim: Claim) -> None:
        """Raise _Stopped if data of the last result cannot be opened, as on a full disk: that result stays."""
        if claim.is_match and (lost := sorted({*claim.data}.intersection(self._data.unusable))):
            raise _Stopped(f"the vulnerability data of {', '.join(lost)} cannot be used now")

    def _compared(self, claim: Claim, packages: ImagePackages) -> ScanResult:
        """Return the result of the comparison of an image's packages with the data. Raises LayerFailed."""
        signed = signed_documents.read(claim)
        packages = signed_documents.with_packages(packages, signed)
        if len(packages.packages) > MAX_IMAGE_PACKAGES:
            raise LayerFailed(f"the image has more than {MAX_IMAGE_PACKAGES} packages, with those of signed SBOMs")
        matches = self._matcher.match(packages)
        found, more = reported.merge(matches.findings, packages, signed.reports, self._data.exploits())
        notes = (*packages.notes, *matches.notes, *signed.notes, *more)
        report = Report(
            digest=claim.digest,
            state=_state_of(packages, found, matches, notes),
            image=packages,
            findings=suppress(found, signed.statements, claim.digest),
            data={**matches.data} | ({SIGNED: claim.signed_version} if claim.signed_version else {}),
            missing=matches.missing,
            notes=notes,
            remarks=signed.remarks,
            at=self._clock(),
            scanner=self._scanner,
        )
        fingerprint = _fingerprint(report)
        has_changed = fingerprint != claim.fingerprint
        worst, truncated = _worst(report)
        return ScanResult(
            state=report.state,
            at=report.at,
            reason="; ".join(packages.notes) if report.state == UNSUPPORTED else "",
            counts=report.counts,
            exploited=_exploited(report),
            worst=worst,
            truncated=truncated,
            notes=notes,
            data=report.data,
            missing=matches.missing,
            ecosystems=_ecosystems(packages),
            fingerprint=fingerprint,
            sbom=cyclonedx(report) if has_changed else None,
            report=statement(report) if has_changed else None,
        )


def _state_of(packages: ImagePackages, findings: Sequence[Finding], matches: Matches, notes: tuple[str, ...]) -> str:
    if not packages.is_supported and not findings:
        return UNSUPPORTED
    return PARTIAL if notes or matches.missing else DONE


def _ecosystems(packages: ImagePackages) -> tuple[str, ...]:
    """Return the names of the data that an image needs."""
    found = (ecosystems.ecosystem_of(each, packages.distribution) for each in packages.packages)
    return tuple(sorted({each.data for each in found if each is not None}))


def _fingerprint(report: Report) -> str:
    """Return what identifies a report and its packages, whenever and with whichever versions they were compared.

    Nearly all scores of EPSS change each day: they are rounded, so that this alone rarely makes new documents.
    """
    document = document_of(report)
    rounded = [
        replace(each, epss=None if each.epss is None else round(each.epss, 1)) for each in document.vulnerabilities
    ]
    identity: Mapping[str, Any] = {
        "report": replace(document, at=None, data={}, vulnerabilities=tuple(rounded)),
        "packages": report.image.packages,
    }
    return hashlib.sha256(encode_document(identity)).hexdigest()


def _worst(report: Report) -> tuple[bytes, int]:
    """Return the worst findings as JSON, as a scan document lists them, and the number of the others."""
    found = document_of(report).vulnerabilities
    count = min(len(found), MAX_WORST)
    while len(content := _as_json(found[:count])) > MAX_WORST_SIZE:
        count //= 2
    return content, len(found) - count


def _exploited(report: Report) -> int:
    """Return how many findings that are not suppressed are known to be exploited, or -1 without data on that."""
    if EXPLOITS not in report.data:
        return -1
    return sum(each.known_exploited and not each.suppressed for each in report.findings)


def _as_json(value: Any) -> bytes:
    return json.dumps(value, default=plain, separators=(",", ":")).encode()


@contextmanager
def _closed(chunks: Any) -> Iterator[Any]:
    """Close the chunks of a layer after the block, which may not have read them to their end."""
    try:
        yield chunks
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
