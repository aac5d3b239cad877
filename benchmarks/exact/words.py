"""Words and numbers of the page."""

from __future__ import annotations

from typing import Any

TITLES = {
    "loglik": "log-likelihood",
    "varying": "log-likelihood, matrices that change",
    "missing": "log-likelihood, a tenth of the entries missing",
    "gradient": "value and gradient in F, H, Q and R",
    "smoother": "smoother, means and covariances",
    "panel_own": "panel, own matrices, log-likelihood",
    "panel_own_gradient": "panel, own matrices, value and gradient",
    "panel_shared": "panel, shared matrices, log-likelihood",
}


def title(record: dict[str, Any]) -> str:
    """What a row does, in words."""
    series = f"{record['series']:,} series of " if record["series"] > 1 else ""
    slow = ", gain never converged" if record.get("system") == "slow" else ""
    return f"{TITLES[record['kind']]}, ({record['n']}, {record['m']}), {series}T = {record['steps']:,}{slow}"


def milliseconds(value: float | None) -> str:
    """Three digits that matter."""
    return "" if value is None else f"{value * 1e3:,.0f}" if value >= 1 else f"{value * 1e3:.3g}"


def seconds(value: float) -> str:
    return f"{value:.2f}"


def method(results: dict[str, Any]) -> list[str]:
    """How it was measured, and the versions."""
    lines = [f"- {name.replace('_', ' ')}: " + ", ".join(f"{k} {v}" for k, v in found.items()) + "."
             for name, found in results["versions"].items()]  # fmt: skip
    return [
        "## How",
        "",
        "Each contestant is a process in an environment of its own, kept alive; they take turns by bursts of calls of "
        "some 30 ms, so that a slow moment of the machine falls on all alike. Times are of warm calls that return when "
        "the numbers are there. All have the same data and matrices, the first state N(0, I), and are checked against "
        "the textbook recursions in NumPy: the value, the gradient along a direction by a complex step, every smoothed "
        "mean and covariance. `difference` is relative; above 1e-6 a contestant is said to disagree and is not "
        "compared. simdkalman leaves a constant out, which is added.",
        "",
        "Wherever there is JAX, programs run in the thread that calls them: "
        '`jax.config.update("jax_cpu_enable_async_dispatch", False)` before anything is computed. By default JAX hands '
        "all but the smallest to another thread, which takes 10 to 40 us a call on a CPU, most where a core has gone "
        "idle meanwhile. ssmlang leaves this setting, as all others, to its users.",
        "",
        "ssmlang is called as its users call it: `benchmarks/models/*.ssm`, `jax.jit(lambda p: "
        "model.log_likelihood(data, p))` and `jax.value_and_grad` of it; its smoother is the verb `model.smooth`, "
        "which returns a labelled Dataset (`ssmlang arrays`: the compiled function alone), after the seconds of calls "
        "that it takes to be compiled well. Of each peer the fastest "
        "form is taken: statsmodels with its default frozen gain, by its standard or its univariate filter; the "
        "sequential filters of dynamax and cuthbert; the function below dynestyx's public way, whose tracing grows "
        "with the series; pymc-extras compiled to JAX. statsmodels' gradient is its own complex-step score.",
        "",
        "A floor is the time of code written by hand for exactly this shape, without inputs, missing data or changing "
        "matrices, measured once, in another run, on a machine of the same kind: read it within a factor of two.",
        "",
        "Versions:",
        "",
        *lines,
    ]
