"""Runs the contestant named on the command line: where it has JAX, with programs run in the thread that calls them.

To hand a program over to another thread takes JAX 10 to 40 us on a CPU, most where a core has gone idle meanwhile: more
than a filter of a thousand rows takes. Libraries make JAX's client when they are imported, so it is said before.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    try:
        import jax
    except ModuleNotFoundError:
        pass  # a library without JAX
    else:
        jax.config.update("jax_cpu_enable_async_dispatch", False)
    script = Path(__file__).with_name(sys.argv[1] + ".py")
    sys.argv = [str(script), *sys.argv[2:]]
    runpy.run_path(str(script), run_name="__main__")
