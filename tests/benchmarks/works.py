"""All work that there is, by name."""

from tests.benchmarks import clients, growth, hostile, listings, reads, rest, transfers, trips
from tests.benchmarks.work import Work

MODULES = (reads, transfers, clients, listings, rest, growth, trips, hostile)

WORKS: dict[str, Work] = {work.name: work for module in MODULES for work in module.WORKS}
