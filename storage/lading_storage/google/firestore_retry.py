"""Calls of Google's client library for Firestore: single attempts, retries, and translated errors."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from lading_storage.errors import Conflict, TooLarge, Unavailable
from lading_storage.google.google_imports import import_firestore

T = TypeVar("T")

TOO_LARGE: Final = re.compile(r"too (?:big|large|many)|exceed|larger than|longer than", re.IGNORECASE)
"""Matches Firestore's error message for a commit, a document or an index entry that exceeds a limit."""

INITIAL_BACKOFF: Final = 0.1
CALL_TIMEOUT: Final = 20.0
"""Seconds before the first retry, which grow with each one, and seconds after which retries end."""


def single_attempt() -> dict[str, Any]:
    """Return the arguments that make Google's client library attempt a call only once.

    By default, it retries commits, and mistakes its own earlier attempt for a conflict. It does not retry a query whose
    response was truncated.
    """
    from google.api_core.retry import Retry, if_exception_type

    return {"retry": Retry(if_exception_type()), "timeout": CALL_TIMEOUT}


def retry_transient(attempt: Callable[[], T]) -> T:
    """Return the result of `attempt`, with retries after transient errors. Raises RetryError after CALL_TIMEOUT."""
    from google.api_core import exceptions
    from google.api_core.retry import Retry, if_exception_type

    transient = (
        exceptions.ServiceUnavailable,
        exceptions.InternalServerError,
        exceptions.DeadlineExceeded,
        exceptions.ResourceExhausted,
    )
    retry = Retry(if_exception_type(*transient), initial=INITIAL_BACKOFF, maximum=2.0, timeout=CALL_TIMEOUT)
    result: T = retry(attempt)()
    return result


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Translate errors of Google's libraries into Unavailable."""
    import_firestore()
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (GoogleAPICallError, RetryError, GoogleAuthError) as error:
        raise Unavailable(f"Firestore: {error}") from error


@contextlib.contextmanager
def translated_conflicts() -> Iterator[None]:
    """Translate errors about preconditions that do not hold, and aborted contended commits, into Conflict.

    An InvalidArgument is translated into TooLarge by its message, which is the only distinction from other ones.
    """
    from google.api_core import exceptions

    try:
        yield
    except exceptions.InvalidArgument as error:
        if TOO_LARGE.search(str(error)):
            raise TooLarge(f"Firestore: {error}") from error
        raise
    except (exceptions.AlreadyExists, exceptions.FailedPrecondition, exceptions.NotFound, exceptions.Conflict) as error:
        # Aborted, the error of a contended commit, is a subclass of exceptions.Conflict.
        raise Conflict(str(error)) from error
