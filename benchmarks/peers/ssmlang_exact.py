"""ssmlang as its users call it: models written as text, `model.log_likelihood` under jit and value_and_grad."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from serving import Job, Problem, Task, serve

import ssmlang

MODELS = Path(__file__).resolve().parent.parent / "models"
PANEL = Path(__file__).resolve().parents[2] / "stdlib" / "models" / "panel.ssm"
NAMES = ("F", "H", "Q", "R")
WARM_UP = 4.0
"""Seconds: a verb is compiled hastily first, and well after half a second of running."""
EXACT = ("kalman", "square_root", "parallel", "dual", "batch")


def dense(problem: Problem, name: str = "dense") -> Any:
    n, m = problem["F"].shape[-1], problem["H"].shape[-2]
    return ssmlang.compile(MODELS / f"{name}.ssm", constants={"n": n, "m": m})


def params(problem: Problem, names: tuple[str, ...] = NAMES) -> dict[str, jax.Array]:
    return {name: jnp.asarray(problem[name]) for name in names}


def timed(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: jax.block_until_ready(function(*arguments))


def value(found: Any) -> dict[str, np.ndarray]:
    return {"value": np.asarray(found)}


def value_and_gradient(found: Any) -> dict[str, np.ndarray]:
    return value(found[0]) | {f"d{name}": np.asarray(slope) for name, slope in found[1].items()}


def likelihood(model: Any, data: Any, at: dict[str, jax.Array]) -> Job:
    return Job(timed(jax.jit(lambda p: model.log_likelihood(data, p)), at), value)


def gradient_of(model: Any, data: Any, at: dict[str, jax.Array]) -> Job:
    function = jax.jit(jax.value_and_grad(lambda p: model.log_likelihood(data, p)))
    return Job(timed(function, at), value_and_gradient)


def loglik(problem: Problem) -> Job:
    return likelihood(dense(problem), {"y": problem["y"]}, params(problem))


def gradient(problem: Problem) -> Job:
    return gradient_of(dense(problem), {"y": problem["y"]}, params(problem))


def varying(problem: Problem) -> Job:
    data = {name: problem[name] for name in ("y", "F", "H")}
    return likelihood(dense(problem, "varying"), data, params(problem, ("Q", "R")))


def smoother(problem: Problem) -> Job:
    model, data, at = dense(problem), {"y": problem["y"]}, params(problem)
    pack = lambda found: {"mean": found["mean"].values, "cov": found["cov"].values}
    return Job(lambda: model.smooth(data, at), pack, "model.smooth, a labelled Dataset", WARM_UP)


def smoother_arrays(problem: Problem) -> Job:
    """The compiled function that `model.smooth` runs, without checks and labels."""
    model = dense(problem)
    execution, (bound,) = model.execution(), model.bind({"y": problem["y"]})
    function, steps = execution.compiled("smooth", execution.setting([bound])), bound.steps
    pack = lambda found: {"mean": np.asarray(found.mean)[:steps], "cov": np.asarray(found.cov)[:steps]}
    return Job(timed(function, params(problem), execution.single(bound)), pack, "the arrays alone", WARM_UP)


def own(problem: Problem) -> tuple[Any, Any, dict[str, jax.Array]]:
    model = ssmlang.compile(MODELS / "panel.ssm",
                            constants={"n": problem["F"].shape[-1], "sites": len(problem["y"])})  # fmt: skip
    at = {
        "F": jnp.asarray(problem["F"]),
        "H": jnp.asarray(problem["H"][:, 0]),
        "Q": jnp.asarray(problem["Q"]),
        "sd": jnp.sqrt(jnp.asarray(problem["R"][:, 0, 0])),
    }
    return model, {"y": problem["y"][..., 0].T}, at


def panel_own(problem: Problem) -> Job:
    return likelihood(*own(problem))


def panel_own_gradient(problem: Problem) -> Job:
    job = gradient_of(*own(problem))

    def pack(found: Any) -> dict[str, np.ndarray]:
        made = value_and_gradient(found)
        made["dH"] = made["dH"][:, None, :]
        made["dR"] = made.pop("dsd")[:, None, None] / (2 * np.sqrt(problem["R"]))
        return made

    return Job(job.run, pack)


def panel_shared(problem: Problem) -> Job:
    data = [{"y": one} for one in problem["y"]]
    return likelihood(dense(problem), data, params(problem))


def singular(problem: Problem) -> Job:
    model = ssmlang.compile(MODELS / "trend.ssm")
    at = dict(zip(("log_q", "log_r"), jnp.asarray(problem["theta"]), strict=True))
    data = {"y": problem["y"][:, 0]}

    def run() -> list[tuple[str, float, list[float]]]:
        found = []
        for engine in EXACT:
            try:
                function = jax.value_and_grad(lambda p, e=engine: model.log_likelihood(data, p, engine=e))
                number, slope = jax.jit(function)(at)
            except ssmlang.SsmError:
                continue  # not an engine for this model: `model.why()` says so
            name = f"{engine}, by default" if engine == model.why().chosen else engine
            found.append((name, float(number), [float(slope[name]) for name in at]))
        return found

    def pack(found: Any) -> dict[str, np.ndarray]:
        ways, numbers, slopes = zip(*found, strict=True)
        return {"ways": np.array(ways), "value": np.array(numbers), "gradient": np.array(slopes)}

    return Job(run, pack)


def nuts(problem: Problem) -> Job:
    """`model.fit`; each run is another seed."""
    model = ssmlang.compile(MODELS / "nile.ssm")
    seeds = count(1)

    def run() -> dict[str, np.ndarray]:
        fit = model.fit({"flow": problem["flow"]}, draws=1000, warmup=1000, chains=4, seed=next(seeds))
        return {name: fit.posterior[name].values for name in ("sd_level", "sd_flow")}

    return Job(run, lambda draws: draws, "model.fit")


def large_panel(gradient: bool) -> Task:
    """The library's panel with as many sites as the data have."""

    def task(problem: Problem) -> Job:
        sites = problem["y"].shape[1]
        model = ssmlang.compile(PANEL, constants={"sites": sites})
        at = {"mu": jnp.zeros(()), "tau": jnp.ones(()), "sd": jnp.asarray(problem["sd"]), "sd_obs": jnp.ones(())}
        job = (gradient_of if gradient else likelihood)(model, {"y": problem["y"]}, at)
        return Job(job.run, lambda found: value(found[0] if gradient else found))

    return task


TASKS = {
    "loglik": loglik,
    "missing": loglik,
    "varying": varying,
    "gradient": gradient,
    "smoother": smoother,
    "smoother_arrays": smoother_arrays,
    "panel_own": panel_own,
    "panel_own_gradient": panel_own_gradient,
    "panel_shared": panel_shared,
    "singular": singular,
    "nuts": nuts,
    "large_panel": large_panel(gradient=False),
    "large_panel_gradient": large_panel(gradient=True),
}

if __name__ == "__main__":
    serve(TASKS, ["ssmlang", "jax", "numpyro"])
