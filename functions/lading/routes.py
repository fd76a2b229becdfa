"""The table of surfaces: a row for each, with its prefix. A surface is imported by the first request to it."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, NamedTuple

from lading.api.distribution import DISTRIBUTION
from lading.leader import step_down
from lading.surface.route import Route
from lading.surface.surface import Surface


@cache
def _management() -> Surface:
    step_down()
    from lading.api.management import MANAGEMENT

    return MANAGEMENT


@cache
def _operations() -> Surface:
    step_down()
    from lading.api.operations import OPERATIONS

    return OPERATIONS


class Mount(NamedTuple):
    """A row.

    prefix   the path of the surface, without a slash at its end
    surface  returns the surface
    """

    prefix: str
    surface: Callable[[], Surface]


MOUNTS: Final = (
    Mount("/v2/_lading", _management),
    Mount("/v2", lambda: DISTRIBUTION),
    Mount("", _operations),
)
"""A prefix comes before the prefixes that it begins with. The last row has all other paths."""

_PREFIXES: Final = tuple((mount.prefix, f"{mount.prefix}/", mount.surface) for mount in MOUNTS)


def surface_of(path: str) -> Surface:
    """Return the surface of a path."""
    for prefix, folder, surface in _PREFIXES:
        if path.startswith(folder) or path == prefix:
            return surface()
    return MOUNTS[-1].surface()


def all_routes() -> Iterator[Route]:
    """Yield the routes of all surfaces."""
    for mount in MOUNTS:
        yield from mount.surface().routes
