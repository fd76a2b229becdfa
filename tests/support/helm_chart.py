"""The chart of terraform/on-premises/, rendered by helm."""

import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.requirements import find_program

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
    """Check a document with Kubernetes' own schema, strictly. Raises AssertionError."""
    library: Any = import_module("kubernetes_validate")  # it has no types
    try:
        library.validate(document, KUBERNETES, strict=True)
    except library.ValidationError as error:
        raise AssertionError(f"{document['kind']}: {error.message} at {'/'.join(map(str, error.path))}") from None


def only(documents: list[Document], kind: str, name: str = "") -> Document:
    """Return the one document of a kind."""
    (found,) = (each for each in documents if each["kind"] == kind and name in each["metadata"]["name"])
    return found
