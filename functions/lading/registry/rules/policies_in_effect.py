"""Policies of images that name a repository, as the rules of the registry and of its namespace have them."""

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from lading.registry.rules.effective import EffectiveRules, namespace_of
from lading_storage.errors import UnknownRules
from lading_storage.records.rules import RuleSet

if TYPE_CHECKING:
    from lading.policies.policy import Policy

MAX_REPOSITORIES: Final = 10_000
"""Repositories for which the policies that name them are cached."""

RULE: Final = "policies"


def policies_in(rules: EffectiveRules) -> "tuple[Policy, ...]":
    """Return the policies that name the repository of rules, as a change has read them. Raises UnknownRules."""
    texts = policies_text(rules.registry), policies_text(rules.namespace)
    return policies_covering(texts, rules.repository) if any(texts) else ()


def policies_text(rules: RuleSet | None) -> str:
    """Return the policies that rules set, as JSON, or "".

    A rule that this release does not know stops changes (rules.effective.check_known), and no pull.
    """
    return getattr(rules, RULE, "") if rules is not None and RULE in rules.given else ""


@lru_cache(MAX_REPOSITORIES)
def policies_covering(texts: tuple[str, str], repository: str) -> "tuple[Policy, ...]":
    """Return those policies of the registry and a namespace that name a repository. Raises UnknownRules."""
    from lading.leader import step_down

    step_down()
    from lading.policies.policy import covering
    from lading.policies.policy_json import policies_of

    registry, namespace = texts
    try:
        policies = policies_of(registry) + policies_of(namespace, namespace_of(repository))
        return covering(policies, repository)
    except ValueError as error:
        raise UnknownRules(f"the policies of {repository} cannot be read, so that nothing is pulled: {error}") from None
