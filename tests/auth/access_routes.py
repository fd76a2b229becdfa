"""The routes of the access matrix: a request each, and the right that it needs."""

from collections.abc import Mapping
from typing import Final

ROUTE_OF: Final[Mapping[str, tuple[str, str, str]]] = {
    # name: method, path, the right that it needs
    "read a manifest": ("GET", "{name}/manifests/v1", "pull"),
    "look at a manifest": ("HEAD", "{name}/manifests/v1", "pull"),
    "read a manifest by digest": ("GET", "{name}/manifests/{manifest}", "pull"),
    "read a blob": ("GET", "{name}/blobs/{layer}", "pull"),
    "look at a blob": ("HEAD", "{name}/blobs/{layer}", "pull"),
    "list tags": ("GET", "{name}/tags/list", "pull"),
    "list referrers": ("GET", "{name}/referrers/{manifest}", "pull"),
    "read the history": ("GET", "_lading/{name}/history", "pull"),
    "list tags with their sizes": ("GET", "_lading/{name}/tags", "pull"),
    "read the details of a manifest": ("GET", "_lading/{name}/manifest?reference=v1", "pull"),
    "find a digest": ("GET", "_lading/{name}/digest?prefix={manifest}", "pull"),
    "read the rules": ("GET", "_lading/{name}/rules", "push"),
    "list what is stored": ("GET", "_lading/{name}/usage?of=blobs", "pull"),
    "list what clean-up depends on": ("GET", "_lading/{name}/cleanup?of=deleted", "delete"),
    "read a scan": ("GET", "_lading/{name}/scan?tag=v1", "pull"),
    "scan an image again": ("POST", "_lading/{name}/scan?tag=v1", "push"),
    "ask what policies decide": ("GET", "_lading/{name}/policy?reference=v1", "pull"),
    "try policies": ("POST", "_lading/{name}/policy?reference=v1", "push"),
    "open an exception": ("POST", "_lading/{name}/exceptions", "pull"),
    "close an exception": ("DELETE", "_lading/{name}/exceptions?reference=v1", "pull"),
    "begin an upload": ("POST", "{name}/blobs/uploads/", "push"),
    "push a blob at once": ("POST", "{name}/blobs/uploads/?digest={layer}", "push"),
    "look at an upload": ("GET", "{name}/blobs/uploads/{session}", "push"),
    "go on with an upload": ("PATCH", "{name}/blobs/uploads/{session}", "push"),
    "finish an upload": ("PUT", "{name}/blobs/uploads/{session}?digest={layer}", "push"),
    "cancel an upload": ("DELETE", "{name}/blobs/uploads/{session}", "push"),
    "push a manifest": ("PUT", "{name}/manifests/v2", "push"),
    "push a manifest by digest": ("PUT", "{name}/manifests/{manifest}", "push"),
    "set a tag": ("POST", "_lading/{name}/tag", "push"),
    "roll back a tag": ("POST", "_lading/{name}/rollback", "push"),
    "restore a tag": ("POST", "_lading/{name}/undelete", "delete"),
    "list what was deleted": ("GET", "_lading/{name}/deleted", "delete"),
    "delete a repository": ("DELETE", "_lading/{name}/repository", "delete"),
    "delete a blob": ("DELETE", "{name}/blobs/{layer}", "delete"),
    "delete a manifest": ("DELETE", "{name}/manifests/{manifest}", "delete"),
    "delete a tag": ("DELETE", "{name}/manifests/v1", "delete"),
}

CHANGES: Final = {  # the bodies of changes of tags
    "set a tag": '{"reference": "v1", "tag": "v2"}',
    "roll back a tag": '{"tag": "v1", "digest": "MANIFEST"}',
    "restore a tag": '{"tag": "v1"}',
    "try policies": '[{"name": "a", "repositories": ["*"], "scan": {"required": true}}]',
    "open an exception": '{"reference": "v1", "reason": "incident", "until": "2026-11-30T00:00:00Z"}',
}

NAMED_BY_A_POLICY: Final = frozenset({"open an exception", "close an exception"})
"""What also needs a policy that names the caller, of which there is none: the reason of the refusal says so."""
