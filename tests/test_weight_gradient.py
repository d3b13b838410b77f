"""The formulas of sections F and G in balls: against loops over the definitions and the derivatives of s."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from flint import ctx

from proofs_checks.equation import apart
from proofs_checks.ground_truth import BITS, ball_jacobian, product
from proofs_checks.symbols import Symbols
from reference import weight_gradient as formulas
from tests.layers import SYMBOLS, gaussian_symbols, same
from tests.signatures import FORMULA, keywords


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    with ctx.workprec(BITS):
        yield


@pytest.fixture(params=list(SYMBOLS))
def any_layer(request: pytest.FixtureRequest) -> Symbols:
    return SYMBOLS[request.param]


# ------------------------------------------------------------------------------------------------ F: gradient on W


def test_kronecker_holds_all_products() -> None:
    A1, A2 = gaussian_symbols(3, 2).X, gaussian_symbols(3, 2).G
    A = formulas.kronecker(A1, A2)
    for i1, i2, j1, j2 in np.ndindex(3, 3, 2, 2):
        assert A[3 * i1 + i2, 2 * j1 + j2] == A1[i1, j1] * A2[i2, j2]


def test_blocks_stand_one_below_the_other() -> None:
    A = formulas.A(gaussian_symbols(3, 2).X)
    assert np.array_equal(np.vstack([formulas.block(A, j0) for j0 in range(3)]), A)


def test_A_turns_W_into_scores(any_layer: Symbols) -> None:
    X, W = any_layer.X, any_layer.W
    same(formulas.A(X) @ W.ravel(), (X @ W @ X.T).ravel())


def test_gradient_of_s_on_W(any_layer: Symbols) -> None:
    A, f, h, scale = any_layer.A, any_layer.f, any_layer.h, any_layer.scale
    true = any_layer.ds_dW
    for j0, i0 in np.ndindex(h.shape):
        by_rows = true[j0, i0].ravel()
        same(formulas.ds_dW(A, f, h, scale, j0, i0), by_rows)
        for i in range(by_rows.size):
            for entry in (formulas.ds_dw, formulas.ds_dw_product):
                same(entry(A, f, h, scale, j0, i0, i), by_rows[i])


def test_the_two_terms_of_the_gradient_of_s(any_layer: Symbols) -> None:
    A, f, h = any_layer.A, any_layer.f, any_layer.h
    for j0, i0, i in np.ndindex(*h.shape, A.shape[1]):
        A_j0i, f_j0, h_i0 = formulas.block(A, j0)[:, i], f[j0], h[:, i0]
        same(formulas.hadamard_product(A, f, h, j0, i0, i), sum(A_j0i * f_j0 * h_i0))
        same(formulas.inner_products(A, f, h, j0, i0, i), sum(f_j0 * h_i0) * sum(f_j0 * A_j0i))


def test_q_by_rows(any_layer: Symbols) -> None:
    rows = [formulas.q_row(any_layer.G, any_layer.h, j0) for j0 in range(len(any_layer.G))]
    same(np.array(rows), any_layer.q)


def test_every_line_of_the_gradient_of_the_loss_on_W(any_layer: Symbols) -> None:
    X, W, W_V, G, scale = (any_layer.exact(name) for name in ("X", "W", "W_V", "G", "scale"))
    A, f, h, q = any_layer.A, any_layer.f, any_layer.h, any_layer.q
    true = any_layer.dL_dW
    same(formulas.dL_dW_sum(A, f, h, G, scale), true.ravel())
    same(scale * formulas.sum_with_q(A, f, q), true.ravel())
    same(scale * formulas.sum_with_p(A, f, q), true.ravel())
    same(scale * formulas.tensor_trick(X, f, q), true)
    same(formulas.gradient_W(X, W, W_V, G, scale=scale, causal=any_layer.causal), true)


def test_the_printed_gradients_on_W_lack_the_factor() -> None:
    case = SYMBOLS["causal"]
    X, W, W_V, G, scale = (case.exact(name) for name in ("X", "W", "W_V", "G", "scale"))
    A, f, h = case.A, case.f, case.h
    same(scale * formulas.ds_dw_printed(A, f, h, 2, 0, 1), case.ds_dW[2, 0, 0, 1])
    same(scale * formulas.ds_dw_product_printed(A, f, h, 2, 0, 1), case.ds_dW[2, 0, 0, 1])
    same(scale * formulas.ds_dW_printed(A, f, h, 2, 0), case.ds_dW[2, 0].ravel())
    same(scale * formulas.dL_dW_sum_printed(A, f, h, G), case.dL_dW.ravel())
    same(scale * formulas.gradient_W_printed(X, W, W_V, G, scale=scale, causal=case.causal), case.dL_dW)


# ---------------------------------------------------------------------------------------------- G: gradient on W_V


def test_entries_of_h_and_s(any_layer: Symbols) -> None:
    X, W_V, f, h = any_layer.X, any_layer.W_V, any_layer.f, any_layer.h
    for i, j in np.ndindex(h.shape):
        same(formulas.h_entry(X, W_V, i, j), sum(X[i, a] * W_V[a, j] for a in range(len(W_V))))
        same(formulas.s_entry(f, h, i, j), sum(f[i, k] * h[k, j] for k in range(len(h))))


def test_gradient_of_h_on_W_V(any_layer: Symbols) -> None:
    X, W_V = any_layer.X, any_layer.W_V
    true = ball_jacobian(lambda lifted: product(lifted["X"], lifted["W_V"]), {"X": X, "W_V": W_V}, "W_V")
    for index in np.ndindex(true.shape):
        same(formulas.dh_dW_V(X, *index), true[index])


def test_gradient_of_s_on_h(any_layer: Symbols) -> None:
    f, h = any_layer.f, any_layer.h
    true = ball_jacobian(lambda lifted: product(lifted["f"], lifted["h"]), {"f": f, "h": h}, "h")
    for i2, j2, i3 in np.ndindex(*h.shape, len(h)):
        same(formulas.ds_dh(f, i2, i3), true[i2, j2, i3, j2])


def test_gradient_of_s_on_W_V(any_layer: Symbols) -> None:
    X, f = any_layer.X, any_layer.f
    true = any_layer.ds_dW_V
    for i2, j2 in np.ndindex(X.shape):
        same(formulas.ds_dW_V(X, f, i2, j2), true[i2, j2])
        same(formulas.ds_dW_V_column(X, f, i2), true[i2, j2, :, j2])
        for i1, j1 in np.ndindex(true.shape[2:]):
            same(formulas.ds_dW_V_entry(X, f, i2, j2, i1, j1), true[i2, j2, i1, j1])
        for i1 in range(X.shape[1]):
            same(formulas.chain_rule_sum(X, f, i2, i1), true[i2, j2, i1, j2])


def test_the_printed_sum_stops_at_d() -> None:
    few, many = SYMBOLS["n < d"], SYMBOLS["d = 1"]
    same(formulas.chain_rule_sum_printed(few.X, few.f, 1, 2), few.ds_dW_V[1, 0, 2, 0])
    same(formulas.chain_rule_sum_printed(many.X, many.f, 3, 0), many.f[3, 0] * many.X[0, 0])


def test_every_line_of_the_gradient_of_the_loss_on_W_V(any_layer: Symbols) -> None:
    X, W, G = any_layer.X, any_layer.W, any_layer.G
    true = any_layer.dL_dW_V
    for line in (formulas.dL_dW_V_sum, formulas.sum_of_rows, formulas.sum_of_products, formulas.sum_as_product):
        same(line(X, any_layer.f, G), true)
    same(formulas.gradient_W_V(X, W, G, scale=any_layer.scale, causal=any_layer.causal), true)


def test_the_printed_gradient_on_W_V_has_f_the_wrong_way_round() -> None:
    case = SYMBOLS["3×2"]
    X, W, G = case.X, case.W, case.G
    printed = formulas.gradient_W_V_printed(X, W, G, scale=case.scale)
    same(printed, formulas.sum_as_product_printed(X, case.f, G))
    same(printed, formulas.sum_as_product(X, case.f.T, G))
    assert all(apart(x, y) for x, y in zip(printed.flat, case.dL_dW_V.flat, strict=True))


def test_keywords() -> None:
    names = ("gradient_W_printed", "gradient_W", "gradient_W_V_printed", "gradient_W_V")
    assert keywords(formulas) == dict.fromkeys(names, FORMULA)
