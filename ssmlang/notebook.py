"""Jupyter and IPython: `%load_ext ssmlang`, then `%%ssm NAME` compiles a cell to an object of that name.

Without NAME it is that of the line `model NAME` in the cell.

Each magic is a thin wrapper over a function of the public interface; nothing is done here that a script could not do.
"""

from __future__ import annotations

import keyword
import re
import warnings
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import display

from ssmlang.typed import Usage, pairs


@magics_class
class SsmMagics(Magics):
    """The magics of ssmlang."""

    @no_var_expand
    @magic_arguments()
    @argument("name", nargs="?", help="the Python name that the compiled model is bound to (default: the model's own)")
    @argument("--const", action="append", default=[], metavar="NAME=VALUE", help="value of a const (repeatable): p=3")
    @argument("--save", metavar="FILE", help="write the cell to a model file too")
    @argument("--quiet", action="store_true", help="bind the model without showing it")
    @cell_magic("ssm")
    def ssm(self, line: str, cell: str) -> None:
        """Compile the cell to a model and bind it: the same as `NAME = ssmlang.compile(text)`.

        Positions in messages count the lines of the cell, the magic's own as line 1. A cell that does not compile
        fails, and binds nothing.
        """
        args = parse_argstring(self.ssm, line)
        own = re.search(r"(?m)^[ \t]*model[ \t]+(\w+)", cell)
        name = args.name or (own[1] if own else None)
        if name is None:
            raise UsageError("%%ssm: give the model a name: `%%ssm NAME`, or a line `model NAME` in the cell")
        if not name.isidentifier() or keyword.iskeyword(name):
            raise UsageError(f"%%ssm {name}: {name} cannot be a Python name")
        model = compile_cell(line, cell, name, _constants(args.const))
        self.shell.user_ns[name] = model
        if args.save is not None:
            try:
                Path(args.save).write_text(cell, encoding="utf-8")
            except OSError as error:
                raise UsageError(f"%%ssm --save {args.save}: {error.strerror}") from None
        if not args.quiet:
            display(model)

    @no_var_expand
    @magic_arguments()
    @argument("file", help="a model file")
    @argument("name", nargs="?", help="the Python name it is bound to (default: the file's stem)")
    @argument("--const", action="append", default=[], metavar="NAME=VALUE", help="value of a const (repeatable): p=3")
    @line_magic("ssm_load")
    def ssm_load(self, line: str) -> Any:
        """Compile a model file, bind it and return it: the same as `NAME = ssmlang.compile("FILE")`."""
        import ssmlang

        args = parse_argstring(self.ssm_load, line)
        name = args.name or Path(args.file).stem
        if not name.isidentifier() or keyword.iskeyword(name):
            raise UsageError(f"%ssm_load {args.file}: {name} cannot be a Python name; give one: %ssm_load FILE NAME")
        model = ssmlang.compile(str(args.file), constants=_constants(args.const))
        self.shell.user_ns[name] = model
        return model

    @line_magic("ssm_explain")
    def ssm_explain(self, line: str) -> None:
        """Say what a code means: `%ssm_explain E205`."""
        import ssmlang

        text = ssmlang.explain(line.strip())
        if text is None:
            raise UsageError(f"there is no code {line.strip() or '(none given)'}; `ssmlang explain` lists them all")
        print(text)


def compile_cell(line: str, cell: str, name: str, constants: dict[str, Any]) -> Any:
    """Compile the text of a `%%ssm` cell, with positions as the cell shows them."""
    from ssmlang import compiling
    from ssmlang.language.source import Source

    # The parser skips a first line `%%ssm ...`; leaving it in makes line 2 of the cell line 2 of the source.
    return compiling.compile_source(Source(f"cell {name}", f"%%ssm {line}\n{cell}"), constants=constants, name=name)


def _constants(texts: list[str]) -> dict[str, Any]:
    try:
        return pairs(texts, "--const")
    except Usage as error:
        raise UsageError(str(error)) from None


def register(shell: Any) -> None:
    """Register the magics in an IPython shell."""
    # NumPyro, when imported, asks for tqdm's widgets, and tqdm warns where there are none; none of them is used.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tqdm.auto  # noqa: F401
    shell.register_magics(SsmMagics)
