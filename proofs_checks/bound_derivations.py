"""The derivations of altgrad's own bounds, from the polynomial's ε to the gradients, step by step.

One query at a time: its index is left out. j runs over the keys that the mask allows, k is one of them.
"""

from __future__ import annotations

from sympy import Abs, Expr, Rational

from proofs_checks.derivation import (
    F_K,
    Algebra,
    Derivation,
    F,
    Keys,
    Link,
    Outside,
    Queries,
    Range,
    Relation,
    Rest,
    Step,
    Within,
    absolute,
    added,
    at_most,
    below_absolute,
    cauchy_schwarz,
    covariance,
    either,
    equal,
    falling,
    fixed,
    lagrange,
    monotone,
    negative,
    positive,
    positive_part,
    powers,
    products,
    root,
    scaled,
    sizes,
    termwise,
    three,
    transitive,
    triangle,
    triangle_of,
    varying,
)

DELTA, SQRT_KAPPA, EPSILON = fixed(r"\delta"), fixed(r"\sqrt{\kappa}"), fixed(r"\epsilon")
KAPPA = 1 + DELTA
R, R_K = varying("r"), fixed("r_k")
H, Q, Y = varying("h"), varying("q"), varying("y")

RATIOS = (at_most(1, R), at_most(R, KAPPA), at_most(0, F), at_most(0, DELTA))  # the hypotheses of all that follows
OF_K = (at_most(1, R_K), at_most(R_K, KAPPA), at_most(0, F_K), at_most(F_K, 1))
R_KEYS = Range(R, 1, KAPPA)
AT_K = (Range(DELTA, 0), Range(F_K, 0, 1), Range(R_K, 1, KAPPA))


def algebra(*ranges: Range, given: tuple[tuple[Expr, Relation], ...] = (), why: str = "algebra") -> Algebra:
    return Algebra(why, ranges, given)


# --- from ε to κ

LOW, HIGH = fixed("m"), fixed("M")
SPREAD = Derivation(
    "spread",
    (
        at_most(0, EPSILON),
        at_most(EPSILON, 1),
        at_most(1 - EPSILON, LOW),
        at_most(HIGH, 1 + EPSILON),
        at_most(0, HIGH),
    ),
    (
        Step(
            at_most(HIGH / LOW - 1, 2 * EPSILON / (1 - EPSILON)),
            algebra(Range(EPSILON, 0, 1), Range(LOW, 1 - EPSILON), Range(HIGH, 0, 1 + EPSILON)),
        ),
        Step(
            at_most(HIGH / LOW, (1 + EPSILON) / (1 - EPSILON)),
            algebra(Range(EPSILON, 0, 1), Range(LOW, 1 - EPSILON), Range(HIGH, 0, 1 + EPSILON)),
        ),
    ),
    where="m and M the least and the largest P(x)e^{−x} over [−B, B], ε < 1 the relative error, δ = M/m − 1",
)

COUNT, FACTORIAL, BEFORE = fixed("k"), fixed("k!"), fixed("(k-1)!")
COEFFICIENTS = Derivation(
    "coefficients",
    (equal(FACTORIAL, COUNT * BEFORE),),
    (
        Step(
            equal(COUNT / FACTORIAL, 1 / BEFORE),
            algebra(given=((-1 / (FACTORIAL * BEFORE), equal(FACTORIAL, COUNT * BEFORE)),)),
        ),
    ),
    where="of P', P the Taylor polynomial of degree g: those of P but for the last, so P' = P − x^g/g!",
)
X, POWER, G_FACTORIAL, FALLOFF = fixed("x"), fixed("x^{g/2}"), fixed("g!"), fixed("e^{-x}")
P, P_PRIME, E_B = fixed("P(x)"), fixed("P'(x)"), fixed("e^{B}")
SLOPE, LAST = (P_PRIME - P) * FALLOFF, POWER**2 / G_FACTORIAL
X_POWER, INVERSE_FACTORIAL = varying("z"), varying("c")
X_TERM = X_POWER * INVERSE_FACTORIAL
TERMS = Keys(X_TERM)
LEFT, RIGHT = (at_most(X, 0),), (at_most(0, X),)
EVEN_TAYLOR = Derivation(
    "even Taylor",
    (
        equal(P_PRIME, P - LAST),
        equal(P, 1 + TERMS),
        at_most(0, G_FACTORIAL),
        at_most(0, INVERSE_FACTORIAL),
        at_most(0, FALLOFF),
        at_most(FALLOFF, E_B),
        at_most(1, E_B),
    ),
    (
        Step(equal(SLOPE, -LAST * FALLOFF), algebra(given=((FALLOFF, equal(P_PRIME, P - LAST)),))),
        Step(at_most(-LAST * FALLOFF, 0), algebra(Range(G_FACTORIAL, 0), Range(FALLOFF, 0))),
        Step(at_most(SLOPE, 0), transitive(SLOPE, -LAST * FALLOFF, Rational(0))),
        Step(at_most(1, P * FALLOFF), falling(X, SLOPE, Rational(1), P * FALLOFF), LEFT),
        Step(
            at_most(1 / FALLOFF, P), algebra(Range(FALLOFF, 0), given=((1 / FALLOFF, at_most(1, P * FALLOFF)),)), LEFT
        ),
        Step(at_most(1 / P, FALLOFF), algebra(Range(FALLOFF, 0), Range(P, 1 / FALLOFF)), LEFT),
        Step(at_most(1 / P, E_B), transitive(1 / P, FALLOFF, E_B), LEFT),
        Step(at_most(0, X_POWER), powers(X, X_POWER), RIGHT),
        Step(at_most(0, X_TERM), scaled(INVERSE_FACTORIAL, Rational(0), X_POWER), RIGHT),
        Step(at_most(0, TERMS), monotone(Keys, 0 * X_TERM, X_TERM), RIGHT),
        Step(
            at_most(1, P),
            algebra(given=((Rational(1), at_most(0, TERMS)), (Rational(-1), equal(P, 1 + TERMS)))),
            RIGHT,
        ),
        Step(at_most(1 / P, 1), algebra(Range(P, 1)), RIGHT),
        Step(at_most(1 / P, E_B), transitive(1 / P, Rational(1), E_B), RIGHT),
        Step(at_most(1 / P, E_B), either(X, Rational(0), at_most(1 / P, E_B))),
    ),
    where="g even, |x| ≤ B; z_j = x^j, c_j = 1/j!, j = 1, …, g; r = P e^{−x} has the derivative (P' − P) e^{−x} and is"
    " 1 at x = 0. As B may be as large as one likes, P > 0 on all of R",
)

EXP, TERM_X, TERM_B, ERROR = fixed("e^{x}"), fixed("t_x"), fixed("t_B"), Abs(P - fixed("e^{x}"))
ON_INTERVAL = (equal(EXP * FALLOFF, 1), at_most(0, EXP), at_most(0, FALLOFF), at_most(FALLOFF, E_B), at_most(1, E_B))
AT_MOST_EXP = Step(
    at_most(1, EXP * E_B),
    algebra(Range(EXP, 0), given=((EXP, at_most(FALLOFF, E_B)), (Rational(1), equal(1, EXP * FALLOFF)))),
)


def relative(bound: Expr) -> tuple[Step, ...]:
    """From |P − eˣ| ≤ eˣ b to |P − eˣ| e^{−x} ≤ b."""
    return (
        Step(at_most(FALLOFF * ERROR, FALLOFF * EXP * bound), scaled(FALLOFF, ERROR, EXP * bound)),
        Step(
            at_most(FALLOFF * ERROR, bound),
            algebra(
                given=(
                    (Rational(1), at_most(FALLOFF * ERROR, FALLOFF * EXP * bound)),
                    (bound, equal(EXP * FALLOFF, 1)),
                )
            ),
        ),
    )


LIMIT_T = EXP * E_B * TERM_B
TAYLOR = Derivation(
    "Taylor",
    (*ON_INTERVAL, at_most(0, TERM_X), at_most(TERM_X, TERM_B), at_most(0, TERM_B)),
    (
        AT_MOST_EXP,
        Step(at_most(ERROR, TERM_X), lagrange(X, ERROR, TERM_X), LEFT),
        Step(at_most(TERM_B * 1, TERM_B * EXP * E_B), scaled(TERM_B, Rational(1), EXP * E_B)),
        Step(at_most(ERROR, LIMIT_T), transitive(ERROR, TERM_X, TERM_B, LIMIT_T), LEFT),
        Step(at_most(ERROR, EXP * TERM_X), lagrange(X, ERROR, TERM_X, EXP), RIGHT),
        Step(at_most(EXP * TERM_X, EXP * TERM_B), scaled(EXP, TERM_X, TERM_B), RIGHT),
        Step(at_most(0, EXP * TERM_B), scaled(EXP, Rational(0), TERM_B), RIGHT),
        Step(at_most(EXP * TERM_B, EXP * TERM_B * E_B), scaled(EXP * TERM_B, Rational(1), E_B), RIGHT),
        Step(at_most(ERROR, LIMIT_T), transitive(ERROR, EXP * TERM_X, EXP * TERM_B, LIMIT_T), RIGHT),
        Step(at_most(ERROR, LIMIT_T), either(X, Rational(0), at_most(ERROR, LIMIT_T))),
        *relative(E_B * TERM_B),
    ),
    where="|x| ≤ B, t_x = |x|^{g+1}/(g+1)!, t_B = B^{g+1}/(g+1)!",
)
BESSEL, T_K = varying("I"), varying("T")
OMITTED, ALL_BESSEL = Keys(2 * BESSEL * T_K), Keys(2 * BESSEL)
LIMIT_C = EXP * E_B * ALL_BESSEL
CHEBYSHEV = Derivation(
    "Chebyshev",
    (*ON_INTERVAL, equal(P - EXP, -OMITTED), at_most(0, BESSEL), at_most(Abs(T_K), 1)),
    (
        AT_MOST_EXP,
        Step(equal(ERROR, Abs(-OMITTED)), sizes(P - EXP, -OMITTED)),
        Step(at_most(Abs(OMITTED), Keys(Abs(2 * BESSEL * T_K))), triangle(Keys, 2 * BESSEL * T_K)),
        Step(at_most(0, 2 * BESSEL), scaled(Rational(2), Rational(0), BESSEL)),
        Step(equal(Abs(2 * BESSEL), 2 * BESSEL), positive(2 * BESSEL)),
        Step(at_most(Abs(2 * BESSEL * T_K), 2 * BESSEL), products(2 * BESSEL, 2 * BESSEL, T_K, Rational(1))),
        Step(at_most(Keys(Abs(2 * BESSEL * T_K)), ALL_BESSEL), monotone(Keys, Abs(2 * BESSEL * T_K), 2 * BESSEL)),
        Step(at_most(0, ALL_BESSEL), monotone(Keys, 0 * BESSEL, 2 * BESSEL)),
        Step(at_most(ALL_BESSEL, LIMIT_C), scaled(ALL_BESSEL, Rational(1), EXP * E_B)),
        Step(
            at_most(ERROR, LIMIT_C),
            transitive(ERROR, Abs(OMITTED), Keys(Abs(2 * BESSEL * T_K)), ALL_BESSEL, LIMIT_C),
        ),
        *relative(E_B * ALL_BESSEL),
    ),
    where="j runs over the degrees above g; eˣ = I_0(B) + 2 Σ_{j ≥ 1} I_j(B) T_j(x/B) on [−B, B], P has the terms up"
    " to degree g",
)

