"""Observability where the coefficients are plain numbers: one rank, of a matrix of residues."""

from __future__ import annotations

import numpy as np

from ssmlang.analysis.constants import ConstantSystem
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.observability_numbers import NOTHING, weakest
from ssmlang.analysis.residues import unseen

P = 2**25 - 39
"""A prime for which sums of products of residues fit 63 bits."""
MOST = 120
"""Stacked states up to which it is looked at here."""


def all_observable(system: ConstantSystem) -> Finding | None:
    """That everything is observable, where it is; None where something is lost, or nothing is settled here.

    Full rank modulo a prime is full rank.
    """
    F, H = system.companion()
    denominators = [v.denominator for m in (F, H) for v in m.reshape(-1)]
    if not system.states or len(F) > MOST or any(d % P == 0 for d in denominators):
        return None
    if len(unseen(_residues(F), _residues(H), P)) or weakest(F.astype(float), H.astype(float)) < NOTHING:
        return None
    every = "every state" if len(system.states) > 1 else system.states[0]
    reason = f"{every} can be known from the observations of later rows, whatever the parameters are"
    return Finding("observable", "proved", reason)


def _residues(m: np.ndarray) -> np.ndarray:
    found = [v.numerator * pow(v.denominator, -1, P) % P for v in m.reshape(-1)]
    return np.array(found, np.int64).reshape(m.shape)
