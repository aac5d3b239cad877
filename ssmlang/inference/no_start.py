"""What to say where a state is to start in its stationary law, and the parameters allow none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.stationary_start import GaussianStart
from ssmlang.model.model import InitialEquation, Model

SHOWN = 6
"""Parameters of no more numbers than this are written out."""


def no_start(model: Model, params: Mapping[str, Any]) -> Diagnostic | None:
    """E452, with the states that have no stationary law at these parameters; None where all have one.

    Discrete states are left out: their chains have a law whatever the probabilities are.
    """
    asked = [i for i in model.initials if i.special == "stationary"
             and all(t.name in model.states and model.states[t.name].values is None for t in i.targets)]  # fmt: skip
    if not asked:
        return None
    with jax.enable_x64(True):
        values = {n: np.asarray(v, float) for n, v in params.items()}
        together = _root(model, asked, values)
        if together is None or together < 1:
            return None
        # A statement of its own is to blame alone, where its states do not read those of the others.
        alone = [(i, root) for i in asked if (root := _root(model, [i], values)) is not None and root >= 1]
    guilty, root = ([i for i, _ in alone], max(r for _, r in alone)) if alone else (asked, together)
    names = ", ".join(dict.fromkeys(t.name for i in guilty for t in i.targets))
    at = "; ".join(f"{n} = {np.array2string(v, precision=6, separator=', ')}" for n, v in values.items()
                   if v.size <= SHOWN and n in model.parameters)  # fmt: skip
    return Diagnostic(
        "E452", f"{names} has no stationary law at these parameters", guilty[0].span, "is to start in it",
        why=(f"its transition has an eigenvalue of modulus {root:.6g}, where less than 1 is needed",
             *((f"at {at}",) if at else ())),
        help=("give parameters that allow one; an interval in their declaration, such as `in (-1, 1)`, or "
              "`in stationary`, keeps them there", f"or start it by a law of its own: `init {names} ~ Normal(0, 10)`"),
    )  # fmt: skip


def _root(model: Model, asked: Sequence[InitialEquation], params: Mapping[str, Any]) -> float | None:
    """The largest modulus of the eigenvalues that move some states; None where they are no system of their own."""
    names = list(dict.fromkeys(t.name for i in asked for t in i.targets))
    before = max(-t.row for i in asked for t in i.targets)
    try:
        return GaussianStart(model, names, before).root(params)
    except SsmError:
        return None
