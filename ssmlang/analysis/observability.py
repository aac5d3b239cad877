"""Whether the states can be known from the observations. (In the making.)"""

from __future__ import annotations

from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding


def check(context: Context) -> list[Finding]:
    """Nothing yet."""
    return []
