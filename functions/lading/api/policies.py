"""What policies decide about an image, and exceptions from it.

    GET    /v2/_lading/<name>/policy?reference=<ref>[&principal=<principal>]   what is decided about a pull, and why
    POST   /v2/_lading/<name>/policy?reference=<ref>[&principal=<principal>]   the same by the policies in the body
    POST   /v2/_lading/<name>/exceptions   {"reference": "v1", "reason": "…", "for": "2h"}, or instead "until", a time
    DELETE /v2/_lading/<name>/exceptions?reference=<ref>

Who may pull may ask for itself, and who may push, for others, and by policies of its own. An exception needs the right
to pull, and a policy that names the caller in `breakGlass`. Digests may be short.
"""

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from lading.api.history import may_see_all, may_see_past
from lading.api.inspection import named_digest, search_slot
from lading.http.responses import Response, json_response
from lading.json_values import parse_time, plain, rfc3339
from lading.leader import step_down
from lading.registry.changes import Change
from lading.registry.errors import DENIED, REQUEST_INVALID, RegistryError
from lading.registry.names import parse_as_of
from lading.setting_values import duration
from lading.surface.request_context import RequestContext
from lading_storage.records.core import Manifest

if TYPE_CHECKING:
    from lading.registry.policies.break_glass import OpenedFor

MAX_BODY: Final = 16 * 1024

MAX_POLICIES: Final = 256 * 1024
"""Bytes of policies in a request: a rule has at most 64 Ki characters."""


def policy(context: RequestContext) -> Response:
    """policy: return what policies decide about a pull of an image, and why. No pull is recorded."""
    principal = context.request.args.get("principal", context.caller.principal)
    if principal != context.caller.principal and not may_see_all(context):
        raise RegistryError(DENIED, {"reason": "to ask for another principal needs the right to push"})
    with search_slot(context):
        reference = named_digest(context, context.request.args.get("reference", ""))
        only_present = parse_as_of(reference) is not None and not may_see_past(context)
        explained = context.registry.gates.explainer.explain(
            context.name, reference, principal, only_present=only_present
        )
    return Response(200, {"Content-Type": "application/json"}, json.dumps(explained, default=plain).encode())


def try_policies(context: RequestContext) -> Response:
    """Try policies: return what those in the body would decide about a pull. Nothing is recorded."""
    step_down()
    from lading.policies.field_kinds import PolicyError
    from lading.policies.policy_file import parse_policies
    from lading.policies.policy_json import policies_of

    body = context.body.read(MAX_POLICIES)
    if body is None:
        raise _invalid(f"the body has more than {MAX_POLICIES} bytes")
    try:
        policies = policies_of(parse_policies(body.decode(), ".json", None, "the request"))
    except (PolicyError, UnicodeDecodeError) as error:
        raise _invalid(str(error)) from None
    with search_slot(context):
        reference = named_digest(context, context.request.args.get("reference", ""))
        principal = context.request.args.get("principal", "")
        only_present = parse_as_of(reference) is not None and not may_see_past(context)
        explained = context.registry.gates.trial.explain(
            context.name, reference, principal, only_present=only_present, others=policies
        )
    return Response(200, {"Content-Type": "application/json"}, json.dumps(explained, default=plain).encode())


def open_exception(context: RequestContext) -> Response:
    """Open an exception: let an image be pulled for a while that policies refuse."""
    fields = _fields(context)
    end = _end(fields)
    with search_slot(context):
        image = _image(context, fields["reference"])
    gates, change = context.registry.gates, context.change_context("break-glass")
    opened = gates.break_glass.open(gates.policies_of(context.name), image, end, fields["reason"], change)
    assert opened.until is not None
    why = f"until {rfc3339(opened.until, 'seconds')}: {fields['reason']}"
    context.audit.record_change(Change("exception-opened", image.digest, also=opened.digests, reason=why))
    return json_response(_result(image, opened) | {"until": rfc3339(opened.until)})


def close_exception(context: RequestContext) -> Response:
    """Close an exception: let policies decide again."""
    with search_slot(context):
        image = _image(context, context.request.args.get("reference", ""))
    gates = context.registry.gates
    closed = gates.break_glass.close(gates.policies_of(context.name), image, context.change_context("break-glass"))
    context.audit.record_change(Change("exception-closed", image.digest, also=closed.digests))
    return json_response(_result(image, closed))


def _result(image: Manifest, opened: "OpenedFor") -> dict[str, Any]:
    named = {"policies": list(opened.policies), "images": list(opened.digests)}
    return {"repository": image.repository, "digest": image.digest, **named}


def _image(context: RequestContext, reference: str) -> Manifest:
    reference = named_digest(context, reference)
    only_present = parse_as_of(reference) is not None and not may_see_past(context)
    return context.registry.gates.break_glass.find(context.name, reference, only_present=only_present)


def _fields(context: RequestContext) -> dict[str, str]:
    """Return the texts in the body. Raises REQUEST_INVALID."""
    try:
        fields = json.loads(context.body.read(MAX_BODY) or b"")
    except (ValueError, RecursionError):
        fields = None
    ends = {"for", "until"}
    if (
        not isinstance(fields, dict)
        or fields.keys() - ends != {"reference", "reason"}
        or len(fields.keys() & ends) != 1
        or not all(isinstance(each, str) for each in fields.values())
    ):
        raise _invalid("the body is a JSON object of the strings reference, reason, and one of for and until")
    return fields


def _end(fields: dict[str, str]) -> datetime | timedelta:
    """Return when an exception ends, or for how long it is: by the registry's clock. Raises REQUEST_INVALID."""
    try:
        return parse_time(fields["until"]) if "until" in fields else duration(fields["for"])
    except ValueError:
        raise _invalid("for is a time such as 2h, and until one such as 2026-12-01T12:00:00Z") from None


def _invalid(reason: str) -> RegistryError:
    return RegistryError(REQUEST_INVALID, {"reason": reason})
