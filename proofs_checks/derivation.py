r"""Derivations: a bound as a chain of small steps, each of them decided by machine, for all sizes.

A `Step` claims an equality or an inequality between expressions and says why it holds. There are two ways to:

- `Algebra`: both sides are rational functions. An equality holds if the numerator of the difference expands to zero.
  For an inequality every variable is written in terms of positive parameters that run through its whole range, such as
  x = (a v + b u)/(u + v) for a ≤ x ≤ b; then the difference must be a product of even powers and of polynomials whose
  coefficients are all positive. Ends of a range follow by continuity.
- `Lemma`: one of the standard lemmas below, with what stands for its letters. Its conclusion must be the step's claim.

Whatever a step takes for granted, a range or a premise of a lemma, must be a hypothesis of the derivation, an earlier
step, or the conclusion of a derivation that it uses. A hypothesis that is itself derived elsewhere is a `Link`: with
other letters it must be that conclusion. So nothing is left out between the first hypotheses and the last step.

Sums over keys are `Over(…)`: linear, of any length and over any keys, such as those that a mask allows. Symbols with
the index j change from key to key, all others do not. That weights sum to one is the only thing known of them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce
from itertools import pairwise
from math import prod
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import sympy
from flint import Ordering, arb, fmpq, fmpq_mpoly, fmpq_mpoly_ctx
from sympy import Abs, Add, Expr, Integer, Mul, Pow, Rational, Symbol

Sign = Literal["=", "≤"]


class Over(sympy.Function):  # type: ignore[misc]  # SymPy comes without types
    """A sum over keys."""

    index: str

    @classmethod
    def eval(cls, x: Expr) -> Expr | None:
        return Integer(0) if x == 0 else None

    def _latex(self, printer: Any, exp: Any = None) -> str:
        inner = printer._print(self.args[0])
        inner = rf"\left({inner}\right)" if isinstance(self.args[0], Add) else inner
        text = rf"\sum_{{{self.index}}} {inner}"
        return text if exp is None else rf"\left({text}\right)^{{{exp}}}"


class Keys(Over):
    """Over all keys j."""

    index = "j"


class Rest(Over):
    """Over all keys but k, or all that are not in the set J."""

    index = r"j \ne k"


class Within(Over):
    """Over the keys of the set J."""

    index = r"j \in J"


class Outside(Over):
    """Over the other keys."""

    index = r"j \notin J"


class Queries(Over):
    """Over all queries i."""

    index = "i"


def varying(name: str) -> Symbol:
    """What differs from key to key."""
    return Symbol(rf"{name}_j", real=True)


def fixed(name: str) -> Symbol:
    return Symbol(name, real=True)


@dataclass(frozen=True)
class Relation:
    """left = right or left ≤ right, for every key where they vary."""

    left: Expr
    sign: Sign
    right: Expr

    @property
    def latex(self) -> str:
        sign = "=" if self.sign == "=" else r"\le"
        return f"{sympy.latex(self.left)} {sign} {sympy.latex(self.right)}"

    def replaced(self, letters: tuple[tuple[Expr, Expr], ...]) -> Relation:
        left, right = (side.subs(dict(letters), simultaneous=True) for side in (self.left, self.right))
        return Relation(left, self.sign, right)


def at_most(left: Any, right: Any) -> Relation:
    return Relation(sympy.sympify(left), "≤", sympy.sympify(right))


def equal(left: Any, right: Any) -> Relation:
    return Relation(sympy.sympify(left), "=", sympy.sympify(right))


# --- why a step holds


@dataclass(frozen=True)
class Range:
    """low ≤ of and of ≤ high, unless the one or the other is None."""

    of: Expr
    low: Expr | int | None
    high: Expr | int | None = None

    @property
    def taken(self) -> tuple[Relation, ...]:
        below = () if self.low is None else (at_most(self.low, self.of),)
        return below if self.high is None else (*below, at_most(self.of, self.high))

    def point(self, u: Symbol, v: Symbol) -> Expr:
        """Any number in between, by positive parameters; TypeError if it is no letter that could be replaced."""
        if not isinstance(normal(self.of), Symbol | Over):
            raise TypeError(f"{self.of} is neither a symbol nor a sum")
        low, high = (None if end is None else normal(sympy.sympify(end)) for end in (self.low, self.high))
        if low is None:
            return high - u
        return low + u if high is None else (low * v + high * u) / (u + v)


@dataclass(frozen=True)
class Algebra:
    """By expanding; `given` are equalities and inequalities, each with the factor by which it is added."""

    why: str
    ranges: tuple[Range, ...] = ()
    given: tuple[tuple[Expr, Relation], ...] = ()

    @property
    def taken(self) -> tuple[Relation, ...]:
        return (*(r for s in self.ranges for r in s.taken), *(r for _, r in self.given))

    def proves(self, claim: Relation) -> bool:
        difference = claim.right - claim.left - sum((w * (r.right - r.left) for w, r in self.given), Integer(0))
        if claim.sign == "=":
            return all(r.sign == "=" for _, r in self.given) and is_zero(difference)
        weights = [w for w, r in self.given if r.sign == "≤"]
        return all(self._nonnegative(x) for x in (difference, *weights))

    def _nonnegative(self, x: Expr) -> bool:
        x = normal(x)
        for k, s in reversed(list(enumerate(self.ranges))):
            u, v = (Symbol(f"{name}{k}", positive=True) for name in "uv")
            x = x.subs(normal(s.of), s.point(u, v))
        return is_nonnegative(x)


@dataclass(frozen=True)
class Lemma:
    """A standard lemma, by name, with its premises and its conclusion for the letters at hand."""

    why: str
    premises: tuple[Relation, ...]
    conclusion: Relation
    cases: tuple[tuple[Relation, ...], ...] = ()  # assumptions under each of which the premises are to be known

    @property
    def taken(self) -> tuple[Relation, ...]:
        return self.premises

    def proves(self, claim: Relation) -> bool:
        return claim.sign == self.conclusion.sign and same(claim, self.conclusion)


Reason: TypeAlias = Algebra | Lemma


@dataclass(frozen=True)
class Step:
    claim: Relation
    by: Reason
    under: tuple[Relation, ...] = ()  # assumptions of a case


@dataclass(frozen=True)
class Link:
    """A hypothesis that is the conclusion of another derivation, if letters are replaced in both."""

    given: Relation
    letters: tuple[tuple[Expr, Expr], ...]
    source: Derivation
    renamed: tuple[tuple[Expr, Expr], ...] = ()

    @property
    def holds(self) -> bool:
        given, conclusion = self.given.replaced(self.letters), self.source.conclusion.replaced(self.renamed)
        return given.sign == conclusion.sign and same(given, conclusion)


@dataclass(frozen=True)
class Derivation:
    """Steps from hypotheses to a bound, which is the last one."""

    name: str
    given: tuple[Relation, ...]
    steps: tuple[Step, ...]
    uses: tuple[Derivation, ...] = ()
    where: str = ""  # what the letters mean, in words
    links: tuple[Link, ...] = ()

    @property
    def conclusion(self) -> Relation:
        return self.steps[-1].claim


# --- the standard lemmas


def monotone(over: type[Over], low: Expr, high: Expr) -> Lemma:
    """a_j ≤ b_j for every key, so Σ a_j ≤ Σ b_j."""
    return Lemma("sums of both sides", (at_most(low, high),), at_most(over(low), over(high)))


def termwise(over: type[Over], x: Expr, y: Expr) -> Lemma:
    """x_j = y_j for every key, so Σ x_j = Σ y_j."""
    return Lemma("sums of both sides", (equal(x, y),), equal(over(x), over(y)))


def positive_part(x: Expr, part: Expr, bound: Expr) -> Lemma:
    """x ≤ b and 0 ≤ b, so max(x, 0) ≤ b."""
    return Lemma("positive part", (at_most(x, bound), at_most(0, bound)), at_most(part, bound))


def triangle(over: type[Over], x: Expr) -> Lemma:
    """|Σ x_j| ≤ Σ |x_j|."""
    return Lemma("triangle inequality", (), at_most(Abs(over(x)), over(Abs(x))))


def triangle_of(*terms: Expr) -> Lemma:
    """|x + y + …| ≤ |x| + |y| + …"""
    return Lemma("triangle inequality", (), at_most(Abs(Add(*terms)), Add(*map(Abs, terms))))


def product_of(x: Expr, y: Expr) -> Lemma:
    """|x y| = |x| |y|."""
    return Lemma("absolute value of a product", (), equal(Abs(x * y), Abs(x) * Abs(y)))


def products(x: Expr, a: Expr, y: Expr, b: Expr) -> Lemma:
    """|x| ≤ a and |y| ≤ b, so |x y| ≤ a b."""
    return Lemma("absolute value of a product", (at_most(Abs(x), a), at_most(Abs(y), b)), at_most(Abs(x * y), a * b))


def itself(x: Expr) -> Lemma:
    return Lemma("nothing is changed", (), at_most(x, x))


def absolute(x: Expr, bound: Expr) -> Lemma:
    """x ≤ b and −x ≤ b, so |x| ≤ b."""
    return Lemma("both signs", (at_most(x, bound), at_most(-x, bound)), at_most(Abs(x), bound))


def sizes(x: Expr, y: Expr) -> Lemma:
    """x = y, so |x| = |y|."""
    return Lemma("equal numbers", (equal(x, y),), equal(Abs(x), Abs(y)))


def positive(x: Expr) -> Lemma:
    """|x| = x if 0 ≤ x."""
    return Lemma("it is not negative", (at_most(0, x),), equal(Abs(x), x))


def negative(x: Expr) -> Lemma:
    """|x| = −x if x ≤ 0."""
    return Lemma("it is not positive", (at_most(x, 0),), equal(Abs(x), -x))


def transitive(*through: Expr) -> Lemma:
    """a ≤ b ≤ c ≤ …, so a is at most the last."""
    steps = tuple(at_most(a, b) for a, b in pairwise(through))
    return Lemma("one after the other", steps, at_most(through[0], through[-1]))


def scaled(factor: Expr, low: Expr, high: Expr) -> Lemma:
    """a ≤ b and 0 ≤ c, so c a ≤ c b."""
    return Lemma(
        "times what is not negative", (at_most(0, factor), at_most(low, high)), at_most(factor * low, factor * high)
    )


def added(*pairs: tuple[Expr, Expr]) -> Lemma:
    """a ≤ b, c ≤ d, …, so a + c + … ≤ b + d + …"""
    return Lemma(
        "added up",
        tuple(at_most(*pair) for pair in pairs),
        at_most(Add(*(low for low, _ in pairs)), Add(*(high for _, high in pairs))),
    )


def cauchy_schwarz(over: type[Over], f: Expr, x: Expr, y: Expr) -> Lemma:
    """Cov(x, y)² ≤ Var(x) Var(y) under weights f_j ≥ 0 that sum to one."""
    return Lemma(
        "Cauchy–Schwarz inequality",
        (at_most(0, f),),
        at_most(covariance(over, f, x, y) ** 2, covariance(over, f, x, x) * covariance(over, f, y, y)),
    )


def covariance(over: type[Over], f: Expr, x: Expr, y: Expr) -> Expr:
    return over(f * x * y) - over(f * x) * over(f * y)


def falling(x: Expr, slope: Expr, start: Expr, value: Expr) -> Lemma:
    """r' ≤ 0 everywhere and x ≤ 0, so r(0) ≤ r(x)."""
    return Lemma("mean value theorem", (at_most(slope, 0), at_most(x, 0)), at_most(start, value))


