"""The result of fitting a model: parameters, and everything that follows from them with their uncertainty."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np
import pandas as pd
import xarray as xr

from ssmlang.analysis.choice import Task
from ssmlang.data import Bound
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.source import Source
from ssmlang.results import containers
from ssmlang.results.mixture import mixture, normal_quantiles
from ssmlang.results.provenance import noted, provenance
from ssmlang.running import groups
from ssmlang.running.calls import draws_wanted, paths_wanted, rows, seed_of
from ssmlang.running.derived import of_draws, of_point
from ssmlang.running.estimate import Estimate, estimate
from ssmlang.running.misfit import look_at
from ssmlang.running.moments import Moments, ready
from ssmlang.running.placing import able_ahead

if TYPE_CHECKING:
    from ssmlang.compiled import Model
    from ssmlang.running.drawn_quantiles import DrawnQuantiles
    from ssmlang.running.execution import Execution

MIXED = 400
"""How many draws of the parameters the moments of the states are mixed over."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def fit(model: Model, runner: Execution, bounds: Sequence[Bound], *, method: str = "nuts", draws: int = 1000,
        warmup: int = 1000, chains: int = 4, seed: int = 0, progress: bool | str | None = None, dtype: str = "float64",
        device: str | None = None, tuned: bool = True) -> Fit:  # fmt: skip
    """Learn the parameters of a compiled model from bound data; the search and the sampler run in double precision.

    `dtype` is the precision of what the fit is asked for later (smooth, forecast).
    """
    from ssmlang.running.execution import running

    if all(np.isnan(v).all() for b in bounds for v in b.observations.values()):
        raise SsmError(Diagnostic("E414", "there is nothing to fit: every observation is missing"))
    with running("float64", device):
        found = estimate(model, runner, bounds, method, draws=draws, warmup=warmup, chains=chains, seed=seed,
                         progress=progress, tuned=tuned)  # fmt: skip
        look_at(found, model, found.runner or runner, bounds[0], dtype, device)
    runner = found.runner or runner
    return Fit(model, runner, tuple(bounds), found, method=method, seed=seed, dtype=dtype, device=device)


