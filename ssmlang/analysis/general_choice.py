"""Which engine `auto` takes for a program that is not linear and Gaussian, and why. No JAX here.

The order was found by comparing every engine with runs of 100,000 particles and more on counts of Ricker, Gompertz and
SEIR populations, boys in bed, categories, Student t about lines and a pendulum, and on the programs of
`benchmarks.engine_errors`: the log-likelihood, and the means and standard deviations of the filter
(docs/engine_errors.md has the table).
"""

from __future__ import annotations

from ssmlang.analysis.bends import bent_sights, cornered, jumping, limited, rounding
from ssmlang.analysis.folded import folded
from ssmlang.analysis.general import blind, gaussian_emission, heavy_tailed, kinked, moves_linearly, read_back
from ssmlang.model import expr
from ssmlang.model.counts import counts_alone
from ssmlang.model.differentials import stepped
from ssmlang.model.model import Model, nodes_of
from ssmlang.model.shared_noises import shared_noises
from ssmlang.model.solved_noises import chances, solved
from ssmlang.model.told_noises import told_noises

MANY = 50
"""From so many augmented numbers on, a filter of their own that moves none of them costs far less than a joint one."""
FEW = 8
"""Up to so many entries of the states, augmented parameters among them, a thousand particles cover their law."""

FEWER = 3
"""Up to so many of them one Gaussian is not taken for the law of states of which what is seen bends: of more, a
thousand particles miss what rows to come tell of those that no noise of their own moves, such as a ship's course."""


def preferred(model: Model) -> tuple[str, ...]:
    """Engines of nonlinear programs in the order in which `auto` takes the first that the program fits."""
    return _order(model)[0]


def rule(model: Model) -> tuple[str, ...]:
    """`preferred` in words."""
    names, why = _order(model)
    written, model = model, solved(model)
    known = [n for n in written.noises if n not in model.noises]
    solves = (f"observations tell {', '.join(known)} exactly: states that read it are moved by what was seen",)
    moved = dict.fromkeys(d.target.name for d in stepped(model)[0].differentials)
    steps = (f"in continuous time and not linear: {', '.join(moved)}; moved in short steps, as many as the data need",)
    told = ", ".join(told_noises(model))
    tells = (f"observations tell of {told}, which states of the next row read: their law is that given what was seen",)
    parted = shared_noises(model)
    both = ", ".join(n for n in parted.names if n in written.noises) if parted else ""
    shares = (f"observations share {both} with the states of their row: what is left of it, given these, is theirs",)
    return (f"auto takes the first that can run it of: {', then '.join(names)}", *((why,) if why else ()),
            *(solves if known else ()), *(tells if told else ()), *(shares if both else ()),
            *(steps if moved else ()))  # fmt: skip


