"""Policies as JSON: the form in which the registry's rule `policies` keeps them. A first version: most words follow."""

import json
from functools import lru_cache
from typing import Final

from lading.policies.policy import Policy

MAX_PARSED: Final = 100
"""Texts whose policies are cached: the registry's, and those of namespaces."""


class PolicyError(ValueError):
    """Policies that cannot be read; the message says where, and why."""


@lru_cache(MAX_PARSED)
def policies_of(text: str) -> tuple[Policy, ...]:
    """Return the policies of a rule's value; "" has none. Raises PolicyError, such as for those of a newer release."""
    if not text:
        return ()
    try:
        values = json.loads(text)["policies"]
        return tuple(
            Policy(
                name=each["name"],
                repositories=tuple(each["repositories"]),
                tags=tuple(each.get("tags", ())),
                mode=each.get("mode", "audit"),
            )
            for each in values
        )
    except (ValueError, TypeError, LookupError) as error:
        raise PolicyError(f"the policies cannot be read: {error!r}") from None
