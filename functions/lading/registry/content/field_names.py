"""Field names of manifests, and confusable names, which only some clients read as one of them.

Go's encoding/json, which most clients use, matches names without regard to case, by Unicode's simple case folding:
`Layers`, and `layers` with a long s (U+017F), both set `layers`, and the last of several wins. Other clients match
exactly. Two clients could read such a manifest in two ways, so it is rejected. Only the fields of the specification
are compared, each in its own object: keys of annotations, and everything in extensions, are free for clients to choose.
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
    """A JSON object has a duplicate name; the message says which."""


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object with these members, as an `object_pairs_hook` of `json.loads`.

    RFC 7493, which the image-spec requires, forbids duplicate names: clients that read the first one and clients that
    read the last one would see different manifests.

    Raises:
        DuplicateName: two members have the same name, however they are escaped.
    """
    fields = dict(pairs)
    if len(fields) != len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise DuplicateName(f"has the name {quoted(name)} twice in one object")
    return fields


def find_confusable(fields: Mapping[str, Any], names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first confusable name, and the specified name that a client may read it as, or None.

    Args:
        fields: a JSON object.
        names: the specified names: DOCUMENT, DESCRIPTOR or PLATFORM.
    """
    others = fields.keys() - names
    if not others:
        return None
    folded = {_fold(name): name for name in names}
    return next(((name, folded[_fold(name)]) for name in fields if name in others and _fold(name) in folded), None)


def quoted(name: str) -> str:
    """Return a name for an error message: truncated, in ASCII, so that look-alike letters are distinguishable."""
    return ascii(name[:MAX_SHOWN])


def _fold(name: str) -> str:
    """Fold the case of a name at least as far as any client does.

    `casefold` alone covers encoding/json. Clients that compare in upper case (Java) also read a dotless i (U+0131) as
    an i, and those that compare in lower case by Go's simple mapping (json-iterator) a dotted capital I (U+0130), which
    Python folds to an i and a combining dot (U+0307).
    """
    return name.upper().casefold().replace("\u0307", "")