SIZE, D = fixed("m"), fixed("D")
RATIO = Derivation(
    "ratio",
    (),
    (
        Step(
            equal(
                SIZE * D * F_K * R_K / (SIZE * D * F_K * R_K + Rest(SIZE * D * F * R)),
                F_K * R_K / (F_K * R_K + Rest(F * R)),
            ),
            algebra(),
        ),
    ),
    where="Ã_j = m A_j r_j and A_j = D f_j, so the left side is f̃_k; κ is the largest over the least Ã_j/A_j",
)

# --- own/weights

MEAN = Keys(F * R)
MEAN_STEPS = (
    Step(at_most(F, F * R), scaled(F, Rational(1), R)),
    Step(at_most(F * R, F * KAPPA), scaled(F, R, KAPPA)),
    Step(at_most(Keys(F), MEAN), monotone(Keys, F, F * R)),
    Step(at_most(MEAN, Keys(F * KAPPA)), monotone(Keys, F * R, F * KAPPA)),
)
IN_RANGE = (Range(DELTA, 0), Range(MEAN, 1, KAPPA))

RELATIVE = Derivation(
    "relative",
    (*RATIOS, *OF_K),
    (
        *MEAN_STEPS,
        Step(at_most(F_K * R_K / MEAN - F_K, DELTA * F_K), algebra(*AT_K, IN_RANGE[1])),
        Step(at_most(F_K - F_K * R_K / MEAN, DELTA * F_K), algebra(*AT_K, IN_RANGE[1])),
        Step(at_most(Abs(F_K * R_K / MEAN - F_K), DELTA * F_K), absolute(F_K * R_K / MEAN - F_K, DELTA * F_K)),
    ),
    where="f̃_k = f_k r_k/Σ_j f_j r_j",
)

EXCHANGE = Derivation(
    "exchange",
    (*RATIOS, *OF_K),
    (
        Step(at_most(1, KAPPA / R_K), algebra(Range(DELTA, 0), Range(R_K, 1, KAPPA))),
        Step(at_most(KAPPA / R_K, KAPPA), algebra(Range(DELTA, 0), Range(R_K, 1, KAPPA))),
        Step(equal(F_K, (F_K * R_K / MEAN) * (KAPPA / R_K) / Keys((F * R / MEAN) * (KAPPA / R))), algebra()),
    ),
    where="f is to f̃ as f̃ is to f, with κ/r for r: in each bound they may change places",
)

REST = Rest(F * R)
OWN_MEAN = F_K * R_K + REST  # the mean of r, key k apart
REST_STEPS = (
    *MEAN_STEPS[:2],
    Step(at_most(Rest(F), REST), monotone(Rest, F, F * R)),
    Step(at_most(REST, Rest(F * KAPPA)), monotone(Rest, F * R, F * KAPPA)),
)
WITH_REST = (*AT_K, Range(REST, 1 - F_K, KAPPA * (1 - F_K)))
LEAST = fixed(r"\mu")


def by_least(x: Expr, y: Expr, distance: Expr, ranges: tuple[Range, ...]) -> tuple[Step, ...]:
    """From distance ≤ δxy/(1 + δx) and −distance ≤ δxy/(1 + δy) to δxy/(1 + δμ), μ ≤ x, μ ≤ y."""
    bound = DELTA * x * y / (1 + DELTA * LEAST)
    upper, lower = DELTA * x * y / (1 + DELTA * x), DELTA * x * y / (1 + DELTA * y)
    factor = DELTA**2 * x * y / (1 + DELTA * LEAST)
    positive_least = (*ranges, Range(LEAST, 0))
    return (
        Step(at_most(upper, bound), algebra(*positive_least, given=((factor / (1 + DELTA * x), at_most(LEAST, x)),))),
        Step(at_most(lower, bound), algebra(*positive_least, given=((factor / (1 + DELTA * y), at_most(LEAST, y)),))),
        Step(at_most(distance, bound), transitive(distance, upper, bound)),
        Step(at_most(-distance, bound), transitive(-distance, lower, bound)),
        Step(at_most(Abs(distance), bound), absolute(distance, bound)),
    )


CHANGE = F_K * R_K / OWN_MEAN - F_K
SHARP = Derivation(
    "sharp",
    (*RATIOS, *OF_K, at_most(0, LEAST), at_most(LEAST, F_K), at_most(LEAST, 1 - F_K)),
    (
        *REST_STEPS,
        Step(at_most(CHANGE, DELTA * F_K * (1 - F_K) / (1 + DELTA * F_K)), algebra(*WITH_REST)),
        Step(at_most(-CHANGE, DELTA * F_K * (1 - F_K) / (1 + DELTA * (1 - F_K))), algebra(*WITH_REST)),
        *by_least(F_K, 1 - F_K, CHANGE, AT_K[:2]),
    ),
    where="μ = min(f_k, 1 − f_k)",
)

S = SQRT_KAPPA
IN_S = (at_most(1, S), at_most(1, R), at_most(R, S**2), at_most(0, F))
POSITIVE, NEGATIVE = varying("x^{+}"), varying("x^{-}")
INSIDE, OUTSIDE, SHARE = Within(F * R), Outside(F * R), Within(F)
IN_PARTS = (
    equal(F * R / MEAN - F, POSITIVE - NEGATIVE),
    at_most(0, POSITIVE),
    at_most(0, NEGATIVE),
    equal(Keys(POSITIVE), INSIDE / (INSIDE + OUTSIDE) - SHARE),
)
SHARE_STEPS = (
    Step(at_most(Within(0 * F), SHARE), monotone(Within, 0 * F, F)),
    Step(at_most(0, Outside(F)), monotone(Outside, 0 * F, F)),
    Step(at_most(SHARE, 1), algebra(given=((Rational(1), at_most(0, Outside(F))),))),
    Step(at_most(F, F * R), scaled(F, Rational(1), R)),
    Step(at_most(F * R, F * S**2), scaled(F, R, S**2)),
    *(Step(at_most(over(F), over(F * R)), monotone(over, F, F * R)) for over in (Within, Outside)),
    *(Step(at_most(over(F * R), over(F * S**2)), monotone(over, F * R, F * S**2)) for over in (Within, Outside)),
)
MOVED = (S - 1) / (S + 1)
TOTAL = Derivation(
    "total",
    (*IN_S, *IN_PARTS),
    (
        *SHARE_STEPS,
        Step(
            at_most(INSIDE / (INSIDE + OUTSIDE) - SHARE, (S**2 - 1) * SHARE * (1 - SHARE) / (1 + (S**2 - 1) * SHARE)),
            algebra(
                Range(S, 1),
                Range(SHARE, 0, 1),
                Range(INSIDE, SHARE, S**2 * SHARE),
                Range(OUTSIDE, 1 - SHARE, S**2 * (1 - SHARE)),
            ),
        ),
        Step(
            at_most((S**2 - 1) * SHARE * (1 - SHARE) / (1 + (S**2 - 1) * SHARE), MOVED),
            algebra(Range(S, 1), Range(SHARE, 0, 1)),
        ),
        Step(
            equal(Keys(F * R / MEAN - F), Keys(POSITIVE - NEGATIVE)),
            termwise(Keys, F * R / MEAN - F, POSITIVE - NEGATIVE),
        ),
        Step(
            equal(Keys(POSITIVE + NEGATIVE) / 2, Keys(POSITIVE)),
            algebra(given=((Rational(1, 2), equal(0, Keys(POSITIVE - NEGATIVE))),)),
        ),
        Step(
            at_most(Keys(POSITIVE + NEGATIVE) / 2, MOVED),
            transitive(
                Keys(POSITIVE + NEGATIVE) / 2,
                Keys(POSITIVE),
                INSIDE / (INSIDE + OUTSIDE) - SHARE,
                (S**2 - 1) * SHARE * (1 - SHARE) / (1 + (S**2 - 1) * SHARE),
                MOVED,
            ),
        ),
    ),
    where="x⁺ and x⁻ the positive and the negative part of f̃ − f, so |f̃ − f| = x⁺ + x⁻; J the keys with f̃ > f",
)

# --- pairs of weights

X_PAIR = R_K * R / OWN_MEAN**2 - 1
BOUND_OF_REST = DELTA * (1 - F_K)
UP, DOWN = at_most(R_K * REST, KAPPA * (1 - F_K) * OWN_MEAN**2), at_most((1 - F_K) * OWN_MEAN**2, KAPPA * R_K * REST)
OF_PAIR = (Range(F_K, 0, 1), Range(R_K, 1), Range(DELTA, R_K - 1))
HEAVIER = (*OF_PAIR, Range(REST, (1 - F_K) * R_K, KAPPA * (1 - F_K)))
LIGHTER = (Range(F_K, 0, 1), Range(DELTA, 0), Range(R_K, 1, KAPPA), Range(REST, 1 - F_K, (1 - F_K) * R_K))
SPLIT = (1 - F_K) * R_K
SMALL, LARGE = at_most(OWN_MEAN**2, R_K), at_most(KAPPA * R_K, OWN_MEAN**2)
BETWEEN = (at_most(R_K, OWN_MEAN**2), at_most(OWN_MEAN**2, KAPPA * R_K))
PAIR_BOUND = at_most(Rest(F * Abs(X_PAIR)), BOUND_OF_REST)
INVERSE = 1 / OWN_MEAN**2
PAIR = F_K * R_K * F * R * INVERSE - F_K * F
POINT = (*AT_K, Range(R, 1, KAPPA))


