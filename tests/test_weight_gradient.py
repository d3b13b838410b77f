"""The formulas of sections F and G in float64: against loops over the definitions and autograd's Jacobians."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import autograd
import numpy as np
import pytest

from proofs_checks import ground_truth
from reference import softmax_attention as attn
from reference import weight_gradient as formulas

if TYPE_CHECKING:
    from reference.softmax_attention import Array


class Layer(NamedTuple):
    """Operands of one layer and what follows from them."""

    X: Array
    W: Array
    W_V: Array
    G: Array
    scale: float
    causal: bool

    @property
    def keywords(self) -> dict[str, Any]:
        return {"scale": self.scale, "causal": self.causal}

    @property
    def A(self) -> Array:
        return formulas.A(self.X)

    @property
    def f(self) -> Array:
        return attn.f(attn.u(self.X, self.W, **self.keywords))

    @property
    def h(self) -> Array:
        return attn.h(self.X, self.W_V)

    @property
    def q(self) -> Array:
        return attn.q(self.G, self.h)

    def jacobian(self, name: str) -> Array:
        """Derivatives of the output on W or W_V. (n, d, d, d)."""
        which = ["X", "W", "W_V"].index(name)
        jacobian = autograd.jacobian(partial(ground_truth.forward, **self.keywords), which)
        return np.asarray(jacobian(self.X, self.W, self.W_V))

    def gradient(self, name: str) -> Array:
        """Gradient of ⟨G, output⟩ on W or W_V."""
        return np.asarray(np.tensordot(self.G, self.jacobian(name), axes=2))


def layer(n: int, d: int, *, size: float = 1.0, scale: float = 1.0, causal: bool = False) -> Layer:
    rng = np.random.default_rng(n + 10 * d)
    X, W, W_V, G = (rng.standard_normal(shape) for shape in ((n, d), (d, d), (d, d), (n, d)))
    return Layer(size * X, W, W_V, G, scale, causal)


LAYERS = {
    "3×2": layer(3, 2),
    "scaled and masked": layer(3, 2, scale=-0.5, causal=True),
    "n = 1": layer(1, 3),
    "d = 1": layer(4, 1),
    "n < d": layer(2, 3),
    "X = 0": layer(3, 2, size=0.0),
}


@pytest.fixture(params=list(LAYERS))
def any_layer(request: pytest.FixtureRequest) -> Layer:
    return LAYERS[request.param]


def assert_close(computed: Any, true: Any) -> None:
    assert np.shape(computed) == np.shape(true)
    np.testing.assert_allclose(computed, true, rtol=1e-12, atol=1e-12)  # both float64, of numbers near 1


# ------------------------------------------------------------------------------------------------ F: gradient on W


def test_kronecker_holds_all_products() -> None:
    A1, A2 = layer(3, 2).X, layer(3, 2).G
    A = formulas.kronecker(A1, A2)
    for i1, i2, j1, j2 in np.ndindex(3, 3, 2, 2):
        assert A[3 * i1 + i2, 2 * j1 + j2] == A1[i1, j1] * A2[i2, j2]


def test_blocks_stand_one_below_the_other() -> None:
    A = layer(3, 2).A
    assert np.array_equal(np.vstack([formulas.block(A, j0) for j0 in range(3)]), A)


def test_A_turns_W_into_scores(any_layer: Layer) -> None:
    X, W = any_layer.X, any_layer.W
    assert_close(any_layer.A @ W.ravel(), (X @ W @ X.T).ravel())


def test_gradient_of_s_on_W(any_layer: Layer) -> None:
    A, f, h, scale = any_layer.A, any_layer.f, any_layer.h, any_layer.scale
    true = any_layer.jacobian("W")
    for j0, i0 in np.ndindex(h.shape):
        by_rows = true[j0, i0].ravel()
        assert_close(formulas.ds_dW(A, f, h, scale, j0, i0), by_rows)
        for i in range(by_rows.size):
            for entry in (formulas.ds_dw, formulas.ds_dw_product):
                assert_close(entry(A, f, h, scale, j0, i0, i), by_rows[i])


def test_the_two_terms_of_the_gradient_of_s(any_layer: Layer) -> None:
    A, f, h = any_layer.A, any_layer.f, any_layer.h
    for j0, i0, i in np.ndindex(*h.shape, A.shape[1]):
        A_j0i, f_j0, h_i0 = formulas.block(A, j0)[:, i], f[j0], h[:, i0]
        assert_close(formulas.hadamard_product(A, f, h, j0, i0, i), sum(A_j0i * f_j0 * h_i0))
        assert_close(formulas.inner_products(A, f, h, j0, i0, i), sum(f_j0 * h_i0) * sum(f_j0 * A_j0i))


def test_q_by_rows(any_layer: Layer) -> None:
    rows = [formulas.q_row(any_layer.G, any_layer.h, j0) for j0 in range(len(any_layer.G))]
    assert_close(np.array(rows), any_layer.q)


def test_every_line_of_the_gradient_of_the_loss_on_W(any_layer: Layer) -> None:
    X, W, W_V, G, scale, _ = any_layer
    A, f, h, q = any_layer.A, any_layer.f, any_layer.h, any_layer.q
    true = any_layer.gradient("W")
    assert_close(formulas.dL_dW_sum(A, f, h, G, scale), true.ravel())
    assert_close(scale * formulas.sum_with_q(A, f, q), true.ravel())
    assert_close(scale * formulas.sum_with_p(A, f, q), true.ravel())
    assert_close(scale * formulas.tensor_trick(X, f, q), true)
    assert_close(formulas.gradient_W(X, W, W_V, G, **any_layer.keywords), true)


def test_the_printed_gradients_on_W_lack_the_factor() -> None:
    X, W, W_V, G, scale, _ = case = LAYERS["scaled and masked"]
    A, f, h = case.A, case.f, case.h
    assert_close(scale * formulas.ds_dw_printed(A, f, h, 2, 0, 1), case.jacobian("W")[2, 0, 0, 1])
    assert_close(scale * formulas.ds_dw_product_printed(A, f, h, 2, 0, 1), case.jacobian("W")[2, 0, 0, 1])
    assert_close(scale * formulas.ds_dW_printed(A, f, h, 2, 0), case.jacobian("W")[2, 0].ravel())
    assert_close(scale * formulas.dL_dW_sum_printed(A, f, h, G), case.gradient("W").ravel())
    assert_close(scale * formulas.gradient_W_printed(X, W, W_V, G, **case.keywords), case.gradient("W"))


# ---------------------------------------------------------------------------------------------- G: gradient on W_V


def test_entries_of_h_and_s(any_layer: Layer) -> None:
    X, W_V, f, h = any_layer.X, any_layer.W_V, any_layer.f, any_layer.h
    for i, j in np.ndindex(h.shape):
        assert_close(formulas.h_entry(X, W_V, i, j), sum(X[i, a] * W_V[a, j] for a in range(len(W_V))))
        assert_close(formulas.s_entry(f, h, i, j), sum(f[i, k] * h[k, j] for k in range(len(h))))


def test_gradient_of_h_on_W_V(any_layer: Layer) -> None:
    X, W_V = any_layer.X, any_layer.W_V
    true = autograd.jacobian(lambda W_V: X @ W_V)(W_V)
    for index in np.ndindex(true.shape):
        assert_close(formulas.dh_dW_V(X, *index), true[index])


def test_gradient_of_s_on_h(any_layer: Layer) -> None:
    f, h = any_layer.f, any_layer.h
    true = autograd.jacobian(lambda h: f @ h)(h)
    for i2, j2, i3 in np.ndindex(*h.shape, len(h)):
        assert_close(formulas.ds_dh(f, i2, i3), true[i2, j2, i3, j2])


def test_gradient_of_s_on_W_V(any_layer: Layer) -> None:
    X, f = any_layer.X, any_layer.f
    true = any_layer.jacobian("W_V")
    for i2, j2 in np.ndindex(X.shape):
        assert_close(formulas.ds_dW_V(X, f, i2, j2), true[i2, j2])
        assert_close(formulas.ds_dW_V_column(X, f, i2), true[i2, j2, :, j2])
        for i1, j1 in np.ndindex(true.shape[2:]):
            assert_close(formulas.ds_dW_V_entry(X, f, i2, j2, i1, j1), true[i2, j2, i1, j1])
        for i1 in range(X.shape[1]):
            assert_close(formulas.chain_rule_sum(X, f, i2, i1), true[i2, j2, i1, j2])


def test_the_printed_sum_stops_at_d() -> None:
    few, many = LAYERS["n < d"], LAYERS["d = 1"]
    assert_close(formulas.chain_rule_sum_printed(few.X, few.f, 1, 2), few.jacobian("W_V")[1, 0, 2, 0])
    assert_close(formulas.chain_rule_sum_printed(many.X, many.f, 3, 0), many.f[3, 0] * many.X[0, 0])


def test_every_line_of_the_gradient_of_the_loss_on_W_V(any_layer: Layer) -> None:
    X, W, _, G, *_ = any_layer
    true = any_layer.gradient("W_V")
    for line in (formulas.dL_dW_V_sum, formulas.sum_of_rows, formulas.sum_of_products, formulas.sum_as_product):
        assert_close(line(X, any_layer.f, G), true)
    assert_close(formulas.gradient_W_V(X, W, G, **any_layer.keywords), true)


def test_the_printed_gradient_on_W_V_has_f_the_wrong_way_round() -> None:
    X, W, _, G, *_ = case = LAYERS["3×2"]
    printed = formulas.gradient_W_V_printed(X, W, G, **case.keywords)
    assert_close(printed, formulas.sum_as_product_printed(X, case.f, G))
    assert_close(printed, formulas.sum_as_product(X, case.f.T, G))
    assert np.abs(printed - case.gradient("W_V")).max() > 0.1
