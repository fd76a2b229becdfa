"""The configuration of Envoy, the reverse proxy of `lading serve` in Cloud Run.

Cloud Run's front speaks HTTP/2 without TLS (h2c) to the container, or HTTP/1.1. Envoy terminates both, so that a reset
or stalled stream affects only that stream, and forwards each request over HTTP/1.1 to the server on loopback.

Envoy is only transport here: names, headers and bodies arrive as they were sent; timeouts, limits per user and logs
belong to the server. Local replies, Envoy's own responses, are errors in the format of the distribution-spec.

    client → Cloud Run's front → (h2c or HTTP/1.1) Envoy, $PORT → (HTTP/1.1) `lading serve`, loopback

terraform/envoy.json is this configuration for a sidecar, Envoy as a container of its own (tests/terraform/envoy_file).

Reference: https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/api
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lading.server.envoy_overload import overload_manager

KIB: Final = 1024
MIB: Final = 1024 * KIB

STREAM_WINDOW: Final = 256 * KIB
"""Bytes of one body that are in flight or in Envoy's memory. Between Google's front and a container, with a round-trip
time of about 1 ms, that allows 256 MB/s a stream; 80 stalled uploads hold 20 MiB."""

MAX_CONCURRENT_STREAMS: Final = 100
"""Concurrent requests on one HTTP/2 connection: no fewer than RFC 9113, section 6.5.2, recommends. A front with more
requests opens another connection."""

CONNECTION_WINDOW: Final = MAX_CONCURRENT_STREAMS * STREAM_WINDOW
"""Bytes of all bodies of one HTTP/2 connection: the sum of all streams' windows, so that unread bodies never take the
window from other streams."""

MAX_EARLY_RESETS: Final = 2**62
"""Early resets of streams on one HTTP/2 connection. Envoy's default is to abort a connection on which half of 500
requests are reset within a second. Here a connection carries the requests of many of the front's clients, so a client
that resets 250 of them would cut off all others. The front has the connection with the client itself, and ends it."""

BUFFER_LIMIT: Final = 256 * KIB
"""Bytes of one connection that Envoy buffers before it stops reading from the other side. With HTTP/2 each stream has
such a buffer, of STREAM_WINDOW, of its own."""

MAX_BUFFERED: Final = 4 * MIB + 64 * KIB
"""Bytes of a body without Content-Length that Envoy buffers until it is complete: more than the largest manifest, so
the server itself refuses one that is a little too large. Longer ones get 413 from Envoy."""

BUFFERED_IDLE_TIMEOUT: Final = "60s"
"""Time for which such a request may stall: the server cannot apply its own timeout before it has the body."""

MAX_UPSTREAM_REQUESTS: Final = 1024
"""Concurrent requests that wait for the server or run there. The server itself queues them by user, so there is no
lower limit here."""

MAX_HEADERS_KIB: Final = 60
"""KiB of a request's headers: enough for a token with hundreds of scopes. Less than the server accepts (64), so Envoy
refuses larger ones: with 431, and over HTTP/2, where its codec cannot send a response, by a reset of the stream."""

MAX_HEADERS: Final = 96
"""Headers of a request, with the pseudo-headers of HTTP/2. Envoy adds a few (x-forwarded-proto), and the server refuses
more than 100 with a response without a body."""

MAX_CONTENT_LENGTH: Final = 10**15
"""Bytes of a body, by Content-Length: a petabyte. The server takes a length of 2^64 - 2 or more for invalid headers,
and refuses it with a response without a body."""

HEADERS_TIMEOUT: Final = "30s"
"""Time for the headers of a request to arrive: the same as the server's own."""

UPSTREAM_IDLE_TIMEOUT: Final = "10s"
"""Time after which an unused connection to the server is closed: sooner than the server closes it (30 s), so that no
request is sent on a connection that is being closed. Such a request would fail, since Envoy does not retry."""

CONNECT_TIMEOUT: Final = "5s"
"""Time for a connection to the server: on loopback it waits only where the server's backlog is full."""

RETRY_AFTER: Final = "5"
"""Value of Retry-After in each 503, in seconds: the same as the server's own."""

LOCAL_REPLIES: Final[Mapping[int, tuple[str, str]]] = {
    400: ("UNSUPPORTED", "the request is not valid HTTP"),
    404: ("UNSUPPORTED", "unknown endpoint: Envoy passes only paths that begin with a slash, and no `OPTIONS *`"),
    408: ("UNSUPPORTED", "the headers of the request did not arrive in time"),
    413: ("SIZE_INVALID", "the body of the request is too large: a manifest has at most 4 MiB"),
    426: ("UNSUPPORTED", "HTTP/1.0 is not served: use HTTP/1.1 or HTTP/2"),
    431: (
        "UNSUPPORTED",
        f"the request has more than {MAX_HEADERS} headers, or they and the URL have more than {MAX_HEADERS_KIB} KiB",
    ),
    503: ("UNAVAILABLE", "the registry is starting, ending or overloaded; the same request may work later"),
}
"""Code and message (distribution-spec, "Error Codes") of local replies, by status."""

OTHER_LOCAL_REPLY: Final = ("UNKNOWN", "the request could not be passed to the registry")

OPTIONS: Final = (
    "--concurrency",
    "1",  # one worker thread: an instance has one CPU, and each further worker a connection pool of its own
    "--disable-hot-restart",  # no shared memory, which Cloud Run counts as the instance's
    "--log-level",
    "error",
    "--log-format",
    '{"severity": "ERROR", "message": "envoy: %j"}',  # as Cloud Logging reads it
)
"""Options of Envoy besides the configuration."""

