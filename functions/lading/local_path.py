"""The path in the URL of a store on this machine."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from lading.settings import SettingsError


def local_path(url: str, scheme: str) -> Path:
    """Return the path of a `file:` or `sqlite:` URL. Raises SettingsError."""
    parts = urlsplit(url)
    if parts.netloc or not parts.path.startswith("/"):
        raise SettingsError(f"{url} is not of the form {scheme}:///PATH")
    return Path(unquote(parts.path))
