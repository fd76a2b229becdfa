"""Upload sessions of callers that may or may not have any."""

from collections.abc import Mapping

from tests.support.app_client import Client


def session_of(caller: Client, other: Client, repository: str, headers: Mapping[str, str]) -> str:
    """Return the id of an upload session of the caller's own, where it can have one; else of another one's."""
    begun = caller.request("POST", f"/v2/{repository}/blobs/uploads/", headers=headers)
    return begun.headers.get("Docker-Upload-UUID") or other.start_upload(repository).rpartition("/")[2]