def lagrange(x: Expr, error: Expr, term: Expr, exponential: Expr | None = None) -> Lemma:
    """Taylor's polynomial of degree g is off by at most |x|^{g+1}/(g+1)! where x ≤ 0, by eˣ times that where x ≥ 0."""
    if exponential is None:
        return Lemma("Lagrange's remainder", (at_most(x, 0),), at_most(error, term))
    return Lemma("Lagrange's remainder", (at_most(0, x),), at_most(error, exponential * term))


def powers(x: Expr, power: Expr) -> Lemma:
    """0 ≤ x, so 0 ≤ x^j for every j."""
    return Lemma("powers", (at_most(0, x),), at_most(0, power))


def below_absolute(x: Expr) -> Lemma:
    """x ≤ |x|."""
    return Lemma("absolute value", (), at_most(x, Abs(x)))


def root(x: Expr, bound: Expr) -> Lemma:
    """x² ≤ b² and 0 ≤ b, so |x| ≤ b."""
    return Lemma("square roots", (at_most(x**2, bound**2), at_most(0, bound)), at_most(Abs(x), bound))


def either(x: Expr, y: Expr, conclusion: Relation) -> Lemma:
    """x ≤ y or y ≤ x, and the claim follows from each."""
    return Lemma("in both cases", (conclusion,), conclusion, ((at_most(x, y),), (at_most(y, x),)))


