"""pymc-extras: the Nile as its structural local level, sampled by nutpie, the faster of its samplers."""

import csv
import json
import sys

import numpy as np
import pandas as pd
import pymc as pm
from pymc_extras.statespace import structural as st

if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        flow = np.array([float(row["flow"]) for row in csv.DictReader(file)])
    frame = pd.DataFrame({"flow": flow}, index=pd.date_range("1871", periods=len(flow), freq="YE"))
    parts = st.LevelTrend(order=1, innovations_order=1, name="level") + st.MeasurementError(name="flow")
    space = parts.build(name="nile", verbose=False)
    with pm.Model(coords=space.coords):
        for name in space.param_names:
            dims = space.param_dims.get(name)
            if name == "P0":
                pm.Data(name, np.eye(1) * 500.0**2, dims=dims)
            elif "initial" in name:
                pm.Data(name, np.array([1000.0]), dims=dims)
            else:
                pm.HalfNormal(name, 200.0, dims=dims)
        space.build_statespace_graph(frame)
        fit = pm.sample(
            draws=1000,
            tune=1000,
            chains=4,
            cores=2,
            random_seed=1,
            nuts_sampler="nutpie",
            progressbar=False,
            compute_convergence_checks=False,
        )
    means = {name: float(fit.posterior[name].mean()) for name in fit.posterior.data_vars if name.startswith("sigma")}
    level = next(name for name in means if "level" in name)
    print(json.dumps({"sd_level": means[level], "sd_flow": next(v for k, v in means.items() if k != level)}))
