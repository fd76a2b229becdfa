"""YAML as plain values: strict, so that a file means what it looks like."""

from typing import Any

import yaml


class _StrictLoader(yaml.SafeLoader):
    """Loader that refuses what readers overlook: keys that are there twice, anchors, and merges."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse anchors, by which a small file becomes a large value."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError(f"anchors and aliases are not allowed{_place(event.start_mark)}")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is no text, or there twice."""
        keys = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str) or name == "<<":
                raise ValueError(f"a key is text{_place(key.start_mark)}")
            if name in keys:
                raise ValueError(f"{name[:60]!r} is there twice{_place(key.start_mark)}")
            keys.add(name)
        return super().construct_mapping(node, deep)


def load(text: str) -> Any:
    """Return the values of a document. Raises ValueError."""
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _place(mark: Any) -> str:
    return f", line {mark.line + 1}"
