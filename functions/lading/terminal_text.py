"""Text for a terminal: none that a client or a file wrote can control it, or forge a line."""


def escape(text: str) -> str:
    """Return a text with its control and format characters written out, so that none reaches the terminal."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