def _order(model: Model) -> tuple[tuple[str, ...], str]:
    """The engines, and the reason in words, where there is more to say than their own."""
    model = solved(model)
    if model.states and not chances(model):
        why = ("chance moves no state: parameters, inputs and earlier observations give each, and recursion is exact; "
               "what of these is missing or still to come is drawn by particle")  # fmt: skip
        return ("recursion", "particle", "laplace", "ukf", "ekf"), why if read_back(model) else why.split(";")[0]
    augmented = any(p.augment for p in model.parameters.values())
    if all(s.values is not None for s in model.states.values()) and not augmented:
        return ("discrete", "imm", "particle"), ""
    if any(s.values is not None for s in model.states.values()):
        return ("imm", "rao_blackwell", "particle"), ""
    if sum(p.size for p in model.parameters.values() if p.augment) >= MANY:
        return ("dual_ekf", "ekf"), ""
    if augmented and not model.states and _layered(model):
        why = "weights multiply weights: at means of zero a Gaussian learns nothing of them, and dual_ekf draws them"
        return ("dual_ekf", "ekf", "particle"), why
    driven = _driven(model)
    drawn = driven and _entries(model) <= FEW
    if gaussian_emission(model):
        why, smooth = _many_peaks(model) if drawn and not augmented else ("", True)
        without = limited(model) if not why else ()
        if without:
            why = (f"{' and '.join(without)} sees a logarithm or a root of states: points of a Gaussian law fall where "
                   "it has no value")  # fmt: skip
            return ("laplace", "particle", "ipls", "ukf", "ekf"), why
        if not why:
            return ("ukf", "ekf", "particle"), ""
        # Gradients need one mode, and no corners on the way to it.
        return ("particle", *(("laplace", "ipls") if smooth else ("ipls",)), "ukf", "ekf"), why
    heavy = ", ".join(dict.fromkeys(law.name for law in heavy_tailed(model)))
    if heavy and driven:
        names = ("importance", "laplace", "ukf", "ekf")
        why = f"a Gaussian takes a {heavy} for one of its curvature or of its variance, and it is neither: draws do not"
        if all(law.name == "Laplace" for law in kinked(model)):
            why += ", and weighted paths, which have gradients, mend it"
        return ("particle", *names) if drawn else (*names, "particle"), why
    if kinked(model):
        return ("particle", "ukf", "ekf") if drawn else ("ukf", "ekf", "particle"), ""
    if drawn and not augmented and (round_ := rounding(model)):
        why = f"a state that {' and '.join(round_)} is about may go round unseen: its law has a peak for each lap"
        return ("particle", "laplace", "ipls", "ukf", "ekf"), why
    if moves_linearly(model):
        return ("laplace", "particle", "ukf", "ekf"), ""
    if blind(model):
        return ("particle", "laplace", "ukf", "ekf"), ""
    if not driven and not augmented and all(i.law is None and i.special is None for i in model.initials):
        return ("ukf", "ekf", "laplace", "particle"), "nothing moves the states by chance: all find the same"
    if drawn and counts_alone(model):
        why = ("one Gaussian fits neither the curved motion nor the counts: draws do; a fit by gradients takes ipls, "
               "which linearises about the posterior")  # fmt: skip
        return ("particle", "ipls", "laplace", "ukf", "ekf"), why
    why = "linearising about the prediction misses where an observation that is not Gaussian puts a curved state"
    if counts_alone(model):
        return ("ipls", "laplace", "ukf", "particle", "ekf"), why
    if cornered(model):
        return ("ipls", "laplace", "ukf", "particle", "ekf"), f"{why}, and a mode is not found at corners"
    return ("laplace", "ipls", "ukf", "particle", "ekf"), why


def _many_peaks(model: Model) -> tuple[str, bool]:
    """Why the law of few states under Gaussian observations is none that one Gaussian has, empty where it may be; and
    whether it has one mode at least, in a density without corners."""
    turned = folded(model, FEW)
    if turned:
        return (f"observations do not tell the sign of {' and '.join(turned)}, whose law may have two peaks: draws "
                "have them, one Gaussian does not"), False  # fmt: skip
    moved = jumping(model)
    if moved:
        return (f"{' and '.join(moved)} moves otherwise where a state passes a bound: a law that lies across it comes "
                "apart, and draws follow both parts"), False  # fmt: skip
    seen = bent_sights(model) if _entries(model) <= FEWER else ()
    if seen:
        return (f"{' and '.join(seen)} bends with what it sees: the law of the states given it is not Gaussian, and "
                "draws of so few have it"), not cornered(model)  # fmt: skip
    return "", True


def _layered(model: Model) -> bool:
    """Whether an observation reads a product of augmented parameters, as that of a network with a hidden layer does."""
    reads = lambda node: any(sort == "augment" for sort, *_ in expr.references([node]))
    products = (n for e in model.equations for n in expr.walk(nodes_of(e)) if n.op in ("mul", "matmul"))
    return any(sum(map(reads, n.args)) > 1 for n in products)


def _entries(model: Model) -> int:
    augmented = sum(p.size for p in model.parameters.values() if p.augment)
    return augmented + sum(s.size for s in model.states.values())


def _driven(model: Model) -> bool:
    """Whether states get noise in every row: without, the draws of the first row die out."""
    moved = [e for e in model.equations if e.role == "transition"]
    noisy = any(e.law is not None or any(s == "noise" for s, *_ in expr.references(nodes_of(e))) for e in moved)
    walked = any(p.augment and p.walk is not None and not p.walk.is_zero for p in model.parameters.values())
    wiener = any(s == "increment" and n != "dt" for d in model.differentials for s, n, _ in expr.references([d.value]))
    return noisy or walked or wiener
