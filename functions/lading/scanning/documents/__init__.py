"""Documents: what a scan found, in the formats that other programs read.

    Report ──cyclonedx──▶ SBOM ───────────────────────────▶ spdx
           ──statement──▶ in-toto statement ──read──▶ ScanDocument ──▶ json, sarif, harbor, table

The scanner makes the two documents on the left, which are kept beside the image. The others are made of them on
request, with the standard library alone: an API imports no library of the extra `scan`. Each of them says what is not
known, so that no format calls an image clean that was compared in part, or not at all.
"""
