"""Envoy's limits of memory and connections (config.overload.v3.OverloadManager)."""

from typing import Any, Final

MAX_HEAP: Final = 160 * 1024 * 1024
"""Bytes of Envoy's heap, of the 512 MiB that an instance has by default. An idle Envoy has 20 MiB of heap, and 80
stalled uploads with 80 unread downloads take less than half of this."""

TRACKED_STREAM: Final = 20
"""Base-2 logarithm of the bytes from which on a stream may be reset when the heap is nearly full. Only buffered bodies
hold as many, since windows are smaller."""

MAX_CONNECTIONS: Final = 1024
"""Concurrent connections from clients: an instance has at most 1000 concurrent requests, each on a connection of its
own where the front speaks HTTP/1.1."""

_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions"
_HEAP: Final = "envoy.resource_monitors.fixed_heap"


def overload_manager() -> dict[str, Any]:
    """Return the overload manager.

    Under pressure the streams that hold most are reset first, four times a second; then the heap is released; then new
    requests get 503. So buffered bodies, which any client may send without an end, take the memory of others only for a
    moment.
    """
    return {
        "refresh_interval": "0.25s",
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": TRACKED_STREAM},
        "resource_monitors": [
            {
                "name": _HEAP,
                "typed_config": {
                    "@type": f"{_EXTENSIONS}.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": MAX_HEAP,
                },
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": f"{_EXTENSIONS}.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": MAX_CONNECTIONS,
                },
            },
        ],
        "actions": [
            {"name": f"envoy.overload_actions.{action}", "triggers": [{"name": _HEAP, **trigger}]}
            for action, trigger in (
                ("reset_high_memory_stream", {"scaled": {"scaling_threshold": 0.7, "saturation_threshold": 0.9}}),
                ("shrink_heap", {"threshold": {"value": 0.8}}),
                ("disable_http_keepalive", {"threshold": {"value": 0.9}}),
                ("stop_accepting_requests", {"threshold": {"value": 0.95}}),
            )
        ],
    }
