"""Digests, and a hash that can stop in one process and go on in another.

A chunked upload may send its first chunk to one instance and its last to another, and hashlib's objects cannot
leave their process. OpenSSL's low-level hash contexts are plain memory of a fixed layout, so they can: `Hasher`
keeps one, and `state` hands out its bytes. Where libcrypto lacks them, `state` is empty, and whoever needs to go on
reads the earlier bytes again.
"""

import ctypes
import ctypes.util
import hashlib
import re
import sys
from functools import cache
from typing import Final

ALGORITHMS: Final = {"sha256": 64, "sha512": 128}
"""The algorithms of the image-spec's registered list, and their hex digits."""

MAX_DIGEST: Final = 512
"""Characters of a digest; Firestore indexes up to 1,500 bytes of a text, and the longest registered one has 135."""

_REGISTERED: Final = ALGORITHMS | {"blake3": 64}
_DIGEST: Final = re.compile("|".join(f"{name}:[a-f0-9]{{{digits}}}" for name, digits in ALGORITHMS.items()))
_ANY_DIGEST: Final = re.compile(r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)")


def is_digest(text: str) -> bool:
    """Whether `text` is a digest of an algorithm that the registry takes (image-spec, descriptor.md#digests)."""
    return _DIGEST.fullmatch(text) is not None


def is_well_formed(text: str) -> bool:
    """Return whether `text` is a digest by the grammar, be its algorithm known or not (image-spec, descriptor.md)."""
    found = _ANY_DIGEST.fullmatch(text) if len(text) <= MAX_DIGEST else None
    if found is None:
        return False
    digits = _REGISTERED.get(found[1])
    return digits is None or re.fullmatch(f"[a-f0-9]{{{digits}}}", found[2]) is not None


def algorithm_of(digest: str) -> str:
    """The algorithm that `digest` names, as in `sha256`."""
    return digest.partition(":")[0]


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """The digest of `content`, as in `sha256:2c26…`."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


class Hasher:
    """A running hash: feed it with `update`, read it with `digest`, carry it elsewhere with `state`."""

    def __init__(self, algorithm: str, state: str = "") -> None:
        """Begin anew, or go on from `state`, which an earlier Hasher of the same algorithm gave.

        Raises ValueError where `state` is not of this platform or algorithm, or cannot be used here.
        """
        self.algorithm = algorithm
        self._context = _Context(algorithm, state) if _resumable(algorithm) else None
        if self._context is None and state:
            raise ValueError("this platform cannot resume a hash")
        self._plain = None if self._context else hashlib.new(algorithm)

    def update(self, chunk: bytes) -> None:
        """Add `chunk`; the interpreter's lock is free meanwhile."""
        if self._context is not None:
            self._context.update(chunk)
        elif self._plain is not None:
            self._plain.update(chunk)

    @property
    def digest(self) -> str:
        """The digest of all that was added so far; more may be added afterwards."""
        hexadecimal = self._context.hexdigest() if self._context is not None else self._plain_hexdigest()
        return f"{self.algorithm}:{hexadecimal}"

    @property
    def state(self) -> str:
        """What another Hasher needs to go on from here, or "" where that is not possible."""
        return self._context.state() if self._context is not None else ""

    def _plain_hexdigest(self) -> str:
        assert self._plain is not None
        return self._plain.hexdigest()


class _Context:
    """One of OpenSSL's SHA256_CTX or SHA512_CTX (openssl/sha.h), in memory of our own."""

    SIZES: Final = {"sha256": 112, "sha512": 216}

    def __init__(self, algorithm: str, state: str = "") -> None:
        library, name = _libcrypto(), algorithm.upper()
        self._init = getattr(library, f"{name}_Init")
        self._update = getattr(library, f"{name}_Update")
        self._final = getattr(library, f"{name}_Final")
        self._update.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
        self._digits = ALGORITHMS[algorithm]
        self._prefix = f"{algorithm}-{sys.byteorder}-"
        self._memory = ctypes.create_string_buffer(self.SIZES[algorithm])
        if state:
            self._restore(state)
        else:
            self._init(self._memory)

    def _restore(self, state: str) -> None:
        if not state.startswith(self._prefix):
            raise ValueError("this state is of another platform or algorithm")
        content = bytes.fromhex(state.removeprefix(self._prefix))
        if len(content) != len(self._memory):
            raise ValueError("this state has not the length of a context")
        ctypes.memmove(self._memory, content, len(content))

    def update(self, chunk: bytes) -> None:
        self._update(self._memory, chunk, len(chunk))

    def hexdigest(self) -> str:
        # Final destroys what it reads, so it gets a copy.
        copy = ctypes.create_string_buffer(self._memory.raw, len(self._memory))
        result = ctypes.create_string_buffer(self._digits // 2)
        self._final(result, copy)
        return result.raw.hex()

    def state(self) -> str:
        return self._prefix + self._memory.raw.hex()


@cache
def _libcrypto() -> ctypes.CDLL:
    """The libcrypto beside this Python. Raises OSError where there is none."""
    if not sys.platform.startswith("linux"):
        # macOS aborts a process that loads its libcrypto, and Windows has none to find.
        raise OSError("libcrypto is used on Linux only")
    name = ctypes.util.find_library("crypto") or "libcrypto.so.3"
    return ctypes.CDLL(name)


@cache
def _resumable(algorithm: str) -> bool:
    """Whether contexts of `algorithm` work here: split, carried over and compared with hashlib once."""
    sample = bytes(range(256)) * 3
    try:
        first = _Context(algorithm)
        first.update(sample[:301])
        second = _Context(algorithm, first.state())
        second.update(sample[301:])
        return second.hexdigest() == hashlib.new(algorithm, sample).hexdigest()
    except (OSError, AttributeError):
        return False
