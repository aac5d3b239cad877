"""Walking over syntax trees, whatever their nodes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, TypeVar

from ssmlang.language import syntax as s

N = TypeVar("N", bound=s.Node)


_SLOTS: dict[type[s.Node], tuple[str, ...]] = {}
_NOT_NODES = ("span", "doc", "module_span", "comments", "broken", "parts")


def _slots(kind: type[s.Node]) -> tuple[str, ...]:
    if kind not in _SLOTS:
        _SLOTS[kind] = tuple(f.name for f in fields(kind) if f.name not in _NOT_NODES)
    return _SLOTS[kind]


def children(node: s.Node) -> Iterator[s.Node]:
    """The nodes directly below, in the order of the fields."""
    for slot in _slots(type(node)):
        value = getattr(node, slot)
        if isinstance(value, s.Node):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, s.Node))


def walk(node: s.Node) -> Iterator[s.Node]:
    """The node and all below it, without recursion, parents before children.

    A node that stands in several places (arguments put in for parameters do) is met once.
    """
    stack, seen = [node], {id(node)}
    while stack:
        top = stack.pop()
        yield top
        below = [child for child in children(top) if id(child) not in seen]
        seen.update(map(id, below))
        stack.extend(reversed(below))


def names(node: s.Node) -> set[str]:
    """Every name that occurs in it, of whatever kind."""
    return {found.id for found in walk(node) if isinstance(found, s.Name)}


def rebuild(node: N, change: Callable[[Any], Any]) -> N:
    """The node with `change` applied to each child; the very node where nothing changed."""
    changed: dict[str, Any] = {}
    for slot in _slots(type(node)):
        value = getattr(node, slot)
        if isinstance(value, s.Node):
            new: Any = change(value)
            if new is not value:
                changed[slot] = new
        elif isinstance(value, tuple) and value:
            new = tuple(change(item) if isinstance(item, s.Node) else item for item in value)
            if any(a is not b for a, b in zip(new, value, strict=True)):
                changed[slot] = new
    return replace(node, **changed) if changed else node


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Room for walking recursively over trees as deep as the parser lets them be."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 10_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
