"""The strongest theorems about the whole model that we can prove, with constants, and how slowly o(1) vanishes.

The exact gradient of a model with m layers is found by moving the input of the whole of it; the approximate pass has
weights f̃ at every layer, made from its own scores, off by factors in [1, κ] that are drawn at will
(`docs/theorems.md` derives the bounds).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import count
from math import comb, factorial, frexp
from typing import Any

import numpy as np
from flint import arb, arb_series, ctx
from hypothesis.strategies import SearchStrategy

from proofs_checks import gaps, ground_truth
from proofs_checks.equation import form
from proofs_checks.falsify import Altered
from proofs_checks.family import FamilyTrial
from proofs_checks.ground_truth import (
    BITS,
    GELU,
    IDENTITY,
    RELU,
    TANH,
    Activation,
    Lifted,
    Rows,
    ball_jacobian,
    contracted,
)
from proofs_checks.inequality import BoundTrial
from proofs_checks.instances import Array, Instance, layers, odd_scale, paper_scale
from proofs_checks.polynomial import Accuracy, PolynomialTrial, least_degree_of_chebyshev
from proofs_checks.record import Claim, Form, Part, Statement
from proofs_checks.symbols import Symbols, table, total
from reference import error_bounds as bounds
from reference import low_rank, polynomial

KAPPAS = (2, 1 + 2.0**-20, 10)
SIZES = (1, 2.0**-3, 2.0**-6)  # of the largest entries: where scores are small, little is lost
SMOOTH: tuple[tuple[Activation, Fraction, Fraction], ...] = (  # φ, and what |φ′| and the slope of φ′ do not exceed
    (IDENTITY, Fraction(1), Fraction(0)),
    (TANH, Fraction(1), Fraction(4, 5)),  # 4/(3√3) = 0.769…
    (GELU, Fraction(8, 7), Fraction(4, 5)),  # 1.1289…, √(2/π) = 0.797…
)


def largest(arrays: Any) -> arb:
    """Of all |entries| of some arrays."""
    result = arb(0)
    for array in arrays:
        for x in np.ravel(array):
            result = result.max(abs(x))
    return result


@dataclass(frozen=True)
class Layer:
    """What the model has at one layer: the scores' matrix of each head, W_V and W_g."""

    Ws: list[Array]  # of (d, d)
    W_V: Array
    W_g: Array


class Pass:
    """One pass over the model, in balls: f of every layer and head, states, pre-activations, cotangents, gradients."""

    def __init__(self, model: Model, approximate: bool) -> None:
        self.model, self.states = model, [model.T_0]
        self.f: list[list[Array]] = []
        self.Z: list[Array] = []
        for i, layer in enumerate(model.layers):
            T = self.states[-1]
            self.f.append([model.weights_of(T, W, i, approximate) for W in layer.Ws])
            self.Z.append(model.attended(T, self.f[-1], layer) + model.residual * T)
            self.states.append(model.g(self.Z[-1], layer))

    def backwards(self, cotangent: Array) -> dict[str, Any]:
        """dL/dT_0, and dL/d(W_Q W_Kᵀ) and dL/dW_V of every layer, by the algorithm, with this pass's f."""
        by_W, by_W_V = [], []
        for T, fs, Z, layer in zip(
            reversed(self.states[:-1]),
            reversed(self.f),
            reversed(self.Z),
            reversed(self.model.layers),
            strict=True,
        ):
            G = self.model.through_g(cotangent, Z, layer)
            cotangent, W, W_V = self.model.through_attention(T, fs, G, layer)
            cotangent = cotangent + self.model.residual * G
            by_W.append(W)
            by_W_V.append(W_V)
        return {"X": cotangent, "W": by_W[::-1], "W_V": by_W_V[::-1]}


