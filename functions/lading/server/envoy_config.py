"""The configuration of Envoy, which stands before `lading serve` in Cloud Run.

Cloud Run's front speaks HTTP/2 without TLS (h2c) to the container, or HTTP/1.1. Envoy terminates both, so that a reset
or stalled stream concerns that stream alone, and forwards each request over HTTP/1.1 to the server on loopback.

Envoy is transport and nothing else here: names, headers and bodies arrive as they were sent; the server alone decides
about timeouts, limits per user, and logs. What Envoy has to answer by itself is an error as the specification has them.

    client → Cloud Run's front → (h2c or HTTP/1.1) Envoy, $PORT → (HTTP/1.1) `lading serve`, loopback

Reference: https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/api
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

STREAM_WINDOW: Final = 256 * KIB
"""Bytes of one body that are in flight or in Envoy's memory. On the line between Google's front and a container, with a
round trip of about 1 ms, that allows 256 MB/s a stream; 80 stalled uploads hold 20 MiB."""

MAX_CONCURRENT_STREAMS: Final = 100
"""Requests at a time on one HTTP/2 connection: no fewer than RFC 9113, section 6.5.2, advises. A front with more
requests opens another connection."""

CONNECTION_WINDOW: Final = MAX_CONCURRENT_STREAMS * STREAM_WINDOW
"""Bytes of all bodies of one HTTP/2 connection: room for every stream's window, so that bodies that nobody reads never
take the window from their neighbours."""

MAX_EARLY_RESETS: Final = 2**62
"""Requests of one HTTP/2 connection that may be taken back soon. Envoy's default is to abort a connection on which half
of 500 requests are reset within a second. Here a connection carries the requests of many of the front's clients, so
whoever interrupts 250 of them would cut off all others. It is the front that has a connection with the client itself,
and that ends it there."""

BUFFER_LIMIT: Final = 256 * KIB
"""Bytes of one connection that Envoy holds before it stops reading from the other side. With HTTP/2 each stream has
such a buffer of STREAM_WINDOW of its own."""

MAX_BUFFERED: Final = 4 * MIB + 64 * KIB
"""Bytes of a body without Content-Length that Envoy holds until it is whole: more than the largest manifest has, so the
server itself refuses one that is a little too large. Longer ones get 413 from Envoy."""

BUFFERED_IDLE_TIMEOUT: Final = "60s"
"""Time for which such a request may stand still, since the server cannot tell before it has the body."""

MAX_HEAP: Final = 160 * MIB
"""Bytes of Envoy's heap, of the 512 MiB that an instance has by default. Envoy rests at 20 MiB of heap, and 80 stalled
uploads beside 80 unread downloads take less than half of this."""

TRACKED_STREAM: Final = 20
"""Streams that hold 2 to this power bytes, or more, may be reset where the heap is nearly full: only buffered bodies
hold so many, since windows are smaller."""

MAX_CONNECTIONS: Final = 1024
"""Connections from clients at a time: an instance takes 1000 requests at a time at most, each on a connection of its
own where the front speaks HTTP/1.1."""

MAX_UPSTREAM_REQUESTS: Final = 1024
"""Requests at a time that wait for or are with the server, which queues them by user itself: no lower limit here."""

MAX_HEADERS_KIB: Final = 60
"""KiB of a request's headers, for which a token with hundreds of scopes has room. Less than the server takes (64), so
Envoy is what refuses more: with 431, and over HTTP/2, where its codec cannot send one, by a reset of the stream."""

HEADERS_TIMEOUT: Final = "30s"
"""Time for the headers of a request to arrive: as with the server's own."""

UPSTREAM_IDLE_TIMEOUT: Final = "10s"
"""Time after which an unused connection to the server is closed: sooner than the server would close it (30 s), so that
no request is sent on a connection that is just being closed. Such a request would fail: nothing is sent again."""

CONNECT_TIMEOUT: Final = "5s"
"""Time for a connection to the server: on loopback only its full backlog makes it wait."""

RETRY_AFTER: Final = "5"
"""Seconds, in each 503: the same as the server's own."""

