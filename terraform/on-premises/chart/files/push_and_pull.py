"""Push an image of random bytes to a registry, pull it, compare, and delete its tag: PROGRAM URL REPOSITORY.

The user and the password are in TEST_USER and TEST_PASSWORD. Everything is in Python's standard library.
"""

import base64
import hashlib
import json
import os
import ssl
import sys
import urllib.request

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TAG = "helm-test"

url, repository = sys.argv[1:]
credentials = base64.b64encode(f"{os.environ['TEST_USER']}:{os.environ['TEST_PASSWORD']}".encode()).decode()
# Inside the cluster the service has another name than the certificate; the Pod's network is what is tested.
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE


def call(method: str, path: str, body: bytes | None = None, content_type: str = "application/octet-stream") -> bytes:
    """Return the body of a response; an error raises HTTPError."""
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": content_type, "Accept": MANIFEST}
    request = urllib.request.Request(f"{url}/v2/{repository}{path}", body, headers, method=method)
    with urllib.request.urlopen(request, timeout=60, context=context) as response:
        return response.read()


def push_blob(content: bytes, media_type: str) -> dict[str, object]:
    """Push a blob, and return its descriptor."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    call("POST", f"/blobs/uploads/?digest={digest}", content)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


layer = os.urandom(2 << 20)
config = push_blob(b"{}", "application/vnd.oci.image.config.v1+json")
pushed = push_blob(layer, "application/vnd.oci.image.layer.v1.tar")
manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [pushed]}).encode()
call("PUT", f"/manifests/{TAG}", manifest, MANIFEST)
if call("GET", f"/manifests/{TAG}") != manifest or call("GET", f"/blobs/{pushed['digest']}") != layer:
    sys.exit("what was pulled is not what was pushed")
try:
    call("DELETE", f"/manifests/{TAG}")
except urllib.error.HTTPError as error:
    print(f"the tag {repository}:{TAG} stays: {error}")
print(f"pushed to {repository} and pulled from it")
