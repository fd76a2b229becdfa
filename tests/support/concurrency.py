"""Calls that run at the same time."""

import threading
from collections.abc import Callable
from typing import Any

from lading.registry.errors import RegistryError


def run_concurrently(*actions: Callable[[], Any]) -> list[Any]:
    """Do all at the same moment; return what each answered, or how it was refused."""
    barrier = threading.Barrier(len(actions))
    results: list[Any] = [None] * len(actions)

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = actions[number]()
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    defects = [each for each in results if isinstance(each, BaseException) and not isinstance(each, RegistryError)]
    assert not defects, defects
    return results
