"""What the paper says of the whole model: layers, their non-attention parts, residual connections and extensions."""

from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np
from flint import arb

from proofs_checks import bound_proofs as proofs
from proofs_checks import chains, cost, extensions, gaps, ground_truth, theorems
from proofs_checks.bound_proofs import derived
from proofs_checks.equation import PAPER_READING, EquationTrial, form
from proofs_checks.falsify import Altered, with_transposed, with_wrong_index, wrong_sign_or_factor
from proofs_checks.ground_truth import RELU, TANH, Lifted, Rows, contracted
from proofs_checks.inequality import BoundTrial
from proofs_checks.instances import LARGEST_SCORE, Instance, paper_scale
from proofs_checks.products import product
from proofs_checks.record import Claim, Form, Part, Statement
from proofs_checks.softmax_attention import POLY_D, WITH_BITS
from proofs_checks.symbols import Symbols, table, total
from reference import error_bounds as bounds
from reference import input_gradient, low_rank
from reference import transformer as formulas
from reference.softmax_attention import Array, Attn_QKV
from reference.transformer import Entrywise

# --- true sides: the model, entry by entry


def weight(symbols: Symbols, T: Array, layer: int, i: int, j: int) -> Any:
    """exp(Σ_abc T_ia (W_Q)_ab (W_K)_cb T_jc / d)."""
    W_Q, W_K, d = symbols.Ws_Q[layer], symbols.Ws_K[layer], symbols.d
    return (total(T[i, a] * W_Q[a, b] * W_K[c, b] * T[j, c] for a, b, c in np.ndindex(d, d, d)) / d).exp()


def attended(symbols: Symbols, T: Array, layer: int) -> Array:
    """Means of the rows of T W_V, row i with its weights."""
    n, V = symbols.n, product(T, symbols.Ws_V[layer])
    A = table(lambda i, j: weight(symbols, T, layer, i, j), n, n)

    def mean(i: int, c: int) -> Any:
        return total(A[i, j] * V[j, c] for j in range(n)) / total(A[i, j] for j in range(n))

    return table(mean, n, symbols.d)


def hidden_states(symbols: Symbols) -> Array:
    """T_0 = φ(X W_{g_0}), T_1 and T_2."""
    T_0 = symbols.activated(product(symbols.X, symbols.Ws_g[0]))
    T_1 = symbols.activated(product(attended(symbols, T_0, 0), symbols.Ws_g[1]))
    T_2 = symbols.activated(product(attended(symbols, T_1, 1), symbols.Ws_g[2]))
    states = (T_0, T_1, T_2)
    return table(lambda i, j, c: states[i][j, c], 3, symbols.n, symbols.d)


def output(symbols: Symbols) -> Array:
    """The last hidden state."""
    return hidden_states(symbols)[-1]


def moderate(instance: Instance) -> bool:
    """Whether exp of the scores is far from overflow in both layers, with all signs positive."""
    return _moderate(instance, 1.0 if Symbols(instance).activation is TANH else np.inf)


def moderate_for_any_phi(instance: Instance) -> bool:
    """The same where |φ(x)| is known to be at most |x|."""
    return _moderate(instance, np.inf)


def _moderate(instance: Instance, largest: float) -> bool:
    """`largest` is that of |φ(x)|, which else is |x| at most."""
    W_Q, W_K, W_V, W_g = (np.abs(instance.operands[name]).astype(float) for name in WEIGHTS[1:])
    T, scores = np.minimum(np.abs(instance.operands["X"]) @ W_g.T, largest), []
    for Q, K, V, g in ((W_Q, W_K, W_V, W_g), (W_K, W_Q, W_g, W_V)):
        scores.append((T @ Q @ K.T @ T.T).max() / instance.d)
        T = np.minimum(np.ones_like(T) * (T @ V).max(axis=0) @ g, largest)
    return bool(max(scores) <= LARGEST_SCORE[instance.operands["X"].dtype] / 2)


# --- true sides: one layer, with input T, attention output Attn and g(Z) = φ(Z W_g)


def Z(symbols: Symbols) -> Array:
    """T + Attn(T), as means of T_ic + h_jc over j: the weights of row i sum to one."""
    f, T, h, n = symbols.f, symbols.T, symbols.h, symbols.n
    return table(lambda i, c: total(f[i, j] * (T[i, c] + h[j, c]) for j in range(n)), n, symbols.d)


def T_without_residuals(symbols: Symbols) -> Array:
    """g(Attn(T)) (3.3)."""
    return symbols.activated(product(symbols.s, symbols.W_g))


def T_with_residuals(symbols: Symbols) -> Array:
    """(Id + g)((Id + Attn)(T))."""
    Z_i = Z(symbols)
    g = symbols.activated(product(Z_i, symbols.W_g))
    return table(lambda i, c: Z_i[i, c] + g[i, c], symbols.n, symbols.d)


def dT_dAttn(symbols: Symbols) -> Array:
    """(n, d, n, d)."""
    return symbols.dT_dAttn


def dL_dAttn(symbols: Symbols) -> Array:
    """The derivative of the number Σ_ic (g_T)_ic φ(Attn W_g)_ic."""
    n, d = symbols.n, symbols.d

    def loss(lifted: Lifted) -> Rows:
        T = ground_truth.applied(symbols.activation, ground_truth.product(lifted["Attn"], lifted["W_g"]))
        return [[sum(symbols.g_T[i, c] * T[i][c] for i, c in np.ndindex(n, d))]]

    return symbols.jacobian(loss, {"Attn": symbols.Attn, "W_g": symbols.W_g}, "Attn")[0, 0]


def places_of_T(symbols: Symbols) -> Array:
    """1 where row i and column j are those of an entry of T_i."""
    rows, columns = symbols.Attn.shape
    side = max(rows, columns)
    return table(lambda i, j: arb(int(i < rows and j < columns)), side, side)


def shape_of_slopes(symbols: Symbols) -> Array:
    """The shape of a row of Attn_i, written as a matrix, times W_g."""
    shape = product(symbols.Attn[:1], symbols.W_g).shape
    return table(lambda k: arb(shape[k]), 2)


def length_of_slopes(symbols: Symbols) -> Array:
    """How many entries that product has."""
    return table(lambda: arb(product(symbols.Attn[:1], symbols.W_g).size))


def through_residual(symbols: Symbols) -> Array:
    """The gradient of ⟨G, X + H(X)⟩ on X."""

    def Y(lifted: Lifted) -> Rows:
        return ground_truth.added(lifted["X"], symbols.H(lifted))

    return contracted(symbols.G_Y, symbols.jacobian(Y, symbols.with_W_g, "X"))


def around_attention(symbols: Symbols) -> Array:
    """The gradient of ⟨G, T + Attn(T)⟩ on T."""

    def Z(lifted: Lifted) -> Rows:
        return ground_truth.added(lifted["X"], symbols.attention(lifted))

    return contracted(symbols.G, symbols.jacobian(Z, symbols.with_W_g, "X"))


def around_g(symbols: Symbols) -> Array:
    """The gradient of ⟨g_T, Z + φ(Z W_g)⟩ on T, for Z = Attn(T)."""

    def T_next(lifted: Lifted) -> Rows:
        Z = symbols.attention(lifted)
        g_Z = ground_truth.applied(symbols.activation, ground_truth.product(Z, lifted["W_g"]))
        return ground_truth.added(Z, g_Z)

    return contracted(symbols.g_T, symbols.jacobian(T_next, symbols.with_W_g, "X"))


def masked_dL_dX(symbols: Symbols) -> Array:
    """The gradient of ⟨G, s⟩ with the mask."""
    return symbols.dL_dX


# --- hypotheses: φ has a derivative at each entry. Rounding must not take a formula across ReLU's kink: a
# sum of d ≤ 4 products of rounded operands is off by (d + 2) u of its majorant at most, below 2⁻²¹ in float32.


def off_kinks(symbols: Symbols, Z: Array) -> bool:
    S, size = product(Z, symbols.W_g), product(abs(Z), abs(symbols.W_g))
    return symbols.activation is not RELU or all(abs(s) > 2.0**-21 * r for s, r in zip(S.flat, size.flat, strict=True))


def smooth_at_Attn(instance: Instance) -> bool:
    symbols = Symbols(instance)
    return off_kinks(symbols, symbols.Attn)


def smooth_at_X(instance: Instance) -> bool:
    """Where H is attention, nothing is asked."""
    symbols = Symbols(instance)
    return instance.n % 2 == 1 or off_kinks(symbols, symbols.X)


# --- false variants


def layers_reversed(X: Array, Ws_Q: Array, Ws_K: Array, Ws_V: Array, Ws_g: Array, phi: Entrywise) -> Array:
    """False: the last layer first."""
    return formulas.F_m(X, Ws_Q[::-1], Ws_K[::-1], Ws_V[::-1], Ws_g, phi)


def without_g_0(X: Array, Ws_Q: Array, Ws_K: Array, Ws_V: Array, Ws_g: Array, phi: Entrywise) -> Array:
    """False: T_0 = X."""
    T_1 = formulas.T_next(Attn_QKV(X, Ws_Q[0], Ws_K[0], Ws_V[0]), Ws_g[1], phi)
    return formulas.T_next(Attn_QKV(T_1, Ws_Q[1], Ws_K[1], Ws_V[1]), Ws_g[2], phi)


def g_before_attention(X: Array, Ws_Q: Array, Ws_K: Array, Ws_V: Array, Ws_g: Array, phi: Entrywise) -> Array:
    """False: Attn_i ∘ g_i."""
    T = phi(X @ Ws_g[0])
    for Q, K, V, g in zip(Ws_Q, Ws_K, Ws_V, Ws_g[1:], strict=True):
        T = Attn_QKV(phi(T @ g), Q, K, V)
    return T


