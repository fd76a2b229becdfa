"""Signatures: what cosign, notation and Sigstore's identities signed is verified, and nothing else is."""
