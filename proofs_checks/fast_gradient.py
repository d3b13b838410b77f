"""What the paper says of the fast gradients of one layer: time and error for T, W and W_V, also under the mask.

The error lemmas of E, F.5 and G.4 hold for any factors U1, V1: they are tried on f plus arbitrary matrices, not only
on what a polynomial gives. Algorithm 1 is tried on exact factors as well, where it must give the gradient itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import Parameter, Signature, signature
from typing import Any, Literal, Self

import numpy as np
from flint import arb
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from proofs_checks import bound_proofs as proofs
from proofs_checks import cost, gaps, theorems
from proofs_checks import input_gradient as terms
from proofs_checks.equation import (
    DIGITS,
    PAPER_READING,
    REPAIRED_READING,
    UNIT_READING,
    EquationTrial,
    derivative_forms,
    form,
    reproduction,
)
from proofs_checks.falsify import Altered, doubled, transposed, with_transposed, wrong_sign_or_factor
from proofs_checks.ground_truth import BITS, balls, frozen
from proofs_checks.inequality import BoundTrial, exceeds
from proofs_checks.instances import Instance, Scale, layers, odd_scale, paper_scale, shapes, unit_scale
from proofs_checks.products import pairs, product
from proofs_checks.record import Claim, Form, Part, Statement
from proofs_checks.softmax_attention import POLY_D, WITH_BITS, largest
from proofs_checks.symbols import Symbols, table, total
from proofs_checks.transformer import G_form
from proofs_checks.trial import Counterexample, Extreme
from reference import error_bounds as bounds
from reference import fast_gradient as fast
from reference import input_gradient as formulas
from reference import low_rank, transformer
from reference import softmax_attention as attn
from reference.softmax_attention import Array

# --- factors of f, and what is made of them


class AnyFactors(Symbols):
    """f̃ = U1 V1ᵀ with any factors: f plus t (x yᵀ + Y (X W_out)ᵀ), for t = 1, a small t and t = 0."""

    @property
    def t(self) -> arb:
        """Which of the three: an entry of W_g, which nothing else here depends on, says it."""
        return (arb(1), arb(2) ** -20, arb(0))[int(abs(self.instance.operands["W_g"][0, 0])) % 3]

    @property
    def U1(self) -> Array:
        return beside(self.f, self.t * self.x, self.t * self.Y)

    @property
    def V1(self) -> Array:
        return beside(self.identity, self.y, product(self.X, self.W_out))

    @property
    def U3(self) -> Array:
        """p̃1 = U3 V3ᵀ, off by as much as f̃."""
        return beside(self.p1, self.t * self.x, self.t * self.Y)

    @property
    def V3(self) -> Array:
        return self.V1

    @property
    def U4(self) -> Array:
        """p̃2 = U4 V4ᵀ, off by other amounts."""
        return beside(self.p2, self.t * self.z, -self.t * self.Y)

    @property
    def V4(self) -> Array:
        return self.V1

    @property
    def identity(self) -> Array:
        return balls(np.eye(self.n))

    @property
    def p1(self) -> Array:
        return table(lambda i, j: self.f[i, j] * self.q[i, j], self.n, self.n)

    @property
    def p2(self) -> Array:
        return table(lambda i, j: self.f[i, j] * self.K[i], self.n, self.n)

    @cached_property
    def f_tilde(self) -> Array:
        return product(self.U1, self.V1.T)

    @cached_property
    def epsilon(self) -> arb:
        """‖f̃ − f‖∞."""
        return largest(self.f_tilde - self.f)

    @cached_property
    def K_tilde(self) -> Array:
        """K of the approximate output f̃ h."""
        return table(lambda i: total(self.f_tilde[i, j] * self.q[i, j] for j in range(self.n)), self.n)

    @property
    def bits(self) -> int:
        """The least b ≥ 0 such that no entry of X, W, W_V or G exceeds 2^b."""
        most = max(float(np.abs(self.instance.operands[name]).max()) for name in ("X", "W", "W_V", "G"))
        return next(b for b in range(1100) if most <= 2**b)

    # --- the factors of section E, and what they are factors of

    @property
    def U6(self) -> Array:
        return self.U1

    @property
    def V6(self) -> Array:
        return self.K[:, None] * self.V1

    @property
    def U7(self) -> Array:
        return pairs(self.U1, self.h)

    @property
    def V7(self) -> Array:
        return pairs(self.V1, self.G)

    @property
    def U9(self) -> Array:
        return self.K[:, None] * self.U1

    @property
    def V9(self) -> Array:
        return self.V1

    @property
    def U10(self) -> Array:
        return pairs(self.U1, self.G)

    @property
    def V10(self) -> Array:
        return pairs(self.V1, self.h)

    @property
    def z6(self) -> Array:
        return z6(self, self.f, self.K)

    @property
    def z7(self) -> Array:
        return z7(self, self.f)

    @property
    def z2(self) -> Array:
        return z2(self, self.f, self.K)

    @property
    def z4(self) -> Array:
        return z4(self, self.f)

    @cached_property
    def D(self) -> Array:
        """D2, D4, D6, D7, D8 in the closed forms of D.17."""
        return self.five_terms(self.f, self.K)

    @cached_property
    def D_tilde(self) -> Array:
        """The same with f̃ for f, also in K."""
        return self.five_terms(self.f_tilde, self.K_tilde)

    def five_terms(self, f: Array, K: Array) -> Array:
        XW, XWT = product(self.X, self.W), product(self.X, self.W.T)
        return np.stack(
            [
                -product(z2(self, f, K), XW),
                product(z4(self, f), XW),
                -product(z6(self, f, K), XWT),
                product(z7(self, f), XWT),
                product(f, product(self.G, self.W_V.T)),
            ]
        )


class Mended(AnyFactors):
    """The five terms as they are after the repair of E.11."""

    def five_terms(self, f: Array, K: Array) -> Array:
        XW, XWT, n = product(self.X, self.W), product(self.X, self.W.T), self.n
        q = self.q
        p_minus = table(lambda i, j: -f[i, j] * K[i], n, n)
        p_plus = table(lambda i, j: f[i, j] * q[i, j], n, n)
        scaled = [
            self.scale * product(weights, rows)
            for weights, rows in ((p_minus, XWT), (p_plus, XWT), (p_minus.T, XW), (p_plus.T, XW))
        ]
        return np.stack([*scaled, product(f.T, product(self.G, self.W_V.T))])


class Exact(AnyFactors):
    """f, p1 and p2 themselves as factors: U1 = f and V1 = I, and so on."""

    @property
    def U1(self) -> Array:
        return self.f

    @property
    def V1(self) -> Array:
        return self.identity

    @property
    def U3(self) -> Array:
        return self.p1

    @property
    def U4(self) -> Array:
        return self.p2


class ExactOfP(Exact):
    """The same with p = p1 − p2 for p1: what Lemma 5.2 approximates."""

    @property
    def U3(self) -> Array:
        return self.p


def beside(*blocks: Array) -> Array:
    """Blocks of columns, a vector being one column."""
    return frozen(np.hstack([block if block.ndim == 2 else block[:, None] for block in blocks]))


def z6(symbols: Symbols, f: Array, K: Array) -> Array:
    """f_ij K_j."""
    return table(lambda i, j: f[i, j] * K[j], symbols.n, symbols.n)


def z7(symbols: Symbols, f: Array) -> Array:
    """f_ij Σ_c h_ic G_jc."""
    return table(lambda i, j: f[i, j] * symbols.q[j, i], symbols.n, symbols.n)


def z2(symbols: Symbols, f: Array, K: Array) -> Array:
    """K_i f_ij."""
    return table(lambda i, j: K[i] * f[i, j], symbols.n, symbols.n)


def z4(symbols: Symbols, f: Array) -> Array:
    """f_ij Σ_c G_ic h_jc."""
    return table(lambda i, j: f[i, j] * symbols.q[i, j], symbols.n, symbols.n)


# --- trials on factors


@dataclass(frozen=True)
class FactorEquation(EquationTrial):
    """As `EquationTrial`, on factors."""

    of: type[AnyFactors] = AnyFactors

    def symbols(self, instance: Instance) -> Symbols:
        return self.of(instance, self.convention)


@dataclass(frozen=True)
class FactorBound(BoundTrial):
    """As `BoundTrial`, on factors."""

    of: type[AnyFactors] = AnyFactors
    max_n: int = 5
    max_d: int = 5

    @property
    def scope(self) -> str:
        return f"n ≤ {self.max_n}, d ≤ {self.max_d}, balls, any factors"

    @property
    def instances(self) -> SearchStrategy[Instance]:
        alike = st.builds(
            constant_layer,
            n=st.integers(1, self.max_n),
            d=st.integers(1, self.max_d),
            power=st.integers(0, 2),
            near=st.integers(0, 2),
            scale=st.sampled_from(self.scales),
        )
        return alike | layers(*self.scales, masks=self.masks, max_n=self.max_n, max_d=self.max_d, single=False)

    def symbols(self, instance: Instance) -> Symbols:
        return self.of(instance)

    def extreme(self, instance: Instance, ratio: float) -> Extreme:
        return super(FactorBound, self.showing(instance)).extreme(instance, ratio)

    def confirm(self, claim: Claim, instance: Instance, search: str) -> Counterexample | None:
        return super(FactorBound, self.showing(instance)).confirm(claim, instance, search)

    def showing(self, instance: Instance) -> Self:
        """The trial with all operands named that are not zero, so that the instance can be made again."""
        return replace(self, names=tuple(k for k in DRAWN if k in self.names or instance.operands[k].any()))


DRAWN = ("X", "W", "W_V", "G", "x", "y", "z", "Y", "W_out", "W_g")


def constant_layer(n: int, d: int, power: int, near: int, scale: Scale) -> Instance:
    """All entries of all operands 2^power: nothing cancels, and most norms are attained by every entry."""
    alike = {name: np.full(shape, 2.0**power) for name, shape in shapes(n, d).items()}
    return Instance({**alike, "W_g": np.full((d, d), float(near))}, scale(d))


@dataclass(frozen=True)
class NormEquation(FactorBound):
    """`measured` = formula, both norms: as inequalities both ways, since a maximum over balls may have missed some."""

    def ratio(self, claim: Claim, instance: Instance) -> float:
        ((_, measured, stated),) = self.sides(claim, instance)
        return float("inf") if exceeds(measured, stated) or exceeds(stated, measured) else 1.0

    def confirm(self, claim: Claim, instance: Instance, search: str) -> Counterexample | None:
        ((_, measured, stated),) = self.sides(claim, instance)
        if not (exceeds(measured, stated) or exceeds(stated, measured)):
            return None
        return Counterexample(
            operands=instance.listed(self.showing(instance).names),
            where=self.quantity,
            claimed=stated.str(DIGITS),
            true=measured.str(DIGITS),
            arithmetic=f"balls of {BITS} bits: the enclosures are disjoint",
            search=search,
            python=reproduction(claim, self.measured, instance, self.showing(instance).names, kind=self.of),
        )


# --- true sides


def dL_dX(symbols: Symbols) -> Array:
    """The gradient of ⟨G, s⟩ on X."""
    return symbols.dL_dX


def dL_dW(symbols: Symbols) -> Array:
    """The gradient of ⟨G, s⟩ on W."""
    return symbols.dL_dW


def dL_dW_V(symbols: Symbols) -> Array:
    """The gradient of ⟨G, s⟩ on W_V."""
    return symbols.dL_dW_V


def dL_dX_of_factors(symbols: Symbols) -> Array:
    """The gradient of E.11, repaired, as it depends on f, at f̃."""
    tilde, K, q, n = symbols.f_tilde, symbols.K_tilde, symbols.q, symbols.n
    p = table(lambda i, j: tilde[i, j] * (q[i, j] - K[i]), n, n)
    XW, XWT = product(symbols.X, symbols.W), product(symbols.X, symbols.W.T)
    values = product(tilde.T, product(symbols.G, symbols.W_V.T))
    return table(
        lambda i, c: symbols.scale * total(p[i, j] * XWT[j, c] + p[j, i] * XW[j, c] for j in range(n)) + values[i, c],
        n,
        symbols.d,
    )


def dL_dW_V_of_factors(symbols: Symbols) -> Array:
    """Σ_ij X_ja f̃_ij G_ic."""
    n, d, X, G = symbols.n, symbols.d, symbols.X, symbols.G
    places = tuple(np.ndindex(n, n))
    return table(lambda a, c: total(X[j, a] * symbols.f_tilde[i, j] * G[i, c] for i, j in places), d, d)


def D6_of_factors(symbols: Symbols) -> Array:
    """−f̃ diag(K) X Wᵀ."""
    return -product(z6_of_factors(symbols), product(symbols.X, symbols.W.T))


def D7_of_factors(symbols: Symbols) -> Array:
    """(f̃ ⊙ (h Gᵀ)) X Wᵀ."""
    return product(z7_of_factors(symbols), product(symbols.X, symbols.W.T))


def D8_of_factors(symbols: Symbols) -> Array:
    """f̃ G W_Vᵀ."""
    return product(symbols.f_tilde, product(symbols.G, symbols.W_V.T))


def D2_of_factors(symbols: Symbols) -> Array:
    """−diag(K) f̃ X W."""
    return -product(z2_of_factors(symbols), product(symbols.X, symbols.W))


def D4_of_factors(symbols: Symbols) -> Array:
    """(f̃ ⊙ (G hᵀ)) X W."""
    return product(z4_of_factors(symbols), product(symbols.X, symbols.W))


def z6_of_factors(symbols: Symbols) -> Array:
    """f̃_ij K_j."""
    return z6(symbols, symbols.f_tilde, symbols.K)


def z7_of_factors(symbols: Symbols) -> Array:
    """f̃_ij Σ_c h_ic G_jc."""
    return z7(symbols, symbols.f_tilde)


def z2_of_factors(symbols: Symbols) -> Array:
    """K_i f̃_ij."""
    return z2(symbols, symbols.f_tilde, symbols.K)


def z4_of_factors(symbols: Symbols) -> Array:
    """f̃_ij Σ_c G_ic h_jc."""
    return z4(symbols, symbols.f_tilde)


# --- true sides of inequalities


def largest_K(symbols: Symbols) -> arb:
    """‖diag(K)‖∞."""
    return largest(symbols.K)


def error_z6(symbols: Symbols) -> arb:
    """‖f̃ diag(K) − z6‖∞."""
    return largest(z6_of_factors(symbols) - symbols.z6)


def error_z6_with_K(symbols: Symbols) -> arb:
    """‖f̃ diag(K̃) − z6‖∞, K̃ made from f̃."""
    return largest(z6(symbols, symbols.f_tilde, symbols.K_tilde) - symbols.z6)


def error_z7(symbols: Symbols) -> arb:
    """‖f̃ ⊙ (h Gᵀ) − z7‖∞."""
    return largest(z7_of_factors(symbols) - symbols.z7)


def error_z2(symbols: Symbols) -> arb:
    """‖diag(K) f̃ − z2‖∞."""
    return largest(z2_of_factors(symbols) - symbols.z2)


def error_z2_with_K(symbols: Symbols) -> arb:
    """‖diag(K̃) f̃ − z2‖∞, K̃ made from f̃."""
    return largest(z2(symbols, symbols.f_tilde, symbols.K_tilde) - symbols.z2)


def error_z6_and_z2(symbols: Symbols) -> arb:
    """The larger of ‖f̃ diag(K) − z6‖∞ and ‖diag(K) f̃ − z2‖∞."""
    return largest(np.stack([z6_of_factors(symbols) - symbols.z6, z2_of_factors(symbols) - symbols.z2]))


def error_z4(symbols: Symbols) -> arb:
    """‖f̃ ⊙ (G hᵀ) − z4‖∞."""
    return largest(z4_of_factors(symbols) - symbols.z4)


def error_D6(symbols: Symbols) -> arb:
    """‖(z̃6 − z6) X Wᵀ‖∞."""
    return largest(product(z6_of_factors(symbols) - symbols.z6, product(symbols.X, symbols.W.T)))


def error_D6_with_K(symbols: Symbols) -> arb:
    """The same with f̃ diag(K̃) for z̃6, K̃ made from f̃."""
    off = z6(symbols, symbols.f_tilde, symbols.K_tilde) - symbols.z6
    return largest(product(off, product(symbols.X, symbols.W.T)))


def error_D7(symbols: Symbols) -> arb:
    """‖(z̃7 − z7) X Wᵀ‖∞."""
    return largest(product(z7_of_factors(symbols) - symbols.z7, product(symbols.X, symbols.W.T)))


def error_D8(symbols: Symbols) -> arb:
    """‖(f̃ − f) G W_Vᵀ‖∞."""
    return largest(product(symbols.f_tilde - symbols.f, product(symbols.G, symbols.W_V.T)))


def error_D2(symbols: Symbols) -> arb:
    """‖(z̃2 − z2) X W‖∞."""
    return largest(product(z2_of_factors(symbols) - symbols.z2, product(symbols.X, symbols.W)))


def error_D2_with_K(symbols: Symbols) -> arb:
    """The same with diag(K̃) f̃ for z̃2, K̃ made from f̃."""
    off = z2(symbols, symbols.f_tilde, symbols.K_tilde) - symbols.z2
    return largest(product(off, product(symbols.X, symbols.W)))


def error_D4(symbols: Symbols) -> arb:
    """‖(z̃4 − z4) X W‖∞."""
    return largest(product(z4_of_factors(symbols) - symbols.z4, product(symbols.X, symbols.W)))


def error_of_sum(symbols: Symbols) -> arb:
    """‖Σ_k (D̃_k − D_k)‖∞."""
    return largest(sum(symbols.D_tilde - symbols.D))


def error_g_t(symbols: Symbols) -> arb:
    """‖Σ_k D̃_k − dL/dX‖∞."""
    return largest(sum(symbols.D_tilde) - symbols.dL_dX)


def error_p(symbols: Symbols) -> arb:
    """‖Xᵀ (p̃1 − p̃2) X − Xᵀ (p1 − p2) X‖∞."""
    p_tilde = product(symbols.U3, symbols.V3.T) - product(symbols.U4, symbols.V4.T)
    return largest(product(symbols.X.T, product(p_tilde - symbols.p1 + symbols.p2, symbols.X)))


def g_w_of_p(symbols: Symbols) -> Array:
    """Xᵀ (p̃1 − p̃2) X."""
    p_tilde = product(symbols.U3, symbols.V3.T) - product(symbols.U4, symbols.V4.T)
    return product(symbols.X.T, product(p_tilde, symbols.X))


def error_g_w_of_p(symbols: Symbols) -> arb:
    """‖Xᵀ (p̃1 − p̃2) X − dL/dW‖∞."""
    return largest(g_w_of_p(symbols) - symbols.dL_dW)


def error_g_w_of_p_scaled(symbols: Symbols) -> arb:
    """‖τ Xᵀ (p̃1 − p̃2) X − dL/dW‖∞."""
    return largest(symbols.scale * g_w_of_p(symbols) - symbols.dL_dW)


def error_g_w(symbols: Symbols) -> arb:
    """‖Xᵀ p̃ X − dL/dW‖∞, p̃ = f̃ ⊙ q − diag(K̃) f̃."""
    tilde, K, q, n = symbols.f_tilde, symbols.K_tilde, symbols.q, symbols.n
    p = table(lambda i, j: tilde[i, j] * (q[i, j] - K[i]), n, n)
    return largest(product(symbols.X.T, product(p, symbols.X)) - symbols.dL_dW)


def error_g_w_scaled(symbols: Symbols) -> arb:
    """‖τ Xᵀ p̃ X − dL/dW‖∞, p̃ = f̃ ⊙ q − diag(K̃) f̃."""
    tilde, K, q, n = symbols.f_tilde, symbols.K_tilde, symbols.q, symbols.n
    p = table(lambda i, j: tilde[i, j] * (q[i, j] - K[i]), n, n)
    return largest(symbols.scale * product(symbols.X.T, product(p, symbols.X)) - symbols.dL_dW)


def error_Xf(symbols: Symbols) -> arb:
    """‖Xᵀ f̃ G − Xᵀ f G‖∞."""
    return largest(product(symbols.X.T, product(symbols.f_tilde - symbols.f, symbols.G)))


def error_fX(symbols: Symbols) -> arb:
    """‖Xᵀ (f̃ − f)ᵀ G‖∞."""
    return largest(product(symbols.X.T, product((symbols.f_tilde - symbols.f).T, symbols.G)))


def error_g_v_printed(symbols: Symbols) -> arb:
    """‖Xᵀ f̃ G − dL/dW_V‖∞."""
    return largest(product(symbols.X.T, product(symbols.f_tilde, symbols.G)) - symbols.dL_dW_V)


def error_g_v(symbols: Symbols) -> arb:
    """‖Xᵀ f̃ᵀ G − dL/dW_V‖∞."""
    return largest(dL_dW_V_of_factors(symbols) - symbols.dL_dW_V)


# --- false variants


@dataclass(frozen=True)
class Over:
    """False: a bound divided by n or d, as if it had a factor less."""

    bound: Claim
    size: Literal["n", "d"]

    @property
    def __signature__(self) -> Signature:
        own = signature(self.bound)
        names = dict.fromkeys([*own.parameters, self.size])
        return Signature([Parameter(name, Parameter.KEYWORD_ONLY) for name in names])

    def __call__(self, **operands: Any) -> Any:
        taken = signature(self.bound).parameters
        return self.bound(**{k: v for k, v in operands.items() if k in taken}) / operands[self.size]


def X_transpose(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: p once more where pᵀ belongs."""
    f, p = _f_and_p(X, W, W_V, G, scale, causal)
    return scale * (p @ X @ W.T + p @ X @ W) + f.T @ G @ W_V.T


