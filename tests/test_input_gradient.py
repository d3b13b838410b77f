"""The formulas of section D, one by one, in balls: against plain loops, each other and the derivatives of s."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import pytest
from flint import arb, ctx

from proofs_checks.equation import apart
from proofs_checks.ground_truth import BITS, balls
from proofs_checks.instances import Array, Instance, gaussian
from proofs_checks.symbols import Symbols, table
from reference import input_gradient as formulas
from tests.layers import SYMBOLS, gaussian_symbols, same
from tests.signatures import FORMULA, keywords

Formula: TypeAlias = Callable[..., Any]


every_layer = pytest.mark.parametrize("a", SYMBOLS.values(), ids=SYMBOLS)


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    with ctx.workprec(BITS):
        yield


def of(a: Symbols, formula: Formula, **indices: int) -> Any:
    """The formula's value on a layer."""
    wanted = inspect.signature(formula).parameters
    return formula(**{name: indices[name] if name in indices else a.exact(name) for name in wanted})


def each(a: Symbols, formula: Formula, **over: int) -> Array:
    """Its values for all indices in these ranges."""
    values = [of(a, formula, **dict(zip(over, index, strict=True))) for index in np.ndindex(*over.values())]
    return np.array(values, object).reshape(*over.values(), *np.shape(values[0]))


# ---------------------------------------------------------------------------------------- the numbers C1 to C8 (D.1)


def key(a: Symbols, i0: int, j1: int) -> Any:
    return sum(a.W[j1, c] * a.X[i0, c] for c in range(len(a.W)))


def query(a: Symbols, k: int, j1: int) -> Any:
    return sum(a.X[k, c] * a.W[c, j1] for c in range(len(a.W)))


def numbers(a: Symbols, i0: int, j0: int, i1: int, j1: int) -> dict[str, Any]:
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
def test_numbers(a: Symbols) -> None:
    n, d = a.X.shape
    for i0, j0, i1, j1 in np.ndindex(n, d, n, d):
        expected = numbers(a, i0, j0, i1, j1)
        for name, number in expected.items():
            same(of(a, getattr(formulas, name), i0=i0, j0=j0, i1=i1, j1=j1), number, name)
        first = sum(expected[name] for name in ("C1", "C2", "C3", "C4", "C5"))
        other = sum(expected[name] for name in ("C6", "C7", "C8")) if i1 != i0 else 0
        same(of(a, formulas.ds_dX_same_printed, i0=i0, j0=j0, j1=j1), first)
        same(of(a, formulas.ds_dX_other_printed, i0=i0, j0=j0, i1=i1, j1=j1), other)


@every_layer
def test_matrices_have_these_entries(a: Symbols) -> None:
    n, d = a.X.shape
    for i0, j0 in np.ndindex(n, d):
        entries = [numbers(a, i0, j0, i1, j1) for i1, j1 in np.ndindex(n, d)]
        for k in (6, 7, 8):
            matrix = np.array([entry[f"C{k}"] for entry in entries]).reshape(n, d)
            same(of(a, getattr(formulas, f"B{k}"), i0=i0, j0=j0), matrix, f"B{k}")
        for k in (2, 4):
            vector = np.array([entry[f"C{k}"] for entry in entries[:d]])
            same(of(a, getattr(formulas, f"B{k}"), i0=i0, j0=j0), vector, f"B{k}")


def test_condition_of_D4_reads_h_the_other_way_round() -> None:
    a = gaussian_symbols(2, 2)
    indices = {"i0": 0, "j0": 0, "i1": 1, "j1": 0}
    swapped = formulas.C7(a.X, a.W, a.f, a.h.T, **indices)
    same(of(a, formulas.C7_condition_printed, **indices), swapped)
    assert apart(swapped, of(a, formulas.C7, **indices))


# ------------------------------------------------------------------------------------------------ the derivative of s


@every_layer
def test_repaired_entries_are_the_derivative(a: Symbols) -> None:
    n, d = a.X.shape
    own = each(a, formulas.ds_dX_same, i0=n, j0=d, j1=d)
    other = each(a, formulas.ds_dX_other, i0=n, j0=d, i1=n, j1=d)
    for i0, j0 in np.ndindex(n, d):
        expected = a.ds_dX[i0, j0]
        same(own[i0, j0], expected[i0])
        same(np.delete(other[i0, j0], i0, axis=0), np.delete(expected, i0, axis=0))
        same(other[i0, j0, i0], [0] * d, "the row i0 is that of Part 1")


