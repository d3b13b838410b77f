"""Errors and gradients carried from layer to layer: the chains of H.3, H.4, J.3, J.4 and K.2, Algorithm 1's loop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from flint import arb
from hypothesis.strategies import SearchStrategy

from proofs_checks import ground_truth
from proofs_checks.equation import EquationTrial
from proofs_checks.error_bounds import Neighbours
from proofs_checks.ground_truth import Activation, Lifted, Rows, applied, contracted, product
from proofs_checks.inequality import BoundTrial
from proofs_checks.instances import Array, Instance, layers, odd_scale, paper_scale
from proofs_checks.low_rank import Taylor
from proofs_checks.low_rank import bounded as with_bounded_scores
from proofs_checks.symbols import Symbols, table, total
from proofs_checks.theorems import SMOOTH, largest
from reference import error_bounds as bounds
from reference import transformer as formulas


class Smooth(Symbols):
    """φ without a kink."""

    @property
    def activation(self) -> Activation:
        return SMOOTH[self.n % 3][0]


class Carried(Neighbours, Smooth):
    """A gradient, and another that is off by E_ic = x_i + y_i z_0 c: as it comes from the layers above."""

    @cached_property
    def E(self) -> Array:
        return table(lambda i, c: self.x[i] + self.y[i] * self.z[0] * c, self.n, self.d)

    @property
    def epsilon(self) -> Any:
        return largest([self.E])

    @property
    def bits(self) -> int:
        """The least b ≥ 0 such that no entry of W_g exceeds 2^b."""
        entry = float(np.abs(self.instance.operands["W_g"]).max())
        return next(b for b in range(2000) if entry <= 2.0**b)

    # --- T_0 = φ(X W_g) (H)

    @cached_property
    def dT_dX(self) -> Array:
        def output(lifted: Lifted) -> Rows:
            return applied(self.activation, product(lifted["X"], lifted["W_g"]))

        return self.jacobian(output, {"X": self.X, "W_g": self.W_g}, "X")

    @cached_property
    def slope(self) -> Any:
        """The largest |φ′| of an entry of X W_g."""
        S = table(lambda i, c: total(self.X[i, a] * self.W_g[a, c] for a in range(self.d)), self.n, self.d)
        return largest([self.activation.phi_prime(S)])

    # --- heads (K), Y = s W_g

    def _head(self, columns: list[int], lifted: Lifted) -> Rows:
        """Softmax(Q_l K_lᵀ/d_h) V_l."""
        Q, K, V = ([[row[c] for c in columns] for row in product(lifted["X"], lifted[w])] for w in _WEIGHTS)
        width = ground_truth.balls([[len(columns)]])[0, 0]
        scores = product(Q, ground_truth.flipped(K))
        return ground_truth.mixed([[(x / width).exp() for x in row] for row in scores], V)

    @cached_property
    def _columns(self) -> list[list[int]]:
        width = self.d // self.heads
        return [list(range(a * width, (a + 1) * width)) for a in range(self.heads)]

    @property
    def _operands(self) -> dict[str, Array]:
        return {name: getattr(self, name) for name in ("X", *_WEIGHTS, "W_g")}

    def _side_by_side(self, lifted: Lifted) -> Rows:
        heads = [self._head(columns, lifted) for columns in self._columns]
        return [[x for row in rows for x in row] for rows in zip(*heads, strict=True)]

    @cached_property
    def dsl_dX(self) -> Array:
        """(h, n, d_h, n, d)."""
        found = [self.jacobian(partial(self._head, columns), self._operands, "X") for columns in self._columns]
        return ground_truth.frozen(np.stack(found))

    @cached_property
    def ds_dX_heads(self) -> Array:
        return self.jacobian(self._side_by_side, self._operands, "X")

    @cached_property
    def dY_ds(self) -> Array:
        """dY_ic/ds_jb = W_g[b, c] where i = j."""
        n, d = self.n, self.d
        return table(lambda i, c, j, b: self.W_g[b, c] if i == j else arb(0), n, d, n, d)

    @cached_property
    def dL_dX_heads(self) -> Array:
        """The gradient of ⟨G, Y⟩."""

        def output(lifted: Lifted) -> Rows:
            return product(self._side_by_side(lifted), lifted["W_g"])

        return contracted(self.G, self.jacobian(output, self._operands, "X"))

    @property
    def a(self) -> int:
        """Exponents of polynomials in n."""
        return 1 + self._choice % 3

    @property
    def k(self) -> int:
        return 1 + self._choice // 3 % 3

    # --- constants of own/theorem

    @property
    def rho(self) -> Any:
        return largest([self.X])

    @property
    def omega(self) -> Any:
        return largest([self.W, self.W_V])


_WEIGHTS = ("W_Q", "W_K", "W_V")


@dataclass(frozen=True)
class CarriedTrial(BoundTrial):
    """As `BoundTrial`, on gradients that are off."""

    scales: tuple[Any, ...] = (paper_scale, odd_scale)

    @property
    def scope(self) -> str:
        return f"n ≤ 4, d ≤ 3, balls{f', {self.hypothesis}' if self.hypothesis else ''}"

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return layers(*self.scales, masks=self.masks, max_n=4, max_d=3, single=False)

    def symbols(self, instance: Instance) -> Carried:
        return Carried(instance)


class Heads(Carried):
    """Multi-head attention is the attention."""

    @property
    def ds_dX(self) -> Array:
        return self.ds_dX_heads


@dataclass(frozen=True)
class HeadsTrial(EquationTrial):
    """As `EquationTrial`, on multi-head attention."""

    def symbols(self, instance: Instance) -> Heads:
        return Heads(instance)


# --- measured


def of_heads(s: Carried) -> Array:
    return s.dL_dX_heads


def behind_T_0(s: Carried) -> arb:
    """The largest entry of E · dT_0/dX."""
    return largest([contracted(s.E, s.dT_dX)])


def behind_residual(s: Carried) -> arb:
    """The largest entry of E + E · dH/dX."""
    through = contracted(s.E, s.dH_dX)
    return largest([table(lambda i, c: s.E[i, c] + through[i, c], s.n, s.d)])


def behind_heads(s: Carried) -> arb:
    """The largest entry of the sum of E · dY/ds · ds_l/dX."""
    return largest([contracted(contracted(s.E, s.dY_ds), s.ds_dX_heads)])


def behind_attention(s: Carried) -> arb:
    """The largest error of the gradient on X, made from f̃ and G + E, against the true one from G."""
    n, d, f = s.n, s.d, s.f_tilde
    G = table(lambda i, c: s.G[i, c] + s.E[i, c], n, d)
    q = table(lambda i, j: total(G[i, c] * s.h[j, c] for c in range(d)), n, n)
    K = [total(f[i, j] * q[i, j] for j in range(n)) for i in range(n)]
    p = table(lambda i, j: f[i, j] * (q[i, j] - K[i]), n, n)
    made = s.scale * (p @ s.X @ s.W.T + p.T @ s.X @ s.W) + f.T @ G @ s.W_V.T
    return largest([made - s.dL_dX])


def product_of_polynomials(s: Carried) -> arb:
    """n^k (n d n^a + 1)/n^{a+2+k} with d ≤ n."""
    n, d = s.n, min(s.n, s.d)
    product: arb = arb(n * d * n**s.a + 1) / n ** (s.a + 2)
    return product


# --- Algorithm 1


class TwoLayers(Smooth):
    """Two layers, Ws_Q and so on, with losses ⟨G, T_2⟩."""

    @cached_property
    def dL_dT_0(self) -> Array:
        """The gradient on the input of the first layer, found by moving it."""

        def output(lifted: Lifted) -> Rows:
            T = lifted["T"]
            for i in range(2):
                W = product(lifted[f"Q {i}"], ground_truth.flipped(lifted[f"K {i}"]))
                attention = ground_truth.series_attention(T, W, lifted[f"V {i}"], 1 / arb(self.d))
                T = applied(self.activation, product(attention, lifted[f"g {i}"]))
            return T

        T_0 = self.activated(
            table(lambda i, c: total(self.X[i, a] * self.Ws_g[0][a, c] for a in range(self.d)), self.n, self.d)
        )
        operands = {"T": T_0}
        for i in range(2):
            operands |= {f"Q {i}": self.Ws_Q[i], f"K {i}": self.Ws_K[i], f"V {i}": self.Ws_V[i]}
            operands |= {f"g {i}": self.Ws_g[i + 1]}
        return contracted(self.G, self.jacobian(output, operands, "T"))


@dataclass(frozen=True)
class LoopTrial(EquationTrial):
    def symbols(self, instance: Instance) -> TwoLayers:
        return TwoLayers(instance)


def dL_dT_0(s: TwoLayers) -> Array:
    return s.dL_dT_0


def dL_dW_Q(s: Symbols) -> Array:
    return s.dL_dW_Q


def dL_dW_Q_and_W_K(s: Symbols) -> Array:
    return np.stack([s.dL_dW_Q, s.dL_dW_K])


# --- G_1 with the forward pass that the time allows


class ApproximateForward(Taylor, Smooth):
    """Attn_1 from P(S) in place of exp(S)."""

    @property
    def Attn(self) -> Array:
        f, h = self.f_tilde, self.h
        return table(lambda i, c: total(f[i, j] * h[j, c] for j in range(self.n)), self.n, self.d)


@dataclass(frozen=True)
class ApproximateForwardTrial(EquationTrial):
    @property
    def instances(self) -> SearchStrategy[Instance]:
        return super().instances.map(with_bounded_scores)

    def symbols(self, instance: Instance) -> ApproximateForward:
        return ApproximateForward(instance)


def exact_G(s: Symbols) -> Array:
    """dL/dAttn at the exact attention output."""

    def loss(lifted: Lifted) -> Rows:
        T = applied(s.activation, product(lifted["Attn"], lifted["W_g"]))
        return [[sum(s.g_T[i, c] * T[i][c] for i, c in np.ndindex(s.n, s.d))]]

    found: Array = s.jacobian(loss, {"Attn": s.s, "W_g": s.W_g}, "Attn")[0, 0]
    return found


# --- claim 4


class FixedTarget(Symbols):
    """E = Attn − G_i for the loss of C.4."""

    @cached_property
    def E(self) -> Array:
        return table(lambda i, c: self.s[i, c] - self.G_i[i, c], self.n, self.d)


@dataclass(frozen=True)
class TargetTrial(EquationTrial):
    def symbols(self, instance: Instance) -> FixedTarget:
        return FixedTarget(instance)


def gradient_of_loss(s: Symbols) -> Array:
    return s.derivative(s.loss, "X")


# --- false variants


def without_n_d(E: Array, dT_dX: Array) -> Any:
    """False: as if entries of a row did not add up."""
    return bounds.chain_bound(E, dT_dX) / E.size


def without_d(E: Array, dT_dX: Array) -> Any:
    return bounds.chain_bound(E, dT_dX) / E.shape[1]


def without_dT_dX(E: Array, dT_dX: Array) -> Any:
    """False: (n · d)(1/poly(n)) alone."""
    return E.size * largest([E])


def bits_without_slope(n: int, d: int, bits: int, slope: Any, epsilon: Any) -> Any:
    return bounds.chain_bits(n, d, bits, 1, epsilon) / 2


def bits_without_d(n: int, d: int, bits: int, slope: Any, epsilon: Any) -> Any:
    """False: as if neither rows nor their entries added up."""
    return bounds.chain_bits(1, 1, bits, slope, epsilon) / 2


def bits_without_weights(n: int, d: int, bits: int, slope: Any, epsilon: Any) -> Any:
    return bounds.chain_bits(n, d, 0, slope, epsilon)


def residual_forgotten(E: Array, dH_dX: Array) -> Any:
    """False: without + 1."""
    return bounds.residual_magnification(E, dH_dX) - largest([E])


def residual_alone(E: Array, dH_dX: Array) -> Any:
    return 2 * largest([E])


def heads_without_n(E: Array, dY_ds: Array, dsl_dX: Array) -> Any:
    """False: without n² d d_h."""
    return len(dsl_dX) * largest([dY_ds]) * largest([dsl_dX]) * largest([E])


def heads_without_derivative(E: Array, dY_ds: Array, dsl_dX: Array) -> Any:
    h, n, d_h = dsl_dX.shape[:3]
    return h * n**2 * E.shape[1] * d_h * largest([dY_ds]) * largest([E])


def heads_without_output(E: Array, dY_ds: Array, dsl_dX: Array) -> Any:
    h, n, d_h = dsl_dX.shape[:3]
    return h * n**2 * E.shape[1] * d_h * largest([dsl_dX]) * largest([E])


def fresh_alone(E: Array, G: Array, n: int, d: int, rho: Any, omega: Any, scale: Any, delta: Any) -> Any:
    """False: without what comes from above."""
    return bounds.fresh_and_magnified(0 * E, G, n, d, rho, omega, scale, delta)


def one_only(n: int, d: int, a: int, k: int) -> int:
    return 1


def three_halves(n: int, d: int, a: int, k: int) -> arb:
    return arb(3) / 2


def first_head_alone(G_Y: Array, dY_ds: Array, dsl_dX: Array) -> Array:
    """False: l = 1 for the sum over l."""
    G = np.split(np.tensordot(G_Y, dY_ds, axes=2), len(dsl_dX), axis=1)[0]
    return np.tensordot(G, dsl_dX[0], axes=2)


def heads_reversed(G_Y: Array, dY_ds: Array, dsl_dX: Array) -> Array:
    return formulas.gradient_of_heads(G_Y, dY_ds, dsl_dX[::-1])


def without_output_weights(G_Y: Array, dY_ds: Array, ds_dX: Array) -> Array:
    return np.tensordot(G_Y, ds_dX, axes=2)


def target_alone(Attn: Array, E: Array, dAttn_dT: Array) -> Array:
    return np.tensordot(E, dAttn_dT, axes=2)


def target_added(Attn: Array, E: Array, dAttn_dT: Array) -> Array:
    return np.tensordot(Attn + E, dAttn_dT, axes=2)


def W_K_exchanged(dL_dW_QK: Array, W_Q: Array, W_K: Array) -> Array:
    return np.stack([dL_dW_QK @ W_Q, dL_dW_QK.T @ W_K])


def W_K_untransposed(dL_dW_QK: Array, W_Q: Array, W_K: Array) -> Array:
    return np.stack([dL_dW_QK @ W_K, dL_dW_QK @ W_Q])


def loop_forwards(
    G: Array, X: Array, Ws_Q: Array, Ws_K: Array, Ws_V: Array, Ws_g: Array, phi: Any, phi_prime: Any
) -> Array:
    """False: the loop runs with the weights of the layers in the other order."""
    turned = (Ws_Q[::-1], Ws_K[::-1], Ws_V[::-1], np.concatenate([Ws_g[:1], Ws_g[:0:-1]]))
    return formulas.MultiGrad(G, X, *turned, phi, phi_prime)
