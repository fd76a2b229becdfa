"""Messages between a registry and its attester, as json_values writes and reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_DIGESTS: Final = 50
"""Images of one DecisionsRequest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoriesRequest:
    """A request for the repositories after a name."""

    after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesRequest:
    """A request for the digests of images and indexes of a repository, after one."""

    repository: str
    after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesResponse:
    """A page.

    Attributes:
        names: repositories, or digests.
        next: the last name of the page if there may be more, else "".
    """

    names: Sequence[str] = ()
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRequest:
    """A request for the position of the sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPosition:
    """The position after which the sweep goes on, as a request to keep it and as a response.

    Attributes:
        repository: the repository in which it is, or "" at the beginning.
        digest: the last image of it that is done, or "" if all of it is.
    """

    repository: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionsRequest:
    """A request for decisions.

    Attributes:
        repository: of the manifests.
        digests: MAX_DIGESTS at most, of anything: an image, an index, a signature of either.
        related: whether images that the decision about these may change are decided about as well: those in and around
            an index, and what a signature is of.
    """

    repository: str
    digests: Sequence[str]
    related: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDecision:
    """Whether an image, or an index, passes.

    Attributes:
        digest: of its manifest.
        passes: whether each policy that is enforced for its repository allows it, and there is one.
        reason: why it does not pass, or "".
    """

    digest: str
    passes: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionsResponse:
    """Decisions about those of the manifests that are images or indexes, and are there."""

    decisions: Sequence[ImageDecision] = ()
