"""What a GPU is good for: programs of many kinds on the GPU and on the CPU beside it.

    python -m benchmarks.devices [--only particles panel ...] [--results FILE]

Run where JAX finds both (JAX_PLATFORMS=cuda,cpu). Medians of calls of a function compiled before, in double
precision, its arguments on the device; fits are the second of two runs, with another seed. What takes longer than ten
seconds a call is called twice. Values on the two devices are compared, those of particles aside; exits 1 where they
differ by more than 1e-8 of them. `python -m benchmarks.on_gpu --page` writes the table into docs/gpu.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ssmlang
from benchmarks.environments import ROOT
from benchmarks.exact.problems import problem
from benchmarks.exact.rows import Row
from benchmarks.gpu_page import PROGRAMS
from ssmlang import engines
from ssmlang.data import datasets

STDLIB, MODELS = ROOT / "stdlib" / "models", ROOT / "benchmarks" / "models"
DEVICES = ("gpu", "cpu")
AGREEMENT, PATIENCE, CALLS = 1e-8, 10.0, 7


@dataclass(frozen=True)
class Work:
    """A function of parameters, and where it stands in the table."""

    kind: str
    what: str
    engine: str
    size: str
    function: Callable[[Mapping[str, Any]], Any]
    params: Mapping[str, Any]
    random: bool = False

    @property
    def place(self) -> dict[str, str]:
        return {"kind": self.kind, "what": self.what, "engine": self.engine, "size": self.size}

    @property
    def name(self) -> str:
        return f"{self.kind}: {self.what}, {self.engine}, {self.size}"


def value(model: Any, data: Any, engine: Any = "auto") -> Callable[[Mapping[str, Any]], Any]:
    return lambda p: model.log_likelihood(data, p, engine=engine)


def gradient(model: Any, data: Any, engine: Any = "auto") -> Callable[[Mapping[str, Any]], Any]:
    return jax.value_and_grad(value(model, data, engine))


def drawn(model: Any, rows: int, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Observations of so many rows, drawn on the CPU."""
    with jax.default_device(jax.devices("cpu")[0]):
        found = model.simulate(rows, params, seed=1)
    return {name: found[name].values for name in model.spec.observations}


def particles() -> Iterator[Work]:
    model = ssmlang.compile(STDLIB / "stochastic_volatility.ssm")
    params = {"mu": -1.0, "phi": 0.95, "sd": 0.3}
    data = drawn(model, 1_000, params)
    for many in (1_000, 10_000, 100_000, 1_000_000):
        engine = engines.Particle(particles=many, proposal="bootstrap")
        size = f"{many:,} particles"
        yield Work(
            "stochastic volatility, T = 1,000", "value", "particle", size, value(model, data, engine), params, True
        )


def volatility() -> Iterator[Work]:
    model = ssmlang.compile(STDLIB / "stochastic_volatility.ssm")
    params = {"mu": -1.0, "phi": 0.95, "sd": 0.3}
    for rows in (1_000, 10_000):
        data = drawn(model, rows, params)
        yield Work(
            "stochastic volatility", "gradient", "laplace", f"T = {rows:,}", gradient(model, data, "laplace"), params
        )


def panel() -> Iterator[Work]:
    for sites in (100, 1_000):
        made = problem(Row("panel_own", 4, 1, 200, goal=1, series=sites))
        model = ssmlang.compile(MODELS / "panel.ssm", constants={"n": 4, "sites": sites})
        params = {"F": made["F"], "H": made["H"][:, 0], "Q": made["Q"], "sd": np.sqrt(made["R"][:, 0, 0])}
        data = {"y": made["y"][..., 0].T}
        for engine in ("kalman", "parallel"):
            for what, of in (("value", value), ("gradient", gradient)):
                yield Work("a panel of own matrices, (4, 1), T = 200", what, engine, f"{sites:,} series",
                           of(model, data, engine), params)  # fmt: skip


def draws() -> Iterator[Work]:
    model = ssmlang.compile(STDLIB / "nile.ssm")
    data = datasets.load("nile")
    rng = np.random.default_rng(0)
    for many in (1_000, 100_000):
        params = {name: jnp.asarray(rng.uniform(20, 200, many)) for name in ("sd_level", "sd_flow")}
        for engine in ("kalman", "parallel"):
            yield Work("local level, T = 100", "value at many settings", engine, f"{many:,} settings",
                       jax.vmap(value(model, data, engine)), params)  # fmt: skip


def moments() -> Iterator[Work]:
    model = ssmlang.compile(MODELS / "lorenz.ssm")
    params = {"sigma": 10.0, "rho": 28.0, "beta": 8 / 3}
    for rows in (1_000, 10_000):
        data = drawn(model, rows, params)
        size = f"T = {rows:,}"
        yield Work("Lorenz-63", "value", "ukf", size, value(model, data, "ukf"), params)
        for engine in (engines.IPLS(), engines.IPLS(parallel=True)):
            words = "ipls, parallel" if engine.parallel else "ipls"
            yield Work("Lorenz-63", "smoother", words, size, smoother(model, data, engine), params)


