"""Evaluate a policy: whether an image is allowed, by what is known of it.

    requirements, and one of anyOf, pass ────────────▶ allowed
    exempt principal, exception, opened exception ───▶ exempted
    the image cannot be judged ──────────────────────▶ denied, or allowed, as onError says
    otherwise ───────────────────────────────────────▶ denied, or audited, as the mode says

What is not known never passes: an image that was not scanned, a scan of a part, a vulnerability that is counted and not
listed.
"""

from collections.abc import Iterator

from lading.policies.evidence import ALLOWED, AUDITED, DENIED, EXEMPTED, Decision, Evidence, NotJudged, Outcome, Reason
from lading.policies.policy import DENY, ImageRequirement, Policy, Requirements, SignatureRequirement
from lading.policies.scan_reasons import scan_reasons
from lading.policies.texts import about, duration_text, listed


def evaluate(policy: Policy, evidence: Evidence, principal: str) -> Decision:
    """Return what a policy decides about an image that a principal pulls; "" is an anonymous one."""
    is_error = False
    try:
        reasons = tuple(_reasons(policy, evidence))
    except NotJudged as error:
        is_error, reasons = True, (Reason(f"the image cannot be judged: {error}"),)
    if not reasons:
        return Decision(policy=policy.name, outcome=ALLOWED)
    exemption = exemption_of(policy, principal) or _exception(policy, evidence)
    return Decision(
        policy=policy.name,
        outcome=EXEMPTED if exemption else _outcome(policy, is_error),
        reasons=tuple(each.text for each in reasons),
        findings=tuple(dict.fromkeys(finding for each in reasons for finding in each.findings)),
        exemption=exemption,
        is_error=is_error,
    )


def lacks_signatures(policy: Policy, evidence: Evidence) -> bool:
    """Return whether a policy requires signatures that neither an image has, nor one of the indexes in the evidence."""
    return any(True for each in policy.signature_requirements() for _ in _signature_failures(each, evidence))


def _outcome(policy: Policy, is_error: bool) -> Outcome:
    """Return what becomes of an image that does not pass, and is not exempt."""
    if is_error and policy.on_error != DENY:
        return ALLOWED
    return DENIED if policy.enforces else AUDITED


def exemption_of(policy: Policy, principal: str) -> str:
    """Return why a policy does not apply to a principal, or "". An anonymous client is never exempt."""
    return f"{principal} is exempt" if principal and principal in policy.exempt else ""


def _exception(policy: Policy, evidence: Evidence) -> str:
    """Return the exception by which a policy allows the image, or ""."""
    for each in policy.exceptions:
        if each.covers(evidence.repository, evidence.digest, evidence.now):
            return f"an exception until {each.until.isoformat()}: {each.reason}"
    for opened in evidence.exceptions:
        if opened.policy == policy.name and evidence.now < opened.until:
            return f"{opened.by} opened an exception until {opened.until.isoformat()}: {opened.reason}"
    return ""


def _reasons(policy: Policy, evidence: Evidence) -> Iterator[Reason]:
    """Yield why an image does not pass. Raises NotJudged."""
    if evidence.unreadable and policy.judges_images:
        raise NotJudged(evidence.unreadable)
    yield from _failures(policy.requirements, evidence)
    alternatives = [tuple(_failures(each, evidence)) for each in policy.any_of]
    if alternatives and all(alternatives):
        texts = "; or ".join(" and ".join(reason.text for reason in each) for each in alternatives)
        findings = tuple(finding for each in alternatives for reason in each for finding in reason.findings)
        yield Reason(f"none of {len(alternatives)} alternatives is fulfilled: {texts}", findings)


def _failures(requirements: Requirements, evidence: Evidence) -> Iterator[Reason]:
    """Yield which of some requirements an image does not fulfil. Raises NotJudged."""
    if requirements.signatures:
        yield from _signature_failures(requirements.signatures, evidence)
    if requirements.scan:
        yield from scan_reasons(requirements.scan, evidence)
    if requirements.image:
        yield from _age_failures(requirements.image, evidence)


def _signature_failures(requirement: SignatureRequirement, evidence: Evidence) -> Iterator[Reason]:
    """Yield who did not sign the image, nor an index that contains it. One index alone has to have all signatures."""
    signers = requirement.signers
    fewest = tuple(each.name for each in signers)
    for signatures in (evidence.signatures, *evidence.parents):
        valid = [each for each in signatures if each.expires is None or evidence.now < each.expires]
        missing = tuple(each.name for each in signers if not any(map(each.signed, valid)))
        if len(missing) < len(signers) and not (missing and requirement.all_of):
            return
        fewest = min(fewest, missing, key=len)
    yield Reason(f"it is not signed by {listed(fewest, 'and' if requirement.all_of else 'or')}")


def _age_failures(requirement: ImageRequirement, evidence: Evidence) -> Iterator[Reason]:
    if evidence.first_seen is None:
        yield Reason("when it was pushed is not known")
        return
    age = evidence.now - evidence.first_seen
    if requirement.max_age is not None and age > requirement.max_age:
        yield Reason(f"it was pushed {about(age)} ago, more than {duration_text(requirement.max_age)}")
    if requirement.min_age is not None and age < requirement.min_age:
        end = (evidence.first_seen + requirement.min_age).isoformat(timespec="seconds")
        yield Reason(f"it is in quarantine for {duration_text(requirement.min_age)}, until {end}")
