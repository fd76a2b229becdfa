"""Exit statuses of `lading`, in one place: `lading --help` prints this table."""

from collections.abc import Mapping
from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UPGRADE_NEEDED: Final = 3
INTERRUPTED: Final = 128 + 2
PIPE_CLOSED: Final = 128 + 13
TERMINATED: Final = 128 + 15

DESCRIPTIONS: Final[Mapping[int, str]] = {
    OK: "success; explain-access: the access is allowed",
    FAILED: "failure, with the reason on standard error; doctor, gc and scrub: something is wrong;"
    " explain-access: the access is not allowed; ready: the server is not; upgrade-check: this release cannot use"
    " the stores; scan --fail-on: there are such vulnerabilities, or it is not known; policy test: an image would be"
    " refused",
    USAGE: "invalid arguments, or a confirmation is needed and standard input is no terminal",
    UPGRADE_NEEDED: "upgrade-check: this release can use the stores, and upgrades their schema at its first start",
    INTERRUPTED: "interrupted (SIGINT), as every program is by Ctrl-C",
    PIPE_CLOSED: "standard output was closed (SIGPIPE), as by `head`",
    TERMINATED: "terminated (SIGTERM) before the server had started, in a container",
}
"""What each status means. Those above 128 are those that a shell reports for these signals."""


def help_text() -> str:
    """Return the table as `lading --help` prints it."""
    lines = (f"  {status:<3}  {meaning}" for status, meaning in DESCRIPTIONS.items())
    return "\n".join(["exit statuses:", *lines])
