"""The derivations of bounds by largest entries: what an error of f̃ = U1 V1ᵀ does to the gradients (C.13 to G.4).

Every step is about one entry. Sums may be over keys, rows or columns; Σ_j 1 says over how many.
"""

from __future__ import annotations

from sympy import Abs, Add, Expr, Integer, Pow

from proofs_checks.bound_derivations import IN_S, MOVED, S, algebra, along_keys
from proofs_checks.derivation import (
    F_K,
    Derivation,
    F,
    Keys,
    Link,
    Range,
    Relation,
    Rest,
    Step,
    absolute,
    added,
    at_most,
    equal,
    fixed,
    monotone,
    products,
    scaled,
    transitive,
    triangle,
    triangle_of,
    varying,
)

N, D = fixed("n"), fixed("d")
EPSILON, ETA, GAMMA = fixed(r"\epsilon"), fixed(r"\eta"), fixed(r"\gamma")
CHI, OMEGA, K_SIZE = fixed(r"\chi"), fixed(r"\omega"), fixed(r"\|K\|")
X, Y = varying("x"), varying("y")
SIZES = r"ε, η, γ, χ, ω, ‖K‖ the largest entries of f̃ − f, h, G, X, a weight matrix, and K"


def product(name: str, x: Expr, y: Expr, count: Expr, where: str = "", links: tuple[Link, ...] = ()) -> Derivation:
    """|Σ_j x_j y_j| ≤ n a b, from |x_j| ≤ a and |y_j| ≤ b for n values of j."""
    limit = count * x * y
    return Derivation(
        name,
        (at_most(Abs(X), x), at_most(Abs(Y), y), equal(Keys(Integer(1)), count)),
        (
            Step(at_most(Abs(Keys(X * Y)), Keys(Abs(X * Y))), triangle(Keys, X * Y)),
            Step(at_most(Abs(X * Y), x * y), products(X, x, Y, y)),
            Step(at_most(Keys(Abs(X * Y)), Keys(x * y)), monotone(Keys, Abs(X * Y), x * y)),
            Step(at_most(Keys(x * y), limit), algebra(given=((x * y, equal(Keys(Integer(1)), count)),))),
            Step(at_most(Abs(Keys(X * Y)), limit), transitive(Abs(Keys(X * Y)), Keys(Abs(X * Y)), Keys(x * y), limit)),
        ),
        where=where,
        links=links,
    )


def behind(name: str, first: Expr, second: Derivation, of: Expr, where: str) -> Derivation:
    """A sum over n rows behind another product."""
    inner = second.conclusion
    return product(name, first, of, N, where, (Link(at_most(Abs(Y), of), ((Y, inner.left.args[0]),), second),))


ATTENTION_H = product("C.14", EPSILON, ETA, N, f"x = f̃ − f, y = h; {SIZES}")
Q_ENTRY = product("entry of q", GAMMA, ETA, D, f"x = G_i, y = h; {SIZES}")
ON_WEIGHTS = product("entry of X W", CHI, OMEGA, D, f"x = X, y = W; {SIZES}")
G_WEIGHTS = product("entry of G W_V", GAMMA, OMEGA, D, f"x = G, y = W_V; {SIZES}")
D_TERM = behind("E.5", EPSILON, ON_WEIGHTS, D * CHI * OMEGA, "x the error ε of z7, y the entries of X Wᵀ")
D8_TERM = behind("E.6", EPSILON, G_WEIGHTS, D * GAMMA * OMEGA, "x = f̃ − f, y the entries of G W_Vᵀ")
OF_G = product("rows of G", EPSILON, GAMMA, N, f"x = f̃ − f, y = G; {SIZES}")
G_4 = behind("G.4", CHI, OF_G, N * EPSILON * GAMMA, "x = X, y the entries of (f̃ − f)ᵀ G")