def three(x: Expr, low: Expr, high: Expr, conclusion: Relation) -> Lemma:
    """x ≤ a, or b ≤ x, or a ≤ x ≤ b, and the claim follows from each."""
    cases = (at_most(x, low),), (at_most(high, x),), (at_most(low, x), at_most(x, high))
    return Lemma("in all three cases", (conclusion,), conclusion, cases)


# --- rational functions


class Quotient(NamedTuple):
    """A rational function of symbols, sums and absolute values, reduced."""

    above: fmpq_mpoly
    below: fmpq_mpoly
    letters: tuple[Expr, ...]

    @classmethod
    def of(cls, x: Expr) -> Quotient:
        letters = tuple(sorted(_letters(x), key=_name))
        ring = fmpq_mpoly_ctx.get([f"x{k}" for k in range(len(letters))], Ordering.lex)
        above, below = _quotient(x, dict(zip(letters, ring.gens(), strict=True)), ring.constant(1))
        common = above.gcd(below)
        return cls(above / common, below / common, letters)

    def terms(self) -> Iterator[tuple[Expr, dict[Expr, int]]]:
        """Each term of the numerator: its coefficient over the denominator's, and its powers."""
        for powers, c in self.above.to_dict().items():
            yield Rational(int(c.p), int(c.q)), {x: n for x, n in zip(self.letters, powers, strict=True) if n}

    def expression(self, polynomial: fmpq_mpoly) -> Expr:
        terms = self._replace(above=polynomial).terms()
        return Add(*(c * Mul(*(x**n for x, n in powers.items())) for c, powers in terms))


