"""The formulas of section D, one by one: against plain loops, against each other, against autograd's Jacobian."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import autograd
import numpy as np
import pytest

from proofs_checks import ground_truth
from reference import input_gradient as formulas
from reference import softmax_attention as attn
from reference.softmax_attention import Array

Formula: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer and what section D makes of it, by the paper's names."""

    X: Array
    W: Array
    W_V: Array
    G: Array
    scale: float
    causal: bool
    x: Array
    y: Array
    z: Array

    @property
    def f(self) -> Array:
        return attn.f(attn.u(self.X, self.W, scale=self.scale, causal=self.causal))

    @property
    def h(self) -> Array:
        return attn.h(self.X, self.W_V)

    @property
    def s(self) -> Array:
        return attn.s(self.f, self.h)

    @property
    def K(self) -> Array:
        return formulas.K(self.G, self.s)

    @property
    def ds_dX(self) -> Array:
        """(n, d, n, d), by autograd."""

        def output(X: Any) -> Any:
            return ground_truth.forward(X, self.W, self.W_V, scale=self.scale, causal=self.causal)

        return np.asarray(autograd.jacobian(output)(self.X))

    @property
    def dL_dX(self) -> Array:
        operands = (self.X, self.W, self.W_V, self.G)
        return ground_truth.gradient(*operands, scale=self.scale, causal=self.causal).X

    def of(self, formula: Formula, **indices: int) -> Any:
        """The formula's value on this layer."""
        wanted = inspect.signature(formula).parameters
        return formula(**{name: indices[name] if name in indices else getattr(self, name) for name in wanted})

    def each(self, formula: Formula, **over: int) -> Array:
        """Its values for all indices in these ranges."""
        values = [self.of(formula, **dict(zip(over, index, strict=True))) for index in np.ndindex(*over.values())]
        return np.array(values).reshape(*over.values(), *np.shape(values[0]))


def layer(n: int, d: int, *, seed: int = 0, scale: float = 1.0, causal: bool = False, dtype: Any = float) -> Layer:
    rng = np.random.default_rng(seed)
    X, W, W_V, G, x, y, z = (
        rng.normal(size=shape).astype(dtype) for shape in ((n, d), (d, d), (d, d), (n, d), (n,), (n,), (n,))
    )
    return Layer(X, W, W_V, G, scale, causal, x, y, z)


def zero_input(n: int, d: int) -> Layer:
    start = layer(n, d)
    return Layer(0 * start.X, *(getattr(start, k) for k in ("W", "W_V", "G", "scale", "causal", "x", "y", "z")))


LAYERS = {
    "3×2": layer(3, 2),
    "n = 1": layer(1, 3, seed=1),
    "d = 1": layer(4, 1, seed=2),
    "n = d = 1": layer(1, 1, seed=3),
    "n < d": layer(2, 3, seed=4),
    "X = 0": zero_input(3, 2),
    "scores over d": layer(3, 2, seed=5, scale=1 / 2),
    "causal": layer(3, 2, seed=6, scale=-0.3, causal=True),
}
every_layer = pytest.mark.parametrize("a", LAYERS.values(), ids=LAYERS)


def close(value: Any, expected: Any, what: str = "") -> None:
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12, err_msg=what)


def array(entry: Callable[..., Any], *shape: int) -> Array:
    """The array with these entries."""
    return np.array([entry(*index) for index in np.ndindex(*shape)], float).reshape(shape)


# ---------------------------------------------------------------------------------------- the numbers C1 to C8 (D.1)


def key(a: Layer, i0: int, j1: int) -> float:
    return float(sum(a.W[j1, c] * a.X[i0, c] for c in range(len(a.W))))


def query(a: Layer, k: int, j1: int) -> float:
    return float(sum(a.X[k, c] * a.W[c, j1] for c in range(len(a.W))))