@every_layer
def test_repaired_matrix_is_the_derivative(a: Symbols) -> None:
    n, d = a.X.shape
    for i0, j0 in np.ndindex(n, d):
        matrix = of(a, formulas.weighted_ds_dX, i0=i0, j0=j0)
        same(matrix, a.G[i0, j0] * a.ds_dX[i0, j0])
        same(of(a, formulas.row_i0, i0=i0, j0=j0), matrix[i0])
        same(of(a, formulas.other_rows, i0=i0, j0=j0), np.delete(matrix, i0, axis=0))


@every_layer
def test_printed_matrix_has_the_printed_rows(a: Symbols) -> None:
    n, d = a.X.shape
    own = each(a, formulas.ds_dX_same_printed, i0=n, j0=d, j1=d)
    other = each(a, formulas.ds_dX_other_printed, i0=n, j0=d, i1=n, j1=d)
    for i0, j0 in np.ndindex(n, d):
        matrix = of(a, formulas.weighted_ds_dX_printed, i0=i0, j0=j0)
        same(matrix[i0], a.G[i0, j0] * own[i0, j0])
        same(np.delete(matrix, i0, axis=0), a.G[i0, j0] * np.delete(other[i0, j0], i0, axis=0))
        same(of(a, formulas.row_i0_printed, i0=i0, j0=j0), matrix[i0])
        same(of(a, formulas.other_rows_printed, i0=i0, j0=j0), np.delete(matrix, i0, axis=0))


def test_printed_row_i0_is_right_for_symmetric_W_and_unit_scale() -> None:
    drawn = gaussian(np.random.default_rng(7), 3, 2)
    a = Symbols(Instance({**drawn, "W": drawn["W"] + drawn["W"].T}, Fraction(1)))
    own = each(a, formulas.ds_dX_same_printed, i0=3, j0=2, j1=2)
    same(own, np.stack([a.ds_dX[i, :, i] for i in range(3)]))


def test_printed_row_i0_at_its_smallest_counterexample() -> None:
    """Row 2 of X is zero, so both weights are 1/2 and s_{2,1} = 1/2: by hand, C2 + C4 = −1/2 · 1/2 + 1/2."""
    a = Symbols.of(2, 2, X=[[1, 0], [0, 0]], W=[[0, 1], [0, 0]], W_V=[[1, 0], [0, 0]])
    same(of(a, formulas.ds_dX_same_printed, i0=1, j0=0, j1=1), arb(1) / 4)
    same(of(a, formulas.ds_dX_same, i0=1, j0=0, j1=1), 0)
    same(a.ds_dX[1, 0, 1, 1], 0)


def test_printed_other_rows_at_their_smallest_counterexample() -> None:
    """f = [[e, 1]/(e + 1), [1/2, 1/2]] and s_1 = e/(e + 1): printed f_{2,1} (1 − s_1), true f_{1,2} (1 − s_1)."""
    a = Symbols.of(2, 1, X=[[1], [0]], W=[[1]], W_V=[[1]])
    rest = 1 / (arb(1).exp() + 1)
    same(of(a, formulas.ds_dX_other_printed, i0=0, j0=0, i1=1, j1=0), rest / 2)
    same(of(a, formulas.ds_dX_other, i0=0, j0=0, i1=1, j1=0), rest * rest)
    same(a.ds_dX[0, 0, 1, 0], rest * rest)


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
def test_sums(k: int, a: Symbols) -> None:
    n, d = a.X.shape

    def entry(i: int, j1: int) -> Any:
        """Of D_k: its B_k has rows for all i0 (6, 7, 8), or a row for i0 alone (2, 4)."""
        rows = [i] if k in (2, 4) else range(n)
        return sum(a.G[i0, j0] * numbers(a, i0, j0, i, j1)[f"C{k}"] for i0 in rows for j0 in range(d))

    expected = table(entry, n, d)
    for formula in WAYS[k]:
        same(of(a, formula), expected, formula.__name__)


