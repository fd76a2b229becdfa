"""Attestations on one note: those that are there, and new ones, of which each image has one.

    find ── is there ──▶ nothing
      └──── is not ────▶ sign ──▶ create ──┬─▶ done
                                           └─▶ ALREADY_EXISTS: done; signed by another key alone: add the signature

Each step may be repeated, and a function may end between any two: the next attempt begins with `find`. What Google has
listed can be some seconds old, so that what this process has written is remembered.

https://cloud.google.com/container-analysis/docs/reference/rest/v1/projects.notes.occurrences/list
"""

import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lading.attester.attestation import Image, is_signed_by, occurrence, payload, signature_field
from lading.attester.google_api import AlreadyExists, GoogleApi, GoogleRefused
from lading.attester.kms_signer import KmsSigner

URL: Final = "https://containeranalysis.googleapis.com/v1"

PAGE_SIZE: Final = 1000
"""Occurrences of a page, the maximum."""

MAX_PAGES: Final = 1000
"""Pages that are read at most, of all attestations of the note."""

MAX_SIGNATURES: Final = 20
"""Signatures of one attestation: each other version of a key adds one."""

MAX_REMEMBERED: Final = 10_000
"""Images whose attestations this process remembers to have written."""


class Written:
    """What a process has written: the URIs of images, for all threads, of which one writes at a time."""

    def __init__(self) -> None:
        """Remember nothing so far."""
        self.lock = threading.Lock()
        self._uris: dict[str, None] = {}

    def __contains__(self, uri: str) -> bool:
        """Return whether an attestation of this image was written."""
        return uri in self._uris

    def add(self, uri: str) -> None:
        """Remember an attestation, and forget the oldest of too many."""
        self._uris[uri] = None
        while len(self._uris) > MAX_REMEMBERED:
            self._uris.pop(next(iter(self._uris)))


class Attestations:
    """The attestations of a note that a version of a key signs."""

    def __init__(self, api: GoogleApi, note: str, key_version: str, written: Written) -> None:
        """Use the note projects/PROJECT/notes/NOTE; occurrences are in the same project."""
        self._api = api
        self._note = note
        self._project = note.partition("/notes/")[0]
        self._key_version = key_version
        self._signer = KmsSigner(api, key_version)
        self._written = written

    def attest(self, image: Image) -> bool:
        """Write the attestation of an image; return whether it was not there. Raises GoogleError."""
        with self._written.lock:
            if image.uri in self._written:
                return False
            is_new = not self._is_there(image) and self._create(image)
            self._written.add(image.uri)
        return is_new

    def uris(self) -> Iterator[str]:
        """Yield the URIs of all images that have an attestation by the key. Raises GoogleError."""
        for each in self._listed(""):
            if is_signed_by(each, self._key_version):
                yield str(each.get("resourceUri", ""))

    def _is_there(self, image: Image) -> bool:
        return any(is_signed_by(each, self._key_version) for each in self._of(image))

    def _of(self, image: Image) -> Iterator[Mapping[str, Any]]:
        found = self._listed(f'resourceUrl="{image.uri}"')
        return (each for each in found if each.get("resourceUri") == image.uri)

    def _create(self, image: Image) -> bool:
        signature = self._signer.sign(payload(image))
        body = occurrence(self._note, image, self._key_version, signature)
        permissions = (
            f"containeranalysis.notes.attachOccurrence on {self._note}, and "
            f"containeranalysis.occurrences.create on {self._project}"
        )
        try:
            self._api.request("POST", f"{URL}/{self._project}/occurrences", permissions, body)
        except AlreadyExists:
            return self._add_signature(image, signature)
        return True

    def _add_signature(self, image: Image, signature: bytes) -> bool:
        """Add a signature to the attestation of an image that only another key signed; return whether there was one.

        That happens once for each image after the key has changed, since an image has one occurrence on a note.
        """
        for each in self._of(image):
            if is_signed_by(each, self._key_version):
                return False
            attestation = each.get("attestation")
            known = attestation.get("signatures", []) if isinstance(attestation, dict) else []
            new = occurrence(self._note, image, self._key_version, signature)["attestation"]
            if not isinstance(attestation, dict) or attestation.get("serializedPayload") != new["serializedPayload"]:
                raise GoogleRefused(409, f"{each.get('name')} is an attestation with another payload: delete it")
            added = [signature_field(self._key_version, signature), *known][:MAX_SIGNATURES]
            self._api.request(
                "PATCH",
                f"{URL}/{each.get('name')}",
                f"containeranalysis.occurrences.update on {self._project}",
                {"attestation": {**new, "signatures": added}},
                {"updateMask": "attestation"},
            )
            return True
        return False  # just created by another process, and not listed yet

    def _listed(self, filter: str) -> Iterator[Mapping[str, Any]]:
        query = {"pageSize": str(PAGE_SIZE), **({"filter": filter} if filter else {})}
        url, permissions = f"{URL}/{self._note}/occurrences", f"containeranalysis.notes.listOccurrences on {self._note}"
        for _ in range(MAX_PAGES):
            page = self._api.request("GET", url, permissions, query=query)
            found = page.get("occurrences", [])
            yield from (each for each in found if isinstance(each, dict)) if isinstance(found, list) else ()
            if not (next_page := page.get("nextPageToken")):
                return
            query["pageToken"] = str(next_page)
