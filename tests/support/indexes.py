"""An index of two images for two platforms, with a configuration that has all that is shown."""

import json

from lading.registry.registry import Registry
from tests.support import images
from tests.support.registry_pushes import push_blob, push_manifest

CONFIG = json.dumps(
    {
        "os": "linux",
        "architecture": "arm64",
        "variant": "v8",
        "created": "2026-11-01T12:00:00Z",
        "config": {
            "User": "app",
            "WorkingDir": "/srv",
            "Entrypoint": ["/bin/app"],
            "Cmd": ["--port", 80, "8080"],
            "Env": ["A=b"],
            "ExposedPorts": {"8080/tcp": {}},
            "Labels": {"note": "red\x1b[31m", "number": 1},
        },
    }
).encode()


def push_index(registry: Registry, repository: str, *tags: str) -> tuple[str, list[bytes], list[bytes]]:
    """Push an index of two images that share a layer; return its digest, the images, and their layers."""
    shared, own = images.blob(1000), images.blob(500)
    for content in (CONFIG, shared, own):
        push_blob(registry, repository, content)
    children = [images.manifest(layers, CONFIG) for layers in ([shared], [shared, own])]
    for child in children:
        push_manifest(registry, repository, child)
    content = json.loads(images.index(children))
    for entry, architecture in zip(content["manifests"], ("amd64", "arm64"), strict=True):
        entry["platform"] = {"os": "linux", "architecture": architecture}
    content["manifests"][1]["platform"]["variant"] = "v8"
    return push_manifest(registry, repository, json.dumps(content).encode(), *tags).digest, children, [shared, own]
