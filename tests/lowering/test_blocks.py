"""Blocks run side by side against the same program in one piece."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ssmlang
from ssmlang.engines import Kalman, Known, separately
from ssmlang.engines.separately import Separately
from ssmlang.frontend import check_text
from ssmlang.lowering.blocks import BlockLowering, taken
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.running.blocks import assembled

T = 6
VERBS = ("log_likelihood_terms", "filter", "smooth")
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def lowered(text: str, definitions: bool = False) -> GaussianLowering:
    model = check_text("model m\n" + text).require()
    form = linear_form(model, (), definitions)
    assert isinstance(form, LinearForm), form
    return GaussianLowering(model, form)


def numbers(low: GaussianLowering, seed: int = 0, missing: float = 0.2) -> tuple[dict, dict, dict]:
    """Parameters in (0.2, 0.6), data with holes, inputs."""
    rng = np.random.default_rng(seed)
    params = {n: jnp.asarray(rng.uniform(0.2, 0.6, p.shape)) for n, p in low.model.parameters.items()}
    data = {n: rng.normal(size=(T, *o.shape)) for n, o in low.model.observations.items()}
    data = {n: jnp.asarray(np.where(rng.uniform(size=v.shape) < missing, np.nan, v)) for n, v in data.items()}
    return params, data, {n: jnp.asarray(rng.normal(size=(T, *i.shape))) for n, i in low.model.inputs.items()}


def assert_same(
    text: str, members: list[int] | None, *, count: int | None = None, definitions: bool = False, seed: int = 0,
    missing: float = 0.2, verbs: tuple[str, ...] = VERBS, gradient: str = "",
) -> None:  # fmt: skip
    """Every method, whole and in blocks; `members`: how many blocks each group must have, `count`: how many in all."""
    with jax.enable_x64(True):
        low = lowered(text, definitions)
        blocks = BlockLowering(low)
        sizes = [g.group.members for g in blocks.groups]
        assert members is None or sizes == members
        assert count is None or sum(sizes) == count
        args = numbers(low, seed, missing)
        engine = Kalman()
        each = Separately((engine,) * len(sizes))
        quick = Separately((engine.for_data(Known(), adjoint=True),) * len(sizes))

        def whole(params: dict, data: dict, inputs: dict) -> tuple[jax.Array, list]:
            program, y = low.program(params, data, inputs, T)
            found = [getattr(engine, verb)(program, y) for verb in verbs]
            return jnp.sum(found[0] if verbs[0] == VERBS[0] else engine.log_likelihood_terms(program, y)), found

        def apart(params: dict, data: dict, inputs: dict) -> list:
            of = blocks.programs(params, data, inputs, T)
            return [getattr(each, verb)(*of) for verb in verbs]

        # The derivative comes with what it is of.
        with_slope = jax.value_and_grad(whole, has_aux=True) if gradient else lambda *args: (whole(*args), None)
        (total, every), slope = jit(with_slope)(*args)
        for verb, expected, found in zip(verbs, every, jit(apart)(*args)):
            if verb == "log_likelihood_terms":
                np.testing.assert_allclose(found, expected, 1e-10, 1e-10)
                continue
            arrays = assembled(blocks, found, T)
            for name, value in expected._asdict().items():
                if value is not None:
                    np.testing.assert_allclose(arrays[name], value, 1e-10, 1e-10, err_msg=name)
        if not gradient:
            return
        for run in (quick,) if gradient == "quick" else (each, quick):
            other = lambda p, d, i, run=run: run.log_likelihood(*blocks.programs(p, d, i, T))
            value_, slope_ = jit(jax.value_and_grad(other))(*args)
            np.testing.assert_allclose(value_, total, 1e-10)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-9, 1e-9), slope_, slope)


SITES = "axis site = 1..4\n"


def test_a_panel_with_parameters_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five members, three at a time: the last chunk is filled up."""
    monkeypatch.setattr(separately, "_MOST", 3)
    text = """
        param mu ~ Normal(0, 5)
        param tau ~ HalfNormal(1)
        param sd[site] ~ LogNormal(mu, tau)
        param rho[site] ~ Normal(0, 1)
        param sd_obs ~ HalfNormal(1)
        state level[site]
        obs y[site]
        init level ~ Normal(mu, 10)
        level[t, i] ~ Normal(rho[i] * level[t-1, i], sd[i]) for i in site
        y[t, i] ~ Normal(level[t, i], sd_obs) for i in site
    """
    assert_same("axis site = 1..5\n" + text, [5], gradient="both")


