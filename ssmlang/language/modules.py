"""Imports: which file a `from` statement means, and what it hands over.

A model file is data, and so is what it imports: a module is a file of the standard library, or lies in the folder of
the importing file or below it. Nothing else is ever opened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from ssmlang.language import syntax as s
from ssmlang.language.diagnostics import Findings, Label
from ssmlang.language.parser import MAX_TEXT, parse
from ssmlang.language.resources import list_resources, read_resource
from ssmlang.language.source import Source, Span
from ssmlang.language.suggest import did_you_mean, respelt

MAX_IMPORT_DEPTH = 16


@dataclass(eq=False)
class Module:
    """A parsed file. `components`: those it defines and those it imports, each with the module that defines it."""

    program: s.Program
    key: str
    base: Path | None
    """The folder that its own imports may not leave; None where it has none."""

    components: dict[str, tuple[s.Component, Module]] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    """Names that a failed import would have given; nothing more is said of them."""


class Loader:
    """Reads the modules of one compilation, each once."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.loaded: dict[str, Module] = {}
        self.stack: list[str] = []

    def open(self, program: s.Program, key: str, base: Path | None) -> Module:
        """The module of a parsed program, its imports resolved."""
        module = Module(program, key, base)
        self.stack.append(key)
        for statement in program.statements:
            if isinstance(statement, s.Component):
                self.define(module, statement.name, statement, module)
            elif isinstance(statement, s.Import):
                self.take(module, statement)
        self.stack.pop()
        self.loaded[key] = module
        return module

    def define(self, module: Module, name: s.Name, component: s.Component, home: Module) -> None:
        if name.id in module.components:
            first = Label(module.components[name.id][0].name.span, "the first one")
            message = f"there are two components named `{name.id}`"
            self.findings.add("E202", message, name.span, "the second one", others=(first,))
        else:
            module.components[name.id] = (component, home)

    def take(self, module: Module, statement: s.Import) -> None:
        """Carry out one import."""
        found = self.find(module, statement)
        for item in statement.items:
            name = item.alias or item.name
            if found is None:
                module.missing.add(name.id)
                continue
            own = {c.name.id: c for c in found.program.statements if isinstance(c, s.Component)}
            if item.name.id in own:
                self.define(module, name, own[item.name.id], found)
                continue
            module.missing.add(name.id)
            known = ", ".join(own) or "none"
            self.findings.add(
                "E283",
                f"`{statement.module}` has no component `{item.name.id}`",
                item.name.span,
                did_you_mean(item.name.id, own),
                help=f"its components: {known}",
                fix=respelt(item.name.span, item.name.id, own) if item.alias is not None else None,
            )

    def find(self, module: Module, statement: s.Import) -> Module | None:
        source = (self.library if not statement.is_path else self.beside)(module, statement)
        if source is None:
            return None
        key, read, base = source
        if key in self.loaded:
            return self.loaded[key]
        span = statement.module_span
        if key in self.stack:
            self.findings.add("E282", "these files import each other", span, "this import closes the circle")
            return None
        if len(self.stack) > MAX_IMPORT_DEPTH:
            self.findings.add("E282", f"imports are nested more than {MAX_IMPORT_DEPTH} deep", span)
            return None
        return self.open(parse(read, self.findings), key, base)

    def library(self, module: Module, statement: s.Import) -> tuple[str, Source, Path | None] | None:
        """A module of the standard library."""
        path = statement.module.replace(".", "/")
        text = read_resource(f"stdlib/{path}.ssm")
        if text is not None:
            return f"stdlib:{path}", Source(f"{path}.ssm", text), None
        known = list_resources("stdlib")
        beside = f'a file beside this one is imported by its path: `from "./{statement.module}.ssm" import ...`'
        self.findings.add(
            "E280",
            f"the standard library has no `{statement.module}`",
            statement.module_span,
            did_you_mean(statement.module, known),
            help=(f"it has {', '.join(known)}", beside),
        )
        return None

    def beside(self, module: Module, statement: s.Import) -> tuple[str, Source, Path | None] | None:
        """A file in the importing file's folder or below it."""
        written, span = statement.module, statement.module_span
        if module.base is None:
            self.complain("E281", "this text has no folder to import from", span, "compile it as a file")
            return None
        if "://" in written:
            self.complain(
                "E281", "a file cannot be imported from a network address", span, "only files beside this one"
            )
            return None
        windows, posix = PureWindowsPath(written), PurePosixPath(written)
        if windows.drive or windows.root or posix.is_absolute() or written.startswith("~") or "\0" in written:
            self.complain("E281", "an imported file is given relative to this one", span, "not an absolute path")
            return None
        try:
            base = module.base.resolve()
            path = (base / written.replace("\\", "/")).resolve()
        except (OSError, RuntimeError):
            self.complain("E280", f'"{written}" cannot be read', span)
            return None
        if not path.is_relative_to(base):
            self.complain(
                "E281", f'"{written}" lies outside of the folder of this file', span, "climbs out of the folder"
            )
            return None
        text = self.text(path, written, span)
        if text is None:
            return None
        shown = module.program.span.source.name
        name = str(PurePosixPath(PurePosixPath(shown).parent, written.replace("\\", "/")))
        return str(path), Source(name, text), path.parent

    def text(self, path: Path, written: str, span: Span) -> str | None:
        try:
            if path.suffix != ".ssm":
                self.complain("E280", f'"{written}" is no model file', span, "its name does not end in .ssm")
            elif not path.is_file():
                near = [str(p.relative_to(path.parent)) for p in sorted(path.parent.glob("*.ssm"))[:100]]
                self.complain(
                    "E280", f'there is no file "{written}" beside this one', span, did_you_mean(path.name, near)
                )
            elif path.stat().st_size > 4 * MAX_TEXT:
                self.complain("E280", f'"{written}" is too large', span)
            else:
                return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            why = "it is not text in UTF-8" if isinstance(error, UnicodeDecodeError) else "the system refuses"
            self.complain("E280", f'"{written}" cannot be read', span, why)
        return None

    def complain(self, code: str, message: str, span: Span, label: str = "") -> None:
        self.findings.add(code, message, span, label)
