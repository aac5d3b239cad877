"""Every engine becomes code for CUDA devices, without one being there, out of operations that run on them."""

from __future__ import annotations

import re

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import ssmlang
from ssmlang.analysis.engines import REQUIRES
from ssmlang.engines import engine_class
from ssmlang.lowering.nonlinear import NonlinearLowering

from .programs import Kind, make, random_data

STEPS = 6
LINEAR = [name for name, needs in REQUIRES.items() if needs.linear]
GENERAL = ["ekf", "iekf", "ukf", "cubature", "gauss_hermite", "ipls", "laplace", "importance", "particle"]
FORBIDDEN = re.compile(r"callback|host|geev|gees|schur|lapack|xla_python", re.IGNORECASE)


def program():
    """Fits every engine: a proper start, noises of their own for each state and observation."""
    F = np.array([[[0.8, 0.1], [0.0, 0.6]]])
    G = np.array([[[0.5, 0.0, 0.0], [0.2, 0.7, 0.0]]])
    return make(F, G, [[[1.0, 0.5]]], [[[0.0, 0.0, 0.4]]], c=np.array([0.1, -0.2]), factor=np.eye(2))


def value_and_gradient(engine):
    return jax.value_and_grad(engine.log_likelihood, allow_int=True)


VERBS = {
    "value and gradient": value_and_gradient,
    "filter": lambda engine: engine.filter,
    "smooth": lambda engine: engine.smooth,
}


def calls(function, *arguments) -> set[str]:
    """Names of what the CUDA code of a function calls outside itself."""
    text = jax.export.export(jax.jit(function), platforms=["cuda"])(*arguments).mlir_module()
    return set(re.findall(r"custom_call\s*@([\w.$]+)", text)) | set(re.findall(r'call_target_name = "([^"]+)"', text))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", LINEAR)
def test_lowers_for_cuda(name, verb):
    y = random_data(Kind(seed=1), STEPS, 0.0, (3,))
    with jax.enable_x64(True):
        found = calls(VERBS[verb](engine_class(name)()), program(), y)
    assert not [call for call in found if FORBIDDEN.search(call)]


BENT = """
state x[2]
obs y
init x ~ Normal([1, 0], 0.5)
x[t] ~ Normal([x[t-1, 1], sin(x[t-1, 0])], [0.1, 0.2])
y[t] ~ Poisson(exp(x[t, 0]))
"""


@pytest.mark.parametrize("verb", ["log_likelihood", "filter", "smooth"])
@pytest.mark.parametrize("name", GENERAL)
def test_engines_of_nonlinear_programs_lower_for_cuda(name, verb):
    lowering = NonlinearLowering(ssmlang.compile(BENT).spec, {})
    engine = engine_class(name)()
    key = [jax.random.key(0)] if engine.requires.random else []

    def asked(y):
        found, rows = lowering.program({}, {"y": y}, {}, STEPS)
        return jax.tree.leaves(getattr(engine, verb)(found, rows, *key))

    with jax.enable_x64(True):
        found = calls(asked, np.arange(float(STEPS)))
    assert not [call for call in found if FORBIDDEN.search(call)]


@pytest.mark.parametrize("name", LINEAR)
def test_one_graph_does_not_grow_with_the_series(name):
    """Rows are gone through by loops or whole-array operations: nothing is written out for each."""
    sizes = []
    for steps in (40, 56):
        with jax.enable_x64(True):
            traced = jax.make_jaxpr(engine_class(name)().log_likelihood)(program(), random_data(Kind(seed=1), steps))
        sizes.append(str(traced).count("\n"))
    assert sizes[1] < 1.2 * sizes[0]


def test_the_check_sees_what_it_looks_for():
    found = calls(lambda x: jnp.linalg.eigh(x), np.eye(3))
    assert found and not [call for call in found if FORBIDDEN.search(call)]
    with pytest.raises(NotImplementedError):
        calls(lambda x: jax.lax.linalg.schur(x), np.eye(2))
    with pytest.raises(ValueError, match="lowering platform cuda"):
        calls(lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x), np.ones(2))
    assert FORBIDDEN.search("lapack_dgeev_ffi") and not FORBIDDEN.search("cusolver_geqrf_ffi")
