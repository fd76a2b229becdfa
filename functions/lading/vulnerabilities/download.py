"""Download of OSV's dumps: what changed since, by its ETag, compiled.

    SOURCE/Debian/all.zip ──If-None-Match──▶ 304, or a new dump ──compile──▶ debian.sqlite

A source that is down, or that has damaged data, changes nothing: the data that was there stays in use.
https://google.github.io/osv.dev/data/#data-dumps
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import quote

from lading.addresses import AddressError, Addresses, AddressRefused, parse_url
from lading.connection_errors import reason_of
from lading.outbound import Outbound, OutboundError, Reply
from lading.vulnerabilities import database
from lading.vulnerabilities.database import Compiled
from lading.vulnerabilities.dump import DumpError

MAX_DOWNLOAD: Final = 2 * 1024**3
"""Bytes of a dump; the one of Ubuntu has some 500 MB."""

TIME_LIMIT: Final = 1_800.0
"""Seconds for a dump."""

DELAYS: Final = (2.0, 10.0)
"""Seconds before each retry."""

NO_RECORDS: Final = "the data has no records that can be used"

_EVERYWHERE: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class DownloadError(Exception):
    """There is no new data; the message is a clause that says why."""


class _Unavailable(DownloadError):
    """It may be there later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Result for one ecosystem.

    Attributes:
        ecosystem: its name without a release.
        etag: of the source's data; "" if the source names none, or failed.
        path: the new database, or None if there is none. The caller moves or deletes it.
        compiled: what is in it.
        error: why there is no new data, though there may be some; or "".
    """

    ecosystem: str
    etag: str = ""
    path: Path | None = None
    compiled: Compiled | None = None
    error: str = ""


def check_source(url: str) -> str:
    """Return the URL of a source without a slash at its end.

    Raises:
        AddressRefused: it is not valid, or not https: and not of this machine.
    """
    target = parse_url(url)
    if target.scheme != "https" and not _is_loopback(target.host):
        raise AddressRefused("a source of vulnerabilities is https://…, or http:// on this machine")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def source_client(time_limit: float = TIME_LIMIT) -> Outbound:
    """Return a client for sources: they are the operator's, so that each address may be used, as of a mirror inside."""
    return Outbound(Addresses(_EVERYWHERE), time_limit=time_limit)


def update(
    source: str,
    etags: Mapping[str, str],
    folder: Path,
    client: Outbound | None = None,
    wait: Callable[[float], object] = time.sleep,
) -> Iterator[Update]:
    """Yield a result for each ecosystem, one after another, so that only one dump is on the disk.

    Args:
        source: the URL of the folder of all ecosystems.
        etags: by the names of the ecosystems to update: the ETag of the data that is there, or "".
        folder: for the files.
        client: sends the requests; by default, `source_client`.
        wait: waits for seconds before a retry.

    Raises:
        AddressRefused: see check_source.
    """
    found = _Source(check_source(source), client or source_client(), wait)
    for ecosystem in sorted(etags):
        dump = folder / f"{quote(ecosystem, safe='')}.zip"
        try:
            yield found.update(ecosystem, etags[ecosystem], dump)
        except (DownloadError, DumpError) as error:
            yield Update(ecosystem=ecosystem, error=str(error))
        except OSError as error:
            yield Update(ecosystem=ecosystem, error=f"the disk cannot be written: {reason_of(error)}")
        finally:
            dump.unlink(missing_ok=True)


class _Source:
    """Source of dumps, at a URL."""

    def __init__(self, base: str, client: Outbound, wait: Callable[[float], object]) -> None:
        self._base = base
        self._client = client
        self._wait = wait
        self._delays: tuple[float, ...] = DELAYS

    def update(self, ecosystem: str, etag: str, dump: Path) -> Update:
        """Download a dump to a file, and compile it beside. Raises DownloadError, DumpError, OSError."""
        reply = self._retried(f"{self._base}/{quote(ecosystem)}/all.zip", etag, dump)
        if reply.status == HTTPStatus.NOT_MODIFIED:
            return Update(ecosystem=ecosystem, etag=etag)
        path = dump.with_suffix(".sqlite")
        compiled = database.compile(ecosystem, dump, path)
        if not compiled.records:
            path.unlink()
            raise DownloadError(NO_RECORDS)
        return Update(ecosystem=ecosystem, etag=reply.headers.get("etag", ""), path=path, compiled=compiled)

    def _retried(self, url: str, etag: str, dump: Path) -> Reply:
        """Download a dump, with retries unless the one before failed in spite of them: offline, each fails soon."""
        delays, self._delays = self._delays, ()
        for delay in delays:
            try:
                reply = self._download(url, etag, dump)
                break
            except _Unavailable:
                self._wait(delay)
        else:
            reply = self._download(url, etag, dump)
        self._delays = DELAYS
        return reply

    def _download(self, url: str, etag: str, dump: Path) -> Reply:
        headers = {"If-None-Match": etag} if etag else {}
        with dump.open("wb") as file:
            try:
                reply = self._client.download(url, headers, file, MAX_DOWNLOAD)
            except (AddressError, OutboundError) as error:
                raise _Unavailable(str(error)) from None
            size = file.tell()
        if reply.status == HTTPStatus.NOT_MODIFIED and etag:
            return reply
        if reply.status == HTTPStatus.NOT_FOUND:
            raise DownloadError("the source has no data of it")
        if reply.status == HTTPStatus.TOO_MANY_REQUESTS or reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _Unavailable(f"the source responded with status {reply.status}")
        if reply.status != HTTPStatus.OK:
            raise DownloadError(f"the source responded with status {reply.status}; redirects are not followed")
        if not reply.complete and size >= MAX_DOWNLOAD:
            raise DownloadError(f"the data has more than {MAX_DOWNLOAD} bytes")
        if not reply.complete:
            raise _Unavailable("the connection ended before the data did")
        return reply