FIRST, SECOND = fixed(r"\Delta p_1"), fixed(r"\Delta p_2")
EPSILON_1, EPSILON_2 = fixed(r"\epsilon_1"), fixed(r"\epsilon_2")
DIFFERENCE = Derivation(
    "p1 and p2",
    (at_most(Abs(FIRST), EPSILON_1), at_most(Abs(SECOND), EPSILON_2)),
    (
        Step(at_most(Abs(FIRST - SECOND), Abs(FIRST) + Abs(-SECOND)), triangle_of(FIRST, -SECOND)),
        Step(
            at_most(Abs(FIRST) + Abs(-SECOND), EPSILON_1 + EPSILON_2),
            added((Abs(FIRST), EPSILON_1), (Abs(-SECOND), EPSILON_2)),
        ),
        Step(
            at_most(Abs(FIRST - SECOND), EPSILON_1 + EPSILON_2),
            transitive(Abs(FIRST - SECOND), Abs(FIRST) + Abs(-SECOND), EPSILON_1 + EPSILON_2),
        ),
    ),
    where="p = p1 − p2, ε_1 and ε_2 the largest entries of what is missing of p1 and p2",
)
OF_P = product(
    "rows of X",
    EPSILON_1 + EPSILON_2,
    CHI,
    N,
    "x = p̃ − p, y = X",
    (Link(at_most(Abs(X), EPSILON_1 + EPSILON_2), ((X, FIRST - SECOND),), DIFFERENCE),),
)
F_5 = behind("F.5", CHI, OF_P, N * (EPSILON_1 + EPSILON_2) * CHI, "x = X, y the entries of (p̃ − p) X")


def pair(name: str, x: Expr, a: Expr, y: Expr, b: Expr, limit: Expr, where: str, *links: Link) -> Derivation:
    """|x y| ≤ a b for one entry each; the limit may leave something out that is 1 or more."""
    given: tuple[Relation, ...] = (at_most(Abs(x), a), at_most(Abs(y), b))
    steps: tuple[Step, ...] = (Step(at_most(Abs(x * y), a * b), products(x, a, y, b)),)
    if limit != a * b:
        given = (*given, at_most(0, a), at_most(0, b), at_most(1, N))
        steps = (
            *steps,
            Step(at_most(a * b, limit), algebra(Range(N, 1), Range(a, 0), Range(b, 0))),
            Step(at_most(Abs(x * y), limit), transitive(Abs(x * y), a * b, limit)),
        )
    return Derivation(name, given, steps, where=where, links=links)


DF, K_J, Q_J = fixed(r"\Delta f"), fixed("K"), fixed("q")
SHARP_DIAGONAL = pair("diagonal", DF, EPSILON, K_J, K_SIZE, EPSILON * K_SIZE, "an entry of (f̃ − f) diag(K)")
E_2 = pair("E.2", DF, EPSILON, K_J, K_SIZE, N * EPSILON * K_SIZE, "an entry of (f̃ − f) diag(K)")
E_4 = pair(
    "E.4",
    DF,
    EPSILON,
    Q_J,
    D * GAMMA * ETA,
    EPSILON * D * GAMMA * ETA,
    "an entry of (f̃ − f) ⊙ q",
    Link(at_most(Abs(Q_J), D * GAMMA * ETA), ((Q_J, Keys(X * Y)),), Q_ENTRY),
)

# --- p1 and p2, from the errors of f and q

F_ENTRY, Q_TILDE, Q_MOVED = fixed("f"), fixed(r"\tilde q"), fixed(r"\Delta q")
F_SIZE, Q_SIZE, Q_TILDE_SIZE = fixed(r"\|f\|"), fixed(r"\|q\|"), fixed(r"\|\tilde q\|")
THETA, F_TILDE_SIZE = fixed(r"\theta"), fixed(r"\|\tilde f\|")


