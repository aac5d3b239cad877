"""Learned parameters of large models that the laws of the observations take up to a common shift, as logits are.

Where a state has too many entries for a rank, such shifts are still looked for: the same numbers added to each slice
along the first index of a parameter's array. They are tried in double precision at draws from the prior and random
inputs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ssmlang.analysis.chain import arguments_of
from ssmlang.analysis.context import Context
from ssmlang.analysis.values import Unreadable, evaluate_all
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Parameter, nodes_of

POINTS, ROWS = 3, 3
CLOSE = 1e-9


def shifted_alike(context: Context) -> dict[str, int]:
    """By learned parameter how many directions of it change no law of an observation: one for each entry of a slice."""
    model = context.model
    if any(e.law is None for e in model.equations if e.role == "emission"):
        return {}
    laws = [n for e in model.equations if e.role == "emission" and e.law is not None for n in arguments_of(e.law)]
    moving = {n for e in model.equations if e.role == "transition" for _, n, _ in expr.references(nodes_of(e))}
    found = {}
    for p in model.parameters.values():
        several = p.augment and p.shape and p.shape[0] > 1 and p.support.kind == "real"
        if several and p.name not in moving and _alike(context, p, laws):
            found[p.name] = p.size // p.shape[0]
    return found


def _alike(context: Context, p: Parameter, laws: list[Node]) -> bool:
    random = np.random.default_rng(7)
    for draw in context.draws(POINTS, 5):
        shift = random.normal(size=p.shape[1:])
        one = np.asarray(draw[p.name], float)
        for row in range(ROWS):
            read = _read(context, random)
            try:
                first, second, third = (
                    evaluate_all(laws, {**draw, p.name: value}, row, read)
                    for value in (one, one + shift, one + random.normal(size=p.shape))
                )
            except (Unreadable, KeyError):
                return False
            same = lambda a, b: all(np.allclose(x, y, rtol=CLOSE, atol=CLOSE * 1e-3) for x, y in zip(a, b))
            if not same(first, second) or same(first, third):
                return False
    return True


def _read(context: Context, random: np.random.Generator) -> Callable[[str, str, int], np.ndarray]:
    """Random numbers for every series, the same for the same one."""
    model, known = context.model, {}

    def value_of(sort: str, name: str, lag: int) -> np.ndarray:
        if (sort, name, lag) not in known:
            groups = {"input": model.inputs, "obs": model.observations, "state": model.states}
            if sort not in groups:
                raise Unreadable(name)
            variable = groups[sort][name]
            if getattr(variable, "values", None) is not None:
                raise Unreadable(name)
            known[sort, name, lag] = random.normal(size=variable.shape)
        return known[sort, name, lag]

    return value_of
