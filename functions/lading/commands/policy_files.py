"""Files of policies that commands read."""

from pathlib import Path

from lading.commands.options import CommandError


def read_policies(file: str) -> str:
    """Return the policies of a file as the rule keeps them; keys of KMS are fetched. Raises CommandError."""
    from lading.commands.kms_keys import public_key
    from lading.policies.field_kinds import PolicyError
    from lading.policies.policy_file import read_policies as read

    try:
        return read(Path(file), public_key)
    except PolicyError as error:
        raise CommandError(str(error)) from None
