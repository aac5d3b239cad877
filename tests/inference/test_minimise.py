"""The search itself, without a model."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from ssmlang.inference.minimise import descend


def test_the_search_shares_its_algebra_with_no_thread() -> None:
    """A BLAS that shares the search's small products among threads takes a hundred times as long on a busy machine."""
    meanwhile: set[int] = set()

    def objective(z: np.ndarray) -> tuple[float, np.ndarray]:
        meanwhile.update(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")
        return float(np.cosh(z - 1.0).sum()), np.sinh(z - 1.0)

    with threadpool_limits(2, user_api="blas"):
        value, z = descend(objective, np.array([3.0, -2.0]), np.array([1.0, 0.5]))
        after = {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}
    assert meanwhile == {1} and after == {2}
    np.testing.assert_allclose(value, 2.0, rtol=1e-12)
    np.testing.assert_allclose(z, 1.0, atol=1e-6)
