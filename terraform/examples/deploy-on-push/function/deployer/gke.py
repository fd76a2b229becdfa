"""Kubernetes Engine: a container's image in a Deployment.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/#patch-partially-update-the-specified-deployment
https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters
"""

import base64
from dataclasses import dataclass
from typing import Any, Final

import urllib3

from deployer import sequences
from deployer.events import TagMoved
from deployer.google_api import TIMEOUT, ApiError, GoogleApi
from deployer.outcomes import MAX_ATTEMPTS, Outcome, TargetError
from deployer.rules import GkeTarget

STRATEGIC_MERGE: Final = "application/strategic-merge-patch+json"
"""Containers are merged by their names, so that only the image of one changes."""


@dataclass(frozen=True)
class Cluster:
    """Kubernetes API of a cluster: its URL, and connections that trust its certificate."""

    url: str
    http: urllib3.PoolManager


def deploy(api: GoogleApi, target: GkeTarget, event: TagMoved, image: str) -> Outcome:
    """Update a Deployment to an image, unless the event or a later one was deployed before.

    The patch names the resource version that was read, so that a Deployment that has changed since is refused with 409.

    Raises:
        ApiError: an API returned an error.
        TargetError: the Deployment has no such container, or the cluster no endpoint.
    """
    cluster = _cluster(api.call("container", "GET", f"v1/{target.cluster}"), target.cluster)
    url = f"{cluster.url}/apis/apps/v1/namespaces/{target.namespace}/deployments/{target.deployment}"
    for attempt in range(MAX_ATTEMPTS):
        deployment = api.request(cluster.http, "GET", url)
        annotations = deployment["metadata"].get("annotations", {})
        if not sequences.is_new(annotations, event, target.container):
            return Outcome.CURRENT
        _check_container(deployment, target)
        body = {
            "metadata": {
                "resourceVersion": deployment["metadata"]["resourceVersion"],
                "annotations": sequences.changes(annotations, event, target.container),
            },
            "spec": {"template": {"spec": {"containers": [{"name": target.container, "image": image}]}}},
        }
        try:
            api.request(cluster.http, "PATCH", f"{url}?fieldManager=lading-deploy", body, STRATEGIC_MERGE)
        except ApiError as error:
            if not error.is_conflict or attempt == MAX_ATTEMPTS - 1:
                raise
        else:
            return Outcome.DEPLOYED
    raise AssertionError("the last attempt returns or raises")


def _cluster(cluster: dict[str, Any], name: str) -> Cluster:
    """Return how to reach a cluster.

    By its DNS name where that admits clients outside of the cluster's network: it has a public certificate, and works
    without a public IP address. Else by its IP address, whose certificate the cluster's own CA signed.
    """
    dns = cluster.get("controlPlaneEndpointsConfig", {}).get("dnsEndpointConfig", {})
    if dns.get("allowExternalTraffic") and dns.get("endpoint"):
        return Cluster(f"https://{dns['endpoint']}", urllib3.PoolManager(retries=False, timeout=TIMEOUT))
    address, certificate = cluster.get("endpoint"), cluster.get("masterAuth", {}).get("clusterCaCertificate")
    if not address or not certificate:
        raise TargetError(f"{name} has no endpoint yet, or none that is reachable: enable its DNS-based endpoint")
    authority = base64.b64decode(certificate).decode()
    return Cluster(f"https://{address}", urllib3.PoolManager(retries=False, timeout=TIMEOUT, ca_cert_data=authority))


def _check_container(deployment: dict[str, Any], target: GkeTarget) -> None:
    """Raise TargetError if there is no such container: a strategic merge would add it."""
    names = [container["name"] for container in deployment["spec"]["template"]["spec"]["containers"]]
    if target.container not in names:
        raise TargetError(
            f"{target.namespace}/{target.deployment} has the containers {', '.join(names)}, and not {target.container}"
        )
