"""Many concurrent callers, while what they wait for is slow."""

import threading
import time
from collections.abc import Callable

from lading.registry.errors import ErrorDescriptor, RegistryError

TIMEOUT = 10.0


def run_concurrent_callers(
    ask: Callable[[], object], count: int, waiting: int, resume: threading.Event
) -> tuple[list[ErrorDescriptor], list[ErrorDescriptor]]:
    """Let `count` threads ask, until all but `waiting` have been answered, and then let those go on.

    Return the errors of those that did not wait, and of those that did.
    """
    rows: list[ErrorDescriptor] = []

    def come() -> None:
        try:
            ask()
        except RegistryError as error:
            rows.append(error.descriptor)

    threads = [threading.Thread(target=come) for _ in range(count)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + TIMEOUT
    while sum(thread.is_alive() for thread in threads) > waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    turned_away = list(rows)
    resume.set()
    for thread in threads:
        thread.join()
    return turned_away, rows[len(turned_away) :]
