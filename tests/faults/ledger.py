"""What a client may find, by what it was told: one thing where it was told, several where no answer came."""

from collections import defaultdict
from collections.abc import Iterable

from lading_storage.digests import digest_of
from tests.faults.exact_client import ExactClient, RequestOutcome


class Ledger:
    """For each path that one client alone changes: the digests of what may be there; None stands for nothing.

    lost  what was found that cannot be, in words
    """

    def __init__(self) -> None:
        """Nothing is anywhere."""
        self.lost: list[str] = []
        self._may: dict[str, set[str | None]] = defaultdict(lambda: {None})
        self._unchecked: set[str] = set()

    def record(self, path: str, digest: str | None, outcome: RequestOutcome) -> None:
        """A client asked for `digest` to be at `path`, or nothing, and was told this."""
        self._unchecked.add(path)
        self._may[path] = {digest} | (self._may[path] if outcome.unknown else set())

    def record_manifest_deletion(self, digest: str, outcome: RequestOutcome) -> None:
        """A client deleted a manifest, and all tags with it, and was told this."""
        for path, may in self._may.items():
            if digest in may and "/manifests/" in path:
                self._unchecked.add(path)
                may.add(None)
                if not outcome.unknown:
                    may.discard(digest)

    def record_possible_removal(self, path: str) -> None:
        """A client deleted what may have been the last to name what is at `path`: it is hidden, then."""
        self._unchecked.add(path)
        self._may[path].add(None)

    def required(self, kind: str) -> list[tuple[str, str]]:
        """Path and digest of all that must be there below `/manifests/` or `/blobs/`."""
        known = [(path, next(iter(may))) for path, may in self._may.items() if len(may) == 1 and kind in path]
        return [(path, digest) for path, digest in known if digest is not None]

    def check(self, port: int) -> int:
        """Look at all that has changed since the last look; return how many paths."""
        paths, self._unchecked = self._unchecked, set()
        return self._check(port, paths)

    def check_all(self, port: int) -> int:
        """Look at everything; return how many paths."""
        return self._check(port, list(self._may))

    def _check(self, port: int, paths: Iterable[str]) -> int:
        client, count = ExactClient(port), 0
        for path in paths:
            told = client.request("GET", path)
            found = digest_of(told.body) if told.status == 200 else None
            if told.status not in (200, 404) or found not in self._may[path]:
                self.lost.append(f"{path}: {told.status} {found}, may be {self._may[path]}")
            self._may[path] = {found}
            count += 1
        client.close()
        return count
