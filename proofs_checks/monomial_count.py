"""Proofs for all d and g of what is claimed of N(d, g), the number of monomials of degree at most g in d variables.

A monomial is free of x_d, or it is x_d times one of degree at most g − 1. So N(d, g) = N(d−1, g) + N(d, g−1) for
d, g ≥ 1, and N(0, g) = N(d, 0) = 1. A closed form C with C(d, g) = C(d−1, g) + C(d, g−1) and the same ends is N, by
induction on d + g; one with ≥ in both is at least N. Both are decided as statements on the rational functions
C(d−1, g)/C(d, g) and C(d, g−1)/C(d, g), for all d and g at once; that these are not negative makes C positive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from sympy import Expr, Integer, Symbol, binomial, combsimp

from proofs_checks.derivation import Algebra, Range, Relation, Sign, at_most
from proofs_checks.equation import parameters
from proofs_checks.record import Claim
from proofs_checks.trial import Outcome, Result, Trial

D, G = Symbol("d", integer=True, positive=True), Symbol("g", integer=True, positive=True)
CLOSED: dict[str, Expr] = {"binom(d+g, g)": binomial(D + G, G), "binom(2(g+d), 2g)": binomial(2 * (G + D), 2 * G)}
LISTED, COMPARED = 4, 8  # up to which d and g monomials are listed, and values of a claim compared

Exponents = tuple[int, ...]


@dataclass(frozen=True)
class CountProof(Trial):
    """N(d, g) = C(d, g), or ≤, by induction, and the claim has the values of C."""

    closed: str  # of CLOSED
    sign: Sign
    refusals: tuple[Outcome, ...] = ("open",)

    @property
    def scope(self) -> str:
        return (
            f"all d and g, by induction on d + g; that monomials split so: listed for d, g ≤ {LISTED}; that the"
            f" formula is this binomial: d, g ≤ {COMPARED}"
        )

    @property
    def complete(self) -> bool:
        return True

    def run(self, claim: Claim, seed: int) -> Result:
        if not all(splits(d, g) for d, g in product(range(1, LISTED + 1), repeat=2)):
            return Result("open", reason="the monomials do not split by their last variable")
        failed = [name for name, relation in self.induction().items() if not follows(relation)]
        if failed:
            return Result("open", reason=f"of the induction for {self.closed}, {failed[0]} does not follow")
        for d, g in product(range(1, COMPARED + 1), repeat=2):
            claimed, found = claim(**arguments(claim, d, g)), CLOSED[self.closed].subs({D: d, G: g})
            if claimed != found:
                return Result("open", reason=f"the formula is {claimed}, not {found}, at d = {d}, g = {g}")
        return Result("supports")

    def induction(self) -> dict[str, Relation]:
        """1 = C(0, g), 1 = C(d, 0), and (C(d−1, g) + C(d, g−1))/C(d, g) = 1, or ≤; 0 ≤ C(d, g−1)/C(d, g)."""
        C = CLOSED[self.closed]
        above = simple(C.subs(G, G - 1) / C)
        sides = {
            "d = 0": (Integer(1), simple(C.subs(D, 0))),
            "g = 0": (Integer(1), simple(C.subs(G, 0))),
            "the step": (simple(C.subs(D, D - 1) / C) + above, Integer(1)),
        }
        return {"the sign": at_most(0, above)} | {name: Relation(a, self.sign, b) for name, (a, b) in sides.items()}


def simple(x: Expr) -> Expr:
    """A quotient of binomials as a rational function."""
    return combsimp(x)


def follows(relation: Relation) -> bool:
    """For all d, g ≥ 1."""
    return Algebra("", (Range(D, 1), Range(G, 1))).proves(relation)


def arguments(claim: Claim, d: int, g: int) -> dict[str, int]:
    """The claim's own names for d and g."""
    known = {"d": d, "g": g, "degree": g}
    return {name: known[name] for name in parameters(claim)}


def splits(d: int, g: int) -> bool:
    """Whether the monomials are those free of x_d, and x_d times those of one degree less, each once."""
    free = [(*m, 0) for m in monomials(d - 1, g)]
    times = [(*m[:-1], m[-1] + 1) for m in monomials(d, g - 1)]
    return sorted(free + times) == sorted(monomials(d, g))


def monomials(d: int, g: int) -> Iterator[Exponents]:
    """The exponents of all monomials of degree at most g."""
    return (m for m in product(range(g + 1), repeat=d) if sum(m) <= g)
