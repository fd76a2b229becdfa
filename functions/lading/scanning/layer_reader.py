"""Read what a layer declares, once and as a stream: nothing of it is unpacked, and no file is larger than its limit.

A layer contains only what differs from the layers below (https://github.com/opencontainers/image-spec/blob/main/layer.md):
files that it adds or replaces, and whiteouts, which name what it removes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from tempfile import TemporaryFile
from typing import BinaryIO, Final

from lading.scanning.compression import decompressed
from lading.scanning.distribution import PATHS, parse
from lading.scanning.extractors.extractor import HEAD_SIZE, Extractor, File
from lading.scanning.extractors.table import EXTRACTORS
from lading.scanning.layer_contents import LayerContents
from lading.scanning.limits import MAX_IN_MEMORY, MAX_TEXT, MIB, max_decompressed
from lading.scanning.packages import LayerPackages
from lading.scanning.tar_members import LayerStream, Member, members

WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"
COPY_SIZE: Final = MIB


def read_layer(blob: BinaryIO, size: int, extractors: Sequence[Extractor] = EXTRACTORS) -> LayerPackages:
    """Return what a layer declares.

    Args:
        blob: the layer as stored: tar, tar+gzip or tar+zstd.
        size: of the layer as stored, in bytes. It limits what the layer may contain.
        extractors: the formats to read.

    Raises:
        LayerError: it is no layer, damaged, or above a limit. Damage to single files is noted instead.
    """
    contents = LayerContents()
    for member in members(LayerStream(decompressed(blob), max_decompressed(size))):
        _read_member(member, contents, extractors)
    return contents.result()


def _read_member(member: Member, contents: LayerContents, extractors: Sequence[Extractor]) -> None:
    folder, _, name = member.path.rpartition("/")
    if name == OPAQUE:
        contents.opaque(folder)
    elif name.startswith(WHITEOUT):
        if not name.startswith(f"{WHITEOUT}{WHITEOUT}"):  # the others are for aufs itself: .wh..wh.plnk and the like
            contents.remove(f"{folder}/{name.removeprefix(WHITEOUT)}".lstrip("/"))
    elif member.is_file:
        _read_file(member, contents, extractors)
    elif not member.is_folder:
        contents.link(member, extractors)


def _read_file(member: Member, contents: LayerContents, extractors: Sequence[Extractor]) -> None:
    """Read one file: each extractor that wants it is tried once."""
    head = member.content.read(min(HEAD_SIZE, member.size))
    wanting = [each for each in extractors if each.wants(member.path, member.size, head)]
    contents.replace(member, is_wanted=bool(wanting))
    readers = [each for each in wanting if member.size <= each.limit]
    for each in wanting:
        if each not in readers:
            contents.note(f"{member.path}: larger than {each.limit // MIB} MiB, so the {each.name} was not read")
    names_distribution = member.path in PATHS and member.size <= MAX_TEXT
    if readers or names_distribution:
        with _copy(head, member) as content:
            if names_distribution:
                contents.distribution(member.path, parse(member.path, content.read()))
            for each in readers:
                _extract(each, member, content, contents)


@contextmanager
def _copy(head: bytes, member: Member) -> Iterator[BinaryIO]:
    """Return a seekable copy of a file until the context ends."""
    with BytesIO() if member.size <= MAX_IN_MEMORY else TemporaryFile() as copy:
        copy.write(head)
        while data := member.content.read(COPY_SIZE):
            copy.write(data)
        copy.seek(0)
        yield copy


def _extract(extractor: Extractor, member: Member, content: BinaryIO, contents: LayerContents) -> None:
    """Add what an extractor finds in a file; what it cannot read is noted."""
    content.seek(0)
    file = File(member.path, member.size, content, lambda text: contents.note(f"{member.path}: {text}"))
    try:
        for package in extractor.packages(file):
            contents.add(member.path, package)
    except Exception as error:
        reason = str(error) or type(error).__name__
        contents.note(f"{member.path}: the {extractor.name} could not be read: {reason}")
