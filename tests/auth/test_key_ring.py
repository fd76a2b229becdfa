"""The ring of keys: rotations, and readings of the document."""

import threading

import pytest

from lading.auth.google.secret_manager import TIMEOUTS
from lading.auth.keys import KEYS_TTL, MAX_WAITING, KeyRing, Keys, generate_keys, rotate
from lading.registry.errors import UNAVAILABLE, RegistryError
from lading_storage.errors import Unavailable
from tests.auth.concurrent_callers import TIMEOUT, run_concurrent_callers
from tests.auth.token_fixtures import GRANTED, Alice, tokens
from tests.support.auth_fixtures import Clock


def test_what_one_instance_signs_another_trusts_while_keys_change() -> None:
    clock = Clock()
    document = [generate_keys()]
    first, second = (KeyRing(lambda: document[0], clock) for _ in range(2))
    before = tokens(ring=first).issue(Alice(), anonymous=False, granted=GRANTED, refused=[]).text

    document[0] = rotate(document[0])
    third = KeyRing(lambda: document[0], clock)
    after = tokens(ring=third).issue(Alice(), anonymous=False, granted=GRANTED, refused=[]).text

    for ring in (first, second, third):
        # At once: a token that another instance has just signed may be in the middle of a push.
        assert tokens(ring=ring).verify(before).principal == "alice@example.com"
        assert tokens(ring=ring).verify(after).principal == "alice@example.com"


def test_a_key_that_was_taken_out_is_not_trusted_for_long() -> None:
    clock = Clock()
    document = [generate_keys()]
    ring = KeyRing(lambda: document[0], clock)
    token = tokens(ring=ring).issue(Alice(), anonymous=False, granted=GRANTED, refused=[]).text

    known = tokens(ring=ring)
    assert known.verify(token).principal == "alice@example.com"
    document[0] = rotate(rotate(document[0]))
    clock.now += KEYS_TTL

    for reading in (known, tokens(ring=ring)):
        with pytest.raises(RegistryError):
            reading.verify(token)


def test_a_rotation_is_seen_within_a_minute_by_who_signs_and_by_who_reads() -> None:
    clock = Clock()
    document = [generate_keys()]
    ring = KeyRing(lambda: document[0], clock)

    document[0] = rotate(document[0])
    clock.now += KEYS_TTL

    # A reading takes as long as Secret Manager's timeouts allow.
    assert sum(TIMEOUTS) + KEYS_TTL <= 60
    assert ring.signing == document[0].tokens[0]


def test_keys_that_cannot_be_read_again_are_used_on() -> None:
    clock = Clock()
    document = [generate_keys()]

    def load() -> Keys:
        if not document:
            raise Unavailable("gone")
        return document[0]

    ring = KeyRing(load, clock)
    token = tokens(ring=ring).issue(Alice(), anonymous=False, granted=GRANTED, refused=[]).text
    document.clear()
    clock.now += 1000

    assert tokens(ring=ring).verify(token).principal == "alice@example.com"
    assert ring.find("unknown") is None


def test_invented_keys_do_not_make_the_keys_be_read_at_each_request() -> None:
    reads = []
    keys = generate_keys()
    clock = Clock()
    ring = KeyRing(lambda: reads.append(1) or keys, clock)  # type: ignore[func-returns-value]

    for number in range(100):
        assert ring.find(f"unknown-{number}") is None

    assert len(reads) == 2
    clock.now += 6
    for number in range(100):
        assert ring.find(f"unknown-{number}") is None
    assert len(reads) == 3


def test_few_threads_wait_for_keys() -> None:
    begun, go_on, keys = threading.Event(), threading.Event(), generate_keys()

    def load() -> Keys:
        # The first reading is that of the ring's beginning.
        assert not begun.is_set() or go_on.wait(TIMEOUT)
        return keys

    ring = KeyRing(load)
    begun.set()

    turned_away, kept = run_concurrent_callers(lambda: ring.find("unknown"), 40, 1 + MAX_WAITING, go_on)

    assert (turned_away, kept) == ([UNAVAILABLE] * (40 - 1 - MAX_WAITING), [])
    assert ring.find(keys.tokens[0].id) == keys.tokens[0]
