"""The policies of the settings: a file, or the JSON itself."""

from pathlib import Path

from lading.settings import Settings, SettingsError


def policies_text(settings: Settings) -> str:
    """Return the settings' policies as the rule keeps them, or "". Raises SettingsError."""
    text = settings.policies
    if not text:
        return ""
    # Imported here, since a cold start needs them only where there are policies.
    from lading.policies.field_kinds import PolicyError
    from lading.policies.policy_file import parse_policies, read_policies

    try:
        if text.lstrip().startswith(("[", "{")):
            return parse_policies(text, ".json", Path.cwd(), "they")
        return read_policies(Path(text))
    except PolicyError as error:
        raise SettingsError(f"--policies: {error}") from None