def through(x: Expr, under: tuple[Relation, ...]) -> tuple[Step, ...]:
    """From |X| = x, for every key, to the sum of f |X|."""
    return (
        Step(at_most(F * Abs(X_PAIR), F * x), scaled(F, Abs(X_PAIR), x), under),
        Step(at_most(Rest(F * Abs(X_PAIR)), Rest(F * x)), monotone(Rest, F * Abs(X_PAIR), F * x), under),
        Step(PAIR_BOUND, transitive(Rest(F * Abs(X_PAIR)), Rest(F * x), BOUND_OF_REST), under),
    )


PAIRS = Derivation(
    "pairs",
    (*RATIOS, *OF_K),
    (
        *REST_STEPS,
        Step(UP, algebra(*HEAVIER), (at_most(SPLIT, REST),)),
        Step(UP, algebra(*LIGHTER), (at_most(REST, SPLIT),)),
        Step(UP, either(REST, SPLIT, UP)),
        Step(DOWN, algebra(*HEAVIER), (at_most(SPLIT, REST),)),
        Step(DOWN, algebra(*LIGHTER), (at_most(REST, SPLIT),)),
        Step(DOWN, either(REST, SPLIT, DOWN)),
        Step(at_most(0, X_PAIR), algebra(*POINT, WITH_REST[-1], given=((INVERSE, SMALL),)), (SMALL,)),
        Step(equal(Abs(X_PAIR), X_PAIR), positive(X_PAIR), (SMALL,)),
        Step(at_most(Rest(F * X_PAIR), BOUND_OF_REST), algebra(*WITH_REST, given=((INVERSE, UP),)), (SMALL,)),
        *through(X_PAIR, (SMALL,)),
        Step(at_most(X_PAIR, 0), algebra(*POINT, WITH_REST[-1], given=((INVERSE, LARGE),)), (LARGE,)),
        Step(equal(Abs(X_PAIR), -X_PAIR), negative(X_PAIR), (LARGE,)),
        Step(
            at_most(Rest(-F * X_PAIR), BOUND_OF_REST), algebra(*WITH_REST, given=((INVERSE / KAPPA, DOWN),)), (LARGE,)
        ),
        *through(-X_PAIR, (LARGE,)),
        Step(at_most(X_PAIR, DELTA), algebra(*POINT, WITH_REST[-1], given=((KAPPA * INVERSE, BETWEEN[0]),)), BETWEEN),
        Step(
            at_most(-X_PAIR, DELTA),
            algebra(*POINT, WITH_REST[-1], given=((INVERSE / KAPPA, BETWEEN[1]),)),
            BETWEEN,
        ),
        Step(at_most(Abs(X_PAIR), DELTA), absolute(X_PAIR, DELTA), BETWEEN),
        *through(DELTA, BETWEEN),
        Step(PAIR_BOUND, three(OWN_MEAN**2, R_K, KAPPA * R_K, PAIR_BOUND)),
        Step(at_most(0, F_K * F), scaled(F_K, Rational(0), F)),
        Step(equal(Abs(F_K * F), F_K * F), positive(F_K * F)),
        Step(at_most(Abs(PAIR), F_K * F * Abs(X_PAIR)), products(F_K * F, F_K * F, X_PAIR, Abs(X_PAIR))),
        Step(at_most(Rest(Abs(PAIR)), Rest(F_K * F * Abs(X_PAIR))), monotone(Rest, Abs(PAIR), F_K * F * Abs(X_PAIR))),
        Step(
            at_most(F_K * Rest(F * Abs(X_PAIR)), F_K * BOUND_OF_REST),
            scaled(F_K, Rest(F * Abs(X_PAIR)), BOUND_OF_REST),
        ),
        Step(
            at_most(Rest(Abs(PAIR)), DELTA * F_K * (1 - F_K)),
            transitive(Rest(Abs(PAIR)), F_K * Rest(F * Abs(X_PAIR)), F_K * BOUND_OF_REST),
        ),
    ),
    where="under the sum stands |f̃_k f̃_j − f_k f_j|, f̃_j = f_j r_j/(f_k r_k + Σ_{l≠k} f_l r_l)",
)


# --- own/output: means of h with the weights f and f̃ (own/cotangent has q for h)

BOTTOM, TOP = fixed("a"), fixed("b")


def by_range(name: str, h: Expr, sign: int) -> tuple[Step, ...]:
    """Σ (x⁺ − x⁻) h ≤ (b − a) Σ x⁺, or the same of −h in [−b, −a]."""
    low, high = (BOTTOM, TOP) if sign > 0 else (-TOP, -BOTTOM)
    h = sign * h
    return (
        Step(at_most(POSITIVE * h, POSITIVE * high), scaled(POSITIVE, h, high)),
        Step(at_most(NEGATIVE * low, NEGATIVE * h), scaled(NEGATIVE, low, h)),
        Step(at_most(Keys(POSITIVE * h), Keys(POSITIVE * high)), monotone(Keys, POSITIVE * h, POSITIVE * high)),
        Step(at_most(Keys(NEGATIVE * low), Keys(NEGATIVE * h)), monotone(Keys, NEGATIVE * low, NEGATIVE * h)),
        Step(
            at_most(Keys((POSITIVE - NEGATIVE) * h), (high - low) * Keys(POSITIVE + NEGATIVE) / 2),
            algebra(
                given=(
                    (Rational(1), at_most(Keys(POSITIVE * h), Keys(POSITIVE * high))),
                    (Rational(1), at_most(Keys(NEGATIVE * low), Keys(NEGATIVE * h))),
                    (-(high + low) / 2, equal(0, Keys(POSITIVE - NEGATIVE))),
                )
            ),
        ),
    )


def range_of(name: str, h: Expr) -> Derivation:
    moved, half = Keys((POSITIVE - NEGATIVE) * h), Keys(POSITIVE + NEGATIVE) / 2
    change = Keys(F * R * h) / MEAN - Keys(F * h)
    return Derivation(
        name,
        (*IN_S, *IN_PARTS, at_most(BOTTOM, h), at_most(h, TOP), at_most(BOTTOM, TOP)),
        (
            Step(
                equal(Keys(F * R / MEAN - F), Keys(POSITIVE - NEGATIVE)),
                termwise(Keys, F * R / MEAN - F, POSITIVE - NEGATIVE),
            ),
            Step(
                equal((F * R / MEAN - F) * h, (POSITIVE - NEGATIVE) * h),
                algebra(given=((h, IN_PARTS[0]),)),
            ),
            Step(
                equal(Keys((F * R / MEAN - F) * h), moved),
                termwise(Keys, (F * R / MEAN - F) * h, (POSITIVE - NEGATIVE) * h),
            ),
            *by_range(name, h, 1),
            *by_range(name, h, -1),
            Step(equal(change, moved), algebra(given=((Rational(1), equal(Keys((F * R / MEAN - F) * h), moved)),))),
            Step(at_most(change, (TOP - BOTTOM) * half), transitive(change, moved, (TOP - BOTTOM) * half)),
            Step(at_most(-change, (TOP - BOTTOM) * half), transitive(-change, -moved, (TOP - BOTTOM) * half)),
            Step(at_most(Abs(change), (TOP - BOTTOM) * half), absolute(change, (TOP - BOTTOM) * half)),
            Step(at_most((TOP - BOTTOM) * half, (TOP - BOTTOM) * MOVED), scaled(TOP - BOTTOM, half, MOVED)),
            Step(
                at_most(Abs(change), MOVED * (TOP - BOTTOM)),
                transitive(Abs(change), (TOP - BOTTOM) * half, (TOP - BOTTOM) * MOVED),
            ),
        ),
        (TOTAL,),
        "a and b the least and the largest of the values",
    )


OUTPUT_RANGE, MEAN_RANGE = range_of("range", H), range_of("mean, range", Q)

OUTPUT, OUTPUT_TILDE = Keys(F * H), Keys(F * R * H) / MEAN
UPPER_PART, LOWER_PART = varying("(h-t)^{+}"), varying("(h-t)^{-}")


def one_side(h: Expr, part: Expr, other: Expr) -> tuple[Step, ...]:
    """t − y ≤ δy(1 − y)/(1 + δy) for the means t and y of h in [0, 1] with the weights f̃ and f."""
    y, sum_of_h = Keys(F * h), Keys(F * R * h)
    t = sum_of_h / MEAN
    off = (F * R * (h - t), F * R * (part - other))
    bound = DELTA * y * (1 - y) / (1 + DELTA * y)
    of_y = (Range(DELTA, 0), Range(OUTPUT, 0, 1))
    below = (Range(DELTA, 0), Range(H, 0, 1), Range(MEAN, 1, KAPPA), Range(Keys(F * R * H), 0, MEAN))
    return (
        Step(at_most(h - t, h * (1 - t)), algebra(*below)),
        Step(at_most(0, h * (1 - t)), algebra(*below)),
        Step(at_most(part, h * (1 - t)), positive_part(h - t, part, h * (1 - t))),
        Step(equal(*off), algebra(given=((F * R, equal(h - t, part - other)),))),
        Step(equal(Keys(off[0]), Keys(off[1])), termwise(Keys, *off)),
        Step(equal(F * (h - t), F * (part - other)), algebra(given=((F, equal(h - t, part - other)),))),
        Step(equal(Keys(F * (h - t)), Keys(F * (part - other))), termwise(Keys, F * (h - t), F * (part - other))),
        Step(at_most(F * part * R, F * part * KAPPA), scaled(F * part, R, KAPPA)),
        Step(at_most(F * other, F * other * R), scaled(F * other, Rational(1), R)),
        Step(at_most(Keys(F * part * R), Keys(F * part * KAPPA)), monotone(Keys, F * part * R, F * part * KAPPA)),
        Step(at_most(Keys(F * other), Keys(F * other * R)), monotone(Keys, F * other, F * other * R)),
        Step(at_most(F * part, F * h * (1 - t)), scaled(F, part, h * (1 - t))),
        Step(at_most(Keys(F * part), Keys(F * h * (1 - t))), monotone(Keys, F * part, F * h * (1 - t))),
        Step(
            at_most(t - y, DELTA * y * (1 - t)),
            algebra(
                Range(DELTA, 0),
                given=(
                    (Rational(-1), equal(Keys(F * (h - t)), Keys(F * (part - other)))),
                    (Rational(1), equal(Keys(off[0]), Keys(off[1]))),
                    (Rational(1), at_most(Keys(F * part * R), Keys(F * part * KAPPA))),
                    (Rational(1), at_most(Keys(F * other), Keys(F * other * R))),
                    (DELTA, at_most(Keys(F * part), Keys(F * h * (1 - t)))),
                ),
            ),
        ),
        Step(
            at_most(t - y, bound),
            algebra(*of_y, given=((1 / (1 + DELTA * y), at_most(t - y, DELTA * y * (1 - t))),)),
        ),
    )


