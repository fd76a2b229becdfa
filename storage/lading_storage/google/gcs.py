"""Blob store in a Cloud Storage bucket.

    blobs/<upload id>/<part>

An upload is one streamed `uploadType=media` request (gcs_uploads). Google's client library composes, deletes and lists
objects. It is imported at its first use, which a pull never reaches.
"""

import contextlib
import itertools
import os
import re
from base64 import b64decode
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import google.auth
import requests
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession

from lading_storage.chunks import primed
from lading_storage.errors import Corrupt, ObjectNotFound, Unavailable
from lading_storage.google.cdn_urls import CdnUrls
from lading_storage.google.gcs_uploads import TIMEOUTS, UploadBody, upload
from lading_storage.google.google_imports import import_storage
from lading_storage.google.signed_urls import SignedUrls, UrlSigner
from lading_storage.google.url_signers import ForwardingSigner, signer_of
from lading_storage.protocols import PART, UPLOAD_ID, StoredObject, verified_size

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.storage import Blob, Bucket, Client  # type: ignore[import-untyped]

    from lading_storage.forwarding import Hook

PREFIX: Final = "blobs/"
MAX_COMPOSE_SOURCES: Final = 32
"""Maximum source objects of one compose request (https://cloud.google.com/storage/docs/composite-objects)."""

MAX_PAGE_SIZE: Final = 1_000
"""Maximum names in one page of a listing."""

OBJECT_NAME: Final = re.compile(f"{UPLOAD_ID.pattern}/{PART.pattern}")

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
CREDENTIAL_VARIABLES: Final = ("GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST")
"""Environment variables that select credentials other than those in the home folder."""

CHUNK_SIZE: Final = 256 * 1024
RETRY_TIMEOUT: Final = 20.0
"""Seconds for which a call of Google's client library is retried."""

RETRY: Final = requests.adapters.Retry(
    3, allowed_methods={"GET"}, status_forcelist=(429, 500, 502, 503, 504), backoff_factor=0.1, raise_on_status=False
)
"""Retries of reads after any failure, and of uploads only before they are sent (see gcs_uploads)."""


