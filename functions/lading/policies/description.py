"""A policy in a sentence, and what a person should know of it before it applies."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from lading.policies.policy import (
    ALLOW,
    NONE,
    ImageRequirement,
    Policy,
    PushRequirement,
    Requirements,
    ScanRequirement,
    SignatureRequirement,
)
from lading.policies.texts import about, duration_text, listed
from lading.quantity import counted

SOON: Final = timedelta(days=30)
"""How long before an exception ends a warning says so."""

COMPARED: Final = timedelta(days=2)
"""Age that no scan of an image in use reaches, while its registry scans: it is compared each day."""

LONG: Final = timedelta(days=366)
"""Exceptions that last longer than this are likely to be forgotten."""


def description(policy: Policy) -> str:
    """Return a policy in a sentence."""
    scope = f"images of {_globs(policy.repositories)}"
    if policy.tags:
        scope += f", and moves of the tags {_globs(policy.tags)} there,"
    verb = "are refused" if policy.enforces else "are only reported"
    parts = [*_requirements(policy.requirements)]
    if policy.any_of:
        alternatives = [" and ".join(_requirements(each)) for each in policy.any_of]
        parts.append(f"either {', or '.join(alternatives)}")
    sentences = [f"{scope} {verb} unless: {'; '.join(parts)}"] if parts else []
    if policy.push:
        where = "there" if parts else f"to {_globs(policy.repositories)}"
        sentences.append(f"pushes {where} {verb} unless: {'; '.join(_push(policy.push))}")
    if policy.exempt:
        sentences.append(f"exempt: {listed(policy.exempt, 'and')}")
    if policy.break_glass:
        sentences.append(f"exceptions may be opened by {listed(policy.break_glass, 'and')}")
    return ". ".join(each[0].upper() + each[1:] for each in sentences) + "."


def _globs(globs: tuple[str, ...]) -> str:
    rules = [each for each in globs if not each.startswith("!")]
    exceptions = [each[1:] for each in globs if each.startswith("!")]
    return listed(rules, "and") + (f" but not {listed(exceptions, 'and')}" if exceptions else "")


def _requirements(requirements: Requirements) -> Iterator[str]:
    if requirements.signatures:
        yield _signatures(requirements.signatures)
    if requirements.scan:
        yield from _scan(requirements.scan)
    if requirements.image:
        yield from _image(requirements.image)


def _signatures(requirement: SignatureRequirement) -> str:
    names = [each.name for each in requirement.signers]
    return f"signed by {listed(names, 'and' if requirement.all_of else 'or')}"


def _scan(requirement: ScanRequirement) -> Iterator[str]:
    age = f" at most {duration_text(requirement.max_age)} ago" if requirement.max_age else ""
    yield f"scanned{age}"
    for maximum, kind in ((requirement.maximum_fixable, "with"), (requirement.maximum_unfixable, "without")):
        if maximum:
            limit = "at all" if maximum == NONE else f"worse than {maximum}"
            yield f"no vulnerability {kind} a fix {limit}"
    if requirement.block_known_exploited:
        yield "none that is known to be exploited"
    if requirement.allowed_cves:
        yield f"these do not count: {listed([each.id for each in requirement.allowed_cves], 'and')}"
    if requirement.sbom:
        yield "an SBOM is attached"


def _image(requirement: ImageRequirement) -> Iterator[str]:
    if requirement.min_age:
        yield f"pushed at least {duration_text(requirement.min_age)} ago"
    if requirement.max_age:
        yield f"pushed at most {duration_text(requirement.max_age)} ago"


def _push(requirement: PushRequirement) -> Iterator[str]:
    if requirement.media_types:
        yield f"of the types {listed(requirement.media_types, 'and')}"
    if requirement.required_labels:
        yield f"with {listed(requirement.required_labels, 'and')}"
    if requirement.maximum_size:
        yield f"of at most {requirement.maximum_size} bytes"


def warnings(policy: Policy, now: datetime) -> Iterator[str]:
    """Yield what a person should know of a policy before it applies. Which images it names is not known here."""
    if not policy.enforces:
        yield 'it only reports, and refuses nothing, until mode = "enforce"'
    if policy.enforces and policy.on_error == ALLOW:
        yield 'with onError = "allow", images pass that cannot be judged'
    if any(each.signatures for each in policy.alternatives) and policy.enforces and not policy.exempt:
        yield "no principal is exempt: `cosign sign` pulls an image before it signs it, and is refused"
    yield from _surprises(policy)
    for name, until in _ends(policy):
        if until <= now:
            yield f"the exception of {name} ended at {until.isoformat()}"
        elif until <= now + SOON:
            yield f"the exception of {name} ends in {about(until - now)}"
        elif until > now + LONG:
            yield f"the exception of {name} lasts {counted((until - now).days, 'day')}"


def _surprises(policy: Policy) -> Iterator[str]:
    """Yield what is probably not meant: names that name nothing here, and scans that no image can have."""
    for principal in (*policy.exempt, *policy.break_glass):
        if principal.startswith("robot$"):
            yield f"{principal} is no robot of this registry, which would be robot+{principal.removeprefix('robot$')}"
    for each in policy.exceptions:
        if not policy.covers(each.repository):
            yield f"the exception of {each.repository} is of no repository that the policy names"
    scans = [each.scan for each in policy.alternatives if each.scan]
    if any(each.block_known_exploited for each in scans):
        yield (
            "blockKnownExploited needs CISA's catalog, which is not downloaded: no image passes before"
            " `lading vulnerabilities import` has stored it"
        )
    if (least := min((each.max_age for each in scans if each.max_age), default=COMPARED)) < COMPARED:
        yield (
            "images are compared once a day, or somewhat later: with a scan.maxAge of"
            f" {duration_text(least)} one that passes is refused until then"
        )


def _ends(policy: Policy) -> Iterator[tuple[str, datetime]]:
    """Yield the exceptions of a policy, and when they end."""
    for each in policy.exceptions:
        yield f"{each.repository}@{each.digest}" if each.digest else each.repository, each.until
    for requirements in policy.alternatives:
        allowed: Sequence[tuple[str, datetime]] = (
            [(cve.id, cve.until) for cve in requirements.scan.allowed_cves] if requirements.scan else []
        )
        yield from allowed
