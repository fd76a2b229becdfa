"""Errors as JSON. Every error that a client sees is written here (distribution-spec, "Error Codes")."""

import json
from typing import Any, Final

from werkzeug.wrappers import Response

from functions.registry.errors import RANGE_UNSATISFIABLE, RegistryError

RETRY_AFTER: Final = "5"
"""Seconds, with a 503."""


def error(raised: RegistryError) -> Response:
    """The answer to a request that was refused."""
    row = raised.row
    described = {"code": row.code, "message": row.message}
    if raised.detail is not None:
        described["detail"] = raised.detail
    response = as_json({"errors": [described]}, row.status)
    if row is RANGE_UNSATISFIABLE:
        response.headers["Content-Range"] = f"bytes */{raised.detail['size']}"
    if row.status == 503:
        response.headers["Retry-After"] = RETRY_AFTER
    return response


def as_json(value: Any, status: int = 200, media_type: str = "application/json") -> Response:
    """`value` as the body of an answer."""
    return Response(json.dumps(value), status, content_type=media_type)
