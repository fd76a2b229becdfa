"""All work that there is, by name."""

from tests.benchmarks import listings, reads, rest, transfers
from tests.benchmarks.work import Work

WORKS: dict[str, Work] = {work.name: work for work in (*reads.WORKS, *transfers.WORKS, *listings.WORKS, *rest.WORKS)}
