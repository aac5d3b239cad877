"""NUTS against a grid, its determinism, its refusals, its progress."""

from __future__ import annotations

import subprocess
import sys
import warnings

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from handmade import model, parameter, ref
from local_level import NILE, flat_priors, log_likelihood, priors

from ssmlang.inference.model import numpyro_model
from ssmlang.inference.nuts import Nuts
from ssmlang.inference.priors import Priors
from ssmlang.language.diagnostics import SsmError


@pytest.fixture(scope="module")
def sampler() -> Nuts:
    return Nuts(priors(), log_likelihood, warmup=500)


def grid_moments() -> tuple[np.ndarray, np.ndarray]:
    """Posterior means and standard deviations of (sd_level, sd_flow) by quadrature."""
    level, flow = np.linspace(0.5, 220, 300), np.linspace(60, 220, 300)
    a, b = np.meshgrid(level, flow, indexing="ij")
    with jax.enable_x64(True):
        points = {"sd_level": jnp.asarray(a.ravel()), "sd_flow": jnp.asarray(b.ravel())}
        log_p = jax.jit(jax.vmap(lambda p: log_likelihood(p, jnp.asarray(NILE))))(points)
    log_p = np.asarray(log_p).reshape(a.shape) - 0.5 * (a / 200) ** 2 - 0.5 * (b / 200) ** 2
    weight = np.exp(log_p - log_p.max())
    weight /= weight.sum()
    mean = np.array([(weight * a).sum(), (weight * b).sum()])
    return mean, np.sqrt(np.array([(weight * a**2).sum(), (weight * b**2).sum()]) - mean**2)


def test_moments_are_those_of_the_grid(sampler: Nuts) -> None:
    draws = sampler.run(NILE, draws=1500, seed=3)
    mean, sd = grid_moments()
    for i, name in enumerate(("sd_level", "sd_flow")):
        x = draws.params[name]
        assert x.shape == (4, 1500) and x.dtype == np.float64
        ess = float(az.ess(x))
        assert ess > 500
        assert float(az.rhat(x)) < 1.02
        assert abs(x.mean() - mean[i]) < 4 * sd[i] / ess**0.5
        assert abs(x.std() / sd[i] - 1) < 0.1
    assert draws.divergences == 0
    assert draws.stats["n_steps"].min() >= 1
    with jax.enable_x64(True):
        at = {k: jnp.asarray(v[2, 7]) for k, v in draws.params.items()}
        law = priors()
        _, log_det = law.constrain(law.unconstrain(at))
        expected = log_likelihood(at, jnp.asarray(NILE)) + law.log_density(at) + log_det
    np.testing.assert_allclose(draws.stats["lp"][2, 7], expected, rtol=1e-9)


def test_the_same_seed_gives_the_same_draws_and_another_others(sampler: Nuts) -> None:
    one, two, three = (sampler.run(NILE, draws=130, seed=s) for s in (0, 0, 1))
    for name in one.params:
        assert one.params[name].shape == (4, 130)
        np.testing.assert_array_equal(one.params[name], two.params[name])
        assert (one.params[name] != three.params[name]).any()
    assert len({float(chain[0]) for chain in one.params["sd_level"]}) == 4
    # A shorter run is the beginning of a longer one.
    np.testing.assert_array_equal(sampler.run(NILE, draws=30, seed=0).params["sd_flow"], one.params["sd_flow"][:, :30])


def test_another_data_set_of_the_same_shape_compiles_nothing(sampler: Nuts) -> None:
    sampler.run(NILE, draws=10)
    before = len(sampler._blocks)
    with jax.log_compiles(), warnings.catch_warnings():
        warnings.simplefilter("error")
        count = _compilations(lambda: sampler.run(NILE[::-1].copy(), draws=10, seed=5))
    assert count == 0
    assert len(sampler._blocks) == before


def _compilations(call) -> int:
    import logging

    seen: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "Finished XLA compilation" in record.getMessage():
                seen.append(record.getMessage())

    handler = Handler()
    logger = logging.getLogger("jax")
    logger.addHandler(handler)
    try:
        call()
    finally:
        logger.removeHandler(handler)
    return len(seen)


def test_batched_chains_sample_the_same_posterior() -> None:
    sampler = Nuts(priors(), log_likelihood, warmup=300, chains=3, chain_method="vectorized")
    draws = sampler.run(NILE[:40], draws=250)
    assert draws.params["sd_flow"].shape == draws.stats["diverging"].shape == (3, 250)
    threads = Nuts(priors(), log_likelihood, warmup=300, chains=3, chain_method="threads").run(NILE[:40], draws=250)
    difference = draws.params["sd_flow"].mean() - threads.params["sd_flow"].mean()
    assert abs(difference) < 5 * draws.params["sd_flow"].std() * (2 / 200) ** 0.5