LOCAL_REPLIES: Final[Mapping[int, tuple[str, str]]] = {
    400: ("UNSUPPORTED", "the request is not valid HTTP"),
    408: ("UNSUPPORTED", "the headers of the request did not arrive in time"),
    413: ("SIZE_INVALID", "the body of the request is too large: a manifest has at most 4 MiB"),
    426: ("UNSUPPORTED", "HTTP/1.0 is not served: use HTTP/1.1 or HTTP/2"),
    431: ("UNSUPPORTED", f"the headers of the request have more than {MAX_HEADERS_KIB} KiB"),
    503: ("UNAVAILABLE", "the registry is starting, ending or overloaded; the same request may work later"),
}
"""Code and message (distribution-spec, "Error Codes") of what Envoy answers by itself, by status."""

OTHER_LOCAL_REPLY: Final = ("UNKNOWN", "the request could not be passed to the registry")

_TYPES: Final = "type.googleapis.com/envoy.extensions"
_BUFFER: Final = "envoy.filters.http.buffer"
_HEAP: Final = "envoy.resource_monitors.fixed_heap"


def command_line(program: Path, port: int, upstream_port: int, admin: Path) -> list[str]:
    """Return the command that runs Envoy.

    Args:
        program: Envoy's binary.
        port: where clients connect, on all addresses.
        upstream_port: where the server listens on loopback.
        admin: the path of a Unix socket that Envoy makes for its administration.
    """
    return [
        str(program),
        "--config-yaml",  # of which JSON is a part; no file is needed
        json.dumps(bootstrap(port, upstream_port, admin)),
        "--concurrency",
        "1",  # one worker thread: an instance has one CPU, and each further worker its own pool of connections
        "--disable-hot-restart",  # no shared memory, which Cloud Run counts as the instance's
        "--log-level",
        "error",
        "--log-format",
        '{"severity": "ERROR", "message": "envoy: %j"}',  # as Cloud Logging reads it
    ]


def bootstrap(port: int, upstream_port: int, admin: Path) -> dict[str, Any]:
    """Return Envoy's bootstrap (config.bootstrap.v3.Bootstrap)."""
    return {
        "node": {"id": "lading", "cluster": "lading"},
        # Only the supervisor reaches it: a Unix socket in a folder of its own. Without it Envoy cannot be drained.
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "static_resources": {
            "listeners": [
                {
                    "name": "clients",
                    "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},  # noqa: S104
                    "per_connection_buffer_limit_bytes": BUFFER_LIMIT,
                    "filter_chains": [
                        {
                            "filters": [
                                {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "typed_config": _connection_manager(),
                                }
                            ]
                        }
                    ],
                }
            ],
            "clusters": [_server(upstream_port)],
        },
        "overload_manager": _overload_manager(),
        "layered_runtime": {
            "layers": [
                {
                    "name": "static",
                    "static_layer": {"overload.premature_reset_total_stream_count": MAX_EARLY_RESETS},
                }
            ]
        },
    }


def _connection_manager() -> dict[str, Any]:
    """Return how clients' requests are read (http_connection_manager.v3.HttpConnectionManager)."""
    return {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "codec_type": "AUTO",  # HTTP/2 with prior knowledge, as Cloud Run's front speaks it, or HTTP/1.1
        # A repository's name, a digest or an upload's token must arrive as it was sent: the server refuses what is not
        # in normal form, and two names that a proxy makes one would get around the rights of one of them.
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        # The server's own headers, without additions.
        "server_header_transformation": "PASS_THROUGH",
        "generate_request_id": False,
        # A client that waits for 100 Continue is refused by the server before it has sent a body.
        "proxy_100_continue": True,
        # A client's x-envoy-* headers would ask for retries, timeouts and more.
        "early_header_mutation_extensions": [
            {
                "name": "envoy.http.early_header_mutation.header_mutation",
                "typed_config": {
                    "@type": f"{_TYPES}.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                    "mutations": [{"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}}],
                },
            }
        ],
        # Envoy is no hop, adds nothing to X-Forwarded-For: LADING_TRUSTED_HOPS counts the proxies before the container.
        "use_remote_address": False,
        "skip_xff_append": True,
        # The server and the front have timeouts for bodies; Envoy ends no request by time.
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        "request_headers_timeout": HEADERS_TIMEOUT,
        "max_request_headers_kb": MAX_HEADERS_KIB,
        "common_http_protocol_options": {
            # WSGI cannot tell X_Forwarded_For from X-Forwarded-For.
            "headers_with_underscores_action": "DROP_HEADER",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": MAX_CONCURRENT_STREAMS,
            "initial_stream_window_size": STREAM_WINDOW,
            "initial_connection_window_size": CONNECTION_WINDOW,
        },
        # A bad request over HTTP/2 ends its own stream, not the connection that others share.
        "stream_error_on_invalid_http_message": True,
        "local_reply_config": _local_replies(),
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": _routes(),
                }
            ]
        },
        "http_filters": [
            {
                "name": _BUFFER,
                "disabled": True,  # but for the route that turns it on
                "typed_config": {
                    "@type": f"{_TYPES}.filters.http.buffer.v3.Buffer",
                    "max_request_bytes": MAX_BUFFERED,
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_TYPES}.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            },
        ],
    }


