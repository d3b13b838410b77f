"""What every symbol of the paper means on an instance, and what its derivatives are, in balls.

Each symbol is written out from its definition, entry by entry, and each derivative comes from `ground_truth`. Nothing
here is imported from `reference`: these are the true sides of the equations that its formulas are held against.

A `Convention` is a way to read the symbols. The paper's own definitions (C.3, C.5 to C.12) are the default one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import frexp
from typing import Any, Self

import numpy as np
from flint import arb, arb_series, ctx
from numpy.typing import DTypeLike

from proofs_checks import ground_truth
from proofs_checks.ground_truth import (
    GELU,
    IDENTITY,
    RELU,
    TANH,
    Activation,
    Lifted,
    Rows,
    applied,
    ball_jacobian,
    balls,
    contracted,
    series_attention,
)
from proofs_checks.instances import CLASSES, Array, Instance, shapes
from proofs_checks.running_error import Format, Running, running


@dataclass(frozen=True)
class Convention:
    """One global reading: what the scores are, along which lines f sums to one, which way round it is read."""

    W_transposed: bool = False  # the scores are X Wᵀ Xᵀ
    columns: bool = False  # columns of exp(scores) are divided by their sums, not rows
    closed_transposed: bool = False  # formulas mean fᵀ where they write f
    output_transposed: bool = False  # s = fᵀ h

    def described(self) -> tuple[str, ...]:
        return (
            "X Wᵀ Xᵀ" if self.W_transposed else "X W Xᵀ",
            "columns" if self.columns else "rows",
            "fᵀ" if self.closed_transposed else "f",
            "fᵀ h" if self.output_transposed else "f h",
        )


PAPER = Convention()


class Symbols:
    """The symbols on one instance. Operands of the instance are symbols too: X, W, W_V, G, W_Q, W_K, W_g, x, …"""

    def __init__(self, instance: Instance, convention: Convention = PAPER) -> None:
        self.instance, self.convention = instance, convention
        self.n, self.d, self.causal = instance.n, instance.d, instance.causal

    @classmethod
    def of(
        cls, n: int, d: int, *, scale: Any = 1, causal: bool = False, convention: Convention = PAPER, **operands: Any
    ) -> Self:
        """The symbols for operands given as nested lists; the others are zero."""
        if unknown := set(operands) - set(shapes(n, d)):
            raise TypeError(f"no operand is called {', '.join(sorted(unknown))}")
        arrays = {name: np.array(operands.get(name, np.zeros(shape)), float) for name, shape in shapes(n, d).items()}
        return cls(Instance(arrays, Fraction(scale), causal), convention)

    def __getattr__(self, name: str) -> Array:
        if name.startswith("__") or name not in self.instance.operands:
            raise AttributeError(f"no symbol {name}")
        value = self.__dict__[name] = balls(self.instance.operands[name])
        return value

    # --- section C

    @cached_property
    def scale(self) -> arb:
        return ground_truth.ball(self.instance.scale)

    @cached_property
    def u(self) -> Array:
        """exp(τ Σ_ab X_ia W_ab X_jb), zero where the mask forbids it (C.6, I.5)."""
        W = self.W.T if self.convention.W_transposed else self.W  # (d, d)

        def entry(i: int, j: int) -> Any:
            if self.causal and j > i:
                return arb(0)
            pairs = np.ndindex(self.d, self.d)
            return (self.scale * total(self.X[i, a] * W[a, b] * self.X[j, b] for a, b in pairs)).exp()

        return table(entry, self.n, self.n)

    @cached_property
    def alpha(self) -> Array:
        return table(lambda i: total(self.u[i, j] for j in range(self.n)), self.n)

    @cached_property
    def weights(self) -> Array:
        """u divided by its sums (C.8), before anything is transposed."""
        u = self.u.T if self.convention.columns else self.u
        sums = [total(u[i, j] for j in range(self.n)) for i in range(self.n)]
        f = table(lambda i, j: u[i, j] / sums[i], self.n, self.n)
        return f.T if self.convention.columns else f

    @cached_property
    def f(self) -> Array:
        """What formulas mean by f."""
        return self.weights.T if self.convention.closed_transposed else self.weights

    @cached_property
    def h(self) -> Array:
        return table(lambda i, c: total(self.X[i, a] * self.W_V[a, c] for a in range(self.d)), self.n, self.d)

    @cached_property
    def s(self) -> Array:
        """The attention output (C.10)."""
        f = self.weights.T if self.convention.output_transposed else self.weights
        return table(lambda i, c: total(f[i, j] * self.h[j, c] for j in range(self.n)), self.n, self.d)

    @cached_property
    def q(self) -> Array:
        return table(lambda i, j: total(self.G[i, c] * self.h[j, c] for c in range(self.d)), self.n, self.n)

    @cached_property
    def p(self) -> Array:
        """Row i is (diag(f_i) − f_i f_iᵀ) q_i (C.12)."""

        def entry(i: int, j: int) -> Any:
            jacobian = (self.f[i, j] * (int(j == k) - self.f[i, k]) for k in range(self.n))
            return total(x * self.q[i, k] for k, x in enumerate(jacobian))

        return table(entry, self.n, self.n)

    @cached_property
    def K(self) -> Array:
        return table(lambda i: total(self.G[i, c] * self.s[i, c] for c in range(self.d)), self.n)

    @cached_property
    def Q(self) -> Array:
        """The queries X W_Q (K.1)."""
        return table(lambda i, c: total(self.X[i, a] * self.W_Q[a, c] for a in range(self.d)), self.n, self.d)

    @property
    def heads(self) -> int:
        """A divisor of d that changes with n, so that one head, d heads and what lies between all occur (K.1)."""
        divisors = [k for k in range(1, self.d + 1) if self.d % k == 0]
        return divisors[self.n % len(divisors)]

    @property
    def bits(self) -> int:
        """The least b ≥ 0 such that no entry of X or W_V exceeds 2^b."""
        entries = (self.instance.operands[name] for name in ("X", "W_V"))
        mantissa, exponent = frexp(max(float(np.abs(a).max()) for a in entries))
        return max(0, exponent - 1 if mantissa == 1 / 2 else exponent)

    # --- section F

    @property
    def A1(self) -> Array:
        """Two matrices that need not be the same, for the product of F.1: X and G."""
        return self.X

    @property
    def A2(self) -> Array:
        return self.G

    @cached_property
    def A(self) -> Array:
        """X ⊗ X (F.2): row (j0, k), column (a, b) holds X_{j0,a} X_{k,b}. (n², d²)."""
        n, d = self.n, self.d
        return table(lambda row, i: self.X[row // n, i // d] * self.X[row % n, i % d], n**2, d**2)

    # --- derivatives

    def jacobian(self, forward: Callable[[Lifted], Rows], operands: dict[str, Array], wrt: str) -> Array:
        """Derivatives of every entry of `forward` on every entry of one operand."""
        return ball_jacobian(forward, operands, wrt)

    @cached_property
    def _layer(self) -> dict[str, Array]:
        return {"X": self.X, "W": self.W, "W_V": self.W_V}

    def _output(self, lifted: Lifted) -> Rows:
        c, W = self.convention, lifted["W"]
        return series_attention(
            lifted["X"],
            ground_truth.flipped(W) if c.W_transposed else W,
            lifted["W_V"],
            self.scale,
            causal=self.causal,
            columns=c.columns,
            transposed=c.output_transposed,
        )

    @cached_property
    def ds_dX(self) -> Array:
        """(n, d, n, d)."""
        return self.jacobian(self._output, self._layer, "X")

    @cached_property
    def ds_dW(self) -> Array:
        """(n, d, d, d)."""
        return self.jacobian(self._output, self._layer, "W")

    @cached_property
    def ds_dW_V(self) -> Array:
        """(n, d, d, d)."""
        return self.jacobian(self._output, self._layer, "W_V")

    @cached_property
    def dL_dX(self) -> Array:
        return contracted(self.G, self.ds_dX)

    @cached_property
    def dL_dW(self) -> Array:
        return contracted(self.G, self.ds_dW)

    @cached_property
    def dL_dW_V(self) -> Array:
        return contracted(self.G, self.ds_dW_V)

    def _along_QK(self, name: str) -> Array:
        """The gradient of ⟨G, s⟩ on one of X, W_Q, W_K, W_V, for W = W_Q W_Kᵀ."""

        def output(lifted: Lifted) -> Rows:
            W = ground_truth.product(lifted["W_Q"], ground_truth.flipped(lifted["W_K"]))
            return self._output({**lifted, "W": W})

        weights = {name: getattr(self, name) for name in ("X", "W_Q", "W_K", "W_V")}
        return contracted(self.G, self.jacobian(output, weights, name))

    @cached_property
    def dL_dW_Q(self) -> Array:
        return self._along_QK("W_Q")

    @cached_property
    def dL_dW_K(self) -> Array:
        return self._along_QK("W_K")

    @cached_property
    def dL_dW_QK(self) -> Array:
        """dL/dW at W = W_Q W_Kᵀ."""
        d = self.d
        W = table(lambda a, b: total(self.W_Q[a, c] * self.W_K[b, c] for c in range(d)), d, d)
        return contracted(self.G, self.jacobian(self._output, {"X": self.X, "W": W, "W_V": self.W_V}, "W"))

    # --- a layer and its loss, differentiated as one number (C.4, D.2)

    def derivative(self, number: Callable[[Rows], Any], wrt: str) -> Array:
        """Of a number that is computed, as a power series, from the attention output."""
        return self.jacobian(lambda lifted: [[number(self._output(lifted))]], self._layer, wrt)[0, 0]

    def loss(self, attention: Rows) -> Any:
        """L = ½ Σ tanh(Attn(T) W_g)²."""
        hidden = ground_truth.product(attention, self.W_g.tolist())
        return sum((1 - 2 / ((2 * x).exp() + 1)) ** 2 for row in hidden for x in row) / 2

    @cached_property
    def G_i(self) -> Array:
        """dL/dAttn for this loss, found by moving the attention output."""
        return self.jacobian(lambda lifted: [[self.loss(lifted["Attn"])]], {"Attn": self.s}, "Attn")[0, 0]

    @property
    def dAttn_dT(self) -> Array:
        return self.ds_dX

    @property
    def dAttn_dW(self) -> Array:
        return self.ds_dW

    @property
    def dAttn_dW_V(self) -> Array:
        return self.ds_dW_V

    # --- sections 1, 3, H and J: a layer with input T = X, attention Attn = s, and g(Z) = φ(Z W_g)

    @property
    def activation(self) -> Activation:
        """One of four: which changes with n and with how many entries of W_g are zero."""
        nonzeros = int(np.count_nonzero(self.instance.operands["W_g"]))
        return (TANH, GELU, IDENTITY, RELU)[(self.n + nonzeros) % 4]

    @property
    def phi(self) -> Callable[[Any], Any]:
        return self.activation.phi

    @property
    def phi_prime(self) -> Callable[[Any], Any]:
        return self.activation.phi_prime

    def activated(self, S: Array) -> Array:
        """φ of every entry."""
        return table(lambda *index: self.activation.series(arb_series([S[index]], prec=1))[0], *S.shape)

    @property
    def T(self) -> Array:
        return self.X

    @property
    def g_T(self) -> Array:
        """dL/dT_i: the loss of a layer's output is ⟨G, T_i⟩."""
        return self.G

    @property
    def Attn(self) -> Array:
        return self.s

    @cached_property
    def dT_dAttn(self) -> Array:
        """Derivatives of T_i = φ(Attn W_g) on Attn. (n, d, n, d)."""

        def output(lifted: Lifted) -> Rows:
            return applied(self.activation, ground_truth.product(lifted["Attn"], lifted["W_g"]))

        return self.jacobian(output, {"Attn": self.Attn, "W_g": self.W_g}, "Attn")

    @cached_property
    def Z(self) -> Array:
        """T + Attn (J.1)."""
        return table(lambda i, c: self.X[i, c] + self.s[i, c], self.n, self.d)

    @cached_property
    def g_Z(self) -> Array:
        """φ(Z W_g)."""
        S = table(lambda i, c: total(self.Z[i, a] * self.W_g[a, c] for a in range(self.d)), self.n, self.d)
        return self.activated(S)

    @property
    def G_Y(self) -> Array:
        """dL/dY of Y = X + H(X): the loss is ⟨G, Y⟩."""
        return self.G

    def attention(self, lifted: Lifted) -> Rows:
        """The attention output on power series."""
        return self._output(lifted)

    def H(self, lifted: Lifted) -> Rows:
        """Some layer (J.3): attention if n is odd, φ(X W_g) if n is even."""
        if self.n % 2:
            return self.attention(lifted)
        return applied(self.activation, ground_truth.product(lifted["X"], lifted["W_g"]))

    @property
    def with_W_g(self) -> dict[str, Array]:
        return {**self._layer, "W_g": self.W_g}

    @cached_property
    def dH_dX(self) -> Array:
        """(n, d, n, d)."""
        return self.jacobian(self.H, self.with_W_g, "X")

    @cached_property
    def vjp_H(self) -> Array:
        """(dL/dY)(dH/dX)."""
        return contracted(self.G, self.dH_dX)

    @property
    def Ws_Q(self) -> Array:
        """The weights of a model with two layers, the second one's made from the first one's (1.3). (2, d, d)."""
        return ground_truth.frozen(np.stack([self.W_Q, self.W_K]))

    @property
    def Ws_K(self) -> Array:
        return ground_truth.frozen(np.stack([self.W_K, self.W_Q]))

    @property
    def Ws_V(self) -> Array:
        return ground_truth.frozen(np.stack([self.W_V, self.W_g]))

    @property
    def Ws_g(self) -> Array:
        """Those of g_0, g_1 and g_2. (3, d, d)."""
        return ground_truth.frozen(np.stack([self.W_g.T, self.W_g, self.W_V]))

    # --- losses of T = X (3.1, 3.2)

    @property
    def C(self) -> Array:
        return self.G

    @property
    def target(self) -> Array:
        return self.G

    @property
    def Y_gt(self) -> Array:
        return self.Y

    @cached_property
    def Y_pred(self) -> Array:
        """exp of the logits T W_out, rows divided by their sums. (n, CLASSES)."""
        n, d, T = self.n, self.d, self.X
        e = table(lambda j, k: total(T[j, a] * self.W_out[a, k] for a in range(d)).exp(), n, CLASSES)
        return table(lambda j, k: e[j, k] / total(e[j, m] for m in range(CLASSES)), n, CLASSES)

    # --- what a formula is given

    def exact(self, name: str) -> Any:
        """The symbol as balls."""
        return getattr(self, name)

    def running(self, name: str, dtype: DTypeLike) -> Any:
        """The symbol as numbers that follow the rounding of `dtype`: operands are exact, what follows rounded once."""
        value = getattr(self, name)
        if isinstance(value, np.ndarray):
            return running(value, dtype, exact=name in self.instance.operands)
        return Running.rounded(value, Format.of(dtype)) if isinstance(value, arb) else value

    def floats(self, name: str, dtype: DTypeLike) -> Any:
        """The symbol as floating-point numbers."""
        if name in self.instance.operands:
            return self.instance.operands[name]
        value = getattr(self, name)
        if isinstance(value, np.ndarray):
            rounded = np.array([float(x) for x in value.flat]).reshape(value.shape).astype(dtype)
            rounded.flags.writeable = False
            return rounded
        return float(value) if isinstance(value, arb) else value


def table(entry: Callable[..., Any], *shape: int) -> Array:
    """The array with the given entries. Read-only."""
    result = np.empty(shape, dtype=object)
    with ctx.workprec(ground_truth.BITS):
        for index in np.ndindex(shape):
            result[index] = entry(*index)
    result.flags.writeable = False
    return result


def total(terms: Any) -> Any:
    """Sum of balls."""
    return sum(terms, arb(0))
