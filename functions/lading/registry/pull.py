"""Pull a manifest: the use case of every client that asks for one, over whichever surface.

Whatever is decided about a pull is decided here, in this order: the manifest is resolved, the client's condition is
checked, and the pull is recorded. A refused pull is not recorded: it must not keep an image from being cleaned up.
"""

from collections.abc import Callable
from typing import NamedTuple

from lading.leader import step_down
from lading.registry.cleanup.last_pulled import LastPulls
from lading.registry.content.manifests import Manifests
from lading.registry.names import parse_as_of
from lading.registry.preconditions import UNCONDITIONAL, Precondition
from lading_storage.records.core import Manifest, Tag


def _may_see_past() -> bool:
    return True


class PullRequest(NamedTuple):
    """What a client requests.

    reference     a tag, a digest, or `TAG.asof-TIME`
    is_head       whether the client only asks for existence and size, as before a push. Content that it needs must be
                  intact then, so that the client pushes what is damaged. It is recorded as a pull all the same.
    condition     precondition on the digest
    may_see_past  returns whether the caller may see what deleted tags pointed to; called for `TAG.asof-TIME` only
    """

    reference: str
    is_head: bool = False
    condition: Precondition = UNCONDITIONAL
    may_see_past: Callable[[], bool] = _may_see_past


class Pull:
    """The use case."""

    def __init__(self, manifests: Manifests, last_pulls: LastPulls) -> None:
        """Pull from `manifests`, and record it in `last_pulls`."""
        self._manifests = manifests
        self._last_pulls = last_pulls

    def __call__(self, repository: str, request: PullRequest) -> Manifest | Tag:
        """Return the manifest, or the tag with a copy of it. Manifests.stream returns its bytes.

        This takes one read (Manifests.find), and a commit for the first pull of a manifest in an hour.

        Raises:
            RegistryError: MANIFEST_UNKNOWN, PRECONDITION_FAILED; as `may_see_past` does.
        """
        found = self._manifests.find(
            repository, request.reference, intact=request.is_head, only_present=self._only_present(request)
        )
        request.condition.check(found.digest)
        # A HEAD is a use as well: containerd resolves a tag or a digest by HEAD (core/remotes/docker/resolver.go), and
        # a node that has the image already, as with imagePullPolicy Always, requests no more.
        if self._last_pulls.is_due(repository, found.digest):
            # Written before the response: afterwards Cloud Run allocates no CPU.
            step_down()
            self._last_pulls.record_pull(repository, found.digest)
        return found

    def _only_present(self, request: PullRequest) -> bool:
        """Return whether a tag as of a time must exist now as well."""
        if parse_as_of(request.reference) is None:
            return False
        # It needs a search through the tag's history, not a single read.
        step_down()
        return not request.may_see_past()
