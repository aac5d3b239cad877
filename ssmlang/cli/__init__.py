"""The command line: `ssmlang check nile.ssm`, `ssmlang fit nile.ssm --data nile.csv`, ..."""

import gc

# Starting makes many objects and no garbage: looking for some is a tenth of the time of a short command.
gc.set_threshold(50_000, 20, 20)

from ssmlang.cli.main import main  # noqa: E402

__all__ = ["main"]
