"""Many who come at once, while whoever they ask takes long."""

import threading
import time
from collections.abc import Callable

from lading.registry.errors import ErrorDescriptor, RegistryError

TIMEOUT = 10.0


def run_concurrent_callers(
    ask: Callable[[], object], count: int, waiting: int, resume: threading.Event
) -> tuple[list[ErrorDescriptor], list[ErrorDescriptor]]:
    """Let `count` threads ask, until all but `waiting` have been answered, and then let those go on.

    Answers the errors of those who were not kept, and of those who were.
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