def two_terms(
    name: str, whole: Expr, terms: tuple[tuple[Expr, Expr, Expr, Expr], ...], where: str, *links: Link
) -> Derivation:
    """A sum of products x y, each at most a b."""
    limit = Add(*(a * b for _, a, _, b in terms))
    sizes = Add(*(Abs(x * y) for x, _, y, _ in terms))
    return Derivation(
        name,
        tuple(r for x, a, y, b in terms for r in (at_most(Abs(x), a), at_most(Abs(y), b))),
        (
            Step(equal(whole, Add(*(x * y for x, _, y, _ in terms))), algebra()),
            Step(at_most(Abs(whole), sizes), triangle_of(*(x * y for x, _, y, _ in terms))),
            *(Step(at_most(Abs(x * y), a * b), products(x, a, y, b)) for x, a, y, b in terms),
            Step(at_most(sizes, limit), added(*((Abs(x * y), a * b) for x, a, y, b in terms))),
            Step(at_most(Abs(whole), limit), transitive(Abs(whole), sizes, limit)),
        ),
        where=where,
        links=links,
    )


C_15 = two_terms(
    "C.15",
    (F_ENTRY + DF) * Q_TILDE - F_ENTRY * (Q_TILDE - Q_MOVED),
    ((DF, EPSILON, Q_TILDE, Q_TILDE_SIZE), (F_ENTRY, F_SIZE, Q_MOVED, THETA)),
    "q̃ = q + Δq, θ the largest |Δq|",
)

