"""particles (Chopin & Papaspiliopoulos): its bootstrap filter of its own model of stochastic volatility."""

import numpy as np
import particles
import particles.state_space_models as models
from serving import serve
from volatility import MU, PHI, SD, sampling


def bootstrap(r, count):
    y, model = [np.array([value]) for value in r], models.StochVol(mu=MU, rho=PHI, sigma=SD)

    def estimate(seed):
        np.random.seed(seed)
        made = particles.SMC(models.Bootstrap(ssm=model, data=y), N=count, resampling="systematic", ESSrmin=0.5)
        made.run()
        return made.logLt

    return estimate


if __name__ == "__main__":
    serve({"bootstrap": sampling(bootstrap)}, ["particles", "numpy", "numba"])
