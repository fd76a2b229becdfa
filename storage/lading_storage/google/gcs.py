"""A blob store in a Cloud Storage bucket.

    blobs/<upload id>/<part>

An upload is one streamed `uploadType=media` request (gcs_uploads). The client library composes, deletes and lists; it
is imported when it is first needed, which a pull never does.
"""

import contextlib
import itertools
import os
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import google.auth
import requests
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession

from lading_storage.errors import Corrupt, ObjectNotFound, Unavailable
from lading_storage.google.cdn_urls import CdnUrls
from lading_storage.google.gcs_uploads import TIMEOUTS, UploadBody, upload
from lading_storage.google.google_imports import import_storage
from lading_storage.google.signed_urls import SignedUrls, UrlSigner
from lading_storage.google.url_signers import signer_of
from lading_storage.protocols import PART, UPLOAD_ID, StoredObject, verified_size

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.storage import Blob, Bucket, Client  # type: ignore[import-untyped]

PREFIX: Final = "blobs/"
MAX_COMPOSE_SOURCES: Final = 32
"""The most objects that one compose takes (https://cloud.google.com/storage/docs/composite-objects)."""

MAX_PAGE_SIZE: Final = 1_000
"""Names that Cloud Storage lists at once."""

OBJECT_NAME: Final = re.compile(f"{UPLOAD_ID.pattern}/{PART.pattern}")

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
CREDENTIAL_VARIABLES: Final = ("GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST")
"""By which an environment names credentials, other than those that lie in a home folder."""

CHUNK_SIZE: Final = 256 * 1024
RETRY_TIMEOUT: Final = 20.0
"""Seconds for which a call of Google's client is made again."""

RETRY: Final = requests.adapters.Retry(
    3, allowed_methods={"GET"}, status_forcelist=(429, 500, 502, 503, 504), backoff_factor=0.1, raise_on_status=False
)
"""A read may be tried again, whatever went wrong; an upload, here, only before it began: see gcs_uploads."""


