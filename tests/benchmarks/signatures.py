"""`python -m tests.benchmarks.signatures`: CPU time of the verification of one signature of each format, as a table."""

import time
from collections.abc import Iterator
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from lading.signatures.public_keys import fingerprint
from lading.signatures.signature import Anchors
from lading.signatures.verify import verify
from tests.signatures.golden_inputs import NOW, SIGNATURES, Golden

ROUNDS: Final = 200
OTHERS: Final = [ec.generate_private_key(ec.SECP256R1()).public_key() for _ in range(19)]


def milliseconds(golden: Golden, anchors: Anchors) -> float:
    """Return the CPU time of one verification."""
    assert verify(golden.candidate, anchors, golden.digest, NOW).signatures
    began = time.process_time()
    for _ in range(ROUNDS):
        verify(golden.candidate, anchors, golden.digest, NOW)
    return (time.process_time() - began) * 1000 / ROUNDS


def rows() -> Iterator[str]:
    """Yield the rows of docs/signatures.md."""
    for name, golden in SIGNATURES.items():
        if name.endswith("prior"):
            continue
        keys = {fingerprint(each): each for each in OTHERS} | dict(golden.anchors.keys)
        many = Anchors(keys=keys, certificates=golden.anchors.certificates)
        others = f"{milliseconds(golden, many):.2f}" if golden.anchors.keys else "-"
        yield f"| {name} | {milliseconds(golden, golden.anchors):.2f} | {others} |"


if __name__ == "__main__":
    print(*rows(), sep="\n")