DFJ, QTJ, DQJ = varying(r"\Delta f"), varying(r"\tilde q"), varying(r"\Delta q")
SUM_OF_P1 = Keys((F + DFJ) * QTJ) - Keys(F * (QTJ - DQJ))
OF_SUM = (DFJ * QTJ, F * DQJ), (EPSILON * Q_TILDE_SIZE, THETA * F)
ROW_SUMS = Derivation(
    "row sums of p1",
    (
        at_most(Abs(DFJ), EPSILON),
        at_most(Abs(QTJ), Q_TILDE_SIZE),
        at_most(Abs(DQJ), THETA),
        at_most(Abs(F), F),
        equal(Keys(Integer(1)), N),
    ),
    (
        Step(equal(SUM_OF_P1, Keys(OF_SUM[0][0]) + Keys(OF_SUM[0][1])), algebra()),
        *(Step(at_most(Abs(Keys(x)), Keys(Abs(x))), triangle(Keys, x)) for x in OF_SUM[0]),
        Step(at_most(Abs(OF_SUM[0][0]), OF_SUM[1][0]), products(DFJ, EPSILON, QTJ, Q_TILDE_SIZE)),
        Step(at_most(Abs(OF_SUM[0][1]), OF_SUM[1][1]), products(F, F, DQJ, THETA)),
        *(Step(at_most(Keys(Abs(x)), Keys(b)), monotone(Keys, Abs(x), b)) for x, b in zip(*OF_SUM, strict=True)),
        *(
            Step(at_most(Abs(Keys(x)), Keys(b)), transitive(Abs(Keys(x)), Keys(Abs(x)), Keys(b)))
            for x, b in zip(*OF_SUM, strict=True)
        ),
        Step(
            at_most(Abs(SUM_OF_P1), Abs(Keys(OF_SUM[0][0])) + Abs(Keys(OF_SUM[0][1]))),
            triangle_of(Keys(OF_SUM[0][0]), Keys(OF_SUM[0][1])),
        ),
        Step(
            at_most(Abs(Keys(OF_SUM[0][0])) + Abs(Keys(OF_SUM[0][1])), Keys(OF_SUM[1][0]) + Keys(OF_SUM[1][1])),
            added(*((Abs(Keys(x)), Keys(b)) for x, b in zip(*OF_SUM, strict=True))),
        ),
        Step(
            at_most(Keys(OF_SUM[1][0]) + Keys(OF_SUM[1][1]), N * EPSILON * Q_TILDE_SIZE + THETA),
            algebra(given=((EPSILON * Q_TILDE_SIZE, equal(Keys(Integer(1)), N)),)),
        ),
        Step(
            at_most(Abs(SUM_OF_P1), N * EPSILON * Q_TILDE_SIZE + THETA),
            transitive(
                Abs(SUM_OF_P1),
                Abs(Keys(OF_SUM[0][0])) + Abs(Keys(OF_SUM[0][1])),
                Keys(OF_SUM[1][0]) + Keys(OF_SUM[1][1]),
                N * EPSILON * Q_TILDE_SIZE + THETA,
            ),
        ),
    ),
    where="f_j ≥ 0 are weights, f̃ = f + Δf, q̃ = q + Δq, θ the largest |Δq|",
)
Q_ANY = varying("q")
MEAN_OF_Q = Derivation(
    "a mean of q",
    (at_most(Abs(F), F), at_most(Abs(Q_ANY), Q_SIZE)),
    (
        Step(at_most(Abs(Keys(F * Q_ANY)), Keys(Abs(F * Q_ANY))), triangle(Keys, F * Q_ANY)),
        Step(at_most(Abs(F * Q_ANY), F * Q_SIZE), products(F, F, Q_ANY, Q_SIZE)),
        Step(at_most(Keys(Abs(F * Q_ANY)), Q_SIZE), monotone(Keys, Abs(F * Q_ANY), F * Q_SIZE)),
        Step(
            at_most(Abs(Keys(F * Q_ANY)), Q_SIZE),
            transitive(Abs(Keys(F * Q_ANY)), Keys(Abs(F * Q_ANY)), Q_SIZE),
        ),
    ),
    where="f_j ≥ 0 are weights",
)
ROW, ROW_MOVED, F_TILDE = fixed("K"), fixed(r"\Delta K"), fixed(r"\tilde f")
C_16 = two_terms(
    "C.16",
    (ROW + ROW_MOVED) * F_TILDE - ROW * (F_TILDE - DF),
    ((ROW_MOVED, N * EPSILON * Q_TILDE_SIZE + THETA, F_TILDE, F_TILDE_SIZE), (ROW, Q_SIZE, DF, EPSILON)),
    "K a row sum of p1, which is a mean of q; ΔK what is missing of it",
    Link(at_most(Abs(ROW_MOVED), N * EPSILON * Q_TILDE_SIZE + THETA), ((ROW_MOVED, SUM_OF_P1),), ROW_SUMS),
    Link(at_most(Abs(ROW), Q_SIZE), ((ROW, Keys(F * Q_ANY)),), MEAN_OF_Q),
)
K_MOVED = product(
    "error of K",
    GAMMA,
    N * EPSILON * ETA,
    D,
    "x = G, y the entries of s̃ − s",
    (Link(at_most(Abs(Y), N * EPSILON * ETA), ((Y, Keys(X * Y)),), ATTENTION_H),),
)
E_2_WITH_K = two_terms(
    "E.2 with K",
    (F_ENTRY + DF) * (ROW + ROW_MOVED) - F_ENTRY * ROW,
    ((DF, EPSILON, ROW, K_SIZE), (F_ENTRY + DF, 1 + EPSILON, ROW_MOVED, N * D * EPSILON * ETA * GAMMA)),
    "ΔK the error of K",
    Link(at_most(Abs(ROW_MOVED), N * D * EPSILON * ETA * GAMMA), ((ROW_MOVED, Keys(X * Y)),), K_MOVED),
)
TERMS = tuple(fixed(rf"\Delta D_{k}") for k in (2, 4, 6, 7, 8))
E_11 = Derivation(
    "E.11",
    (),
    (Step(at_most(Abs(Add(*TERMS)), Add(*map(Abs, TERMS))), triangle_of(*TERMS)),),
    where="the gradient is the sum of five terms, and so is its error",
)

# --- C.13: f itself

REST, OWN = Rest(F * varying("r")), F_K * fixed("r_k") + Rest(F * varying("r"))
CHANGE = F_K * fixed("r_k") / OWN - F_K
RANGES = (
    Range(S, 1),
    Range(F_K, 0, 1),
    Range(fixed("r_k"), 1, S**2),
    Range(REST, 1 - F_K, S**2 * (1 - F_K)),
)


