"""Where a call computes if nothing is said and JAX would take a GPU: there only what is quicker there."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import ssmlang
from ssmlang.engines import Particle
from ssmlang.inference.chains import for_a_thread
from ssmlang.running import execution, placing, simulation

LEVEL = """
param q, r in (0, inf)
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(x[t-1], q)
y[t] ~ Normal(x[t], r)
"""
PANEL = """
const many = 2000
axis site = 1..many
param q, r in (0, inf)
state x[site]
obs y[site]
init x ~ Normal(0, 1)
x[t, i] ~ Normal(x[t-1, i], q) for i in site
y[t, i] ~ Normal(x[t, i], r) for i in site
"""
VOLATILITY = """
param q, r in (0, inf)
state h
obs y
init h ~ Normal(0, 1)
h[t] ~ Normal(0.9 * h[t-1], q)
y[t] ~ Normal(0, exp(h[t] / 2) * r)
"""
PARAMS = {"q": 0.3, "r": 0.5}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX seems to compute on a GPU where nothing is said."""
    pretended = lambda device: device in (None, "gpu")
    for module in (execution, placing, simulation):
        monkeypatch.setattr(module, "on_gpu", pretended)


def placed(text: str, engine: object, rows: int, device: str | None = None) -> tuple[bool, str | None, str]:
    """Whether it is a GPU's task, the device it is sent to, the engine."""
    model = ssmlang.compile(text)
    shape = (rows, *model.spec.observations["y"].shape)
    task = model._task("likelihood", engine, model.bind({"y": np.zeros(shape)}), "float64", device)
    return task.gpu, task.device, model.execution(engine, task).engine.name


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("text", "engine", "rows", "expected"),
    [
        (LEVEL, "auto", 1_000, (False, "cpu", "kalman")),
        (LEVEL, "auto", 2_000_000, (True, None, "parallel")),
        (LEVEL, "kalman", 2_000_000, (False, "cpu", "kalman")),
        (PANEL, "auto", 500, (True, None, "kalman")),
        (PANEL, "auto", 5, (False, "cpu", "kalman")),
        (VOLATILITY, "auto", 5_000, (False, "cpu", "laplace")),
        (VOLATILITY, Particle(particles=500), 1_000, (False, "cpu", "particle")),
        (VOLATILITY, Particle(particles=100_000), 1_000, (True, None, "particle")),
    ],
)
def test_what_goes_to_a_gpu(text: str, engine: object, rows: int, expected: tuple) -> None:
    assert placed(text, engine, rows) == expected


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_what_is_said_is_done(device: str) -> None:
    assert placed(LEVEL, "auto", 1_000, device) == (
        device == "gpu",
        device,
        {"cpu": "kalman", "gpu": "parallel"}[device],
    )


def test_without_a_gpu_nothing_is_placed() -> None:
    assert placed(LEVEL, "auto", 1_000) == (False, None, "kalman")


@pytest.mark.usefixtures("gpu")
def test_verbs_go_where_they_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each verb enters the device that its task names: the CPU, of which JAX's default is made another here."""
    model, data = ssmlang.compile(LEVEL), {"y": np.sin(np.arange(30.0))}
    entered: list[object] = []
    plain = execution._device
    monkeypatch.setattr(execution, "_device", lambda name: entered.append(name) or plain(name))
    verbs = [
        lambda: model.log_likelihood(data, PARAMS),
        lambda: model.filter(data, PARAMS),
        lambda: model.smooth(data, PARAMS),
        lambda: model.forecast(data, PARAMS, steps=2),
        lambda: model.residuals(data, PARAMS),
        lambda: model.simulate(5, PARAMS),
        lambda: model.step(model.initial_state(PARAMS), {"y": 1.0}),
        lambda: model.fit(data, method="mle", progress="off"),
    ]
    for verb in verbs:
        entered.clear()
        verb()
        assert set(entered) == {"cpu"}
    entered.clear()
    jax.jit(lambda q: model.log_likelihood(data, {"q": q, "r": 0.5}))(0.3)
    assert not entered, "what is part of a program computes where the program does"


def test_a_thread_computes_where_its_owner_does() -> None:
    from concurrent.futures import ThreadPoolExecutor

    settings = lambda: (jax.config.jax_default_device, jax.config.jax_enable_x64)  # type: ignore[attr-defined]
    with ThreadPoolExecutor(1) as pool:
        with jax.default_device(jax.devices("cpu")[0]):
            inside = pool.submit(for_a_thread(settings)).result()
        assert inside == (jax.devices("cpu")[0], True)
        assert pool.submit(for_a_thread(settings)).result() == (None, True)