@cache
def _name(x: Expr) -> str:
    return str(x)


def _letters(x: Expr) -> set[Expr]:
    if isinstance(x, Symbol | Over | Abs):
        return {x}
    return set().union(*map(_letters, x.args))


def _quotient(x: Expr, letters: dict[Expr, fmpq_mpoly], one: fmpq_mpoly) -> tuple[fmpq_mpoly, fmpq_mpoly]:
    if x in letters:
        return letters[x], one
    if isinstance(x, Rational):
        return one * fmpq(int(x.p), int(x.q)), one
    if isinstance(x, Add):
        return reduce(_plus, (_quotient(a, letters, one) for a in x.args))
    if isinstance(x, Mul):
        parts = [_quotient(a, letters, one) for a in x.args]
        return prod((a for a, _ in parts), start=one), prod((b for _, b in parts), start=one)
    if isinstance(x, Pow) and isinstance(x.exp, Integer):
        above, below = _quotient(x.base, letters, one)
        return (
            (above ** int(x.exp), below ** int(x.exp)) if x.exp > 0 else (below ** -int(x.exp), above ** -int(x.exp))
        )
    raise TypeError(f"{x} is no rational function")


def _plus(a: tuple[fmpq_mpoly, fmpq_mpoly], b: tuple[fmpq_mpoly, fmpq_mpoly]) -> tuple[fmpq_mpoly, fmpq_mpoly]:
    common = a[1].gcd(b[1])
    left, right = a[1] / common, b[1] / common
    return a[0] * right + b[0] * left, left * b[1]


