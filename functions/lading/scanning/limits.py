"""Limits of a scan: what a layer may cost, whatever its pusher put into it. Sizes are in bytes."""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

MAX_TEXT: Final = 8 * MIB
"""Of a text file that declares packages, such as a METADATA, a package.json or a lock file."""

MAX_DATABASE: Final = 128 * MIB
"""Of a package database of a distribution. Real ones have up to 60 MiB."""

MAX_EXECUTABLE: Final = 256 * MIB
"""Of an executable that may declare what it was built from. Large ones of Go have 150 MiB."""

MAX_JAR: Final = 256 * MIB
"""Of a jar in a layer, which is in a temporary file."""

MAX_NESTED_JAR: Final = 64 * MIB
"""Of a jar in a jar, which is in memory, as up to MAX_JAR_DEPTH - 1 are."""

MAX_JAR_DEPTH: Final = 4
"""Jars in jars, the outermost included: an ear has wars, which have jars, and one of these may have some more."""

MAX_JAR_DIRECTORY: Final = 16 * MIB
"""Of the central directory of a jar, which Python reads as a whole: 160,000 members of a usual name."""

MAX_NESTED_DIRECTORY: Final = 4 * MIB
"""Of the central directory of a jar in a jar. All that are read at once take 250 MiB of memory at most."""

MAX_JAR_CONTENT: Final = 512 * MIB
"""Bytes that are decompressed of one jar in a layer, with all jars in it."""

MAX_JAR_MEMBERS: Final = 500_000
"""Members of one jar in a layer, with those of all jars in it."""

MAX_MEMBERS: Final = 1_000_000
"""Members of a layer. Real ones have up to 300,000."""

MAX_HEADERS: Final = 256 * KIB
"""Of the headers of one member of a layer: extended headers of pax, long names, maps of sparse files."""

MAX_PACKAGES: Final = 50_000
"""Packages of a layer."""

MAX_PACKAGES_TEXT: Final = 16 * MIB
"""Characters of all fields of all packages of a layer."""

MAX_IMAGE_TEXT: Final = 32 * MIB
"""Of what all layers of an image declare, as JSON: 4 MiB for 100 layers that each install a package of Debian."""

MAX_DECLARED_PACKAGES: Final = 200_000
"""Packages that all layers of an image declare, also those that a layer above replaces: 150 MiB of memory."""

MAX_IMAGE_PACKAGES: Final = 50_000
"""Packages of an image. Real ones have up to 10,000, and the scanner holds all of them in 90 MiB of memory."""

MAX_NAME: Final = 512
"""Characters of a field of a package, except its path."""

MAX_PATH: Final = 4096
"""Characters of a path (PATH_MAX of Linux)."""

MAX_LICENSES: Final = 16
"""Licenses of a package."""

MAX_NOTES: Final = 100
"""Notes of a layer."""

MAX_NOTE: Final = 400
"""Characters of a note."""

MAX_PRESENT: Final = 20_000
"""Paths of a layer that declare nothing and are kept to hide files of layers below."""

MAX_REMOVED: Final = 50_000
"""Whiteouts of a layer. An image that removes more is no longer small for it."""

MAX_PATHS_TEXT: Final = 4 * MIB
"""Characters of all paths of the two."""

MAX_IN_MEMORY: Final = 8 * MIB
"""Of the content of a file that is kept in memory. A larger one goes to a temporary file."""

MAX_TEMPORARY: Final = GIB
"""Of a temporary file. Extractors have smaller limits."""

MAX_MEMORY: Final = 512 * MIB
"""Of the address space of the process that reads layers."""


def max_decompressed(size: int) -> int:
    """Return the bytes that a layer of `size` bytes may contain when decompressed.

    Layers of real images are up to 10 times as large as stored; 1 MiB of gzip may contain 1 GiB.
    """
    return min(GIB + 20 * size, 64 * GIB)


def max_cpu(size: int) -> int:
    """Return the seconds of processor time that a layer of `size` stored bytes may take.

    170 MiB of Debian take 2 s; 1 GiB as stored takes 10 s to decompress.
    """
    return 20 + 30 * size // GIB
