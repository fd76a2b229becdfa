"""The clean-up policies of the settings: a file, or the JSON itself."""

from pathlib import Path
from typing import TYPE_CHECKING

from lading.settings import Settings, SettingsError

if TYPE_CHECKING:
    from lading.registry.cleanup.policies import Policy


def open_cleanup_policies(settings: Settings) -> "tuple[Policy, ...]":
    """Return the settings' clean-up policies. Raises SettingsError."""
    text = cleanup_text(settings)
    if not text:
        return ()
    # Imported here, since a cold start in the cloud needs them only where there are policies.
    from lading.registry.cleanup.policy_json import PolicyError, parse_policies

    try:
        return parse_policies(text)
    except PolicyError as error:
        raise SettingsError(f"--cleanup: {error}") from None


def cleanup_text(settings: Settings) -> str:
    """Return the JSON of the settings' clean-up policies, or "". Raises SettingsError if their file is unreadable."""
    text = settings.cleanup
    try:
        return Path(text).read_text() if text and not text.lstrip().startswith(("[", "{")) else text
    except OSError as error:
        raise SettingsError(
            f"--cleanup {text}: {error.strerror}; name a file with policies, or the JSON itself"
        ) from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"--cleanup: {error}") from None
