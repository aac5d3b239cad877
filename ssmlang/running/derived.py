"""Definitions that follow from the parameters alone, as rows of a fit's summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from ssmlang.inference.optimise import Optimum
from ssmlang.inference.priors import Priors
from ssmlang.results import containers
from ssmlang.results.labels import variables_of

if TYPE_CHECKING:
    from ssmlang.model.model import Model
    from ssmlang.running.plain import PlainDefinitions

MOST = 50
"""Entries of a definition that a summary has rows for: a matrix of the state space is not what is looked for there."""


def of_draws(posterior: xr.Dataset, names: list[str]) -> pd.DataFrame:
    """The summary of definitions; entries that do not move with the parameters are left out."""
    wanted = [n for n in names if n in posterior and posterior[n][0, 0].size <= MOST]
    still = {n: np.ptp(posterior[n].values, axis=(0, 1)) == 0 for n in wanted}
    wanted = [n for n in wanted if not still[n].all()]
    if not wanted:
        return pd.DataFrame()
    table = containers.summary(posterior[wanted])
    return table[~np.concatenate([still[n].ravel() for n in wanted])]


def of_point(model: Model, priors: Priors, plain: PlainDefinitions, optimum: Optimum) -> pd.DataFrame:
    """Definitions at the optimum, with standard errors by the delta method: NaN where an entry they follow has none."""
    known = variables_of(model)
    found, slopes = plain.with_slopes(priors, optimum.unconstrained)
    rows = {}
    for name, value in found.items():
        if value.size > MOST:
            continue
        J = slopes[name].reshape(value.size, -1)
        unknown = (np.abs(J[:, np.isnan(np.diag(optimum.covariance))]) > 0).any(1)
        variance = np.einsum("ij,jk,ik->i", J, np.nan_to_num(optimum.covariance), J)
        errors = np.where(unknown, np.nan, np.sqrt(np.maximum(variance, 0.0)))
        moving = np.abs(J).max(1, initial=0.0) > 0
        for entry, v, s, m in zip(known[name].entry_names(), value.ravel(), errors, moving, strict=True):
            if m:
                rows[entry] = (v, s)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "se"])
