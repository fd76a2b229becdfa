"""Digests, and a hash whose state can be carried from one process to another.

A chunked upload may send its first chunk to one instance and its last chunk to another, and hashlib's objects cannot be
serialized. OpenSSL's low-level hash contexts can: they are plain memory of a fixed layout. `Hasher` holds such a
context, and `state` returns its bytes. Where libcrypto does not export these functions, `state` is empty, and a process
that resumes an upload reads the earlier bytes again.
"""

import ctypes
import ctypes.util
import hashlib
import re
import sys
from functools import cache
from typing import Final

ALGORITHMS: Final = {"sha256": 64, "sha512": 128}
"""Supported algorithms of the image-spec's registered list, with the number of hex digits of each."""

MAX_DIGEST: Final = 512
"""Maximum characters of a digest. Firestore indexes at most 1,500 bytes of a string; the longest registered digest has
135 characters."""

_REGISTERED: Final = ALGORITHMS | {"blake3": 64}
_DIGEST: Final = re.compile("|".join(f"{name}:[a-f0-9]{{{digits}}}" for name, digits in ALGORITHMS.items()))
_ANY_DIGEST: Final = re.compile(r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)")


def is_digest(text: str) -> bool:
    """Return whether `text` is a digest of a supported algorithm (image-spec, descriptor.md#digests)."""
    return _DIGEST.fullmatch(text) is not None


def is_well_formed(text: str) -> bool:
    """Return whether `text` matches the digest grammar, whatever its algorithm (image-spec, descriptor.md#digests)."""
    match = _ANY_DIGEST.fullmatch(text) if len(text) <= MAX_DIGEST else None
    if match is None:
        return False
    digits = _REGISTERED.get(match[1])
    return digits is None or re.fullmatch(f"[a-f0-9]{{{digits}}}", match[2]) is not None


def algorithm_of(digest: str) -> str:
    """Return the algorithm of `digest`, for example `sha256`."""
    return digest.partition(":")[0]


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of `content`, for example `sha256:2c26…`."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


class Hasher:
    """Incremental hash that another process can resume from its `state`."""

    def __init__(self, algorithm: str, state: str = "") -> None:
        """Start a hash, or resume one.

        Args:
            algorithm: a key of ALGORITHMS.
            state: the `state` of an earlier Hasher of the same algorithm, or "" for a new hash.

        Raises:
            ValueError: `state` belongs to another platform or algorithm, or this platform cannot resume a hash.
        """
        self.algorithm = algorithm
        self._context = _Context(algorithm, state) if _resumable(algorithm) else None
        if self._context is None and state:
            raise ValueError("this platform cannot resume a hash")
        self._fallback = None if self._context else hashlib.new(algorithm)

    def update(self, chunk: bytes) -> None:
        """Add `chunk` to the hash. The GIL is released while hashing."""
        if self._context is not None:
            self._context.update(chunk)
        elif self._fallback is not None:
            self._fallback.update(chunk)

    @property
    def digest(self) -> str:
        """Digest of all bytes added so far. More bytes may be added afterwards."""
        hexadecimal = self._context.hexdigest() if self._context is not None else self._fallback_hexdigest()
        return f"{self.algorithm}:{hexadecimal}"

    @property
    def state(self) -> str:
        """State from which another Hasher can resume, or "" if this platform cannot resume a hash."""
        return self._context.state() if self._context is not None else ""

    def _fallback_hexdigest(self) -> str:
        assert self._fallback is not None
        return self._fallback.hexdigest()


class _Context:
    """SHA256_CTX or SHA512_CTX of OpenSSL (openssl/sha.h), in a buffer owned by this object."""

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
            raise ValueError("the hash state belongs to another platform or algorithm")
        content = bytes.fromhex(state.removeprefix(self._prefix))
        if len(content) != len(self._memory):
            raise ValueError("the hash state does not have the length of a context")
        ctypes.memmove(self._memory, content, len(content))

    def update(self, chunk: bytes) -> None:
        self._update(self._memory, chunk, len(chunk))

    def hexdigest(self) -> str:
        # Final clears the context that it reads, so pass a copy.
        copy = ctypes.create_string_buffer(self._memory.raw, len(self._memory))
        result = ctypes.create_string_buffer(self._digits // 2)
        self._final(result, copy)
        return result.raw.hex()

    def state(self) -> str:
        return self._prefix + self._memory.raw.hex()


@cache
def _libcrypto() -> ctypes.CDLL:
    """Load libcrypto. Raises OSError if it is not available."""
    if not sys.platform.startswith("linux"):
        # macOS aborts a process that loads its libcrypto, and Windows does not provide one.
        raise OSError("libcrypto is used on Linux only")
    name = ctypes.util.find_library("crypto") or "libcrypto.so.3"
    return ctypes.CDLL(name)


@cache
def _resumable(algorithm: str) -> bool:
    """Return whether contexts of `algorithm` can be resumed here: one is, and its digest is compared with hashlib's."""
    sample = bytes(range(256)) * 3
    try:
        first = _Context(algorithm)
        first.update(sample[:301])
        second = _Context(algorithm, first.state())
        second.update(sample[301:])
        return second.hexdigest() == hashlib.new(algorithm, sample).hexdigest()
    except (OSError, AttributeError):
        return False