IN_UNIT = (at_most(0, H), at_most(H, 1))
POSITION = Derivation(
    "position",
    (
        *RATIOS,
        *IN_UNIT,
        equal(H - OUTPUT_TILDE, UPPER_PART - LOWER_PART),
        at_most(0, UPPER_PART),
        at_most(0, LOWER_PART),
        at_most(0, LEAST),
        at_most(LEAST, OUTPUT),
        at_most(LEAST, 1 - OUTPUT),
    ),
    (
        *MEAN_STEPS,
        Step(at_most(F * H, F), scaled(F, H, Rational(1))),
        Step(at_most(0, F * H), scaled(F, Rational(0), H)),
        Step(at_most(Keys(F * H), Keys(F)), monotone(Keys, F * H, F)),
        Step(at_most(Keys(0 * F), Keys(F * H)), monotone(Keys, 0 * F, F * H)),
        Step(at_most(0, F * R), algebra(Range(F, 0), Range(R, 1))),
        Step(at_most(F * R * H, F * R), scaled(F * R, H, Rational(1))),
        Step(at_most(0, F * R * H), scaled(F * R, Rational(0), H)),
        Step(at_most(Keys(F * R * H), MEAN), monotone(Keys, F * R * H, F * R)),
        Step(at_most(0, Keys(F * R * H)), monotone(Keys, 0 * F, F * R * H)),
        Step(at_most(0, F * UPPER_PART), scaled(F, Rational(0), UPPER_PART)),
        Step(at_most(0, F * LOWER_PART), scaled(F, Rational(0), LOWER_PART)),
        *one_side(H, UPPER_PART, LOWER_PART),
        *one_side(1 - H, LOWER_PART, UPPER_PART),
        *by_least(OUTPUT, 1 - OUTPUT, OUTPUT_TILDE - OUTPUT, (Range(DELTA, 0), Range(OUTPUT, 0, 1))),
    ),
    where="h shifted and scaled to [0, 1]; y = Σ_j f_j h_j, μ = min(y, 1 − y), t = Σ_j f_j r_j h_j/Σ_j f_j r_j,"
    " (h − t)⁺ and (h − t)⁻ the positive and the negative part",
)

SIGMA = fixed(r"\sigma")
S_KAPPA, S_DELTA = S**2, S**2 - 1


def by_deviation(name: str, h: Expr) -> Derivation:
    spread, product, variance = covariance(Keys, F, R, R), covariance(Keys, F, R, h), covariance(Keys, F, h, h)
    change, limit = Keys(F * R * h) / MEAN - Keys(F * h), S_DELTA**2 * MEAN**2 / (4 * S_KAPPA)
    within = F * (R - 1) * (S_KAPPA - R)
    square = F * (h - Keys(F * h)) ** 2
    bound = S_DELTA / (2 * S) * SIGMA
    return Derivation(
        name,
        (*IN_S, equal(SIGMA**2, variance), at_most(0, SIGMA)),
        (
            Step(equal(change, product / MEAN), algebra()),
            Step(at_most(product**2, spread * variance), cauchy_schwarz(Keys, F, R, h)),
            Step(at_most(0, within), algebra(Range(S, 1), Range(F, 0), Range(R, 1, S_KAPPA))),
            Step(at_most(0, Keys(within)), monotone(Keys, 0 * F, within)),
            Step(
                at_most(spread, (MEAN - 1) * (S_KAPPA - MEAN)),
                algebra(given=((Rational(1), at_most(0, Keys(within))),)),
            ),
            Step(at_most((MEAN - 1) * (S_KAPPA - MEAN), limit), algebra(Range(S, 1))),
            Step(at_most(0, square), algebra(Range(F, 0))),
            Step(at_most(0, Keys(square)), monotone(Keys, 0 * F, square)),
            Step(at_most(spread, limit), transitive(spread, (MEAN - 1) * (S_KAPPA - MEAN), limit)),
            Step(at_most(spread * variance, limit * variance), scaled(variance, spread, limit)),
            Step(at_most(product**2, limit * variance), transitive(product**2, spread * variance, limit * variance)),
            Step(
                at_most(change**2, bound**2),
                algebra(
                    Range(S, 1),
                    given=(
                        (1 / MEAN**2, at_most(product**2, limit * variance)),
                        (-(S_DELTA**2) / (4 * S_KAPPA), equal(SIGMA**2, variance)),
                    ),
                ),
            ),
            Step(at_most(0, bound), algebra(Range(S, 1), Range(SIGMA, 0))),
            Step(at_most(Abs(change), bound), root(change, bound)),
        ),
        where="σ² is the variance of the values with the weights f, κ = δ + 1",
    )


OUTPUT_DEVIATION, MEAN_DEVIATION = by_deviation("deviation", H), by_deviation("mean, deviation", Q)

# --- own/cotangent

WIDEST, WIDEST_K = fixed("M"), fixed("M_k")
Q_K, P_K = fixed("q_k"), F_K * (fixed("q_k") - F_K * fixed("q_k") - Rest(F * Q))
TILDE_K = F_K * R_K / OWN_MEAN
P_TILDE = TILDE_K * (Q_K - TILDE_K * Q_K - Rest(F * R * Q) / OWN_MEAN)
OF_PAIRS = (PAIR * (Q_K - Q), Abs(PAIR) * WIDEST_K)
ENTRIES_SHARP = Derivation(
    "entries, sharp",
    (*RATIOS, *OF_K, at_most(Abs(Q_K - Q), WIDEST_K), at_most(0, WIDEST_K)),
    (
        Step(equal(P_TILDE - P_K, Rest(OF_PAIRS[0])), algebra()),
        Step(at_most(Abs(Rest(OF_PAIRS[0])), Rest(Abs(OF_PAIRS[0]))), triangle(Rest, OF_PAIRS[0])),
        Step(at_most(Abs(OF_PAIRS[0]), OF_PAIRS[1]), products(PAIR, Abs(PAIR), Q_K - Q, WIDEST_K)),
        Step(at_most(Rest(Abs(OF_PAIRS[0])), Rest(OF_PAIRS[1])), monotone(Rest, Abs(OF_PAIRS[0]), OF_PAIRS[1])),
        Step(
            at_most(WIDEST_K * Rest(Abs(PAIR)), WIDEST_K * DELTA * F_K * (1 - F_K)),
            scaled(WIDEST_K, Rest(Abs(PAIR)), DELTA * F_K * (1 - F_K)),
        ),
        Step(
            at_most(Abs(P_TILDE - P_K), DELTA * F_K * (1 - F_K) * WIDEST_K),
            transitive(
                Abs(P_TILDE - P_K),
                Rest(Abs(OF_PAIRS[0])),
                Rest(OF_PAIRS[1]),
                DELTA * F_K * (1 - F_K) * WIDEST_K,
            ),
        ),
    ),
    (PAIRS,),
    "p_k = f_k (q_k − K), K = f_k q_k + Σ_{j≠k} f_j q_j, p̃_k the same of f̃, M_k the largest |q_k − q_j|",
)
ENTRIES = Derivation(
    "entries",
    (*ENTRIES_SHARP.given, at_most(WIDEST_K, WIDEST)),
    (
        Step(
            at_most(DELTA * F_K * (1 - F_K) * WIDEST_K, DELTA * F_K * WIDEST),
            algebra(Range(DELTA, 0), Range(F_K, 0, 1), Range(WIDEST_K, 0), Range(WIDEST, WIDEST_K)),
        ),
        Step(
            at_most(Abs(P_TILDE - P_K), DELTA * F_K * WIDEST),
            transitive(Abs(P_TILDE - P_K), DELTA * F_K * (1 - F_K) * WIDEST_K, DELTA * F_K * WIDEST),
        ),
    ),
    (ENTRIES_SHARP,),
    "M the range of q",
)