@every_layer
def test_inner_matrices(a: Symbols) -> None:
    n, d = a.X.shape
    f, h, G = a.f, a.h, a.G
    K = table(lambda i: sum(G[i, c] * a.s[i, c] for c in range(d)), n)
    same(of(a, formulas.K), K)
    same(each(a, formulas.K_entry, i0=n), K)
    closed_and_by_lines: dict[tuple[Formula, Formula], Array] = {
        (formulas.z6, formulas.z6_columns): table(lambda i, j: f[i, j] * K[j], n, n),
        (formulas.z7, formulas.z7_columns): table(lambda i, j: f[i, j] * (h[i] @ G[j]), n, n),
        (formulas.z2, formulas.z2_rows): table(lambda i, j: f[i, j] * K[i], n, n),
        (formulas.z4, formulas.z4_rows): table(lambda i, j: f[i, j] * (G[i] @ h[j]), n, n),
    }
    for ways, expected in closed_and_by_lines.items():
        for z in ways:
            same(of(a, z), expected, z.__name__)


@every_layer
def test_gradient(a: Symbols) -> None:
    """The repaired sum, the repaired five terms and their closed form with p are the gradient."""
    same(of(a, formulas.gradient_X_sum), a.dL_dX)
    same(of(a, formulas.five_terms), a.dL_dX)
    same(of(a, formulas.gradient_X), a.dL_dX)


@every_layer
def test_printed_gradient_is_the_printed_sum(a: Symbols) -> None:
    same(of(a, formulas.five_terms_printed), of(a, formulas.gradient_X_sum_printed))
    same(of(a, formulas.gradient_X_printed), of(a, formulas.gradient_X_sum_printed))


# ----------------------------------------------------------------------------------------- facts and the chain rule


@every_layer
def test_facts(a: Symbols) -> None:
    three = sum(x * y * z for x, y, z in zip(a.x, a.y, a.z, strict=True))
    same(of(a, formulas.diagonal_form), three)
    same(of(a, formulas.exchanged), [three] * 3)
    same(of(a, formulas.sum_of_products), sum(x * y for x, y in zip(a.x, a.y, strict=True)))


@every_layer
def test_chain_rule(a: Symbols) -> None:
    n, d = a.X.shape
    same(formulas.dL_dT(a.G, a.ds_dX), a.dL_dX)
    same(each(a, formulas.dL_dT_entry, i1=n, j1=d), a.dL_dX)
    same(of(a, formulas.Attn_as_s), a.s)
    on_weights = balls(np.random.default_rng(0).normal(size=(n, d, d, d)))
    expected = table(lambda b, c: sum(a.G[i, j] * on_weights[i, j, b, c] for i, j in np.ndindex(n, d)), d, d)
    same(formulas.dL_dW(a.G, on_weights), expected)
    same(formulas.dL_dW_V(a.G, on_weights), expected)


# ------------------------------------------------------------------------------------------------------------- dtypes


OPERANDS = {
    "X",
    "W",
    "W_V",
    "G",
    "x",
    "y",
    "z",
    "f",
    "h",
    "s",
    "K",
    "ds_dX",
    "scale",
    "causal",
    "i0",
    "j0",
    "i1",
    "j1",
}


def of_a_layer() -> list[Formula]:
    """The formulas that take only what a layer has, and indices."""
    own = [f for _, f in inspect.getmembers(formulas, inspect.isfunction) if f.__module__ == formulas.__name__]
    return [formula for formula in own if set(inspect.signature(formula).parameters) <= OPERANDS]


def test_most_formulas_are_of_a_layer() -> None:
    assert len(of_a_layer()) >= 60


@pytest.mark.parametrize("formula", of_a_layer(), ids=lambda formula: formula.__name__)
def test_single_precision_stays_single(formula: Formula) -> None:
    layer = {name: array.astype(np.float32) for name, array in gaussian(np.random.default_rng(0), 2, 2).items()}
    a, indices = Symbols(Instance(layer, Fraction(1))), {"i0": 1, "j0": 0, "i1": 0, "j1": 1}
    wanted = inspect.signature(formula).parameters
    value = formula(**{name: indices[name] if name in indices else a.floats(name, np.float32) for name in wanted})
    assert value.dtype == np.float32


def test_keywords() -> None:
    assert keywords(formulas) == {"gradient_X_printed": FORMULA, "gradient_X": FORMULA}
