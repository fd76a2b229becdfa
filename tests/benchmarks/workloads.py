"""All work that there is, by name."""

from tests.benchmarks import clients, growth, hostile, listings, reads, scans, startup, store_calls, transfers
from tests.benchmarks.workload import Workload

MODULES = (reads, transfers, clients, listings, startup, growth, store_calls, scans, hostile)

WORKS: dict[str, Workload] = {work.name: work for module in MODULES for work in module.WORKS}
