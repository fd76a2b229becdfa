"""All that runs in a Cloud Function, and on a laptop.

A request goes one way: main or serve → app → routes → api → registry → storage. `tests/test_layers.py` holds to it.
"""
