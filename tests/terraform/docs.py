"""The tables of terraform/README.md, as its variables and outputs say them: `python -m tests.terraform.docs`."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.terraform.terraform_cli import ROOT

FOLDER = ROOT / "terraform"


def tables() -> str:
    """All of README below its heading "Inputs"."""
    lines = ["## Inputs", "", "| name | description | type | default |", "|---|---|---|---|"]
    for name, fields in _blocks(FOLDER / "variables.tf", "variable"):
        default = f"`{_joined(fields['default'])}`" if "default" in fields else "required"
        lines.append(f"| `{name}` | {_text(fields['description'])} | `{_joined(fields['type'])}` | {default} |")
    lines += ["", "## Outputs", "", "| name | description |", "|---|---|"]
    for name, fields in _blocks(FOLDER / "outputs.tf", "output"):
        lines.append(f"| `{name}` | {_text(fields['description'])} |")
    return "\n".join(lines) + "\n"


def _blocks(file: Path, kind: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The blocks of a formatted file, each with its arguments as they are written."""
    for name, body in re.findall(rf'^{kind} "(\w+)" {{\n(.*?)^}}', file.read_text(), re.DOTALL | re.MULTILINE):
        yield name, dict(re.findall(r"^  (\w+) += (.*?)\n(?=  \w|\n|\Z)", body, re.DOTALL | re.MULTILINE))


def _text(written: str) -> str:
    plain = re.sub(r"^<<-END\n|\n *END$", "", written) if written.startswith("<<-") else written[1:-1]
    return _joined(plain.replace('\\"', '"')).replace("|", r"\|")


def _joined(written: str) -> str:
    """On one line."""
    return " ".join(written.split())


if __name__ == "__main__":
    print(tables(), end="")  # noqa: T201  # that is what it is for
