"""How fast Lading is beside what people use today: `python -m tests.benchmarks`, and what its operations cost.

__main__  the command
peers     the registries that are compared, running
usage     the CPU time and the memory of a process and all its children
load/     a small load generator in Go; `load` builds and runs it
images    what is pushed before anything is measured
reads, transfers, clients, listings, rest, growth, hostile    the work, by what it asks for; `works` lists all of it
report    the machine, medians and spreads, a table and JSON
attackers the hostile clients of `hostile`, a process of their own
trips, counts    how often each operation calls a store; test_trips holds Lading to it
"""
