"""Engines leave precision to their caller: these tests call them in double precision."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True)
def double_precision(precision_is_left_as_it_was: None) -> Iterator[None]:
    with jax.enable_x64(True):
        yield