class CloudStorageBlobs:
    """BlobStore in one bucket."""

    def __init__(
        self,
        bucket: str,
        hmac_key: Path | None = None,
        cdn_key: Path | None = None,
        signer_hook: "Hook | None" = None,
    ) -> None:
        """Use the bucket with the credentials of the environment, or an emulator if STORAGE_EMULATOR_HOST is set.

        Args:
            bucket: the name of the bucket.
            hmac_key: a file with an HMAC key that signs URLs, or None to sign with the credentials.
            cdn_key: a file with a key of Cloud CDN, or None for URLs of Cloud Storage.
            signer_hook: called around each signing of a URL of Cloud Storage.

        Raises:
            StorageError: a key file is invalid, or URLs are required and cannot be signed.
            Unavailable: the credentials cannot be loaded.
        """
        emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
        self._endpoint = _endpoint(emulator)
        self._name = bucket
        with _translated_errors():
            credentials = _credentials(bool(emulator))
        # An emulator needs no token.
        self._credentials = AnonymousCredentials() if emulator else credentials  # type: ignore[no-untyped-call]
        # No refresh on 401: the body is consumed by then, and a second attempt would send an empty one.
        self._session: requests.Session = AuthorizedSession(self._credentials, refresh_status_codes=())  # type: ignore[no-untyped-call]
        self._session.mount(self._endpoint, requests.adapters.HTTPAdapter(pool_maxsize=128, max_retries=RETRY))
        self._urls: UrlSigner | None = None
        if cdn_key is not None:
            self._urls = CdnUrls.from_file(cdn_key)
        elif signer := signer_of(credentials, hmac_key):
            signer = ForwardingSigner(signer, signer_hook) if signer_hook else signer
            self._urls = SignedUrls(self._endpoint, bucket, signer)

    def append(self, name: str, chunks: Iterable[bytes], size: int | None = None) -> StoredObject:
        """See BlobStore.append. A body that ends early never sends its last chunk, so nothing is stored."""
        body = UploadBody(verified_size(chunks, size), size)
        with _translated_errors():
            described = upload(self._session, self._endpoint, self._name, PREFIX + name, body)
        return self._checked(name, StoredObject(int(described["size"]), _crc32c(described["crc32c"])), body)

    def join(self, name: str, parts: Sequence[str]) -> StoredObject:
        """See BlobStore.join. Composes 32 objects at a time, in levels, without transferring their bytes."""
        level, steps = list(parts), itertools.count()
        temporary: list[str] = []
        with _translated_client_errors():
            while len(level) > MAX_COMPOSE_SOURCES:
                groups = [level[at : at + MAX_COMPOSE_SOURCES] for at in range(0, len(level), MAX_COMPOSE_SOURCES)]
                level = [self._compose(f"{name}-{next(steps)}", group)[0] for group in groups]
                temporary += level
            _, stored = self._compose(name, level)
        for each in temporary:
            self.delete(each)
        return stored

    def replace(self, name: str, by: str) -> None:
        """See BlobStore.replace. Composing onto the name is atomic. The bucket's soft delete keeps the old object."""
        import_storage()
        from google.api_core.exceptions import NotFound

        with _translated_client_errors():
            try:
                # An emulator does not report a missing source of a compose request.
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
            response = self._session.get(url, params={"alt": "media"}, headers=headers, stream=True, timeout=TIMEOUTS)
            if response.status_code == 404:
                response.close()
                raise ObjectNotFound(name)
            if response.status_code == 416:
                response.close()
                raise Corrupt(f"{name} has fewer bytes than its record states")
            response.raise_for_status()
        return primed(_body_chunks(response, stop - start))

    def signed_url(self, name: str) -> str | None:
        """See BlobStore.signed_url.

        Raises Unavailable if signing fails. There is no fallback: a pull through this process would fail at the 10 MB
        limit of a function's responses, and would turn a failure of IAM into a flood of traffic.
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
        """Google's client, with the credentials that are loaded already."""
        from google.cloud.storage import Client

        return Client(project=None, credentials=self._credentials)

    @cached_property
    def _bucket(self) -> "Bucket":
        return self._client.bucket(self._name)

    def _blob(self, name: str) -> "Blob":
        return self._bucket.blob(PREFIX + name)

    def _list(self, prefix: str, after: str, limit: int) -> Iterator[str]:
        """Yield object names without PREFIX, starting at `after`, in pages sized for `limit`."""
        # start_offset is inclusive, so request one more name than needed.
        size = min(limit + 1, MAX_PAGE_SIZE)
        blobs = self._client.list_blobs(
            self._bucket, prefix=PREFIX + prefix, start_offset=PREFIX + after, page_size=size, retry=_retry()
        )
        return (blob.name.removeprefix(PREFIX) for blob in blobs)

    def _compose(self, name: str, parts: Sequence[str], is_new: bool = True) -> tuple[str, StoredObject]:
        blob, generation = self._blob(name), 0 if is_new else None
        blob.content_type = "application/octet-stream"
        sources = [self._blob(part) for part in parts]
        blob.compose(sources, if_generation_match=generation, timeout=TIMEOUTS, retry=_retry())
        return name, StoredObject(blob.size, _crc32c(blob.crc32c))

    def _checked(self, name: str, stored: StoredObject, body: UploadBody) -> StoredObject:
        """Return `stored` if it matches what was sent. Else delete the object and raise Corrupt."""
        if (stored.size, stored.crc32c) != (body.sent, body.crc32c):
            self.delete(name)
            raise Corrupt(f"Cloud Storage stored other bytes for {name} than were sent")
        return stored


def _retry() -> "Retry":
    """Return the retry policy, shorter than the default of two minutes. Names are unique, so retries are safe."""
    from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]

    retry: Retry = DEFAULT_RETRY.with_timeout(RETRY_TIMEOUT)
    return retry


def _endpoint(emulator: str) -> str:
    """Return the URL of Cloud Storage, without a trailing slash."""
    if not emulator:
        return "https://storage.googleapis.com"
    return (emulator if "://" in emulator else f"http://{emulator}").rstrip("/")


def _credentials(emulated: bool) -> Credentials:
    """Return the credentials of the environment; with an emulator, anonymous ones unless it names others."""
    if emulated and not any(name in os.environ for name in CREDENTIAL_VARIABLES):
        anonymous: Credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
        return anonymous
    credentials: Credentials = google.auth.default(scopes=SCOPES)[0]
    return credentials


def _crc32c(encoded: str) -> int:
    """Return the checksum in an object resource: base64 of its four bytes in network byte order."""
    return int.from_bytes(b64decode(encoded), "big")


def _body_chunks(response: requests.Response, size: int) -> Generator[bytes]:
    """Yield b"", to be primed, and the body of a response. Close it at the end, or when this is closed.

    Raises Corrupt if the body has fewer than `size` bytes.
    """
    with _translated_errors(), contextlib.closing(response):
        yield b""
        yield from verified_size(response.iter_content(CHUNK_SIZE), size)


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    """Translate errors of google-auth and requests into Unavailable."""
    try:
        yield
    except (GoogleAuthError, requests.RequestException) as error:
        raise Unavailable(f"Cloud Storage: {error}") from error


@contextlib.contextmanager
def _translated_client_errors() -> Iterator[None]:
    """Translate errors like `_translated_errors`, and those of Google's client library."""
    import_storage()
    from google.api_core.exceptions import GoogleAPICallError, RetryError

    with _translated_errors():
        try:
            yield
        except (GoogleAPICallError, RetryError) as error:
            raise Unavailable(f"Cloud Storage: {error}") from error
