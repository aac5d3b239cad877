"""ssmlang: stochastic volatility with an engine's likelihood, NUTS over the parameters."""

import sys

from volatility_runs import MODEL, NAMES, returns, tell

import ssmlang


def main() -> None:
    engine, draws = sys.argv[1], int(sys.argv[2])
    model, data = ssmlang.compile(MODEL), {"r": returns()}

    def fit(seed):
        found = model.fit(data, engine=engine, draws=draws, warmup=draws, chains=4, seed=seed)
        return {name: found.posterior[name].values for name in NAMES}

    tell(fit)


if __name__ == "__main__":
    main()