class Model(Symbols):
    """m ≤ 3 layers on X, some with heads, residual connections or the mask; ⟨G, T_m⟩ or ½|T_m − G|² as the loss.

    x_1 draws what, κ, and how f̃ is off.
    """

    which = "m ≤ 3, κ from 1 + 2⁻²⁰ to 10"
    phis = "identity, tanh and gelu"
    most = 3

    @property
    def _choice(self) -> int:
        return int(1024 * abs(self.instance.operands["x"][0]))

    @property
    def m(self) -> int:
        return 1 + self._choice % self.most

    @property
    def residual(self) -> int:
        return self._choice // 3 % 2

    @property
    def squared(self) -> bool:
        return self._choice // 6 % 2 == 1

    def _sized(self, name: str) -> Array:
        """The operand times a power of two, so that its largest entry is below a number that x_1 draws."""
        entries = self.instance.operands[name]
        _, exponent = frexp(float(np.abs(entries).max()))
        return ground_truth.balls(entries * 2.0**-exponent * SIZES[self._choice // 12 % 3])

    @property
    def kappa(self) -> arb:
        return arb(KAPPAS[self._choice // 36 % 3])

    @property
    def eta(self) -> arb:
        return self.kappa.log()

    @property
    def _smooth(self) -> tuple[Activation, Fraction, Fraction]:
        return SMOOTH[self._choice // 108 % 3]

    @property
    def slope(self) -> Any:
        return ground_truth.ball(self._smooth[1])

    @property
    def curvature(self) -> Any:
        return ground_truth.ball(self._smooth[2])

    @cached_property
    def T_0(self) -> Array:
        return self._sized("X")

    @cached_property
    def layers(self) -> list[Layer]:
        """The weights of each layer are those of the one before, moved on by one."""
        W = [self._sized(name) for name in ("W_Q", "W_K", "W_V", "W_g")]
        return [self._layer_of(*(W[(k + i) % 4] for k in range(4))) for i in range(self.m)]

    def _layer_of(self, W_Q: Array, W_K: Array, W_V: Array, W_g: Array) -> Layer:
        d, width = self.d, self.d // self.heads

        def of_head(a: int) -> Array:
            columns = range(a * width, (a + 1) * width)
            return table(lambda i, j: total(W_Q[i, c] * W_K[j, c] for c in columns), d, d)

        return Layer([of_head(a) for a in range(self.heads)], W_V, W_g)

    # --- forwards

    def weights_of(self, T: Array, W: Array, layer: int, approximate: bool) -> Array:
        """exp of the scores that the mask allows, times factors in [1, κ], divided by the row sums."""
        n, d = self.n, self.d

        def entry(i: int, j: int) -> Any:
            if self.causal and j > i:
                return arb(0)
            score = self.scale * total(T[i, a] * W[a, b] * T[j, b] for a, b in np.ndindex(d, d))
            return score.exp() * (self.kappa ** self._moved(i, j, layer) if approximate else 1)

        u = table(entry, n, n)
        sums = [total(u[i]) for i in range(n)]
        return table(lambda i, j: u[i, j] / sums[i], n, n)

    def _moved(self, i: int, j: int, layer: int) -> arb:
        match self._choice // 324 % 3:
            case 0:
                return arb(int(j == 0))
            case 1:
                return arb((i + j + layer) % 2)
            case _:
                return arb((3 * i + 5 * j + layer) % 8) / 7

    def attended(self, T: Array, fs: list[Array], layer: Layer) -> Array:
        """Columns of head l: means of those columns of T W_V."""
        V, width = T @ layer.W_V, self.d // self.heads
        return table(lambda i, c: total(fs[c // width][i, j] * V[j, c] for j in range(self.n)), self.n, self.d)

    def g(self, Z: Array, layer: Layer) -> Array:
        activation = self._smooth[0]
        S = Z @ layer.W_g
        g = table(lambda *k: activation.series(arb_series([S[k]], prec=1))[0], *S.shape)
        T: Array = g + self.residual * Z
        return T

    # --- backwards, as the algorithm does it

    def through_g(self, cotangent: Array, Z: Array, layer: Layer) -> Array:
        slopes: Array = self._smooth[0].phi_prime(Z @ layer.W_g)
        return np.asarray((cotangent * slopes) @ layer.W_g.T + self.residual * cotangent)

    def through_attention(self, T: Array, fs: list[Array], G: Array, layer: Layer) -> tuple[Array, list[Array], Array]:
        V, width, n, d = T @ layer.W_V, self.d // self.heads, self.n, self.d
        by_T, by_W = table(lambda *_: arb(0), n, d), []
        by_V = table(lambda j, c: total(fs[c // width][i, j] * G[i, c] for i in range(n)), n, d)
        for head, (f, W) in enumerate(zip(fs, layer.Ws, strict=True)):
            columns = range(head * width, (head + 1) * width)
            q = table(lambda i, j: total(G[i, c] * V[j, c] for c in columns), n, n)  # noqa: B023
            K = [total(f[i, j] * q[i, j] for j in range(n)) for i in range(n)]
            p = table(lambda i, j: f[i, j] * (q[i, j] - K[i]), n, n)  # noqa: B023
            by_T = by_T + self.scale * (p @ T @ W.T + p.T @ T @ W)
            by_W.append(self.scale * T.T @ p @ T)
        return by_T + by_V @ layer.W_V.T, by_W, T.T @ by_V

    # --- both passes

    @cached_property
    def exact_pass(self) -> Pass:
        return Pass(self, approximate=False)

    @cached_property
    def approximate_pass(self) -> Pass:
        return Pass(self, approximate=True)

    def start(self, taken: Pass) -> Array:
        """dL/dT_m."""
        return taken.states[-1] - self.G if self.squared else self.G

    @cached_property
    def g_size(self) -> Any:
        return total(map(abs, self.start(self.exact_pass).flat))

    @cached_property
    def g_error(self) -> Any:
        return total(map(abs, (self.start(self.approximate_pass) - self.start(self.exact_pass)).flat))

    @cached_property
    def rho(self) -> Any:
        return largest((*self.exact_pass.states, *self.approximate_pass.states))

    @cached_property
    def omega(self) -> Any:
        return largest(W for layer in self.layers for W in (*layer.Ws, layer.W_V, layer.W_g))

    @cached_property
    def approximate_gradients(self) -> dict[str, Any]:
        return self.approximate_pass.backwards(self.start(self.approximate_pass))

    # --- the truth: the whole model as power series, moved at its input, or at one product of weights

    def output(self, lifted: Lifted) -> Rows:
        T = lifted["T"]
        for i, layer in enumerate(self.layers):
            Ws = [lifted[f"W {i} {a}"] for a in range(self.heads)]
            attention = self._series_heads(T, Ws, lifted[f"W_V {i}"])
            Z = ground_truth.added(attention, T) if self.residual else attention
            g = ground_truth.applied(self._smooth[0], ground_truth.product(Z, layer.W_g.tolist()))
            T = ground_truth.added(Z, g) if self.residual else g
        return T

    def _series_heads(self, T: Rows, Ws: list[Rows], W_V: Rows) -> Rows:
        """The outputs of the heads side by side."""
        width = self.d // self.heads
        sides = []
        for a, W in enumerate(Ws):
            columns = [row[a * width : (a + 1) * width] for row in W_V]
            sides.append(ground_truth.series_attention(T, W, columns, self.scale, causal=self.causal))
        return [[x for row in rows for x in row] for rows in zip(*sides, strict=True)]

    def exact_gradient(self, wrt: str) -> Array:
        operands = {"T": self.T_0}
        for i, layer in enumerate(self.layers):
            operands |= {f"W {i} {a}": W for a, W in enumerate(layer.Ws)} | {f"W_V {i}": layer.W_V}
        return contracted(self.start(self.exact_pass), ball_jacobian(self.output, operands, wrt))


class OneLayer(Model):
    which = "one layer, κ from 1 + 2⁻²⁰ to 10"
    most = 1


def error_X(model: Model) -> arb:
    """Σ of the errors of all entries of dL/dT_0."""
    difference = model.approximate_gradients["X"] - model.exact_gradient("T")
    result: arb = total(map(abs, difference.flat))
    return result


def errors_W(model: Model) -> Array:
    """The largest error of an entry of dL/d(W_Q W_Kᵀ), over the heads, for each layer."""
    found = model.approximate_gradients["W"]
    return table(
        lambda i: largest(found[i][a] - model.exact_gradient(f"W {i} {a}") for a in range(model.heads)), model.m
    )


def errors_W_V(model: Model) -> Array:
    """The largest error of an entry of dL/dW_V, for each layer."""
    found = model.approximate_gradients["W_V"]
    return table(lambda i: largest([found[i] - model.exact_gradient(f"W_V {i}")]), model.m)


class GivenForward(OneLayer):
    """One layer whose forward pass is exact, in n² d operations: f̃ is used backwards only, φ may be ReLU.

    Where the slope of φ jumps does not matter then, as long as φ has a derivative at what it is given.
    """

    which = "one layer with exact states, κ from 1 + 2⁻²⁰ to 10"
    phis = "identity, tanh, gelu and ReLU"
    curvature = arb(0)
    g_error = arb(0)

    @property
    def _smooth(self) -> tuple[Activation, Fraction, Fraction]:
        return (RELU, Fraction(1), Fraction(0)) if self._choice // 108 % 2 else super()._smooth

    @cached_property
    def approximate_pass(self) -> Pass:
        taken = Pass(self, approximate=False)
        ((T, layer),) = zip(taken.states[:-1], self.layers, strict=True)
        taken.f = [[self.weights_of(T, W, 0, approximate=True) for W in layer.Ws]]
        return taken


def away_from_kink(instance: Instance) -> bool:
    """φ has a derivative at each entry of Z W_g: none is 0."""
    model = GivenForward(instance)
    with ctx.workprec(BITS):
        ((Z, layer),) = zip(model.exact_pass.Z, model.layers, strict=True)
        return bool(model._smooth[0] is not RELU or all(x != 0 for x in (Z @ layer.W_g).flat))


def errors_T(model: Model) -> Array:
    """The largest error of an entry of T_i, for each layer."""
    passes = model.approximate_pass.states, model.exact_pass.states
    off = [largest([approximate - exact]) for approximate, exact in zip(*passes, strict=True)]
    return table(lambda i: off[i + 1], model.m)


class Steep(Model):
    """Two or three layers, scores of about 0, columns of T_0 of mean 0, W_V and W_g times 16, κ = 1 + 2⁻²⁰.

    Exact states behind the first layer are about 0, so that what is off there has come from the layer before.
    """

    which = "m = 2 and 3, scores of about 0, columns of T_0 of mean 0, W_V and W_g up to 16, κ = 1 + 2⁻²⁰"
    kappa = arb(KAPPAS[1])

    @property
    def m(self) -> int:
        return 2 + self._choice % 2

    @cached_property
    def T_0(self) -> Array:
        X = self._sized("X")
        centred: Array = X - X.sum(axis=0) / self.n
        return centred

    def _layer_of(self, W_Q: Array, W_K: Array, W_V: Array, W_g: Array) -> Layer:
        layer = super()._layer_of(W_Q, W_K, W_V, W_g)
        return Layer([W / 2**40 for W in layer.Ws], 16 * layer.W_V, 16 * layer.W_g)


@dataclass(frozen=True)
class ModelTrial(BoundTrial):
    """As `BoundTrial`, on models."""

    names: tuple[str, ...] = ("X", "W_Q", "W_K", "W_V", "W_g", "G", "x")
    scales: tuple[Any, ...] = (paper_scale, odd_scale)
    masks: tuple[bool, ...] = (False, True)
    model: type[Model] = Model

    @property
    def scope(self) -> str:
        return (
            f"{self.model.which}, n ≤ 3, d ≤ 3, with and without mask, heads and residual connections, φ one of"
            f" {self.model.phis}, two losses, f̃ off at will within κ; balls"
            + (f", {self.hypothesis}" if self.hypothesis else "")
        )

    @property
    def instances(self) -> SearchStrategy[Instance]:
        return layers(*self.scales, masks=self.masks, max_n=3, max_d=3, single=False)

    def symbols(self, instance: Instance) -> Model:
        return self.model(instance)


# --- what is missing: a witness for each size


def taylor(x: Any, degree: int) -> Any:
    return total(x**k / arb.fac_ui(k) for k in range(degree + 1))


class Witness(Model):
    """A model whose f̃ is made from a Taylor polynomial of even degree, and whose layers are given, not drawn.

    The degree g is the least with 3/(g + 1)! ≤ n^{−accuracy}: on scores of at most 1 it is relatively that near.
    """

    residual = 0
    squared = False
    heads = 1
    accuracy = 2
    smooth = SMOOTH[0]
    given: tuple[Layer, ...] = ()

    @property
    def m(self) -> int:
        return len(self.given)

    @property
    def _smooth(self) -> tuple[Activation, Fraction, Fraction]:
        return self.smooth

    @property
    def T_0(self) -> Array:
        return self.X

    @property
    def layers(self) -> list[Layer]:
        return list(self.given)

    @property
    def degree(self) -> int:
        return next(g for g in count(2, 2) if 3 * self.n**self.accuracy <= factorial(g + 1))

    def weights_of(self, T: Array, W: Array, layer: int, approximate: bool) -> Array:
        n, d = self.n, self.d

        def entry(i: int, j: int) -> Any:
            score = self.scale * total(T[i, a] * W[a, b] * T[j, b] for a, b in np.ndindex(d, d))
            return taylor(score, self.degree) if approximate else score.exp()

        u = table(entry, n, n)
        sums = [total(u[i]) for i in range(n)]
        return table(lambda i, j: u[i, j] / sums[i], n, n)

    @cached_property
    def error(self) -> arb:
        """The largest of an entry of dL/dT_0."""
        return largest([self.approximate_gradients["X"] - self.exact_gradient("T")])


def error(witness: Any) -> arb:
    """What the witness has for its error."""
    result: arb = witness.error
    return result


class Kinked(Witness):
    smooth = (RELU, Fraction(1), Fraction(0))  # ReLU's slope jumps


class Smooth(Witness):
    smooth = SMOOTH[1]


class KinkedAround(Kinked):
    residual = 1


class SmoothAround(Smooth):
    residual = 1


def balanced(kind: type[Witness], n: int) -> Witness:
    """Rows (3, 1) and (1, 1) by turns, scores 9/16, 3/16 and 1/16. For a row (3, 1), φ has its argument on either side
    of 0 in the two passes, by the choice of W_V; for a row (1, 1) it is below −1/10 in both."""
    X, G = [[3 - 2 * (i % 2), 1] for i in range(n)], [[1, 0]] * n
    made = kind.of(n, 2, X=X, G=G, scale=Fraction(1, 2))
    with ctx.workprec(BITS):
        high, low = arb(9) / 16, arb(3) / 16  # scores of a row (3, 1)
        exact = 1 + 2 / (1 + (low - high).exp())
        near = 1 + 2 / (1 + taylor(low, made.degree) / taylor(high, made.degree))
        shift = -Fraction(float((exact + near) / 2)) - 3 * made.residual
    W, W_V, W_g = [[1 / 8, 0], [0, 0]], [[1, 0], [ground_truth.ball(shift), 0]], [[1, 1], [0, 0]]
    made.given = (Layer([ground_truth.balls(W)], ground_truth.balls(W_V), ground_truth.balls(W_g)),)
    return made


def kink(n: int) -> Witness:
    return balanced(Kinked, n)


def no_kink(n: int) -> Witness:
    """The same with tanh."""
    return balanced(Smooth, n)


def kink_with_residuals(n: int) -> Witness:
    return balanced(KinkedAround, n)


def no_kink_with_residuals(n: int) -> Witness:
    return balanced(SmoothAround, n)


class SteepLoss(Witness):
    """The loss is ½ n^{2n} |T_1 − t|² with t the exact T_1, where it is least: dL/dT_1 and all gradients are 0."""

    power = 2

    def start(self, taken: Pass) -> Array:
        difference = taken.states[-1] - self.exact_pass.states[-1]  # (n, d)
        return np.asarray(arb(self.n) ** (self.power * self.n) * difference)


class FlatLoss(SteepLoss):
    """½ |T_1 − t|²."""

    power = 0


def by_turns(n: int, kind: type[Witness]) -> Witness:
    """Rows (3, 1) and (1, 1) by turns as in `balanced`, W_V = W_g = I, φ(x) = x."""
    made = kind.of(n, 2, X=[[3 - 2 * (i % 2), 1] for i in range(n)], scale=Fraction(1, 2))
    I = ground_truth.balls(gaps.identity(2))  # noqa: E741
    made.given = (Layer([ground_truth.balls([[1 / 8, 0], [0, 0]])], I, I),)
    return made


def steep_loss(n: int) -> Witness:
    return by_turns(n, SteepLoss)


def flat_loss(n: int) -> Witness:
    """The same with ½ |T_1 − t|²."""
    return by_turns(n, FlatLoss)


class Growing(Witness):
    squared = True
    accuracy = 3  # of exp: f, whose entries are below 2/n, is within n^(−4)


def grown(n: int, m: int) -> Witness:
    """Rows (±1, 0 or 1, 1), n a multiple of 4, scores q_i k_j of their first two entries at the first layer, else 0.

    The first layer has n(k − ½) for values. The mean over all rows, which the second layer takes, is 0: the weight on
    k = 1 is σ(1) in one half of the rows and σ(−1) = 1 − σ(1) in the other. Every layer after it multiplies by n. The
    loss is ½|T_m|², so that for m ≥ 2 T_m, dL/dT_m and all gradients are 0.
    """
    made = Growing.of(n, 3, X=[[1 - 2 * (i % 2), i // 2 % 2, 1] for i in range(n)], scale=Fraction(1, 3))
    W, no, W_g = [[0, 3, 0], [0, 0, 0], [0, 0, 0]], [[0] * 3] * 3, gaps.identity(3)
    first, later = [[0, 0, 0], [n, 0, 0], [-n / 2, 0, 0]], [[n, 0, 0], [0, 0, 0], [0, 0, 0]]
    weights = [(W, first), *[(no, later)] * (m - 1)]
    made.given = tuple(
        Layer([ground_truth.balls(a)], ground_truth.balls(b), ground_truth.balls(W_g)) for a, b in weights
    )
    return made


def many_layers(n: int) -> Witness:
    """m = log2 n of them, n a power of two."""
    return grown(n, n.bit_length() - 1)


def one_layer(n: int) -> Witness:
    return grown(n, 1)


class Second(gaps.Third):
    """The second layer, whose input is the attention output of a first one."""

    before: Symbols

    @cached_property
    def X(self) -> Array:
        return self.before.s


class EnoughForSecond(gaps.Enough, Second):
    pass


def second(n: int, W_V: int, kind: type[Second] = Second) -> Second:
    """Rows on a circle of radius 1, to 53 bits; W = I at both layers, W_V a multiple of I at the first, φ(x) = x."""
    turns = [2 * np.pi * i / n for i in range(n)]
    X = [[float(np.cos(t)), float(np.sin(t))] for t in turns]
    made = kind.of(n, 2, W=gaps.identity(2), scale=Fraction(1, 2))
    made.before = Symbols.of(n, 2, X=X, W=gaps.identity(2), W_V=[[W_V, 0], [0, W_V]], scale=Fraction(1, 2))
    return made


def circle(n: int) -> Second:
    """W_V = 8n I: the second layer's rows lie on a circle of radius 1.9 n."""
    return second(n, 8 * n)


def small_circle(n: int) -> Second:
    """W_V = I."""
    return second(n, 1, EnoughForSecond)


class Turned(Symbols):
    """g_v as G.3 prints it, and as it is repaired, both with f itself."""

    transposed = False

    @cached_property
    def error(self) -> arb:
        f = self.f.T if self.transposed else self.f
        g_v = table(
            lambda a, c: total(self.X[i, a] * f[i, j] * self.G[j, c] for i, j in np.ndindex(f.shape)), self.d, self.d
        )
        return largest([g_v - self.dL_dW_V])


class TurnedBack(Turned):
    transposed = True


class TurnedInput(Turned):
    """g_t as Algorithm 1 prints it, and as it is repaired, both with f itself."""

    @cached_property
    def error(self) -> arb:
        X, W, f, G = self.X, self.W, self.f, self.G
        p = f * (G @ self.h.T - self.K[:, None])  # (n, n), the rest of D2 and D4
        if self.transposed:
            g_t = self.scale * (p @ X @ W.T + p.T @ X @ W) + f.T @ G @ self.W_V.T
        else:
            of_keys = f * (self.h @ G.T - self.K)  # (n, n), D6 and D7
            g_t = of_keys @ X @ W.T + p @ X @ W + f @ G @ self.W_V.T
        return largest([g_t - self.dL_dX])


class TurnedInputBack(TurnedInput):
    transposed = True


def one_key(n: int, kind: type[Turned] = Turned) -> Turned:
    """One key has half of the weight or more in every row: X_1 = (1, 1), other rows (0, 1), and only G_11 is not 0."""
    X, G = ([[int(i == 0), other] for i in range(n)] for other in (1, 0))
    W = [[0, 0], [2 * n.bit_length(), 0]]
    return kind.of(n, 2, X=X, W=W, G=G, W_V=gaps.identity(2), scale=Fraction(1, 2))


def one_key_turned(n: int) -> Turned:
    return one_key(n, TurnedBack)


def one_key_for_input(n: int) -> Turned:
    return one_key(n, TurnedInput)


def one_key_for_input_turned(n: int) -> Turned:
    return one_key(n, TurnedInputBack)


class Fresh(Witness):
    """What one attention layer adds of its own: G_1 is exact, d = 1."""

    poly = 2**64
    exact_factors = False

    @property
    def g_k_error(self) -> int:
        """That of what comes from the layers above."""
        return 0

    def weights_of(self, T: Array, W: Array, layer: int, approximate: bool) -> Array:
        return super().weights_of(T, W, layer, approximate and not self.exact_factors)


class NoFresh(Fresh):
    exact_factors = True


def fresh(n: int, kind: type[Fresh] = Fresh) -> Fresh:
    """Rows 0 and 1 by turns, W = W_V = W_g = 1, φ(x) = x, loss ⟨1, T_1⟩."""
    made = kind.of(n, 1, X=[[i % 2] for i in range(n)], G=[[1]] * n)
    one = ground_truth.balls([[1]])
    made.given = (Layer([one], one, one),)
    return made


def fresh_with_exact_factors(n: int) -> Fresh:
    return fresh(n, NoFresh)


def twice_vanishing() -> arb:
    return 2 * bounds.vanishing()


def half_vanishing() -> arb:
    return bounds.vanishing() / 2


def none_at_all(g_k_error: Any) -> Any:
    return g_k_error


def poly_squared(poly: Any, g_k_error: Any) -> Any:
    return poly**2 * g_k_error


class Bits:
    """n = 2^e rows of d = e entries, scores of at most 1, and a relative error of n^{−m}."""

    def __init__(self, e: int, m: int) -> None:
        self.n, self.e, self.m = 2**e, e, m

    @cached_property
    def rank(self) -> arb:
        """binom(d+g, g) for the least g that tanh(1/(g+1))^{g+1} ≤ ε does not exclude (own/degree)."""
        digits, low, high = self.m * self.e * arb(2).log(), 0, 1
        while not _reached(high, digits):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _reached(middle, digits) else (middle, high)
        return arb(self.e + high + 1).gamma() / (arb(self.e + 1).gamma() * arb(high + 1).gamma())


def _reached(g: int, digits: arb) -> bool:
    return bool(-(g + 1) * (1 / arb(g + 1)).tanh().log() >= digits)


def rank(bits: Bits) -> arb:
    return bits.rank


def as_many_layers(e: int) -> Bits:
    """m = log2 n."""
    return Bits(e, e)


def as_few_layers(e: int) -> Bits:
    """m = 1."""
    return Bits(e, 1)


# --- false variants


def nothing(eta: Any) -> Any:
    return 0 * eta


def tenth(value: Any) -> Any:
    return value / 10


def hundredth(value: Any) -> Any:
    return value / 100


def second_order(eta: Any) -> Any:
    """As if errors of the first order cancelled."""
    return eta * eta / 4


def states_from_true_ones(
    m: int, d: int, rho: Any, omega: Any, scale: Any, eta: Any, slope: Any, residual: int
) -> Array:
    """False: what a layer adds of its own, as if the states before it were exact."""
    return np.repeat(bounds.model_state_error(1, d, rho, omega, scale, eta, slope, residual), m)


def W_V_with_true_states(
    m: int, d: int, rho: Any, omega: Any, scale: Any, eta: Any, slope: Any, curvature: Any, residual: int,
    g_size: Any, g_error: Any,
) -> Array:  # fmt: skip
    """False: as if Tᵀ and the scores in Tᵀ fᵀ G were those of the exact pass."""
    errors = bounds.model_errors(m, d, rho, omega, scale, eta, slope, curvature, residual, g_size, g_error)
    return np.array([rho * (e.dG + (np.exp(eta) - 1) / 2 * e.G) for e in errors])


class Polynomials:
    """An error of 1/n^b before a residual connection around H with dH/dX = n I, d = 1."""

    def __init__(self, n: int, b: int) -> None:
        self.n, self.d, self.b = n, 1, b

    @property
    def error(self) -> arb:
        result: arb = arb(self.n + 1) / self.n**self.b
        return result


def given_first(n: int) -> Polynomials:
    """The error is 1/n."""
    return Polynomials(n, 1)


def chosen_last(n: int) -> Polynomials:
    """The error is n^{−3}."""
    return Polynomials(n, 3)


# --- how slowly o(1) vanishes


class Regime(Accuracy):
    """d = log2 n = 4 n' d' for the n', d' that are drawn, |scores| ≤ B = 1 + x_1², ε = 1/n or 1/100."""

    @property
    def log2_n(self) -> int:
        return 4 * self.n * self.d

    @property
    def bound(self) -> float:
        return 1 + min(3.0, float(self.instance.operands["x"][0]) ** 2)

    @property
    def digits(self) -> arb:
        return arb(100).log() if self.n % 2 else self.log2_n * arb(2).log()


def exponent_of_rank(symbols: Regime) -> arb:
    """log binom(d+g, g)/log n at the least g with 2e^B Σ_{k>g} I_k(B) ≤ ε."""
    g = least_degree_of_chebyshev(symbols)
    with ctx.workprec(BITS):
        return arb(comb(symbols.log2_n + g, g)).log() / (symbols.log2_n * arb(2).log())


def degree_less_one(bound: Any, digits: Any) -> int:
    return polynomial.degree_of_digits(bound, digits) - 1


def degree_for_half_the_digits(bound: Any, digits: Any) -> int:
    return polynomial.degree_of_digits(bound, digits / 2)


def exponent_of_degree_before(log2_n: int, bound: Any, digits: Any) -> arb:
    g = polynomial.degree_of_digits(bound, digits) - 1
    return arb(comb(log2_n + g, g)).log() / (log2_n * arb(2).log())


def exponent_without_d(log2_n: int, bound: Any, digits: Any) -> arb:
    """False: as if the rank were 2^g."""
    return arb(polynomial.degree_of_digits(bound, digits)) / log2_n


# --- the forms that the theorems of the paper have

LARGEST_ERROR = "the largest error of an entry of dL/dT_0"
FALSE_VANISHING: dict[str, Claim] = {"1/2": twice_vanishing, "1/8": half_vanishing}
AS_PRINTED = FamilyTrial(
    "the largest error of an entry of g_v, f exact", error, one_key, one_key_turned, "fᵀ for f", (4, 8, 16), ("n", "d")
)
INPUT_AS_PRINTED = FamilyTrial(
    "the largest error of an entry of g_t, f exact",
    error,
    one_key_for_input,
    one_key_for_input_turned,
    "g_t as repaired",
    (4, 8, 16),
    ("n", "d"),
)
KINK = FamilyTrial(LARGEST_ERROR, error, kink, no_kink, "φ = tanh for ReLU", (4, 8, 16), ("n", "d"))
KINK_AROUND = replace(KINK, witness=kink_with_residuals, control=no_kink_with_residuals)
STEEP_LOSS = FamilyTrial(
    LARGEST_ERROR, error, steep_loss, flat_loss, "n^0 for n^(2n) in the loss", (4, 8, 16), ("n", "d")
)
GROWTH = FamilyTrial(
    LARGEST_ERROR, error, many_layers, one_layer, "m = 1 for m = log2 n", (8, 16, 32), ("n", "d", "m")
)
RANK_OF_MANY = FamilyTrial(
    "the rank of a polynomial of the scores with a relative error of n^(−m)",
    rank,
    as_many_layers,
    as_few_layers,
    "m = 1 for m = log2 n",
    (2**14, 2**15),
    ("e", "m"),
)
FRESH = FamilyTrial(
    "the largest error of an entry of g̃_{t0}, from an exact G",
    error,
    fresh,
    fresh_with_exact_factors,
    "exact factors of f",
    (2, 4, 8),
    ("n", "d"),
)
GIVEN = FamilyTrial(
    "the error behind H(X) = n X with a residual connection, that before being 1/n",
    error,
    given_first,
    chosen_last,
    "the error chosen after dH/dX",
    (4, 8, 16),
    ("n",),
)
SECOND_WRITTEN = FamilyTrial(
    "entries of the U1 of the second layer for ‖U1V1ᵀ − f‖∞ ≤ 1/(3n)",
    gaps.entries,
    circle,
    small_circle,
    "W_V = I for W_V = 8n I",
    (4, 8, 16, 32),
    ("n", "d"),
)
SMALL = "an error of 1/poly(n) is below every constant for all large n"
ANY_RELU = "g_t and g_v even as repaired in E.11 and G.3, forward pass with the same factors of f, φ = ReLU"
ANY_LOSS = (
    "g_t and g_v even as repaired in E.11 and G.3, forward pass with the same factors of f, φ(x) = x, the loss"
    " ½ n^(2n) |T_m − t|², t the exact T_m: differentiable, as 3.1 asks"
)
ANY_PHI_SMOOTH = "|φ′| bounded, φ′ Lipschitz"
BOUNDED_LAYERS = "|scores| ≤ B = o(log n) at every layer of the approximate pass"
REPAIRED = "g_t and g_v as repaired in E.11 and G.3"
LOSS = "dL/dT_m of at most poly(n) and Lipschitz with such a constant"
ONE = f"{REPAIRED}; {ANY_PHI_SMOOTH}; {BOUNDED_LAYERS}; {LOSS}"
FIXED = f"{ONE}; weights and hidden states of at most poly(n) at every layer; m fixed"
TO_POLY = (
    "with ω, ρ, L, L', |dL/dT_m|₁ and the Lipschitz constant of dL/dT at most n^c, the right side is at most"
    " n^{c'} (e^{n^{c'} η} − 1) for some c' that depends on c and m alone, so at most n^{−k} for η ≤ n^{−2c'−k−1} and"
    " large n. η = ln κ ≤ 3ε for a relative error ε ≤ 1/3 of the polynomial (own/polynomial), and ε ≥ 1/poly(n) has"
    " rank n^{o(1)} (C.13). g_0 multiplies the error by d ω L more (H.2)"
)


FORWARD_GIVEN = "forward pass given, its n² d operations not counted: T_0, Attn_1 and so G_1 exact"
GIVEN_TO_POLY = (
    "with ω, ρ, L and |dL/dT_1|₁ at most n^c, as numbers of O(log n) bits are (E.11 and the proof of H.3 say so of G_1"
    " and dT_0/dX), the right side, Λ(e^η − 1)(r + dωL)|dL/dT_1|₁, is at most n^{c'} (e^η − 1) for a c' that depends"
    " on c alone, so at most n^{−k} for η ≤ n^{−c'−k−1} and large n. η = ln κ ≤ 3ε for a relative error ε ≤ 1/3 of the"
    " polynomial (own/polynomial). Neither φ′ nor dL/dT_1 is taken at another place, so they may jump. g_0 multiplies"
    " the error by d ω L more (H.2)"
)


def vanishes(trial: FamilyTrial, reading: str) -> Form:
    """A printed error of 1/poly(n), and a family on which it is not small."""
    return gaps.falls(trial, bounds.vanishing, FALSE_VANISHING, reading=reading, necessary=SMALL)


def written(trial: FamilyTrial, reading: str) -> Form:
    """A printed time of n^{1+o(1)}, and a family on which U1 alone has n² entries."""
    return gaps.falls(trial, low_rank.few_entries, gaps.FALSE_ENTRIES, reading=reading, necessary=gaps.WRITTEN)


def exact_forwards(trial: FamilyTrial, reading: str) -> Form:
    """A printed error of 1/poly(n) with all states and G_1 exact, and a family on which it is not small."""
    return vanishes(trial, f"{FORWARD_GIVEN}; {reading}")


def given_and_repaired(reading: str, implication: str = "") -> Form:
    """The error with all states and G_1 exact, by the repaired formulas."""
    made = form(bounds.model_X_error, GIVEN_FORWARD, FALSE_X, role="repaired", reading=f"{reading}; {FORWARD_GIVEN}")
    return replace(made, implication=f"{GIVEN_TO_POLY}{implication}")


def theorem(trial: ModelTrial, reading: str) -> Form:
    """What is true of the error, with the hypotheses that the theorem needs."""
    made = form(bounds.model_X_error, trial, FALSE_X, role="hypothesis", reading=reading)
    return replace(made, implication=TO_POLY)


FALSE_X: dict[str, Claim] = {
    "f̃ taken for f": Altered(bounds.model_X_error, nothing, "eta"),
    "η²/4 for η": Altered(bounds.model_X_error, second_order, "eta"),
    "a tenth": Altered(bounds.model_X_error, tenth),
}
FALSE_W: dict[str, Claim] = {
    "f̃ taken for f": Altered(bounds.model_W_error, nothing, "eta"),
    "η²/4 for η": Altered(bounds.model_W_error, second_order, "eta"),
    "without the scale": Altered(bounds.model_W_error, nothing, "scale"),
}
FALSE_W_SMALL: dict[str, Claim] = {"a hundredth": Altered(bounds.model_W_error, hundredth)}  # refused by one layer
FALSE_W_V: dict[str, Claim] = {
    "f̃ taken for f": Altered(bounds.model_W_V_error, nothing, "eta"),
    "η²/4 for η": Altered(bounds.model_W_V_error, second_order, "eta"),
    "a tenth": Altered(bounds.model_W_V_error, tenth),
}
ONE_LAYER = ModelTrial("Σ of the errors of all entries of dL/dT_0", error_X, model=OneLayer)
MANY_LAYERS = replace(ONE_LAYER, model=Model)
GIVEN_FORWARD = replace(
    ONE_LAYER, model=GivenForward, assumed=away_from_kink, hypothesis="φ differentiable at each entry of Z_1 W_g"
)


FALSE_T: dict[str, Claim] = {
    "f̃ taken for f": Altered(bounds.model_state_error, nothing, "eta"),
    "a tenth": Altered(bounds.model_state_error, tenth),
}
STATES = ModelTrial("the largest error of an entry of T_i, layer by layer", errors_T)
BY_W_V = ModelTrial("the largest error of an entry of dL/dW_V, layer by layer", errors_W_V)


def with_steep(made: Form, trial: ModelTrial, false: Mapping[str, Claim]) -> Form:
    """The form, tried on steep models as well, which tell what a layer is given from what it adds."""
    (check,) = made.checks
    return replace(made, checks=(check, replace(check, trial=replace(trial, model=Steep), false=false)))


def parts(model: type[Model]) -> tuple[Part, ...]:
    """The bounds on the states and on the three gradients."""
    of_T = form(bounds.model_state_error, replace(STATES, model=model), FALSE_T)
    of_X = replace(ONE_LAYER, model=model)
    of_W = ModelTrial("the largest error of an entry of dL/d(W_Q W_Kᵀ), layer by layer", errors_W, model=model)
    of_W_V = form(bounds.model_W_V_error, replace(BY_W_V, model=model), FALSE_W_V)
    if model is Model:
        given: dict[str, Claim] = {"the states before taken for exact": states_from_true_ones}
        of_T = with_steep(of_T, STATES, {**FALSE_T, **given})
        given = {"states taken for exact": W_V_with_true_states, "a tenth": FALSE_W_V["a tenth"]}
        of_W_V = with_steep(of_W_V, BY_W_V, given)
    made = (
        Part(
            kind="inequality",
            name="states",
            claim="‖T̃_i − T_i‖∞ ≤ t_i = (r + dωL) z_i, z_i = r t_{i−1} + dω(t_{i−1} + ρ(η/2 + σ_i)),"
            " σ_i = 2|τ|d²ωρ t_{i−1}, t_0 = 0",
            forms=(of_T,),
        ),
        Part(
            kind="inequality",
            name="dX",
            claim="|g̃_0 − dL/dT_0|₁ ≤ c_0 ≤ Γ^m (c_m + γ_m Σ_i (L'/(L + r/(dω)) · dω z_i + δ_i + 2t_{i−1}/ρ)),"
            " Γ = (r + Λ)(r + dωL), Λ = 4|τ|d³ρ²ω² + dω",
            forms=(form(bounds.model_X_error, of_X, FALSE_X),),
        ),
        Part(
            kind="inequality",
            name="dW",
            claim="‖g̃_{W_i} − dL/dW_i‖∞ ≤ 2|τ|dρ³ω (Δ_i + (δ_i + 3t_{i−1}/ρ) G_i)",
            forms=(form(bounds.model_W_error, of_W, {**FALSE_W, **(FALSE_W_SMALL if model is OneLayer else {})}),),
        ),
        Part(
            kind="inequality",
            name="dW_V",
            claim="‖g̃_{V_i} − dL/dW_{V_i}‖∞ ≤ ρ (Δ_i + (δ_i/2 + t_{i−1}/ρ) G_i)",
            forms=(of_W_V,),
        ),
    )
    return (*made, *given_parts(of_W)) if model is OneLayer else made


def given_parts(of_W: ModelTrial) -> tuple[Part, ...]:
    """The same bounds with nothing lost forwards: z_1 = 0 and c_1 = 0."""
    by_W, by_W_V = (
        replace(GIVEN_FORWARD, quantity=trial.quantity, measured=trial.measured) for trial in (of_W, BY_W_V)
    )
    return (
        Part(
            kind="inequality",
            name="dX, states given",
            claim="|g̃_0 − dL/dT_0|₁ ≤ Λ(e^η − 1)(r + dωL)|dL/dT_1|₁ if T_0, Attn_1 and G_1 are exact; φ′ may jump",
            forms=(form(bounds.model_X_error, GIVEN_FORWARD, FALSE_X),),
        ),
        Part(
            kind="inequality",
            name="dW, states given",
            claim="‖g̃_W − dL/dW‖∞ ≤ 2|τ|dρ³ω(e^η − 1)(r + dωL)|dL/dT_1|₁ then",
            forms=(form(bounds.model_W_error, by_W, {**FALSE_W, **FALSE_W_SMALL}),),
        ),
        Part(
            kind="inequality",
            name="dW_V, states given",
            claim="‖g̃_V − dL/dW_V‖∞ ≤ ½ρ(e^η − 1)(r + dωL)|dL/dT_1|₁ then",
            forms=(form(bounds.model_W_V_error, by_W_V, FALSE_W_V),),
        ),
    )


def ours(id: str, title: str, parts: tuple[Part, ...], **more: Any) -> Statement:
    return Statement(id=id, kind="bound", title=title, locus="altgrad's own, docs/theorems.md", parts=parts, **more)


SETTING = (
    "T_i = r Z_i + φ(Z_i W_g), Z_i = r T_{i−1} + Attn_i(T_{i−1}), r = 0, or 1 with residual connections",
    "f̃ of the approximate pass made from its own scores, P(S̃) with κ = e^η where these lie",
    "no entry of W_l = W_Q W_Kᵀ (of any head), W_V or W_g above ω, of a state of either pass above ρ",
    "|φ′| ≤ L, and φ′ Lipschitz with the constant L'",
    "γ_m = |dL/dT_m|₁, c_m its error",
)
STATEMENTS: tuple[Statement, ...] = (
    ours(
        "own/theorem: one layer",
        "The gradients of one layer, with constants",
        parts(OneLayer),
        assumes=SETTING,
        note="At m = 1 t_0 = 0 and δ_1 = κ − 1. No power of n is in it but what |dL/dT_1|₁ ≤ n d‖dL/dT_1‖∞ has. The"
        " cost is that of the gradients with factors of rank binom(d+g, g), linear in n; the degree is that of"
        " own/polynomial.",
        related=("4.1", "H.3", "J.4"),
    ),
    ours(
        "own/theorem: m layers",
        "The gradients of m layers, with constants",
        parts(Model),
        assumes=SETTING,
        note="The sum of |entries| of a cotangent grows by Γ per layer, which has no power of n: where ω, ρ and L are"
        " at most polylog(n), m = o(log n) layers keep the rank n^{o(1)}; where they are n^c, m = o(log log n)"
        " (docs/theorems.md).",
        uses=("own/theorem: one layer",),
        related=("4.2", "H.4", "J.5", "K.2", "B.1", "B.2", "B.3"),
    ),
    ours(
        "own/exponent",
        "By which power of n the cost of factors grows",
        (
            Part(
                kind="inequality",
                name="degree",
                claim="the least g with 2e^B Σ_{k>g} I_k(B) ≤ ε is at most the least g ≥ B/2 with"
                " 2e^{B + B²/(4g+8)} (B/2)^{g+1}/((g+1)! (1 − B/(2g+4))) ≤ ε",
                forms=(
                    form(
                        polynomial.degree_of_digits,
                        PolynomialTrial(
                            "the least g with 2e^B Σ_{k>g} I_k(B) ≤ ε",
                            least_degree_of_chebyshev,
                            ("X",),
                            hypothesis="balls, log(1/ε) = n d²/4, n ≤ 6, d ≤ 6, B the largest of 1 and up to 36"
                            " squares",
                            kind=Accuracy,
                        ),
                        {"one less": degree_less_one, "√ε for ε": degree_for_half_the_digits},
                    ),
                ),
            ),
            Part(
                kind="inequality",
                name="rank",
                claim="so for d = log2 n, |scores| ≤ B and ε = 1/n or 1/100 the rank is at most n to the power"
                " log binom(d+g, g)/log n at this g",
                forms=(
                    form(
                        polynomial.rank_exponent,
                        PolynomialTrial(
                            "log binom(d+g, g)/log n at the least g with 2e^B Σ_{k>g} I_k(B) ≤ ε",
                            exponent_of_rank,
                            ("x",),
                            hypothesis="balls, n from 2^4 to 2^144, B from 1 to 4",
                            kind=Regime,
                        ),
                        {"at g − 1": exponent_of_degree_before, "2^g": exponent_without_d},
                    ),
                ),
            ),
        ),
        note="With |scores| ≤ 1 and ε = 1/n the power is 0.99 at n = 2^20, 0.89 at 2^64, 0.63 at 2^1000 and 0.35 at"
        " 2^(10^6); at a fixed ε = 1/100 it is 0.67, 0.31, 0.035 and 0.00008; by the rank bound that I.1 prints, and"
        " ε = 1/n, 2.08, 1.82, 1.26 and 0.70 (docs/theorems.md). The cost is n to the power 1 more.",
        related=("C.13", "4.1", "4.2", "I.1"),
    ),
)