def by_square(x: Expr, sign: int) -> tuple[Step, ...]:
    limit = (S**2 - 1) * F_K * (1 - F_K) / (1 + (S**2 - 1) * x)
    return (
        Step(at_most(sign * CHANGE, limit), algebra(*RANGES)),
        Step(at_most(limit, MOVED), algebra(Range(S, 1), Range(F_K, 0, 1))),
        Step(at_most(sign * CHANGE, MOVED), transitive(sign * CHANGE, limit, MOVED)),
    )


R = varying("r")
C_13 = Derivation(
    "C.13",
    (*IN_S, at_most(1, fixed("r_k")), at_most(fixed("r_k"), S**2), at_most(0, F_K), at_most(F_K, 1)),
    (
        Step(at_most(F, F * R), scaled(F, Integer(1), R)),
        Step(at_most(F * R, F * S**2), scaled(F, R, S**2)),
        Step(at_most(Rest(F), REST), monotone(Rest, F, F * R)),
        Step(at_most(REST, Rest(F * S**2)), monotone(Rest, F * R, F * S**2)),
        *by_square(F_K, 1),
        *by_square(1 - F_K, -1),
        Step(at_most(Abs(CHANGE), MOVED), absolute(CHANGE, MOVED)),
    ),
    where="f̃_k = f_k r_k/Σ_j f_j r_j, κ ≥ r_j ≥ 1",
)

# --- sums for n largest entries

SUM = fixed(r"\sigma")


def by_column(name: str, size: Expr, where: str, *links: Link) -> Derivation:
    """|Σ_j x_j y_j| ≤ b σ, from |x_j| ≤ b and Σ_j |y_j| ≤ σ."""
    return Derivation(
        name,
        (at_most(Abs(X), size), at_most(Keys(Abs(Y)), SUM), at_most(0, size)),
        (
            *along_keys(X, size, Y),
            Step(at_most(size * Keys(Abs(Y)), size * SUM), scaled(size, Keys(Abs(Y)), SUM)),
            Step(
                at_most(Abs(Keys(X * Y)), size * SUM),
                transitive(Abs(Keys(X * Y)), size * Keys(Abs(Y)), size * SUM),
            ),
        ),
        where=f"{where}; σ the largest sum of the |entries| of a column",
        links=links,
    )


D8_SHARP = by_column("a column's sum", EPSILON, "x = f̃ − f, y a column of G W_Vᵀ, or x = p̃ − p, y a column of X")
FIRST_SUM = fixed(r"\sigma_1")
TWO_SHARP = by_column(
    "two columns' sums",
    EPSILON * FIRST_SUM,
    "y a column of X, x the sums of the derivation before, over a column of X or G whose sum is σ_1",
    Link(
        at_most(Abs(X), EPSILON * FIRST_SUM),
        ((X, Keys(X * Y)), (FIRST_SUM, SUM)),
        D8_SHARP,
    ),
)

# --- entries of at most 2^b

TWO_B = fixed("2^{b}")


def of_bits(name: str, general: Expr, limit: Expr, sizes: tuple[tuple[Expr, Expr], ...]) -> Derivation:
    """The bound with the largest that each size may be."""
    letters = (N, D, TWO_B, EPSILON)
    ranges = (*(Range(x, 0) for x in letters), *(Range(size, 0, most) for size, most in sizes))
    given = (*(at_most(0, x) for x in letters), *(r for size, most in sizes for r in Range(size, 0, most).taken))
    return Derivation(name, given, (Step(at_most(general, limit), algebra(*ranges)),), where=SIZES)