def numbers(a: Layer, i0: int, j0: int, i1: int, j1: int) -> dict[str, float]:
    """C1 to C8 by plain loops, as D.1 prints them."""
    f, h, s, rows = a.f, a.h, a.s, range(len(a.X))
    return {
        "C1": -s[i0, j0] * f[i0, i0] * key(a, i0, j1),
        "C2": -s[i0, j0] * sum(f[i0, k] * query(a, k, j1) for k in rows),
        "C3": f[i0, i0] * h[i0, j0] * key(a, i0, j1),
        "C4": sum(f[i0, k] * query(a, k, j1) * h[k, j0] for k in rows),
        "C5": f[i0, i0] * a.W_V[j1, j0],
        "C6": -s[i0, j0] * f[i1, i0] * key(a, i0, j1),
        "C7": f[i1, i0] * h[i1, j0] * key(a, i0, j1),
        "C8": f[i1, i0] * a.W_V[j1, j0],
    }


@every_layer
def test_numbers(a: Layer) -> None:
    n, d = a.X.shape
    for i0, j0, i1, j1 in np.ndindex(n, d, n, d):
        expected = numbers(a, i0, j0, i1, j1)
        for name, number in expected.items():
            close(a.of(getattr(formulas, name), i0=i0, j0=j0, i1=i1, j1=j1), number, name)
        same = sum(expected[name] for name in ("C1", "C2", "C3", "C4", "C5"))
        other = sum(expected[name] for name in ("C6", "C7", "C8")) if i1 != i0 else 0
        close(a.of(formulas.ds_dX_same_printed, i0=i0, j0=j0, j1=j1), same)
        close(a.of(formulas.ds_dX_other_printed, i0=i0, j0=j0, i1=i1, j1=j1), other)


@every_layer
def test_matrices_have_these_entries(a: Layer) -> None:
    n, d = a.X.shape
    for i0, j0 in np.ndindex(n, d):
        entries = [numbers(a, i0, j0, i1, j1) for i1, j1 in np.ndindex(n, d)]
        for k in (6, 7, 8):
            matrix = np.array([entry[f"C{k}"] for entry in entries]).reshape(n, d)
            close(a.of(getattr(formulas, f"B{k}"), i0=i0, j0=j0), matrix, f"B{k}")
        for k in (2, 4):
            vector = np.array([entry[f"C{k}"] for entry in entries[:d]])
            close(a.of(getattr(formulas, f"B{k}"), i0=i0, j0=j0), vector, f"B{k}")


def test_condition_of_D4_reads_h_the_other_way_round() -> None:
    a = layer(2, 2)
    indices = {"i0": 0, "j0": 0, "i1": 1, "j1": 0}
    swapped = formulas.C7(a.X, a.W, a.f, a.h.T, **indices)
    close(a.of(formulas.C7_condition_printed, **indices), swapped)
    assert swapped != a.of(formulas.C7, **indices)


# ------------------------------------------------------------------------------------------------ the derivative of s


@every_layer
def test_repaired_entries_are_the_derivative(a: Layer) -> None:
    n, d = a.X.shape
    same = a.each(formulas.ds_dX_same, i0=n, j0=d, j1=d)
    other = a.each(formulas.ds_dX_other, i0=n, j0=d, i1=n, j1=d)
    for i0, j0 in np.ndindex(n, d):
        expected = a.ds_dX[i0, j0]
        close(same[i0, j0], expected[i0])
        close(np.delete(other[i0, j0], i0, axis=0), np.delete(expected, i0, axis=0))
        assert not other[i0, j0, i0].any(), "the row i0 is that of Part 1"


@every_layer
def test_repaired_matrix_is_the_derivative(a: Layer) -> None:
    n, d = a.X.shape
    for i0, j0 in np.ndindex(n, d):
        matrix = a.of(formulas.weighted_ds_dX, i0=i0, j0=j0)
        close(matrix, a.G[i0, j0] * a.ds_dX[i0, j0])
        close(a.of(formulas.row_i0, i0=i0, j0=j0), matrix[i0])
        close(a.of(formulas.other_rows, i0=i0, j0=j0), np.delete(matrix, i0, axis=0))


