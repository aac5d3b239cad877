"""Simulation-based calibration, the short version: a method that is right passes, one that is not is seen."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import calibration
from benchmarks.calibration import DRAWS, Found, calibrate, page, uniformity


def test_uniform_ranks_pass_and_others_do_not() -> None:
    rng = np.random.default_rng(0)
    values = [uniformity(rng.integers(0, DRAWS + 1, 200)) for _ in range(300)]
    assert 0.02 < np.mean(np.array(values) < 0.05) < 0.09 and 0.4 < np.mean(values) < 0.6
    # Posteriors too narrow put ranks at the ends, one that leans puts them on a side.
    narrow = (DRAWS * rng.beta(0.5, 0.5, 200)).astype(int)
    leaning = (DRAWS * rng.beta(2, 1, 200)).astype(int)
    assert uniformity(narrow) < 1e-4 and uniformity(leaning) < 1e-4


def test_nuts_on_a_local_level_is_calibrated_and_a_bias_would_be_seen() -> None:
    found = calibrate("level", "nuts", 30)
    assert found.ranks.shape == (30, 2) and found.names == ["a", "b"] and found.engine == "kalman"
    assert min(found.p_values()) > 1e-3
    shifted = calibrate("level", "nuts", 30, bias=1.5)
    assert max(shifted.p_values()) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("program", calibration.PROGRAMS)
@pytest.mark.parametrize("method", ["nuts", "pmmh"])
def test_every_program(program: str, method: str) -> None:
    assert min(calibrate(program, method, 100).p_values()) > 1e-4


def test_the_page_says_what_was_found() -> None:
    ranks = np.tile(np.arange(100)[:, None], 2)
    text = page([Found("ar", "nuts", "kalman", ["phi", "q"], ranks, 1.0)])
    assert "| `nuts` | `kalman` | 100 | phi 1, q 1 |" in text
    assert all(about.lower() in text.lower() for about, _ in calibration.PROGRAMS.values())