class CloudStorageBlobs:
    """BlobStore in one bucket."""

    def __init__(self, bucket: str, hmac_key: Path | None = None, cdn_key: Path | None = None) -> None:
        """Use the bucket, with the credentials of the environment; honours STORAGE_EMULATOR_HOST.

        URLs are Cloud CDN's where a file has a key for it; else Cloud Storage's, signed with the HMAC key in a file,
        or by whoever the credentials are of. Raises StorageError.
        """
        emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
        self._endpoint = _endpoint(emulator)
        self._name = bucket
        with _translated_errors():
            own = _credentials(bool(emulator))
        # An emulator asks for nobody's token.
        self._credentials = AnonymousCredentials() if emulator else own  # type: ignore[no-untyped-call]
        # No refresh on 401: by then the body is used up, and a second try would send an empty one.
        self._session: requests.Session = AuthorizedSession(self._credentials, refresh_status_codes=())  # type: ignore[no-untyped-call]
        self._session.mount(self._endpoint, requests.adapters.HTTPAdapter(pool_maxsize=128, max_retries=RETRY))
        self._urls: UrlSigner | None = None
        if cdn_key is not None:
            self._urls = CdnUrls.from_file(cdn_key)
        elif signer := signer_of(own, hmac_key):
            self._urls = SignedUrls(self._endpoint, bucket, signer)

    def append(self, name: str, chunks: Iterable[bytes], size: int | None = None) -> StoredObject:
        """See BlobStore.append. A body that ends early never gets its last chunk, so nothing of it is kept."""
        body = UploadBody(verified_size(chunks, size), size)
        with _translated_errors():
            described = upload(self._session, self._endpoint, self._name, PREFIX + name, body)
        return self._checked(name, StoredObject(int(described["size"]), _crc32c(described["crc32c"])), body)

    def join(self, name: str, parts: Sequence[str]) -> StoredObject:
        """See BlobStore.join: composed 32 at a time, in levels, without a byte passing through here."""
        level, steps = list(parts), itertools.count()
        made: list[str] = []
        with _translated_client_errors():
            while len(level) > MAX_COMPOSE_SOURCES:
                groups = [level[at : at + MAX_COMPOSE_SOURCES] for at in range(0, len(level), MAX_COMPOSE_SOURCES)]
                level = [self._compose(f"{name}-{next(steps)}", group)[0] for group in groups]
                made += level
            _, stored = self._compose(name, level)
        for each in made:
            self.delete(each)
        return stored

    def replace(self, name: str, by: str) -> None:
        """See BlobStore.replace: composed onto the name, which is atomic. The bucket's soft delete keeps what was."""
        import_storage()
        from google.api_core.exceptions import NotFound

        with _translated_client_errors():
            try:
                # What compose says of a source that is missing, an emulator does not know.
                self._blob(by).reload(timeout=TIMEOUTS, retry=_retry())
            except NotFound as error:
                raise ObjectNotFound(by) from error
            self._compose(name, [by], is_new=False)
        self.delete(by)

    def open(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        """See BlobStore.open."""
        if start >= stop:
            return iter(())
        url = f"{self._endpoint}/storage/v1/b/{self._name}/o/{quote(PREFIX + name, safe='')}"
        headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        with _translated_errors():
            answer = self._session.get(url, params={"alt": "media"}, headers=headers, stream=True, timeout=TIMEOUTS)
            if answer.status_code == 404:
                answer.close()
                raise ObjectNotFound(name)
            if answer.status_code == 416:
                answer.close()
                raise Corrupt(f"{name} has fewer bytes than its record says")
            answer.raise_for_status()
        return _body_chunks(answer, stop - start)

    def signed_url(self, name: str) -> str | None:
        """See BlobStore.signed_url.

        Where the signer fails, so does this: a pull that came through here instead would end at the 10 MB that a
        function may answer, and turn a fault of IAM into a flood.
        """
        return self._urls.url(PREFIX + name) if self._urls else None

    def delete(self, name: str) -> None:
        """See BlobStore.delete."""
        import_storage()
        from google.api_core.exceptions import NotFound

        with _translated_client_errors(), contextlib.suppress(NotFound):
            self._blob(name).delete(timeout=TIMEOUTS, retry=_retry())

    def names(self, prefix: str, *, after: str = "", limit: int) -> list[str]:
        """See BlobStore.names."""
        with _translated_client_errors():
            names = (name for name in self._list(prefix, after, limit) if OBJECT_NAME.fullmatch(name) and name > after)
            return list(itertools.islice(names, limit))

    def strays(self, *, limit: int) -> list[str]:
        """See BlobStore.strays."""
        with _translated_client_errors():
            names = (name for name in self._list("", "", MAX_PAGE_SIZE) if not OBJECT_NAME.fullmatch(name))
            return list(itertools.islice(names, limit))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
        if "_client" in vars(self):
            self._client.close()

    @cached_property
    def _client(self) -> "Client":
        """Google's client, with our credentials: all that it would look for has been found."""
        from google.cloud.storage import Client

        return Client(project=None, credentials=self._credentials)

    @cached_property
    def _bucket(self) -> "Bucket":
        return self._client.bucket(self._name)

    def _blob(self, name: str) -> "Blob":
        return self._bucket.blob(PREFIX + name)

    def _list(self, prefix: str, after: str, limit: int) -> Iterator[str]:
        """What the bucket holds below PREFIX, from `after` on; asked for in pages that fit `limit`."""
        # start_offset includes its own name, so one more is asked for than may be needed.
        size = min(limit + 1, MAX_PAGE_SIZE)
        found = self._client.list_blobs(
            self._bucket, prefix=PREFIX + prefix, start_offset=PREFIX + after, page_size=size, retry=_retry()
        )
        return (blob.name.removeprefix(PREFIX) for blob in found)

    def _compose(self, name: str, parts: Sequence[str], is_new: bool = True) -> tuple[str, StoredObject]:
        blob, generation = self._blob(name), 0 if is_new else None
        blob.content_type = "application/octet-stream"
        sources = [self._blob(part) for part in parts]
        blob.compose(sources, if_generation_match=generation, timeout=TIMEOUTS, retry=_retry())
        return name, StoredObject(blob.size, _crc32c(blob.crc32c))

    def _checked(self, name: str, stored: StoredObject, body: UploadBody) -> StoredObject:
        """`stored`, where it is what was sent; else the object is removed and Corrupt raised."""
        if (stored.size, stored.crc32c) != (body.sent, body.crc32c):
            self.delete(name)
            raise Corrupt(f"Cloud Storage keeps other bytes of {name} than were sent")
        return stored


def _retry() -> "Retry":
    """How Google's client makes a call again: a name is used once, so none is done twice, but not for two minutes."""
    from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]

    again: Retry = DEFAULT_RETRY.with_timeout(RETRY_TIMEOUT)
    return again


def _endpoint(emulator: str) -> str:
    """Where Cloud Storage is, without a slash at the end."""
    if not emulator:
        return "https://storage.googleapis.com"
    return (emulator if "://" in emulator else f"http://{emulator}").rstrip("/")


def _credentials(emulated: bool) -> Credentials:
    """Who we are: whoever the environment says; at an emulator nobody, unless it names somebody, who then signs."""
    if emulated and not any(name in os.environ for name in CREDENTIAL_VARIABLES):
        nobody: Credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
        return nobody
    own: Credentials = google.auth.default(scopes=SCOPES)[0]
    return own


def _crc32c(encoded: str) -> int:
    """The checksum of an object's resource: base64 of its four bytes in network order."""
    return int.from_bytes(b64decode(encoded), "big")


def _body_chunks(answer: requests.Response, size: int) -> Iterator[bytes]:
    """The body of `answer`, which is closed at the end or when the iterator is. Raises Corrupt before `size` bytes."""
    with _translated_errors(), contextlib.closing(answer):
        yield from verified_size(answer.iter_content(CHUNK_SIZE), size)


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn what google-auth and requests raise into the protocol's Unavailable."""
    try:
        yield
    except (GoogleAuthError, requests.RequestException) as error:
        raise Unavailable(f"Cloud Storage: {error}") from error


@contextlib.contextmanager
def _translated_client_errors() -> Iterator[None]:
    """As `_faults`, and what Google's client raises besides."""
    import_storage()
    from google.api_core.exceptions import GoogleAPICallError, RetryError

    with _translated_errors():
        try:
            yield
        except (GoogleAPICallError, RetryError) as error:
            raise Unavailable(f"Cloud Storage: {error}") from error