def from_X_each(X: Array, Ws_Q: Array, Ws_K: Array, Ws_V: Array, Ws_g: Array, phi: Entrywise) -> Array:
    """False: every layer is applied to T_0."""
    states = [phi(X @ Ws_g[0])]
    for Q, K, V, g in zip(Ws_Q, Ws_K, Ws_V, Ws_g[1:], strict=True):
        states.append(phi(Attn_QKV(states[0], Q, K, V) @ g))
    return np.stack(states)


def without_phi(Attn: Array, W_g: Array, phi: Entrywise, i4: int, j4: int) -> Any:
    """False: the product alone."""
    return Attn[i4] @ W_g[:, j4]


def row_of_W_g(Attn: Array, W_g: Array, phi_prime: Entrywise, i4: int, j4: int, i5: int, j5: int) -> Any:
    """False: W_g(j4, j5)."""
    return phi_prime(Attn[i4] @ W_g[:, j4]) * W_g[j4, j5] * (1 if i4 == i5 else 0)


def all_rows(Attn: Array, W_g: Array, phi_prime: Entrywise, i4: int, j4: int, i5: int, j5: int) -> Any:
    """False: without the case i4 ≠ i5."""
    return phi_prime(Attn[i4] @ W_g[:, j4]) * W_g[j5, j4]


def all_rows_alike(Attn: Array, W_g: Array, phi_prime: Entrywise, i4: int, j4: int, i5: int) -> Array:
    """False: without the case i4 ≠ i5."""
    return phi_prime(Attn[i4] @ W_g[:, j4]) * W_g[:, j4]


def ones_for_e(Attn: Array, W_g: Array, phi_prime: Entrywise, i4: int, j4: int) -> Array:
    """False: 1_n for e_{i4}."""
    return phi_prime(Attn[i4] @ W_g[:, j4]) * np.outer(np.ones(len(Attn), dtype=int), W_g[:, j4])


def diagonal(n: int, d: int) -> Array:
    """False: i4 = j4 only."""
    return np.eye(max(n, d))


def all_places(n: int, d: int) -> Array:
    """False, but not without n ≠ d: the whole square."""
    return np.ones((max(n, d), max(n, d)))


def square_of_d(d: int) -> Array:
    """False: d × d."""
    return np.array([d, d], float)


def length_n(n: int) -> float:
    """False: n entries."""
    return float(n)


def number(d: int) -> Array:
    """False: 1 × 1."""
    return np.ones(2)


def phi_prime_left_out(g_T: Array, Attn: Array, W_g: Array, phi_prime: Entrywise) -> Array:
    """False: g_T W_gᵀ."""
    return g_T @ W_g.T


def W_g_untransposed(g_T: Array, Attn: Array, W_g: Array, phi_prime: Entrywise) -> Array:
    """False: times W_g."""
    return formulas.S_cotangent(g_T, Attn, W_g, phi_prime) @ W_g


def phi_prime_behind(g_T: Array, Attn: Array, W_g: Array, phi_prime: Entrywise) -> Array:
    """False: (g_T W_gᵀ) ⊙ φ′(Attn W_g)."""
    return (g_T @ W_g.T) * phi_prime(Attn @ W_g)


def output_and_input_exchanged(derivatives: Array) -> Array:
    return np.transpose(derivatives, (2, 3, 0, 1))


def input_alone(T: Array, Attn: Array) -> Array:
    """False: T_{i−1}."""
    return T


def output_alone(T: Array, Attn: Array) -> Array:
    """False: Attn_i(T_{i−1})."""
    return Attn


def g_alone(Z: Array, g_Z: Array) -> Array:
    """False: g_i(Z_i)."""
    return g_Z


def around_both(Z: Array, g_Z: Array, T: Array) -> Array:
    """False: T_{i−1} is added once more."""
    return Z + g_Z + T


def product_alone(G_Y: Array, vjp_H: Array) -> Array:
    """False: (dL/dY)(dH/dX)."""
    return vjp_H


def gradient_doubled(G_Y: Array, vjp_H: Array) -> Array:
    """False: 2 dL/dY."""
    return 2 * G_Y + vjp_H


def identity_of_entries(G_Y: Array, dH_dX: Array) -> Array:
    """False: 1 is added to every entry of dH/dX."""
    return np.tensordot(G_Y, 1 + dH_dX, axes=2)


def attention_alone(g_T: Array, Attn: Array, W_g: Array, phi_prime: Entrywise, dAttn_dT: Array) -> Array:
    """False: G_i = g_{T_i}."""
    return formulas.gradient_through_attention(g_T, dAttn_dT)


def g_without_residual(g_T: Array, Attn: Array, W_g: Array, phi_prime: Entrywise, dAttn_dT: Array) -> Array:
    """False: G_i by H.2."""
    return formulas.gradient_through_attention(formulas.G_of_T(g_T, Attn, W_g, phi_prime), dAttn_dT)


def with_exchanged(claim: Claim, operand: str) -> dict[str, Claim]:
    """The formula with derivatives of the wrong side on the wrong side."""
    return {f"{operand} transposed": Altered(claim, output_and_input_exchanged, operand)}


def T_by_3_3(T: Array, Attn: Array, W_g: Array, phi: Entrywise) -> Array:
    """False: without residual connections."""
    return formulas.T_next(Attn, W_g, phi)


# --- trials and forms

WEIGHTS = ("X", "W_Q", "W_K", "W_V", "W_g")
LAYER = ("X", "W", "W_V", "W_g")
SCALES = (paper_scale,)
NO_KINK = "φ one of tanh, gelu, identity and ReLU, no entry at a kink"
ANY_PHI = "φ one of tanh, gelu, identity and ReLU"


def of_Attn(truth: Any, left: str, names: tuple[str, ...], **over: str) -> EquationTrial:
    """A trial of a derivative by Attn_i."""
    return EquationTrial(
        truth,
        left,
        over=over or None,
        names=names,
        scales=SCALES,
        assumed=smooth_at_Attn,
        hypothesis=NO_KINK,
        max_n=4 if over else 5,
    )


RESIDUAL = EquationTrial(
    through_residual,
    "dL/dX_R",
    names=(*LAYER, "G"),
    scales=SCALES,
    assumed=smooth_at_X,
    hypothesis=f"H attention or φ(X W_g), {NO_KINK}",
    max_n=4,
)


def G_form(formula: Claim) -> Form:
    """A form of a formula for G_i out of g_T, Attn_i and W_g."""
    return form(
        formula,
        of_Attn(dL_dAttn, "G_i", (*LAYER, "G")),
        {
            **wrong_sign_or_factor(formula),
            **with_transposed(formula, "W_g"),
            "without φ′": phi_prime_left_out,
            "W_g for W_gᵀ": W_g_untransposed,
            "φ′ behind the product": phi_prime_behind,
        },
    )


class OfHeads(Symbols):
    """n heads of width d, and a degree that x_1 draws."""

    @property
    def degree(self) -> int:
        return 2 + int(1024 * abs(self.instance.operands["x"][0])) % 6

    def exact(self, name: str) -> Any:
        return self.n * self.d if name == "d" else super().exact(name)


@dataclass(frozen=True)
class HeadsOfRank(BoundTrial):
    """The ranks of h heads and of one, d = h d_h, degree 2 or more."""

    @property
    def scope(self) -> str:
        return "h = n ≤ 6, d_h = d ≤ 6, degrees 2 to 7: integers"

    def symbols(self, instance: Instance) -> OfHeads:
        return OfHeads(instance)


def columns_of_heads(symbols: OfHeads) -> int:
    """h binom(d_h+g, g), as sums over the degrees up to g."""
    h, width, g = symbols.n, symbols.d, symbols.degree
    return h * sum(comb(width + j - 1, j) for j in range(g + 1))


def rank_without_one(d: int, degree: int) -> int:
    """False: of one variable less."""
    return low_rank.rank(d - 1, degree)


def rank_of_degree_before(d: int, degree: int) -> int:
    return low_rank.rank(d, degree - 1)


