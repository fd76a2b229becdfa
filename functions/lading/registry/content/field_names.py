"""Field names of manifests, and names that only some clients take for one of them.

Go's encoding/json, in which most clients are written, matches names without regard to case, by Unicode's simple case
folding: `Layers`, and `layers` with a long s (U+017F), both set `layers`, and of several the last one wins. Other
clients match exactly. A manifest with such a name would be two things to two clients, so it is refused. Only the fields
of the specification are compared, each where it stands: the keys of annotations, and all in extensions, belong to
whoever pushes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

DOCUMENT: Final = frozenset(
    {"schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "blobs", "subject", "annotations"}
)
"""Fields of a manifest or index (image-spec, manifest.md, image-index.md)."""

DESCRIPTOR: Final = frozenset(
    {"mediaType", "artifactType", "digest", "size", "urls", "data", "annotations", "platform"}
)
"""Fields of a descriptor (image-spec, descriptor.md)."""

PLATFORM: Final = frozenset({"architecture", "os", "os.version", "os.features", "variant", "features"})
"""Fields of a descriptor's platform (image-spec, image-index.md)."""

MAX_SHOWN: Final = 80
"""Characters of a name that an error shows."""


class DuplicateName(ValueError):
    """An object that has a name twice; the message says which."""


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these members, for `json.loads`.

    RFC 7493, on which the image-spec insists, has each name once. Clients that read the first and clients that read the
    last of two would not see the same.

    Raises:
        DuplicateName: where two members have the same name, however they are escaped.
    """
    fields = dict(pairs)
    if len(fields) != len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise DuplicateName(f"has the name {quoted(name)} twice in one object")
    return fields


def find_confusable(fields: Mapping[str, Any], names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first name that a client may take for another one of `names`, and that one; None where there is none.

    Args:
        fields: an object.
        names: DOCUMENT, DESCRIPTOR or PLATFORM.
    """
    others = fields.keys() - names
    if not others:
        return None
    folded = {_fold(name): name for name in names}
    return next(((name, folded[_fold(name)]) for name in fields if name in others and _fold(name) in folded), None)


def quoted(name: str) -> str:
    """Return a name as an error shows it: short, in ASCII, so that letters that look alike can be told apart."""
    return ascii(name[:MAX_SHOWN])


def _fold(name: str) -> str:
    """Fold a name at least as far as any client does.

    `casefold` alone covers encoding/json. Clients that compare in upper case (Java) also take a dotless i (U+0131) for
    an i, and those that compare in lower case by Go's simple mapping (json-iterator) a dotted capital I (U+0130), which
    Python makes an i and a combining dot (U+0307).
    """
    return name.upper().casefold().replace("\u0307", "")
