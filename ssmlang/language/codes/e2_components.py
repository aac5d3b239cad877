"""E28x: imports and components."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_LEVEL = "component level(sd) {\n  state x\n  init x ~ Diffuse()\n  x[t] ~ Normal(x[t-1], sd)\n  out x[t]\n}\n"
_OTHER = "component other() {\n  out 1\n}\n"
_OBS = "obs y\ny[t] ~ Normal(trend[t], 1)\n"

CODES: tuple[Code, ...] = (
    Code(
        "E280",
        "unknown-module",
        "a file to import from is not there, or cannot be read",
        "A bare name is a module of the standard library; a path in quotes is a model file (.ssm, text in UTF-8) given "
        "relative to the importing file.",
        Example('from "./parts.ssm" import level\npart trend = level(1)\n' + _OBS, {"part.ssm": _LEVEL}),
        Example('from "./parts.ssm" import level\npart trend = level(1)\n' + _OBS, {"parts.ssm": _LEVEL}),
    ),
    Code(
        "E281",
        "import-outside",
        "an import leaves the folder of its file",
        "A model file is data: it may read files in its own folder and in folders below it, and the standard library. "
        "Absolute paths, paths that climb out (also by way of a link) and addresses on a network are refused.",
        Example('from "../parts.ssm" import level\npart trend = level(1)\n' + _OBS),
        Example('from "./parts.ssm" import level\npart trend = level(1)\n' + _OBS, {"parts.ssm": _LEVEL}),
    ),
    Code(
        "E282",
        "import-circle",
        "files import each other in a circle, or too deep",
        "A file cannot import, however indirectly, from a file that imports from it. Move what both need to a third.",
        Example(
            'from "./a.ssm" import level\npart trend = level(1)\n' + _OBS,
            {"a.ssm": 'from "./b.ssm" import other\n' + _LEVEL, "b.ssm": 'from "./a.ssm" import level\n' + _OTHER},
        ),
        Example('from "./a.ssm" import level\npart trend = level(1)\n' + _OBS, {"a.ssm": _LEVEL}),
    ),
    Code(
        "E283",
        "unknown-component-of-module",
        "a module has no component of this name",
        "Only components can be imported, and only those that the module itself defines.",
        Example("from structural import local_levl\npart trend = local_levl(1)\n" + _OBS),
        Example("from structural import local_level\npart trend = local_level(1)\n" + _OBS),
        fixes="a misspelt component, where it is imported `as` another name",
    ),
    Code(
        "E284",
        "unknown-component",
        "a part of a component that is not there",
        "The component of a part is defined in the same file, or imported by a `from` statement.",
        Example(_LEVEL + "part trend = levle(1)\n" + _OBS),
        Example(_LEVEL + "part trend = level(1)\n" + _OBS),
    ),
    Code(
        "E285",
        "component-arguments",
        "the arguments of a part do not fit its component",
        "Every argument of a component is given once, by position or by name. An argument that gets an equation inside "
        "the component must be a name.",
        Example(_LEVEL + "part trend = level(1, 2)\n" + _OBS),
        Example(_LEVEL + "part trend = level(sd = 1)\n" + _OBS),
    ),
    Code(
        "E286",
        "component-circle",
        "a component contains itself",
        "The parts of a component are written out, so none of them may lead back to it.",
        Example("component level(sd) {\n  part inner = level(sd)\n  out inner[t]\n}\npart trend = level(1)\n" + _OBS),
        Example(
            _LEVEL
            + "component noisy(sd) {\n  part inner = level(sd)\n  out inner[t]\n}\npart trend = noisy(1)\n"
            + _OBS
        ),
    ),
    Code(
        "E287",
        "unknown-inner-name",
        "an inner name that is not there",
        "`trend.slope` is the name `slope` declared inside the component of which `trend` is an instance. Only parts "
        "have inner names; a component's arguments are not among them.",
        Example(_LEVEL + "part trend = level(1)\nobs y\ny[t] ~ Normal(trend.y[t], 1)\n"),
        Example(_LEVEL + "part trend = level(1)\nobs y\ny[t] ~ Normal(trend.x[t], 1)\n"),
    ),
    Code(
        "E288",
        "expansion-too-large",
        "the program, written out, goes over a bound",
        "Parts within parts multiply. The size of the flat program, the nesting of parts and the depth of expressions "
        "after arguments have been put in are bounded.",
        Example(
            "component c0(a) {\n  out a\n}\n"
            + "".join(f"component c{i}(a) {{\n  part p = c{i - 1}(a + a)\n  out p\n}}\n" for i in range(1, 30))
            + "part trend = c29(1)\n"
        ),
        Example(
            "component c0(a) {\n  out a\n}\n"
            + "".join(f"component c{i}(a) {{\n  part p = c{i - 1}(a + a)\n  out p\n}}\n" for i in range(1, 4))
            + "part trend = c3(1)\n"
        ),
    ),
)
