"""Statements of the VEX documents of a claim: the registry has verified their signatures, and only that."""

import json
from dataclasses import replace

from lading.registry.scans.claim import Claim
from lading.vulnerabilities.openvex import MAX_REASON, VexError, VexStatement, parse


def read(claim: Claim) -> tuple[list[VexStatement], list[str]]:
    """Return the statements, whose reasons name the key that signed them; and remarks about what does not count."""
    statements: list[VexStatement] = []
    remarks = [*claim.remarks]
    for document in claim.vex:
        signed = f", signed by {document.key}"
        try:
            found = parse(json.loads(document.content))
        except (VexError, ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, VexError) else "it is not JSON"
            remarks.append(f"the VEX document {document.digest}{signed}, does not count: {reason}")
            continue
        statements += [replace(each, reason=each.reason[: MAX_REASON - len(signed)] + signed) for each in found]
    return statements, remarks
