"""Independent programs of one structure, side by side: the members of a group of blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from jaxtyping import Array

from ssmlang.engines.program import Initial, LinearGaussian, Structure


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["own", "shared"],
    meta_fields=["structure", "count", "observed"],
)
@dataclass(frozen=True)
class Members:
    """`count` programs of one structure.

    The arrays of `LinearGaussian` and `Initial` by name: those in `own` have a leading axis of members, those in
    `shared` are the same for all of them. `exists` may be in neither, and is True then.
    """

    own: Mapping[str, Array]
    shared: Mapping[str, Array]
    structure: Structure
    count: int
    observed: bool = True
    """False where the observations are stand-ins that are never seen, for members that have none"""

    def program(self, own: Mapping[str, Array], shared: Mapping[str, Array] | None = None) -> LinearGaussian:
        """The program of one member: its part of `own`, without the leading axis, and what is shared."""
        arrays = {**(self.shared if shared is None else shared), **own}
        law = {name: arrays[name] for name in ("mean", "factor", "cov", "diffuse")}
        numbers: dict[str, Any] = {name: arrays[name] for name in ("F", "c", "G", "H", "d", "J")}
        initial = Initial(**law, exists=arrays.get("exists", True))
        return LinearGaussian(**numbers, initial=initial, structure=self.structure)