@every_layer
def test_printed_matrix_has_the_printed_rows(a: Layer) -> None:
    n, d = a.X.shape
    same = a.each(formulas.ds_dX_same_printed, i0=n, j0=d, j1=d)
    other = a.each(formulas.ds_dX_other_printed, i0=n, j0=d, i1=n, j1=d)
    for i0, j0 in np.ndindex(n, d):
        matrix = a.of(formulas.weighted_ds_dX_printed, i0=i0, j0=j0)
        close(matrix[i0], a.G[i0, j0] * same[i0, j0])
        close(np.delete(matrix, i0, axis=0), a.G[i0, j0] * np.delete(other[i0, j0], i0, axis=0))
        close(a.of(formulas.row_i0_printed, i0=i0, j0=j0), matrix[i0])
        close(a.of(formulas.other_rows_printed, i0=i0, j0=j0), np.delete(matrix, i0, axis=0))


def test_printed_row_i0_is_right_for_symmetric_W_and_unit_scale() -> None:
    start = layer(3, 2, seed=7)
    a = Layer(start.X, start.W + start.W.T, start.W_V, start.G, 1.0, False, start.x, start.y, start.z)
    same = a.each(formulas.ds_dX_same_printed, i0=3, j0=2, j1=2)
    close(same, np.einsum("abac->abc", a.ds_dX))


def test_printed_row_i0_at_its_smallest_counterexample() -> None:
    """Row 2 of X is zero, so both weights are 1/2 and s_{2,1} = 1/2: by hand, C2 + C4 = −1/2 · 1/2 + 1/2."""
    X, W, W_V = np.array([[1.0, 0], [0, 0]]), np.array([[0.0, 1], [0, 0]]), np.array([[1.0, 0], [0, 0]])
    a = Layer(X, W, W_V, X, 1.0, False, X[0], X[0], X[0])
    assert a.of(formulas.ds_dX_same_printed, i0=1, j0=0, j1=1) == 0.25
    assert a.of(formulas.ds_dX_same, i0=1, j0=0, j1=1) == a.ds_dX[1, 0, 1, 1] == 0


def test_printed_other_rows_at_their_smallest_counterexample() -> None:
    """f = [[e, 1]/(e + 1), [1/2, 1/2]] and s_1 = e/(e + 1): printed f_{2,1} (1 − s_1), true f_{1,2} (1 − s_1)."""
    X, one = np.array([[1.0], [0.0]]), np.ones((1, 1))
    a = Layer(X, one, one, X, 1.0, False, X[:, 0], X[:, 0], X[:, 0])
    rest = 1 / (np.e + 1)
    close(a.of(formulas.ds_dX_other_printed, i0=0, j0=0, i1=1, j1=0), rest / 2)
    close(a.of(formulas.ds_dX_other, i0=0, j0=0, i1=1, j1=0), rest * rest)
    close(a.ds_dX[0, 0, 1, 0], rest * rest)


# ---------------------------------------------------------------------------------------------- the sums and products

WAYS: dict[int, tuple[Formula, ...]] = {
    6: (formulas.D6_sum, formulas.sum_B6_step_3, formulas.sum_B6, formulas.D6),
    7: (formulas.D7_sum, formulas.sum_B7_step_3, formulas.sum_B7, formulas.D7),
    8: (formulas.D8_sum, formulas.sum_B8_step_3, formulas.sum_B8, formulas.D8),
    2: (formulas.D2_sum, formulas.sum_B2_step_3, formulas.sum_B2, formulas.D2),
    4: (formulas.D4_sum, formulas.sum_B4_step_3, formulas.sum_B4, formulas.D4),
}


@every_layer
@pytest.mark.parametrize("k", WAYS)
def test_sums(k: int, a: Layer) -> None:
    n, d = a.X.shape

    def entry(i: int, j1: int) -> float:
        """Of D_k: its B_k has rows for all i0 (6, 7, 8), or a row for i0 alone (2, 4)."""
        rows = [i] if k in (2, 4) else range(n)
        return float(sum(a.G[i0, j0] * numbers(a, i0, j0, i, j1)[f"C{k}"] for i0 in rows for j0 in range(d)))

    expected = array(entry, n, d)
    for formula in WAYS[k]:
        close(a.of(formula), expected, formula.__name__)


