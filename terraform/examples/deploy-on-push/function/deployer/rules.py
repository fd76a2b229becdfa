"""Rules: which tags are deployed, and where to. They are a file in JSON, from which Terraform grants the permissions.

    {
      "hosts": {"*": "europe-west1-docker.pkg.dev/PROJECT/lading"},
      "rules": [
        {"repository": "team-a/app", "tag": "prod", "cloud_run": {"service": "projects/…/services/app"}}
      ]
    }

`hosts` says where the targets pull what a host of the registry has: Cloud Run pulls only from Google's own registries,
so through a remote repository. Where it is given, events of other hosts deploy nothing. In globs, `*` stands for any
text, as in Lading's own settings.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from typing import Any, Final

from deployer.events import TagMoved

ANY_HOST: Final = "*"

PLACE: Final = r"projects/[a-z][a-z0-9:.-]*/locations/[a-z0-9-]+"
NAME: Final = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
DNS_NAME: Final = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
HOST: Final = r"[A-Za-z0-9._-]+(:[0-9]+)?"
GLOB: Final = r"[A-Za-z0-9._/*-]+"
GOOGLE_REGISTRY: Final = r"([a-z0-9-]+-docker\.pkg\.dev|([a-z]+\.)?gcr\.io)/.+"
"""What Cloud Run pulls from (https://cloud.google.com/run/docs/deploying#images)."""


class RulesError(Exception):
    """The rules are not valid. The message has a line for each fault."""


def _text(pattern: str, form: str, default: Any = MISSING) -> Any:
    """Declare a field of a rule: the pattern of its text, and the form that a message shows."""
    return field(default=default, metadata={"pattern": pattern, "form": form})


@dataclass(frozen=True)
class CloudRunTarget:
    """Service of Cloud Run; `container` names one of several."""

    service: str = _text(rf"{PLACE}/services/{NAME}", "projects/PROJECT/locations/REGION/services/NAME")
    container: str = _text(DNS_NAME, "the name of a container", "")


@dataclass(frozen=True)
class GkeTarget:
    """Container of a Deployment in a cluster of Kubernetes Engine."""

    cluster: str = _text(rf"{PLACE}/clusters/{NAME}", "projects/PROJECT/locations/LOCATION/clusters/NAME")
    deployment: str = _text(DNS_NAME, "the name of a Deployment")
    container: str = _text(DNS_NAME, "the name of a container")
    namespace: str = _text(DNS_NAME, "the name of a namespace", "default")


@dataclass(frozen=True)
class CloudDeployTarget:
    """Delivery pipeline of Cloud Deploy.

    Attributes:
        pipeline: name of the pipeline.
        image: name of the image in the manifests, which the release replaces.
        skaffold: archive with skaffold.yaml and the manifests.
        rollout: id of the target to roll out to; "" for none, where an automation or a person promotes releases.
    """

    pipeline: str = _text(rf"{PLACE}/deliveryPipelines/{NAME}", "projects/…/locations/…/deliveryPipelines/NAME")
    image: str = _text(r"[A-Za-z0-9._/:-]+", "the name of an image in the manifests")
    skaffold: str = _text(r"gs://[a-z0-9._-]+/.+\.tar\.gz", "gs://BUCKET/NAME.tar.gz")
    rollout: str = _text(r"[a-z]([a-z0-9-]{0,58}[a-z0-9])?", "the id of a target", "")


Target = CloudRunTarget | GkeTarget | CloudDeployTarget

KINDS: Final[Mapping[str, type[Target]]] = {
    "cloud_run": CloudRunTarget,
    "gke": GkeTarget,
    "cloud_deploy": CloudDeployTarget,
}


@dataclass(frozen=True)
class Rule:
    """One rule: tags that match both globs are deployed to the target."""

    repository: str
    tag: str
    target: Target

    def matches(self, event: TagMoved) -> bool:
        """Return whether an event's tag is one that the rule deploys."""
        return _matches(self.repository, event.repository) and _matches(self.tag, event.tag)


@dataclass(frozen=True)
class Rules:
    """All rules.

    Attributes:
        hosts: by the registry's host, or ANY_HOST: the prefix of image names that targets pull. If it is empty, targets
            pull from the registry itself, whichever it is.
        rules: in the order of the file.
    """

    hosts: Mapping[str, str]
    rules: tuple[Rule, ...]

    def targets_of(self, event: TagMoved) -> tuple[Target, ...]:
        """Return the targets that an event is deployed to, each once."""
        if not self.knows(event.host):
            return ()
        return tuple(dict.fromkeys(rule.target for rule in self.rules if rule.matches(event)))

    def knows(self, host: str) -> bool:
        """Return whether events of a registry's host deploy anything."""
        return not self.hosts or ANY_HOST in self.hosts or host in self.hosts

    def image_of(self, event: TagMoved) -> str:
        """Return the name by which targets pull the event's digest."""
        host = self.hosts.get(event.host, self.hosts.get(ANY_HOST, event.host))
        return f"{host}/{event.repository}@{event.digest}"


def parse(text: str) -> Rules:
    """Return the rules of a file. Raises RulesError."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise RulesError(f"the rules are not JSON: {error}") from None
    if faults := list(_faults(document)):
        raise RulesError("\n".join(faults))
    rules = tuple(_rule(each) for each in document["rules"])
    if faults := list(_collisions(rules)):
        raise RulesError("\n".join(faults))
    return Rules({host: prefix.rstrip("/") for host, prefix in document.get("hosts", {}).items()}, rules)


def _rule(entry: Mapping[str, Any]) -> Rule:
    kind = next(kind for kind in KINDS if kind in entry)
    return Rule(entry["repository"], entry["tag"], KINDS[kind](**entry[kind]))


def _matches(glob: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, glob.split("*"))), text) is not None


def _collisions(rules: Sequence[Rule]) -> Iterator[str]:
    """Yield the pairs of rules by which one event had two releases of a pipeline: a release has the event's name."""
    for (number, rule), (other, later) in itertools.combinations(enumerate(rules, 1), 2):
        one, two = rule.target, later.target
        if not isinstance(one, CloudDeployTarget) or not isinstance(two, CloudDeployTarget):
            continue
        if one.pipeline != two.pipeline or (one.image, one.skaffold) == (two.image, two.skaffold):
            continue
        if _meet(rule.repository, later.repository) and _meet(rule.tag, later.tag):
            yield (
                f"rules {number} and {other} match the same tags: an event makes one release of a pipeline, so give "
                'both the same "image" and "skaffold"'
            )


@cache
def _meet(one: str, two: str) -> bool:
    """Return whether a text matches both globs."""
    if not one or not two:
        return not (one + two).strip("*")
    if one[0] == "*":
        return _meet(one[1:], two) or _meet(one, two[1:])
    if two[0] == "*":
        return _meet(two, one)
    return one[0] == two[0] and _meet(one[1:], two[1:])


def _faults(document: Any) -> Iterator[str]:
    """Yield what is wrong with a document, each with its place."""
    if not isinstance(document, dict) or not isinstance(document.get("rules"), list):
        yield 'the file must be an object with a list "rules"'
        return
    yield from _unknown(document, {"hosts", "rules"}, "the file")
    hosts = document.get("hosts", {})
    if not isinstance(hosts, dict):
        yield '"hosts" must be an object of hosts and prefixes'
        hosts = {}
    for host, prefix in hosts.items():
        if not re.fullmatch(rf"\*|{HOST}", host) or not _is_text(prefix, rf"{HOST}(/[A-Za-z0-9._/-]+)?"):
            yield f'hosts: "{host}" must be a host or *, and its value HOST/PATH, without https://'
    for number, entry in enumerate(document["rules"], 1):
        yield from _rule_faults(entry, f"rule {number}", hosts)


def _rule_faults(entry: Any, place: str, hosts: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield f"{place} must be an object"
        return
    yield from _unknown(entry, {"repository", "tag", *KINDS}, place)
    for name in ("repository", "tag"):
        if not _is_text(entry.get(name), GLOB):
            yield f'{place}: "{name}" must be a glob, such as team-a/* or v*'
    kinds = [kind for kind in KINDS if kind in entry]
    if len(kinds) != 1:
        yield f"{place} must have one of {', '.join(KINDS)}"
        return
    yield from _target_faults(entry[kinds[0]], f"{place}, {kinds[0]}", KINDS[kinds[0]])
    if kinds[0] == "cloud_run" and not any(_is_text(prefix, GOOGLE_REGISTRY) for prefix in hosts.values()):
        yield f'{place}: Cloud Run pulls only from Google\'s registries: map the host to a remote repository in "hosts"'


def _target_faults(entry: Any, place: str, kind: type[Target]) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield f"{place} must be an object"
        return
    declared: dict[str, Field[Any]] = {each.name: each for each in fields(kind)}
    yield from _unknown(entry, set(declared), place)
    for name, each in declared.items():
        if name not in entry and each.default is MISSING:
            yield f'{place}: "{name}" is missing: {each.metadata["form"]}'
        elif name in entry and not _is_text(entry[name], each.metadata["pattern"]):
            yield f'{place}: "{name}" must be {each.metadata["form"]}, and not {entry[name]!r}'


def _unknown(entry: Mapping[str, Any], known: set[str], place: str) -> Iterator[str]:
    for name in sorted(set(entry) - known):
        yield f'{place}: "{name}" is not known; known are {", ".join(sorted(known))}'


def _is_text(value: Any, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None
