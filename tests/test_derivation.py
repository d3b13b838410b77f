"""Derivations: the prover accepts what follows and nothing else, its lemmas are true, every bound of ours has one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flint import arb, fmpq, fmpq_poly
from hypothesis import given
from hypothesis import strategies as st
from sympy import Abs, Expr, Integer, Rational, Symbol

from proofs_checks import derivation as d
from proofs_checks import entry_derivations as e
from proofs_checks import error_bounds
from proofs_checks.bound_derivations import S
from proofs_checks.bound_proofs import DERIVATIONS, DerivationTrial, page
from proofs_checks.derivation import (
    F_K,
    Algebra,
    Derivation,
    F,
    GapError,
    Keys,
    Lemma,
    Link,
    Queries,
    Range,
    Relation,
    Rest,
    Step,
    at_most,
    check,
    equal,
    evaluate,
    fixed,
    is_nonnegative,
    is_zero,
    normal,
    varying,
)
from proofs_checks.digest import closure
from proofs_checks.runner import Book
from reference import error_bounds as bounds
from reference.polynomial import taylor

DOCS = Path(__file__).parents[1] / "docs" / "derivations.md"
X, Y, Z, U = fixed("x"), fixed("y"), fixed("z"), Symbol("u", positive=True)
A, B = varying("a"), varying("b")


# --- every bound


@pytest.mark.parametrize("name", DERIVATIONS)
def test_every_step_follows(name: str) -> None:
    check(DERIVATIONS[name])


def test_every_bound_has_its_derivation() -> None:
    ids = {"own/weights", "own/output", "own/cotangent", "own/gradients", "own/differentiate", "own/moments"}
    without = [
        (s.id, part.name)
        for s in error_bounds.STATEMENTS
        if s.id in ids
        for part in s.parts
        if [check.kind for check in part.forms[0].checks] != ["property", "proof"]
    ]
    assert not without


PROOFS = {
    f"{s.id}, {part.name}": check
    for s in error_bounds.STATEMENTS
    for part in s.parts
    for check in part.forms[0].checks
    if isinstance(check.trial, DerivationTrial)
}


@pytest.mark.parametrize(
    "name", ["own/weights, sharp", "own/output, position", "own/gradients, dX", "own/moments, weights"]
)
def test_the_formula_is_what_is_derived_and_its_false_variants_are_not(name: str) -> None:
    proof = PROOFS[name]
    found = proof.trial.run(proof.claim, 0)
    assert (found.outcome, found.examples, found.details[0]) == ("supports", 24, ("step", "claim", "why"))
    assert proof.trial.complete
    for variant, false in proof.false.items():
        refused = proof.trial.run(false, 0)
        assert refused.outcome == "open", f"{name} accepts {variant}"
        assert refused.reason.startswith("the formula is not what is derived")


PRINTED = {
    (s.id, part.name, form.role): check
    for s in Book.open().statements.values()
    if not s.own
    for part in s.parts
    for form in part.forms
    for check in form.checks
    if isinstance(check.trial, DerivationTrial)
}


def test_bounds_of_the_paper_are_what_is_derived_and_their_false_variants_are_not() -> None:
    ids = {"C.13", "C.14", "C.15", "C.16", "F.5", "G.4", "E.11/step 2", "H.3", "H.4/step 3.2", "J.3", "K.2"}
    assert {id for id, _, _ in PRINTED} == ids | {f"E.{k}" for k in range(2, 11)}
    for name, proof in PRINTED.items():
        assert proof.trial.run(proof.claim, 0).outcome == "supports", name
        assert proof.false
        for variant, false in proof.false.items():
            assert proof.trial.run(false, 0).outcome == "open", f"{name} accepts {variant}"


def test_with_the_error_of_k_the_printed_bound_is_not_derived() -> None:
    """K̃ for K: only the repair of E.2 and E.7 is."""
    repaired = PRINTED["E.2", "error", "repaired"]
    assert repaired.trial.run(bounds.E_2_bound, 0).outcome == "open"


def test_a_gap_leaves_the_bound_open(monkeypatch: pytest.MonkeyPatch) -> None:
    relative = DERIVATIONS["own/weights, relative"]
    monkeypatch.setitem(DERIVATIONS, "own/weights, relative", replace(relative, given=relative.given[1:]))
    proof = PROOFS["own/weights, relative"]
    result = proof.trial.run(proof.claim, 0)
    assert (result.outcome, result.reason[:33]) == ("open", "step 1 of relative does not follo")


def altered(derivation: Derivation, step: int, claim: Relation) -> Derivation:
    steps = list(derivation.steps)
    steps[step] = replace(steps[step], claim=claim)
    return replace(derivation, steps=tuple(steps))


@pytest.mark.parametrize("name", ["own/weights, sharp", "own/weights, total", "own/output, deviation"])
def test_no_step_can_be_sharpened_by_one_percent(name: str) -> None:
    """Each inequality of algebra in these is attained, or follows from one that is."""
    derivation = DERIVATIONS[name]
    for k, step in enumerate(derivation.steps):
        if step.claim.sign == "≤" and step.claim.left != 0 and not step.claim.right.is_number:
            sharper = at_most(step.claim.left, Rational(99, 100) * step.claim.right)
            with pytest.raises(GapError, match=f"step {k + 1} of "):
                check(altered(derivation, k, sharper))


@pytest.mark.parametrize("name", ["own/weights, sharp", "own/output, deviation", "own/moments, weights"])
def test_no_hypothesis_can_be_left_out(name: str) -> None:
    derivation = DERIVATIONS[name]
    needless = []
    for relation in derivation.given:
        try:
            check(replace(derivation, given=tuple(r for r in derivation.given if r != relation)))
            needless.append(relation.latex)
        except GapError:
            pass
    assert not needless


def test_the_page_is_what_the_derivations_say() -> None:
    assert DOCS.read_text(encoding="utf-8") == page(), "run python -m proofs_checks.bound_proofs > docs/derivations.md"


def test_taylor_polynomials_of_even_degree_have_no_real_zero() -> None:
    """Beside the proof for all of them: FLINT isolates the complex zeros of the first twenty."""
    for degree in range(0, 41, 2):
        P = fmpq_poly([fmpq(c.numerator, c.denominator) for c in taylor(degree, 1.0).coefficients])
        zeros: Any = P.complex_roots()
        assert all(zero.imag != 0 for zero, _ in zeros)


# --- the bounds by largest entries: what the functions compute


def integers(seed: int) -> dict[str, Any]:
    """Operands of the bounds C.13 to G.4, exact; what is needed of them is only their sizes."""
    rng, (n, width) = np.random.default_rng(seed), (3, 2)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("f", "q", "z", "p1", "p2"), (n, n))
    shapes |= dict.fromkeys(("X", "G", "h", "U", "V"), (n, width))
    shapes |= {"W": (width, width), "W_V": (width, width), "K": (n,)}
    return {name: rng.integers(-5, 6, shape) for name, shape in shapes.items()}


def size(a: Any) -> int:
    return int(np.abs(a).max())


def sums(a: Any) -> int:
    return int(np.abs(a).sum(axis=0).max())


def sizes(o: dict[str, Any]) -> dict[Expr, int]:
    """What the letters of the derivations stand for; all factors are U and V."""
    made = o["U"] @ o["V"].T
    return {
        e.N: 3,
        e.D: 2,
        e.EPSILON: size(made - o["f"]),
        e.ETA: size(o["h"]),
        e.GAMMA: size(o["G"]),
        e.CHI: size(o["X"]),
        e.OMEGA: size(o["W"]),
        e.K_SIZE: size(o["K"]),
        e.Q_TILDE_SIZE: size(made),
        e.F_TILDE_SIZE: size(made),
        e.F_SIZE: size(o["f"]),
        e.Q_SIZE: size(o["q"]),
        e.THETA: size(made - o["q"]),
        e.EPSILON_1: size(made - o["p1"]),
        e.EPSILON_2: size(made - o["p2"]),
    }


def of_z(o: dict[str, Any]) -> dict[Expr, int]:
    return {**sizes(o), e.EPSILON: size(o["U"] @ o["V"].T - o["z"])}


def of_W_V(o: dict[str, Any]) -> dict[Expr, int]:
    return {**sizes(o), e.OMEGA: size(o["W_V"])}


def of_columns(name: str) -> Callable[[dict[str, Any]], dict[Expr, int]]:
    return lambda o: {**sizes(o), e.SUM: sums(o["X"]), e.FIRST_SUM: sums(o[name])}


def of_p(o: dict[str, Any]) -> dict[Expr, int]:
    return {**of_columns("X")(o), e.EPSILON: size(o["p1"] - o["p2"])}  # U3 V3ᵀ = U4 V4ᵀ here


COMPUTED: dict[str, list[tuple[Callable[..., Any], tuple[str, ...], Callable[[dict[str, Any]], dict[Expr, int]]]]] = {
    "C.14": [(bounds.C_14_bound, ("U", "V", "f", "h"), sizes)],
    "C.15": [(bounds.C_15_bound, ("U", "V", "U", "V", "f", "q"), sizes)],
    "C.16": [(bounds.C_16_bound, ("U", "V", "U", "V", "f", "q"), sizes)],
    "E.2 and E.7": [(b, ("U", "V", "f", "K"), sizes) for b in (bounds.E_2_bound, bounds.E_7_bound)],
    "E.2 and E.7, sharp": [(bounds.z_bound_sharp, ("U", "V", "f", "K"), sizes)],
    "E.2 and E.7 with K": [(bounds.E_2_bound_with_K, ("U", "V", "f", "K", "h", "G"), sizes)],
    "E.4 and E.9": [(b, ("U", "V", "f", "h", "G"), sizes) for b in (bounds.E_4_bound, bounds.E_9_bound)],
    "E.3, E.5, E.8 and E.10": [
        (b, ("U", "V", "z", "X", "W"), of_z)
        for b in (bounds.E_3_bound, bounds.E_5_bound, bounds.E_8_bound, bounds.E_10_bound)
    ],
    "E.6": [(bounds.E_6_bound, ("U", "V", "f", "G", "W_V"), of_W_V)],
    "F.5": [(bounds.F_5_bound, ("U", "V", "U", "V", "p1", "p2", "X"), sizes)],
    "G.4": [(bounds.G_4_bound, ("U", "V", "f", "X", "G"), sizes)],
    "F.5 and G.4, sharp": [
        (bounds.g_w_bound_sharp, ("U", "V", "U", "V", "p1", "p2", "X"), of_p),
        (bounds.g_v_bound_sharp, ("U", "V", "f", "X", "G"), of_columns("G")),
    ],
}


@pytest.mark.parametrize("name", COMPUTED)
def test_the_bounds_by_entries_are_what_is_derived(name: str) -> None:
    for formula, operands, letters in COMPUTED[name]:
        for seed in range(5):
            o = integers(seed)
            derived = evaluate(DERIVATIONS[name].conclusion.right, letters(o))
            assert derived == int(formula(*(o[operand] for operand in operands))), formula.__name__


def test_the_bounds_on_f_and_by_one_column_are_what_is_derived() -> None:
    assert float(evaluate(DERIVATIONS["C.13"].conclusion.right, {S: arb(3)})) == bounds.C_13_bound(9.0)
    o = integers(0)
    letters = {**sizes(o), e.SUM: sums(o["G"] @ o["W_V"].T)}
    found = bounds.D8_bound_sharp(o["U"], o["V"], o["f"], o["G"], o["W_V"])
    assert evaluate(DERIVATIONS["E.6, sharp"].conclusion.right, letters) == int(found)
    assert bounds.C_15_bound_exact_q(o["U"], o["V"], o["f"], o["q"]) == sizes(o)[e.EPSILON] * size(o["q"])
    exact = {**sizes(o), e.THETA: 0, e.Q_TILDE_SIZE: size(o["q"])}
    found = bounds.C_16_bound_exact_q(o["U"], o["V"], o["f"], o["q"])
    assert evaluate(DERIVATIONS["C.16"].conclusion.right, exact) == int(found)


def test_the_bounds_behind_layers_are_what_is_derived() -> None:
    rng = np.random.default_rng(0)
    E, J, dY, dsl = (rng.integers(-5, 6, shape) for shape in ((3, 2), (3, 2, 3, 2), (3, 4, 3, 4), (2, 3, 2, 3, 4)))
    letters = {e.N: 3, e.D: 2, e.EPSILON: size(E), e.JACOBIAN: size(J)}
    assert evaluate(DERIVATIONS["H.3"].conclusion.right, letters) == int(bounds.chain_bound(E, J))
    assert evaluate(DERIVATIONS["J.3"].conclusion.right, letters) == int(bounds.residual_magnification(E, J))
    E = rng.integers(-5, 6, (3, 4))
    letters = {e.N: 3, e.D: 4, e.EPSILON: size(E), e.OUTPUT: size(dY), e.JACOBIAN: size(dsl), e.HEADS: 2, e.WIDTH: 2}
    assert evaluate(DERIVATIONS["K.2"].conclusion.right, letters) == int(bounds.multi_head_magnification(E, dY, dsl))


BITS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "K, bits": (bounds.K_bits, ("d", "b")),
    "z, bits": (bounds.z_bits, ("d", "b", "epsilon")),
    "z with K, bits": (bounds.z_bits_with_K, ("n", "d", "b", "epsilon")),
    "D, bits": (bounds.D_bits, ("n", "d", "b", "epsilon")),
    "D with K, bits": (bounds.D_bits_with_K, ("n", "d", "b", "epsilon")),
    "D8, bits": (bounds.D8_bits, ("n", "d", "b", "epsilon")),
    "g_t, bits": (bounds.g_t_bits, ("n", "d", "b", "epsilon")),
    "g_w, bits": (bounds.g_w_bits, ("n", "d", "b", "epsilon")),
    "g_v, bits": (bounds.g_v_bits, ("n", "b", "epsilon")),
    "H.4, bits": (bounds.chain_bits, ("n", "d", "b", "slope", "epsilon")),
}


@pytest.mark.parametrize("name", BITS)
def test_the_bounds_by_bits_are_what_is_derived(name: str) -> None:
    formula, operands = BITS[name]
    given: dict[str, Any] = {"n": 3, "d": 5, "b": 2, "epsilon": 7, "slope": 11}
    values = {e.SLOPE: 11, e.N: 3, e.D: 5, e.TWO_B: 4, e.EPSILON: 7}
    assert evaluate(DERIVATIONS[name].conclusion.right, values) == formula(*(given[o] for o in operands))


# --- the prover


def alone(claim: Relation, by: d.Algebra | Lemma, *given: Relation, under: tuple[Relation, ...] = ()) -> Derivation:
    return Derivation("test", given, (Step(claim, by, under),))


UNIT = (at_most(0, X), at_most(X, 1))

TRUE = {
    "identity": alone(equal((X + Y) ** 2, X**2 + 2 * X * Y + Y**2), Algebra("")),
    "square": alone(at_most(2 * X * Y, X**2 + Y**2), Algebra("")),
    "on [0, 1]": alone(at_most(X * (1 - X), Rational(1, 4)), Algebra("", (Range(X, 0, 1),)), *UNIT),
    "x² ≤ x": alone(at_most(X**2, X), Algebra("", (Range(X, 0, 1),)), *UNIT),
    "below": alone(at_most(X**3, X**2), Algebra("", (Range(X, None, 0),)), at_most(X, 0)),
    "mean": alone(equal(Keys(F * (A - X)), Keys(F * A) - X), Algebra("")),
    "variance": alone(equal(Keys(F * (A - Keys(F * A)) ** 2), Keys(F * A**2) - Keys(F * A) ** 2), Algebra("")),
    "rest": alone(equal(Rest(F), 1 - F_K), Algebra("")),
    "monotone": alone(at_most(Keys(A), Keys(B)), d.monotone(Keys, A, B), at_most(A, B)),
}
FALSE = {
    "a cross term": alone(equal((X + Y) ** 2, X**2 + X * Y + Y**2), Algebra("")),
    "no range": alone(at_most(X**2, X), Algebra("")),
    "range not given": alone(at_most(X**2, X), Algebra("", (Range(X, 0, 1),)), at_most(0, X)),
    "1/5 for 1/4": alone(at_most(X * (1 - X), Rational(1, 5)), Algebra("", (Range(X, 0, 1),)), *UNIT),
    "x ≤ x²": alone(at_most(X, X**2), Algebra("", (Range(X, 0, 1),)), *UNIT),
    "x³ ≤ x² for x ≤ 2": alone(at_most(X**3, X**2), Algebra("", (Range(X, None, 2),)), at_most(X, 2)),
    "negative multiplier": alone(at_most(X, 0), Algebra("", (), ((Integer(-1), at_most(X, 0)),)), at_most(X, 0)),
    "inequality for an equality": alone(equal(X, Y), Algebra("", (), ((Integer(1), at_most(X, Y)),)), at_most(X, Y)),
    "weights sum to two": alone(equal(Keys(F), 2), Algebra("")),
    "a sum of products": alone(equal(Keys(F * A * B), Keys(F * A) * Keys(F * B)), Algebra("")),
    "a sum of squares": alone(equal(Keys(F * A**2), Keys(F * A) ** 2), Algebra("")),
    "another sum": alone(equal(Keys(F * A), Rest(F * A)), Algebra("")),
    "one key for all": alone(equal(Keys(F * A), A), Algebra("")),
    "one key's range for the sum": alone(
        at_most(Keys(A), 1), Algebra("", (Range(A, 0, 1),)), at_most(0, A), at_most(A, 1)
    ),
    "another lemma's conclusion": alone(at_most(Keys(B), Keys(A)), d.monotone(Keys, A, B), at_most(A, B)),
    "a lemma without its premise": alone(at_most(Keys(A), Keys(B)), d.monotone(Keys, A, B)),
    "reversed premise": alone(at_most(Keys(A), Keys(B)), d.monotone(Keys, A, B), at_most(B, A)),
    "|Σ| for Σ||": alone(at_most(Keys(Abs(A)), Abs(Keys(A))), d.triangle(Keys, A)),
    "a case at the end": alone(at_most(X, Y), d.transitive(X, Y), under=(at_most(X, Y),)),
    "one of two cases": Derivation(
        "test",
        (),
        (
            Step(at_most(X, Abs(X)), d.below_absolute(X), (at_most(X, 0),)),
            Step(at_most(X**2, 1), d.either(X, Integer(0), at_most(X**2, 1))),
        ),
    ),
    "a link to something else": replace(TRUE["x² ≤ x"], links=(Link(UNIT[1], ((X, Y),), TRUE["square"]),)),
    "use without hypotheses": replace(TRUE["square"], uses=(TRUE["x² ≤ x"],)),
}


@pytest.mark.parametrize("name", TRUE)
def test_what_follows_is_accepted(name: str) -> None:
    check(TRUE[name])


@pytest.mark.parametrize("name", FALSE)
def test_what_does_not_follow_is_refused(name: str) -> None:
    with pytest.raises(GapError):
        check(FALSE[name])


def test_a_range_is_of_a_letter() -> None:
    with pytest.raises(TypeError, match="neither a symbol nor a sum"):
        check(alone(at_most(X**2, X), Algebra("", (Range(X**2, 0, 1),)), at_most(0, X**2), at_most(X**2, 1)))


small = st.integers(-4, 4)


@given(st.lists(st.tuples(small, st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=5), st.integers(1, 3))
def test_what_is_called_nonnegative_is(terms: list[tuple[int, int, int]], power: int) -> None:
    V = Symbol("v", positive=True)
    x: Expr = sum(c * U**i * (V - 1) ** j for c, i, j in terms) ** power  # any polynomial
    if is_nonnegative(normal(x)):
        points = [Fraction(k, 3) for k in (1, 2, 3, 4, 9)]
        assert all(x.subs({U: a, V: b}) >= 0 for a in points for b in points)


# --- the lemmas are true


LEMMAS = [  # with letters such that the premises hold
    d.monotone(Keys, A, A + B**2),
    d.termwise(Keys, A * B, B * A),
    d.triangle(Keys, A),
    d.triangle_of(X, Y, Z),
    d.product_of(X, Y),
    d.products(X, Abs(X) + 1, Y, Abs(Y)),
    d.sizes(X + Y, Y + X),
    d.positive(X**2),
    d.negative(-(X**2)),
    d.transitive(X, X + Y**2, X + Y**2 + 1),
    d.scaled(X**2, Y, Y + Z**2),
    d.added((X, X + 1), (Y, Y + Z**2)),
    d.cauchy_schwarz(Keys, F, A, B),
    d.root(X, Abs(X) + Y**2),
    d.absolute(X, Abs(X) + Y**2),
    d.below_absolute(X),
    d.positive_part(X, Rational(1, 2) * (X + Abs(X)), Abs(X) + Y**2),
    d.powers(X**2, X**6),
]


FALSE_LEMMAS = [
    replace(d.triangle(Keys, A), conclusion=at_most(Keys(Abs(A)), Abs(Keys(A)))),
    replace(d.scaled(X, Y, Y + Z**2), premises=()),
    replace(d.positive(X), premises=()),
    replace(d.cauchy_schwarz(Keys, F, A, B), conclusion=at_most(d.covariance(Keys, F, A, A), 1)),
]


def letters(rng: np.random.Generator) -> dict[Expr, Any]:
    """Small rational numbers; f is positive and sums to one."""
    f = rng.integers(1, 9, 4)

    def exact(values: Any) -> Any:
        return np.array([arb(int(v)) / 4 for v in values], dtype=object)

    x, y, z = exact(rng.integers(-9, 9, 3))
    weights = np.array([arb(int(v)) / int(f.sum()) for v in f], dtype=object)
    return {F: weights, A: exact(rng.integers(-9, 9, 4)), B: exact(rng.integers(-9, 9, 4)), X: x, Y: y, Z: z}


def surely_broken(relation: Relation, values: dict[Expr, Any]) -> bool:
    left, right = (
        np.asarray(evaluate(side, values), dtype=object).ravel() for side in (relation.left, relation.right)
    )
    pairs = list(zip(*np.broadcast_arrays(left, right), strict=True))
    return any(a > b or (relation.sign == "=" and a != b and not a.overlaps(b)) for a, b in pairs)


def broken(lemma: Lemma, seed: int) -> bool:
    """Premises that are not surely broken, and a conclusion that is."""
    values = letters(np.random.default_rng(seed))
    return not any(surely_broken(p, values) for p in lemma.premises) and surely_broken(lemma.conclusion, values)


@pytest.mark.parametrize("k", range(len(LEMMAS)))
def test_a_lemma_holds_on_numbers(k: int) -> None:
    lemma, values = LEMMAS[k], letters(np.random.default_rng(k))
    assert not any(surely_broken(p, values) for p in lemma.premises), "the premises are to be tried"
    assert not any(broken(lemma, seed) for seed in range(50))


@pytest.mark.parametrize("k", range(len(FALSE_LEMMAS)))
def test_a_false_lemma_would_be_seen(k: int) -> None:
    assert any(broken(FALSE_LEMMAS[k], seed) for seed in range(50))


@pytest.mark.parametrize("degree", [0, 1, 4])
def test_lagranges_remainder_on_numbers(degree: int) -> None:
    for x in (arb(k) / 2 for k in range(-6, 7)):
        error = abs(taylor(degree, 3.0)(x) - x.exp())
        lemma = d.lagrange(X, Y, Z) if x <= 0 else d.lagrange(X, Y, Z, fixed("e"))
        values = {X: x, Y: error, Z: abs(x) ** (degree + 1) / arb.fac_ui(degree + 1), fixed("e"): x.exp()}
        assert not any(surely_broken(r, values) for r in (*lemma.premises, lemma.conclusion))
        assert x == 0 or surely_broken(replace(lemma.conclusion, right=lemma.conclusion.right / 100), values)


def test_numbers_for_letters() -> None:
    rows = np.array([[arb(1), arb(2)], [arb(3), arb(4)]], dtype=object)
    weights = np.array([arb(5), arb(7)], dtype=object)
    found = evaluate(Queries(fixed("X_i") * Keys(A * B)) / 2, {fixed("X_i"): weights, A: rows, B: weights})
    assert found == (5 * (1 * 5 + 2 * 7) + 7 * (3 * 5 + 4 * 7)) / arb(2)


def test_sums_are_linear_and_their_letters_are_told_apart() -> None:
    assert is_zero(Keys(3 * A + X * B) - 3 * Keys(A) - X * Keys(B))
    assert not is_zero(Keys(A * B) - Keys(A) * B)
    assert is_zero(Abs(X - Y) - Abs(Y - X))
    assert not is_zero(Abs(X - Y) - Abs(X + Y))
    assert is_zero(Queries(fixed("X_i") * Keys(A * B) * Y) - Y * Queries(fixed("X_i") * Keys(A * B)))
    assert not is_zero(Queries(Keys(A)) - Keys(A))


def test_derivations_share_nothing_with_what_they_judge() -> None:
    modules = closure(frozenset({"proofs_checks.bound_proofs"}))
    assert "proofs_checks.derivation" in modules
    assert not [m for m in modules if m.split(".")[0] == "reference"]
