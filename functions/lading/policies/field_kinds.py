"""Kinds of fields of a policy: how the value of each is read, and its JSON schema (draft 2020-12).

A table is a sequence of fields, a row each (lading.policies.policy_fields). What it does not list is an error.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from lading.policies.texts import UNITS

DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([dhms])", re.ASCII)
SIZE: Final = re.compile(r"([1-9][0-9]{0,11})(B|KiB|MiB|GiB|TiB)", re.ASCII)
SIZES: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
MAX_QUOTED: Final = 60
"""Characters of a value that a message quotes."""


class PolicyError(ValueError):
    """Policies that cannot be used; the message says where, and why."""


class Kind(Protocol):
    """How a value is read."""

    def parse(self, value: Any, place: str) -> Any:
        """Return the value. Raises PolicyError, with `place`, which says where it is."""
        ...

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of a value."""
        ...


@dataclass(frozen=True, slots=True)
class Field:
    """Field of a table.

    Attributes:
        key: its name.
        kind: how its value is read.
        about: what it means, for editors.
        is_required: whether a table without it is an error.
    """

    key: str
    kind: Kind
    about: str
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Printable text of one line.

    Attributes:
        maximum: characters.
        form: the regular expression that it has to match.
        meaning: what it is, for a message.
        refuse: returns why a text is refused, or "".
    """

    maximum: int
    form: str = ""
    meaning: str = "text of one line"
    refuse: Callable[[str], str] = lambda _: ""

    def parse(self, value: Any, place: str) -> str:
        """Return the text."""
        fits = isinstance(value, str) and 0 < len(value) <= self.maximum and value.isprintable() and value.strip()
        if not fits or (self.form and not re.fullmatch(self.form, value, re.ASCII)):
            raise PolicyError(f"{place} is {self.meaning}, of at most {self.maximum} characters, not {quoted(value)}")
        if reason := self.refuse(value):
            raise PolicyError(f"{place}: {reason}")
        return str(value)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        form = {"pattern": f"^{self.form}$"} if self.form else {}
        return {"type": "string", "minLength": 1, "maxLength": self.maximum, **form}


@dataclass(frozen=True, slots=True)
class Pem:
    """PEM of one label. What it holds is checked where a file is applied (lading.policies.signer_checks)."""

    label: str
    maximum: int = 16 * 1024

    def parse(self, value: Any, place: str) -> str:
        """Return the text with one line break at its end."""
        if not isinstance(value, str) or not value.isascii() or len(value) > self.maximum:
            raise PolicyError(f"{place} is text as PEM, of at most {self.maximum} characters")
        text = value.strip()
        if "PRIVATE KEY-----" in text:
            raise PolicyError(
                f"{place} is a private key: replace it, since it is no longer secret, and name the public one"
            )
        if text.count("-----BEGIN ") != 1 or not text.startswith(f"-----BEGIN {self.label}-----"):
            raise PolicyError(f"{place} is one {self.label} as PEM, not {quoted(text)}")
        return f"{text}\n"

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": "string", "maxLength": self.maximum, "pattern": f"-----BEGIN {self.label}-----"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words; `meant` has those that others use for it."""

    words: Sequence[str]
    meant: Mapping[str, str] = field(default_factory=dict)

    def parse(self, value: Any, place: str) -> str:
        """Return the word."""
        if value in self.words and isinstance(value, str):
            return value
        meant = self.meant.get(str(value)) or (str(value).lower() if str(value).lower() in self.words else "")
        hint = f"; did you mean {meant}?" if meant else suggestion(str(value), self.words)
        raise PolicyError(f"{place} is one of {', '.join(self.words)}, not {quoted(value)}{hint}")

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"enum": [*self.words]}


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`."""

    def parse(self, value: Any, place: str) -> bool:
        """Return the value."""
        if not isinstance(value, bool):
            raise PolicyError(f"{place} is true or false, not {quoted(value)}")
        return value

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Duration:
    """Duration of 1 s to 100 years: 7d, 12h, 30m or 45s."""

    MAXIMUM = timedelta(days=36_500)

    def parse(self, value: Any, place: str) -> timedelta:
        """Return the duration."""
        match = DURATION.fullmatch(value) if isinstance(value, str) else None
        duration = int(match[1]) * UNITS[match[2]] if match else timedelta(0)
        if not timedelta(0) < duration <= self.MAXIMUM:
            raise PolicyError(
                f"{place} is a duration such as 7d, 12h, 30m or 45s, of at most 36500d, not {quoted(value)}"
            )
        return duration

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": "string", "pattern": f"^{DURATION.pattern}$"}


@dataclass(frozen=True, slots=True)
class Time:
    """Date, which ends when it ends in UTC, or a time with its zone."""

    def parse(self, value: Any, place: str) -> datetime:
        """Return the end."""
        try:
            if isinstance(value, str) and DATE.fullmatch(value):
                return datetime.fromisoformat(value).replace(tzinfo=UTC) + timedelta(days=1)
            time = datetime.fromisoformat(value)
            if time.tzinfo is not None:
                return time.astimezone(UTC)
        except (ValueError, TypeError, OverflowError):
            pass
        raise PolicyError(
            f"{place} is a date, such as 2027-01-31, which ends when it ends in UTC, or a time with its zone, such as"
            f" 2027-01-31T12:00:00Z, not {quoted(value)}"
        )

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}


@dataclass(frozen=True, slots=True)
class Size:
    """Number of bytes with a unit: 500MiB or 2GiB."""

    def parse(self, value: Any, place: str) -> int:
        """Return the bytes."""
        match = SIZE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise PolicyError(f"{place} is a size such as 500MiB or 2GiB, not {quoted(value)}")
        return int(match[1]) * SIZES[match[2]]

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": "string", "pattern": f"^{SIZE.pattern}$"}


@dataclass(frozen=True, slots=True)
class Several:
    """List of values of one kind, from 1 to `maximum`, none of them twice.

    Attributes:
        kind: of each.
        maximum: their number.
        identity: returns what two of them may not have in common, and None for nothing.
    """

    kind: Kind
    maximum: int
    identity: Callable[[Any], Any] = lambda value: value

    def parse(self, value: Any, place: str) -> tuple[Any, ...]:
        """Return the values."""
        if not isinstance(value, list) or not 0 < len(value) <= self.maximum:
            found = f"{len(value)} values" if isinstance(value, list) else quoted(value)
            raise PolicyError(f"{place} is a list of 1 to {self.maximum} values, not {found}")
        values = tuple(self.kind.parse(each, f"{place}[{index}]") for index, each in enumerate(value))
        identities = [self.identity(each) for each in values]
        for index, each in enumerate(identities):
            if each is not None and each in identities[:index]:
                raise PolicyError(f"{place}[{index}] is there twice: {quoted(each)}")
        return values

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": "array", "minItems": 1, "maxItems": self.maximum, "items": self.kind.schema()}


@dataclass(frozen=True, slots=True)
class Table:
    """Table of fields, of which a value is made.

    Attributes:
        fields: its fields.
        make: makes the value of those that are given, by key. It may raise ValueError with a clause.
        is_named: whether the field `name` says in messages which table it is.
    """

    fields: Sequence[Field]
    make: Callable[[Mapping[str, Any]], Any]
    is_named: bool = False

    def parse(self, value: Any, place: str) -> Any:
        """Return the value."""
        if not isinstance(value, dict):
            raise PolicyError(f"{place} is a table with fields, not {quoted(value)}")
        if self.is_named and isinstance(value.get("name"), str) and value["name"].isprintable():
            place = f"{place} ({value['name'][:MAX_QUOTED]})"
        known = {each.key: each for each in self.fields}
        for key in value:
            if key not in known:
                raise PolicyError(f"{place} has no field {quoted(key)}{suggestion(str(key), known)}")
        for each in self.fields:
            if each.is_required and each.key not in value:
                raise PolicyError(f"{place} needs {each.key}: {each.about}")
        found = {key: known[key].kind.parse(each, f"{place}.{key}") for key, each in value.items()}
        try:
            return self.make(found)
        except PolicyError:
            raise
        except ValueError as error:
            raise PolicyError(f"{place}: {error}") from None

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        required = [each.key for each in self.fields if each.is_required]
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {each.key: {"description": each.about, **each.kind.schema()} for each in self.fields},
            **({"required": required} if required else {}),
        }


def quoted(value: Any) -> str:
    """Return a value for a message: printable, and not longer than a line."""
    text = repr(value)
    return text if len(text) <= MAX_QUOTED else f"{text[: MAX_QUOTED - 1]}…"


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown word: the one that was meant, or which there are."""
    words = [*known]
    lower = {each.lower(): each for each in words}
    close = difflib.get_close_matches(word[:100].lower().replace("_", "").replace("-", ""), lower, 1, 0.6)
    return f"; did you mean {lower[close[0]]}?" if close else f"; there are {', '.join(words)}"
