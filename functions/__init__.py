"""The source root of the functions. The package is `lading`; this one has `functions.cli` alone, for one release."""