H_SIZE = (ETA, D * TWO_B**2)
K_BITS = of_bits("K, bits", D * GAMMA * ETA, D**2 * Pow(TWO_B, 3), ((GAMMA, TWO_B), H_SIZE))
Z_BITS = of_bits("z, bits", EPSILON * K_SIZE, D**2 * TWO_B**3 * EPSILON, ((K_SIZE, D**2 * TWO_B**3),))
Z_BITS_WITH_K = of_bits(
    "z with K, bits",
    EPSILON * K_SIZE + (1 + EPSILON) * N * D * EPSILON * ETA * GAMMA,
    D**2 * TWO_B**3 * EPSILON * (1 + N * (1 + EPSILON)),
    ((K_SIZE, D**2 * TWO_B**3), (GAMMA, TWO_B), H_SIZE),
)
Z_SIZE = fixed(r"\epsilon_z")
D_BITS = of_bits(
    "D, bits",
    N * Z_SIZE * D * CHI * OMEGA,
    N * D**3 * TWO_B**5 * EPSILON,
    ((Z_SIZE, D**2 * TWO_B**3 * EPSILON), (CHI, TWO_B), (OMEGA, TWO_B)),
)
D_BITS_WITH_K = of_bits(
    "D with K, bits",
    N * Z_SIZE * D * CHI * OMEGA,
    N * D**3 * TWO_B**5 * EPSILON * (1 + N * (1 + EPSILON)),
    ((Z_SIZE, D**2 * TWO_B**3 * EPSILON * (1 + N * (1 + EPSILON))), (CHI, TWO_B), (OMEGA, TWO_B)),
)
D8_BITS = of_bits(
    "D8, bits", N * EPSILON * D * GAMMA * OMEGA, N * D * TWO_B**2 * EPSILON, ((GAMMA, TWO_B), (OMEGA, TWO_B))
)
G_V_BITS = of_bits(
    "g_v, bits", N**2 * CHI * EPSILON * GAMMA, N**2 * TWO_B**2 * EPSILON, ((CHI, TWO_B), (GAMMA, TWO_B))
)
G_W_BITS = of_bits(
    "g_w, bits",
    N**2 * CHI**2 * (EPSILON_1 + EPSILON_2),
    N**2 * D**2 * TWO_B**5 * EPSILON * (2 + N * (1 + EPSILON)),
    (
        (CHI, TWO_B),
        (EPSILON_1, D**2 * TWO_B**3 * EPSILON),
        (EPSILON_2, D**2 * TWO_B**3 * EPSILON * (1 + N * (1 + EPSILON))),
    ),
)

OF_D8, OF_Z7, OF_Z6 = (fixed(rf"\epsilon_{k}") for k in ("8", "{D7}", "{D6}"))
G_T_BITS = of_bits(
    "g_t, bits",
    OF_D8 + 2 * OF_Z7 + 2 * OF_Z6,
    N * D * TWO_B**2 * EPSILON + 2 * N * D**3 * TWO_B**5 * EPSILON * (2 + N * (1 + EPSILON)),
    (
        (OF_D8, N * D * TWO_B**2 * EPSILON),
        (OF_Z7, N * D**3 * TWO_B**5 * EPSILON),
        (OF_Z6, N * D**3 * TWO_B**5 * EPSILON * (1 + N * (1 + EPSILON))),
    ),
)

# --- behind layers: H.3, J.3, K.2