_TYPES: Final = "type.googleapis.com/envoy.extensions"
_BUFFER: Final = "envoy.filters.http.buffer"


def command_line(program: Path, port: int, upstream_port: int, admin: Path) -> list[str]:
    """Return the command that runs Envoy.

    Args:
        program: the path of Envoy's binary.
        port: the port for clients, on all addresses.
        upstream_port: the server's port on loopback.
        admin: the path of the Unix socket that Envoy creates for its administration interface.
    """
    return [
        str(program),
        "--config-yaml",  # JSON is a subset of YAML; no file is needed
        json.dumps(bootstrap(port, upstream_port, admin)),
        *OPTIONS,
    ]


def bootstrap(port: int, upstream_port: int, admin: Path | None) -> dict[str, Any]:
    """Return Envoy's bootstrap (config.bootstrap.v3.Bootstrap).

    Without `admin` there is no administration interface: a sidecar has no supervisor, which alone uses it.
    """
    # A Unix socket in a private folder, for the supervisor only. Without it Envoy cannot be drained.
    administration = {"admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}}} if admin else {}
    return {
        "node": {"id": "lading", "cluster": "lading"},
        **administration,
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
        "overload_manager": overload_manager(),
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
    """Return the HTTP connection manager (http_connection_manager.v3.HttpConnectionManager)."""
    return {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "codec_type": "AUTO",  # HTTP/2 with prior knowledge, as Cloud Run's front speaks it, or HTTP/1.1
        # The name of a repository, a digest or an upload's token must arrive as it was sent. The server refuses paths
        # that are not in normal form, and if a proxy merged two names, that would bypass the access rights of one.
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        # Send the server's own headers, without additions.
        "server_header_transformation": "PASS_THROUGH",
        "generate_request_id": False,
        # So the server can refuse a client that waits for 100 Continue before it sends the body.
        "proxy_100_continue": True,
        # x-envoy-* headers of a client would control retries, timeouts and more.
        "early_header_mutation_extensions": [_header_removal("x-envoy-")],
        # Envoy is not a hop and leaves X-Forwarded-For alone: LADING_TRUSTED_HOPS counts proxies before the container.
        "use_remote_address": False,
        "skip_xff_append": True,
        # The server and the front have timeouts for bodies; Envoy has none for requests.
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        "request_headers_timeout": HEADERS_TIMEOUT,
        "max_request_headers_kb": MAX_HEADERS_KIB,
        "common_http_protocol_options": {
            # WSGI does not distinguish X_Forwarded_For from X-Forwarded-For.
            "headers_with_underscores_action": "DROP_HEADER",
            "max_headers_count": MAX_HEADERS,
        },
        "http2_protocol_options": _http2_options(),
        # A bad request over HTTP/2 ends its own stream, not the shared connection.
        "stream_error_on_invalid_http_message": True,
        "local_reply_config": _local_replies(),
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": _routes()}]},
        "http_filters": _http_filters(),
    }


def _http2_options() -> dict[str, Any]:
    """Return the options for the clients' HTTP/2 (core.v3.Http2ProtocolOptions)."""
    return {
        "max_concurrent_streams": MAX_CONCURRENT_STREAMS,
        "initial_stream_window_size": STREAM_WINDOW,
        "initial_connection_window_size": CONNECTION_WINDOW,
    }


def _header_removal(prefix: str) -> dict[str, Any]:
    """Return an extension that removes request headers with this prefix (header_mutation.v3.HeaderMutation)."""
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": f"{_TYPES}.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [{"remove_on_match": {"key_matcher": {"prefix": prefix}}}],
        },
    }


def _http_filters() -> list[dict[str, Any]]:
    """Return the filters of requests: the buffer and the router."""
    return [
        {
            "name": _BUFFER,
            "disabled": True,  # except for the route that enables it
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
    ]


def _routes() -> list[dict[str, Any]]:
    """Return the routes (config.route.v3.Route); the first match counts.

    To the server, a body without Content-Length that was truncated looks like a complete one, except for the state of
    its connection. Where no digest is checked, as for a manifest by tag or the form of a token request, Envoy buffers
    the body until it is complete, and sends it with Content-Length. Chunks of uploads are too large for that; the
    server checks them. All other paths are buffered, so that none is missed; the expression excludes the percent sign,
    which could hide another path.

    A client that waits for 100 Continue before it sends such a body receives none, and has to send the body after a
    while in any case (RFC 9110, section 10.1.1).
    """
    server = {"cluster": "server", "timeout": "0s"}
    digits = len(str(MAX_CONTENT_LENGTH))
    too_long = {"name": "content-length", "string_match": {"safe_regex": {"regex": f"0*[1-9][0-9]{{{digits - 1},}}"}}}
    unsized = [
        {"name": ":method", "string_match": {"safe_regex": {"regex": "POST|PUT|PATCH"}}},
        {"name": "content-length", "present_match": False},
    ]
    return [
        {"match": {"prefix": "/", "headers": [too_long]}, "direct_response": {"status": 413}},
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
    """Return the upstream cluster (config.cluster.v3.Cluster).

    There is no retry policy: Envoy does not keep bodies, and cannot know which requests are idempotent.
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
    """Return the local replies (http_connection_manager.v3.LocalReplyConfig)."""
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