class Fit:
    """Parameters learned from data: `params`, `posterior`, `summary()`, and the states given them.

    Moments of `smooth` and `forecast` are mixed over draws of the parameters, so that the parameters' own uncertainty
    is in them; of `mle` and `map` they are those of the one point.
    """

    def __init__(self, model: Model, runner: Execution, bounds: tuple[Bound, ...], found: Estimate, *, method: str,
                 seed: int = 0, dtype: str = "float64", device: str | None = None,
                 tree: xr.DataTree | None = None) -> None:  # fmt: skip
        self.model, self.method, self.seed, self.dtype, self.device = model, method, seed, dtype, device
        self.bounds, self.found = bounds, found
        self._runner, self._loaded = runner, tree

    @property
    def engine(self) -> str:
        """The name of the engine that gave the likelihood."""
        return self._runner.engine.name

    def __repr__(self) -> str:
        return f"<ssmlang fit of {self.model.name} by {self.method}>\n{self.summary().to_string()}"

    def __reduce__(self) -> Any:
        from ssmlang.running.saved import restored

        return restored, (self.tree,)

    def _repr_html_(self) -> str:
        from ssmlang.results.html import fit_html

        said = {k: v for k, v in self.found.attrs.items() if v not in ([], "", None)}
        shown = {k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in said.items() if k != "converged"}
        facts = [f"{key.replace('_', ' ')}: {value}" for key, value in shown.items()]
        return fit_html({"model": self.model.name, "method": self.method, "engine": self.engine, "facts": facts,
                         "summary": self.summary(), "source": self.model.source_text})  # fmt: skip

    # -------------------------------------------------------------------------------------------- parameters

    @cached_property
    def params(self) -> dict[str, np.ndarray | float]:
        """Parameters on their own scale: the optimum of `mle` and `map`, else the posterior mean."""
        if self.found.draws is None:
            assert self.found.optimum is not None
            values = self.found.optimum.params
        else:
            values = {n: v.mean(axis=(0, 1)) for n, v in self.found.draws.items()}
        return {n: float(v) if np.ndim(v) == 0 else np.asarray(v) for n, v in values.items()}

    @cached_property
    def point(self) -> dict[str, np.ndarray | float]:
        """The parameters that stand for all where one law is asked for (`filter`, `residuals`, `diagnose`): `params`,
        or the draw of highest posterior density where the mean's is lower.

        A mean between the humps of a posterior (labels that change places, signs) is where none of them is.
        """
        if self.found.draws is None or "lp" not in self.found.stats or self._runner.engine.requires.joint:
            return self.params
        best = np.unravel_index(np.argmax(self.found.stats["lp"]), self.found.stats["lp"].shape)
        draw = {n: float(v[best]) if v.ndim == 2 else v[best] for n, v in self.found.draws.items()}
        return draw if self._density(draw) > self._density(self.params) else self.params

    def _density(self, params: Mapping[str, Any]) -> float:
        """The logarithm of the posterior density on the parameters' own scale, less a constant."""
        from ssmlang.running.execution import running
        from ssmlang.running.verbs import Likelihood

        with running("float64", self.device):
            prior = float(self.model.priors.log_density({n: np.asarray(v, float) for n, v in params.items()}))
            try:
                return prior + float(Likelihood(self._runner, self.bounds).at(params, self.seed))
            except SsmError:  # a mean of draws need not be one that any law allows
                return -np.inf

    @cached_property
    def posterior(self) -> xr.Dataset:
        """Draws (chain, draw, ...) of the parameters and of the definitions that follow from them alone; the one point
        as one draw for `mle` and `map`."""
        draws = self.found.draws or {n: np.asarray(v)[None, None] for n, v in self.params.items()}
        return groups.parameters(self.model.spec, {**draws, **self._runner.plain.each(draws)})

    def summary(self) -> pd.DataFrame:
        """A row for each entry of each parameter, and below them of the definitions that follow from these alone
        (`attrs["derived"]`): entries that move with the parameters, of definitions of at most 50 entries.

        Draws: mean, sd, 5%, 95%, ess_bulk, ess_tail, r_hat. A point: estimate, se (from the curvature, NaN at an end
        of the support); the table's `attrs` say how the search went.
        """
        if self.found.draws is not None:
            table = containers.summary(self.posterior[list(self.model.priors.parameters)])
            return self._with_derived(table, of_draws(self.posterior, list(self.model.spec.definitions)))
        optimum = self.found.optimum
        assert optimum is not None
        rows = {}
        for name, parameter in self.model.priors.parameters.items():
            values, errors = np.ravel(optimum.params[name]), np.ravel(optimum.standard_errors[name])
            rows.update({e: (v, s) for e, v, s in zip(parameter.entry_names(), values, errors)})
        table = pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "se"])
        model = self.model
        return self._with_derived(table, of_point(model.spec, model.priors, self._runner.plain, optimum))

    def _with_derived(self, table: pd.DataFrame, derived: pd.DataFrame) -> pd.DataFrame:
        both = pd.concat([table, derived]) if len(derived) else table
        marks = {"derived": list(derived.index)} if len(derived) else {}
        both.attrs = {**self.found.attrs, **noted(self.bounds), **marks}
        return both

    # ------------------------------------------------------------------------------------------------ states

    def smooth(self, *, draws: int = MIXED, paths: int | None = None) -> Any:
        """Moments of the states given all data, mixed over at most `draws` draws. A list for several series.

        `paths`: how many paths to draw, as `paths` (path, time, state): each for another draw of the parameters, spread
        over the posterior (and repeated where there are fewer draws); for `mle` and `map` all at the point.
        """
        made = [self._ready("smooth", bound) for bound in self.bounds]
        count = paths_wanted(paths)
        mixed = [self._mixed(one, draws)[0] for one in made]
        return self._for_each([self._with_paths(m, one, count, i) for i, (m, one) in enumerate(zip(mixed, made))])

    def _with_paths(self, smoothed: xr.Dataset, ready: Moments, count: int, series: int) -> xr.Dataset:
        from ssmlang.running.execution import running
        from ssmlang.running.paths import with_paths

        if not count:
            return smoothed
        each = self._thinned(count)
        if self.found.states is not None:
            return ready.with_paths(smoothed, each, count)  # type: ignore[attr-defined]
        wanted = [(p, 1) for p in (each * -(-count // len(each)))[:count]] if len(each) > 1 else [(each[0], count)]
        if not self._runner.engine.requires.linear:
            with running(self.dtype, self.device):
                drawn = [ready.at(p, paths=n, seed=self.seed, first=series * count + k)["paths"].values[:n]
                         for k, (p, n) in enumerate(wanted)]  # fmt: skip
            found = smoothed.assign(paths=(("path", "time", "state"), np.concatenate(drawn)))
            return found.assign_coords(path=np.arange(count)).assign_attrs(seed=self.seed)
        arrays = {name: smoothed[name].values for name in ("mean", "cov", "sd") if name in smoothed}
        with running(self.dtype, self.device):
            return with_paths(smoothed, ready, arrays, wanted, self.seed, series * count)

    def filter(self) -> Any:
        """`Model.filter` of the data fitted to, at `point`. A list for several series."""
        return self._at_point(self.model.filter)

    def residuals(self) -> Any:
        """`Model.residuals` of the data fitted to, at `point`. A list for several series."""
        return self._at_point(self.model.residuals)

    def diagnose(self, *, lags: int | None = None) -> Any:
        """`Model.diagnose` of the data fitted to, at `point`. A list for several series."""
        return self._at_point(self.model.diagnose, lags=lags)

    def _at_point(self, verb: Callable[..., Any], **options: Any) -> Any:
        return verb(self.data, self.point, self._runner.engine, dtype=self.dtype, device=self.device, **options)

    def forecast(self, steps: int, *, future: Any = None, draws: int = MIXED) -> Any:
        """Moments of the `steps` rows after the data, mixed over at most `draws` draws, with quantiles of the mixture.

        `observed_quantile` (quantile, time, obs) and `state_quantile` (quantile, time, state), at 5, 25, 50, 75 and 95
        per cent; of counts and other observations of no normal law from draws. `future`: the inputs of the coming rows.
        """
        steps = rows(steps, "a forecast")
        from ssmlang.running.drawn_quantiles import DrawnQuantiles
        from ssmlang.running.execution import running

        laws = len(self._thinned(draws))
        made = [self._ready("forecast", bound, laws, steps=steps, future=future) for bound in self.bounds]
        drawn = [DrawnQuantiles(one, laws, self.seed) for one in made]
        mixed = [self._mixed(m, draws, d) for m, d in zip(made, drawn)]
        with running(self.dtype, self.device):
            return self._for_each([_with_quantiles(*m, d) for m, d in zip(mixed, drawn)])

    def posterior_predictive(self, *, draws: int = MIXED, seed: int | None = None) -> Any:
        """Series like the data, drawn anew: (chain, draw, time, ...) of every observation, each for another draw of the
        parameters. A list for several series.

        States are drawn anew too, from their first law on (under `Diffuse()` from where the data say that they began);
        inputs are those of the data. `idata` and what `save` writes hold the draws from then on, as the group
        `posterior_predictive`, which `az.plot_ppc` reads. Counts are integers, there and in `observed_data`, unless one
        is missing. `seed`: that of the fit if left out.
        """
        from ssmlang.running.execution import running
        from ssmlang.running.predictive import needs_paths, replicated

        count, seed = draws_wanted(draws), self.seed if seed is None else seed_of(seed)
        each = self._thinned(count)
        each = (each * -(-count // len(each)))[:count]
        paths = [None] * len(self.bounds)
        if needs_paths(self.model):
            found = self.smooth(draws=1, paths=count)
            paths = found if len(self.bounds) > 1 else [found]
        with running("float64", self.device):
            made = [replicated(self.model, b, each, p, seed, i) for i, (b, p) in enumerate(zip(self.bounds, paths))]
        groups_ = {f"posterior_predictive{f'_{i}' if i else ''}": one for i, one in enumerate(made)}
        before = {name: child.to_dataset(inherit=False) for name, child in self.tree.children.items()}
        self._loaded = containers.make_tree({**before, **groups_}, self.tree.attrs)
        for stale in ("tree", "idata"):
            vars(self).pop(stale, None)
        return self._for_each(made)

    def _ready(self, verb: Literal["smooth", "forecast"], bound: Bound, laws: int = 1, **more: Any) -> Moments:
        from ssmlang.running.execution import running

        with running(self.dtype, self.device):
            if self.found.states is not None:
                from ssmlang.running.state_draws import DrawnMoments

                memory = self.found.states.memory[self.bounds.index(bound)]
                return DrawnMoments(self.model, self._runner, verb, bound, memory=memory, seed=self.seed, **more)
            runner = self._runner
            if verb == "forecast":
                runner = able_ahead(self.model, runner, bound, more["steps"], laws)
            return ready(self.model, runner, verb, bound, self.dtype, self.device, **more)

    def _for_each(self, found: list[xr.Dataset]) -> Any:
        return found if len(self.bounds) > 1 else found[0]

    def _mixed(self, ready: Moments, draws: int, drawn: DrawnQuantiles | None = None
               ) -> tuple[xr.Dataset, dict[str, list[np.ndarray]]]:  # fmt: skip
        """The mixture over draws; the means and sds of its laws, by ("observed_" or ""). `drawn` is told each law."""
        from ssmlang.running.execution import running

        laws: dict[str, list[np.ndarray]] = {}

        def parts() -> Iterator[dict[str, np.ndarray]]:
            for params in self._thinned(draws):
                part = ready.arrays(params)
                part.pop("paths", None)  # draws are no moments
                for of in ("", "observed_"):
                    if f"{of}mean" in part:
                        variance = np.diagonal(part[f"{of}cov"], axis1=-2, axis2=-1)
                        laws.setdefault(f"{of}mean", []).append(part[f"{of}mean"])
                        laws.setdefault(f"{of}sd", []).append(np.sqrt(np.maximum(variance, 0.0)))
                if drawn is not None:
                    drawn.add(params, part)
                yield part

        with running(self.dtype, self.device):
            out = ready.dataset(mixture(parts()))
        out.attrs["mixed_over"] = len(laws.get("mean", [])) or len(laws.get("observed_mean", []))
        return out, laws

    def _thinned(self, count: int) -> list[dict[str, Any]]:
        count = draws_wanted(count)
        if self.found.draws is None:
            return [dict(self.params)]
        if self.found.states is not None:
            from ssmlang.running.state_draws import draws_with_states

            return list(draws_with_states(self.found.draws, self.found.states, count))
        flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in self.found.draws.items()}
        total = len(next(iter(flat.values())))
        at = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
        return [{n: v[i] for n, v in flat.items()} for i in at]

    # ---------------------------------------------------------------------------------------------- results

    @cached_property
    def tree(self) -> xr.DataTree:
        """All groups: posterior, sample_stats, log_likelihood, observed_data, constant_data (`_1`, ... for further
        series), with what is needed to run again in the attributes."""
        if self._loaded is not None:
            return self._loaded
        found: dict[str, xr.Dataset] = {"posterior": self.posterior}
        if self.found.stats:
            found["sample_stats"] = groups.statistics(self.found.stats)
        found["log_likelihood"] = self._log_likelihood()
        if self.found.states is not None:
            found |= groups.states(self.found.states)
        for i, bound in enumerate(self.bounds):
            found.update(groups.data(self.model.spec, bound, "" if i == 0 else f"_{i}"))
        return containers.make_tree(found, self._attrs())

    @cached_property
    def idata(self) -> Any:
        """`tree` as the installed ArviZ's own container."""
        return containers.native(self.tree)

    @property
    def data(self) -> Any:
        """The data as the fit holds them: a Dataset that any verb takes, or a list of them."""
        attrs = provenance(model=self.model.name, source=self.model.source_text)
        found = [groups.bindable(self.model.spec, bound, attrs) for bound in self.bounds]
        return found if len(found) > 1 else found[0]

    def _log_likelihood(self) -> xr.Dataset:
        if self._runner.engine.requires.joint:
            from ssmlang.running.state_draws import conditional_terms

            assert self.found.draws is not None and self.found.states is not None
            with jax.enable_x64(True):
                return conditional_terms(self.model, self._runner, self.bounds, self.found.draws, self.found.states)
        setting = self._runner.setting(self.bounds)
        terms = self._runner.compiled("terms_of_draws", setting)
        draws = self.found.draws or {n: np.asarray(v)[None, None] for n, v in self.params.items()}
        with jax.enable_x64(True):
            found = [groups.terms(terms, draws, self._runner.series([b]), b.steps) for b in self.bounds]
        return groups.log_likelihood(self.model.spec, found, [b.time for b in self.bounds])

    def loo(self, **options: Any) -> Any:
        """ArviZ's PSIS-LOO of the one-step-ahead terms log p(y_t | y_0..y_{t-1}, params).

        The terms are those of the sequential factorisation: leaving one out is not leaving out a row of a time series
        as if it had not been seen, but its prediction from the past. Raises E746 for a fit without draws.
        """
        if self.found.draws is None:
            raise SsmError(Diagnostic("E746", f'a fit by "{self.method}" has no draws of the posterior',
                                      help=('use method="nuts" or "laplace"',)))  # fmt: skip
        return containers.arviz().loo(self.idata, **options)

    def plot(self, steps: int | None = None, *, future: Any = None, series: int = 0, **options: Any) -> Any:
        """A figure of the data with the smoothed signal, the components, and a forecast of `steps` rows if given.

        `series`: which one, of several. Further options are those of `ssmlang.results.plots.plot_fit`.
        """
        from ssmlang.results.plots import plot_fit

        if not 0 <= series < len(self.bounds):
            raise SsmError(Diagnostic("E451", f"series={series!r}: the fit has {len(self.bounds)}, counted from 0"))
        pick = lambda found: found[series] if len(self.bounds) > 1 else found
        ahead = None if steps is None else pick(self.forecast(steps, future=future))
        observed = groups.data(self.model.spec, self.bounds[series], "")["observed_data"]
        return plot_fit(observed, pick(self.smooth()), ahead, **{"heading": self.model.name, **options})

    def _attrs(self) -> dict[str, Any]:
        engine = self._runner.engine
        return provenance(
            model=self.model.name, source=self.model.source_text, engine=engine.name, engine_options=_options(engine),
            model_text=self.model.portable_text, constants=_lists(self.model.constants),
            augment=_lists(self.model.augment),
            method=self.method, seed=self.seed, dtype=self.dtype, series=len(self.bounds),
            created_at=pd.Timestamp.now("UTC").isoformat(timespec="seconds"), **groups.optimum_attrs(self.found),
            **noted(self.bounds),
        )  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write everything to a NetCDF file, which ArviZ and xarray read, and `ssmlang.load`. Raises E705."""
        containers.save(self.tree, path)


def _lists(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: None if v is None else np.asarray(v).tolist() for k, v in values.items()}


def _options(engine: Any) -> dict[str, Any]:
    from dataclasses import fields, is_dataclass

    if not is_dataclass(engine):
        return {}
    plain = (bool, int, float, str)
    return {f.name: v for f in fields(engine) if isinstance(v := getattr(engine, f.name), plain)}


def _with_quantiles(out: xr.Dataset, laws: dict[str, list[np.ndarray]], drawn: DrawnQuantiles) -> xr.Dataset:
    for of, dim in (("", "state"), ("observed_", "obs")):
        if f"{of}mean" in laws:
            values = normal_quantiles(laws[f"{of}mean"], laws[f"{of}sd"], QUANTILES)
            into = drawn if of else drawn.states
            if into is not None:
                sd = np.sqrt(np.maximum(np.diagonal(out[f"{of}cov"].values, axis1=1, axis2=2), 0.0))
                values = into.into(values, QUANTILES, out[f"{of}mean"].values, sd)
            # What has no mean, a label, has no quantiles of its number either.
            values = np.where(np.isnan(out[f"{of}mean"].values), np.nan, values)
            name = f"{'observed' if of else 'state'}_quantile"
            out = out.assign({name: (("quantile", "time", dim), values)})
    return out.assign_coords(quantile=np.array(QUANTILES))


def load_fit(tree: xr.DataTree, path: Path, compile_source: Callable[..., Model]) -> Fit:
    """The fit that `Fit.save` wrote; it forecasts as the original does. Raises E701 for the tree of another file."""
    from ssmlang.engines import engine_class

    if "model_text" not in tree.attrs:
        raise SsmError(Diagnostic("E701", f"`{path}` is not a fit that ssmlang saved",
                                  why=("it holds no model",)))  # fmt: skip
    attrs = dict(tree.attrs)
    model = compile_source(
        Source(str(path), str(attrs["model_text"])), name=str(attrs["model"]),
        constants=json.loads(attrs["constants"]) or None, augment=json.loads(attrs["augment"]) or None,
    )  # fmt: skip
    engine = engine_class(str(attrs["engine"]))(**json.loads(attrs["engine_options"]))
    bounds = tuple(groups.bound_of(model.spec, tree, "" if i == 0 else f"_{i}") for i in range(int(attrs["series"])))
    found = groups.estimate_of(model.spec, tree, str(attrs["method"]))
    runner = model.execution(engine, Task("fit", method=str(attrs["method"])))
    return Fit(model, runner, bounds, found, method=str(attrs["method"]), seed=int(attrs["seed"]),
               dtype=str(attrs["dtype"]), tree=tree)  # fmt: skip
