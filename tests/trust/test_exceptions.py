"""Exceptions that people make: they survive verification, end by themselves, and have limits."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from lading.policies.evidence import OpenedException
from lading.registry.errors import MANIFEST_UNKNOWN, RegistryError
from lading.registry.registry import Registry
from lading.registry.trust import exceptions
from lading.registry.trust.exceptions import MAX_EXCEPTIONS
from lading.registry.trust.trust_contents import exceptions_of, is_current, signatures_of
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest
from lading_storage.records.events import Event
from lading_storage.records.trust import Trust
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_image
from tests.support.signatures import RELEASE, anchors, name_of, sign

A: Final = "team/app"
ABSENT: Final = "sha256:" + "0" * 64


@pytest.fixture
def image(registry: Registry) -> Manifest:
    return push_image(registry, A, "v1")


def stored(registry: Registry, image: Manifest) -> Trust | None:
    key = Key(Trust, image.digest, image.repository)
    return registry.metadata.read([key])[key]


def signers(registry: Registry, image: Manifest) -> list[str]:
    trust = registry.verifier.trust_of(A, image.digest, anchors(RELEASE))
    return [each.signature.signer for each in signatures_of(trust, registry._clock())]


def opened(clock: Callable[[], Any], policy: str = "prod", by: str = "alice", hours: float = 1) -> OpenedException:
    return OpenedException(policy=policy, until=clock() + timedelta(hours=hours), reason="incident 7", by=by)


def test_exceptions_survive_verification_and_end(registry: Registry, image: Manifest, clock: FakeClock) -> None:
    exception = opened(clock)
    registry.trust_exceptions.add(A, image.digest, exception)
    assert exceptions_of(stored(registry, image), clock()) == (exception,)
    assert not is_current(stored(registry, image), [], clock())

    sign(registry, image)
    assert signers(registry, image) == [name_of(RELEASE)]
    registry.trust_exceptions.add(A, image.digest, later := opened(clock, by="bob"))

    assert exceptions_of(stored(registry, image), clock()) == (exception, later)
    assert is_current(stored(registry, image), [], clock()), "an exception changes no signature"
    clock.advance(hours=1)
    assert exceptions_of(stored(registry, image), clock()) == ()
    registry.trust_exceptions.add(A, image.digest, last := opened(clock, by="eve"))
    trust = stored(registry, image)
    assert trust is not None
    assert len(json.loads(trust.exceptions)) == 1
    assert exceptions_of(trust, clock()) == (last,)


def test_each_exception_that_is_opened_is_an_event_in_the_same_commit(
    registry: Registry, image: Manifest, clock: FakeClock
) -> None:
    first, second = opened(clock), opened(clock, hours=2)
    for each in (first, first, second):
        registry.trust_exceptions.add(A, image.digest, each)

    found = registry.metadata.find(Query(Event, limit=100))
    events = sorted((each for each in found if each.type == "policy.exempted"), key=lambda each: each.moved)
    assert [(each.digest, each.by, each.action) for each in events] == [(image.digest, "alice", "break-glass")] * 2
    assert [json.loads(each.details)["reason"] for each in events] == [
        f"alice opened an exception until {each.until.isoformat(timespec='seconds')}: incident 7"
        for each in (first, second)
    ]


def test_exceptions_have_limits(registry: Registry, image: Manifest, clock: FakeClock) -> None:
    for number in range(MAX_EXCEPTIONS):
        registry.trust_exceptions.add(A, image.digest, opened(clock, by=f"p{number}"))
    registry.trust_exceptions.add(A, image.digest, opened(clock, by="p0", hours=2))

    refused = [
        opened(clock, by="one more"),
        opened(clock, by=""),
        opened(clock, by="p0", hours=25),
        opened(clock, by="p0", hours=0),
        OpenedException(policy="prod", until=clock() + timedelta(hours=1), reason=" ", by="p0"),
        OpenedException(policy="prod", until=clock() + timedelta(hours=1), reason="x" * 201, by="p0"),
        *(
            OpenedException(policy="prod", until=clock() + timedelta(hours=1), reason=f"a{each}b", by="p0")
            for each in ("\n", "\x1b[2J", "\0", "\u202e", "\u2028", "\ud800")
        ),
    ]
    for each in refused:
        with pytest.raises(RegistryError):
            registry.trust_exceptions.add(A, image.digest, each)
    with pytest.raises(RegistryError) as caught:
        registry.trust_exceptions.add(A, ABSENT, opened(clock))
    assert caught.value.descriptor == MANIFEST_UNKNOWN
    assert len(exceptions_of(stored(registry, image), clock())) == MAX_EXCEPTIONS
    assert timedelta(hours=24) == exceptions.MAX_DURATION