K, K_TILDE, F_TILDE_K = fixed("K"), fixed(r"\tilde K"), fixed(r"\tilde f_k")
CHANGE_F, CHANGE_K = (F_TILDE_K - F_K, Q_K - K), (-F_TILDE_K, K_TILDE - K)
FIRST, SECOND = S_DELTA * F_K * Abs(Q_K - K), S_KAPPA * F_K * S_DELTA / (2 * S) * SIGMA
DIFFERENCE_P = F_TILDE_K * (Q_K - K_TILDE) - F_K * (Q_K - K)
ENTRIES_DEVIATION = Derivation(
    "entries, deviation",
    (
        at_most(1, S),
        at_most(0, F_K),
        at_most(0, SIGMA),
        at_most(0, F_TILDE_K),
        at_most(Abs(F_TILDE_K - F_K), S_DELTA * F_K),
        at_most(Abs(K_TILDE - K), S_DELTA / (2 * S) * SIGMA),
    ),
    (
        Step(at_most(F_TILDE_K - F_K, Abs(F_TILDE_K - F_K)), below_absolute(F_TILDE_K - F_K)),
        Step(
            at_most(F_TILDE_K - F_K, S_DELTA * F_K),
            transitive(F_TILDE_K - F_K, Abs(F_TILDE_K - F_K), S_DELTA * F_K),
        ),
        Step(equal(DIFFERENCE_P, CHANGE_F[0] * CHANGE_F[1] + CHANGE_K[0] * CHANGE_K[1]), algebra()),
        Step(
            at_most(
                Abs(CHANGE_F[0] * CHANGE_F[1] + CHANGE_K[0] * CHANGE_K[1]),
                Abs(CHANGE_F[0] * CHANGE_F[1]) + Abs(CHANGE_K[0] * CHANGE_K[1]),
            ),
            triangle_of(CHANGE_F[0] * CHANGE_F[1], CHANGE_K[0] * CHANGE_K[1]),
        ),
        Step(
            at_most(Abs(CHANGE_F[0] * CHANGE_F[1]), FIRST),
            products(CHANGE_F[0], S_DELTA * F_K, CHANGE_F[1], Abs(CHANGE_F[1])),
        ),
        Step(at_most(F_TILDE_K, S_KAPPA * F_K), algebra(given=((Rational(1), at_most(CHANGE_F[0], S_DELTA * F_K)),))),
        Step(equal(Abs(F_TILDE_K), F_TILDE_K), positive(F_TILDE_K)),
        Step(at_most(Abs(-F_TILDE_K), S_KAPPA * F_K), transitive(Abs(-F_TILDE_K), F_TILDE_K, S_KAPPA * F_K)),
        Step(
            at_most(Abs(CHANGE_K[0] * CHANGE_K[1]), SECOND),
            products(CHANGE_K[0], S_KAPPA * F_K, CHANGE_K[1], S_DELTA / (2 * S) * SIGMA),
        ),
        Step(
            at_most(Abs(CHANGE_F[0] * CHANGE_F[1]) + Abs(CHANGE_K[0] * CHANGE_K[1]), FIRST + SECOND),
            added((Abs(CHANGE_F[0] * CHANGE_F[1]), FIRST), (Abs(CHANGE_K[0] * CHANGE_K[1]), SECOND)),
        ),
        Step(
            at_most(Abs(DIFFERENCE_P), S_DELTA * F_K * (Abs(Q_K - K) + S / 2 * SIGMA)),
            transitive(
                Abs(DIFFERENCE_P),
                Abs(CHANGE_F[0] * CHANGE_F[1]) + Abs(CHANGE_K[0] * CHANGE_K[1]),
                S_DELTA * F_K * (Abs(Q_K - K) + S / 2 * SIGMA),
            ),
        ),
    ),
    where="σ² is the variance of q with the weights f",
    links=(
        Link(
            at_most(Abs(F_TILDE_K - F_K), S_DELTA * F_K),
            ((F_TILDE_K, F_K * R_K / MEAN),),
            RELATIVE,
            ((DELTA, S_DELTA),),
        ),
        Link(
            at_most(Abs(K_TILDE - K), S_DELTA / (2 * S) * SIGMA),
            ((K_TILDE, Keys(F * R * Q) / MEAN), (K, Keys(F * Q))),
            MEAN_DEVIATION,
        ),
    ),
)

SIGMA_Q, SIGMA_Y = fixed(r"\sigma_q"), fixed(r"\sigma_y")
SIGMA_I, SIGMA_IA, SIGMA_IB = fixed(r"\sigma_i"), fixed(r"\sigma_{ia}"), fixed(r"\sigma_{ib}")
PLUS, MINUS = Q / SIGMA_Q + Y / SIGMA_Y, Q / SIGMA_Q - Y / SIGMA_Y


def variance(x: Expr) -> Expr:
    return covariance(Keys, F, x, x)


def variance_tilde(x: Expr, y: Expr) -> Expr:
    """The covariance with the weights f̃."""
    return Keys(F * R * x * y) / MEAN - Keys(F * R * x) * Keys(F * R * y) / MEAN**2


def variances(x: Expr) -> tuple[Step, ...]:
    """|Var f̃ − Var f| ≤ δ Var f."""
    V, V_tilde = variance(x), variance_tilde(x, x)
    m, m_tilde = Keys(F * x), Keys(F * R * x) / MEAN
    about, about_tilde = F * (x - m) ** 2, F * (x - m_tilde) ** 2
    return (
        Step(at_most(0, about), algebra(Range(F, 0))),
        Step(at_most(0, about_tilde), algebra(Range(F, 0))),
        Step(at_most(0, Keys(about)), monotone(Keys, 0 * F, about)),
        Step(at_most(0, Keys(about_tilde)), monotone(Keys, 0 * F, about_tilde)),
        Step(at_most(about * R, about * KAPPA), scaled(about, R, KAPPA)),
        Step(at_most(about_tilde, about_tilde * R), scaled(about_tilde, Rational(1), R)),
        Step(at_most(Keys(about * R), Keys(about * KAPPA)), monotone(Keys, about * R, about * KAPPA)),
        Step(at_most(Keys(about_tilde), Keys(about_tilde * R)), monotone(Keys, about_tilde, about_tilde * R)),
        Step(equal(V, Keys(about)), algebra()),
        Step(at_most(0, V), transitive(Rational(0), Keys(about), V)),
        Step(at_most(V, Keys(about_tilde)), algebra()),
        Step(equal(V_tilde * MEAN, Keys(about_tilde * R)), algebra()),
        Step(
            at_most(0, V_tilde),
            algebra(
                *IN_RANGE,
                given=(
                    (1 / MEAN, at_most(0, Keys(about_tilde))),
                    (1 / MEAN, at_most(Keys(about_tilde), Keys(about_tilde * R))),
                ),
            ),
        ),
        Step(
            at_most(V_tilde - V, DELTA * V),
            algebra(
                *IN_RANGE,
                given=(
                    (1 / MEAN, at_most(Keys(about * R), Keys(about * KAPPA))),
                    (KAPPA * (1 - 1 / MEAN), at_most(0, V)),
                ),
            ),
        ),
        Step(
            at_most(V - V_tilde, DELTA * V),
            algebra(
                *IN_RANGE,
                given=(
                    (1 / KAPPA, at_most(Keys(about_tilde), Keys(about_tilde * R))),
                    (1 - MEAN / KAPPA, at_most(0, V_tilde)),
                    (DELTA**2 / KAPPA, at_most(0, V)),
                ),
            ),
        ),
    )


OFF, LIMIT = variance_tilde(Q, Y) - covariance(Keys, F, Q, Y), DELTA * SIGMA_Q * SIGMA_Y


def polarised(sign: int) -> Step:
    """4 (Cov f̃ − Cov f)(q, y)/(σ_q σ_y) is Var f̃ − Var f of one, less that of the other."""
    large, small = (PLUS, MINUS) if sign > 0 else (MINUS, PLUS)
    quarter = SIGMA_Q * SIGMA_Y / 4
    return Step(
        at_most(sign * OFF, LIMIT),
        algebra(
            Range(DELTA, 0),
            Range(SIGMA_Q, 0),
            Range(SIGMA_Y, 0),
            given=(
                (quarter, at_most(variance_tilde(large, large) - variance(large), DELTA * variance(large))),
                (quarter, at_most(variance(small) - variance_tilde(small, small), DELTA * variance(small))),
                (-DELTA * SIGMA_Y / (2 * SIGMA_Q), equal(SIGMA_Q**2, variance(Q))),
                (-DELTA * SIGMA_Q / (2 * SIGMA_Y), equal(SIGMA_Y**2, variance(Y))),
            ),
        ),
    )


COVARIANCE = Derivation(
    "sums over keys",
    (
        *RATIOS,
        at_most(0, SIGMA_Q),
        at_most(0, SIGMA_Y),
        equal(SIGMA_Q**2, variance(Q)),
        equal(SIGMA_Y**2, variance(Y)),
    ),
    (
        *MEAN_STEPS,
        *variances(PLUS),
        *variances(MINUS),
        polarised(1),
        polarised(-1),
        Step(at_most(Abs(OFF), LIMIT), absolute(OFF, LIMIT)),
    ),
    where="Σ_j p_j y_j is the covariance of q and y; σ_q, σ_y > 0, for where one is 0 that variable does not vary",
)

# --- own/gradients, own/differentiate: i and a are left out where they stay the same

ROWS = Derivation(
    "rows",
    (),
    (
        Step(equal(Keys(F * (Q - Keys(F * Q))), 0), algebra()),
        Step(
            equal(Keys(F * R / MEAN * (Q - Keys(F * R * Q) / MEAN) - F * (Q - Keys(F * Q))), 0),
            algebra(),
        ),
    ),
    where="rows of p and of p̃ − p sum to zero",
)
ROWS_OF_F = Derivation(
    "rows of f", (), (Step(equal(Keys(F * R / MEAN - F), 0), algebra()),), where="so do those of f̃ − f"
)

TAU, CENTRE = fixed(r"\tau"), fixed("c")
DP, DP_BACK, DF_BACK = varying(r"\Delta p"), varying(r"\Delta p'"), varying(r"\Delta f'")
BOUND_P, BOUND_BACK, F_BACK = varying("F"), varying("F'"), varying("f'")
Y_ROW, Z_ROW, U_ROW = varying("Y"), varying("Z"), varying("U")


def along_keys(x: Expr, bound: Expr, y: Expr) -> tuple[Step, ...]:
    """|Σ x_j y_j| ≤ Σ b_j |y_j|, from |x_j| ≤ b_j."""
    return (
        Step(at_most(Abs(Keys(x * y)), Keys(Abs(x * y))), triangle(Keys, x * y)),
        Step(at_most(Abs(x * y), bound * Abs(y)), products(x, bound, y, Abs(y))),
        Step(at_most(Keys(Abs(x * y)), Keys(bound * Abs(y))), monotone(Keys, Abs(x * y), bound * Abs(y))),
        Step(
            at_most(Abs(Keys(x * y)), Keys(bound * Abs(y))),
            transitive(Abs(Keys(x * y)), Keys(Abs(x * y)), Keys(bound * Abs(y))),
        ),
    )


