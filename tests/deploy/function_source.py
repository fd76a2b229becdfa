"""Source of the function: its requirements, `python -m tests.deploy.function_source`, and its archive."""

import re
from collections.abc import Mapping
from importlib.metadata import distribution
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.documents import ROOT

EXAMPLE: Final = ROOT / "terraform" / "examples" / "deploy-on-push"
FUNCTION: Final = EXAMPLE / "function"

DIRECT: Final = ("functions-framework", "google-auth", "requests", "urllib3")
"""What the function imports, and requests, without which google-auth has no credentials of a metadata server."""

HEADING: Final = """# What the function runs on: the same files as the registry's functions.
# Written by: python -m tests.deploy.function_source > terraform/examples/deploy-on-push/function/requirements.txt
"""


def requirements() -> str:
    """Return requirements.txt: of the registry's pinned distributions those that the function needs."""
    text = (ROOT / "functions" / "requirements.txt").read_text()
    blocks = re.finditer(r"^([A-Za-z0-9._-]+)==(?:.*\\\n)*.*\n?", text, re.MULTILINE)
    needed = _needed()
    return HEADING + "".join(block[0] for block in blocks if canonicalize_name(block[1]) in needed)


def _needed() -> set[str]:
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in DIRECT]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            wanted = [Requirement(text) for text in distribution(name).requires or ()]
            waiting += [
                canonicalize_name(each.name)
                for each in wanted
                if each.marker is None or each.marker.evaluate({"extra": ""})
            ]
    return found


def files(rules: str | None = None) -> Mapping[str, bytes]:
    """Return the contents of the archive, by file name, as main.tf puts them there; with other rules if given."""
    paths = [path for path in FUNCTION.rglob("*") if path.suffix in (".py", ".txt")]
    sources = {path.relative_to(FUNCTION).as_posix(): path.read_bytes() for path in paths}
    return {**sources, "rules.json": rules.encode() if rules else (EXAMPLE / "rules.json").read_bytes()}


def concurrency() -> int:
    """Return the requests that main.tf lets an instance handle at once."""
    (value,) = re.findall(r"^  concurrency = ([0-9]+)$", (EXAMPLE / "main.tf").read_text(), re.MULTILINE)
    return int(value)


if __name__ == "__main__":
    print(requirements(), end="")  # noqa: T201  # that is what it is for
