"""Files of policies that commands read."""

from pathlib import Path

from lading.commands.options import CommandError


def read_policies(file: str) -> str:
    """Return the policies of a file as the rule keeps them. Raises CommandError."""
    from lading.policies.field_kinds import PolicyError
    from lading.policies.policy_file import read_policies as read

    try:
        return read(Path(file))
    except PolicyError as error:
        raise CommandError(str(error)) from None
