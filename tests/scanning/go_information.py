"""Build information of Go, as its linker writes it (https://github.com/golang/go/blob/master/src/debug/buildinfo/buildinfo.go)."""

from lading.scanning.extractors.go_binary import MAGIC, SENTINEL

MODULES = "path\texample.com/app\nmod\texample.com/app\tv1.2.3\t\ndep\tgolang.org/x/net\tv0.1.0\th1:x=\n"


def varint(number: int) -> bytes:
    """Return a number of 7 bits a byte."""
    return bytes([number & 0x7F | 0x80]) + varint(number >> 7) if number > 0x7F else bytes([number])


def string(content: bytes) -> bytes:
    """Return a string after its length."""
    return varint(len(content)) + content


def build_information(modules: str = MODULES, version: str = "go1.22.1", flags: int = 2) -> bytes:
    """Return the information that follows the code of a program."""
    listed = SENTINEL + modules.encode() + SENTINEL if modules else b""
    return (MAGIC + bytes([8, flags])).ljust(32, b"\0") + string(version.encode()) + string(listed)
