"""Update of the vulnerability data of a registry over HTTP: what is a day old, and what images have begun to need.

ecosystems of the registry ─▶ those that are due ─▶ their source, by ETag ─▶ new artifacts
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from lading.jobs.vulnerability_data import store
from lading.registry.scans.messages import Ecosystem
from lading.scanner.database_files import EXPLOITS
from lading.scanner.http_backend import HttpArtifacts
from lading.vulnerabilities.download import Update, update

INTERVAL: Final = timedelta(days=1)
"""Time between two requests to a source."""

RETRY: Final = timedelta(hours=1)
"""The same after one that failed."""

log = logging.getLogger("lading")

Download = Callable[[str, Mapping[str, str], Path], Iterable[Update]]


def due(ecosystems: Sequence[Ecosystem], now: datetime) -> Mapping[str, str]:
    """Return the ETags of the data of the ecosystems whose source is to be asked, by their names."""
    return {each.name: each.etag for each in ecosystems if each.name != EXPLOITS and _is_due(each, now)}


def _is_due(ecosystem: Ecosystem, now: datetime) -> bool:
    interval = RETRY if ecosystem.error else INTERVAL
    return ecosystem.checked is None or now - ecosystem.checked >= interval


def update_due(artifacts: HttpArtifacts, source: str, now: datetime, download: Download = update) -> Mapping[str, str]:
    """Bring the data that is due up to date, one ecosystem after another.

    Args:
        artifacts: the data of the registry.
        source: the URL that it is downloaded from.
        now: the time.
        download: downloads it; see lading.vulnerabilities.download.update.

    Returns:
        The outcome for each ecosystem, or why it failed.

    Raises:
        RegistryUnreachable: the registry cannot be reached.
    """
    artifacts.refresh()
    if not (etags := due(artifacts.ecosystems(), now)):
        return {}
    # An ETag is that of the data that the registry has: it is worth nothing without that.
    known = artifacts.current([*etags])
    wanted = {name: etag if name in known else "" for name, etag in etags.items()}
    with TemporaryDirectory(prefix="lading-") as folder:
        return dict(_outcomes(artifacts, download(source, wanted, Path(folder))))


def _outcomes(artifacts: HttpArtifacts, updates: Iterable[Update]) -> Iterator[tuple[str, str]]:
    for each in store(artifacts, updates):
        if each.error:
            log.warning("the vulnerability data of %s: %s", each.ecosystem, each.error)
        yield each.ecosystem, each.outcome
