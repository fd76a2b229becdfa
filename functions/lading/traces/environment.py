"""What the environment says of traces: OpenTelemetry's own variables, which every program of a site has in common.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from collections.abc import Mapping
from typing import Final

import lading
from lading.settings import SettingsError

PROTOCOL: Final = "http/protobuf"
PROTOCOL_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
"""The only protocol, and the variables that name one; the first that is set counts."""

SERVICE_NAME: Final = "lading"


def are_enabled(environment: Mapping[str, str]) -> bool:
    """Return whether spans are to be exported, where an endpoint is set. Raises SettingsError for another protocol."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none":
        return False
    for variable in PROTOCOL_VARIABLES:
        if protocol := environment.get(variable, "").strip():
            if protocol != PROTOCOL:
                raise SettingsError(f"{variable} is {PROTOCOL}: traces are exported by OTLP over HTTP")
            break
    return True


def default_attributes(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of the resource that the environment does not set."""
    attributes = {"service.version": lading.__version__}
    if not environment.get("OTEL_SERVICE_NAME") and "service.name=" not in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        attributes["service.name"] = SERVICE_NAME
    return attributes
