"""Google's front before a container whose port is named `h2c`: an Envoy of its own, with its defaults.

As Cloud Run's, it speaks HTTP/1.1 with clients (there over TLS) and HTTP/2 without TLS with the container, with many
requests on a connection, and appends the client's address to X-Forwarded-For.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from emulators.cloud import Cloud
from emulators.processes import ProcessGroup, free_port
from tests.cloud.containers import server_of
from tests.support.envoy_proxy import envoy_binary
from tests.support.server_process import Server

EXTENSIONS: Final = "type.googleapis.com/envoy.extensions"


def configuration(port: int, container: int) -> dict[str, Any]:
    """Return Envoy's bootstrap: HTTP/1.1 on `port`, HTTP/2 to the container."""
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {
                "filters": [
                    {"name": "envoy.filters.network.http_connection_manager", "typed_config": _connection_manager()}
                ]
            }
        ],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": container}}
    protocol = {
        "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    cluster = {
        "name": "container",
        "load_assignment": {
            "cluster_name": "container",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _connection_manager() -> dict[str, Any]:
    """Return the filter that passes all requests on to the container."""
    return {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "use_remote_address": True,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "container", "timeout": "3600s"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"},
            }
        ],
    }


@contextlib.contextmanager
def google_front_end(cloud: Cloud) -> Iterator[Server]:
    """A container of the registry that clients reach through the front; its port is the front's, its log its own."""
    port = free_port()
    with cloud.run_another(LADING_URL=f"http://127.0.0.1:{port}") as container, ProcessGroup() as family:
        bootstrap = json.dumps(configuration(port, container.port))
        options = ["--config-yaml", bootstrap, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        family.start([str(envoy_binary()), *options])
        yield replace(server_of(container, cloud), port=port)