def is_zero(x: Expr) -> bool:
    return Quotient.of(normal(x)).above.is_zero()


def is_nonnegative(x: Expr) -> bool:
    """Whether it is a product of even powers and of polynomials of positive parameters with positive coefficients."""
    quotient = Quotient.of(x)
    above = _sign(quotient.above, quotient.letters)
    return above == 0 or (above is not None and above == _sign(quotient.below, quotient.letters))


def _sign(x: fmpq_mpoly, letters: tuple[Expr, ...]) -> int | None:
    """1, 0 or −1 if the sign of a polynomial is plain to see."""
    if x.is_zero():
        return 0
    content, factors = x.factor()
    sign = 1 if content > 0 else -1
    for factor, power in factors:
        if power % 2:
            coefficients = factor.coeffs()
            free = any(any(powers) and not _positive(powers, letters) for powers in factor.monoms())
            if free or len({c > 0 for c in coefficients}) > 1:
                return None
            sign *= 1 if coefficients[0] > 0 else -1
    return sign


def _positive(powers: tuple[int, ...], letters: tuple[Expr, ...]) -> bool:
    return all(x.is_positive is True for x, n in zip(letters, powers, strict=True) if n)


# --- the prover


@cache
def normal(x: Expr) -> Expr:
    """Sums taken apart by linearity, what does not vary in front; weights that sum to one do so."""
    if isinstance(x, Over):
        return _linear(type(x), normal(x.args[0]))
    if isinstance(x, Abs):
        return _absolute(normal(x.args[0]))
    return x.func(*map(normal, x.args)) if x.args else x


def _absolute(x: Expr) -> Expr:
    """|x| of a form that is the same for x and −x."""
    quotient = Quotient.of(x)
    scale = quotient.below.leading_coefficient()
    above, below = quotient.above / scale, quotient.below / scale
    above = -above if not above.is_zero() and above.leading_coefficient() < 0 else above
    return Abs(quotient.expression(above) / quotient.expression(below))


def _linear(over: type[Over], x: Expr) -> Expr:
    quotient = Quotient.of(x)
    below = quotient.expression(quotient.below)
    if _varies(below, over):
        return over(quotient.expression(quotient.above) / below)
    return Add(*(c * _term(over, powers) for c, powers in quotient.terms())) / below


def _term(over: type[Over], powers: dict[Expr, int]) -> Expr:
    inner = Mul(*(x**n for x, n in powers.items() if _varies(x, over)))
    front = Mul(*(x**n for x, n in powers.items() if not _varies(x, over)))
    return front * SUMS.get((over, inner), over(inner))


def _varies(x: Expr, over: type[Over]) -> bool:
    """Whether it differs from key to key, or, of a sum over queries, from query to query."""
    if isinstance(x, Over):
        return over is Queries and not isinstance(x, Queries)
    if isinstance(x, Symbol):
        return x.name.endswith("_j") if over is not Queries else "_i" in x.name or x.name.endswith("_j")
    return any(_varies(a, over) for a in x.args)


F, F_K = varying("f"), fixed("f_k")
SUMS: dict[tuple[type[Over], Expr], Expr] = {(Keys, F): Integer(1), (Rest, F): 1 - F_K, (Outside, F): 1 - Within(F)}


def same(a: Relation, b: Relation) -> bool:
    """Whether both say the same of the difference of their sides."""
    return is_zero(a.right - a.left - b.right + b.left)


# --- numbers for letters


