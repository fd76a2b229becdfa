"""The chart's jobs: they run where the registry's volume is, with its settings, and when systemd's timers would."""

import pytest

from lading.cli import _parser
from tests.support.helm_chart import GOOGLE, URL, Document, only, render
from tests.support.on_premises_files import UNITS

JOBS = ("backup.enabled=true", "scrub.enabled=true")
MAX_NAME = 52
"""Of a CronJob: Kubernetes appends 11 characters, and allows 63."""


def pod_of(job: Document) -> Document:
    return dict(job["spec"]["jobTemplate"]["spec"]["template"]["spec"])


def jobs(*values: str) -> dict[str, Document]:
    return {each["metadata"]["name"]: each for each in render(*values) if each["kind"] == "CronJob"}


def test_the_jobs_of_a_volume_are_those_of_systemd() -> None:
    """The server of a volume collects garbage itself; the Google pair's does not."""
    timers = {path.stem.removeprefix("lading-") for path in UNITS.glob("*.timer")}
    assert {name.removeprefix("registry-lading-") for name in jobs(URL, *JOBS)} == timers == {"backup", "scrub"}
    assert jobs(URL) == {}
    assert jobs(*GOOGLE).keys() == {"registry-lading-collection"}
    assert jobs(*GOOGLE, *JOBS).keys() == {f"registry-lading-{name}" for name in (*timers, "collection")}


def test_the_times_are_those_of_systemd() -> None:
    found = jobs(URL, *JOBS)
    for name, calendar in {"backup": "daily", "scrub": "monthly"}.items():
        assert f"OnCalendar={calendar}\n" in (UNITS / f"lading-{name}.timer").read_text()
        *_, day, month, weekday = found[f"registry-lading-{name}"]["spec"]["schedule"].split()
        assert (day.isdigit(), month, weekday) == (calendar == "monthly", "*", "*")
    chosen = jobs(URL, *JOBS, "backup.schedule=@hourly", "scrub.schedule=@weekly")
    assert {each["spec"]["schedule"] for each in chosen.values()} == {"@hourly", "@weekly"}


@pytest.mark.parametrize("pair", [(URL,), GOOGLE], ids=["local", "google"])
def test_the_jobs_run_commands_with_the_settings_of_the_server(pair: tuple[str, ...]) -> None:
    documents = render(*pair, *JOBS, "extraEnv[0].name=LADING_RATE", "extraEnv[0].value=1")
    server = only(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    found = [each for each in documents if each["kind"] == "CronJob"]
    assert len(found) >= 2
    for job in found:
        (container,) = pod_of(job)["containers"]
        _parser().parse_args(container["args"])
        assert (container["image"], container["env"]) == (server["image"], server["env"])
        assert {mount["name"] for mount in server["volumeMounts"]} <= {
            each["name"] for each in container["volumeMounts"]
        }
        assert job["spec"]["concurrencyPolicy"] == "Forbid"


def test_the_jobs_of_a_volume_run_on_the_node_of_the_registry() -> None:
    """ReadWriteOnce is for one node, and its pods share the file's locks and shared memory only there."""
    documents = render(URL, *JOBS, "affinity.nodeAffinity.x=y")
    deployment = only(documents, "Deployment")["spec"]["template"]
    for job in (each for each in documents if each["kind"] == "CronJob"):
        pod = pod_of(job)
        (term,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        assert term["labelSelector"]["matchLabels"].items() <= deployment["metadata"]["labels"].items()
        assert pod["securityContext"] == deployment["spec"]["securityContext"]
        # No Service, policy or affinity may take a job for the registry.
        labels = job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
        assert not term["labelSelector"]["matchLabels"].items() <= labels.items()


def test_the_jobs_of_google_go_where_the_values_say() -> None:
    for job in jobs(*GOOGLE, *JOBS, "affinity.nodeAffinity.x=y").values():
        assert pod_of(job)["affinity"] == {"nodeAffinity": {"x": "y"}}


def test_a_backup_has_a_claim_of_its_own() -> None:
    documents = render(URL, "backup.enabled=true", "backup.size=9Gi", "backup.storageClass=slow")
    claim = only(documents, "PersistentVolumeClaim", "backup")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"]["storageClassName"] == "slow"
    assert claim["spec"]["resources"]["requests"]["storage"] == "9Gi"
    pod = pod_of(only(documents, "CronJob"))
    assert claim_of(pod, "/backup") == claim["metadata"]["name"]
    assert claim_of(pod, "/data") == only(documents, "Deployment")["metadata"]["name"]
    # A new file system has a folder lost+found, so a volume itself is never empty.
    assert pod["containers"][0]["args"][-1] == "/backup/registry"

    existing = render(URL, "backup.enabled=true", "backup.existingClaim=nfs")
    only(existing, "PersistentVolumeClaim")
    assert claim_of(pod_of(only(existing, "CronJob")), "/backup") == "nfs"


def claim_of(pod: Document, path: str) -> str:
    (mount,) = (each for each in pod["containers"][0]["volumeMounts"] if each["mountPath"] == path)
    (volume,) = (each for each in pod["volumes"] if each["name"] == mount["name"])
    return str(volume["persistentVolumeClaim"]["claimName"])


def test_names_of_jobs_are_short_enough_for_any_release() -> None:
    for each in render(*GOOGLE, *JOBS, "metrics.enabled=true", release="r" * 53):
        assert len(each["metadata"]["name"]) <= (MAX_NAME if each["kind"] == "CronJob" else 63)