def test_the_derivatives_of_a_panel_in_either_mode_and_again() -> None:
    model = ssmlang.compile("""
        axis site = 1..5
        param s ~ HalfNormal(1)
        param sd[site] ~ HalfNormal(1)
        state level[site]
        obs y[site]
        init level ~ Normal(0, 1)
        level[t, i] ~ Normal(0.9 * level[t-1, i], sd[i]) for i in site
        y[t, i] ~ Normal(level[t, i], s) for i in site
    """)
    y = np.random.default_rng(2).standard_normal((6, 5))
    with jax.enable_x64(True):
        value = lambda s, sd, engine="auto": model.log_likelihood({"y": y}, {"s": s, "sd": sd}, engine=engine)
        at = (jnp.asarray(0.7), jnp.linspace(0.5, 1.5, 5))
        for derivative in (jax.grad, jax.jacfwd, jax.hessian):
            found, whole = (jit(derivative(partial(value, engine=e), (0, 1)))(*at) for e in ("auto", "batch"))
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-9, 1e-9), found, whole)


def test_blocks_of_several_kinds() -> None:
    """Sites with stationary memories, a series of its own in the middle, a state that nothing sees, an observation of
    inputs alone, and one that is exact."""
    text = """
        param phi[site, 2] ~ Normal(0, 1)
        param theta, s, r, b ~ HalfNormal(1)
        noise e[site] ~ Normal(0, s)
        input z
        state hidden, lone, u[site]
        obs plain, y[site], seen
        init hidden ~ Normal(1, 2)
        init u ~ Stationary()
        init lone ~ Diffuse()
        hidden[t] ~ Normal(b * hidden[t-1] + z[t], r)
        u[t, i] = phi[i, 0] * u[t-1, i] - phi[i, 1] * u[t-2, i] + e[t, i] + theta * e[t-1, i] for i in site
        lone[t] ~ Normal(lone[t-1], r)
        y[t, i] = u[t, i] + 0.5 * u[t-1, i] for i in site
        seen[t] ~ Normal(lone[t], s)
        plain[t] ~ Normal(b * z[t], s)
    """
    assert_same(SITES + text, [1, 1, 4, 1])


def test_rows_that_vary_with_the_inputs_of_a_site() -> None:
    text = """
        param beta[site], slope ~ Normal(0, 1)
        param sd[site], sd_obs ~ HalfNormal(1)
        input X[site], w
        state level[site]
        obs y[site]
        init level ~ Normal(X[0], sd)
        level[t, i] ~ Normal((1 + X[t, i] / 10) * level[t-1, i] + slope * w[t], sd[i]) for i in site
        y[t, i] ~ Normal(level[t, i] + beta[i] * X[t, i], sd_obs * (1 + w[t]^2)) for i in site
    """
    assert_same(SITES + text, [4], verbs=VERBS[:1], gradient="quick")


def test_what_was_seen_joins_nothing() -> None:
    text = """
        param a ~ Normal(0, 1)
        param s ~ HalfNormal(1)
        state level[site]
        obs y[site], total
        init level ~ Normal(0, 2)
        level[t, i] ~ Normal(level[t-1, i] + a * total[t-1], s) for i in site
        y[t, i] ~ Normal(level[t, i], s) for i in site
        total[t] ~ Normal(total[t-1] + a * y[t-1, 1], 1)
    """
    assert_same(SITES + text, [4, 1], missing=0.0, verbs=VERBS[2:], gradient="quick")


def test_definitions_join_nothing() -> None:
    text = """
        param s[site] ~ HalfNormal(1)
        state level[site]
        obs y[site]
        init level ~ Normal(0, 2)
        level[t, i] ~ Normal(level[t-1, i], s[i]) for i in site
        y[t, i] ~ Normal(level[t, i], 1) for i in site
        let total[t] = 3 + sum(level[t, i] for i in site)
        let change[t] = level[t, 2] - level[t-1, 2] + t
        let known[t] = 2 * t
    """
    assert_same(SITES + text, [3, 1, 1], definitions=True, verbs=VERBS[1:])


