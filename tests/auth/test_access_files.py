"""The texts of users and grants: what ends a line, and what must not stand in one."""

import re
import unicodedata

import pytest

from lading.auth.access_files import FileInvalid, read_grants, read_users

HASH = "$2b$10$" + "a" * 53
SPLITTING = ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\r"]
"""What str.splitlines, or Python's reading of a file as text, ends a line at."""

HIDDEN = ["\0", "\b", "\x1b", "\x7f", "\u00a0", "\u00ad", "\u200b", "\u200d", "\u202e", "\u2066", "\u3000", "\ufeff"]


@pytest.mark.parametrize("character", SPLITTING + HIDDEN, ids=lambda text: f"U+{ord(text):04X}")
def test_nothing_but_a_newline_ends_a_comment(character: str) -> None:
    for text in (
        f"# fine\n# see below{character}mallory * pull,push,delete\nalice a pull\n",
        f"# fine\nalice a{character}b pull\n",
        f"# fine\n{character}alice a pull\n",
        f"# fine\nalice{character}\ta\tpull\n",
    ):
        column = text.split("\n")[1].index(character) + 1
        where = f"line 2, column {column} of the grants has U+{ord(character):04X}"
        with pytest.raises(FileInvalid, match=re.escape(where)):
            read_grants(text)
    with pytest.raises(FileInvalid, match="line 1, column 2 of the users"):
        read_users(f"#{character}mallory:{HASH}\n")
    with pytest.raises(FileInvalid, match="line 1, column 4 of the users"):
        read_users(f"bob{character}:{HASH}\n")


def test_every_control_and_format_character_is_refused() -> None:
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") and character not in "\t\n":
            with pytest.raises(FileInvalid):
                read_grants(f"# {character}.\n")


def test_lines_end_as_editors_end_them() -> None:
    for end in ("\n", "\r\n"):
        grants = read_grants(
            end.join(["# wer darf was: Köln, 東京", "", "  alice \t a/*\tpull,push  ", "zoë b pull", ""])
        )
        assert [(grant.line, grant.principal, grant.repositories) for grant in grants] == [
            (3, "alice", "a/*"),
            (4, "zoë", "b"),
        ]
        users = read_users(end.join(["# people", f"alice:{HASH}", f"  zoë:{HASH}\t", ""]))
        assert list(users.hashes) == ["alice", "zoë"]
