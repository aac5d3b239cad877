"""A few things made lately, so that asking for the same again does not make them again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from ssmlang.data import Bound
from ssmlang.data.recent import LARGEST

T = TypeVar("T")


_NOTHING = object()


class Kept:
    """The `size` things used last, by keys that say all of what they were made from."""

    def __init__(self, size: int = 8) -> None:
        self.size = size
        self._things: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of this key, made if it is not there."""
        # No lock: two threads that make the same thing at the same moment are no harm.
        found = self._things.pop(key, _NOTHING)
        made: T = make() if found is _NOTHING else found
        self._things[key] = made
        if len(self._things) > self.size:
            self._things.popitem(last=False)
        return made


def keepable(bounds: Sequence[Bound]) -> bool:
    """Whether what is made of these data may be kept: only of few numbers, for it stays in memory."""
    return sum(v.size for b in bounds for v in (*b.observations.values(), *b.inputs.values())) <= LARGEST