def shifted(x: Expr, bound: Expr, y: Expr) -> tuple[Step, ...]:
    """|Σ x_j y_j| ≤ Σ b_j |y_j − c|: the x_j sum to zero."""
    there, here = Keys(x * (y - CENTRE)), Keys(x * y)
    return (
        Step(equal(here, there), algebra(given=((CENTRE, equal(Keys(x), 0)),))),
        Step(equal(Abs(here), Abs(there)), sizes(here, there)),
        *along_keys(x, bound, y - CENTRE),
        Step(
            at_most(Abs(here), Keys(bound * Abs(y - CENTRE))),
            transitive(Abs(here), Abs(there), Keys(bound * Abs(y - CENTRE))),
        ),
    )


# Row i of p̃ − p and column i of p̃ − p and f̃ − f, written out for the key k and the query k.
ENTRY_OF_P = ((DP, P_TILDE - P_K), (BOUND_P, DELTA * F_K * WIDEST))
ENTRY_OF_COLUMN = ((DP_BACK, P_TILDE - P_K), (BOUND_BACK, DELTA * F_K * WIDEST))
ENTRY_OF_F = ((DF_BACK, F_K * R_K / MEAN - F_K), (F_BACK, F_K))
SUM_OF_P = ((DP, F * R / MEAN * (Q - Keys(F * R * Q) / MEAN) - F * (Q - Keys(F * Q))),)


def on_X(
    name: str, by_keys: Expr, steps: tuple[Step, ...], given: tuple[Relation, ...], where: str, links: tuple[Link, ...]
) -> Derivation:
    """|τ(Σ Δp_j Y_j + Σ Δp'_j Z_j) + Σ Δf'_j U_j|, from a bound on the first sum."""
    sums = Keys(DP * Y_ROW), Keys(DP_BACK * Z_ROW), Keys(DF_BACK * U_ROW)
    limits = by_keys, Keys(BOUND_BACK * Abs(Z_ROW)), Keys(DELTA * F_BACK * Abs(U_ROW))
    whole, terms = TAU * (sums[0] + sums[1]) + sums[2], (TAU * sums[0], TAU * sums[1], sums[2])
    bounds = Abs(TAU) * limits[0], Abs(TAU) * limits[1], limits[2]
    return Derivation(
        name,
        (*given, at_most(Abs(DP_BACK), BOUND_BACK), at_most(Abs(DF_BACK), DELTA * F_BACK)),
        (
            *steps,
            *along_keys(DP_BACK, BOUND_BACK, Z_ROW),
            *along_keys(DF_BACK, DELTA * F_BACK, U_ROW),
            *(
                Step(at_most(Abs(TAU * sums[k]), bounds[k]), products(TAU, Abs(TAU), sums[k], limits[k]))
                for k in (0, 1)
            ),
            Step(at_most(Abs(whole), sum(map(Abs, terms))), triangle_of(*terms)),
            Step(at_most(sum(map(Abs, terms)), sum(bounds)), added(*zip(map(Abs, terms), bounds, strict=True))),
            Step(at_most(Abs(whole), sum(bounds)), transitive(Abs(whole), sum(map(Abs, terms)), sum(bounds))),
        ),
        where=where,
        links=(
            *links,
            Link(at_most(Abs(DF_BACK), DELTA * F_BACK), ENTRY_OF_F, RELATIVE),
        ),
    )


ON_KEYS = "Y, Z, U the columns of X Wᵀ, X W, G W_Vᵀ; Δp, Δp', Δf' are row i of p̃ − p and column i of p̃ − p, f̃ − f"
SHIFTED_SUM = Keys(BOUND_P * Abs(Y_ROW - CENTRE))
GRADIENT_X = on_X(
    "dX",
    SHIFTED_SUM,
    shifted(DP, BOUND_P, Y_ROW),
    (at_most(Abs(DP), BOUND_P), equal(Keys(DP), 0)),
    ON_KEYS,
    (
        Link(at_most(Abs(DP), BOUND_P), ENTRY_OF_P, ENTRIES),
        Link(equal(Keys(DP), 0), SUM_OF_P, ROWS),
        Link(at_most(Abs(DP_BACK), BOUND_BACK), ENTRY_OF_COLUMN, ENTRIES),
    ),
)
COVARIANCES = (
    (Keys(DP * Y_ROW), variance_tilde(Q, Y) - covariance(Keys, F, Q, Y)),
    (SIGMA_I, SIGMA_Q),
    (SIGMA_IB, SIGMA_Y),
)
BY_DEVIATIONS = DELTA * SIGMA_Q * SIGMA_Y
GRADIENT_X_DEVIATION = on_X(
    "dX, deviation",
    BY_DEVIATIONS,
    (),
    (at_most(Abs(Keys(DP * Y_ROW)), BY_DEVIATIONS),),
    ON_KEYS,
    (
        Link(at_most(Abs(Keys(DP * Y_ROW)), BY_DEVIATIONS), COVARIANCES, COVARIANCE),
        Link(at_most(Abs(DP_BACK), BOUND_BACK), ENTRY_OF_COLUMN, ENTRIES),
    ),
)
X_I = fixed("X_i")


def over_queries(
    name: str,
    inner: Expr,
    bound: Expr,
    steps: tuple[Step, ...],
    given: tuple[Relation, ...],
    where: str,
    links: tuple[Link, ...],
) -> Derivation:
    """|τ Σ_i x_i z_i| ≤ |τ| Σ_i |x_i| b_i, from |z_i| ≤ b_i."""
    total, limit = Queries(X_I * inner), Queries(Abs(X_I) * bound)
    return Derivation(
        name,
        given,
        (
            *steps,
            Step(at_most(Abs(total), Queries(Abs(X_I * inner))), triangle(Queries, X_I * inner)),
            Step(at_most(Abs(X_I * inner), Abs(X_I) * bound), products(X_I, Abs(X_I), inner, bound)),
            Step(at_most(Queries(Abs(X_I * inner)), limit), monotone(Queries, Abs(X_I * inner), Abs(X_I) * bound)),
            Step(at_most(Abs(total), limit), transitive(Abs(total), Queries(Abs(X_I * inner)), limit)),
            Step(at_most(Abs(TAU * total), Abs(TAU) * limit), products(TAU, Abs(TAU), total, limit)),
        ),
        where=where,
        links=links,
    )


SUM_P = Keys(DP * Y_ROW)
OF_W = "x_i = X_ia, Y_j = X_jb; under the sum over i stands row i"
GRADIENT_W = over_queries(
    "dW",
    SUM_P,
    SHIFTED_SUM,
    shifted(DP, BOUND_P, Y_ROW),
    (at_most(Abs(DP), BOUND_P), equal(Keys(DP), 0)),
    f"{OF_W}, Δp row i of p̃ − p, F its bound by own/cotangent",
    (Link(at_most(Abs(DP), BOUND_P), ENTRY_OF_P, ENTRIES), Link(equal(Keys(DP), 0), SUM_OF_P, ROWS)),
)
GRADIENT_W_V = over_queries(
    "dW_V",
    SUM_P,
    SHIFTED_SUM,
    shifted(DP, BOUND_P, Y_ROW),
    (at_most(Abs(DP), BOUND_P), equal(Keys(DP), 0)),
    "the same with x_i = G_ic, Y_j = X_ja, f̃ − f in place of p̃ − p, F = δ f by own/weights, and τ = 1",
    (
        Link(at_most(Abs(DP), BOUND_P), ((DP, F_K * R_K / MEAN - F_K), (BOUND_P, DELTA * F_K)), RELATIVE),
        Link(equal(Keys(DP), 0), ((DP, F * R / MEAN - F),), ROWS_OF_F),
    ),
)
GRADIENT_W_DEVIATION = over_queries(
    "dW, deviation",
    SUM_P,
    DELTA * SIGMA_I * SIGMA_IB,
    (),
    (at_most(Abs(SUM_P), DELTA * SIGMA_I * SIGMA_IB),),
    OF_W,
    (Link(at_most(Abs(SUM_P), DELTA * SIGMA_I * SIGMA_IB), COVARIANCES, COVARIANCE),),
)
GRADIENT_W_V_DEVIATION = over_queries(
    "dW_V, deviation",
    SUM_P,
    S_DELTA / (2 * S) * SIGMA_IA,
    (),
    (at_most(Abs(SUM_P), S_DELTA / (2 * S) * SIGMA_IA),),
    "x_i = G_ic, Y_j = X_ja, f̃ − f in place of p̃ − p, and τ = 1",
    (
        Link(
            at_most(Abs(SUM_P), S_DELTA / (2 * S) * SIGMA_IA),
            ((SUM_P, Keys(F * R * H) / MEAN - Keys(F * H)), (SIGMA_IA, SIGMA)),
            OUTPUT_DEVIATION,
        ),
    ),
)

