"""The command line: `ssmlang check nile.ssm`, `ssmlang fit nile.ssm --data nile.csv`, ..."""

from ssmlang.cli.main import main

__all__ = ["main"]
