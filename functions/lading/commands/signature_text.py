"""Signatures of images in tables, as listings and details show them."""

from typing import Final

from lading.registry.details import SignatureSummary

NO: Final = "no"
"""What a table shows of an image that none of the signers of its policies signed."""


def signed_cell(signed: SignatureSummary | None) -> str | None:
    """Return what a table shows, such as "release"; None where no policy names signers."""
    if signed is None:
        return None
    if signed.state == "signed":
        return ", ".join(signed.signers)
    return NO if signed.state == "unsigned" else signed.state


def signed_line(signed: SignatureSummary | None) -> str | None:
    """Return the same with what comes next."""
    if signed is None:
        return None
    if signed.state == "signed":
        return f"by {', '.join(signed.signers)}"
    return "not itself by a signer of its policies" if signed.state == "unsigned" else "verified at the next pull"
