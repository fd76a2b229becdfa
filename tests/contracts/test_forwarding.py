"""Forwarding stores have every method of the protocols, and hooks see each call, its result and its fault."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import pytest

from lading_storage.errors import Unavailable
from lading_storage.forwarding import ForwardingBlobs, ForwardingMetadata, Hook, forward_only
from lading_storage.protocols import BlobStore, MetadataStore

PAIRS: list[tuple[Any, Any]] = [(BlobStore, ForwardingBlobs), (MetadataStore, ForwardingMetadata)]
METHODS = [
    pytest.param(protocol, forwarding, name, id=f"{protocol.__name__}.{name}")
    for protocol, forwarding in PAIRS
    for name in vars(protocol)
    if not name.startswith("_")
]


def arguments_of(method: Callable[..., Any]) -> tuple[list[object], dict[str, object]]:
    """Return a unique value for each parameter of a method, as it is passed: by position or by name."""
    parameters = [*inspect.signature(method).parameters.values()][1:]
    words = [f"the {each.name}" for each in parameters if each.kind is not each.KEYWORD_ONLY]
    more = {each.name: f"the {each.name}" for each in parameters if each.kind is each.KEYWORD_ONLY}
    return [*words], {**more}


def forwarded(protocol: Any, forwarding: Any, name: str, store: Any, hook: Hook = forward_only) -> Any:
    words, more = arguments_of(getattr(protocol, name))
    return getattr(forwarding(store, hook), name)(*words, **more)


@pytest.mark.parametrize(("protocol", "forwarding"), PAIRS)
def test_a_forwarding_store_has_the_methods_of_the_protocol(protocol: Any, forwarding: Any) -> None:
    def public(owner: Any) -> dict[str, inspect.Signature]:
        return {name: inspect.signature(value) for name, value in vars(owner).items() if not name.startswith("_")}

    assert public(forwarding) == public(protocol)


@pytest.mark.parametrize(("protocol", "forwarding", "name"), METHODS)
def test_a_call_reaches_the_other_store(protocol: Any, forwarding: Any, name: str) -> None:
    store = mock.create_autospec(protocol, instance=True)
    words, more = arguments_of(getattr(protocol, name))

    result = forwarded(protocol, forwarding, name, store)

    # With autospec, an argument by name equals the same one by position.
    getattr(store, name).assert_called_once_with(*words, **more)
    if inspect.signature(getattr(protocol, name)).return_annotation is not None:
        assert result is getattr(store, name).return_value


@pytest.mark.parametrize(("protocol", "forwarding", "name"), METHODS)
def test_a_hook_sees_each_call(protocol: Any, forwarding: Any, name: str) -> None:
    store, seen = mock.create_autospec(protocol, instance=True), []
    fault = Unavailable("down")
    getattr(store, name).side_effect = fault

    def hook(method: str, arguments: Mapping[str, Any], forward: Callable[[], Any], /) -> Any:
        try:
            return forward()
        except Unavailable as error:
            seen.append((method, arguments, error))
            raise

    with pytest.raises(Unavailable, match="down"):
        forwarded(protocol, forwarding, name, store, hook)

    parameters = [*inspect.signature(getattr(protocol, name)).parameters][1:]
    assert seen == [(name, {each: f"the {each}" for each in parameters}, fault)]


@pytest.mark.parametrize(("protocol", "forwarding", "name"), METHODS)
def test_a_hook_need_not_forward(protocol: Any, forwarding: Any, name: str) -> None:
    store = mock.create_autospec(protocol, instance=True)

    def refuse(method: str, arguments: Mapping[str, Any], forward: Callable[[], Any], /) -> Any:
        raise Unavailable("by the hook")

    with pytest.raises(Unavailable, match="by the hook"):
        forwarded(protocol, forwarding, name, store, refuse)
    assert store.mock_calls == []