CHOSEN = "polynomials chosen one after the other, from the first layer on"
QK = ("X", "W_Q", "W_K", "W_V", "G")
NO_BOUND = f"by Algorithm 1, entries of O(log n) bits and no bound on them, {PAPER_READING}, d = 3"
SECOND_LAYER = "by Algorithm 1, no entry of X or X W above 1, W_V = 8n I at the first of m = 2 layers, d = 2"
SAME_ERROR = "m = log2 n, the same error of f, below n^(−4), at every layer; T_i and G_i of O(log n) bits too"
PER_LAYER = (
    "Each of the m layers costs a multiple of n d (d + k1), forwards and backwards (E.11, F.5, G.4, H.2), for factors"
    " of k1 columns"
)
KINKS = (
    "φ may be any activation, and φ′ jump: with ReLU the gradient is off by a constant however small the error of f"
    " is, since the forward pass that the time allows is not exact."
)
CARRIED = ("X", "W", "W_V", "W_g", "x", "y", "z")
CHAIN = chains.CarriedTrial("‖E · dT_0/dX‖∞", chains.behind_T_0, ("X", "W_g", "x", "y", "z"))
CHAIN_BITS = replace(CHAIN, hypothesis="2^b the least power of two ≥ 1 that no entry of W_g exceeds")
RESIDUAL_ERROR = chains.CarriedTrial("‖E + E · dH/dX‖∞", chains.behind_residual, CARRIED)
HEADS = chains.HeadsTrial(
    chains.of_heads, "dL/dX_m", names=("X", "W_Q", "W_K", "W_V", "W_g", "G"), scales=SCALES, max_n=3
)
HEADS_ERROR = chains.CarriedTrial("‖E · dY/ds · ds/dX‖∞", chains.behind_heads, ("X", *QK[1:4], "W_g", "x", "y", "z"))
STEP = chains.CarriedTrial("‖g̃_{t0} − dL/dT_0‖∞", chains.behind_attention, (*CARRIED, "G"))
PRODUCT = chains.CarriedTrial("n^k (n d n^a + 1)/n^{a+2+k}", chains.product_of_polynomials, ("x",))
LOOP = chains.LoopTrial(
    chains.dL_dT_0,
    "dL/dT_0, m = 2",
    names=(*WEIGHTS, "G"),
    scales=SCALES,
    assumed=moderate_for_any_phi,
    max_n=3,
    max_d=2,
)
FALSE_LOOP: dict[str, Claim] = wrong_sign_or_factor(formulas.MultiGrad_printed)
MASKED = EquationTrial(masked_dL_dX, "dL/dX, masked", scales=SCALES, masks=(True,), max_n=4)
FALSE_CHAIN: dict[str, Claim] = {
    "without n d": chains.without_n_d,
    "without d": chains.without_d,
    "without dT_0/dX": chains.without_dT_dX,
}
FALSE_BITS: dict[str, Claim] = {
    "1/2 for L": chains.bits_without_slope,
    "without n d": chains.bits_without_d,
    "without W_g": chains.bits_without_weights,
}
FALSE_RESIDUAL: dict[str, Claim] = {
    "without + 1": chains.residual_forgotten,
    "2 for the factor": chains.residual_alone,
}
FALSE_HEADS: dict[str, Claim] = {
    "without n² d d_h": chains.heads_without_n,
    "without ds_l/dX": chains.heads_without_derivative,
    "without dY/ds": chains.heads_without_output,
}
TENTH_OF_STEP = Altered(bounds.fresh_and_magnified, theorems.tenth)
CHAIN_TO_POLY = (
    "an error ε of 1/poly(n), d ≤ n^l, entries of W_g of at most 2^b ≤ n^c and |φ′| ≤ n^c where it is taken, as"
    " entries of dg/dX with O(log n) bits have it, give at most n^{1+l+2c} ε: an error of n^{−(1+l+2c+k)} becomes at"
    " most n^{−k}"
)

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="1.3",
        kind="definition",
        title="Transformer with m layers",
        locus="Section 1.1, Definition 1.3",
        parts=(
            Part(
                kind="definition",
                name="model",
                claim="F_m(X) = g_m ∘ Attn_m ∘ g_{m−1} ∘ Attn_{m−1} ∘ … ∘ g_1 ∘ Attn_1 ∘ g_0(X)",
                clashes_with="two layers of 1.2 and H.1, entry by entry",
                forms=(
                    form(
                        formulas.F_m,
                        EquationTrial(
                            output,
                            "F_2(X)",
                            names=WEIGHTS,
                            scales=SCALES,
                            assumed=moderate,
                            hypothesis=f"m = 2, g_i(Z) = φ(Z W_g) with {ANY_PHI}",
                            max_n=4,
                        ),
                        {
                            **wrong_sign_or_factor(formulas.F_m),
                            "the last layer first": layers_reversed,
                            "without g_0": without_g_0,
                            "g_i before Attn_i": g_before_attention,
                        },
                    ),
                ),
            ),
        ),
        uses=("1.1", "1.2"),
        note="That each g_i runs in time linear in n is assumed in the definition. The g_i are tried as H.1 has them.",
    ),
    Statement(
        id="1.3/text",
        kind="claim",
        title="What the other components are",
        locus="Section 1.1, first two sentences below Definition 1.3",
        parts=(
            Part(
                kind="identity",
                name="residual",
                claim="g_i includes the residual connection",
                fault="gap",
                consequence="A residual connection over attention, as in Definition J.1, is no function of Attn_i, so"
                " the model of Definition 1.3, and with it 3.4, H.4, 4.2 and Algorithm 1, has none over attention;"
                " Appendix J has to add dL/dZ_i to the gradient.",
                forms=(
                    form(
                        formulas.gradient_around_g,
                        EquationTrial(
                            around_g,
                            "dL/dT_{i−1}",
                            names=(*LAYER, "G"),
                            scales=SCALES,
                            assumed=smooth_at_Attn,
                            hypothesis=NO_KINK,
                            max_n=4,
                        ),
                        {
                            **wrong_sign_or_factor(formulas.gradient_around_g),
                            **with_exchanged(formulas.gradient_around_g, "dAttn_dT"),
                            "residual connection alone": attention_alone,
                            "g_i alone": g_without_residual,
                        },
                        reading="residual connection over the MLP, Z ↦ Z + φ(Z W_g)",
                    ),
                    form(
                        formulas.gradient_through_attention,
                        EquationTrial(around_attention, "dL/dT_{i−1}", scales=SCALES, max_n=4),
                        {
                            **wrong_sign_or_factor(formulas.gradient_through_attention),
                            **with_exchanged(formulas.gradient_through_attention, "dAttn_dT"),
                        },
                        reading="residual connection over attention, T ↦ T + Attn(T)",
                    ),
                    form(
                        formulas.gradient_around_attention,
                        EquationTrial(around_attention, "dL/dT_{i−1}", scales=SCALES, max_n=4),
                        {
                            **wrong_sign_or_factor(formulas.gradient_around_attention),
                            **with_exchanged(formulas.gradient_around_attention, "dAttn_dT"),
                            "as printed": formulas.gradient_through_attention,
                        },
                        role="repaired",
                        reading="dL/dZ_i added, g_i with a residual connection over attention (J.1, J.3)",
                    ),
                ),
            ),
            Part(
                kind="cost",
                name="other components",
                claim="each g_i (layer norm, MLP, residual, dropout, positional encoding, head concatenation)"
                " runs forward and backward in time linear in n",
                forms=(cost.COMPONENTS,),
            ),
        ),
        uses=("1.3",),
        note="What is tried is what 3.4 would then say of a layer with one, dL/dT_{i−1} = Σ_{j,k} G_i(j,k) ·"
        " dAttn_i(T_{i−1})_{j,k}/dT_{i−1}. The concatenation of heads is named too, but the Attn_i of Definition 1.2"
        " has one head, and no function of its output is the concatenation that K.1 forms.",
    ),
    Statement(
        id="1.4",
        kind="theorem",
        title="Gradient of the whole model, informally",
        locus="Section 1.2, Theorem 1.4",
        parts=(
            Part(
                kind="asymptotic",
                name="time",
                claim="Algorithm 1 computes the gradient of the multi-layer model in n^{1+o(1)} time",
            ),
            Part(kind="asymptotic", name="error", claim="the error of the entire model is at most 1/poly(n)"),
        ),
        assumes=("d = O(log n)", "each number in the matrices has O(log n) bits", "m = n^{o(1)}"),
        uses=("4.2",),
        follows="informal version of Theorem 4.2",
    ),
    Statement(
        id="3.3",
        kind="definition",
        title="Hidden states T_i",
        locus="Section 3.2, Definition 3.3",
        parts=(
            Part(
                kind="definition",
                claim="T_0(X) = g_0(X) and T_i(X) = (g_i ∘ Attn_i)(T_{i−1}(X)) ∈ R^{n×d} for i ∈ [m]",
                clashes_with="T_0, T_1 and T_2, entry by entry",
                forms=(
                    form(
                        formulas.hidden_states,
                        EquationTrial(
                            hidden_states,
                            "(T_0, T_1, T_2)",
                            names=WEIGHTS,
                            scales=SCALES,
                            assumed=moderate,
                            hypothesis=f"m = 2, g_i(Z) = φ(Z W_g) with {ANY_PHI}",
                            max_n=4,
                        ),
                        {**wrong_sign_or_factor(formulas.hidden_states), "every layer on T_0": from_X_each},
                    ),
                ),
            ),
        ),
        uses=("1.2", "1.3"),
    ),
    Statement(
        id="4.2",
        kind="theorem",
        title="Gradient of the whole model",
        locus="Section 4.2, Theorem 4.2",
        parts=(
            Part(
                kind="asymptotic",
                name="time",
                claim="for every i ∈ [m] Algorithm 1 computes all gradient components of layer i in n^{1+o(1)} time",
                fault="gap",
                consequence="No bound on the entries is assumed, and one on those of X would not do: those of T_1 may"
                " be poly(n). Algorithm 1 then has factors of n columns. Faster algorithms of any kind are excluded by"
                " Alman and Song (2023, 2024) under a hypothesis on satisfiability.",
                forms=(
                    theorems.written(gaps.PARABOLA_WRITTEN, f"{NO_BOUND}, m = 1"),
                    theorems.written(theorems.SECOND_WRITTEN, SECOND_LAYER),
                    gaps.few(PER_LAYER, reading=f"{theorems.BOUNDED_LAYERS}; d = O(log n); m fixed"),
                ),
            ),
            Part(
                kind="asymptotic",
                name="error",
                claim="the approximation error of the entire m-layer model is at most 1/poly(n)",
                fault="gap",
                consequence=f"{KINKS} With m = log2 n layers, as m = n^{{o(1)}} allows, an error of 1/poly(n) at one"
                " of them becomes n^{Ω(log n)}, and one that is chosen for m takes a rank that is no n^{o(1)}"
                " (H.4/step 4).",
                forms=(
                    theorems.vanishes(theorems.AS_PRINTED, "g_v as printed, exact factors, m = 1"),
                    theorems.vanishes(theorems.KINK, f"{theorems.ANY_RELU}, m = 1"),
                    theorems.vanishes(theorems.GROWTH, SAME_ERROR),
                    theorems.theorem(theorems.MANY_LAYERS, theorems.FIXED),
                ),
            ),
        ),
        assumes=("d = O(log n)", "each number in the matrices has O(log n) bits", "m = n^{o(1)}"),
        uses=("1.3/text", "4.1", "5.5", "Alg 1"),
        note="Its g_i may be layer norm and others (1.3); H.1 to H.4, on which it rests, have g_i(Z) = φ(Z W_g), and"
        " layer norm of d ≥ 3 entries is not of this form (docs/theorems.md).",
        related=("own/theorem: m layers", "own/exponent"),
    ),
    Statement(
        id="5.4",
        kind="lemma",
        title="Time for G_i, informally",
        locus="Section 5.4, Lemma 5.4",
        parts=(
            Part(kind="asymptotic", claim="given dL/dT_i, G_i = dL/dAttn_i(T_{i−1}) is computed in n^{1+o(1)} time"),
        ),
        assumes=("dL/dT_i is available", "g_i(Z) = φ(Z W_g), φ any entrywise activation with derivative φ′"),
        uses=("H.2",),
        follows="informal version of Lemma H.2",
    ),
    Statement(
        id="5.5",
        kind="lemma",
        title="Gradient of m layers, informally",
        locus="Section 5.4, Lemma 5.5",
        parts=(
            Part(
                kind="asymptotic",
                name="time",
                claim="for every i ∈ [m], dL/dT_{i−1}, dL/dW_i and dL/dW_{V_i} are approximated in n^{1+o(1)} time",
            ),
            Part(kind="asymptotic", name="error", claim="‖g̃ − dL/dX‖∞ ≤ 1/poly(n)"),
        ),
        uses=("H.4",),
        follows="informal version of Lemma H.4",
        note="H.4 is called a theorem here and a lemma in Appendix H. Lemma H.4 states its time for dL/dX.",
    ),
    Statement(
        id="Alg 1",
        kind="algorithm",
        title="Gradient of the whole model, layer by layer",
        locus="Section 4.2, Algorithm 1",
        parts=(
            Part(
                kind="cost",
                name="start",
                claim="dL/dT_m is computed in O(nd) time",
                fault="gap",
                consequence=cost.START_FAULT,
                forms=cost.start(),
            ),
            Part(
                kind="construction",
                name="loop",
                claim="for i = m down to 1: g_t, g_w, g_v = SingleGrad(g_t), from g_t = dL/dT_m to dL/dT_0",
                fault="error",
                consequence="Even with exact factors of f what the loop ends with is not dL/dT_0, from n = 2 on: g_t"
                " of each layer is off as in E.11. With the repaired g_t it is.",
                forms=(
                    form(formulas.MultiGrad_printed, LOOP, FALSE_LOOP, reading=f"{PAPER_READING}; exact factors"),
                    form(
                        formulas.MultiGrad,
                        LOOP,
                        {
                            **wrong_sign_or_factor(formulas.MultiGrad),
                            "as printed": formulas.MultiGrad_printed,
                            "the layers forwards": chains.loop_forwards,
                        },
                        role="repaired",
                        reading="g_t as repaired in E.11, exact factors",
                    ),
                ),
            ),
            Part(
                kind="construction",
                name="optimiser",
                claim="g_w is handed to the optimiser of W_{Q_i} and W_{K_i}, g_v to the one of W_{V_i}",
                fault="misprint",
                consequence="An optimiser of W_Q that takes g_w for its gradient goes another way: g_w is the gradient"
                " of the product W_Q W_Kᵀ. C.3 has the chain rule to W_Q.",
                forms=(
                    form(
                        formulas.g_w_for_W_Q,
                        EquationTrial(chains.dL_dW_Q, "dL/dW_Q", names=QK, scales=SCALES, max_n=4),
                        {
                            **wrong_sign_or_factor(formulas.g_w_for_W_Q),
                            **with_transposed(formulas.g_w_for_W_Q, "dL_dW_QK"),
                        },
                        reading="g_w taken for the gradient of W_Q",
                    ),
                    form(
                        formulas.g_w_to_W_Q_and_W_K,
                        EquationTrial(chains.dL_dW_Q_and_W_K, "(dL/dW_Q, dL/dW_K)", names=QK, scales=SCALES, max_n=4),
                        {
                            **wrong_sign_or_factor(formulas.g_w_to_W_Q_and_W_K),
                            "W_Q and W_K exchanged": chains.W_K_exchanged,
                            "g_w for g_wᵀ": chains.W_K_untransposed,
                        },
                        reading="by the chain rule of C.3",
                    ),
                ),
            ),
        ),
        uses=("1.3", "3.1", "3.3", "Alg 1/SingleGrad"),
        note="g_w is a gradient for the product W_{Q_i} W_{K_i}ᵀ; the chain rule to W_Q is in C.3.",
        related=("C.3",),
    ),
    Statement(
        id="B.1",
        kind="claim",
        title="Multi-head attention as an extension",
        locus="Appendix B.1 and Section 6",
        parts=(
            Part(
                kind="asymptotic",
                name="attention matrix",
                claim="for constant h the time for f(X) ∈ R^{h×n×n} is h · n^{1+o(1)} = n^{1+o(1)}",
                fault="gap",
                consequence="As in C.13, for each head: no bound on the entries.",
                forms=(
                    theorems.written(gaps.PARABOLA_WRITTEN, f"{NO_BOUND}, h = 1"),
                    gaps.few("h of them are h n^{1+o(1)}", reading=f"for each head, {gaps.BOUNDED}"),
                ),
            ),
            Part(
                kind="asymptotic",
                name="heads",
                claim="with heads of width d_h = d/h the time for the gradient does not increase",
                forms=(
                    replace(
                        form(
                            low_rank.rank,
                            HeadsOfRank("h binom(d_h+g, g)", columns_of_heads, ()),
                            {"without x_d": rank_without_one, "at degree g − 1": rank_of_degree_before},
                            reading="factors from monomials of one degree g ≥ 2",
                        ),
                        implication="h heads of width d/h have h binom(d/h+g, g) columns in all, one of width d has"
                        " binom(d+g, g), which is no less for g ≥ 2 (docs/theorems.md), and each column costs what it"
                        " did. At g = 1 they have d + h where one has d + 1",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="whole model",
                claim="with multi-head attention dL/dX of m layers takes n^{1+o(1)} time, with 1/poly(n) error",
                fault="gap",
                consequence="As in H.4, whose case h = 1 this is.",
                forms=(
                    theorems.vanishes(theorems.KINK, f"{theorems.ANY_RELU}, h = 1, m = 1"),
                    theorems.vanishes(theorems.GROWTH, f"{SAME_ERROR}, h = 1"),
                    theorems.theorem(theorems.MANY_LAYERS, theorems.FIXED),
                ),
            ),
        ),
        assumes=("h is constant",),
        uses=("H.3", "H.4", "K.1", "K.2"),
        note="The part on the whole model is repeated below the proof of K.2, with H.3 and H.4 as the pattern.",
    ),
    Statement(
        id="B.2",
        kind="claim",
        title="Residual connections as an extension",
        locus="Appendix B.2 and Section 6",
        parts=(
            Part(kind="cost", name="cost", claim="the residual connections add O(n · d) per layer", forms=(cost.B_2,)),
            Part(
                kind="asymptotic",
                name="time",
                claim="each layer takes O(n · d) + n^{1+o(1)} = n^{1+o(1)} in total",
                fault="gap",
                consequence="As in C.13: no bound on the entries.",
                forms=(
                    theorems.written(gaps.PARABOLA_WRITTEN, NO_BOUND),
                    gaps.few("The residual connections add O(n d)"),
                ),
            ),
            Part(
                kind="asymptotic",
                name="whole model",
                claim="the gradient of the multi-layer model with residual connections takes n^{1+o(1)} time",
                fault="gap",
                consequence="As in C.13: no bound on the entries.",
                forms=(
                    theorems.written(gaps.PARABOLA_WRITTEN, f"{NO_BOUND}, m = 1"),
                    gaps.few(PER_LAYER, reading=f"{theorems.BOUNDED_LAYERS}; d = O(log n); m fixed"),
                ),
            ),
        ),
        uses=("J.1", "J.2", "J.3", "J.5"),
    ),
    Statement(
        id="B.3",
        kind="claim",
        title="The causal mask as an extension",
        locus="Appendix B.3 and Section 6",
        parts=(
            Part(
                kind="identity",
                name="replacement",
                claim="in f(X)·H and (f(X) ⊙ (U Vᵀ))·H, f̂ in place of f gives the masked gradient components",
                fault="error",
                consequence="The sum of E.11, g_v of G.3 and the scale of F.4 are as wrong with f̂ as with f. Once"
                " they are repaired the replacement is right: the mask touches f alone.",
                forms=(
                    form(
                        input_gradient.gradient_X_printed,
                        MASKED,
                        {
                            **wrong_sign_or_factor(input_gradient.gradient_X_printed),
                            **with_transposed(input_gradient.gradient_X_printed, "W"),
                        },
                        reading=f"dL/dT_{{i−1}} as in E.11, {PAPER_READING}",
                    ),
                    form(
                        input_gradient.gradient_X,
                        MASKED,
                        {
                            **wrong_sign_or_factor(input_gradient.gradient_X),
                            **with_transposed(input_gradient.gradient_X, "W"),
                            "as printed": input_gradient.gradient_X_printed,
                        },
                        role="repaired",
                        reading="dL/dT_{i−1} as repaired in E.11; for W and W_V see I.7 and I.8",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="time",
                claim="with the causal mask the gradient of the multi-layer model takes n^{1+o(1)} time",
                fault="gap",
                consequence="As in C.13: no bound on the entries. I.1, for the exponential, has one, R, that must be"
                " o(√log n); 4.2, which this extends, has none.",
                forms=(
                    theorems.written(gaps.PARABOLA_WRITTEN, f"{NO_BOUND}: factors of A as of f, row by row"),
                    gaps.few(
                        f"{PER_LAYER}. The sums under the mask cost what those without do (I.3, I.4)",
                        reading=f"{theorems.BOUNDED_LAYERS}; d = O(log n); m fixed",
                    ),
                ),
            ),
        ),
        uses=("I.1", "I.2", "I.3", "I.5", "I.7", "I.8"),
    ),
    Statement(
        id="B.4",
        kind="claim",
        title="Combination with system-level kernels",
        locus="Appendix B.4 and Section 6",
        parts=extensions.PARTS,
        note="Eq. (5) stands in E.4, Eq. (8) in E.7: rows times numbers, which every framework has, as it has the"
        " products of entries that make up a row-wise product. own/antiderivative is how the same numbers come without"
        " it. Whoever accepts the derivative of the approximate output needs no backward function of his own, and has"
        " a bound for it (own/differentiate). The GPU implementation is called future work.",
        related=("E.4", "E.7", "Alg 2", "own/antiderivative", "own/differentiate"),
    ),
    Statement(
        id="B.5",
        kind="claim",
        title="Prompt tuning as an extension",
        locus="Appendix B.5 and Section 6",
        parts=(
            Part(
                kind="asymptotic",
                claim="Algorithm 1 computes the gradient on soft prompts X_p of the whole model in n^{1+o(1)} time",
                fault="gap",
                consequence="That of 4.2.",
                forms=(
                    theorems.written(gaps.PARABOLA_WRITTEN, f"{NO_BOUND}, m = 1"),
                    gaps.few(
                        f"{PER_LAYER}. The gradient on X_p is some rows of that on X",
                        reading=f"{theorems.BOUNDED_LAYERS}; d = O(log n); m fixed",
                    ),
                ),
            ),
        ),
        uses=("4.2", "Alg 1"),
    ),
    Statement(
        id="H.1",
        kind="lemma",
        title="Gradient of T_i with respect to Attn_i",
        locus="Appendix H.1, Lemma H.1",
        parts=(
            Part(
                kind="identity",
                name="Part 1",
                claim="dT_i(i4,j4)/dAttn_i(i5,j5) = φ′(Attn_i(i4,*)ᵀ W_g(*,j4)) W_g(j5,j4) if i4 = i5, 0 if i4 ≠ i5",
                forms=(
                    form(
                        formulas.dT_dAttn_entry,
                        of_Attn(dT_dAttn, "dT_i(i4,j4)/dAttn_i(i5,j5)", LAYER, i4="n", j4="d", i5="n", j5="d"),
                        {
                            **wrong_sign_or_factor(formulas.dT_dAttn_entry),
                            **with_wrong_index(formulas.dT_dAttn_entry, "i4", "j4"),
                            "W_g(j4,j5) for W_g(j5,j4)": row_of_W_g,
                            "i4 ≠ i5 as i4 = i5": all_rows,
                        },
                    ),
                ),
            ),
            Part(
                kind="identity",
                name="Part 2",
                claim="dT_i(i4,j4)/dAttn_i = φ′(Attn_i(i4,*)ᵀ W_g(*,j4)) e_{i4} W_g(*,j4)ᵀ",
                forms=(
                    form(
                        formulas.dT_dAttn,
                        of_Attn(dT_dAttn, "dT_i(i4,j4)/dAttn_i", LAYER, i4="n", j4="d"),
                        {
                            **wrong_sign_or_factor(formulas.dT_dAttn),
                            **with_transposed(formulas.dT_dAttn, "W_g"),
                            **with_wrong_index(formulas.dT_dAttn, "i4", "j4"),
                            "1_n for e_{i4}": ones_for_e,
                        },
                    ),
                ),
            ),
        ),
        assumes=("g_i(Z) = φ(Z W_g), φ any entrywise activation with derivative φ′",),
        uses=("3.3", "H.1/entries", "H.1/row"),
        related=("H.1/range",),
        note="The lemma says of the derivative only: let φ′ denote it. ReLU has none at 0, and at an entry of"
        " Attn_i W_g that is 0 neither side is defined.",
    ),
    Statement(
        id="H.1/entries",
        kind="lemma",
        title="The entries of T_i",
        locus="Appendix H.1, proof of Lemma H.1, Part 1, first sentence",
        parts=(
            Part(
                kind="identity",
                claim="T_i(i4,j4) = φ(Attn_i(i4,*)ᵀ W_g(*,j4))",
                forms=(
                    form(
                        formulas.T_entry,
                        EquationTrial(
                            T_without_residuals,
                            "T_i(i4,j4)",
                            over={"i4": "n", "j4": "d"},
                            names=LAYER,
                            scales=SCALES,
                            hypothesis=ANY_PHI,
                        ),
                        {
                            **wrong_sign_or_factor(formulas.T_entry),
                            **with_transposed(formulas.T_entry, "W_g"),
                            **with_wrong_index(formulas.T_entry, "i4", "j4"),
                            "without φ": without_phi,
                        },
                    ),
                ),
            ),
        ),
        uses=("3.3",),
    ),
    Statement(
        id="H.1/range",
        kind="lemma",
        title="Which entries T_i has",
        locus="Appendix H.1, proof of Lemma H.1, Part 1, first sentence",
        parts=(
            Part(
                kind="identity",
                claim="the entries of T_i ∈ R^{n×d} are those with i4 ∈ [d], j4 ∈ [n]",
                fault="misprint",
                consequence="For n ≠ d the proof speaks of entries that T_i does not have, and leaves out others; the"
                " lemma and the proof of H.2 print i4 ∈ [n], j4 ∈ [d].",
                forms=(
                    form(
                        formulas.places_printed,
                        EquationTrial(places_of_T, "the entries of T_i (1 if there is one, else 0)", names=("X",)),
                        {**wrong_sign_or_factor(formulas.places_printed), "i4 = j4": diagonal},
                    ),
                    form(
                        formulas.places,
                        EquationTrial(places_of_T, "the entries of T_i (1 if there is one, else 0)", names=("X",)),
                        {
                            **wrong_sign_or_factor(formulas.places),
                            "as printed": formulas.places_printed,
                            "i4 = j4": diagonal,
                            "i4 and j4 to the larger of n and d": all_places,
                        },
                        role="repaired",
                        reading="i4 ∈ [n], j4 ∈ [d]",
                    ),
                ),
            ),
        ),
        uses=("3.3",),
    ),
    Statement(
        id="H.1/row",
        kind="lemma",
        title="Gradient of one entry of T_i with respect to a row of Attn_i",
        locus="Appendix H.1, proof of Lemma H.1, Part 2, 2nd and 3rd equation",
        parts=(
            Part(
                kind="identity",
                claim="dT_i(i4,j4)/dAttn_i(i4,*) = φ′(Attn_i(i4,*)ᵀ W_g(*,j4)) W_g(*,j4), and"
                " dT_i(i4,j4)/dAttn_i(i5,*) = 0 for i5 ≠ i4",
                forms=(
                    form(
                        formulas.dT_dAttn_row,
                        of_Attn(dT_dAttn, "dT_i(i4,j4)/dAttn_i(i5,*)", LAYER, i4="n", j4="d", i5="n"),
                        {
                            **wrong_sign_or_factor(formulas.dT_dAttn_row),
                            **with_transposed(formulas.dT_dAttn_row, "W_g"),
                            **with_wrong_index(formulas.dT_dAttn_row, "j4", "i5"),
                            "i4 ≠ i5 as i4 = i5": all_rows_alike,
                        },
                    ),
                ),
            ),
        ),
        assumes=("g_i(Z) = φ(Z W_g), φ any entrywise activation with derivative φ′",),
        uses=("3.3", "H.1/entries"),
        note="Printed as a consequence of Part 1.",
    ),
    Statement(
        id="H.2",
        kind="lemma",
        title="Closed form and time for G_i",
        locus="Appendix H.1, Lemma H.2 and its proof",
        parts=(
            Part(
                kind="identity",
                name="formula",
                claim="G_i = (g_{T_i} ⊙ φ′(Attn_i W_g)) W_gᵀ, with g_{T_i} = dL/dT_i",
                forms=(G_form(formulas.G_of_T),),
            ),
            Part(
                kind="cost",
                name="cost",
                claim="g_{T_i} ⊙ φ′(Attn_i W_g) takes n · d time and its product with W_gᵀ takes d² · n",
                fault="misprint",
                consequence="None: the product Attn_i W_g, if it has to be made first, takes d² · n too.",
                forms=(cost.H_2_COST, cost.H_2_WITH_SLOPES),
            ),
            Part(kind="asymptotic", name="time", claim="G_i is computed in n^{1+o(1)} time", forms=(cost.H_2_TIME,)),
        ),
        assumes=("dL/dT_i is available", "g_i(Z) = φ(Z W_g), φ any entrywise activation with derivative φ′"),
        uses=("H.1", "H.2/chain rule", "H.2/steps"),
        related=("H.2/shape",),
        note="The formula is Eq. (25) of the proof. No hypothesis on d is printed.",
    ),
    Statement(
        id="H.2/chain rule",
        kind="lemma",
        title="G_i by the chain rule",
        locus="Appendix H.1, proof of Lemma H.2, first chain",
        parts=(
            Part(
                kind="identity",
                claim="G_i = g_{T_i} · dT_i/dAttn_i = Σ_{i4=1}^{n} Σ_{j4=1}^{d} g_{T_i}(i4,j4) · dT_i(i4,j4)/dAttn_i",
                forms=(
                    form(
                        formulas.G_by_chain_rule,
                        of_Attn(dL_dAttn, "G_i", (*LAYER, "G")),
                        {
                            **wrong_sign_or_factor(formulas.G_by_chain_rule),
                            **with_exchanged(formulas.G_by_chain_rule, "dT_dAttn"),
                        },
                    ),
                ),
            ),
        ),
        assumes=("g_i(Z) = φ(Z W_g), φ any entrywise activation with derivative φ′",),
        uses=("3.1",),
        note="The loss depends on Attn_i through T_i alone.",
    ),
    Statement(
        id="H.2/steps",
        kind="lemma",
        title="The sum for G_i as a matrix product",
        locus="Appendix H.1, proof of Lemma H.2, second chain, Eq. (25)",
        parts=(
            Part(
                kind="identity",
                name="1st step",
                claim="G_i = Σ_{i4=1}^{n} Σ_{j4=1}^{d} g_{T_i}(i4,j4) φ′(Attn_i(i4,*)ᵀ W_g(*,j4)) e_{i4} W_g(*,j4)ᵀ",
                forms=(G_form(formulas.G_sum),),
            ),
            Part(
                kind="identity",
                name="2nd step",
                claim="G_i = Σ_{i4=1}^{n} e_{i4} Σ_{j4=1}^{d} g_{T_i}(i4,j4) φ′(Attn_i(i4,*)ᵀ W_g(*,j4)) W_g(*,j4)ᵀ",
                forms=(G_form(formulas.G_sum_of_rows),),
            ),
            Part(
                kind="identity",
                name="3rd step",
                claim="G_i = Σ_{i4=1}^{n} e_{i4} (W_g (g_{T_i}(i4,*) ⊙ φ′(Attn_i(i4,*)ᵀ W_g)))ᵀ",
                forms=(G_form(formulas.G_sum_of_products),),
            ),
        ),
        assumes=("g_i(Z) = φ(Z W_g), φ any entrywise activation with derivative φ′",),
        uses=("H.1", "H.2/chain rule"),
        note="Attn_i(i4,*) is a column (Definition C.5).",
    ),
    Statement(
        id="H.2/shape",
        kind="lemma",
        title="The shape of the slopes",
        locus="Appendix H.1, proof of Lemma H.2, last chain, 3rd step",
        parts=(
            Part(
                kind="identity",
                claim="φ′(Attn_i(i4,*)ᵀ W_g) is d × 1, like g_{T_i}(i4,*)",
                fault="misprint",
                consequence="To the letter a column stands in an entrywise product with a row. Nothing rests on it:"
                " with φ′(W_gᵀ Attn_i(i4,*)) the step is right, and so is the next.",
                forms=(
                    form(
                        formulas.length_of_slopes,
                        EquationTrial(
                            length_of_slopes, "the number of entries of φ′(Attn_i(i4,*)ᵀ W_g)", names=("X",)
                        ),
                        {**wrong_sign_or_factor(formulas.length_of_slopes), "n": length_n},
                        reading="shape up to transposition: a vector of d entries",
                    ),
                    form(
                        formulas.shape_of_slopes_printed,
                        EquationTrial(shape_of_slopes, "the shape of φ′(Attn_i(i4,*)ᵀ W_g)", names=("X",)),
                        {"d × d": square_of_d, "1 × 1": number},
                        reading="shape to the letter",
                    ),
                    form(
                        formulas.shape_of_slopes,
                        EquationTrial(shape_of_slopes, "the shape of φ′(Attn_i(i4,*)ᵀ W_g)", names=("X",)),
                        {"as printed": formulas.shape_of_slopes_printed, "d × d": square_of_d, "1 × 1": number},
                        role="repaired",
                        reading="1 × d, and its transpose in the product",
                    ),
                ),
            ),
        ),
        uses=("C.5",),
    ),
    Statement(
        id="H.3",
        kind="lemma",
        title="Gradient of a model with one layer",
        locus="Appendix H.2, Lemma H.3",
        parts=(
            Part(
                kind="asymptotic",
                name="Part 1",
                claim="dL/dX is approximated in n^{1+o(1)} time",
                fault="gap",
                consequence="No bound on the entries (C.13). In this time the forward pass cannot be exact either, as"
                " Part 2 takes it.",
                forms=(
                    theorems.written(gaps.PARABOLA_WRITTEN, NO_BOUND),
                    gaps.few(PER_LAYER, reading=f"{gaps.BOUNDED}; forward pass from factors of f too"),
                ),
            ),
            Part(
                kind="inequality",
                name="Part 2, chain",
                claim="‖G̃_0 − G_0‖∞ = ‖(g̃_{t0} − dL/dT_0) · dT_0/dX‖∞ ≤ n · d‖g̃_{t0} − dL/dT_0‖∞‖dT_0/dX‖∞",
                forms=(derived(form(bounds.chain_bound, CHAIN, FALSE_CHAIN), "H.3", proofs.of_chain, chains.Carried),),
            ),
            Part(
                kind="asymptotic",
                name="Part 2",
                claim="‖g̃_1 − dL/dX‖∞ ≤ 1/poly(n), with g̃_1 = G̃_0",
                fault="gap",
                consequence=KINKS,
                forms=(
                    theorems.vanishes(theorems.KINK, theorems.ANY_RELU),
                    theorems.exact_forwards(theorems.INPUT_AS_PRINTED, "g_t as printed"),
                    theorems.theorem(theorems.ONE_LAYER, theorems.ONE),
                    theorems.given_and_repaired("g_t as repaired in E.11"),
                ),
            ),
        ),
        assumes=("g_i(Z) = φ(Z W_g), φ any entrywise activation with derivative φ′", "one layer"),
        uses=("1.3", "3.1", "E.11", "F.5", "G.4", "H.2", "H.3/Part 2 start"),
        note="The model is g_1 ∘ Attn_1 ∘ g_0; G_0 stands for dL/dX. No hypothesis on bits or d is printed; the"
        " proof's last step says that each entry has O(log n) bits.",
    ),
    Statement(
        id="H.3/Part 2 start",
        kind="lemma",
        title="G_1 carries no approximation error",
        locus="Appendix H.2, proof of Lemma H.3, Part 2, second sentence",
        parts=(
            Part(
                kind="identity",
                claim="G̃_1 = G_1 = (dL/dT_1) · dT_1/dAttn_1(T_0): no approximation error, by H.2 and Eq. (26)",
                fault="gap",
                consequence="An exact Attn_1 takes n² d operations. With factors of f in the forward pass, as the time"
                " of Part 1 needs them, φ′ is taken at another place and dL/dT_1 at another T_1: G̃_1 is off, and by"
                " an amount that does not fall with the error of f if φ′ jumps (Part 2).",
                forms=(
                    replace(G_form(formulas.G_of_T), reading="forward pass exact, in n² d operations"),
                    form(
                        formulas.G_of_T,
                        chains.ApproximateForwardTrial(
                            chains.exact_G,
                            "G_1, with Attn_1 from P(S) for exp(S)",
                            names=(*LAYER, "G"),
                            scales=SCALES,
                            max_n=4,
                            hypothesis="φ one of tanh, gelu and identity, Taylor polynomials of degree 2, 4 and 6",
                        ),
                        {
                            **wrong_sign_or_factor(formulas.G_of_T),
                            "without φ′": phi_prime_left_out,
                        },
                        reading="forward pass from factors of f, dL/dT_1 exact",
                    ),
                ),
            ),
        ),
        uses=("H.2",),
    ),
    Statement(
        id="H.4",
        kind="lemma",
        title="Gradient of a model with m layers",
        locus="Appendix H.3, Lemma H.4",
        parts=(
            Part(
                kind="asymptotic",
                name="Part 1",
                claim="dL/dX is approximated in n^{1+o(1)} time",
                fault="gap",
                consequence="No bound on the entries; one on those of X would not do, those of T_1 may be poly(n).",
                forms=(
                    theorems.written(gaps.PARABOLA_WRITTEN, f"{NO_BOUND}, m = 1"),
                    theorems.written(theorems.SECOND_WRITTEN, SECOND_LAYER),
                    gaps.few(PER_LAYER, reading=f"{theorems.BOUNDED_LAYERS}; d = O(log n); m fixed"),
                ),
            ),
            Part(
                kind="asymptotic",
                name="Part 2",
                claim="‖g̃ − dL/dX‖∞ ≤ 1/poly(n)",
                fault="gap",
                consequence=f"{KINKS} For m see step 4.",
                forms=(
                    theorems.vanishes(theorems.KINK, f"{theorems.ANY_RELU}, m = 1"),
                    theorems.vanishes(theorems.GROWTH, SAME_ERROR),
                    theorems.theorem(theorems.MANY_LAYERS, theorems.FIXED),
                ),
            ),
        ),
        assumes=(
            "gradient components of each layer as in E.11, F.5, G.4",
            "g_i(Z) = φ(Z W_g), φ any entrywise activation with derivative φ′",
            "m layers",
        ),
        uses=("1.3", "3.1", "E.11", "F.5", "G.4", "H.2", "H.3", "H.4/step 3.1", "H.4/step 3.2", "H.4/step 4"),
        note="By induction: steps 1 and 2 are the case of one layer (H.3) and the hypothesis for k layers. Nothing is"
        " printed of how m depends on n, nor of bits or d.",
    ),
    Statement(
        id="H.4/step 3.1",
        kind="lemma",
        title="Induction step, running time",
        locus="Appendix H.3, proof of Lemma H.4, Step 3.1",
        parts=(
            Part(
                kind="asymptotic",
                claim="given dL/dAttn(T_0), dL/dT_0 (E.11) and then dL/dX (H.2) take n^{1+o(1)} time each",
                fault="gap",
                consequence="No bound on the entries, of this layer's input as of any other's (C.13).",
                forms=(
                    theorems.written(gaps.PARABOLA_WRITTEN, NO_BOUND),
                    gaps.few(PER_LAYER),
                ),
            ),
        ),
        assumes=("F_{k+1}(X) = F_k ∘ Attn ∘ g(X)", "T_0 = g(X)"),
        uses=("E.11", "H.2"),
    ),
    Statement(
        id="H.4/step 3.2",
        kind="lemma",
        title="Induction step, error",
        locus="Appendix H.3, proof of Lemma H.4, Step 3.2",
        parts=(
            Part(
                kind="asymptotic",
                name="magnification",
                claim="‖g̃_{t0} − dL/dg(X)‖∞ ≤ poly(n)‖g̃_k − dL/dT(X)‖∞ ≤ 1/poly(n)",
                fault="gap",
                consequence="The layer's own error is left out: from an exact cotangent the printed bound is 0, and"
                " what is computed with factors of f is not exact. With that of E.11 added, which is 1/poly(n), the"
                " conclusion stands.",
                forms=(
                    gaps.falls(
                        theorems.FRESH,
                        bounds.H_4_magnification,
                        {"poly = 1": theorems.none_at_all, "poly²": theorems.poly_squared},
                        reading="g̃_k = dL/dAttn(T_0) exact; g_t as repaired in E.11",
                        necessary="it is said of every g̃_k, and poly(n) · 0 = 0",
                    ),
                    replace(
                        form(
                            bounds.fresh_and_magnified,
                            STEP,
                            {"without what comes from above": chains.fresh_alone, "a tenth": TENTH_OF_STEP},
                            role="repaired",
                            reading=f"and the layer's own error; g_t as repaired in E.11; {WITH_BITS}; {POLY_D}",
                        ),
                        implication="ρ, ω and ‖G‖∞ are at most n^c and |τ| ≤ 1, so the right side is at most"
                        " n^{c'}(‖g̃_k − G‖∞ + δ): poly(n) times the error from above, and δ = 1/poly(n) is chosen",
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="chain",
                claim="‖g̃ − dL/dX‖∞ = ‖(g̃_{t0} − dL/dg(X)) · dg(X)/dX‖∞ ≤ n · d‖g̃_{t0} − dL/dg(X)‖∞‖dg(X)/dX‖∞",
                forms=(derived(form(bounds.chain_bound, CHAIN, FALSE_CHAIN), "H.3", proofs.of_chain, chains.Carried),),
            ),
            Part(
                kind="asymptotic",
                name="poly",
                claim="‖g̃ − dL/dX‖∞ ≤ n · d(1/poly(n))‖dg(X)/dX‖∞ ≤ 1/poly(n)",
                forms=(
                    replace(
                        form(bounds.chain_bits, CHAIN_BITS, FALSE_BITS, reading=f"{WITH_BITS}; {POLY_D}"),
                        implication=CHAIN_TO_POLY,
                    ),
                ),
            ),
        ),
        assumes=("F_{k+1}(X) = F_k ∘ Attn ∘ g(X)", "‖g̃_k − dL/dAttn(T_0)‖∞ ≤ 1/poly(n), T_0 = g(X)"),
        uses=("E.11",),
        note="The induction hypothesis speaks of dL/dAttn(T_0), the bound of dL/dT(X). The last step says that each"
        " entry has O(log n) bits.",
    ),
    Statement(
        id="H.4/step 4",
        kind="lemma",
        title="From the induction step to every m",
        locus="Appendix H.3, proof of Lemma H.4, Step 4",
        parts=(
            Part(
                kind="asymptotic",
                claim="one layer, and k + 1 layers from k, give n^{1+o(1)} time and error ≤ 1/poly(n) for any m",
                fault="gap",
                consequence="The induction hides that poly(n) is another polynomial at every step: 4.2 allows m ="
                " n^{o(1)} layers. For a fixed m it stands; with entries of n^c up to m = o(log log n), with"
                " polylog(n) ones up to m = o(log n), the rank is n^{o(1)} (docs/theorems.md).",
                forms=(
                    theorems.vanishes(theorems.GROWTH, SAME_ERROR),
                    gaps.falls(
                        theorems.RANK_OF_MANY,
                        low_rank.few_columns,
                        gaps.FALSE_COLUMNS,
                        reading="the error chosen for m = log2 n layers, n^(−m); d = log2 n; factors from a"
                        " polynomial",
                        necessary=f"{gaps.FEW}; a time of n^{{1+o(1)}} has no more columns",
                    ),
                    theorems.theorem(theorems.MANY_LAYERS, theorems.FIXED),
                ),
            ),
        ),
        uses=("H.3", "H.4/step 3.1", "H.4/step 3.2"),
    ),
    Statement(
        id="J.1",
        kind="definition",
        title="Residual connection over attention",
        locus="Appendix J.1, Definition J.1",
        parts=(
            Part(
                kind="definition",
                claim="Z_i = T_{i−1} + Attn_i(T_{i−1}) ∈ R^{n×d}",
                clashes_with="T_{i−1} + Attn_i(T_{i−1}), entry by entry",
                forms=(
                    form(
                        formulas.residual_attention,
                        EquationTrial(Z, "Z_i", names=("X", "W", "W_V"), scales=SCALES),
                        {
                            **wrong_sign_or_factor(formulas.residual_attention),
                            "T_{i−1} alone": input_alone,
                            "Attn_i(T_{i−1}) alone": output_alone,
                        },
                    ),
                ),
            ),
        ),
        uses=("3.3", "C.3"),
        note="T_i is to be defined as in Definition 3.3, where there is no residual connection; Definition J.2 then"
        " defines it anew.",
    ),
    Statement(
        id="J.2",
        kind="definition",
        title="Residual connection over g_i",
        locus="Appendix J.1, Definition J.2",
        parts=(
            Part(
                kind="definition",
                claim="T_i = Z_i + g_i(Z_i)",
                clashes_with="3.3",
                fault="misprint",
                consequence="The definition asks for T_i as in Definition 3.3 and gives T_i another value. Taken to"
                " the letter, J.1 adds a T_{i−1} without the residual connections of earlier layers; J.4 and J.5 take"
                " the T_i of J.2.",
                forms=(
                    form(
                        formulas.residual_g,
                        EquationTrial(T_with_residuals, "T_i", names=LAYER, scales=SCALES, hypothesis=ANY_PHI),
                        {
                            **wrong_sign_or_factor(formulas.residual_g),
                            "g_i(Z_i) alone": g_alone,
                            "T_i twice": around_both,
                        },
                        reading="T_i defined anew",
                    ),
                    form(
                        formulas.residual_g,
                        EquationTrial(
                            T_without_residuals, "T_i of 3.3", names=LAYER, scales=SCALES, hypothesis=ANY_PHI
                        ),
                        {**wrong_sign_or_factor(formulas.residual_g), "T_i twice": around_both},
                        reading="T_i defined as in 3.3, as the conditions say",
                    ),
                    form(
                        formulas.residual_layer,
                        EquationTrial(T_with_residuals, "T_i", names=LAYER, scales=SCALES, hypothesis=ANY_PHI),
                        {**wrong_sign_or_factor(formulas.residual_layer), "3.3": T_by_3_3},
                        role="repaired",
                        reading="3.3 with Id + g_i for g_i and Id + Attn_i for Attn_i",
                    ),
                ),
            ),
        ),
        uses=("1.3", "3.3", "J.1"),
    ),
    Statement(
        id="J.3",
        kind="lemma",
        title="Gradient through one residual connection",
        locus="Appendix J.2, Lemma J.3 and its proof",
        parts=(
            Part(
                kind="identity",
                name="product",
                claim="dL/dX_R = (dL/dY_R)(I + dH(X_R)/dX_R)",
                forms=(
                    form(
                        formulas.residual_gradient_product,
                        RESIDUAL,
                        {
                            **wrong_sign_or_factor(formulas.residual_gradient_product),
                            **with_exchanged(formulas.residual_gradient_product, "dH_dX"),
                            "1 added to every entry": identity_of_entries,
                        },
                    ),
                ),
            ),
            Part(
                kind="identity",
                name="gradient",
                claim="dL/dX_R = dL/dY_R + (dL/dY_R)(dH(X_R)/dX_R)",
                forms=(
                    form(
                        formulas.residual_gradient,
                        RESIDUAL,
                        {
                            **wrong_sign_or_factor(formulas.residual_gradient),
                            "product alone": product_alone,
                            "dL/dY twice": gradient_doubled,
                        },
                    ),
                ),
            ),
            Part(
                kind="cost", name="addition", claim="adding the two terms takes n · d time", forms=(cost.J_3_ADDITION,)
            ),
            Part(
                kind="asymptotic", name="time", claim="dL/dX_R is computed in n^{1+o(1)} time", forms=(cost.J_3_TIME,)
            ),
            Part(
                kind="asymptotic",
                name="magnification",
                claim="the error grows by no more than the factor (n · d poly(n) + 1)",
                forms=(
                    replace(
                        derived(
                            form(
                                bounds.residual_magnification,
                                RESIDUAL_ERROR,
                                FALSE_RESIDUAL,
                                reading=f"‖dH/dX‖∞ ≤ poly(n): {WITH_BITS}",
                            ),
                            "J.3",
                            proofs.of_residual,
                            chains.Carried,
                        ),
                        implication="‖dH/dX‖∞, whose entries have O(log n) bits, is the poly(n) that is printed",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="error",
                claim="if dL/dY_R has 1/poly(n) error, the error of dL/dX_R is still 1/poly(n)",
                fault="gap",
                consequence="That of the last step: the polynomial of dL/dY_R must be chosen after that of dH/dX.",
                forms=(
                    theorems.vanishes(theorems.GIVEN, "polynomials given, that of the error of dL/dY_R too"),
                    replace(
                        derived(
                            form(
                                bounds.residual_magnification,
                                RESIDUAL_ERROR,
                                FALSE_RESIDUAL,
                                reading=f"{CHOSEN}; {WITH_BITS}; {POLY_D}",
                            ),
                            "J.3",
                            proofs.of_residual,
                            chains.Carried,
                        ),
                        implication="with ‖dH/dX‖∞ ≤ n^a and d ≤ n^l an error of n^{−(a+l+2+k)} becomes at most"
                        " n^{−k}",
                    ),
                ),
            ),
        ),
        assumes=(
            "Y_R = X_R + H(X_R), H: R^{n×d} → R^{n×d} some layer",
            "given dL/dY_R, (dL/dY_R)(dH(X_R)/dX_R) is computed in n^{1+o(1)} time",
        ),
        uses=("3.1", "J.3/last step"),
    ),
    Statement(
        id="J.3/last step",
        kind="lemma",
        title="The magnified error",
        locus="Appendix J.2, proof of Lemma J.3, last sentence",
        parts=(
            Part(
                kind="asymptotic",
                claim="(n · d poly(n) + 1)(1/poly(n)) = poly(n), so that the error is bounded by 1/poly(n)",
                fault="misprint",
                consequence="From poly(n) the conclusion does not follow; from 1/poly(n), which must be meant, it"
                " does, if the second polynomial may be chosen after the first. J.4, J.5 and K.2 do the same.",
                forms=(
                    theorems.vanishes(theorems.GIVEN, "for any two polynomials"),
                    replace(
                        form(
                            bounds.chosen_after,
                            PRODUCT,
                            {"1": chains.one_only, "3/2": chains.three_halves},
                            role="repaired",
                            reading="= 1/poly(n), the second polynomial chosen after the first",
                        ),
                        implication="for d ≤ n, an error of n^{−(a+2+k)} becomes at most 2 n^{−k}, for any k",
                    ),
                ),
            ),
        ),
        note="The sentence concludes that the error is bounded by 1/poly(n), which a bound of poly(n) does not give."
        " The product is 1/poly(n) only if the second polynomial may be chosen after the first: with n · d · n^a + 1"
        " and 1/n^b it is about d · n^{1+a−b}, so b must exceed 1 + a by the exponent that is wanted. An error of"
        " dL/dY_R that is merely some 1/poly(n), say 1/n, may become more than 1.",
    ),
    Statement(
        id="J.4",
        kind="lemma",
        title="Gradient of one layer with residual connections",
        locus="Appendix J.3, Lemma J.4",
        parts=(
            Part(
                kind="asymptotic",
                name="Part 1",
                claim="dL/dX is approximated in n^{1+o(1)} time",
                fault="gap",
                consequence="No bound on the entries (C.13).",
                forms=(
                    theorems.written(gaps.PARABOLA_WRITTEN, NO_BOUND),
                    gaps.few(f"{PER_LAYER}. The residual connections add O(n d)"),
                ),
            ),
            Part(
                kind="asymptotic",
                name="Part 2",
                claim="‖g_{r1} − dL/dX‖∞ ≤ 1/poly(n)",
                fault="gap",
                consequence=KINKS,
                forms=(
                    theorems.vanishes(
                        theorems.KINK_AROUND, f"{theorems.ANY_RELU}, residual connections as in J.1 and J.2"
                    ),
                    theorems.exact_forwards(
                        theorems.INPUT_AS_PRINTED,
                        "g_t as printed, to which the residual connections of J.1 and J.2 add what is exact",
                    ),
                    theorems.theorem(theorems.ONE_LAYER, theorems.ONE),
                    theorems.given_and_repaired("g_t as repaired in E.11"),
                ),
            ),
        ),
        assumes=("one layer", "residual connections as in J.1 and J.2"),
        uses=("1.3", "3.1", "3.3", "E.11", "H.2", "J.1", "J.2", "J.3", "J.4/step 1", "J.4/step 4"),
        note="Nothing is printed of the form of g_i, of bits or of d.",
    ),
    Statement(
        id="J.4/step 1",
        kind="lemma",
        title="The gradient at the output of the model",
        locus="Appendix J.3, proof of Lemma J.4, Step 1",
        parts=(
            Part(
                kind="cost",
                claim="dL/dT_1 is computed in n · d time, by Definition 3.1",
                fault="gap",
                consequence=cost.START_FAULT,
                forms=cost.start(),
            ),
        ),
        uses=("3.1",),
        note="Algorithm 1 and the proof of Lemma K.2 (Step 1) print the same of dL/dT_m and dL/dY_m.",
    ),
    Statement(
        id="J.4/step 4",
        kind="lemma",
        title="The gradient with respect to X",
        locus="Appendix J.3, proof of Lemma J.4, Step 4",
        parts=(
            Part(
                kind="asymptotic",
                name="time",
                claim="dL/dX is computed in n^{1+o(1)} time, by H.2",
                forms=(cost.H_2_TIME,),
            ),
            Part(
                kind="asymptotic",
                name="error",
                claim="its error is (n · d)(1/poly(n)) = (1/poly(n))",
                forms=(
                    replace(
                        form(bounds.chain_bits, CHAIN_BITS, FALSE_BITS, reading=f"{WITH_BITS}; {POLY_D}"),
                        implication=CHAIN_TO_POLY,
                    ),
                ),
            ),
        ),
        uses=("H.2",),
    ),
    Statement(
        id="J.5",
        kind="lemma",
        title="Gradient of m layers with residual connections",
        locus="Appendix J.3, Lemma J.5",
        parts=(
            Part(
                kind="asymptotic",
                name="Part 1",
                claim="dL/dX is approximated in n^{1+o(1)} time",
                fault="gap",
                consequence="No bound on the entries (C.13).",
                forms=(
                    theorems.written(gaps.PARABOLA_WRITTEN, f"{NO_BOUND}, m = 1"),
                    gaps.few(PER_LAYER, reading=f"{theorems.BOUNDED_LAYERS}; d = O(log n); m fixed"),
                ),
            ),
            Part(
                kind="asymptotic",
                name="Part 2",
                claim="‖g_r − dL/dX‖∞ ≤ 1/poly(n)",
                fault="gap",
                consequence=f"{KINKS} Nothing is printed of how m depends on n; the induction is that of H.4/step 4.",
                forms=(
                    theorems.vanishes(theorems.KINK_AROUND, f"{theorems.ANY_RELU}, residual connections, m = 1"),
                    theorems.theorem(theorems.MANY_LAYERS, theorems.FIXED),
                ),
            ),
        ),
        assumes=("m layers", "residual connections as in J.1 and J.2"),
        uses=("1.3", "3.1", "3.3", "J.1", "J.2", "J.4", "J.5/step 3"),
        note="By induction on the layers, one being added in front; nothing is printed of how m depends on n.",
    ),
    Statement(
        id="J.5/step 3",
        kind="lemma",
        title="Induction step with residual connections",
        locus="Appendix J.3, proof of Lemma J.5, Step 3",
        parts=(
            Part(
                kind="asymptotic",
                claim="if dL/dT_1 takes n^{1+o(1)} time with 1/poly(n) error, so does dL/dX of F_{k+1}(X) = F_k(T_1)",
                fault="gap",
                consequence="J.4, which is invoked, has an exact dL/dT_1; its own gaps are here too.",
                forms=(
                    theorems.vanishes(theorems.KINK_AROUND, f"{theorems.ANY_RELU}, residual connections, k = 0"),
                    theorems.theorem(theorems.MANY_LAYERS, theorems.FIXED),
                ),
            ),
        ),
        uses=("J.1", "J.2", "J.4"),
        note="The argument of Lemma J.4 is invoked, there with an exact dL/dT_1.",
    ),
    Statement(
        id="K.2",
        kind="lemma",
        title="Gradient of multi-head attention",
        locus="Appendix K, Lemma K.2 and its proof",
        parts=(
            Part(
                kind="identity",
                name="gradient, 1st step",
                claim="dL/dX_m = (dL/dY_m)(dY_m/ds)(ds/dX_m)",
                forms=(
                    form(
                        formulas.gradient_of_concatenation,
                        HEADS,
                        {
                            **wrong_sign_or_factor(formulas.gradient_of_concatenation),
                            **with_exchanged(formulas.gradient_of_concatenation, "ds_dX"),
                            "without dY/ds": chains.without_output_weights,
                        },
                        reading="Y_m = s W_g",
                    ),
                ),
            ),
            Part(
                kind="identity",
                name="gradient, 2nd step",
                claim="dL/dX_m = Σ_{l=1}^{h} (dL/dY_m)(dY_m/ds)(ds_l/dX_m)",
                forms=(
                    form(
                        formulas.gradient_of_heads,
                        HEADS,
                        {
                            **wrong_sign_or_factor(formulas.gradient_of_heads),
                            "the first head alone": chains.first_head_alone,
                            "heads in the other order": chains.heads_reversed,
                        },
                        reading="Y_m = s W_g",
                    ),
                ),
            ),
            Part(kind="asymptotic", name="time", claim="dL/dX_m is computed in n^{1+o(1)} time", forms=(cost.K_2,)),
            Part(
                kind="asymptotic",
                name="magnification",
                claim="each head magnifies the error by no more than n² · d · d_h · poly(n); over h heads h · n² · d ·"
                " d_h · poly(n) · (1/poly(n)) = 1/poly(n)",
                forms=(
                    replace(
                        derived(
                            form(
                                bounds.multi_head_magnification,
                                HEADS_ERROR,
                                FALSE_HEADS,
                                reading=f"{CHOSEN}; {WITH_BITS}; {POLY_D}",
                            ),
                            "K.2",
                            proofs.of_all_heads,
                            chains.Carried,
                        ),
                        implication="‖dY/ds‖∞ ≤ ω and ‖ds_l/dX‖∞ ≤ Λ (own/theorem) are at most n^c, which is the"
                        " poly(n) that is printed; with d ≤ n^l an error of n^{−(k+2c+4+2l)} of dL/dY becomes at most"
                        " n^{−k}",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="error",
                claim="if dL/dY_m has 1/poly(n) error, the error of dL/dX_m is still 1/poly(n)",
                fault="gap",
                consequence="The errors of the factors of f_l (E.11), 1/poly(n) each, are left out of the sum, and the"
                " polynomial of dL/dY_m must be chosen after the others.",
                forms=(
                    theorems.vanishes(theorems.GIVEN, "polynomials given, that of the error of dL/dY_m too; h = 1"),
                    replace(
                        derived(
                            form(
                                bounds.multi_head_magnification,
                                HEADS_ERROR,
                                FALSE_HEADS,
                                reading=f"{CHOSEN}; f_l exact; {WITH_BITS}; {POLY_D}",
                            ),
                            "K.2",
                            proofs.of_all_heads,
                            chains.Carried,
                        ),
                        implication="as for the magnification",
                    ),
                ),
            ),
        ),
        uses=("3.1", "C.3", "E.11", "H.2", "K.1"),
        note="That h is a constant is said in the proof. Definition K.1 divides the scores of a head by d_h.",
    ),
)
