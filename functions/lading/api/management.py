"""The surface of Lading's own management API, which no other registry has.

The paths of a repository are /v2/_lading/<name>/…: no name of a repository begins with an underscore.
"""

from typing import Final

from lading.api import history, version
from lading.api.surface import api_surface
from lading.auth.access import Action
from lading.surface.route import Route

MANAGEMENT: Final = api_surface(
    Route("version", "GET HEAD", "/v2/_lading/version", Action.AUTHENTICATE, version.version),
    Route("history", "GET HEAD", "/v2/_lading/<name>/history", Action.PULL, history.tag_history),
)
