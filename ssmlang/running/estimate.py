"""Runs a method on a model and data, and keeps what it compiled beside the engine that it was compiled for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ssmlang.data import Bound
from ssmlang.inference.nuts import Nuts
from ssmlang.inference.optimise import Optimiser, Optimum
from ssmlang.inference.progress import Progress
from ssmlang.language.diagnostics import Diagnostic, SsmError

if TYPE_CHECKING:
    from ssmlang.compiled import Model
    from ssmlang.running.execution import Execution

Method = Literal["nuts", "mle", "map", "laplace"]
SMALL_ROWS = 1_000
"""Up to so many states and rows a gradient is little beside the sampler's own work (measured on two cores)."""
METHODS: tuple[str, ...] = ("nuts", "map", "mle", "laplace")


@dataclass(frozen=True)
class Estimate:
    """What a method found: draws (chain, draw, *shape) with statistics, or a point with its optimum, or both."""

    draws: dict[str, np.ndarray] | None
    stats: dict[str, np.ndarray]
    optimum: Optimum | None = None
    attrs: dict[str, Any] = field(default_factory=dict)


def check_method(method: str) -> None:
    """Raise E345 for a method that does not exist."""
    if method not in METHODS:
        raise SsmError(Diagnostic("E345", f"there is no method {method!r}", help=("one of " + ", ".join(METHODS),)))


def estimate(
    model: Model,
    runner: Execution,
    bounds: Sequence[Bound],
    method: str,
    *,
    draws: int,
    warmup: int,
    chains: int,
    seed: int,
    progress: bool | str | None,
) -> Estimate:
    """Fit the parameters of a model. Raises E341, E345, E346 and what the method raises."""
    check_method(method)
    _check_counts(draws=draws, chains=chains, warmup=warmup)
    if not model.priors.parameters:
        raise SsmError(Diagnostic("E347", f"'{model.name}' has no parameters to fit",
                                  help=("model.smooth(data, {}) and model.forecast(data, {}, steps=...) need no fit",)))
    setting, data = runner.setting(bounds), runner.series(bounds)
    likelihood = runner.likelihood(setting, adjoint=True)
    if method == "nuts":
        key = ("nuts", runner.key(setting), warmup, chains, _small(runner, bounds))
        make = lambda: Nuts(model.priors, likelihood, warmup=warmup, chains=chains, small=_small(runner, bounds))
        sampler = _kept(runner, key, make)
        found = sampler.run(data, draws=draws, seed=seed, progress=progress)
        more = {"divergences": found.divergences, "interrupted": found.interrupted, "warmup": warmup}
        return Estimate(found.params, found.stats, attrs=more)
    optimiser = _kept(runner, ("optimise", runner.key(setting)), lambda: Optimiser(model.priors, likelihood))
    with Progress(method, 1, progress) as bar:
        bar.say("searching")
        if method == "laplace":
            optimum, drawn, stats = optimiser.laplace(data, draws=draws, chains=chains, seed=seed)
        else:
            drawn, stats = None, {}
            optimum = (optimiser.mle if method == "mle" else optimiser.map)(data, seed=seed)
        bar.advance(1, optimum.message)
    return Estimate(drawn, stats, optimum, _said(optimum))


def _small(runner: Execution, bounds: Sequence[Bound]) -> bool:
    """Whether a gradient is a few dozen microseconds at most, no more than an iteration of the sampler beside it."""
    return runner.small and sum(b.steps for b in bounds) <= SMALL_ROWS


def _said(optimum: Optimum) -> dict[str, Any]:
    return {"converged": optimum.converged, "message": optimum.message, "at_boundary": optimum.at_boundary,
            "log_likelihood": optimum.log_likelihood, "log_density": optimum.log_density, "starts": optimum.starts,
            "agreeing": optimum.agreeing}  # fmt: skip


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        least = 0 if name == "warmup" else 1
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise SsmError(Diagnostic("E346", f"{name}={value!r} is not a whole number from {least} on"))


def _kept(runner: Execution, key: Any, make: Callable[[], Any]) -> Any:
    # In the runner's own dictionary, so that it goes when the runner goes.
    store = vars(runner).setdefault("_samplers", {})
    if key not in store:
        store[key] = make()
    return store[key]