OMEGA, RHO_K, WEIGHT = fixed(r"\omega"), fixed(r"\rho_k"), varying(r"\tilde f")
P_TILDE_K, PP_K = fixed(r"\tilde p_k"), fixed("p_k")
FAR, TO_MEAN = WEIGHT * (Q_K - Q), Q_K - Keys(WEIGHT * Q)
NEAR_K = F_TILDE_K * WIDEST
DIFFERENTIATED = Derivation(
    "differentiated",
    (
        at_most(0, WEIGHT),
        equal(Keys(WEIGHT), 1),
        at_most(Abs(Q_K - Q), WIDEST),
        at_most(0, F_TILDE_K),
        equal(P_TILDE_K, F_TILDE_K * TO_MEAN),
        at_most(Abs(RHO_K - 1), OMEGA),
        at_most(Abs(P_TILDE_K - PP_K), DELTA * NEAR_K),
    ),
    (
        Step(equal(TO_MEAN, Keys(FAR)), algebra(given=((Q_K, equal(1, Keys(WEIGHT))),))),
        Step(equal(Abs(TO_MEAN), Abs(Keys(FAR))), sizes(TO_MEAN, Keys(FAR))),
        Step(equal(Abs(WEIGHT), WEIGHT), positive(WEIGHT)),
        Step(at_most(Abs(FAR), WEIGHT * WIDEST), products(WEIGHT, WEIGHT, Q_K - Q, WIDEST)),
        Step(at_most(Abs(Keys(FAR)), Keys(Abs(FAR))), triangle(Keys, FAR)),
        Step(at_most(Keys(Abs(FAR)), Keys(WEIGHT * WIDEST)), monotone(Keys, Abs(FAR), WEIGHT * WIDEST)),
        Step(at_most(Keys(WEIGHT * WIDEST), WIDEST), algebra(given=((WIDEST, equal(Keys(WEIGHT), 1)),))),
        Step(
            at_most(Abs(TO_MEAN), WIDEST),
            transitive(Abs(TO_MEAN), Abs(Keys(FAR)), Keys(Abs(FAR)), Keys(WEIGHT * WIDEST), WIDEST),
        ),
        Step(equal(Abs(F_TILDE_K), F_TILDE_K), positive(F_TILDE_K)),
        Step(equal(Abs(P_TILDE_K), Abs(F_TILDE_K * TO_MEAN)), sizes(P_TILDE_K, F_TILDE_K * TO_MEAN)),
        Step(at_most(Abs(F_TILDE_K * TO_MEAN), NEAR_K), products(F_TILDE_K, F_TILDE_K, TO_MEAN, WIDEST)),
        Step(at_most(Abs(P_TILDE_K), NEAR_K), transitive(Abs(P_TILDE_K), Abs(F_TILDE_K * TO_MEAN), NEAR_K)),
        Step(at_most(Abs((RHO_K - 1) * P_TILDE_K), OMEGA * NEAR_K), products(RHO_K - 1, OMEGA, P_TILDE_K, NEAR_K)),
        Step(
            at_most(Abs(RHO_K * P_TILDE_K - PP_K), Abs((RHO_K - 1) * P_TILDE_K) + Abs(P_TILDE_K - PP_K)),
            triangle_of((RHO_K - 1) * P_TILDE_K, P_TILDE_K - PP_K),
        ),
        Step(
            at_most(Abs((RHO_K - 1) * P_TILDE_K) + Abs(P_TILDE_K - PP_K), (DELTA + OMEGA) * NEAR_K),
            added((Abs((RHO_K - 1) * P_TILDE_K), OMEGA * NEAR_K), (Abs(P_TILDE_K - PP_K), DELTA * NEAR_K)),
        ),
        Step(
            at_most(Abs(RHO_K * P_TILDE_K - PP_K), (DELTA + OMEGA) * NEAR_K),
            transitive(
                Abs(RHO_K * P_TILDE_K - PP_K),
                Abs((RHO_K - 1) * P_TILDE_K) + Abs(P_TILDE_K - PP_K),
                (DELTA + OMEGA) * NEAR_K,
            ),
        ),
    ),
    where="ρ = P'/P, so pᵈ = ρ p̃; p̃_k = f̃_k (q_k − Σ_j f̃_j q_j)",
    links=(
        Link(
            at_most(Abs(P_TILDE_K - PP_K), DELTA * NEAR_K),
            ((P_TILDE_K, P_K), (PP_K, P_TILDE), (F_TILDE_K, F_K)),  # f and f̃ exchanged
            ENTRIES,
        ),
    ),
)

DIFFERENTIATED_ENTRY = (
    ((DP, RHO_K * P_TILDE_K - PP_K), (BOUND_P, (DELTA + OMEGA) * NEAR_K)),
    ((DP_BACK, RHO_K * P_TILDE_K - PP_K), (BOUND_BACK, (DELTA + OMEGA) * NEAR_K)),
)
UNSHIFTED = Keys(BOUND_P * Abs(Y_ROW))
DIFFERENTIATED_X = on_X(
    "differentiated, dX",
    UNSHIFTED,
    along_keys(DP, BOUND_P, Y_ROW),
    (at_most(Abs(DP), BOUND_P),),
    f"{ON_KEYS}, with pᵈ for p̃",
    (
        Link(at_most(Abs(DP), BOUND_P), DIFFERENTIATED_ENTRY[0], DIFFERENTIATED),
        Link(at_most(Abs(DP_BACK), BOUND_BACK), DIFFERENTIATED_ENTRY[1], DIFFERENTIATED),
    ),
)
DIFFERENTIATED_W = over_queries(
    "differentiated, dW",
    SUM_P,
    UNSHIFTED,
    along_keys(DP, BOUND_P, Y_ROW),
    (at_most(Abs(DP), BOUND_P),),
    f"{OF_W}, Δp row i of pᵈ − p",
    (Link(at_most(Abs(DP), BOUND_P), DIFFERENTIATED_ENTRY[0], DIFFERENTIATED),),
)

# --- own/moments: Ã = A − Δ, |Δ_j| ≤ E_j

A_TILDE, E, DIFFERENCE = varying(r"\tilde A"), varying("E"), varying(r"\Delta")
A_K, E_K, DIFFERENCE_K = fixed(r"\tilde A_k"), fixed("E_k"), fixed(r"\Delta_k")
D_TILDE, T, SHIFT = Keys(A_TILDE), Keys(E), Keys(DIFFERENCE)
EXACT_D = D_TILDE + SHIFT
TILDE = A_K / D_TILDE
CLOSE = (at_most(Abs(DIFFERENCE), E), at_most(0, E), at_most(T, D_TILDE))
D_STEPS = (
    Step(at_most(Abs(SHIFT), Keys(Abs(DIFFERENCE))), triangle(Keys, DIFFERENCE)),
    Step(at_most(Keys(Abs(DIFFERENCE)), T), monotone(Keys, Abs(DIFFERENCE), E)),
    Step(at_most(SHIFT, Abs(SHIFT)), below_absolute(SHIFT)),
    Step(at_most(-SHIFT, Abs(SHIFT)), below_absolute(-SHIFT)),
    Step(at_most(SHIFT, T), transitive(SHIFT, Abs(SHIFT), Keys(Abs(DIFFERENCE)), T)),
    Step(at_most(-SHIFT, T), transitive(-SHIFT, Abs(SHIFT), Keys(Abs(DIFFERENCE)), T)),
    Step(at_most(0, T), monotone(Keys, 0 * E, E)),
)
SUMS_IN_RANGE = (Range(T, 0), Range(D_TILDE, T), Range(SHIFT, -T, T))
OVER_D = 1 / (D_TILDE - T)
INVERSE_STEPS = (
    Step(at_most(0, 1 / EXACT_D), algebra(*SUMS_IN_RANGE)),
    Step(equal(Abs(1 / EXACT_D), 1 / EXACT_D), positive(1 / EXACT_D)),
    Step(at_most(1 / EXACT_D, OVER_D), algebra(*SUMS_IN_RANGE)),
    Step(at_most(Abs(1 / EXACT_D), OVER_D), transitive(Abs(1 / EXACT_D), 1 / EXACT_D, OVER_D)),
)
F_MOVED = (A_K + DIFFERENCE_K) / EXACT_D - F_TILDE_K
WEIGHT_LIMIT = (E_K + F_TILDE_K * T) * OVER_D
AT_K_TOO = (
    equal(A_K, F_TILDE_K * D_TILDE),
    at_most(DIFFERENCE_K, E_K),
    at_most(-DIFFERENCE_K, E_K),
    at_most(0, E_K),
    at_most(0, F_TILDE_K * D_TILDE + DIFFERENCE_K),
)
DIFFERENCE_OVER_D = (DIFFERENCE_K - F_TILDE_K * SHIFT) / EXACT_D
ABOVE_ZERO = (Range(F_TILDE_K, 0), Range(E_K, 0), Range(DIFFERENCE_K, -E_K, E_K), *SUMS_IN_RANGE)
BELOW_ZERO = (
    *SUMS_IN_RANGE,
    Range(F_TILDE_K, None, 0),
    Range(DIFFERENCE_K, -F_TILDE_K * D_TILDE),
    Range(E_K, DIFFERENCE_K),
)
OF_SIGN = (at_most(0, F_TILDE_K),), (at_most(F_TILDE_K, 0),)
BOTH_WAYS = (DIFFERENCE_OVER_D, -DIFFERENCE_OVER_D)
ABSOLUTE_WEIGHTS = Derivation(
    "weights",
    (*CLOSE, *AT_K_TOO),
    (
        *D_STEPS,
        Step(equal(F_MOVED, DIFFERENCE_OVER_D), algebra(given=((1 / EXACT_D, AT_K_TOO[0]),))),
        *(
            Step(at_most(x, WEIGHT_LIMIT), algebra(*ranges), under)
            for ranges, under in zip((ABOVE_ZERO, BELOW_ZERO), OF_SIGN, strict=True)
            for x in BOTH_WAYS
        ),
        *(Step(at_most(x, WEIGHT_LIMIT), either(F_TILDE_K, Rational(0), at_most(x, WEIGHT_LIMIT))) for x in BOTH_WAYS),
        Step(at_most(Abs(DIFFERENCE_OVER_D), WEIGHT_LIMIT), absolute(DIFFERENCE_OVER_D, WEIGHT_LIMIT)),
        Step(equal(Abs(F_MOVED), Abs(DIFFERENCE_OVER_D)), sizes(F_MOVED, DIFFERENCE_OVER_D)),
        Step(at_most(Abs(F_MOVED), WEIGHT_LIMIT), transitive(Abs(F_MOVED), Abs(DIFFERENCE_OVER_D), WEIGHT_LIMIT)),
    ),
    where="A = Ã + Δ ≥ 0, D̃ and D the row sums of Ã and A, T that of E; f̃_k = Ã_k/D̃ may be negative",
)


