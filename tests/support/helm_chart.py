"""The chart of terraform/on-premises/, rendered by helm."""

import subprocess
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.requirements import find_program, skip_or_fail

CHART: Final = Path(__file__).parents[2] / "terraform" / "on-premises" / "chart"
KUBERNETES: Final = "1.33"

URL: Final = "url=https://registry.example.com"
GOOGLE: Final = (
    URL,
    "stores.kind=google",
    "stores.google.bucket=lading-blobs",
    "stores.google.project=team-registry",
    "keys.existingSecret=keys",
    "access.mode=project://team-registry",
)

Document = dict[str, Any]


def helm(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm to its end."""
    program = find_program("helm", "go install helm.sh/helm/v3/cmd/helm@latest")
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)


def options(values: tuple[str, ...]) -> list[str]:
    """Return helm's options for some values."""
    return [word for value in values for word in ("--set", value)]


def render(*values: str, chart: Path = CHART, release: str = "registry") -> list[Document]:
    """Return the documents that helm makes of the chart with some values, without its tests' hooks' order."""
    done = helm("template", release, chart, "--kube-version", f"{KUBERNETES}.0", *options(values))
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.load_all(done.stdout, UniqueKeys) if document]


class UniqueKeys(yaml.SafeLoader):
    """Loader that refuses a key which a mapping has twice, as the API server does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See SafeLoader."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: {keys}"
        return super().construct_mapping(node, deep)


def validate(document: Document) -> None:
    """Check a document with its own schema, strictly: Kubernetes', or its definition's. Raises AssertionError."""
    custom = custom_resources().get(document["kind"])
    library: Any = import_module("jsonschema" if custom else "kubernetes_validate")  # neither has types
    try:
        if custom:
            library.Draft202012Validator(custom[document["apiVersion"]]).validate(document)
        else:
            library.validate(document, KUBERNETES, strict=True)
    except library.ValidationError as error:
        raise AssertionError(f"{document['kind']}: {error.message} at {'/'.join(map(str, error.path))}") from None


@cache
def custom_resources() -> dict[str, dict[str, Document]]:
    """Return the schemas of the chart's custom resources, by kind and API version."""
    find_program("go", "apt install golang")
    script = CHART.parents[2] / "tests" / "on_premises" / "resource-schemas"
    done = subprocess.run([script], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        skip_or_fail(f"no definitions of custom resources: {done.stderr[-1000:]}")
    found = {}
    for path in Path(done.stdout.strip()).iterdir():
        spec = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]
        found[spec["names"]["kind"]] = {
            f"{spec['group']}/{version['name']}": _strict(version["schema"]["openAPIV3Schema"])
            for version in spec["versions"]
        }
    return found


def _strict(schema: Document) -> Document:
    """Return a structural schema that refuses fields it does not know, which the API server would drop."""
    # One pattern begins with a flag of Go's regular expressions, `^(?i)`, which Python's have nowhere but at the start.
    schema = {key: value for key, value in schema.items() if key != "pattern" or "(?i)" not in value}
    new: Document = {**schema}
    for key in {"items", "additionalProperties"} & schema.keys():
        new[key] = _strict(schema[key])
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        fields = {name: _strict(each) for name, each in schema["properties"].items()}
        # The definition leaves these to the API server.
        if "metadata" in fields:
            fields["metadata"] = {"type": "object"}
        new |= {"properties": fields, "additionalProperties": False}
    return new


def only(documents: list[Document], kind: str, name: str = "") -> Document:
    """Return the one document of a kind whose name ends with `name`."""
    (found,) = (each for each in documents if each["kind"] == kind and each["metadata"]["name"].endswith(name))
    return found
