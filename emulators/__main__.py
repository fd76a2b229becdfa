"""`python -m emulators [run|cloud] [-- COMMAND…]`."""

import os
import shlex
import signal
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import FrameType

from emulators import EmulatorError, running
from emulators.deployment import EVENTS_TOPIC, NOTIFICATIONS_TOPIC
from emulators.processes import ProcessGroup
from emulators.pubsub import PubSubEmulator

USAGE = "usage: python -m emulators [run [-- COMMAND…] | cloud [--pip] [--sidecar] [--attest] [-- COMMAND…]]"


TOPICS = {"LADING_EVENTS_TOPIC": EVENTS_TOPIC, "LADING_NOTIFICATIONS_TOPIC": NOTIFICATIONS_TOPIC}


def main(arguments: Sequence[str]) -> int:
    """Run, and return the exit status: COMMAND's, 1 if an emulator cannot run, 2 for a usage error."""
    words = list(arguments)
    kind = words.pop(0) if words else "run"
    if kind not in ("run", "cloud"):
        print(USAGE, file=sys.stderr)
        return 2
    options = set()
    while kind == "cloud" and words[:1] in (["--pip"], ["--sidecar"], ["--attest"]):
        options.add(words.pop(0))
    if words[:1] == ["--"]:
        del words[0]
    try:
        return _cloud(words, options) if kind == "cloud" else _emulators(words)
    except EmulatorError as error:
        print(f"emulators: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _emulators(command: Sequence[str]) -> int:
    with running() as emulators, ProcessGroup() as processes:
        pubsub = PubSubEmulator.start(processes, os.environ)
        variables = {**emulators.fresh_stores(), "PUBSUB_EMULATOR_HOST": pubsub.address, **TOPICS}
        for topic in TOPICS.values():
            pubsub.make_topic(topic)
        if command:
            return _run(processes, command, os.environ | variables)
        _print_and_wait(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
        return 0


def _cloud(command: Sequence[str], options: Collection[str]) -> int:
    from emulators.cloud import deployed

    chosen = deployed(
        with_pip="--pip" in options, with_sidecar="--sidecar" in options, with_attest="--attest" in options
    )
    with chosen as cloud, ProcessGroup() as processes:
        cloud.start_trigger()
        cloud.start_scan_trigger()
        if cloud.attest is not None:
            cloud.start_subscription()
        pubsub = cloud.environment["PUBSUB_EMULATOR_HOST"]
        variables = {"LADING_HOST": cloud.host, "LADING_TOKEN": cloud.token, "PUBSUB_EMULATOR_HOST": pubsub}
        if command:
            return _run(processes, command, os.environ | variables)
        _print_and_wait(f"{name}={value}" for name, value in variables.items())
        return 0


def _run(processes: ProcessGroup, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `command`, forward signals to it, and return its exit status as a shell would."""
    try:
        child = processes.start(command, environment)
    except OSError as error:
        raise EmulatorError(f"cannot run {command[0]}: {error.strerror}") from error

    def forward(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    status = child.wait()
    return status if status >= 0 else 128 - status


def _print_and_wait(lines: Iterable[str]) -> None:
    # The reader of the last line may send a signal immediately. It must reach sigwait, not a handler that raises.
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    for line in lines:
        print(line)
    sys.stdout.flush()
    signal.sigwait(signals)


def _exit(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # While the emulators start, a signal acts as Ctrl-C does: all started processes are stopped first.
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _exit)
    sys.exit(main(sys.argv[1:]))
