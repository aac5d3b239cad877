"""E1xx: syntax."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

CODES: tuple[Code, ...] = (
    Code(
        "E101",
        "unexpected-text",
        "something else was expected here",
        "The statement is sound up to the place underlined; what stands there cannot follow. The message lists what "
        "could. A statement ends with its line, except inside ( ) and [ ].",
        Example("param sd ~ HalfNormal(1) 2\n"),
        Example("param sd ~ HalfNormal(1)\n"),
        fixes="a sign `+` before a value is removed",
    ),
    Code(
        "E102",
        "unbalanced-brackets",
        "a bracket is not closed, or closes nothing",
        "Every ( [ { needs its own ) ] }. The message points to where the bracket was opened. Checking goes on with "
        "the next line that can only be a statement.",
        Example("param sd ~ HalfNormal(1\n"),
        Example("param sd ~ HalfNormal(1)\n"),
    ),
    Code(
        "E103",
        "unknown-character",
        "a character that means nothing in the language",
        "Outside comments, a file is made of names, numbers, brackets and the operators + - * / ^ @ % ' < > = ! ~ and "
        "dots. Names may use letters of any alphabet, digits and underscores.",
        Example("const a = 3 $\n"),
        Example("const a = 3\n"),
        fixes="signs of a printed page (a long minus, a dot for a product, ², ≤, ∞) are written as those of a keyboard",
    ),
    Code(
        "E104",
        "reserved-name",
        "a word of the language used as a name",
        "The words that open statements (model, param, state, ...), the words of expressions (if, then, else, for, in, "
        "and, or, not, as) and t, dW, pi, inf cannot name anything; dt may only be a const or an input. The names of "
        "functions are free: `param gamma` is fine.",
        Example("param pi ~ Normal(0, 1)\n"),
        Example("param p ~ Normal(0, 1)\n"),
    ),
    Code(
        "E105",
        "unknown-statement",
        "no statement begins with this word",
        "A statement begins with one of the statement words (param, state, obs, let, init, ...), or it is an equation "
        "such as `x[t] ~ Normal(x[t-1], 1)`.",
        Example("parm sd ~ HalfNormal(1)\n"),
        Example("param sd ~ HalfNormal(1)\n"),
        fixes="a misspelt statement word that only one is near, and words of other languages that mean the same",
    ),
    Code(
        "E106",
        "other-language",
        "a spelling from another language",
        "Powers are written ^, ranges 1..n, comments #, definitions =, laws ~, and a statement ends with its line, "
        "without a semicolon. `and`, `or`, `not` are words.",
        Example("const a = 3 ** 2\n"),
        Example("const a = 3 ^ 2\n"),
        fixes="`**`, `<-`, `:=`, `...`, `&&`, `||`, a range `1:n` of an axis, a `;` at the end and a line that "
        "begins with `//`",
    ),
    Code(
        "E107",
        "wrong-relation",
        "`=`, `==` and `~` mean different things",
        "`==` compares, `=` defines, `~` gives a law. A parameter or a noise has a law, a const or a let has a value; "
        "states and observations are declared first and get their equation in a statement of its own.",
        Example("param sd = 3\n"),
        Example("const sd = 3\n"),
        fixes="`=` before a distribution in `param` and `noise`, `~` before a number in `const` and `let`, `==` "
        "for `=` and `=` for `==` where only the other can stand",
    ),
    Code(
        "E108",
        "bad-number",
        "a number that cannot be read",
        "Numbers are written 12, 0.5 or 1e-3: digits on both sides of the point. A number must fit double precision.",
        Example("const a = 1e999\n"),
        Example("const a = 1e99\n"),
        fixes="`.5` and `1.` get their digit",
    ),
    Code(
        "E109",
        "too-large",
        "the text goes over a bound",
        "The length of a file and of a statement, the number of statements and the depth of nesting are bounded, so "
        "that no file can stop the checker. Long sums belong into `sum(... for k in axis)`, long tables into the data.",
        Example("const a = " + "(" * 300 + "1" + ")" * 300 + "\n"),
        Example("const a = (((1)))\n"),
    ),
    Code(
        "E110",
        "open-text",
        "a text in quotes is not closed on its line",
        'Text in double quotes appears only in `from "./file.ssm" import name`, and ends on the line it began on.',
        Example('from "./mine.ssm import part_a\n', {"mine.ssm": "component part_a() {\n  out 1\n}\n"}),
        Example('from "./mine.ssm" import part_a\n', {"mine.ssm": "component part_a() {\n  out 1\n}\n"}),
    ),
    Code(
        "E111",
        "misplaced-statement",
        "a statement that cannot stand here",
        "`out` belongs inside a component, which has exactly one; `model`, `from`, `component`, `lift` and `assert` "
        "belong outside of components; `model` may be written once.",
        Example("const a = 1\nout a\n"),
        Example("component one() {\n  const a = 1\n  out a\n}\n"),
    ),
    Code(
        "E112",
        "bad-allow",
        "`# allow` names what is no warning",
        "`# allow W602` silences a warning or a note where it stands: at the end of a line what begins on that line, "
        "on a line of its own the statement that follows. It takes codes of warnings (W) and notes (N), parted by "
        "commas or blanks; an error cannot be allowed.",
        Example("const a = 3  # allow W229\n"),
        Example("const a = 3  # allow W221\n"),
    ),
    Code(
        "W113",
        "unused-allow",
        "`# allow` silences nothing",
        "Nothing is found that the comment would silence: it was mended since, or the comment stands elsewhere than "
        "the warning. A warning that depends on data or on their length (W605, W622, W631) and one whose check came to "
        "no answer may come again, and allowing it is not complained of.",
        Example("param sd ~ HalfNormal(1)\nobs y\ny[t] ~ Normal(0, sd)  # allow W221\n"),
        Example("param sd ~ HalfNormal(1)\nobs y\ny[t] ~ Normal(0, sd)\n"),
        fixes="the code is removed, and with the last one the comment",
    ),
)
