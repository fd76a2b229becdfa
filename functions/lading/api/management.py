"""The surface of Lading's own management API, which no other registry has.

The paths of a repository are /v2/_lading/<name>/…: no name of a repository begins with an underscore.
"""

from typing import Final

from lading.api import (
    attestations,
    events,
    history,
    inspection,
    policies,
    rules,
    scanner,
    scans,
    tag_changes,
    usage,
    version,
)
from lading.api.style import api_surface
from lading.auth.access import Action
from lading.surface.route import Route

NAMESPACE_RULES: Final = "/v2/_lading/rules/<namespace>/"

MANAGEMENT: Final = api_surface(
    Route("version", "GET HEAD", "/v2/_lading/version", Action.AUTHENTICATE, version.version),
    Route("events", "GET HEAD", "/v2/_lading/events", Action.NONE, events.events),
    Route("repositories", "GET HEAD", "/v2/_lading/repositories", Action.LIST, inspection.repositories),
    Route("rules", "GET HEAD", "/v2/_lading/rules", Action.MANAGE, rules.all_rules),
    Route("change rules", "PUT", "/v2/_lading/rules", Action.MANAGE, rules.change_all_rules),
    Route("namespace rules", "GET HEAD", NAMESPACE_RULES, Action.MANAGE, rules.namespace_rules),
    Route("change namespace rules", "PUT", NAMESPACE_RULES, Action.MANAGE, rules.change_namespace_rules),
    Route("scan claims", "POST", "/v2/_lading/scans/claims", Action.SCAN, scanner.claims),
    Route("scan results", "POST", "/v2/_lading/scans/results", Action.SCAN, scanner.results),
    Route("scan token", "POST", "/v2/_lading/scans/token", Action.SCAN, scanner.token),
    Route("scan data", "POST", "/v2/_lading/scans/data", Action.SCAN, scanner.data),
    Route("scan checked", "POST", "/v2/_lading/scans/checked", Action.SCAN, scanner.checked),
    Route("scan published", "POST", "/v2/_lading/scans/published", Action.SCAN, scanner.published),
    Route(
        "attestation repositories",
        "POST",
        "/v2/_lading/attestations/repositories",
        Action.ATTEST,
        attestations.repositories,
    ),
    Route("attestation images", "POST", "/v2/_lading/attestations/images", Action.ATTEST, attestations.images),
    Route("attestation decisions", "POST", "/v2/_lading/attestations/decisions", Action.ATTEST, attestations.decisions),
    Route("attestation position", "POST", "/v2/_lading/attestations/position", Action.ATTEST, attestations.position),
    Route(
        "attestation keep-position",
        "POST",
        "/v2/_lading/attestations/keep-position",
        Action.ATTEST,
        attestations.keep_position,
    ),
    Route("effective rules", "GET HEAD", "/v2/_lading/<name>/rules", Action.PUSH, rules.effective_rules),
    Route("history", "GET HEAD", "/v2/_lading/<name>/history", Action.PULL, history.tag_history),
    Route("tags", "GET HEAD", "/v2/_lading/<name>/tags", Action.PULL, inspection.tags),
    Route("manifest", "GET HEAD", "/v2/_lading/<name>/manifest", Action.PULL, inspection.manifest),
    Route("digest", "GET HEAD", "/v2/_lading/<name>/digest", Action.PULL, inspection.digest),
    Route("usage", "GET HEAD", "/v2/_lading/<name>/usage", Action.PULL, usage.usage),
    Route("cleanup", "GET HEAD", "/v2/_lading/<name>/cleanup", Action.DELETE, usage.cleanup),
    Route("scan", "GET HEAD", "/v2/_lading/<name>/scan", Action.PULL, scans.scan),
    Route("scan again", "POST", "/v2/_lading/<name>/scan", Action.PUSH, scans.again),
    Route("policy", "GET HEAD", "/v2/_lading/<name>/policy", Action.PULL, policies.policy),
    Route("try policies", "POST", "/v2/_lading/<name>/policy", Action.PUSH, policies.try_policies),
    Route("open exception", "POST", "/v2/_lading/<name>/exceptions", Action.PULL, policies.open_exception),
    Route("close exception", "DELETE", "/v2/_lading/<name>/exceptions", Action.PULL, policies.close_exception),
    Route("deleted", "GET HEAD", "/v2/_lading/<name>/deleted", Action.DELETE, inspection.deleted),
    Route("tag", "POST", "/v2/_lading/<name>/tag", Action.PUSH, tag_changes.tag),
    Route("rollback", "POST", "/v2/_lading/<name>/rollback", Action.PUSH, tag_changes.rollback),
    Route("undelete", "POST", "/v2/_lading/<name>/undelete", Action.DELETE, tag_changes.undelete),
    Route("repository", "DELETE", "/v2/_lading/<name>/repository", Action.DELETE, tag_changes.delete_repository),
)
