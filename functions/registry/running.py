"""What runs somewhere, as deployers report it: clean-up keeps it.

A report stays until its source reports again or is forgotten: whoever falls silent may still run what it ran.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from functions.registry.acts import Clock
from functions.registry.attempts import settle
from functions.registry.graph import Node
from functions.registry.names import is_tag
from functions.registry.pages import scan_all
from storage.digests import is_digest
from storage.protocols import Create, Delete, MetadataStore, Replace
from storage.records import Key
from storage.upkeep import Running

MOST_REFERENCES: Final = 5_000
MOST_CHARACTERS: Final = 500_000
"""Of one report, so that it fits a document of Firestore: whoever runs more reports under several names."""

MOST_SOURCE: Final = 128


class RunningError(Exception):
    """A report that cannot be taken; the message says why."""


class Reports:
    """The reports of all sources."""

    def __init__(self, metadata: MetadataStore, clock: Clock) -> None:
        """Keep reports in `metadata`."""
        self._metadata = metadata
        self._clock = clock

    def report(self, source: str, references: Iterable[str]) -> Running:
        """Keep what a source runs now, in the place of what it reported before. Raises RunningError."""
        if not is_tag(source):
            raise RunningError(
                f"a source has a name of at most {MOST_SOURCE} letters, digits and ._-, not {source[:200]}"
            )
        running = Running(id=source, references=checked(references), reported=self._clock())
        settle(lambda: self._put(running))
        return running

    def all(self) -> list[Running]:
        """What all sources reported, by name."""
        return list(scan_all(self._metadata, Running))

    def forget(self, source: str) -> bool:
        """Keep nothing for a source any longer; whether there was a report of it."""
        return settle(lambda: self._try_to_forget(source))

    def _put(self, running: Running) -> None:
        before = self._metadata.read([running.key])[running.key]
        self._metadata.commit([Replace(replace(running, version=before.version)) if before else Create(running)])

    def _try_to_forget(self, source: str) -> bool:
        key = Key(Running, source)
        running = self._metadata.read([key])[key]
        if running is not None:
            self._metadata.commit([Delete(running)])
        return running is not None


def checked(references: Iterable[str]) -> tuple[str, ...]:
    """References as they are kept: each once, sorted. Raises RunningError."""
    found = sorted({each.strip() for each in references if each.strip()})
    if not found:
        raise RunningError("nothing is reported: to say that nothing runs there any more, forget the source")
    if len(found) > MOST_REFERENCES or sum(map(len, found)) > MOST_CHARACTERS:
        raise RunningError(f"a report has at most {MOST_REFERENCES} references: report under several names")
    for each in found:
        read(each)
    return tuple(found)


def read(reference: str) -> tuple[str, str]:
    """The path of a reference, with whatever host is before it, and its digest or tag. Raises RunningError.

    `sha256:…` alone has the path "", which stands for every repository; without a tag, `latest` is meant.
    """
    if is_digest(reference):
        return "", reference
    path, at, digest = reference.partition("@")
    slash = path.rfind("/")
    name, colon, tag = path[slash + 1 :].partition(":")
    path = path[: slash + 1] + name
    if not name or (at and not is_digest(digest)) or (colon and not is_tag(tag)):
        raise RunningError(f"{reference[:200]} is neither a digest nor a reference such as team/app:v1")
    return path, digest or tag or "latest"


def what_runs(running: Sequence[Running], repository: str, nodes: Iterable[Node]) -> Mapping[str, str]:
    """The digests of the manifests of a repository that run, each with where it runs.

    Only the end of a reference's path is compared with the repository's name: before it may be a host, and the path of
    a cache in front of this registry.
    """
    tags: dict[str, str] = {}
    digests: set[str] = set()
    for node in nodes:
        digests.add(node.digest)
        tags |= dict.fromkeys(node.tags, node.digest)
    found: dict[str, str] = {}
    for source, target in _targets(running, repository):
        digest = target if target in digests else tags.get(target, "")
        if digest:
            found.setdefault(digest, f"in {source}")
    return found


def digests_in_use(running: Iterable[Running], repository: str) -> set[str]:
    """Return the digests that run and may be of a repository's manifests."""
    return {target for _, target in _targets(running, repository)}


def _targets(running: Iterable[Running], repository: str) -> Iterator[tuple[str, str]]:
    """Each source, with the digests and tags of this repository that it runs."""
    for report in running:
        for reference in report.references:
            path, target = read(reference)
            if not path or f"/{path}".endswith(f"/{repository}"):
                yield report.id, target
