"""Pull a manifest: the use case of every client that asks for one, over whichever surface.

Whatever is decided about a pull is decided here, in this order: the manifest is resolved, policies are asked, the
client's condition is checked, and the pull is recorded. A refused pull is not recorded: it must not keep an image from
being cleaned up.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from lading.leader import step_down
from lading.registry.change_context import PULL, ChangeContext
from lading.registry.cleanup.last_pulled import LastPulls
from lading.registry.content.manifest_lookup import ManifestLookup
from lading.registry.names import parse_as_of
from lading.registry.policies.gates import Gates
from lading.registry.policies.policy_cache import PolicyRead
from lading.registry.preconditions import UNCONDITIONAL, Precondition
from lading_storage.records.core import Key, Manifest, Tag


def _may_see_past() -> bool:
    return True


class PullRequest(NamedTuple):
    """What a client requests.

    reference     a tag, a digest, or `TAG.asof-TIME`
    is_head       whether the client only asks for existence and size, as before a push. Content that it needs must be
                  intact then, so that the client pushes what is damaged. It is recorded as a pull all the same.
    condition     precondition on the digest
    may_see_past  returns whether the caller may see what deleted tags pointed to; called for `TAG.asof-TIME` only
    context       who pulls: policies can exempt the actor
    """

    reference: str
    is_head: bool = False
    condition: Precondition = UNCONDITIONAL
    may_see_past: Callable[[], bool] = _may_see_past
    context: ChangeContext = PULL


class Pulled(NamedTuple):
    """What a client gets.

    manifest  the manifest, or the tag with a copy of it. Manifests.stream returns its bytes
    warning   why a policy would refuse it, on one line, or ""
    """

    manifest: Manifest | Tag
    warning: str = ""

    @property
    def digest(self) -> str:
        """Digest of the manifest's bytes."""
        return self.manifest.digest


class Pull:
    """The use case."""

    def __init__(self, lookup: ManifestLookup, gates: Gates, last_pulls: LastPulls) -> None:
        """Pull what `lookup` finds and `gates` allow, and record it in `last_pulls`."""
        self._lookup = lookup
        self._gates = gates
        self._last_pulls = last_pulls

    def __call__(self, repository: str, request: PullRequest) -> Pulled:
        """Return the manifest.

        This takes one read (ManifestLookup.find), and a commit for the first pull of a manifest in an hour. Where
        policies name the repository, a pull by tag takes another read (policies.pull_gate).

        Raises:
            RegistryError: MANIFEST_UNKNOWN, DENIED by a policy, PRECONDITION_FAILED; as `may_see_past` does.
        """
        policies = self._gates.policies.begin(repository)
        found, read = self._lookup.find(
            repository,
            request.reference,
            intact=request.is_head,
            only_present=self._only_present(request),
            companions=partial(self._companions, policies),
        )
        in_effect, warning = policies.of(read), ""
        if in_effect:
            warning = self._gates.pull.check(in_effect, found, read, request.context, is_head=request.is_head)
        request.condition.check(found.digest)
        # A HEAD is a use as well: containerd resolves a tag or a digest by HEAD (core/remotes/docker/resolver.go), and
        # a node that has the image already, as with imagePullPolicy Always, requests no more.
        if self._last_pulls.is_due(repository, found.digest):
            # Written before the response: afterwards Cloud Run allocates no CPU.
            step_down()
            self._last_pulls.record_pull(repository, found.digest)
        return Pulled(found, warning)

    def _companions(self, policies: PolicyRead, key: Key[Any]) -> Sequence[Key[Any]]:
        """Return the keys to read with a manifest or tag: nothing more, while no policy names the repository."""
        if not policies.names:
            return policies.keys
        return [*policies.keys, *self._gates.pull.companions(key)]

    def _only_present(self, request: PullRequest) -> bool:
        """Return whether a tag as of a time must exist now as well."""
        if parse_as_of(request.reference) is None:
            return False
        # It needs a search through the tag's history, not a single read.
        step_down()
        return not request.may_see_past()
