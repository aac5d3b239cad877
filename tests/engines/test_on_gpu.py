"""Every engine gives on a GPU what it gives on the CPU, in double precision. Run where JAX finds both:

JAX_PLATFORMS=cuda,cpu pytest tests/engines/test_on_gpu.py tests/api/test_on_gpu.py
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines import DiffuseHead, Kalman, Parallel, engine_class, engine_names

from .programs import Kind, random_data, random_program
from .systems import NAMES, system, system_data
from .test_cuda_lowering import program as proper
from .test_parallel import CASES, FIELDS

pytestmark = pytest.mark.skipif(not any(d.platform == "gpu" for d in jax.devices()), reason="there is no GPU")
STEPS = 70
MARKOV = ("kalman", "square_root", "parallel")
LONG_MEMORY = ("dual", "growing", "batch", "wiener_hopf", "banded")
FLAT = {
    "diffuse trend": Kind(n=2, m=1, r=2, noise="own", diffuse=2, rank=0, seed=4),
    "diffuse, dense noise": Kind(n=3, m=2, r=2, order=2, noise="dense", diffuse=3, rank=1, seed=5),
}


def everything(engine, program, y):
    """Value, gradient in the program's numbers, and moments."""

    def value(numbers):
        return engine.log_likelihood(type(program)(**numbers, initial=program.initial, structure=program.structure), y)

    numbers = {name: jnp.asarray(getattr(program, name)) for name in FIELDS}
    return jax.value_and_grad(value)(numbers), engine.filter(program, y), engine.smooth(program, y)


def same_on_both(engine, program, y, tolerance=1e-9):
    found = {}
    for platform in ("gpu", "cpu"):
        with jax.default_device(jax.devices(platform)[0]):
            arguments = jax.device_put((program, y), jax.devices(platform)[0])
            result = jax.jit(lambda p, y: everything(engine, p, y))(*arguments)
            assert all(leaf.devices() == {jax.devices(platform)[0]} for leaf in jax.tree.leaves(result))
            found[platform] = jax.tree.map(np.asarray, result)
    assert np.isfinite(found["cpu"][0][0])
    compare = lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, finite_size(b)))
    jax.tree.map(compare, found["gpu"], found["cpu"])


def finite_size(a):
    return np.abs(np.where(np.isfinite(a), a, 0.0)).max(initial=0.0)


@pytest.mark.parametrize("name", engine_names())
def test_a_program_that_fits_every_engine(name):
    same_on_both(engine_class(name)(), proper(), random_data(Kind(seed=1), STEPS, 0.1, (3, 40)))


@pytest.mark.parametrize("kind", [*CASES, *FLAT])
@pytest.mark.parametrize("name", MARKOV)
def test_programs_of_finite_order(name, kind):
    what = {**CASES, **FLAT}[kind]
    program, y = random_program(what, STEPS), random_data(what, STEPS, 0.2, (0, 4, 7))
    engine = engine_class(name)()
    if isinstance(engine, Kalman) and what.diffuse:
        engine = Kalman(diffuse=DiffuseHead(8, True))
    same_on_both(engine, program, y)


@pytest.mark.parametrize("system_name", NAMES)
@pytest.mark.parametrize("name", LONG_MEMORY)
def test_programs_that_read_their_whole_past(name, system_name):
    y = system_data(STEPS)
    y[[5, 33]] = np.nan
    same_on_both(engine_class(name)(), system(system_name, STEPS), y, 1e-7 if name == "dual" else 1e-9)


def test_a_settled_gain():
    """Long enough for the route of matrix products."""
    kind = Kind(n=4, m=2, r=4, noise="own", seed=8)
    same_on_both(Kalman(complete=True), random_program(kind, 700), random_data(kind, 700))


def test_paths_are_the_same_draws():
    found = []
    for platform in ("gpu", "cpu"):
        with jax.default_device(jax.devices(platform)[0]):
            draw = jax.jit(lambda p, y: Parallel().sample(p, y, jax.random.key(0), 3))
            found.append(np.asarray(draw(proper(), random_data(Kind(seed=1), STEPS, 0.1))))
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [1, 4, 7, 16])
@pytest.mark.parametrize("diffuse", [0, 1])
def test_the_kernels_of_the_parallel_engine(n, diffuse):
    """Every size of tile, more rows than one warp takes, and a length that is no multiple of anything."""
    kind = Kind(n=n, m=1, r=n, noise="own", diffuse=diffuse, rank=0 if diffuse else None, seed=3)
    program, y = random_program(kind, 20), random_data(kind, 3001, 0.1)
    stable = jax.tree.map(np.asarray, program)
    stable.F[...] *= 0.9 / max(1.0, np.abs(np.linalg.eigvals(stable.F[0])).max())
    same_on_both(Parallel(), stable, y)