def mean_moves(x: Expr, size: Expr, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The mean of x under f less that under f̃, from |Σ Δ_j (x_j − x̃)| ≤ size."""
    mean_tilde = Keys(A_TILDE * x) / D_TILDE
    moved, change = Keys(DIFFERENCE * (x - mean_tilde)), Keys((A_TILDE + DIFFERENCE) * x) / EXACT_D - mean_tilde
    return (
        *D_STEPS,
        *INVERSE_STEPS,
        *steps,
        Step(equal(change, moved / EXACT_D), algebra()),
        Step(equal(Abs(change), Abs(moved / EXACT_D)), sizes(change, moved / EXACT_D)),
        Step(at_most(Abs(moved / EXACT_D), size * OVER_D), products(moved, size, 1 / EXACT_D, OVER_D)),
        Step(at_most(Abs(change), size * OVER_D), transitive(Abs(change), Abs(moved / EXACT_D), size * OVER_D)),
    )


H_OFF, Q_OFF = H - Keys(A_TILDE * H) / D_TILDE, Q - Keys(A_TILDE * Q) / D_TILDE
ABSOLUTE_OUTPUT = Derivation(
    "output",
    CLOSE,
    mean_moves(H, Keys(E * Abs(H_OFF)), along_keys(DIFFERENCE, E, H_OFF)),
    where="the left side is |s − s̃|, and Σ_j Ã_j h_j/D̃ is s̃",
)
FARTHEST = fixed("Q")
FAR_KEYS = Keys(E * Abs(Q_OFF))
ABSOLUTE_MEAN = Derivation(
    "mean",
    (*CLOSE, at_most(Abs(Q_OFF), FARTHEST)),
    mean_moves(
        Q,
        T * FARTHEST,
        (
            *along_keys(DIFFERENCE, E, Q_OFF),
            Step(at_most(E * Abs(Q_OFF), E * FARTHEST), scaled(E, Abs(Q_OFF), FARTHEST)),
            Step(at_most(FAR_KEYS, T * FARTHEST), monotone(Keys, E * Abs(Q_OFF), E * FARTHEST)),
            Step(
                at_most(Abs(Keys(DIFFERENCE * Q_OFF)), T * FARTHEST),
                transitive(Abs(Keys(DIFFERENCE * Q_OFF)), FAR_KEYS, T * FARTHEST),
            ),
        ),
    ),
    where="the left side is |K − K̃|, and Σ_j Ã_j q_j/D̃ is K̃",
)

LIMIT_F, FRACTION = fixed("b_k"), fixed("t")
FIRST_TERM, SECOND_TERM = (F_K - F_TILDE_K) * (Q_K - K_TILDE), F_K * (K_TILDE - K)
P_MOVED = F_K * (Q_K - K) - F_TILDE_K * (Q_K - K_TILDE)
FIRST_LIMIT, SECOND_LIMIT = LIMIT_F * FARTHEST, (F_TILDE_K + LIMIT_F) * FRACTION * FARTHEST
ABSOLUTE_COTANGENT = Derivation(
    "cotangent",
    (
        at_most(0, F_K),
        at_most(Abs(F_K - F_TILDE_K), LIMIT_F),
        at_most(Abs(Q_K - K_TILDE), FARTHEST),
        at_most(Abs(K_TILDE - K), FRACTION * FARTHEST),
    ),
    (
        Step(equal(P_MOVED, FIRST_TERM + SECOND_TERM), algebra()),
        Step(at_most(F_K - F_TILDE_K, Abs(F_K - F_TILDE_K)), below_absolute(F_K - F_TILDE_K)),
        Step(
            at_most(F_K, F_TILDE_K + LIMIT_F),
            algebra(
                given=(
                    (Rational(1), at_most(F_K - F_TILDE_K, Abs(F_K - F_TILDE_K))),
                    (Rational(1), at_most(Abs(F_K - F_TILDE_K), LIMIT_F)),
                )
            ),
        ),
        Step(equal(Abs(F_K), F_K), positive(F_K)),
        Step(at_most(Abs(F_K), F_TILDE_K + LIMIT_F), transitive(Abs(F_K), F_K, F_TILDE_K + LIMIT_F)),
        Step(at_most(Abs(FIRST_TERM), FIRST_LIMIT), products(F_K - F_TILDE_K, LIMIT_F, Q_K - K_TILDE, FARTHEST)),
        Step(
            at_most(Abs(SECOND_TERM), SECOND_LIMIT),
            products(F_K, F_TILDE_K + LIMIT_F, K_TILDE - K, FRACTION * FARTHEST),
        ),
        Step(
            at_most(Abs(FIRST_TERM + SECOND_TERM), Abs(FIRST_TERM) + Abs(SECOND_TERM)),
            triangle_of(FIRST_TERM, SECOND_TERM),
        ),
        Step(
            at_most(Abs(FIRST_TERM) + Abs(SECOND_TERM), FIRST_LIMIT + SECOND_LIMIT),
            added((Abs(FIRST_TERM), FIRST_LIMIT), (Abs(SECOND_TERM), SECOND_LIMIT)),
        ),
        Step(
            at_most(Abs(P_MOVED), FIRST_LIMIT + SECOND_LIMIT),
            transitive(Abs(P_MOVED), Abs(FIRST_TERM) + Abs(SECOND_TERM), FIRST_LIMIT + SECOND_LIMIT),
        ),
    ),
    where="b_k = (E_k + f̃_k T)/(D̃ − T); t = T/(D̃ − T), which is called τ in the formula",
    links=(
        Link(
            at_most(Abs(F_K - F_TILDE_K), LIMIT_F),
            ((F_K, (A_K + DIFFERENCE_K) / EXACT_D), (LIMIT_F, WEIGHT_LIMIT)),
            ABSOLUTE_WEIGHTS,
        ),
        Link(
            at_most(Abs(K_TILDE - K), FRACTION * FARTHEST),
            (
                (K, Keys((A_TILDE + DIFFERENCE) * Q) / EXACT_D),
                (K_TILDE, Keys(A_TILDE * Q) / D_TILDE),
                (FRACTION, T * OVER_D),
            ),
            ABSOLUTE_MEAN,
        ),
    ),
)

ANY_MEAN = Keys((A_TILDE + DIFFERENCE) * Y) / EXACT_D
K_SUM = Keys((A_TILDE + DIFFERENCE) * Q) / EXACT_D
ALONG = (
    Keys((A_TILDE + DIFFERENCE) * (Q - K_SUM) * Y) / EXACT_D,
    Keys(A_TILDE * (Q - Keys(A_TILDE * Q) / D_TILDE) * Y) / D_TILDE,
)
MOVED_SUM = Keys(DIFFERENCE * Q_OFF * (Y - ANY_MEAN))
SUM_LIMITS = FARTHEST * Keys(E * Abs(Y - ANY_MEAN)), T * Abs(ALONG[1])
SUM_TERMS = MOVED_SUM, -SHIFT * ALONG[1]
TERM = DIFFERENCE * Q_OFF
ABSOLUTE_SUMS = Derivation(
    "sums over keys",
    (*CLOSE, at_most(Abs(Q_OFF), FARTHEST)),
    (
        *D_STEPS,
        *INVERSE_STEPS,
        Step(equal(ALONG[0] - ALONG[1], sum(SUM_TERMS) / EXACT_D), algebra()),
        Step(at_most(Abs(TERM), E * FARTHEST), products(DIFFERENCE, E, Q_OFF, FARTHEST)),
        *along_keys(TERM, E * FARTHEST, Y - ANY_MEAN),
        Step(at_most(Abs(SHIFT), T), transitive(Abs(SHIFT), Keys(Abs(DIFFERENCE)), T)),
        Step(at_most(Abs(SUM_TERMS[1]), SUM_LIMITS[1]), products(-SHIFT, T, ALONG[1], Abs(ALONG[1]))),
        Step(at_most(Abs(sum(SUM_TERMS)), sum(map(Abs, SUM_TERMS))), triangle_of(*SUM_TERMS)),
        Step(
            at_most(sum(map(Abs, SUM_TERMS)), sum(SUM_LIMITS)),
            added(*zip(map(Abs, SUM_TERMS), SUM_LIMITS, strict=True)),
        ),
        Step(
            at_most(Abs(sum(SUM_TERMS)), sum(SUM_LIMITS)),
            transitive(Abs(sum(SUM_TERMS)), sum(map(Abs, SUM_TERMS)), sum(SUM_LIMITS)),
        ),
        Step(
            at_most(Abs(ALONG[0] - ALONG[1]), sum(SUM_LIMITS) * OVER_D),
            products(sum(SUM_TERMS), sum(SUM_LIMITS), 1 / EXACT_D, OVER_D),
        ),
    ),
    where="m = Σ_j f_j y_j, and the last sum is Σ_j p̃_j y_j",
)


DERIVATIONS: dict[str, Derivation] = {
    "own/polynomial, spread": SPREAD,
    "own/polynomial, Taylor": TAYLOR,
    "own/polynomial, Chebyshev": CHEBYSHEV,
    "own/polynomial, coefficients": COEFFICIENTS,
    "own/polynomial, even Taylor": EVEN_TAYLOR,
    "own/weights, ratio": RATIO,
    "own/weights, relative": RELATIVE,
    "own/weights, exchange": EXCHANGE,
    "own/weights, sharp": SHARP,
    "own/weights, total": TOTAL,
    "own/weights, pairs": PAIRS,
    "own/cotangent, rows": ROWS,
    "own/weights, rows": ROWS_OF_F,
    "own/output, range": OUTPUT_RANGE,
    "own/output, position": POSITION,
    "own/output, deviation": OUTPUT_DEVIATION,
    "own/cotangent, mean, range": MEAN_RANGE,
    "own/cotangent, mean, deviation": MEAN_DEVIATION,
    "own/cotangent, entries, sharp": ENTRIES_SHARP,
    "own/cotangent, entries": ENTRIES,
    "own/cotangent, entries, deviation": ENTRIES_DEVIATION,
    "own/cotangent, sums over keys": COVARIANCE,
    "own/gradients, dX": GRADIENT_X,
    "own/gradients, dW": GRADIENT_W,
    "own/gradients, dW_V": GRADIENT_W_V,
    "own/gradients, dX, deviation": GRADIENT_X_DEVIATION,
    "own/gradients, dW, deviation": GRADIENT_W_DEVIATION,
    "own/gradients, dW_V, deviation": GRADIENT_W_V_DEVIATION,
    "own/differentiate, entries": DIFFERENTIATED,
    "own/differentiate, dX": DIFFERENTIATED_X,
    "own/differentiate, dW": DIFFERENTIATED_W,
    "own/moments, weights": ABSOLUTE_WEIGHTS,
    "own/moments, output": ABSOLUTE_OUTPUT,
    "own/moments, mean": ABSOLUTE_MEAN,
    "own/moments, cotangent": ABSOLUTE_COTANGENT,
    "own/moments, sums over keys": ABSOLUTE_SUMS,
}
