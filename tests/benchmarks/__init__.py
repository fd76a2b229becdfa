"""How fast Lading is beside what people use today: `python -m tests.benchmarks`, and what its operations cost.

__main__  the command
peers     the registries that are compared, running
usage     the CPU time and the memory of a process and all its children
load/     a small load generator in Go; `load` builds and runs it
images    what is pushed before anything is measured
reads, transfers, clients, listings, rest    the work, by what it asks for; `works` lists all of it
growth    what happens where there is much of everything
report    the machine, medians and spreads, a table and JSON
counts, test_trips    how often each operation calls a store; a test holds Lading to it
"""