@every_layer
def test_inner_matrices(a: Layer) -> None:
    n, d = a.X.shape
    f, h, G = a.f, a.h, a.G
    K = array(lambda i: sum(G[i, c] * a.s[i, c] for c in range(d)), n)
    close(a.K, K)
    close(a.each(formulas.K_entry, i0=n), K)
    closed_and_by_lines: dict[tuple[Formula, Formula], Array] = {
        (formulas.z6, formulas.z6_columns): array(lambda i, j: f[i, j] * K[j], n, n),
        (formulas.z7, formulas.z7_columns): array(lambda i, j: f[i, j] * (h[i] @ G[j]), n, n),
        (formulas.z2, formulas.z2_rows): array(lambda i, j: f[i, j] * K[i], n, n),
        (formulas.z4, formulas.z4_rows): array(lambda i, j: f[i, j] * (G[i] @ h[j]), n, n),
    }
    for ways, expected in closed_and_by_lines.items():
        for z in ways:
            close(a.of(z), expected, z.__name__)


@every_layer
def test_gradient(a: Layer) -> None:
    """The repaired sum, the repaired five terms and their closed form with p are the gradient."""
    close(a.of(formulas.gradient_X_sum), a.dL_dX)
    close(a.of(formulas.five_terms), a.dL_dX)
    close(a.of(formulas.gradient_X), a.dL_dX)


@every_layer
def test_printed_gradient_is_the_printed_sum(a: Layer) -> None:
    close(a.of(formulas.five_terms_printed), a.of(formulas.gradient_X_sum_printed))
    close(a.of(formulas.gradient_X_printed), a.of(formulas.gradient_X_sum_printed))


# ----------------------------------------------------------------------------------------- facts and the chain rule


@every_layer
def test_facts(a: Layer) -> None:
    three = sum(x * y * z for x, y, z in zip(a.x, a.y, a.z, strict=True))
    close(a.of(formulas.diagonal_form), three)
    close(a.of(formulas.exchanged), [three] * 3)
    close(a.of(formulas.sum_of_products), sum(x * y for x, y in zip(a.x, a.y, strict=True)))


@every_layer
def test_chain_rule(a: Layer) -> None:
    n, d = a.X.shape
    close(formulas.dL_dT(a.G, a.ds_dX), a.dL_dX)
    close(a.each(formulas.dL_dT_entry, i1=n, j1=d), a.dL_dX)
    close(a.of(formulas.Attn_as_s), ground_truth.forward(a.X, a.W, a.W_V, scale=a.scale, causal=a.causal))
    on_weights = np.random.default_rng(0).normal(size=(n, d, d, d))
    expected = array(lambda b, c: sum(a.G[i, j] * on_weights[i, j, b, c] for i, j in np.ndindex(n, d)), d, d)
    close(formulas.dL_dW(a.G, on_weights), expected)
    close(formulas.dL_dW_V(a.G, on_weights), expected)


# ------------------------------------------------------------------------------------------------------------- dtypes


def of_a_layer() -> list[Formula]:
    """The formulas that take only what a layer has, and indices."""
    known = {"i0", "j0", "i1", "j1", *dir(Layer), *inspect.signature(Layer).parameters}
    own = [f for _, f in inspect.getmembers(formulas, inspect.isfunction) if f.__module__ == formulas.__name__]
    return [formula for formula in own if set(inspect.signature(formula).parameters) <= known]


def test_most_formulas_are_of_a_layer() -> None:
    assert len(of_a_layer()) >= 60


@pytest.mark.parametrize("formula", of_a_layer(), ids=lambda formula: formula.__name__)
def test_single_precision_stays_single(formula: Formula) -> None:
    a = layer(2, 2, dtype=np.float32)
    value = a.of(formula, i0=1, j0=0, i1=0, j1=1)
    assert value.dtype == np.float32