def X_values(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: f where fᵀ belongs."""
    f, p = _f_and_p(X, W, W_V, G, scale, causal)
    return scale * (p @ X @ W.T + p.T @ X @ W) + f @ G @ W_V.T


def X_sign(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: the share of the keys subtracted."""
    f, p = _f_and_p(X, W, W_V, G, scale, causal)
    return scale * (p @ X @ W.T - p.T @ X @ W) + f.T @ G @ W_V.T


def X_factor(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: twice the share of the scores."""
    f, p = _f_and_p(X, W, W_V, G, scale, causal)
    return 2 * scale * (p @ X @ W.T + p.T @ X @ W) + f.T @ G @ W_V.T


def _f_and_p(X: Array, W: Array, W_V: Array, G: Array, scale: Any, causal: bool) -> tuple[Array, Array]:
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    return f, attn.p(f, attn.q(G, attn.h(X, W_V)))  # (n, n) both


def z6_by_rows(U1: Array, V1: Array, K: Array) -> Array:
    """False: diag(K) f̃ for f̃ diag(K)."""
    return low_rank.z2_product(U1, V1, K)


def z2_by_columns(U1: Array, V1: Array, K: Array) -> Array:
    """False: f̃ diag(K) for diag(K) f̃."""
    return low_rank.z6_product(U1, V1, K)


def z7_of_z4(U1: Array, V1: Array, h: Array, G: Array) -> Array:
    """False: G hᵀ for h Gᵀ."""
    return low_rank.z4_product(U1, V1, h, G)


def z4_of_z7(U1: Array, V1: Array, h: Array, G: Array) -> Array:
    """False: h Gᵀ for G hᵀ."""
    return low_rank.z7_product(U1, V1, h, G)


def g_t_without_repair_of_f(X: Array, W: Array, W_V: Array, G: Array, U1: Array, V1: Array, scale: Any) -> Array:
    """False: f̃ where f̃ᵀ belongs in D6, D7 and D8."""
    values = fast.D8_factored(W_V, G, U1, V1)
    return scale * (fast.g_t_printed(X, W.T, W_V, G, U1, V1) - values) + values


def g_w_of_p1(X: Array, U3: Array, V3: Array, scale: Any) -> Array:
    """False: p2 not taken off."""
    return scale * fast.g_w_printed(X, U3, V3)


def g_w_of_sum(X: Array, U3: Array, V3: Array, U4: Array, V4: Array, scale: Any) -> Array:
    """False: p2 added."""
    return scale * (fast.g_w_printed(X, U3, V3) + fast.g_w_printed(X, U4, V4))


def D6_with_rows(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    """False: diag(K) f̂ for f̂ diag(K)."""
    return fast.D2_causal(X, W.T, W_V, G)


def D2_with_columns(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    """False: f̂ diag(K) for diag(K) f̂."""
    return fast.D6_causal(X, W.T, W_V, G)


def D8_unmasked(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    """False: without the mask."""
    return attn.f(attn.u(X, W / len(W))) @ G @ W_V.T


def D7_with_rows(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    """False: G hᵀ for h Gᵀ."""
    return fast.D4_causal(X, W.T, W_V, G)


def D4_with_columns(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    """False: h Gᵀ for G hᵀ."""
    return fast.D7_causal(X, W.T, W_V, G)


def g_v_unmasked(X: Array, W: Array, G: Array) -> Array:
    """False: without the mask."""
    return X.T @ attn.f(attn.u(X, W / len(W))).T @ G


def g_w_with_sum(X: Array, W: Array, W_V: Array, G: Array) -> Array:
    """False: p1 + p2."""
    f, q = attn.f_causal(X, W), attn.q(G, attn.h(X, W_V))
    return X.T @ (attn.p1(f, q) + attn.p2(f, q)) @ X


def E_2_without_K(U1: Array, V1: Array, f: Array) -> Any:
    """False: without ‖diag(K)‖∞."""
    return len(f) * largest(U1 @ V1.T - f)


def K_without_product(U1: Array, V1: Array, f: Array, K: Array, h: Array, G: Array) -> Any:
    """False: the product of both errors left out."""
    epsilon = largest(U1 @ V1.T - f)
    return epsilon * largest(K) + h.size * epsilon * largest(h) * largest(G)


def E_4_without_h(U1: Array, V1: Array, f: Array, G: Array) -> Any:
    """False: without ‖h‖∞."""
    return G.shape[1] * largest(G) * largest(U1 @ V1.T - f)


def largest_of_five(D_tilde: Array, D: Array) -> Any:
    """False: the largest error for the sum of all."""
    return largest(D_tilde - D)


def without_values(D_tilde: Array, D: Array) -> Any:
    """False: D8 forgotten."""
    return bounds.E_11_bound(D_tilde[:4], D[:4])


def F_5_scaled_twice(U3: Array, V3: Array, U4: Array, V4: Array, p1: Array, p2: Array, X: Array, scale: Any) -> Any:
    """False: τ² for |τ|."""
    return abs(scale) * bounds.F_5_bound_scaled(U3, V3, U4, V4, p1, p2, X, scale)


def F_5_p1_alone(U3: Array, V3: Array, p1: Array, X: Array) -> Any:
    """False: the error of p2 forgotten."""
    return len(X) ** 2 * largest(X) ** 2 * largest(U3 @ V3.T - p1)


def G_4_with_d(U1: Array, V1: Array, f: Array, X: Array, G: Array) -> Any:
    """False: n d for n²."""
    return bounds.G_4_bound(U1, V1, f, X, G) * X.shape[1] / len(X)


def K_bits_without_d(d: int, bits: int) -> int:
    """False: d for d², h being taken for W_V."""
    return d * 8**bits


def K_bits_of_two(d: int, bits: int) -> int:
    """False: 4^b for a product of three numbers up to 2^b."""
    return d**2 * 4**bits


def z_bits_of_two(d: int, bits: int, epsilon: Any) -> Any:
    """False: 4^b for a product of three numbers up to 2^b."""
    return d**2 * 4**bits * epsilon


def z_bits_K_without_n(d: int, bits: int, epsilon: Any) -> Any:
    """False: an error of K as of one product, not of n."""
    return bounds.z_bits_with_K(1, d, bits, epsilon)


def D_bits_K_without_n(n: int, d: int, bits: int, epsilon: Any) -> Any:
    """False: an error of K as of one product, not of n."""
    return n * bounds.D_bits_with_K(1, d, bits, epsilon)


def D_bits_of_four(n: int, d: int, bits: int, epsilon: Any) -> Any:
    """False: 16^b for a product of five numbers up to 2^b."""
    return n * d**3 * 16**bits * epsilon


def D8_bits_of_one(n: int, d: int, bits: int, epsilon: Any) -> Any:
    """False: 2^b for a product of two numbers up to 2^b."""
    return n * d * 2**bits * epsilon


def g_t_bits_K_exact(n: int, d: int, bits: int, epsilon: Any) -> Any:
    """False: as if K were exact."""
    return bounds.D8_bits(n, d, bits, epsilon) + 4 * bounds.D_bits(n, d, bits, epsilon)


def g_t_bits_one_term(n: int, d: int, bits: int, epsilon: Any) -> Any:
    """False: D4 and D2 forgotten."""
    return (bounds.g_t_bits(n, d, bits, epsilon) + bounds.D8_bits(n, d, bits, epsilon)) / 2


def g_w_bits_K_exact(n: int, d: int, bits: int, epsilon: Any) -> Any:
    """False: as if K were exact."""
    return 2 * n**2 * d**2 * 32**bits * epsilon


def g_v_bits_of_one(n: int, bits: int, epsilon: Any) -> Any:
    """False: 2^b for a product of two numbers up to 2^b."""
    return n**2 * 2**bits * epsilon


def halved(value: Any) -> Any:
    return value / 2


def mean_of_K(U1: Array, V1: Array, f: Array, K: Array) -> Any:
    """False: the mean of |K| for its largest entry."""
    return largest(U1 @ V1.T - f) * abs(K).sum() / len(K)


def without_K(U1: Array, V1: Array, f: Array) -> Any:
    """False: without ‖K‖∞."""
    return largest(U1 @ V1.T - f)


def D8_one_row(U1: Array, V1: Array, f: Array, G: Array, W_V: Array) -> Any:
    """False: the largest entry of G W_Vᵀ for the largest sum of a column."""
    return largest(U1 @ V1.T - f) * largest(G @ W_V.T)


def D8_signed(U1: Array, V1: Array, f: Array, G: Array, W_V: Array) -> Any:
    """False: column sums without absolute values."""
    return largest(U1 @ V1.T - f) * largest((G @ W_V.T).sum(axis=0))


def g_w_one_sum(U3: Array, V3: Array, U4: Array, V4: Array, p1: Array, p2: Array, X: Array) -> Any:
    """False: the largest sum of a column once, not squared."""
    return largest(U3 @ V3.T - U4 @ V4.T - (p1 - p2)) * largest(abs(X).sum(axis=0))


def g_w_row_sums(U3: Array, V3: Array, U4: Array, V4: Array, p1: Array, p2: Array, X: Array) -> Any:
    """False: sums over rows."""
    return largest(U3 @ V3.T - U4 @ V4.T - (p1 - p2)) * largest(abs(X).sum(axis=1)) ** 2


def g_v_entry(U1: Array, V1: Array, f: Array, X: Array, G: Array) -> Any:
    """False: the largest entry of G for the largest sum of a column."""
    return largest(U1 @ V1.T - f) * largest(abs(X).sum(axis=0)) * largest(G)


def g_v_signed(U1: Array, V1: Array, f: Array, X: Array, G: Array) -> Any:
    """False: sums without absolute values."""
    return largest(U1 @ V1.T - f) * largest(X.sum(axis=0)) * largest(G.sum(axis=0))


FALSE_X = {"p for pᵀ": X_transpose, "f for fᵀ": X_values, "minus pᵀ X W": X_sign, "twice the p terms": X_factor}

# --- trials and forms

Measured = Callable[[Any], arb]
ANY_SCALE = (unit_scale, paper_scale, odd_scale)
OPERANDS = ("X", "W_V", "G", "x", "y")
EXACT_K = "K of the exact s"
FACTORED_K = "K of f̃ h, all of s that almost linear time allows"


def bound(
    formula: Claim,
    quantity: str,
    measured: Measured,
    false: Mapping[str, Claim],
    *,
    names: tuple[str, ...] = OPERANDS,
    **more: Any,
) -> Form:
    """A form of an error bound, tried on any factors under any scale of the scores."""
    options = {key: more.pop(key) for key in ("role", "reading") if key in more}
    return form(formula, FactorBound(quantity, measured, names, **{"scales": ANY_SCALE, **more}), false, **options)


def derived(explicit: Form, derivation: str, letters: Callable[..., proofs.Letters] = proofs.of_sizes) -> Form:
    """The form with its derivation for any factors."""
    return proofs.derived(explicit, derivation, letters, AnyFactors)


def implied(power: str, explicit: Form) -> Form:
    """An explicit bound that implies an error of ε over any polynomial."""
    return replace(
        explicit,
        implication="entries of O(log n) bits are at most 2^b with b ≤ c log2 n; d ≤ n^k for large n; call ‖f̃ − f‖∞"
        " e:"
        " by C.13 it is at most ε/n^l, for any l, and below 1. The right side, with e for ε, is at most"
        f" {power} · e, and l is chosen to make this less than ε over any given polynomial",
    )


def masked_term(name: str, claim: str, formula: Claim, truth: Any, left: str, false: Mapping[str, Claim]) -> Part:
    """One of the D_k of D.15 in closed form, with the mask."""
    trial = EquationTrial(truth, f"{left}, with f̂ for f", scales=(paper_scale,), masks=(True,), max_n=4)
    return Part(
        kind="identity",
        name=name,
        claim=claim,
        forms=(form(formula, trial, {**wrong_sign_or_factor(formula), **false}),),
    )


def computed(truth: Callable[[Any], Array], left: str) -> FactorEquation:
    """A trial of how one of the D̃_k is multiplied out."""
    return FactorEquation(truth, left, scales=ANY_SCALE, hypothesis="any factors", max_n=4)


def false_products(formula: Claim, weights: str) -> dict[str, Claim]:
    """Twice the product, and the product with its weights transposed."""
    return {"twice": Altered(formula, doubled), **with_transposed(formula, weights)}


def computation(claim: str, formula: Claim, truth: Callable[[Any], Array], left: str, weights: str = "W") -> Part:
    """How one of the D̃_k is multiplied out."""
    false = {**wrong_sign_or_factor(formula), **false_products(formula, weights)}
    return Part(
        kind="construction", name="computation", claim=claim, forms=(form(formula, computed(truth, left), false),)
    )


def lost_sign(k: int, z: int, weights: str, printed: Claim, repaired: Claim, truth: Callable[[Any], Array]) -> Part:
    """How D̃6 or D̃2 is multiplied out."""
    trial, left = computed(truth, f"D̃{k}"), f"U{z}(V{z}ᵀX{weights})"
    return Part(
        kind="construction",
        claim=f"D̃{k} is computed as V{z}ᵀX, then (V{z}ᵀX){weights}, then {left}",
        fault="misprint",
        consequence=f"The steps give −D̃{k}: a sum of the five terms with what they give is off by 2‖D̃{k}‖∞. The same"
        " proof has the sign some lines before, and the bound on the error is the same for either.",
        forms=(
            form(printed, trial, false_products(printed, "W")),
            form(
                repaired,
                trial,
                {**false_products(repaired, "W"), "as printed": printed},
                role="repaired",
                reading=f"−{left}",
            ),
        ),
    )


def diagonal_error(claim: str, left: str, formula: Claim, measured: Measured, with_K: Measured) -> Part:
    """The error of the factors of z6 or z2, K being exact or made from the factors of f."""
    false: dict[str, Claim] = {"the mean of |K|": mean_of_K, "without ‖diag(K)‖∞": E_2_without_K}
    mended: dict[str, Claim] = {"as printed": formula, "without the product of both errors": K_without_product}
    return Part(
        kind="inequality",
        name="error",
        claim=claim,
        fault="gap",
        consequence="K is computed from s (E.1), and s takes n² d time: an almost linear algorithm has only"
        " f̃ h (C.14). What this does to K is not in the bound. The repair is larger by a factor of"
        " 1/n + (1 + ε) d‖h‖∞‖G‖∞/‖K‖∞; ε/poly(n) survives it.",
        forms=(
            derived(bound(formula, left, measured, false, reading=EXACT_K), "E.2 and E.7"),
            bound(formula, f"{left} with K̃ for K", with_K, false, reading=FACTORED_K),
            derived(
                bound(
                    bounds.E_2_bound_with_K,
                    f"{left} with K̃ for K",
                    with_K,
                    mended,
                    role="repaired",
                    reading="K of f̃ h: ε‖K‖∞ + (1 + ε) n d ε‖h‖∞‖G‖∞ with ε = ‖f̃ − f‖∞",
                ),
                "E.2 and E.7 with K",
            ),
        ),
    )


def poly(left: str, *forms: Form) -> Part:
    """That an error is below ε over any polynomial."""
    return Part(kind="asymptotic", name="poly", claim=f"{left} ≤ ε/poly(n)", forms=forms)


def z_form(left: str, measured: Measured, reading: str) -> Form:
    """A form of the error of factors for entries of at most 2^b."""
    false: dict[str, Claim] = {"d for d²": Over(bounds.z_bits, "d"), "4^b for 8^b": z_bits_of_two}
    return implied("n^{2k+3c}", bound(bounds.z_bits, left, measured, false, reading=reading))


def diagonal_poly(left: str, measured: Measured, with_K: Measured) -> Part:
    """The error of the factors of z6 or z2 for entries of at most 2^b."""
    false: dict[str, Claim] = {"K taken for exact": bounds.z_bits, "without n": z_bits_K_without_n}
    factored = bound(bounds.z_bits_with_K, f"{left} with K̃ for K", with_K, false, reading=f"{FACTORED_K}; {POLY_D}")
    return poly(left, z_form(left, measured, f"{EXACT_K}; {POLY_D}"), implied("3 n^{1+2k+3c}", factored))


def entrywise_poly(left: str, measured: Measured) -> Part:
    """The error of the factors of z7 or z4 for entries of at most 2^b."""
    return poly(left, z_form(left, measured, POLY_D))


def term_error(
    claim: str,
    left: str,
    formula: Claim,
    measured: Measured,
    letters: Callable[..., proofs.Letters],
    derivation: str = "E.3, E.5, E.8 and E.10",
) -> Part:
    """The error of one of the D̃_k from that of its factors."""
    false: dict[str, Claim] = {"no factor n": Over(formula, "n"), "no factor d": Over(formula, "d")}
    explicit = derived(bound(formula, left, measured, false), derivation, letters)
    return Part(kind="inequality", name="error", claim=claim, forms=(explicit,))


def term_poly(left: str, measured: Measured, with_K: Measured | None = None) -> Part:
    """The error of D̃6, D̃7, D̃2 or D̃4 for entries of at most 2^b; K occurs in the first and the third."""
    false: dict[str, Claim] = {"no factor n": Over(bounds.D_bits, "n"), "16^b for 32^b": D_bits_of_four}
    if with_K is None:
        return poly(left, implied("n^{1+3k+5c}", bound(bounds.D_bits, left, measured, false, reading=POLY_D)))
    false_with_K: dict[str, Claim] = {"K taken for exact": bounds.D_bits, "without n": D_bits_K_without_n}
    exact = bound(bounds.D_bits, left, measured, false, reading=f"{EXACT_K}; {POLY_D}")
    factored = bound(
        bounds.D_bits_with_K, f"{left} with K̃ for K", with_K, false_with_K, reading=f"{FACTORED_K}; {POLY_D}"
    )
    return poly(left, implied("n^{1+3k+5c}", exact), implied("3 n^{2+3k+5c}", factored))


def error_form(measured: Measured, **more: Any) -> Form:
    """A form of the error of g_t for entries of at most 2^b."""
    false: dict[str, Claim] = {"K taken for exact": g_t_bits_K_exact, "D2 and D4 forgotten": g_t_bits_one_term}
    quantity = "‖g_t − dL/dT_{i−1}‖∞"
    return bound(bounds.g_t_bits, quantity, measured, false, names=LAYER, max_n=4, max_d=3, **more)


def error_W_form(measured: Measured, scales: tuple[Scale, ...], reading: str, **more: Any) -> Form:
    """A form of the error of g_w for entries of at most 2^b."""
    false: dict[str, Claim] = {"K taken for exact": g_w_bits_K_exact, "n for n²": Over(bounds.g_w_bits, "n")}
    quantity, sizes = "‖g_w − dL/dW‖∞", {"max_n": 4, "max_d": 3}
    return bound(
        bounds.g_w_bits, quantity, measured, false, names=LAYER, scales=scales, reading=reading, **sizes, **more
    )


LAYER = ("X", "W", "W_V", "G")
EXACT_FACTORS = "U1 = f, V1 = I"
GRADIENT_W = FactorEquation(dL_dW, "dL/dW", hypothesis="exact factors", of=Exact, max_n=4)
FALSE_W_PRINTED: dict[str, Claim] = {
    **wrong_sign_or_factor(fast.g_w_printed),
    "transposed": Altered(fast.g_w_printed, transposed),
}
FALSE_W_V: dict[str, Claim] = {**wrong_sign_or_factor(fast.g_v), "transposed": Altered(fast.g_v, transposed)}
FALSE_SUM: dict[str, Claim] = {"the largest of the five": largest_of_five, "D8 forgotten": without_values}
LAST_STEP = NormEquation("‖Xᵀp̃X − XᵀpX‖∞", error_p, ("X", "W_V", "G", "x", "y", "z"), ANY_SCALE)
FALSE_LAST_STEP: dict[str, Claim] = {
    "the bound for the norm": bounds.F_5_bound,
    "twice": Altered(bounds.F_5_last_step_1, doubled),
}
FALSE_F_5: dict[str, Claim] = {"n for n²": Over(bounds.F_5_bound, "n"), "p̃1 alone": F_5_p1_alone}
FALSE_G_4: dict[str, Claim] = {"n for n²": Over(bounds.G_4_bound, "n"), "n d for n²": G_4_with_d}
FALSE_G_V_BITS: dict[str, Claim] = {"n for n²": Over(bounds.g_v_bits, "n"), "2^b for 4^b": g_v_bits_of_one}
MASKED_W_V = EquationTrial(dL_dW_V, "dL/dW_V", names=("X", "W", "G"), scales=(paper_scale,), masks=(True,))
FALSE_CAUSAL_V: dict[str, Claim] = {**wrong_sign_or_factor(fast.g_v_causal), "without the mask": g_v_unmasked}
MASKED_W = EquationTrial(dL_dW, "dL/dW", scales=(paper_scale,), masks=(True,))
FALSE_CAUSAL_W: dict[str, Claim] = {**wrong_sign_or_factor(fast.g_w_causal), "p1 + p2": g_w_with_sum}

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="4.1",
        kind="theorem",
        title="Gradients of one layer",
        locus="Section 4.1, Theorem 4.1",
        parts=(
            Part(
                kind="asymptotic",
                name="time",
                claim="dL/dX, dL/d(W_Q W_Kᵀ) and dL/dW_V are approximated in n^{1+o(1)} time",
                fault="gap",
                consequence="No bound on the entries is stated, and without one the factors of f that Algorithm 1"
                " takes"
                " have n columns (C.13). Alman and Song (2023, 2024) exclude, under a hypothesis on satisfiability,"
                " any"
                " much faster algorithm there. With |scores| = o(log n) it is true.",
                forms=(
                    theorems.written(
                        gaps.PARABOLA_WRITTEN,
                        f"by Algorithm 1, entries of O(log n) bits and no bound on them, {PAPER_READING}, d = 3",
                    ),
                    gaps.few(
                        "The three gradients of a layer take a multiple of n d (d + k1) operations (E.11, F.5, G.4,"
                        " H.2)",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="error",
                claim="each with 1/poly(n) error",
                fault="gap",
                consequence="Besides g_t and g_v, which are wrong as printed: the forward pass that the time allows"
                " is not"
                " exact, and if φ′ jumps, as ReLU's does, the gradient is off by a constant however small the error"
                " of f"
                " is.",
                forms=(
                    theorems.vanishes(theorems.AS_PRINTED, "g_v as printed, exact factors and forward pass"),
                    theorems.vanishes(theorems.KINK, theorems.ANY_RELU),
                    theorems.vanishes(theorems.STEEP_LOSS, theorems.ANY_LOSS),
                    replace(
                        theorems.theorem(theorems.ONE_LAYER, theorems.ONE),
                        implication=f"{theorems.TO_POLY}. The same for dL/dW and dL/dW_V (own/theorem: one layer)",
                    ),
                    theorems.given_and_repaired(
                        theorems.REPAIRED, ". The same for dL/dW and dL/dW_V (own/theorem: one layer)"
                    ),
                ),
            ),
        ),
        assumes=(
            "d = O(log n)",
            "each number in the matrices has O(log n) bits",
            "m = n^{o(1)}",
            "loss as in Definition 3.1",
            "one layer (m = 1)",
        ),
        uses=("1.3", "3.1", "5.1", "5.2", "5.3"),
        note="m = n^{o(1)} and m = 1 are both printed. The theorem names no algorithm; its proof and Algorithm 1's"
        " comments do. Whether any other algorithm takes n^{1+o(1)} time is not tried here, but cited (time).",
    ),
    Statement(
        id="5.1",
        kind="lemma",
        title="Fast gradient on T, informally",
        locus="Section 5.2, Lemma 5.1",
        parts=(
            Part(kind="asymptotic", name="time", claim="dL/dT_i is approximated in n^{1+o(1)} time"),
            Part(kind="asymptotic", name="error", claim="with 1/poly(n) error"),
        ),
        uses=("E.11",),
        follows="informal version of Lemma E.11",
    ),
    Statement(
        id="5.2",
        kind="lemma",
        title="Fast gradient on W, informally",
        locus="Section 5.3, Lemma 5.2",
        parts=(
            Part(kind="asymptotic", name="time", claim="dL/dW_i is approximated in n^{1+o(1)} time"),
            Part(kind="asymptotic", name="error", claim="with 1/poly(n) error"),
        ),
        uses=("F.5",),
        follows="informal version of Lemma F.5",
    ),
    Statement(
        id="5.3",
        kind="lemma",
        title="Fast gradient on W_V, informally",
        locus="Section 5.3, Lemma 5.3",
        parts=(
            Part(kind="asymptotic", name="time", claim="dL/dW_{V_i} is approximated in n^{1+o(1)} time"),
            Part(kind="asymptotic", name="error", claim="with 1/poly(n) error"),
        ),
        uses=("G.4",),
        follows="informal version of Lemma G.4",
    ),
    Statement(
        id="Alg 1/SingleGrad",
        kind="algorithm",
        title="The gradients of one layer from dL/dT_i",
        locus="Section 4.2, Algorithm 1, lines 12 to 24",
        parts=(
            Part(
                kind="construction",
                name="G_i",
                claim="G_i = dL/dAttn_i is computed by Lemma 5.4",
                forms=(G_form(transformer.G_of_T),),
            ),
            Part(
                kind="construction",
                name="g_t",
                claim="g_t = D̃6 + D̃7 + D̃8 + D̃2 + D̃4 approximates dL/dT_{i−1}",
                fault="error",
                consequence="As in E.11: even with exact factors of f the sum is not the gradient, from n = 2 on, and"
                " Algorithm 1 hands it down to the layer below. In the repair U1 and V1 change places in D6, D7 and"
                " D8, at no cost.",
                forms=(
                    *derivative_forms(
                        FactorEquation(dL_dX, "dL/dT_{i−1}", hypothesis=EXACT_FACTORS, of=Exact, max_n=4, names=LAYER),
                        printed=fast.g_t_printed,
                        repaired=fast.g_t,
                        change="Wᵀ for W, f̃ᵀ for f̃ in D6, D7 and D8, τ on all but D8",
                        false={**wrong_sign_or_factor(fast.g_t), "f̃ in D6, D7 and D8": g_t_without_repair_of_f},
                    ),
                    form(
                        fast.g_t,
                        FactorEquation(
                            dL_dX_of_factors,
                            "τ(p̃ X Wᵀ + p̃ᵀ X W) + f̃ᵀ G W_Vᵀ",
                            scales=ANY_SCALE,
                            hypothesis="any factors",
                            max_n=3,
                            max_d=2,
                        ),
                        {**wrong_sign_or_factor(fast.g_t), "f̃ in D6, D7 and D8": g_t_without_repair_of_f},
                        role="repaired",
                        reading="the same: for any factors what the gradient becomes with f̃ for f, also in K",
                    ),
                ),
            ),
            Part(
                kind="construction",
                name="g_w",
                claim="g_w = (T_{i−1}ᵀ U3) · (V3ᵀ T_{i−1}), U3 and V3 by Lemma 5.2, approximates dL/d(W_Q W_Kᵀ)",
                fault="misprint",
                consequence="U3 and V3 are factors of p1 in C.15 and F.5. Whoever takes them from there leaves p2 out,"
                " and gets no gradient; F.5 itself takes p2 off. With factors of p the line is right for the scores of"
                " C.6, and d times too large for those of 1.2, C.3 and I.5.",
                forms=(
                    form(
                        fast.g_w_printed,
                        GRADIENT_W,
                        FALSE_W_PRINTED,
                        reading=f"{UNIT_READING}; U3V3ᵀ = p1, as in C.15 and F.5",
                    ),
                    form(
                        fast.g_w_printed,
                        replace(GRADIENT_W, scales=(paper_scale,)),
                        FALSE_W_PRINTED,
                        reading=f"{PAPER_READING}; U3V3ᵀ = p1, as in C.15 and F.5",
                    ),
                    form(
                        fast.g_w_printed,
                        replace(GRADIENT_W, of=ExactOfP),
                        FALSE_W_PRINTED,
                        reading=f"{UNIT_READING}; U3V3ᵀ = p1 − p2, all that 5.2 approximates",
                    ),
                    form(
                        fast.g_w_printed,
                        replace(GRADIENT_W, of=ExactOfP, scales=(paper_scale,)),
                        FALSE_W_PRINTED,
                        reading=f"{PAPER_READING}; U3V3ᵀ = p1 − p2, all that 5.2 approximates",
                    ),
                    form(
                        fast.g_w,
                        replace(GRADIENT_W, scales=ANY_SCALE, masks=(False, True)),
                        {
                            **wrong_sign_or_factor(fast.g_w),
                            "as printed": fast.g_w_printed,
                            "p2 not taken off": g_w_of_p1,
                            "p1 + p2": g_w_of_sum,
                        },
                        role="repaired",
                        reading=f"τ((XᵀU3)(V3ᵀX) − (XᵀU4)(V4ᵀX)), {REPAIRED_READING}, masked or not",
                    ),
                ),
            ),
            Part(
                kind="construction",
                name="g_v",
                claim="g_v = (T_{i−1}ᵀ U1) · (V1ᵀ G_i), U1 and V1 by Lemma C.13, approximates dL/dW_V",
                fault="error",
                consequence="As in G.3: even with exact factors this is not the gradient on W_V, from n = 2 on, and"
                " line 32 optimises with it. The repair costs nothing: U1 and V1 change places.",
                forms=(
                    *derivative_forms(
                        FactorEquation(dL_dW_V, "dL/dW_V", names=("X", "W", "G"), hypothesis=EXACT_FACTORS, of=Exact),
                        printed=fast.g_v_printed,
                        repaired=fast.g_v,
                        change="(XᵀV1)(U1ᵀG)",
                        false=FALSE_W_V,
                    ),
                    form(
                        fast.g_v,
                        FactorEquation(
                            dL_dW_V_of_factors,
                            "Xᵀ f̃ᵀ G",
                            names=("X", "G", "x", "y"),
                            hypothesis="any factors",
                            of=AnyFactors,
                        ),
                        {**FALSE_W_V, "as printed": fast.g_v_printed},
                        role="repaired",
                        reading="the same: for any factors what the gradient becomes with f̃ for f",
                    ),
                ),
            ),
            Part(kind="asymptotic", name="time", claim="every line takes n^{1+o(1)} time", forms=(cost.SINGLE,)),
        ),
        uses=("5.1", "5.2", "5.3", "5.4", "C.13", "E.5", "E.6", "E.8", "E.10"),
        note="Lemmas E.5, E.6, E.8 and E.10 are named for the five terms; Lemma E.3 is the one on D6."
        " In C.15 and F.5 the names U3 and V3 are factors of p1.",
        related=("C.15", "E.3", "F.5"),
    ),
    Statement(
        id="E.1",
        kind="lemma",
        title="Time for K",
        locus="Appendix E.1, Lemma E.1",
        parts=(
            Part(
                kind="cost",
                claim="K is computed in O(n · d) time, O(d) for each of its n entries",
                fault="gap",
                consequence="The time for s is left out: n² d operations exactly, or about 4 k1 n d from factors, and"
                " then K has an error. The time of the whole gradient stays n^{1+o(1)}.",
                forms=(cost.E_1, cost.E_1_FROM_FACTORS),
            ),
        ),
        uses=("D.16",),
        note="The proof starts from G_i and s; neither the time for s, O(n² d), nor its error enters. What becomes"
        " of E.2 and E.7 if s is made from f̃ is on record there.",
        related=("E.2", "E.7"),
    ),
    Statement(
        id="E.2",
        kind="lemma",
        title="Factors of z6",
        locus="Appendix E.1, Lemma E.2",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="U6 = U1 and V6 = diag(K) V1 ∈ R^{n×k6}, with U6V6ᵀ ≈ z6",
                forms=(
                    form(
                        low_rank.z6_product,
                        FactorEquation(
                            z6_of_factors, "f̃ diag(K)", scales=ANY_SCALE, hypothesis="any factors", max_n=4
                        ),
                        {**wrong_sign_or_factor(low_rank.z6_product), "diag(K) f̃": z6_by_rows},
                    ),
                ),
            ),
            diagonal_error(
                "‖U6V6ᵀ − z6‖∞ = ‖U1V1ᵀ diag(K) − f diag(K)‖∞ ≤ n‖U1V1ᵀ − f‖∞‖diag(K)‖∞",
                "‖U6V6ᵀ − z6‖∞",
                bounds.E_2_bound,
                error_z6,
                error_z6_with_K,
            ),
            diagonal_poly("‖U6V6ᵀ − z6‖∞", error_z6, error_z6_with_K),
            Part(kind="asymptotic", name="rank", claim="k6 = n^{o(1)}", forms=(cost.E_2_RANK,)),
            Part(kind="cost", name="cost", claim="diag(K) V1 is computed in n k1 time", forms=(cost.E_2_COST,)),
            Part(
                kind="asymptotic",
                name="time",
                claim="U6 and V6 are constructed in n^{1+o(1)} time",
                forms=(cost.E_2_TIME,),
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.3", "C.13", "D.10", "D.16", "E.1", "E.2/step 4"),
    ),
    Statement(
        id="E.2/step 4",
        kind="lemma",
        title="Entries of K",
        locus="Appendix E.1, proof of Lemma E.2, error bound, 4th step",
        parts=(
            Part(
                kind="asymptotic",
                claim="‖diag(K)‖∞ ≤ poly(n)",
                forms=(
                    replace(
                        bound(
                            bounds.K_bits,
                            "‖diag(K)‖∞",
                            largest_K,
                            {"d for d²": K_bits_without_d, "4^b for 8^b": K_bits_of_two},
                            names=("X", "W", "W_V", "G"),
                            reading=POLY_D,
                        ),
                        implication="entries of O(log n) bits are at most 2^b with b ≤ c log2 n, so 8^b ≤ n^{3c}, and"
                        " d ≤ n^k for large n: ‖K‖∞ ≤ d² · 8^b ≤ n^{2k+3c}, a polynomial in n",
                    ),
                ),
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("D.16",),
        note="Printed without a reason; the proof of Lemma E.7 repeats it. |K_i| ≤ d‖G‖∞‖s‖∞, and ‖s‖∞ ≤ ‖h‖∞.",
        related=("C.19",),
    ),
    Statement(
        id="E.3",
        kind="lemma",
        title="Fast D6",
        locus="Appendix E.1, Lemma E.3",
        parts=(
            term_error(
                "‖z̃6 X Wᵀ − z6 X Wᵀ‖∞ ≤ d · n‖z̃6 − z6‖∞‖X‖∞‖W‖∞, with z̃6 = U6V6ᵀ",
                "‖z̃6 X Wᵀ − z6 X Wᵀ‖∞",
                bounds.E_3_bound,
                error_D6,
                proofs.of_z6,
            ),
            term_poly("‖D̃6 − D6‖∞", error_D6, error_D6_with_K),
            Part(
                kind="asymptotic",
                name="time",
                claim="V6ᵀX, then (V6ᵀX)Wᵀ, then U6(V6ᵀXWᵀ) take n^{1+o(1)} time each, and so does D̃6",
                forms=(cost.E_3,),
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.3", "D.3", "D.10", "E.2"),
        note="The conditions print B6 ∈ R^{n×n}; Lemma D.3 has B6 ∈ R^{n×d}.",
        related=("E.3/computation",),
    ),
    Statement(
        id="E.3/computation",
        kind="lemma",
        title="How D6 is multiplied out",
        locus="Appendix E.1, proof of Lemma E.3, running time",
        parts=(lost_sign(6, 6, "Wᵀ", fast.D6_factored_printed, fast.D6_factored, D6_of_factors),),
        uses=("D.10",),
        note="The steps are listed for the time they take; what they are to give is named D̃6 in the lemma alone.",
    ),
    Statement(
        id="E.4",
        kind="lemma",
        title="Factors of z7",
        locus="Appendix E.2, Lemma E.4",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="U7 = U1 ⊘ h and V7 = V1 ⊘ G_i ∈ R^{n×k1d}, with U7V7ᵀ ≈ z7",
                forms=(
                    form(
                        low_rank.z7_product,
                        FactorEquation(
                            z7_of_factors, "f̃ ⊙ (h Gᵀ)", scales=ANY_SCALE, hypothesis="any factors", max_n=4
                        ),
                        {**wrong_sign_or_factor(low_rank.z7_product), "G hᵀ for h Gᵀ": z7_of_z4},
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="error",
                claim="‖U7V7ᵀ − z7‖∞ = ‖f̃ ⊙ (h G_iᵀ) − f ⊙ (h G_iᵀ)‖∞ ≤ d‖h‖∞‖G_i‖∞ · ε/poly(n), ‖f̃ − f‖∞ ≤ ε/poly(n)",
                forms=(
                    derived(
                        bound(
                            bounds.E_4_bound,
                            "‖U7V7ᵀ − z7‖∞",
                            error_z7,
                            {"no factor d": Over(bounds.E_4_bound, "d"), "without ‖h‖∞": E_4_without_h},
                        ),
                        "E.4 and E.9",
                    ),
                ),
            ),
            entrywise_poly("‖U7V7ᵀ − z7‖∞", error_z7),
            Part(kind="asymptotic", name="rank", claim="the rank k7 is n^{o(1)}", forms=(cost.E_4_RANK,)),
            Part(
                kind="cost",
                name="cost",
                claim="U1 ⊘ h takes O(n d k1) time, V1 ⊘ G_i likewise",
                forms=(cost.E_4_COST,),
            ),
            Part(
                kind="asymptotic",
                name="time",
                claim="U7 and V7 are constructed in n^{1+o(1)} time",
                forms=(cost.E_4_TIME,),
            ),
        ),
        assumes=("‖U1V1ᵀ − f‖∞ ≤ ε/poly(n)", "entries of X, W, W_V, G_i have O(log n) bits"),
        uses=("C.2", "C.3", "C.13", "C.18", "D.11"),
        note="No hypothesis on d is printed; f̃ = U1V1ᵀ.",
    ),
    Statement(
        id="E.5",
        kind="lemma",
        title="Fast D7",
        locus="Appendix E.2, Lemma E.5",
        parts=(
            computation(
                "D̃7 is computed as V7ᵀX, then (V7ᵀX)Wᵀ, then U7(V7ᵀXWᵀ)", fast.D7_factored, D7_of_factors, "D̃7"
            ),
            term_error(
                "‖z̃7 X Wᵀ − z7 X Wᵀ‖∞ ≤ d · n‖z̃7 − z7‖∞‖X‖∞‖W‖∞, with z̃7 = U7V7ᵀ",
                "‖z̃7 X Wᵀ − z7 X Wᵀ‖∞",
                bounds.E_5_bound,
                error_D7,
                proofs.of_z7,
            ),
            term_poly("‖D̃7 − D7‖∞", error_D7),
            Part(
                kind="asymptotic",
                name="time",
                claim="V7ᵀX, then (V7ᵀX)Wᵀ, then U7(V7ᵀXWᵀ) take n^{1+o(1)} time each, and so does D̃7",
                forms=(cost.E_5,),
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.3", "D.4", "D.11", "E.4"),
        note="The conditions refer a matrix B ∈ R^{n×d} to Definition C.3, which has none.",
    ),
    Statement(
        id="E.6",
        kind="lemma",
        title="Fast D8",
        locus="Appendix E.3, Lemma E.6",
        parts=(
            computation(
                "D̃8 is computed as V1ᵀG_i, then (V1ᵀG_i)W_Vᵀ, then U1(V1ᵀG_iW_Vᵀ)",
                fast.D8_factored,
                D8_of_factors,
                "D̃8",
                weights="W_V",
            ),
            term_error(
                "‖f̃ G_i W_Vᵀ − f G_i W_Vᵀ‖∞ ≤ d · n‖f̃ − f‖∞‖G_i‖∞‖W_V‖∞, with f̃ = U1V1ᵀ",
                "‖f̃ G W_Vᵀ − f G W_Vᵀ‖∞",
                bounds.E_6_bound,
                error_D8,
                proofs.of_values,
                "E.6",
            ),
            Part(
                kind="asymptotic",
                name="poly",
                claim="‖D̃8 − D8‖∞ ≤ ε/poly(n)",
                forms=(
                    implied(
                        "n^{1+k+2c}",
                        bound(
                            bounds.D8_bits,
                            "‖D̃8 − D8‖∞",
                            error_D8,
                            {"no factor d": Over(bounds.D8_bits, "d"), "2^b for 4^b": D8_bits_of_one},
                            reading=POLY_D,
                        ),
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="time",
                claim="V1ᵀG_i, then (V1ᵀG_i)W_Vᵀ, then U1(V1ᵀG_iW_Vᵀ) take n^{1+o(1)} time each, and so does D̃8",
                forms=(cost.E_6,),
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.3", "C.13", "D.5", "D.12"),
    ),
    Statement(
        id="E.7",
        kind="lemma",
        title="Factors of z2",
        locus="Appendix E.4, Lemma E.7",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="U9 = diag(K) U1 and V6 = V1, with U9V9ᵀ ≈ z2, U9, V9 ∈ R^{n×k9}",
                forms=(
                    form(
                        low_rank.z2_product,
                        FactorEquation(
                            z2_of_factors, "diag(K) f̃", scales=ANY_SCALE, hypothesis="any factors", max_n=4
                        ),
                        {**wrong_sign_or_factor(low_rank.z2_product), "f̃ diag(K)": z2_by_columns},
                        reading="V9 = V1 (printed V6 = V1)",
                    ),
                ),
            ),
            diagonal_error(
                "‖U9V9ᵀ − z2‖∞ = ‖diag(K) U1V1ᵀ − diag(K) f‖∞ ≤ n‖U1V1ᵀ − f‖∞‖diag(K)‖∞",
                "‖U9V9ᵀ − z2‖∞",
                bounds.E_7_bound,
                error_z2,
                error_z2_with_K,
            ),
            diagonal_poly("‖U9V9ᵀ − z2‖∞", error_z2, error_z2_with_K),
            Part(kind="asymptotic", name="rank", claim="k9 = n^{o(1)}", forms=(cost.E_7_RANK,)),
            Part(kind="cost", name="cost", claim="diag(K) U1 is computed in n k1 time", forms=(cost.E_7_COST,)),
            Part(
                kind="asymptotic",
                name="time",
                claim="U9 and V9 are constructed in n^{1+o(1)} time",
                forms=(cost.E_7_TIME,),
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.3", "C.13", "D.13", "D.16", "E.1", "E.2/step 4"),
        note="The factor used as V9 is printed V6 where it is chosen.",
    ),
    Statement(
        id="E.8",
        kind="lemma",
        title="Fast D2",
        locus="Appendix E.4, Lemma E.8",
        parts=(
            term_error(
                "‖z̃2 X W − z2 X W‖∞ ≤ d · n‖z̃2 − z2‖∞‖X‖∞‖W‖∞, with z̃2 = U9V9ᵀ",
                "‖z̃2 X W − z2 X W‖∞",
                bounds.E_8_bound,
                error_D2,
                proofs.of_z2,
            ),
            term_poly("‖D̃2 − D2‖∞", error_D2, error_D2_with_K),
            Part(
                kind="asymptotic",
                name="time",
                claim="V9ᵀX, then (V9ᵀX)W, then U9(V9ᵀXW) take n^{1+o(1)} time each, and so does D̃2",
                forms=(cost.E_8,),
            ),
        ),
        assumes=("entries of X, W, W_V, B, G_i have O(log n) bits",),
        uses=("C.3", "D.6", "D.13", "E.7"),
        note="The conditions print B2 ∈ R^{n×d} (Lemma D.6: R^d) and X ∈ R^{d×n}, and a matrix B ∈ R^{n×d}.",
        related=("E.8/computation",),
    ),
    Statement(
        id="E.8/computation",
        kind="lemma",
        title="How D2 is multiplied out",
        locus="Appendix E.4, proof of Lemma E.8, running time",
        parts=(lost_sign(2, 9, "W", fast.D2_factored_printed, fast.D2_factored, D2_of_factors),),
        uses=("D.13",),
        note="The steps are listed for the time they take; what they are to give is named D̃2 in the lemma alone.",
    ),
    Statement(
        id="E.9",
        kind="lemma",
        title="Factors of z4",
        locus="Appendix E.5, Lemma E.9",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="U10 = U1 ⊘ G_i and V10 = V1 ⊘ h ∈ R^{n×k1d}, with U10V10ᵀ ≈ z4",
                forms=(
                    form(
                        low_rank.z4_product,
                        FactorEquation(
                            z4_of_factors, "f̃ ⊙ (G hᵀ)", scales=ANY_SCALE, hypothesis="any factors", max_n=4
                        ),
                        {**wrong_sign_or_factor(low_rank.z4_product), "h Gᵀ for G hᵀ": z4_of_z7},
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="error",
                claim="‖U10V10ᵀ − z4‖∞ ≤ d · (ε/poly(n))‖h‖∞‖G_i‖∞, where ‖U1V1ᵀ − f‖∞ ≤ ε/poly(n)",
                forms=(
                    derived(
                        bound(
                            bounds.E_9_bound,
                            "‖U10V10ᵀ − z4‖∞",
                            error_z4,
                            {"no factor d": Over(bounds.E_9_bound, "d"), "without ‖h‖∞": E_4_without_h},
                        ),
                        "E.4 and E.9",
                    ),
                ),
            ),
            entrywise_poly("‖U10V10ᵀ − z4‖∞", error_z4),
            Part(kind="asymptotic", name="rank", claim="the rank k10 is n^{o(1)}", forms=(cost.E_9_RANK,)),
            Part(
                kind="cost",
                name="cost",
                claim="U1 ⊘ G_i takes O(n d k1) time, V1 ⊘ h likewise",
                forms=(cost.E_9_COST,),
            ),
            Part(
                kind="asymptotic",
                name="time",
                claim="U10 and V10 are constructed in n^{1+o(1)} time",
                forms=(cost.E_9_TIME,),
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.2", "C.3", "C.13", "C.18", "D.14"),
        related=("E.9/step 4",),
        note="No hypothesis on d is printed. The proof speaks of the i0-th column of z4 where D.14 has its i0-th row.",
    ),
    Statement(
        id="E.9/step 4",
        kind="lemma",
        title="The norm of an entrywise product in the error of z4",
        locus="Appendix E.5, proof of Lemma E.9, 4th step (1st step of the second chain)",
        parts=(
            Part(
                kind="identity",
                claim="‖(U1V1ᵀ) ⊙ (G_i hᵀ) − f ⊙ (G_i hᵀ)‖∞ = ‖U1V1ᵀ − f‖∞‖G_i hᵀ‖∞",
                fault="misprint",
                consequence="The largest entries of two matrices may stand in different places. The next step needs no"
                " more than ≤, and Lemma E.4 has that.",
                forms=(
                    form(
                        bounds.E_9_step_4,
                        NormEquation("‖(U1V1ᵀ − f) ⊙ (G hᵀ)‖∞", error_z4, OPERANDS, ANY_SCALE),
                        {"twice": Altered(bounds.E_9_step_4, doubled), "d‖h‖∞‖G‖∞ for ‖G hᵀ‖∞": bounds.E_9_bound},
                    ),
                    bound(
                        bounds.E_9_step_4,
                        "‖(U1V1ᵀ − f) ⊙ (G hᵀ)‖∞",
                        error_z4,
                        {"half": Altered(bounds.E_9_step_4, halved), "without ‖G hᵀ‖∞": without_K},
                        role="repaired",
                        reading="≤ for =",
                    ),
                ),
            ),
        ),
        note="The left side is ‖(U1V1ᵀ − f) ⊙ (G_i hᵀ)‖∞. Lemma E.4 has no such equality in its chain.",
    ),
    Statement(
        id="E.10",
        kind="lemma",
        title="Fast D4",
        locus="Appendix E.5, Lemma E.10",
        parts=(
            computation(
                "D̃4 is computed as V10ᵀX, then (V10ᵀX)W, then U10(V10ᵀXW)", fast.D4_factored, D4_of_factors, "D̃4"
            ),
            term_error(
                "‖z̃4 X W − z4 X W‖∞ ≤ d · n‖z̃4 − z4‖∞‖X‖∞‖W‖∞, with z̃4 = U10V10ᵀ",
                "‖z̃4 X W − z4 X W‖∞",
                bounds.E_10_bound,
                error_D4,
                proofs.of_z4,
            ),
            term_poly("‖D̃4 − D4‖∞", error_D4),
            Part(
                kind="asymptotic",
                name="time",
                claim="V10ᵀX, then (V10ᵀX)W, then U10(V10ᵀXW) take n^{1+o(1)} time each, and so does D̃4",
                forms=(cost.E_10,),
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.3", "D.7", "D.14", "E.9"),
        note="The conditions print B4 ∈ R^{n×d} (Lemma D.7: R^d).",
    ),
    Statement(
        id="E.11",
        kind="lemma",
        title="Fast gradient on T",
        locus="Appendix E.6, Lemma E.11",
        parts=(
            Part(
                kind="identity",
                name="gradient",
                claim="dL/dT_{i−1} = D6 + D7 + D8 + D2 + D4",
                fault="error",
                consequence="Algorithm 1 sends this sum, its g_t, down to the layer below: every gradient of a model"
                " but those of the last layer is computed from it. The repair has products of the same"
                " low-rank factors, transposed.",
                forms=derivative_forms(
                    EquationTrial(dL_dX, "dL/dX"),
                    printed=formulas.gradient_X_printed,
                    repaired=formulas.gradient_X,
                    change="τ(p X Wᵀ + pᵀ X W) + fᵀ G W_Vᵀ",
                    false=FALSE_X,
                ),
            ),
            Part(kind="cost", name="sum", claim="adding the five D̃_k takes 5nd time", forms=(cost.E_11_SUM,)),
            Part(
                kind="asymptotic",
                name="time",
                claim="g_t = D̃6 + D̃7 + D̃8 + D̃2 + D̃4 is computed in n^{1+o(1)} time",
                forms=(cost.E_11_TIME,),
            ),
            Part(
                kind="inequality",
                name="sum of errors",
                claim="‖g_t − dL/dT_{i−1}‖∞ ≤ Σ_{k∈{2,4,6,7,8}} ‖D̃_k − D_k‖∞",
                fault="error",
                consequence="The sum of the D_k is not the gradient, so g_t stays off by a constant however small the"
                " errors are: also where f has rank 1 and its factors are exact, as with scores that depend on the key"
                " alone. With the terms of the repaired sum the chain holds.",
                forms=(
                    bound(
                        bounds.E_11_bound,
                        "‖g_t − dL/dT_{i−1}‖∞",
                        error_g_t,
                        FALSE_SUM,
                        names=LAYER,
                        scales=(unit_scale,),
                        reading=UNIT_READING,
                        max_n=4,
                        max_d=3,
                    ),
                    bound(
                        bounds.E_11_bound,
                        "‖g_t − dL/dT_{i−1}‖∞",
                        error_g_t,
                        FALSE_SUM,
                        names=LAYER,
                        scales=(paper_scale,),
                        reading=PAPER_READING,
                        max_n=4,
                        max_d=3,
                    ),
                    bound(
                        bounds.E_11_bound,
                        "‖g_t − dL/dT_{i−1}‖∞",
                        error_g_t,
                        FALSE_SUM,
                        of=Mended,
                        names=LAYER,
                        role="repaired",
                        reading=f"D_k and D̃_k of the repaired sum, {REPAIRED_READING}",
                        max_n=4,
                        max_d=3,
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="error",
                claim="‖g_t − dL/dT_{i−1}‖∞ ≤ ε/poly(n), and ≤ 1/poly(n) once ε = 1/poly(n) is chosen",
                fault="error",
                consequence="5.1, 4.1 and Algorithm 1 rest on it: what they return is off by an amount that no choice"
                " of ε, degree or rank makes small.",
                forms=(
                    implied(
                        "9 n^{2+3k+5c}",
                        error_form(error_g_t, scales=(unit_scale,), reading=f"{UNIT_READING}; {POLY_D}"),
                    ),
                    implied(
                        "9 n^{2+3k+5c}",
                        error_form(error_g_t, scales=(paper_scale,), reading=f"{PAPER_READING}; {POLY_D}"),
                    ),
                    implied(
                        "9 n^{2+3k+5c}",
                        error_form(
                            error_g_t,
                            of=Mended,
                            role="repaired",
                            reading=f"g_t as repaired in Algorithm 1, with K̃; |τ| ≤ 1; {POLY_D}",
                        ),
                    ),
                ),
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits", "G_i is computed in n^{1+o(1)} time"),
        uses=("3.1", "3.3", "C.3", "D.9", "D.15", "E.3", "E.5", "E.6", "E.8", "E.10", "E.11/step 2"),
        related=("own/readings",),
    ),
    Statement(
        id="E.11/step 2",
        kind="lemma",
        title="The error of the sum of the five terms",
        locus="Appendix E.6, proof of Lemma E.11, error bound, 2nd step",
        parts=(
            Part(
                kind="inequality",
                claim="‖Σ_k (D̃_k − D_k)‖∞ ≤ Σ_k ‖D̃_k − D_k‖∞, k ∈ {2,4,6,7,8}",
                forms=(
                    derived(
                        bound(bounds.E_11_bound, "‖Σ_k (D̃_k − D_k)‖∞", error_of_sum, FALSE_SUM, names=LAYER),
                        "E.11",
                        proofs.of_five_terms,
                    ),
                ),
            ),
        ),
        uses=("D.15",),
        note="The norm bars are left out on the right where it is printed. It holds for any matrices D_k and D̃_k:"
        " those of D.17 are tried, with any f̃ for f, also in K.",
    ),
    Statement(
        id="F.5",
        kind="lemma",
        title="Fast gradient on W",
        locus="Appendix F.4, Lemma F.5",
        parts=(
            Part(
                kind="asymptotic",
                name="time",
                claim="g_w = Xᵀ(p̃1 − p̃2)X takes n^{1+o(1)} time: XᵀU3, then ·V3ᵀ, then ·X for p̃1 = U3V3ᵀ, likewise p̃2",
                forms=(cost.F_5,),
            ),
            Part(
                kind="inequality",
                name="error",
                claim="‖Xᵀp̃X − XᵀpX‖∞ ≤ n²‖X‖∞²(‖p̃1 − p1‖∞ + ‖p̃2 − p2‖∞), with p̃ = p̃1 − p̃2",
                forms=(
                    derived(
                        bound(
                            bounds.F_5_bound,
                            "‖Xᵀp̃X − XᵀpX‖∞",
                            error_p,
                            FALSE_F_5,
                            names=("X", "W_V", "G", "x", "y", "z"),
                        ),
                        "F.5",
                        proofs.of_p1_and_p2,
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="gradient",
                claim="‖g_w − dL/dW_i‖∞ ≤ n²‖X‖∞²(‖p̃1 − p1‖∞ + ‖p̃2 − p2‖∞): the same with F.4 put in",
                fault="misprint",
                consequence="As in F.4: g_w approximates the gradient for the scores of C.6; for those of 1.2, C.3 and"
                " I.5 it is d times too large, whatever ε is.",
                forms=(
                    bound(
                        bounds.F_5_bound,
                        "‖g_w − dL/dW‖∞",
                        error_g_w_of_p,
                        FALSE_F_5,
                        names=LAYER,
                        scales=(unit_scale,),
                        reading=UNIT_READING,
                    ),
                    bound(
                        bounds.F_5_bound,
                        "‖g_w − dL/dW‖∞",
                        error_g_w_of_p,
                        FALSE_F_5,
                        names=LAYER,
                        scales=(paper_scale,),
                        reading=PAPER_READING,
                    ),
                    bound(
                        bounds.F_5_bound_scaled,
                        "‖g_w − dL/dW‖∞",
                        error_g_w_of_p_scaled,
                        {"n for n²": Over(bounds.F_5_bound_scaled, "n"), "τ twice": F_5_scaled_twice},
                        names=LAYER,
                        role="repaired",
                        reading=f"g_w = τ Xᵀp̃X, and |τ| times the bound, {REPAIRED_READING}",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="poly",
                claim="‖g_w − dL/dW_i‖∞ ≤ 1/poly(n)",
                fault="misprint",
                consequence="That of the inequality above, from which it follows.",
                forms=(
                    implied(
                        "4 n^{3+2k+5c}",
                        error_W_form(error_g_w, (unit_scale,), f"{UNIT_READING}; {WITH_BITS}; {POLY_D}"),
                    ),
                    implied(
                        "4 n^{3+2k+5c}",
                        error_W_form(error_g_w, (paper_scale,), f"{PAPER_READING}; {WITH_BITS}; {POLY_D}"),
                    ),
                    implied(
                        "4 n^{3+2k+5c}",
                        error_W_form(
                            error_g_w_scaled, ANY_SCALE, f"τ Xᵀp̃X, |τ| ≤ 1; {WITH_BITS}; {POLY_D}", role="repaired"
                        ),
                    ),
                ),
            ),
        ),
        uses=("3.1", "C.12", "C.13", "C.15", "C.16", "F.4"),
        related=("F.5/last step 1",),
        note="No hypothesis on bits, entries or d is printed; the proof uses ‖X‖∞ ≤ poly(n), and the bound on the"
        " error is tried with entries of O(log n) bits and d ≤ poly(n), as 4.1 assumes. The proof writes the factor"
        " n²‖X‖∞² for p1 and says the same of p2; p̃2 = U4V4ᵀ. It names C.15 and C.16, which assume factors of f;"
        " C.13, which has them, is not named.",
    ),
    Statement(
        id="F.5/last step 1",
        kind="lemma",
        title="The error on W as a sum of two",
        locus="Appendix F.4, proof of Lemma F.5, chain after Eq. (19), 1st step",
        parts=(
            Part(
                kind="identity",
                claim="‖Xᵀp̃X − XᵀpX‖∞ = ‖Xᵀp̃1X − Xᵀp1X + Xᵀp̃2X − Xᵀp2X‖∞",
                fault="misprint",
                consequence="A sign: p = p1 − p2. The triangle inequality of the next step gives the same bound for"
                " either sign, so nothing rests on it.",
                forms=(
                    form(bounds.F_5_last_step_1_printed, LAST_STEP, FALSE_LAST_STEP),
                    form(
                        bounds.F_5_last_step_1,
                        LAST_STEP,
                        {**FALSE_LAST_STEP, "as printed": bounds.F_5_last_step_1_printed},
                        role="repaired",
                        reading="minus the part of p2",
                    ),
                ),
            ),
        ),
        uses=("C.12",),
        note="In the same proof p = p1 − p2 and p̃ = p̃1 − p̃2.",
    ),
    Statement(
        id="G.4",
        kind="lemma",
        title="Fast gradient on W_V",
        locus="Appendix G.3, Lemma G.4",
        parts=(
            Part(
                kind="asymptotic",
                name="time",
                claim="g_v = Xᵀ(U1V1ᵀ)G_i takes n^{1+o(1)} time: XᵀU1, (XᵀU1)V1ᵀ, then ·G_i in d²n time",
                forms=(cost.G_4,),
            ),
            Part(
                kind="inequality",
                name="error",
                claim="‖Xᵀf̃G_i − XᵀfG_i‖∞ ≤ n²‖X‖∞‖f̃ − f‖∞‖G_i‖∞, with f̃ = U1V1ᵀ",
                forms=(
                    derived(
                        bound(
                            bounds.G_4_bound,
                            "‖Xᵀf̃G − XᵀfG‖∞",
                            error_Xf,
                            FALSE_G_4,
                            names=("X", "G", "x", "y"),
                        ),
                        "G.4",
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="gradient",
                claim="‖g_v − dL/dW_{V_i}‖∞ ≤ n²‖X‖∞‖f̃ − f‖∞‖G_i‖∞: the same with G.3 put in",
                fault="error",
                consequence="As in G.3: Xᵀ f̃ G approximates Xᵀ f G, which is not the gradient, so g_v stays off"
                " however small the error of f is; 5.3, 4.1 and Algorithm 1 rest on it.",
                forms=(
                    bound(
                        bounds.G_4_bound,
                        "‖g_v − dL/dW_V‖∞",
                        error_g_v_printed,
                        FALSE_G_4,
                        names=("X", "W", "G"),
                        scales=(unit_scale,),
                        reading=UNIT_READING,
                        max_n=4,
                        max_d=3,
                    ),
                    bound(
                        bounds.G_4_bound,
                        "‖g_v − dL/dW_V‖∞",
                        error_g_v_printed,
                        FALSE_G_4,
                        names=("X", "W", "G"),
                        scales=(paper_scale,),
                        reading=PAPER_READING,
                        max_n=4,
                        max_d=3,
                    ),
                    bound(
                        bounds.G_4_bound,
                        "‖g_v − dL/dW_V‖∞",
                        error_g_v,
                        FALSE_G_4,
                        names=("X", "W", "G"),
                        role="repaired",
                        reading=f"Xᵀ f̃ᵀ G for Xᵀ f̃ G, {REPAIRED_READING}",
                        max_n=4,
                        max_d=3,
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="poly",
                claim="‖g_v − dL/dW_{V_i}‖∞ ≤ 1/poly(n)",
                fault="error",
                consequence="That of the inequality above, from which it follows.",
                forms=(
                    implied(
                        "n^{2+2c}",
                        bound(
                            bounds.g_v_bits,
                            "‖g_v − dL/dW_V‖∞",
                            error_g_v_printed,
                            FALSE_G_V_BITS,
                            names=("X", "W", "G"),
                            reading=WITH_BITS,
                            max_n=4,
                            max_d=3,
                        ),
                    ),
                    implied(
                        "n^{2+2c}",
                        bound(
                            bounds.g_v_bits,
                            "‖g_v − dL/dW_V‖∞",
                            error_g_v,
                            FALSE_G_V_BITS,
                            names=("X", "W", "G"),
                            role="repaired",
                            reading=f"Xᵀ f̃ᵀ G for Xᵀ f̃ G; {WITH_BITS}",
                            max_n=4,
                            max_d=3,
                        ),
                    ),
                ),
            ),
        ),
        uses=("3.1", "C.13", "G.3"),
        note="No hypothesis on bits, entries or d is printed; the proof uses ‖X‖∞ ≤ poly(n) and ‖G_i‖∞ ≤ poly(n), and"
        " the bound on the error is tried with entries of O(log n) bits, as 4.1 assumes.",
    ),
    Statement(
        id="I.7",
        kind="lemma",
        title="Masked gradient components with a dot product",
        locus="Appendix I.2, Lemma I.7",
        parts=(
            masked_term(
                "Part 1",
                "D6 = −f̂ diag(K) X Wᵀ",
                fast.D6_causal,
                terms.double_sum_C6,
                "D6 of D.15",
                {"diag(K) f̂": D6_with_rows},
            ),
            masked_term(
                "Part 2",
                "D2 = −diag(K) f̂ X W",
                fast.D2_causal,
                terms.double_sum_C2,
                "D2 of D.15",
                {"f̂ diag(K)": D2_with_columns},
            ),
            masked_term(
                "Part 3",
                "D8 = f̂ G_i W_Vᵀ",
                fast.D8_causal,
                terms.double_sum_C8,
                "D8 of D.15",
                {"f for f̂": D8_unmasked},
            ),
            Part(
                kind="identity",
                name="Part 4",
                claim="g_v = Xᵀ f̂ G_i",
                fault="error",
                consequence="As in G.3: it is not the gradient on W_V, from n = 2 on. Row i of X is paired with"
                " G_j of earlier rows j ≤ i, but it acts on later rows.",
                forms=(
                    form(fast.g_v_causal_printed, MASKED_W_V, FALSE_CAUSAL_V),
                    form(
                        fast.g_v_causal,
                        MASKED_W_V,
                        {**FALSE_CAUSAL_V, "as printed": fast.g_v_causal_printed},
                        role="repaired",
                        reading="Xᵀ f̂ᵀ G",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="time",
                claim="each is approximated in almost linear time, by Part 1 of Lemma I.6",
                forms=(cost.I_7,),
            ),
        ),
        uses=("D.17", "G.3", "I.5", "I.6"),
        note="The conditions print the same four with f, from D.17 and G.3; f̂ replaces f in the conclusions."
        " K is that of the masked output, which is not printed either: D.16 has it from s without the mask."
        f" Of Parts 1 to 3: {terms.ALGEBRA}",
    ),
    Statement(
        id="I.8",
        kind="lemma",
        title="Masked gradient components with an entrywise product",
        locus="Appendix I.2, Lemma I.8",
        parts=(
            masked_term(
                "Part 1",
                "D7 = (f̂ ⊙ (h G_iᵀ)) X Wᵀ",
                fast.D7_causal,
                terms.double_sum_C7,
                "D7 of D.15",
                {"G hᵀ for h Gᵀ": D7_with_rows},
            ),
            masked_term(
                "Part 2",
                "D4 = (f̂ ⊙ (G_i hᵀ)) X W",
                fast.D4_causal,
                terms.double_sum_C4,
                "D4 of D.15",
                {"h Gᵀ for G hᵀ": D4_with_columns},
            ),
            Part(
                kind="identity",
                name="Part 3",
                claim="g_w = Xᵀ(p1 − p2)X with p1 = f̂ ⊙ q and p2 = diag(p1 · 1_n) f̂",
                fault="misprint",
                consequence="As in F.4: f̂ is that of I.5, with scores over d, and the gradient lacks the factor 1/d.",
                forms=(
                    form(fast.g_w_causal_printed, MASKED_W, FALSE_CAUSAL_W, reading="f̂ of I.5"),
                    form(
                        fast.g_w_causal,
                        MASKED_W,
                        {**FALSE_CAUSAL_W, "as printed": fast.g_w_causal_printed},
                        role="repaired",
                        reading="divided by d",
                    ),
                ),
            ),
            Part(
                kind="asymptotic",
                name="time",
                claim="each is approximated in almost linear time, by Part 2 of Lemma I.6 (and Part 1 for g_w)",
                forms=(cost.I_8,),
            ),
        ),
        uses=("C.11", "C.12", "D.17", "F.5", "I.5", "I.6"),
        note="The conditions print the same with f; f̂ replaces f in the conclusions. The proof of Part 2 says D7."
        " Scores without 1/d, as C.6 prints them, would make Part 3 true as printed (F.4), but I.5 has them over d."
        f" Of Parts 1 and 2: {terms.ALGEBRA}",
    ),
    Statement(
        id="own/factors",
        kind="bound",
        title="Factors that the error bounds of E, F.5 and G.4 can do without",
        locus="altgrad's own; about Lemmas E.2, E.6, E.7, F.5 and G.4",
        parts=(
            Part(
                kind="inequality",
                name="diagonal",
                claim="‖f̃ diag(K) − f diag(K)‖∞ and ‖diag(K) f̃ − diag(K) f‖∞ are at most ‖f̃ − f‖∞‖K‖∞: the factor"
                " n of"
                " E.2 and E.7 is not needed",
                forms=(
                    bound(
                        bounds.z_bound_sharp,
                        "the larger of ‖f̃ diag(K) − f diag(K)‖∞ and ‖diag(K) f̃ − diag(K) f‖∞",
                        error_z6_and_z2,
                        {"the mean of |K|": mean_of_K, "without ‖K‖∞": without_K},
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="term",
                claim="‖(f̃ − f) G W_Vᵀ‖∞ ≤ ‖f̃ − f‖∞ max_c Σ_j |(G W_Vᵀ)_jc|",
                forms=(
                    bound(
                        bounds.D8_bound_sharp,
                        "‖(f̃ − f) G W_Vᵀ‖∞",
                        error_D8,
                        {"the largest entry": D8_one_row, "sums without |·|": D8_signed},
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="g_w",
                claim="‖Xᵀ(p̃ − p)X‖∞ ≤ ‖p̃ − p‖∞ (max_a Σ_i |X_ia|)²",
                forms=(
                    bound(
                        bounds.g_w_bound_sharp,
                        "‖Xᵀ(p̃ − p)X‖∞",
                        error_p,
                        {"not squared": g_w_one_sum, "sums over rows": g_w_row_sums},
                        names=("X", "W_V", "G", "x", "y", "z"),
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="g_v",
                claim="‖Xᵀ(f̃ − f)ᵀG‖∞ ≤ ‖f̃ − f‖∞ max_a Σ_j |X_ja| max_c Σ_i |G_ic|",
                forms=(
                    bound(
                        bounds.g_v_bound_sharp,
                        "‖Xᵀ(f̃ − f)ᵀG‖∞",
                        error_fX,
                        {"the largest entry of G": g_v_entry, "sums without |·|": g_v_signed},
                        names=("X", "G", "x", "y"),
                    ),
                ),
            ),
        ),
        related=("E.2", "E.6", "E.7", "F.5", "G.4"),
    ),
)
