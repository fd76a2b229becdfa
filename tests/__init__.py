"""The tests. `pytest` runs all of them; what a test needs and a laptop lacks is skipped there, with its reason.

contracts/    what every driver promises, on every driver
registry/     the rules, on both pairs of stores
api/          HTTP, in this process: every endpoint, and what bad requests get
serving/      `lading serve` and functions-framework as processes: bodies, memory, signals, logs
clients/      docker, skopeo, crane, regctl, oras against a serving registry
conformance/  the official conformance suite
faults/       what becomes of all this when backends, disks and processes fail
emulators/    `python -m emulators`
benchmarks/   `python -m tests.benchmarks`: Lading beside other registries, and what its operations cost
"""
