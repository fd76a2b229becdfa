"""No runtime runs what is not gated, whichever fields of other kinds it has; nightly only (LADING_NIGHTLY=1).

Each combination of fields is stored as each media type, below an index that calls it an image, as containerd then does.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from lading.registry.content.manifest_format import IMAGES, MEDIA_TYPES
from lading.registry.policies.gated_types import EMPTY_TYPE, is_gated
from tests.clients.program_images import CONFIG, LAYER, NIGHTLY, RUNTIMES, Images, Program
from tests.support.images import descriptor
from tests.support.runtimes import Runtime

pytestmark = pytest.mark.skipif(not NIGHTLY, reason="nightly only: LADING_NIGHTLY=1")

ABSENT: Final = "absent"


def combinations(program: Program) -> Iterator[dict[str, Any]]:
    """Yield fields of manifests that name the config and the layer of the program, or the empty object."""
    layer, config = descriptor(program.layer, LAYER), descriptor(program.config, CONFIG)
    values = {
        "manifests": (ABSENT, None, [], [config], [layer]),
        "config": (
            ABSENT,
            None,
            config,
            descriptor(program.config, EMPTY_TYPE),
            descriptor(b"{}", EMPTY_TYPE),
            descriptor(b"{}", CONFIG),
        ),
        "layers": (ABSENT, None, [], [layer]),
        "blobs": (ABSENT, [layer]),
        "artifactType": (ABSENT, CONFIG),
        "Config": (ABSENT, config),
    }
    for chosen in itertools.product(*values.values()):
        yield {name: value for name, value in zip(values, chosen, strict=True) if value != ABSENT}


def not_gated(program: Program) -> Iterator[tuple[str, bytes]]:
    """Yield each media type with each combination of which it is not gated."""
    for media_type in sorted(MEDIA_TYPES):
        for fields in combinations(program):
            # The same bytes cannot be stored as two types.
            content = json.dumps({"schemaVersion": 2, "annotations": {"stored": media_type}, **fields}).encode()
            if not is_gated(media_type, content):
                yield media_type, content


@pytest.mark.parametrize("name", RUNTIMES)
def test_no_runtime_runs_a_combination_that_is_not_gated(
    name: str, start: Callable[[str], Runtime], program: Program, pushed: Images
) -> None:
    """The node has the layer and the config of the program."""
    runtime = start(name)
    assert runtime(pushed.push(program.manifest(CONFIG))) == ""

    tried = [(each, called) for each in not_gated(program) for called in sorted(IMAGES)]

    assert [(each, called) for each, called in tried if not runtime(pushed.push_below(each[1], each[0], called))] == []
    assert len(tried) > 100
