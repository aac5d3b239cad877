"""E315: discrete states that meet."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example


def _counts(emission: str) -> Example:
    program = (
        "axis site = 1..8\nstate N[site] in 0..19\nobs y[site]\ninit N ~ Binomial(19, 0.5)\n"
        f"N[t, i] ~ Binomial(19, (N[t-1, i] + 1) / 21) for i in site\n{emission}\n"
    )
    return Example(
        f'import ssmlang\nmodel = ssmlang.compile("""\n{program}""")\n'
        'model.log_likelihood({"y": [[3, 2, 4, 1, 0, 5, 2, 2]]}, {}, engine="discrete")\n',
        language="python",
    )


CODES: tuple[Code, ...] = (
    Code(
        "E315",
        "too-many-joint-values",
        "discrete states that meet have too many joint values to go through",
        "The engines discrete and imm are exact in the discrete states, and so go through all values that states take "
        "together, remembered rows included. Entries that no equation joins are separate chains and cost the sum, not "
        "the product: an observation, a transition or a joint law that reads several of them joins them.",
        _counts("y[t, i] ~ Poisson(sum(N[t, j] for j in site)) for i in site"),
        _counts("y[t, i] ~ Poisson(N[t, i]) for i in site"),
    ),
)