def evaluate(x: Expr, letters: Mapping[Expr, Any]) -> Any:
    """Its value for numbers, balls, or arrays of them; sums over keys are along the last axis, over queries along it
    once that is done."""
    if x in letters:
        return letters[x]
    if isinstance(x, Rational):
        return arb(int(x.p)) / int(x.q)
    if isinstance(x, Over):
        return np.asarray(evaluate(x.args[0], letters)).sum(axis=-1)
    if isinstance(x, Abs):
        return abs(evaluate(x.args[0], letters))
    values = [evaluate(a, letters) for a in x.args[: 1 if isinstance(x, Pow) else None]]
    if isinstance(x, Pow):
        return values[0] ** int(x.exp)
    return reduce(operator.add if isinstance(x, Add) else operator.mul, values)


class GapError(Exception):
    """A step that does not follow."""


Fact = tuple[Relation, frozenset[Relation]]


@cache
def check(derivation: Derivation) -> None:
    """Nothing if every step follows and is the reason's alone; GapError otherwise."""
    facts = hypotheses(derivation)
    for k, step in enumerate(derivation.steps, start=1):
        if not follows(step, facts):
            raise GapError(f"step {k} of {derivation.name} does not follow: {step.claim.latex}")
        for name, (variant, others) in false_variants(step, facts).items():
            if follows(variant, others):
                raise GapError(f"step {k} of {derivation.name} would follow {name} as well: {variant.claim.latex}")
        facts.append((step.claim, frozenset(step.under)))
    for link in derivation.links:
        check(link.source)
        if link.given not in derivation.given or not link.holds:
            raise GapError(f"{derivation.name} takes from {link.source.name} what it does not say: {link.given.latex}")
    if derivation.steps[-1].under:
        raise GapError(f"{derivation.name} ends in a case")


def hypotheses(derivation: Derivation) -> list[Fact]:
    """What is given, and the conclusions of other derivations whose hypotheses are given here too."""
    given: list[Fact] = [(relation, frozenset()) for relation in derivation.given]
    facts = list(given)
    for used in derivation.uses:
        check(used)
        missing = [r.latex for r in used.given if not known(r, (), facts)]
        if missing:
            raise GapError(f"{derivation.name} uses {used.name} without {', '.join(missing)}")
        facts.append((used.conclusion, frozenset()))
    return facts


def follows(step: Step, facts: Sequence[Fact]) -> bool:
    """Whether what it takes for granted is known and it is what its reason proves."""
    cases = step.by.cases if isinstance(step.by, Lemma) and step.by.cases else ((),)
    return step.by.proves(step.claim) and all(
        known(taken, (*step.under, *case), facts) for case in cases for taken in step.by.taken
    )


def known(wanted: Relation, under: Sequence[Relation], facts: Sequence[Fact]) -> bool:
    """Whether it is assumed, a fact under these assumptions, or plain."""
    assumed = set(under)
    pool = (*under, *(fact for fact, needs in facts if needs <= assumed))
    return wanted in pool or any(_gives(fact, wanted) for fact in pool) or _plain(wanted)


def _gives(fact: Relation, wanted: Relation) -> bool:
    if fact.sign == "≤" and wanted.sign == "=":
        return False
    if same(fact, wanted):
        return True
    return fact.sign == "=" and same(equal(fact.right, fact.left), wanted)


def _plain(wanted: Relation) -> bool:
    """x = x, x ≤ x, and what holds between numbers."""
    difference = wanted.right - wanted.left
    return is_zero(difference) or (wanted.sign == "≤" and is_nonnegative(normal(difference)))


def false_variants(step: Step, facts: Sequence[Fact]) -> dict[str, tuple[Step, Sequence[Fact]]]:
    """What must not follow: the claim the other way round, or with twice the right side, or out of nothing."""
    claim, found = step.claim, dict[str, tuple[Step, Sequence[Fact]]]()
    if claim.sign == "=" and not is_zero(claim.right):
        found["with twice the right side"] = replace(step, claim=equal(claim.left, 2 * claim.right)), facts
    if claim.sign == "≤" and not is_zero(claim.right - claim.left):
        found["the other way round"] = replace(step, claim=at_most(claim.right, claim.left)), facts
    if not all(known(taken, (), ()) for taken in step.by.taken):
        found["out of nothing"] = replace(step, under=()), ()
    return found
