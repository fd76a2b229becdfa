"""How calls of Google's client are made: once each, again where that may help, and with errors of the protocol."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from lading_storage.errors import Conflict, TooLarge, Unavailable
from lading_storage.google.google_imports import import_firestore

T = TypeVar("T")

TOO_LARGE: Final = re.compile(r"too (?:big|large|many)|exceed|larger than|longer than", re.IGNORECASE)
"""In what Firestore says of a commit, a document or an index entry that is larger than it takes."""

INITIAL_BACKOFF: Final = 0.1
CALL_TIMEOUT: Final = 20.0
"""Seconds: the pause before a call is made again, which grows, and how long it is made again."""


def single_attempt() -> dict[str, Any]:
    """How Google's client makes a call once.

    Left to itself it repeats commits, and takes its own work for another's; and it cannot repeat a query that is cut.
    """
    from google.api_core.retry import Retry, if_exception_type

    return {"retry": Retry(if_exception_type()), "timeout": CALL_TIMEOUT}


def retry_transient(attempt: Callable[[], T]) -> T:
    """Return what `attempt` answers, made again while Firestore's trouble may pass. Raises RetryError in the end."""
    from google.api_core import exceptions as said
    from google.api_core.retry import Retry, if_exception_type

    passing = (said.ServiceUnavailable, said.InternalServerError, said.DeadlineExceeded, said.ResourceExhausted)
    retry = Retry(if_exception_type(*passing), initial=INITIAL_BACKOFF, maximum=2.0, timeout=CALL_TIMEOUT)
    answer: T = retry(attempt)()
    return answer


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Turn what Google's libraries raise into the protocol's Unavailable."""
    import_firestore()
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (GoogleAPICallError, RetryError, GoogleAuthError) as error:
        raise Unavailable(f"Firestore: {error}") from error


@contextlib.contextmanager
def translated_conflicts() -> Iterator[None]:
    """Turn what says that a precondition did not hold, or that a contended commit was given up, into Conflict.

    And what says that it is too large into TooLarge: no other words tell that from any other invalid argument.
    """
    from google.api_core import exceptions as said

    try:
        yield
    except said.InvalidArgument as error:
        if TOO_LARGE.search(str(error)):
            raise TooLarge(f"Firestore: {error}") from error
        raise
    except (said.AlreadyExists, said.FailedPrecondition, said.NotFound, said.Conflict) as error:
        # Aborted, which a contended commit may end with, is a Conflict of theirs.
        raise Conflict(str(error)) from error
