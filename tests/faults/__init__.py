"""What becomes of the registry when all around it fails.

plans       which call to a backend fails, and how
http_proxy  a proxy that fails by plan, before Cloud Storage and Firestore's documents
grpc_proxy  … and one before Firestore's queries and commits, behind a relay that can reset connections
failing     both pairs of stores, failing by plan: those of a laptop without proxies
worlds      a registry on such stores, and what its clients see
operations  what clients do, a row each
garbage     a registry with all that collection and scrubbing deal with

broken_disk  a disk that breaks below a process, and is mended

clients     an exact client, which tells what it was not told
linear      whether what many clients saw can have happened one after the other

ledger      what a client may find, by what it was told
workers     clients that push, mount, move and delete, and keep a ledger; crane is one

test_backends   a fault of each kind, at each call to a backend, in each operation
test_jobs       … and in collections and scrubs
test_disks      disks that are full, busy or broken
test_floods     stalled bodies, untaken answers and requests without end
test_flushes    SQLite's own writes and flushes fail; power failures after that
test_kills      kill -9, at any moment, of those who serve and of those who collect
test_anonymous_clients  what an anonymous client can do to a private registry
test_tags       many clients at several servers see one order of all moves

soak            `python -m tests.faults.soak`: an hour of mixed load, with kills

LADING_NIGHTLY=1 runs all of it, at length.
"""

import os

NIGHTLY = os.environ.get("LADING_NIGHTLY") == "1"