JACOBIAN, OUTPUT, HEADS, WIDTH, SLOPE = fixed("J"), fixed("J_Y"), fixed("h"), fixed("d_h"), fixed("L")
CHAIN = product("H.3", EPSILON, JACOBIAN, N * D, "x the error of a gradient, y the derivatives of T_0, J the largest")
OWN_ERROR, BEHIND = fixed("E"), fixed("Z")
RESIDUAL = Derivation(
    "J.3",
    (at_most(Abs(OWN_ERROR), EPSILON), at_most(Abs(BEHIND), N * D * EPSILON * JACOBIAN)),
    (
        Step(at_most(Abs(OWN_ERROR + BEHIND), Abs(OWN_ERROR) + Abs(BEHIND)), triangle_of(OWN_ERROR, BEHIND)),
        Step(
            at_most(Abs(OWN_ERROR) + Abs(BEHIND), (N * D * JACOBIAN + 1) * EPSILON),
            added((Abs(OWN_ERROR), EPSILON), (Abs(BEHIND), N * D * EPSILON * JACOBIAN)),
        ),
        Step(
            at_most(Abs(OWN_ERROR + BEHIND), (N * D * JACOBIAN + 1) * EPSILON),
            transitive(Abs(OWN_ERROR + BEHIND), Abs(OWN_ERROR) + Abs(BEHIND), (N * D * JACOBIAN + 1) * EPSILON),
        ),
    ),
    where="E the error Δ_Y, Z what comes through H",
    links=(Link(at_most(Abs(BEHIND), N * D * EPSILON * JACOBIAN), ((BEHIND, Keys(X * Y)),), CHAIN),),
)
THROUGH_Y = product(
    "K.2, through Y", EPSILON, OUTPUT, N * D, "x the error of dL/dY, y the derivatives of Y, J_Y the largest"
)
ALL_HEADS = product(
    "K.2",
    JACOBIAN,
    N * D * EPSILON * OUTPUT,
    HEADS * N * WIDTH,
    "x the derivatives of the heads, J the largest, y the error of dL/ds; over all heads and their n d_h entries",
    (Link(at_most(Abs(Y), N * D * EPSILON * OUTPUT), ((Y, Keys(X * Y)),), THROUGH_Y),),
)
CHAIN_BITS = Derivation(
    "H.4, bits",
    (*(at_most(0, x) for x in (N, D, TWO_B, EPSILON, SLOPE, JACOBIAN)), at_most(JACOBIAN, SLOPE * TWO_B)),
    (
        Step(
            at_most(N * D * EPSILON * JACOBIAN, N * D * SLOPE * TWO_B * EPSILON),
            algebra(*(Range(x, 0) for x in (N, D, TWO_B, EPSILON, SLOPE)), Range(JACOBIAN, 0, SLOPE * TWO_B)),
        ),
    ),
    where="T_0 = φ(X W_g), |φ'| ≤ L, so no derivative is above L 2^b",
)

ENTRIES: dict[str, Derivation] = {
    "C.13": C_13,
    "C.14": ATTENTION_H,
    "C.15": C_15,
    "C.16, row sums": ROW_SUMS,
    "C.16, mean of q": MEAN_OF_Q,
    "C.16": C_16,
    "E.2 and E.7": E_2,
    "E.2 and E.7, sharp": SHARP_DIAGONAL,
    "E.2 and E.7, error of K": K_MOVED,
    "E.2 and E.7 with K": E_2_WITH_K,
    "E.4, entry of q": Q_ENTRY,
    "E.4 and E.9": E_4,
    "E.5, entry of X W": ON_WEIGHTS,
    "E.3, E.5, E.8 and E.10": D_TERM,
    "E.6, entry of G W_V": G_WEIGHTS,
    "E.6": D8_TERM,
    "E.6, sharp": D8_SHARP,
    "E.11": E_11,
    "F.5, p1 and p2": DIFFERENCE,
    "F.5, rows": OF_P,
    "F.5": F_5,
    "G.4, rows": OF_G,
    "G.4": G_4,
    "F.5 and G.4, sharp": TWO_SHARP,
    "K, bits": K_BITS,
    "z, bits": Z_BITS,
    "z with K, bits": Z_BITS_WITH_K,
    "D, bits": D_BITS,
    "D with K, bits": D_BITS_WITH_K,
    "D8, bits": D8_BITS,
    "g_t, bits": G_T_BITS,
    "g_w, bits": G_W_BITS,
    "g_v, bits": G_V_BITS,
    "H.3": CHAIN,
    "J.3": RESIDUAL,
    "K.2, through Y": THROUGH_Y,
    "K.2": ALL_HEADS,
    "H.4, bits": CHAIN_BITS,
}
