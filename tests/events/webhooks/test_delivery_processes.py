"""Several processes deliver from one store: each event once, and at least once whatever process is killed."""

import ast
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from lading.events import deliveries
from lading_storage.errors import Unavailable
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.records.events import Delivery
from tests.events.webhooks.webhook_fixtures import Webhooks
from tests.support.webhook_receiver import Received, Receiver

ROOT = Path(__file__).parents[3]
Start = Callable[[int], "list[subprocess.Popen[str]]"]


@pytest.fixture
def start(environment: Mapping[str, str], webhooks: Webhooks) -> Iterator[Start]:
    """Start processes, at the same time, that deliver once they read a line."""
    paths = os.pathsep.join(str(ROOT / each) for each in ("", "functions", "storage"))
    variables = {**os.environ, **environment, "PYTHONPATH": paths}
    command = [sys.executable, "-m", "tests.events.webhooks.deliver", webhooks.key.hex()]
    with ExitStack() as stack:

        def begin() -> "subprocess.Popen[str]":
            pipe = subprocess.PIPE
            started = subprocess.Popen(command, env=variables, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
            stack.callback(started.wait)
            stack.callback(started.kill)
            return stack.enter_context(started)

        def begin_all(count: int) -> "list[subprocess.Popen[str]]":
            processes = [begin() for _ in range(count)]
            assert [line(each) for each in processes] == ["ready\n"] * count
            return processes

        yield begin_all


def go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline()


def result(process: "subprocess.Popen[str]") -> Counter[str]:
    return Counter(ast.literal_eval(line(process)))


def test_two_processes_deliver_each_event_once(webhooks: Webhooks, endpoint: Receiver, start: Start) -> None:
    webhooks.admin.add(endpoint.url, id="one")
    webhooks.publish(*(webhooks.event(number) for number in range(60)))
    processes = start(2)
    for each in processes:
        go(each)
    counts = result(processes[0]) + result(processes[1])
    assert counts["delivered"] == 60
    received = Counter(each.headers["webhook-id"] for each in endpoint.received)
    assert len(received) == 60
    assert set(received.values()) == {1}
    assert webhooks.count(Delivery) == 0


def test_an_event_is_delivered_again_where_the_process_was_killed_before_its_commit(
    webhooks: Webhooks, endpoint: Receiver, start: Start
) -> None:
    webhooks.admin.add(endpoint.url, id="one")
    webhooks.publish(webhooks.event(1))
    (process,) = start(1)

    def kill(_: Received) -> tuple[int, dict[str, str]]:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return 204, {}

    endpoint.respond = kill
    go(process)
    assert process.wait() == -signal.SIGKILL
    assert len(endpoint.received) == 1
    assert webhooks.delivery.attempts == 0

    endpoint.always(204)
    assert webhooks.deliver() == {}, "the claim lasts"
    webhooks.clock.advance(seconds=deliveries.CLAIM.total_seconds() + 10)
    assert webhooks.deliver() == {"delivered": 1}
    first, second = endpoint.received
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert webhooks.count(Delivery) == 0


def test_a_claim_that_was_lost_is_no_attempt(webhooks: Webhooks, endpoint: Receiver) -> None:
    """Both processes read the delivery, and one commits its claim first."""
    webhooks.admin.add(endpoint.url, id="one")
    webhooks.publish(webhooks.event(1))
    others: list[Mapping[str, int]] = []

    def interfere(method: str, arguments: Mapping[str, object], forward: Callable[[], object]) -> object:
        found = forward()
        if method == "due" and found and not others:
            others.append(webhooks.deliver())
        return found

    metadata = ForwardingMetadata(webhooks.metadata, interfere)  # type: ignore[arg-type]
    counts = deliveries.DeliveryRun(metadata, webhooks.client, webhooks.clock).run(lambda: False)
    assert (counts, others) == ({"claimed elsewhere": 1}, [{"delivered": 1}])
    assert len(endpoint.received) == 1


def test_a_store_that_fails_ends_the_run_and_nothing_is_lost(webhooks: Webhooks, endpoint: Receiver) -> None:
    webhooks.admin.add(endpoint.url, id="one")
    webhooks.publish(*(webhooks.event(number) for number in range(10)))
    commits = 0

    def fail(method: str, arguments: Mapping[str, object], forward: Callable[[], object]) -> object:
        nonlocal commits
        commits += method == "commit"
        if commits > 5:
            raise Unavailable("the store is down")
        return forward()

    metadata = ForwardingMetadata(webhooks.metadata, fail)  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="the store is down"):
        deliveries.DeliveryRun(metadata, webhooks.client, webhooks.clock).run(lambda: False)
    webhooks.clock.advance(seconds=deliveries.CLAIM.total_seconds())
    webhooks.deliver()
    assert len({each.headers["webhook-id"] for each in endpoint.received}) == 10
    assert webhooks.count(Delivery) == 0


def test_what_another_process_has_taken_over_is_left_alone(webhooks: Webhooks, endpoint: Receiver) -> None:
    """An attempt that takes longer than its claim, as that of a process that was suspended."""
    webhooks.admin.add(endpoint.url, id="one")
    webhooks.publish(webhooks.event(1))

    def overtake(_: Received) -> tuple[int, dict[str, str]]:
        endpoint.always(500)
        webhooks.clock.advance(seconds=deliveries.CLAIM.total_seconds())
        webhooks.deliver()
        return 500, {}

    endpoint.respond = overtake
    assert webhooks.deliver() == {"claimed elsewhere": 1}
    assert webhooks.delivery.attempts == 1
    assert len(endpoint.received) == 2
