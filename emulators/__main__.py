"""`python -m emulators [run|cloud] [-- COMMAND…]`."""

import os
import shlex
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import FrameType

from emulators import EmulatorError, running
from emulators.processes import ProcessGroup

USAGE = "usage: python -m emulators [run [-- COMMAND…] | cloud [--pip] [-- COMMAND…]]"


def main(arguments: Sequence[str]) -> int:
    """Run; answers COMMAND's exit status, 1 where an emulator cannot run, 2 for wrong words."""
    words = list(arguments)
    kind = words.pop(0) if words else "run"
    if kind not in ("run", "cloud"):
        print(USAGE, file=sys.stderr)
        return 2
    with_pip = kind == "cloud" and words[:1] == ["--pip"]
    command = words[1:] if with_pip else words
    if command[:1] == ["--"]:
        del command[0]
    try:
        return _cloud(command, with_pip) if kind == "cloud" else _emulators(command)
    except EmulatorError as error:
        print(f"emulators: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _emulators(command: Sequence[str]) -> int:
    with running() as emulators, ProcessGroup() as family:
        variables = emulators.fresh_stores()
        if command:
            return _run(family, command, os.environ | variables)
        _print_and_wait(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
        return 0


def _cloud(command: Sequence[str], with_pip: bool) -> int:
    from emulators.cloud import deployed

    with deployed(with_pip=with_pip) as cloud, ProcessGroup() as family:
        variables = {"LADING_HOST": cloud.host, "LADING_TOKEN": cloud.token}
        if command:
            return _run(family, command, os.environ | variables)
        _print_and_wait(f"{name}={value}" for name, value in variables.items())
        return 0


def _run(family: ProcessGroup, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `command`, passing on the signals that we get; answers its exit status as a shell would."""
    try:
        child = family.start(command, environment)
    except OSError as error:
        raise EmulatorError(f"cannot run {command[0]}: {error.strerror}") from error

    def pass_on(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    status = child.wait()
    return status if status >= 0 else 128 - status


def _print_and_wait(lines: Iterable[str]) -> None:
    # Whoever reads the last line may end us at once: no handler must run then, it would raise past the wait.
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    for line in lines:
        print(line)
    sys.stdout.flush()
    signal.sigwait(signals)


def _exit(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # While the emulators start, a signal ends us as Ctrl-C does: everything that was started is ended first.
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _exit)
    sys.exit(main(sys.argv[1:]))