def test_vectors_and_dependent_parameters_come_back_in_shape_and_order() -> None:
    law = Priors(model(
        parameter("b", ("Normal", {"loc": ref("a"), "scale": 1.0}), (3,)),
        parameter("a", ("Normal", {"loc": 0.0, "scale": 1.0})),
        parameter("w", ("Dirichlet", {"concentration": [2.0, 3.0, 4.0]}), (3,)),
    ))  # fmt: skip
    draws = Nuts(law, lambda p, data: 0.0 * p["a"], warmup=300, chains=2).run(draws=600)
    assert list(draws.params) == ["b", "a", "w"]
    assert draws.params["b"].shape == (2, 600, 3)
    np.testing.assert_allclose(draws.params["w"].mean((0, 1)), np.array([2, 3, 4]) / 9, atol=0.04)
    np.testing.assert_allclose(draws.params["b"].var((0, 1)), 2.0, rtol=0.35)


def test_a_flat_prior_is_refused_by_name() -> None:
    with pytest.raises(SsmError) as caught:
        Nuts(flat_priors(), log_likelihood)
    assert [d.code for d in caught.value.diagnostics] == ["E341", "E341"]
    assert "sd_level" in caught.value.diagnostics[0].message


def test_no_starting_point_is_an_error_that_says_what_was_seen() -> None:
    with pytest.raises(SsmError) as caught:
        Nuts(priors(), lambda p, y: jnp.nan * p["sd_level"], warmup=10, chains=2).run(NILE)
    (found,) = caught.value.diagnostics
    assert found.code == "E741"
    assert "nan" in found.why[0] and "sd_level = " in found.why[0]


def test_ctrl_c_keeps_the_draws_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    import ssmlang.inference.chains as chains
    import ssmlang.inference.nuts as nuts

    sampler = Nuts(priors(), log_likelihood, warmup=100, chains=2)
    sampler.run(NILE, draws=10)
    real_wait, kept = chains.wait, []

    class Watched(chains.Run):
        def chain(self, state, blocks):
            kept.append(blocks)
            return super().chain(state, blocks)

    def wait(jobs) -> None:  # as if Ctrl-C came when every chain had two blocks
        while len(kept) < 2 or min(map(len, kept)) < 2:
            real_wait(jobs, timeout=0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(nuts, "Run", Watched)
    monkeypatch.setattr(chains, "wait", wait)
    draws = sampler.run(NILE, draws=1_000_000)
    assert draws.interrupted
    n = draws.params["sd_level"].shape[1]
    assert 200 <= n < 1_000_000 and n % 100 == 0


def test_progress_is_one_plain_line_or_nothing(sampler: Nuts, capfd: pytest.CaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler.run(NILE, draws=10, progress="off")
        assert capfd.readouterr().err == ""
        sampler.run(NILE, draws=10, progress="plain")
        err = capfd.readouterr().err
        assert err.count("\n") == 1 and err.startswith("nuts: 4 x (500 + 10): ")
        sampler.run(NILE, draws=10, progress="bar")
        assert "100%" in capfd.readouterr().err


def test_the_plain_numpyro_model_runs_under_numpyros_own_kernel() -> None:
    with jax.enable_x64(True):
        program = numpyro_model(priors(), lambda p: log_likelihood(p, jnp.asarray(NILE[:30])))
        kernel = numpyro.infer.NUTS(program)
        mcmc = numpyro.infer.MCMC(kernel, num_warmup=200, num_samples=200, progress_bar=False)
        mcmc.run(jax.random.key(0))
        theirs = np.asarray(mcmc.get_samples()["sd_flow"])
        drawn = numpyro.infer.Predictive(program, num_samples=5)(jax.random.key(1))
    assert drawn["sd_level"].shape == (5,)
    ours = Nuts(priors(), log_likelihood, warmup=200, chains=2).run(NILE[:30], draws=400).params["sd_flow"]
    assert abs(theirs.mean() - ours.mean()) < 5 * ours.std() * (1 / 60 + 1 / 150) ** 0.5


def test_nothing_of_jax_is_set_and_no_warning_is_given() -> None:
    code = """
import warnings; warnings.simplefilter("error")
import sys; sys.path[:0] = sys.argv[1:]
from local_level import *
from ssmlang.inference.nuts import Nuts
import jax
d = Nuts(priors(), log_likelihood, warmup=20, chains=2).run(NILE, draws=20, progress="off")
assert d.params["sd_flow"].dtype == "float64" and not jax.config.jax_enable_x64
"""
    root = __file__.rsplit("/tests/", 1)[0]
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, root, f"{root}/tests/inference"],
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0 and done.stderr == "", done.stderr