def _routes() -> list[dict[str, Any]]:
    """Return the routes (config.route.v3.Route), the first that matches counts.

    A body without Content-Length that a client cuts off ends for the server like a whole one, in all but the state of
    its connection. Where no digest is checked, as for a manifest by tag or the form of a token, Envoy holds the body
    until its end has come, and sends it with Content-Length. Parts of uploads are too large for that; the server checks
    them. All paths but theirs are buffered, so none is forgotten; no percent sign, which could hide another path.

    A client that waits for 100 Continue before it sends such a body waits in vain, and has to send it in the end, as
    all do (RFC 9110, section 10.1.1).
    """
    server = {"cluster": "server", "timeout": "0s"}
    unsized = [
        {"name": ":method", "string_match": {"safe_regex": {"regex": "POST|PUT|PATCH"}}},
        {"name": "content-length", "present_match": False},
    ]
    return [
        {"match": {"safe_regex": {"regex": "/v2/.+/blobs/uploads/?[^/%]*"}}, "route": server},
        {
            "match": {"prefix": "/", "headers": unsized},
            "route": {**server, "idle_timeout": BUFFERED_IDLE_TIMEOUT},
            "typed_per_filter_config": {
                _BUFFER: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}
            },
        },
        {"match": {"prefix": "/"}, "route": server},
    ]


def _server(port: int) -> dict[str, Any]:
    """Return where requests go (config.cluster.v3.Cluster).

    There is no retry policy, and so no retry: Envoy holds no bodies, and cannot tell which requests may be sent twice.
    """
    limits = {
        "max_connections": MAX_UPSTREAM_REQUESTS,
        "max_pending_requests": MAX_UPSTREAM_REQUESTS,
        "max_requests": MAX_UPSTREAM_REQUESTS,
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "name": "server",
        "type": "STATIC",
        "connect_timeout": CONNECT_TIMEOUT,
        "per_connection_buffer_limit_bytes": BUFFER_LIMIT,
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": "server",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": UPSTREAM_IDLE_TIMEOUT},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _local_replies() -> dict[str, Any]:
    """Return what Envoy answers by itself (http_connection_manager.v3.LocalReplyConfig)."""
    return {
        "mappers": [_local_reply(status, *reply) for status, reply in LOCAL_REPLIES.items()],
        "body_format": _error(*OTHER_LOCAL_REPLY),
    }


def _local_reply(status: int, code: str, message: str) -> dict[str, Any]:
    comparison = {"op": "EQ", "value": {"default_value": status, "runtime_key": "unused"}}
    mapper: dict[str, Any] = {
        "filter": {"status_code_filter": {"comparison": comparison}},
        "body_format_override": _error(code, message),
    }
    if status == 503:
        header = {"key": "Retry-After", "value": RETRY_AFTER}
        mapper["headers_to_add"] = [{"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
    return mapper


def _error(code: str, message: str) -> dict[str, Any]:
    body = json.dumps({"errors": [{"code": code, "message": message}]})
    return {"text_format_source": {"inline_string": body}, "content_type": "application/json"}


def _overload_manager() -> dict[str, Any]:
    """Return the limits of memory and connections (config.overload.v3.OverloadManager).

    The streams that hold most are reset first, four times a second; then the heap is given back; then new requests get
    503. So held bodies, which anybody may send without an end, take the memory of others for a moment at most.
    """
    return {
        "refresh_interval": "0.25s",
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": TRACKED_STREAM},
        "resource_monitors": [
            {
                "name": _HEAP,
                "typed_config": {
                    "@type": f"{_TYPES}.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": MAX_HEAP,
                },
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": f"{_TYPES}.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
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
