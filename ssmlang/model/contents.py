"""What the values of parameters hold, to know them again by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Contents = tuple[tuple[str, tuple[int, ...], bytes], ...]
"""Names, shapes and bytes of arrays of doubles."""

KEPT_NUMBERS = 4096
"""Parameters of at most so many numbers are known again."""


def contents_of(arrays: Mapping[str, np.ndarray]) -> Contents:
    """All that arrays of doubles hold."""
    return tuple((name, a.shape, a.tobytes()) for name, a in arrays.items())