def smoother(model: Any, data: Any, engine: Any) -> Callable[[Mapping[str, Any]], Any]:
    """The compiled function that `model.smooth` runs, without checks and labels."""
    execution, (bound,) = model.execution(engine), model.bind(data)
    function, given = execution.compiled("smooth", execution.setting([bound])), execution.single(bound)
    return lambda p: function(p, given)


def lattice() -> Iterator[Work]:
    model = ssmlang.compile(STDLIB / "lorenz96.ssm")
    params = model.typical
    data = drawn(model, 100, params)
    yield Work("Lorenz-96, 40 sites", "value", "ekf", "T = 100", value(model, data, "ekf"), params)


def chain() -> Iterator[Work]:
    model = ssmlang.compile(STDLIB / "switching.ssm")
    params = model.typical
    for rows in (1_000, 10_000, 100_000):
        data = drawn(model, rows, params)
        for engine in (engines.Discrete(), engines.Discrete(parallel=True)):
            words = "discrete, parallel" if engine.parallel else "discrete"
            yield Work("regimes", "value", words, f"T = {rows:,}", value(model, data, engine), params)


def past() -> Iterator[Work]:
    model = ssmlang.compile(STDLIB / "fractional.ssm")
    params = model.typical
    for rows in (300, 2_000):
        data = drawn(model, rows, params)
        for engine in ("wiener_hopf", "batch"):
            yield Work("fractional noise", "gradient", engine, f"T = {rows:,}", gradient(model, data, engine), params)


KINDS = {one.__name__: one for one in (particles, volatility, panel, draws, moments, lattice, chain, past)}


class Ready:
    """Work compiled for one device."""

    def __init__(self, work: Work, device: str) -> None:
        self.work, self.device = work, device
        with self.within():
            self.params = jax.device_put({k: jnp.asarray(v, float) for k, v in work.params.items()}, self.at)
            begun = time.perf_counter()
            self.call = jax.jit(work.function).lower(self.params).compile()
            self.compiled = time.perf_counter() - begun

    @property
    def at(self) -> jax.Device:
        return jax.devices(self.device)[0]

    def within(self) -> Any:
        return jax.default_device(self.at)

    def timed(self) -> tuple[list[float], float]:
        with self.within():
            begun, times = time.perf_counter(), []
            found = jax.block_until_ready(self.call(self.params))
            while len(times) < CALLS and (not times or time.perf_counter() - begun < PATIENCE):
                start = time.perf_counter()
                jax.block_until_ready(self.call(self.params))
                times.append(time.perf_counter() - start)
        first = found[0] if isinstance(found, tuple) else getattr(found, "log_likelihood", found)
        return times, float(np.sum(np.asarray(first)))


def fits() -> Iterator[tuple[str, Callable[[str, int], Any]]]:
    """NUTS by `model.fit`: (name, fit on a device with a seed)."""
    nile = ssmlang.compile(STDLIB / "nile.ssm")
    flow = datasets.load("nile")
    yield "NUTS, local level, T = 100, 4 x (500 + 500)", lambda device, seed: nile.fit(
        flow, draws=500, warmup=500, seed=seed, device=device, progress="off")  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.devices", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*KINDS, "fits"], default=[*KINDS, "fits"])
    parser.add_argument("--devices", nargs="+", choices=DEVICES, default=list(DEVICES))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="programs compiled at a time")
    parser.add_argument("--results", type=Path, default=PROGRAMS)
    args = parser.parse_args(argv)
    jax.config.update("jax_enable_x64", True)
    found = json.loads(args.results.read_text(encoding="utf-8")) if args.results.exists() else {"work": {}}
    found["jax"] = jax.__version__
    found.setdefault("devices", {}).update({d: jax.devices(d)[0].device_kind for d in args.devices})
    apart = []
    for kind in args.only:
        if kind == "fits":
            continue
        works = list(KINDS[kind]())
        with ThreadPoolExecutor(args.jobs) as pool:
            ready = list(pool.map(lambda job: Ready(*job), [(w, d) for w in works for d in args.devices]))
        values: dict[str, list[float]] = {}
        for one in ready:
            times, number = one.timed()
            values.setdefault(one.work.name, []).append(number)
            entry = found["work"].setdefault(one.work.name, one.work.place)
            entry[one.device] = statistics.median(times)
            print(f"{one.work.name:85s}{one.device:4s}{statistics.median(times) * 1e3:12.2f} ms  compiled in "
                  f"{one.compiled:5.1f} s  {number:.10g}", flush=True)  # fmt: skip
            if not one.work.random and abs(number - values[one.work.name][0]) > AGREEMENT * abs(number):
                apart.append(one.work.name)
        args.results.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if "fits" in args.only:
        for name, fit in fits():
            for device in args.devices:
                seeds = count(1)
                fit(device, next(seeds))
                start = time.perf_counter()
                fit(device, next(seeds))
                took = time.perf_counter() - start
                entry = found["work"].setdefault(name, {"kind": name, "what": "fit", "engine": "auto", "size": ""})
                entry[device] = took
                print(f"{name:85s}{device:4s}{took * 1e3:12.0f} ms", flush=True)
        args.results.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for name in apart:
        print(f"differs: {name}", file=sys.stderr)
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main())
