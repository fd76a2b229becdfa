"""Why a connection of urllib3 failed, in words."""

import re
import ssl


def root_cause(error: BaseException) -> BaseException:
    """Return the first cause of an error of urllib3, which has it as its cause or as an argument."""
    while causes := [each for each in (error.__cause__, *error.args) if isinstance(each, BaseException)]:
        error = causes[0]
    return error


def reason_of(cause: BaseException) -> str:
    """Return why a connection failed, in words."""
    if isinstance(cause, ssl.SSLError):
        return f"it does not speak TLS as expected, {(cause.reason or 'unknown').lower().replace('_', ' ')}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    # Without the object of urllib3 that it begins with.
    return re.sub(r"^.*?: ", "", str(cause), count=1) or type(cause).__name__
