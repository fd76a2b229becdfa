"""Push a manifest, or set a tag: the use case of every client that writes one, over whichever surface.

Whatever is decided about a push is decided here: what the request itself makes impossible before its content is read,
and the rest with the records that the commit relies on (Manifests.put), such as immutable tags and missing blobs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from lading.registry.change_context import PUSH, ChangeContext
from lading.registry.changes import Change
from lading.registry.content.manifests import MAX_MANIFEST, Manifests, Put
from lading.registry.errors import MANIFEST_TOO_LARGE, TOO_MANY_TAGS, RegistryError
from lading.registry.names import check_tag, is_digest_reference
from lading.registry.preconditions import UNCONDITIONAL, Precondition
from lading.registry.tags.tagging import Tagging
from lading_storage.records.core import Manifest

MAX_TAGS: Final = 100
"""Maximum tags in one push, besides its reference; the distribution-spec requires at least 10."""


class ReadContent(Protocol):
    """Return the bytes of the manifest, or None where they are more than `max_size`.

    `digest_checked` says whether the digest of the bytes is known, so that truncated ones are refused in any case.
    """

    def __call__(self, max_size: int, *, digest_checked: bool) -> bytes | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What a client requests.

    reference     the tag or digest by which the manifest is pushed
    read          reads the manifest; called once, or never where the request is refused before
    content_type  the media type that the client sent, or ""
    tags          further tags that are to point to the manifest
    condition     precondition on what the reference points to before
    """

    reference: str
    read: ReadContent
    content_type: str = ""
    tags: Sequence[str] = ()
    condition: Precondition = UNCONDITIONAL


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push that was committed: the manifest, and the change for the audit log."""

    manifest: Manifest
    change: Change


class Push:
    """The use case.

    after  each is called with each manifest that was committed, and its tags. What one raises fails the push, so that
           the client repeats both
    """

    def __init__(self, manifests: Manifests, tagging: Tagging) -> None:
        """Push to `manifests`, and set tags by `tagging`."""
        self._manifests = manifests
        self._tagging = tagging
        self.after: list[Callable[[Manifest, Sequence[str]], None]] = []

    def __call__(self, repository: str, request: PushRequest, context: ChangeContext = PUSH) -> Pushed:
        """Store a manifest, and point tags to it, in one commit.

        Raises:
            RegistryError: TOO_MANY_TAGS, TAG_INVALID or DIGEST_INVALID before the content is read; then as
                `request.read` and Manifests.put do.
        """
        by_digest = is_digest_reference(request.reference)
        if len(request.tags) > MAX_TAGS:
            raise RegistryError(TOO_MANY_TAGS, {"limit": MAX_TAGS})
        for tag in request.tags:
            check_tag(tag)
        content = request.read(MAX_MANIFEST, digest_checked=by_digest)
        if content is None:
            raise RegistryError(MANIFEST_TOO_LARGE, {"limit": MAX_MANIFEST})
        put = Put(
            content=content,
            content_type=request.content_type,
            digest=request.reference if by_digest else "",
            tags=request.tags if by_digest else [request.reference, *request.tags],
            condition=request.condition,
        )
        manifest = self._manifests.put(repository, put, context)
        for act in self.after:
            act(manifest, put.tags)
        return Pushed(manifest, Change("manifest-pushed", manifest.digest, tuple(dict.fromkeys(put.tags))))

    def tag(self, repository: str, reference: str, name: str, context: ChangeContext) -> str:
        """Point the tag `name` to the manifest that another tag or a digest names; return its digest.

        Raises:
            RegistryError: MANIFEST_UNKNOWN, or as Tagging.tag does.
        """
        digest = self._manifests.find(repository, reference).digest
        self._tagging.tag(repository, digest, name, context)
        return digest
