"""The tests. `pytest` runs all of them; what a test needs and a laptop lacks is skipped there, with its reason.

docs/testing.md says which guarantee each folder proves, how long it takes, and what it needs. Helpers of several
folders are in support/; those of one folder are in it, in modules that are not called test_*.
"""
