"""The model that `ssmlang.compile` gives: the verbs of the public surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ssmlang.analysis.advice import Advice, advise, choose
from ssmlang.analysis.choice import Task, Verb
from ssmlang.analysis.costs import Size, sizes_of
from ssmlang.analysis.report import Report, report, require_assertions
from ssmlang.frontend import Checked
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.model.linear import linear_form
from ssmlang.model.model import Model as Spec
from ssmlang.running.calls import draws_wanted, method_of, one_of, params_dict, paths_wanted, rows, seed_of

if TYPE_CHECKING:
    import xarray as xr
    from jax import Array

    from ssmlang.data import Bound
    from ssmlang.data.recent import Recent
    from ssmlang.inference.priors import Priors
    from ssmlang.inference.simulate import Simulator
    from ssmlang.results.control_plot import Weights
    from ssmlang.results.diagnosis import Diagnosis
    from ssmlang.results.edmd import Edmd
    from ssmlang.running.execution import Execution
    from ssmlang.running.fit import Fit
    from ssmlang.running.stream import Stream

EngineName = Any
"""An engine's name, "auto", or an object of one of the classes in `ssmlang.engines`."""


class Model:
    """A compiled model. Nothing of it changes; results live in what the verbs return."""

    def __init__(
        self, checked: Checked, constants: Mapping[str, Any] | None, augment: Mapping[str, Any] | None
    ) -> None:
        self.spec: Spec = checked.require()
        self.checked = checked
        self.constants = dict(constants or {})
        self.augment = dict(augment or {})
        self._executions: dict[Any, Execution] = {}
        if self.spec.assertions or any(lift.mode == "exact" for lift in self.spec.lifts):
            require_assertions(self.spec, self.form, self.diagnostics)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def source_text(self) -> str:
        """The text as it was given."""
        return self.checked.source.text

    @property
    def portable_text(self) -> str:
        """A text that says the same without any other file: imports and components written out, where there are any."""
        from ssmlang.language import syntax
        from ssmlang.language.printer import print_program

        if any(isinstance(s, syntax.Import) for s in self.checked.tree.statements):
            return print_program(self.checked.flat)
        return self.source_text

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The warnings and notes of the text."""
        return self.checked.findings

    def __repr__(self) -> str:
        return f"<ssmlang model {self.name}: {', '.join(self.spec.parameters) or 'no parameters'}>"

    def _repr_html_(self) -> str:
        from ssmlang.results.html import model_html

        return model_html(self)

    # --------------------------------------------------------------------------------------- before any data

    @cached_property
    def form(self) -> Any:
        """The linear-Gaussian form, or the obstacles to it."""
        return linear_form(self.spec)

    @cached_property
    def priors(self) -> Priors:
        from ssmlang.inference.priors import Priors

        return Priors(self.spec)

    @cached_property
    def typical(self) -> dict[str, Any]:
        """One legal value of each parameter: the middle of its unconstrained scale."""
        import jax

        with jax.enable_x64(True):
            z = jax.numpy.zeros(self.priors.size)
            return {n: np.asarray(v) for n, v in self.priors.constrain(self.priors.unravel(z))[0].items()}

    def check(self, data: Any = None, *, rows: int | None = None, time: Any = None) -> Report:
        """What is known of the model before any data: observability, stability, identifiability, engines.

        `data`, or the number of `rows` that are to come: also what these can inform.
        """
        bound = None if data is None else self.bind(data, time=time)
        return report(self.spec, self.form, self.diagnostics, rows=rows, data=bound, source=self.checked.source)

    def why(self) -> Advice:
        """The engine that `auto` takes, and why not each of the others."""
        return advise(self.spec, self.form)

    def simulate(
        self,
        steps: int | None = None,
        params: Mapping[str, Any] | None = None,
        *,
        draws: int = 1,
        future: Any = None,
        init: Mapping[str, Any] | None = None,
        time: Any = None,
        engine: EngineName = "auto",
        seed: int = 0,
        dtype: str = "float64",
        device: str | None = None,
    ) -> xr.Dataset:
        """Draw states, observations and definitions from the model.

        `params` left out (or in part): drawn from the prior, anew for each draw. `future`: the inputs of the rows, for
        a model that has some. `init`: first values of states whose law is Diffuse(). Returns a Dataset (draw, time,
        ...), of one draw (time, ...), of every state, observation, definition and input under its own name; `params` in
        its attributes.
        """
        from ssmlang.running.simulation import simulate

        _check_engine_name(engine)
        return simulate(self, self._simulator, None if steps is None else rows(steps, "a simulation"),
                        None if params is None else params_dict(params), draws=draws_wanted(draws), future=future,
                        init=init, time=time, seed=seed_of(seed), dtype=dtype, device=device)  # fmt: skip

    @cached_property
    def _simulator(self) -> Simulator:
        from ssmlang.inference.simulate import Simulator

        return Simulator(self.spec)

    # ----------------------------------------------------------------------------------------------- with data

    def bind(self, data: Any, *, time: Any = None) -> tuple[Bound, ...]:
        """Data sets in the model's terms, checked. Raises E4xx."""
        return self._recent.bind(data, time=time)

    @cached_property
    def _recent(self) -> Recent:
        from ssmlang.data.recent import Recent

        return Recent(self.spec)

    def execution(self, engine: EngineName = "auto", task: Task = Task()) -> Execution:  # noqa: B008
        """What runs `engine` on this model, for what is asked of it. Raises E301 to E306 where it cannot."""
        from ssmlang import engines
        from ssmlang.running.kinds import execution_of

        name = engine if isinstance(engine, str) else getattr(engine, "name", None)
        if not isinstance(name, str):
            raise SsmError(Diagnostic("E301", f"engine={engine!r} is neither a name nor an engine"))
        chosen = self._choice(name, task)
        made = engines.engine_class(chosen)() if isinstance(engine, str) else engine
        if made not in self._executions:
            self._executions[made] = execution_of(self.spec, self.form, made)
        return self._executions[made]

    @cached_property
    def _choice(self) -> Callable[[str, Task], str]:
        return lru_cache(maxsize=64)(lambda name, task: choose(self.spec, name, self.form, task))

    def _task(self, verb: Verb, engine: EngineName, bounds: Sequence[Bound], dtype: str, device: str | None,
              **more: Any) -> Task:  # fmt: skip
        from ssmlang.running.placing import task_of

        return task_of(self, self._choice, verb, engine, bounds, dtype, device, **more)

    @cached_property
    def _sizes(self) -> tuple[Size, ...]:
        """What a row is made of, for estimates of what an engine costs."""
        return sizes_of(self.spec, self.form)

    def params_of(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameter values checked, as arrays in label order. Raises E441 to E446."""
        from ssmlang.inference.parameters import validate

        return validate(self.spec, self.priors, params_dict(params))

    def log_likelihood(
        self,
        data: Any,
        params: Mapping[str, Any],
        engine: EngineName = "auto",
        *,
        time: Any = None,
        seed: int = 0,
        dtype: str = "float64",
        device: str | None = None,
    ) -> Array | np.floating[Any]:
        """The log-density of the data given the parameters: no prior, no Jacobian, all constants included.

        A scalar in the precision of `dtype`: JAX's, or NumPy's where JAX itself computes in single precision. jit, grad
        and vmap over `params` go through it: there `auto` takes the engine that a maximum is found by, which has a
        gradient. Of a list of data sets, the sum. Under `Diffuse()` the exact diffuse log-likelihood of Durbin &
        Koopman (2012, section 7.2.2), with 2 pi counted for the observations not spent on the diffuse part.
        """
        from ssmlang.running.verbs import log_likelihood, traced

        params, bounds = params_dict(params), self.bind(data, time=time)
        inside = traced(params)
        task = self._task("likelihood", engine, bounds, dtype, device, movable=not inside)
        if engine == "auto" and inside:  # it may be differentiated, and an estimate by particles is not to be
            with suppress(SsmError):  # where no engine has a gradient
                engine = self._choice(engine, replace(task, verb="fit", method="map"))
        return log_likelihood(self, self.execution(engine, task), bounds, params, dtype, task.device,
                              seed_of(seed))  # fmt: skip

    def filter(
        self,
        data: Any,
        params: Mapping[str, Any],
        engine: EngineName = "auto",
        *,
        time: Any = None,
        keep: Literal["all", "last"] = "all",
        seed: int = 0,
        dtype: str = "float64",
        device: str | None = None,
    ) -> xr.Dataset | list[xr.Dataset]:
        """Moments of the states given the data up to each row, and one step ahead; see `docs/conventions.md`.

        Of a list of data sets, a list.
        """
        return self._moments("filter", data, params, engine, time, keep, dtype, device, 0, seed_of(seed))

    def smooth(
        self,
        data: Any,
        params: Mapping[str, Any],
        engine: EngineName = "auto",
        *,
        time: Any = None,
        keep: Literal["all", "last"] = "all",
        paths: int | None = None,
        seed: int = 0,
        dtype: str = "float64",
        device: str | None = None,
    ) -> xr.Dataset | list[xr.Dataset]:
        """Moments of the states given all data. Of a list of data sets, a list.

        `paths`: how many paths of all states to draw given the data, as `paths` (path, time, state).
        """
        wanted = (paths_wanted(paths), seed_of(seed))
        return self._moments("smooth", data, params, engine, time, keep, dtype, device, *wanted)

    def _moments(self, verb: Literal["filter", "smooth"], data: Any, params: Mapping[str, Any], engine: EngineName,
                 time: Any, keep: Literal["all", "last"], dtype: str, device: str | None, paths: int = 0,
                 seed: int = 0) -> Any:  # fmt: skip
        from ssmlang.running.moments import datasets
        from ssmlang.running.placing import placed

        one_of("keep", keep, ("all", "last"))
        bounds = self.bind(data, time=time)
        execution, device = placed(self, verb, engine, bounds, dtype, device)
        found = datasets(self, execution, verb, bounds, self.params_of(params), dtype, device, keep=keep, paths=paths,
                         seed=seed)  # fmt: skip
        return found if isinstance(data, (list, tuple)) else found[0]

    def residuals(
        self, data: Any, params: Mapping[str, Any], engine: EngineName = "auto", *, time: Any = None, seed: int = 0,
        dtype: str = "float64", device: str | None = None,
    ) -> xr.Dataset | list[xr.Dataset]:  # fmt: skip
        """Innovations one step ahead, and the noises given all data; of a list of data sets, a list.

        `innovation`, `innovation_sd`, `standardized` (time, obs); `noise_mean`, `noise_sd`, `auxiliary` (time, noise),
        noises on their own scale, by their names or those of the entries they drive: see `docs/residuals.md`. Of a
        program that is not linear and Gaussian the innovations alone, `standardized` by quantile residuals.
        """
        from ssmlang.running.residuals import residuals

        bounds, values, seed = self.bind(data, time=time), self.params_of(params), seed_of(seed)
        task = self._task("filter", engine, bounds, dtype, device)
        found = residuals(self, engine, task, bounds, values, dtype, task.device, seed)
        return found if isinstance(data, (list, tuple)) else found[0]

    def diagnose(
        self, data: Any, params: Mapping[str, Any], engine: EngineName = "auto", *, lags: int | None = None,
        time: Any = None, seed: int = 0, dtype: str = "float64", device: str | None = None,
    ) -> Diagnosis | list[Diagnosis]:  # fmt: skip
        """Tests of the standardized innovations: whiteness (`lags`, else 10 or fewer), normality, changing variance and
        mean; of a list of data sets, a list."""
        from ssmlang.results.diagnosis import diagnosis

        return diagnosis(self.residuals(data, params, engine, time=time, seed=seed, dtype=dtype, device=device), lags)

    def weights(
        self,
        data: Any,
        params: Mapping[str, Any],
        *,
        row: int | None = None,
        of: str | None = None,
        given: Literal["past", "present", "all"] = "past",
        engine: EngineName = "dual",
        time: Any = None,
        dtype: str = "float64",
        device: str | None = None,
    ) -> Weights:
        """What the estimate of a state's entry at a row makes of each observation, by the dual filter.

        `row`: the last one if left out, from the end where negative. `of`: the entry's name, the first if left out.
        `given`: the rows that may be used, "past" for the one-step prediction, "present" for the filter, "all" for the
        smoother. One series. The result has `.data`, an xarray Dataset, and `.plot()`.
        """
        from ssmlang.running.weights import weights

        one_of("given", given, ("past", "present", "all"))
        one_of("engine", engine if isinstance(engine, str) else getattr(engine, "name", None), ("dual",))
        bounds, values = self.bind(data, time=time), self.params_of(params)
        if len(bounds) != 1:
            raise SsmError(Diagnostic("E451", "weights are those of one series", help=("give one data set",)))
        task = self._task("smooth", engine, bounds, dtype, device)
        return weights(self, self.execution(engine, task), bounds[0], values, row, of, given, dtype, task.device)

    def forecast(
        self,
        data: Any,
        params: Mapping[str, Any],
        steps: int,
        engine: EngineName = "auto",
        *,
        future: Any = None,
        time: Any = None,
        seed: int = 0,
        dtype: str = "float64",
        device: str | None = None,
    ) -> xr.Dataset | list[xr.Dataset]:
        """Moments of the `steps` rows after the data; `future` gives their inputs. Of a list of data sets, a list."""
        from ssmlang.running.moments import datasets
        from ssmlang.running.placing import placed

        steps, seed = rows(steps, "a forecast"), seed_of(seed)
        bounds = self.bind(data, time=time)
        execution, device = placed(self, "forecast", engine, bounds, dtype, device, ahead=steps)
        found = datasets(self, execution, "forecast", bounds, self.params_of(params), dtype, device, steps=steps,
                         future=future, seed=seed)  # fmt: skip
        return found if isinstance(data, (list, tuple)) else found[0]

    def edmd(
        self,
        data: Any = None,
        params: Mapping[str, Any] | None = None,
        *,
        ridge: float = 1e-9,
        noise: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> Edmd:
        """The least-squares operator of the model's lift (extended dynamic mode decomposition); see docs/lifts.md.

        From simulations at `params` (at draws from the prior if left out), or from `data` that hold every state: a
        dict or Dataset of arrays by name, or a list of them. `noise`: sds of measurement noise in these data, by state.
        With `params`, filters in the lift are compared with the EKF on simulated series.
        """
        from ssmlang.running.edmd import edmd

        return edmd(self, data, None if params is None else params_dict(params), ridge=ridge, noise=noise,
                    seed=seed_of(seed))  # fmt: skip

    # --------------------------------------------------------------------------------------------- row by row

    def initial_state(
        self, params: Mapping[str, Any], engine: EngineName = "auto", *, seed: int = 0, dtype: str = "float64",
        device: str | None = None,
    ) -> Stream:  # fmt: skip
        """What is known before any row, for `step`; see `docs/streams.md`."""
        from ssmlang.running.stream import initial_state

        return initial_state(self, params, engine, seed_of(seed), dtype, device)

    def step(self, state: Stream, row: Mapping[str, Any]) -> Stream:
        """What is known after one more row, a dict by name: the moments of `filter`, in constant time and memory."""
        from ssmlang.running.stream import step

        return step(self, state, row)

    # ------------------------------------------------------------------------------------------ the parameters

    def numpyro(self, data: Any, engine: EngineName = "auto", *, time: Any = None) -> Callable[[], None]:
        """The plain NumPyro model of the parameters, the states integrated out: a function of no arguments."""
        from ssmlang.running.verbs import numpyro_model

        bounds = self.bind(data, time=time)
        task = self._task("fit", engine, bounds, "float64", None, movable=False)
        return numpyro_model(self, self.execution(engine, task), bounds)

    def fit(
        self,
        data: Any,
        method: str = "nuts",
        engine: EngineName = "auto",
        *,
        draws: int = 1000,
        warmup: int = 1000,
        chains: int = 4,
        seed: int = 0,
        progress: Any = None,
        time: Any = None,
        dtype: str = "float64",
        device: str | None = None,
    ) -> Fit:
        """Learn the parameters by a `method`: nuts, map, mle, laplace, svi, pmmh, pgibbs, smc2; see docs/fitting.md.

        `data`: as in docs/conventions.md; a list: independent series. `draws` and `warmup` are of each of the `chains`.
        `progress`: "auto", "bar", "plain" or "off". Raises E3xx where the engine or the method does not fit the model.
        """
        from ssmlang.inference.progress import MODES
        from ssmlang.running.fit import fit

        seed, method = seed_of(seed), method_of(method)
        one_of("progress", progress, (None, True, False, *MODES))
        bounds = self.bind(data, time=time)
        task = self._task("fit", engine, bounds, "float64", device, method=method)
        return fit(self, self.execution(engine, task), bounds, method=method, draws=draws, warmup=warmup, chains=chains,
                   seed=seed, progress=progress, dtype=dtype, device=task.device,
                   tuned=isinstance(engine, str))  # fmt: skip


def _check_engine_name(engine: EngineName) -> None:
    from ssmlang.analysis.advice import check_name

    if isinstance(engine, str):
        check_name(engine)
