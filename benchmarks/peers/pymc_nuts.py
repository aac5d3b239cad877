"""NUTS on the Nile by pymc-extras' structural local level and nutpie, the faster of its samplers."""

from __future__ import annotations

from itertools import count

import numpy as np
import pandas as pd
import pymc as pm
from pymc_extras.statespace import structural as st
from serving import Job, Problem


def sampler(problem: Problem) -> Job:
    """Each run is another seed of the same model."""
    flow = problem["flow"]
    frame = pd.DataFrame({"flow": flow}, index=pd.date_range("1871", periods=len(flow), freq="YE"))
    parts = st.LevelTrend(order=1, innovations_order=1, name="level") + st.MeasurementError(name="flow")
    space = parts.build(name="nile", verbose=False)
    with pm.Model(coords=space.coords) as model:
        for name in space.param_names:
            dims = space.param_dims.get(name)
            if name == "P0":
                pm.Data(name, np.eye(1) * 500.0**2, dims=dims)
            elif "initial" in name:
                pm.Data(name, np.array([1000.0]), dims=dims)
            else:
                pm.HalfNormal(name, 200.0, dims=dims)
        space.build_statespace_graph(frame)
    seeds = count(1)

    def run() -> dict[str, np.ndarray]:
        with model:
            fit = pm.sample(draws=1000, tune=1000, chains=4, cores=2, random_seed=next(seeds), nuts_sampler="nutpie",
                            progressbar=False, compute_convergence_checks=False)  # fmt: skip
        found = {n: np.asarray(v).reshape(4, 1000) for n, v in fit.posterior.data_vars.items() if n.startswith("sigma")}
        level = next(name for name in found if "level" in name)
        return {"sd_level": found[level], "sd_flow": next(v for k, v in found.items() if k != level)}

    return Job(run, lambda draws: draws, "nutpie")
