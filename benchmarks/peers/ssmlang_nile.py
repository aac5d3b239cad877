"""ssmlang: the Nile, from the model's text to posterior means."""

import json
import sys

import ssmlang

MODEL = """
model nile
param sd_level ~ HalfNormal(200)
param sd_flow  ~ HalfNormal(200)
state level
obs   flow
init level ~ Normal(1000, 500)
level[t]   ~ Normal(level[t-1], sd_level)
flow[t]    ~ Normal(level[t], sd_flow)
"""

fit = ssmlang.compile(MODEL).fit(sys.argv[1], draws=1000, warmup=1000, chains=4, seed=1)
print(json.dumps({name: float(fit.posterior[name].mean()) for name in ("sd_level", "sd_flow")}))
