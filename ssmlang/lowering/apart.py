"""Whether the entries of a model's states move each by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from ssmlang.model import expr
from ssmlang.model.affine import Affine, Interpreter
from ssmlang.model.model import Equation, nodes_of

if TYPE_CHECKING:
    from ssmlang.lowering.nonlinear import NonlinearLowering

MOVING = ("state", "noise", "augment", "increment")


def apart(lowering: NonlinearLowering) -> bool:
    """Whether entry i of a row is affine in entry i of the row before and in a noise of its own, and reads nothing else
    that moves; and entry i of row 0 has a Gaussian law of its own."""
    if lowering.memory.deep or lowering.noises or lowering.told or lowering.latent or lowering.start is not None:
        return False
    if lowering.model.differentials or lowering.memory.whole:
        return False
    for i in lowering.initials:
        if (i.law is not None and i.law.name != "Normal") or any(r[0] in MOVING for r in expr.references(nodes_of(i))):
            return False
    return all(map(_alone, lowering.moved)) and _walks_apart(lowering)


def _alone(e: Equation) -> bool:
    if len(e.targets) != 1 or (e.law is not None and e.law.name != "Normal"):
        return False
    target = e.targets[0]
    centre = e.value if e.law is None else e.law.args.get("loc")
    rest = [] if e.law is None else [a for k, a in e.law.args.items() if k != "loc"]
    if any(r[0] in MOVING for r in expr.references(rest)):
        return False
    if centre is None:
        return True
    form = Interpreter(lambda sort, name, lag: sort in MOVING)(centre)
    if not isinstance(form, Affine) or set(form.terms) - {("state", target.name, 1)}:
        return False
    entries = np.asarray(target.entries)
    return all(
        term.shape[0] == len(entries) and bool((entries[term.rows] == term.cols).all()) for term in form.terms.values()
    )


def _walks_apart(lowering: NonlinearLowering) -> bool:
    params = {n: jnp.full(p.shape, 0.5) for n, p in lowering.model.parameters.items()}
    return all(jax.eval_shape(lambda w=w: w.first(params)[1]).ndim == 1 for w in lowering.walks.values())
