"""Container registry: everything that runs in a Cloud Function or below `lading serve`, and the `lading` command.

A request passes main or serve → app → surface → registry → storage; `tests/test_layers.py` keeps this order.

`__version__` is the version of the installed distribution `lading-registry`. The functions' zip contains sources but no
distribution; there it is `0+` and the digest of the sources (lading.version).
"""

from typing import TYPE_CHECKING

__version__: str

if not TYPE_CHECKING:  # else mypy takes any name for an attribute

    def __getattr__(name: str) -> str:
        """Return `__version__`, looked up at its first use: importlib.metadata would slow every cold start."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version

        from lading.version import source_version

        try:
            found = version("lading-registry")
        except PackageNotFoundError:
            found = f"0+{source_version()}"
        globals()["__version__"] = found
        return found
