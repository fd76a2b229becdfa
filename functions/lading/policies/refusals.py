"""Refusals: texts that have the form of a field and are a mistake; each function returns why, or ""."""

from typing import Final

from lading.setting_values import REPOSITORY

EVERYBODY: Final = frozenset({"allUsers", "allAuthenticatedUsers", "anonymous"})


def of_everybody(principal: str) -> str:
    """Refuse what names all callers."""
    if "*" in principal or principal in EVERYBODY:
        return f"{principal} is not one principal: a policy that exempts all is none; name each one"
    return ""


def of_any_subject(glob: str) -> str:
    """Refuse a glob of subjects that matches each."""
    return "" if glob.strip("*") else "it would match every identity of the issuer"


def of_no_repository(glob: str) -> str:
    """Refuse a glob of repositories that matches none, such as /prod/*: its policy would refuse nothing."""
    example = glob.removeprefix("!").replace("*", "a")
    return "" if REPOSITORY.fullmatch(example) else f"no repository has such a name: {glob}"
