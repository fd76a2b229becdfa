"""`python -m emulators [run [-- COMMAND…]]`."""

import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

from emulators import EmulatorError, running
from emulators.processes import Family

USAGE = "usage: python -m emulators [run [-- COMMAND…]]"


def main(arguments: Sequence[str]) -> int:
    """Run; answers COMMAND's exit status, 1 where an emulator cannot run, 2 for wrong words."""
    words = list(arguments)
    if words[:1] == ["run"]:
        del words[0]
    elif words:
        print(USAGE, file=sys.stderr)
        return 2
    if words[:1] == ["--"]:
        del words[0]
    try:
        with running() as emulators, Family() as family:
            variables = emulators.fresh()
            if words:
                return _run(family, words, os.environ | variables)
            _print_and_wait(variables)
            return 0
    except EmulatorError as error:
        print(f"emulators: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(family: Family, command: Sequence[str], environment: Mapping[str, str]) -> int:
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


def _print_and_wait(variables: Mapping[str, str]) -> None:
    # Whoever reads the last line may end us at once: no handler must run then, it would raise past the wait.
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    sys.stdout.flush()
    signal.sigwait(signals)


def _leave(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # While the emulators start, a signal ends us as Ctrl-C does: everything that was started is ended first.
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(main(sys.argv[1:]))