@pytest.mark.parametrize(
    "joining",
    [
        "init level ~ Normal(0, 1)\nnoise w[site] ~ MvNormal(zeros(4), eye(4) + 1)\n"
        "level[t] = level[t-1] + w[t]\ny[t] ~ Normal(level[t], s)",
        "init level ~ MvNormal(zeros(4), eye(4) + 1)\nlevel[t] ~ Normal(level[t-1], s)\ny[t] ~ Normal(level[t], s)",
        "init level ~ Normal(0, 1)\nlevel[t] ~ Normal(level[t-1], s)\ny[t] ~ MvNormal(level[t], eye(4) + 1)",
        "init level ~ Normal(0, 1)\nlevel[t] ~ Normal(level[t-1], s)\n"
        "y[t, i] ~ Normal(level[t, i] + 0.1 * level[t, 1], s) for i in site",
    ],
    ids=["shared noise", "initial law", "correlated observations", "a shared reading"],
)
def test_what_joins_everything(joining: str) -> None:
    low = lowered(SITES + "param s ~ HalfNormal(1)\nstate level[site]\nobs y[site]\n" + joining)
    found = BlockLowering(low)
    assert found.blocks.count == 1
    assert found.groups[0].structure == low.structure


def test_numbers_that_are_the_same_for_all_members_are_held_once() -> None:
    text = """
        param F[2, 2] ~ Normal(0, 1)
        param q, r ~ HalfNormal(1)
        param h[site] ~ Normal(0, 1)
        state x[site, 2]
        obs y[site]
        init x ~ Normal(0, q)
        x[t, i] ~ Normal(F @ x[t-1, i], q) for i in site
        y[t, i] ~ Normal(h[i] * x[t, i, 0], r) for i in site
    """
    with jax.enable_x64(True):
        low = lowered(SITES + text)
        (members,), _ = BlockLowering(low).programs(*numbers(low), T)
    assert set(members.own) == {"H"}
    assert members.shared["F"].shape == (1, 2, 2)
    assert members.own["H"].shape == (4, 1, 1, 2)


KINDS = {
    "level": "state x\nobs y\ninit x ~ Normal(0, 2)\nx[t] ~ Normal(x[t-1], s)\ny[t] ~ Normal(x[t], r)",
    "unseen": "state x\ninit x ~ Normal(0, r)\nx[t] ~ Normal(phi * x[t-1] + 1, s)",
    "white": "obs y\ny[t] ~ Normal(phi, s)",
    "ar": "state x\nobs y\ninit x ~ Stationary()\nx[t] ~ Normal(phi * x[t-1] + 0.2 * x[t-2], s)\ny[t] = x[t]",
    "flat": "state x, v\nobs y\ninit x, v ~ Diffuse()\nx[t] ~ Normal(x[t-1] + v[t-1], s)\nv[t] ~ Normal(v[t-1], r)\n"
            "y[t] ~ Normal(x[t], r)",
    "shared": "noise w ~ Normal(0, s)\nstate x\nobs y[2]\ninit x ~ Normal(0, 1)\nx[t] = phi * x[t-1] + w[t-1]\n"
              "y[t, 0] = x[t] + w[t]\ny[t, 1] ~ Normal(x[t-1], r)\ninit x[-1] ~ Normal(0, 1)",
}  # fmt: skip
NAMES = ("x", "v", "y", "w", "phi", "s", "r")


def composed(kinds: list[str]) -> str:
    """A model of unrelated parts, their statements dealt out like cards."""
    parts = []
    for k, kind in enumerate(kinds):
        lines = ["param phi, s, r ~ HalfNormal(1)", *KINDS[kind].split("\n")]
        for name in NAMES:
            lines = [re.sub(rf"\b{name}\b", f"{name}{k}", line) for line in lines]
        parts.append(lines)
    longest = max(map(len, parts))
    return "\n".join(lines[i] for i in range(longest) for lines in parts if i < len(lines))


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(sorted(KINDS)), min_size=2, max_size=4))
def test_random_parts(kinds: list[str]) -> None:
    counts: dict[str, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    assert_same(
        composed(kinds), None if len(counts) > 1 else [len(kinds)], count=len(kinds), verbs=VERBS[:1], gradient="quick"
    )


def test_taking_places_that_step_evenly_and_that_do_not() -> None:
    values = np.arange(20.0)
    for at in ([[0, 5], [2, 5], [4, 5]], [[1, 0], [2, 1]], [[3, 3]], [[7, 1], [2, 9], [0, 0]], [[9, 2], [8, 3]]):
        np.testing.assert_array_equal(taken(jnp.asarray(values), np.array(at)), values[np.array(at)])
