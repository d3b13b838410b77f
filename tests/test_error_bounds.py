"""The rounding bound holds, against enclosures, for every program that is compared by it; and it is not idle."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from flint import ctx
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from proofs_checks import ground_truth
from proofs_checks.instances import Array, Instance
from reference import error_bounds as bounds
from reference import input_gradient, qkv, weight_gradient
from reference import softmax_attention as attn
from reference.error_bounds import attention_rounding, gradient_rounding, output_rounding, vjp_rounding
from tests.layers import anywhere, huge, worst_ratio
from tests.test_ground_truth import distance


def closed_forms(layer: Instance) -> dict[str, Array]:
    """The three repaired gradients, in the operands' dtype."""
    X, W, W_V, G = layer.arrays
    options: dict[str, Any] = {"scale": float(layer.scale), "causal": layer.causal}
    return {
        "X": input_gradient.gradient_X(X, W, W_V, G, **options),
        "W": weight_gradient.gradient_W(X, W, W_V, G, **options),
        "W_V": weight_gradient.gradient_W_V(X, W, G, **options),
    }


def public(layer: Instance) -> dict[str, Array]:
    gradient = reference.attention_gradient(*layer.arrays, scale=float(layer.scale), causal=layer.causal)
    return {"X": gradient.X, "W": gradient.W, "W_V": gradient.W_V}


def ratios(layer: Instance, computed: dict[str, Array], dtype: Any = None) -> dict[str, float]:
    """Distance from the exact gradient over the bound."""
    exact = ground_truth.ball_gradient(*layer.arrays, scale=layer.scale, causal=layer.causal)
    bound = gradient_rounding(*layer.arrays, scale=float(layer.scale), causal=layer.causal, dtype=dtype)
    return {k: worst_ratio(distance(getattr(exact, k), v), getattr(bound, k)) for k, v in computed.items()}


@settings(max_examples=150)
@given(anywhere)
def test_closed_forms_stay_within(layer: Instance) -> None:
    assert max(ratios(layer, closed_forms(layer)).values()) <= 1


@settings(max_examples=150)
@given(st.one_of(anywhere, huge))
def test_public_gradient_stays_within(layer: Instance) -> None:
    assert max(ratios(layer, public(layer)).values()) <= 1


def ball_output(layer: Instance) -> Array:
    """The exact output, from the definitions in balls."""
    X, W, W_V, _ = map(ground_truth.balls, layer.arrays)
    u = attn.u(X, W, scale=ground_truth.ball(layer.scale), causal=layer.causal)
    return attn.s(attn.f(u), attn.h(X, W_V))


@settings(max_examples=150)
@given(st.one_of(anywhere, huge))
def test_output_stays_within(layer: Instance) -> None:
    X, W, W_V, _ = layer.arrays
    computed = reference.attention(X, W, W_V, scale=float(layer.scale), causal=layer.causal)
    bound = output_rounding(X, W, W_V, scale=float(layer.scale), causal=layer.causal)
    with ctx.workprec(ground_truth.BITS):
        exact = ball_output(layer)
    assert worst_ratio(distance(exact, computed), bound) <= 1


@settings(max_examples=100)
@given(anywhere)
def test_qkv_stays_within(layer: Instance) -> None:
    """With Q = K = V = X and W = W_V = 1, the gradient for X is the sum of those for Q, K and V."""
    X, _, _, G = layer.arrays
    scale = float(layer.scale)
    one = np.eye(layer.d, dtype=X.dtype)
    exact = ground_truth.ball_gradient(X, one, one, G, scale=layer.scale, causal=layer.causal)
    computed = qkv.attention_vjp(X, X, X, G, scale=scale, causal=layer.causal)
    bounds = vjp_rounding(X, X, X, G, scale=scale, causal=layer.causal)
    total = sum(np.asarray(part, np.float64) for part in computed)
    assert worst_ratio(distance(exact.X, np.asarray(total)), sum(bounds)) <= 1
    output = qkv.attention(X, X, X, scale=scale, causal=layer.causal)
    with ctx.workprec(ground_truth.BITS):
        true = ball_output(Instance({"X": X, "W": one, "W_V": one, "G": G}, layer.scale, layer.causal))
    assert worst_ratio(distance(true, output), attention_rounding(X, X, X, scale=scale, causal=layer.causal)) <= 1


@pytest.mark.parametrize("operand", ["X", "W", "W_V"])
def test_the_bound_is_not_idle(operand: str) -> None:
    """A factor 1 + 1e-9 on a gradient is seen in float64: the bound is far below what it should detect."""
    rng = np.random.default_rng(1)
    arrays = dict(
        zip(("X", "W", "W_V", "G"), (rng.normal(size=s) for s in ((6, 4), (4, 4), (4, 4), (6, 4))), strict=True)
    )
    layer = Instance(arrays, Fraction(1, 4))
    wrong = {operand: closed_forms(layer)[operand] * (1 + 1e-9)}
    assert ratios(layer, wrong)[operand] > 1


def test_float32_numbers_break_the_float64_bound() -> None:
    """The bound tells the precisions apart, so a silent float32 computation would be caught."""
    rng = np.random.default_rng(2)
    arrays = {
        k: rng.normal(size=s).astype(np.float32)
        for k, s in {"X": (6, 4), "W": (4, 4), "W_V": (4, 4), "G": (6, 4)}.items()
    }
    layer = Instance(arrays, Fraction(1, 4))
    assert max(ratios(layer, public(layer), dtype=np.float64).values()) > 1


def test_the_bound_is_zero_only_up_to_underflow() -> None:
    zero = np.zeros((2, 2))
    bound = gradient_rounding(zero, zero, zero, zero, scale=0.5)
    tiny = float(np.finfo(np.float64).tiny)
    assert max(bound.X.max(), bound.W.max(), bound.W_V.max()) <= 2 * tiny


def test_a_bound_that_does_not_exist_is_infinite() -> None:
    """Scores so large that float32 says nothing about their differences."""
    X, one = np.full((2, 1), 1e9, np.float32), np.ones((1, 1), np.float32)
    bound = gradient_rounding(X, one, one, np.array([[1.0], [-1.0]], np.float32), scale=1.0)
    assert np.isinf(bound.W).all()
    assert not np.isnan(bound.X).any()


def test_underflow_in_the_scores_is_paid_for() -> None:
    """X W underflows, and a huge scale brings the lost product back into the scores."""
    layer = Instance(
        {
            "X": np.array([[5e-308, 0], [0, 1e100]]),
            "W": np.array([[0, 1.3e-14], [0, 0]]),
            "W_V": np.array([[0, 0], [0, 1e-60]]),
            "G": np.array([[0, 1e-60], [0, 0]]),
        },
        Fraction(1e220),
    )
    assert max(ratios(layer, public(layer)).values()) <= 1


def test_an_overflowing_bound_is_infinite_and_silent() -> None:
    X, W = np.array([[0, 0], [1e5, 3]], np.float32), 1e5 * np.eye(2, dtype=np.float32)
    bound = gradient_rounding(X, W, np.eye(2, dtype=np.float32), np.zeros((2, 2), np.float32), scale=0.5)
    for array in (bound.X, bound.W, bound.W_V):
        assert not np.isnan(array).any()
        assert (array >= 0).all()


# --- the bounds are the formulas that are written


def rounding_of_one_head(
    Q: Any, K: Any, V: Any, dO: Any, scale: float, causal: bool, dtype: Any, each: int
) -> dict[str, Any]:
    """docs/rounding.md, steps 2 to 6, entry by entry: the output, then the gradients for Q, K and V."""
    (n, d), (m, e) = Q.shape, V.shape
    u, tiny, tau = float(np.finfo(dtype).eps) / 2, float(np.finfo(dtype).tiny), abs(scale)
    k = each * (2 * d + 6)
    path = each * (4 * m + 2 * n + 4 * (d + e) + 60)

    def floor(*operands: Any) -> Any:
        return tiny * (1 + tau) * math.prod(1 + sum(map(abs, operand.flat)) for operand in operands)

    out, dQ, dK, dV = np.zeros((n, e)), np.zeros((n, d)), np.zeros((m, d)), np.zeros((m, e))
    for i in range(n):
        keys = range(i + 1 if causal else m)
        exponentials = [math.exp(scale * sum(Q[i] * K[j])) for j in keys]
        sizes = [tau * sum(abs(Q[i] * K[j])) for j in keys]
        sigma = k * u / (1 - k * u) * max(sizes) + floor(Q, K)
        factor = math.expm1(8 * sigma + 2 * path * u)
        f = [x / sum(exponentials) for x in exponentials]
        q = [sum(abs(dO[i] * V[j])) for j in keys]
        mean = sum(a * b for a, b in zip(f, q, strict=True))
        for j in keys:
            p = factor * f[j] * (q[j] + mean)
            out[i] += factor * f[j] * abs(V[j])
            dQ[i] += tau * p * abs(K[j])
            dK[j] += tau * p * abs(Q[i])
            dV[j] += factor * f[j] * abs(dO[i])
    with_dO = floor(Q, K, V, dO)
    return {"output": out + floor(Q, K, V), "Q": dQ + with_dO, "K": dK + with_dO, "V": dV + with_dO}


HEADS = {  # sizes, scale, causal, size of the values and cotangents
    "more keys than queries": ((2, 3, 2, 1), 0.7, False, 1.0),
    "fewer": ((3, 1, 1, 2), -2.0, False, 1.0),
    "as many": ((3, 3, 2, 2), 0.7, True, 1.0),
    "underflow": ((2, 3, 2, 1), 3.0, False, 1e-32),  # where the floor is as large as the rest
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("each", [1, 4])
def test_rounding_is_bounded_by_the_documented_formula(head: str, dtype: Any, each: int) -> None:
    (n, m, d, e), scale, causal, size = HEADS[head]
    rng = np.random.default_rng(n + m)
    Q, K, V, dO = (
        rng.normal(size=shape) * by
        for shape, by in (((n, d), 1), ((m, d), 1), ((m, e), size), ((n, e), size if size == 1 else size**0.1))
    )
    expected = rounding_of_one_head(Q, K, V, dO, scale, causal, dtype, each)
    how: dict[str, Any] = {"scale": scale, "causal": causal, "dtype": dtype, "per_operation": each}
    gradient = vjp_rounding(Q, K, V, dO, **how)
    found = {"output": attention_rounding(Q, K, V, **how), "Q": gradient.Q, "K": gradient.K, "V": gradient.V}
    for name, bound in found.items():
        np.testing.assert_allclose(bound, expected[name], rtol=1e-12, atol=0, err_msg=name)


@pytest.mark.parametrize("causal", [False, True])
def test_rounding_of_a_layer_is_that_of_its_head_with_the_majorants(causal: bool) -> None:
    """For entries of at least 0 the majorants |X||W| and |X||W_V| are those of Q = X W and V = X W_V."""
    X, W, W_V, G = (np.abs(np.random.default_rng(3).normal(size=s)) for s in ((4, 3), (3, 3), (3, 3), (4, 3)))
    head = rounding_of_one_head(X @ W, X, X @ W_V, G, 1 / 3, causal, np.float64, 1)  # scale=None is 1/d
    layer = gradient_rounding(X, W, W_V, G, causal=causal)
    output = output_rounding(X, W, W_V, causal=causal)
    np.testing.assert_allclose(output, head["output"], rtol=1e-12)
    np.testing.assert_allclose(layer.X, head["Q"] @ W.T + head["K"] + head["V"] @ W_V.T, rtol=1e-12)
    np.testing.assert_allclose(layer.W, X.T @ head["Q"], rtol=1e-12)
    np.testing.assert_allclose(layer.W_V, X.T @ head["V"], rtol=1e-12)


def test_rounding_is_that_of_real_arithmetic_in_the_type_of_the_operands() -> None:
    X, W, W_V, G = (np.ones(shape, np.float32) for shape in ((3, 2), (2, 2), (2, 2), (3, 2)))
    written: dict[str, Any] = {"causal": False, "dtype": np.float32, "per_operation": 1}
    for function, operands in {
        attention_rounding: (X, X, X),
        vjp_rounding: (X, X, X, G),
        output_rounding: (X, W, W_V),
        gradient_rounding: (X, W, W_V, G),
    }.items():
        short, long = function(*operands, scale=0.5), function(*operands, scale=0.5, **written)  # type: ignore[operator]
        assert all(np.array_equal(a, b) for a, b in zip(parts(short), parts(long), strict=True))


def parts(bound: Any) -> list[Any]:
    return [bound.X, bound.W, bound.W_V] if isinstance(bound, reference.Gradient) else list(bound)


@pytest.mark.parametrize("k", [2, 3, 10])
def test_gamma_exists_below_one(k: int) -> None:
    assert bounds._gamma(1, 0.25) == 1 / 3
    assert bounds._gamma(k, 0.5) == np.inf


def test_the_longest_path() -> None:
    for n, m, d, e in product((1, 2), (3, 5), (7,), (1, 11)):
        assert bounds.longest_path(n, m, d, e) == 60 + sum([4] * m) + sum([2] * n) + sum([4] * (d + e))


def entries(largest: float, *shape: int) -> Any:
    """−1, and one entry of this size."""
    array = -np.ones(shape)
    array.flat[0] = largest
    return array


def corner(value: float) -> Any:
    """(3, 3), one entry that is not 0."""
    array = np.zeros((3, 3))
    array[0, 0] = value
    return array


def factors(value: float) -> tuple[Any, Any]:
    """Of `corner(value)`."""
    return corner(1)[:, :1], corner(value)[:, :1]


def formulas() -> dict[str, tuple[Any, Any]]:
    """Each bound, and what it is written as. Largest entries differ, so that none stands in for another."""
    N, D, OFF, KAPPA = 3, 2, 0.5, 9.0
    F, F_TILDE, Q, Q_TILDE, P1, P2 = 2.0, 2.5, 23.0, 23.25, 29.0, 31.0
    K_, H, G_, X_, W_, V_ = 7.0, 5.0, 11.0, 13.0, 17.0, 19.0  # the largest entries
    f, q, p1, p2 = map(corner, (F, Q, P1, P2))
    U1, U2, U3, U4 = map(factors, (F_TILDE, Q_TILDE, P1 + 0.75, P2 + 0.125))  # off by OFF, 0.25, 0.75, 0.125
    K, h, G, X, W, W_V = (
        entries(size, *shape)
        for size, shape in zip((K_, H, G_, X_, W_, V_), ((N,), *[(N, D)] * 3, *[(D, D)] * 2), strict=True)
    )
    E_, J_ = 43.0, 37.0
    E, J = entries(E_, N, D), entries(J_, N, D, N, D)
    return {
        "C.13": (bounds.C_13_bound(KAPPA), math.tanh(math.log(KAPPA) / 4)),
        "C.14": (bounds.C_14_bound(*U1, f, h), N * OFF * H),
        "C.15": (bounds.C_15_bound(*U1, *U2, f, q), OFF * Q_TILDE + F * 0.25),
        "C.15, exact q": (bounds.C_15_bound_exact_q(*U1, f, q), OFF * Q),
        "C.16": (bounds.C_16_bound(*U1, *U2, f, q), (N * OFF * Q_TILDE + 0.25) * F_TILDE + Q * OFF),
        "C.16, exact q": (bounds.C_16_bound_exact_q(*U1, f, q), OFF * Q * (N * F_TILDE + 1)),
        "E.2": (bounds.E_2_bound(*U1, f, K), N * OFF * K_),
        "E.2, with K": (bounds.E_2_bound_with_K(*U1, f, K, h, G), OFF * K_ + (1 + OFF) * N * D * OFF * H * G_),
        "E.3": (bounds.E_3_bound(*U1, f, X, W), D * N * OFF * X_ * W_),
        "E.4": (bounds.E_4_bound(*U1, f, h, G), D * H * G_ * OFF),
        "E.5": (bounds.E_5_bound(*U1, f, X, W), D * N * OFF * X_ * W_),
        "E.6": (bounds.E_6_bound(*U1, f, G, W_V), D * N * OFF * G_ * V_),
        "E.7": (bounds.E_7_bound(*U1, f, K), N * OFF * K_),
        "E.8": (bounds.E_8_bound(*U1, f, X, W), D * N * OFF * X_ * W_),
        "E.9": (bounds.E_9_bound(*U1, f, h, G), D * OFF * H * G_),
        "E.10": (bounds.E_10_bound(*U1, f, X, W), D * N * OFF * X_ * W_),
        "E.11": (
            bounds.E_11_bound(np.arange(30.0).reshape(5, 3, 2) - 40, np.zeros((5, 3, 2))),
            40 + 34 + 28 + 22 + 16,
        ),
        "F.5": (bounds.F_5_bound(*U3, *U4, p1, p2, X), N**2 * X_**2 * (0.75 + 0.125)),
        "F.5, scaled": (bounds.F_5_bound_scaled(*U3, *U4, p1, p2, X, -1.5), 1.5 * N**2 * X_**2 * (0.75 + 0.125)),
        "F.5, last step, printed": (bounds.F_5_last_step_1_printed(*U3, *U4, p1, p2, X), X_**2 * (0.75 + 0.125)),
        "F.5, last step": (bounds.F_5_last_step_1(*U3, *U4, p1, p2, X), X_**2 * (0.75 - 0.125)),
        "G.4": (bounds.G_4_bound(*U1, f, X, G), N**2 * X_ * OFF * G_),
        "z, sharp": (bounds.z_bound_sharp(*U1, f, K), OFF * K_),
        "D8, sharp": (bounds.D8_bound_sharp(*U1, f, G, W_V), OFF * ((G_ * V_ + 1) + 2 * (V_ - 1))),
        "g_w, sharp": (bounds.g_w_bound_sharp(*U3, *U4, p1, p2, X), (0.75 - 0.125) * (X_ + 2) ** 2),
        "g_v, sharp": (bounds.g_v_bound_sharp(*U1, f, X, G), OFF * (X_ + 2) * (G_ + 2)),
        "K, bits": (bounds.K_bits(D, 2), D**2 * 8**2),
        "z, bits": (bounds.z_bits(D, 2, OFF), D**2 * 8**2 * OFF),
        "z, bits, with K": (bounds.z_bits_with_K(N, D, 2, OFF), D**2 * 8**2 * OFF * (1 + N * (1 + OFF))),
        "D, bits": (bounds.D_bits(N, D, 2, OFF), N * D**3 * 32**2 * OFF),
        "D, bits, with K": (bounds.D_bits_with_K(N, D, 2, OFF), N * D**3 * 32**2 * OFF * (1 + N * (1 + OFF))),
        "D8, bits": (bounds.D8_bits(N, D, 2, OFF), N * D * 4**2 * OFF),
        "g_t, bits": (
            bounds.g_t_bits(N, D, 2, OFF),
            N * D * 4**2 * OFF + 2 * N * D**3 * 32**2 * OFF * (2 + N * (1 + OFF)),
        ),
        "g_w, bits": (bounds.g_w_bits(N, D, 2, OFF), N**2 * D**2 * 32**2 * OFF * (2 + N * (1 + OFF))),
        "g_v, bits": (bounds.g_v_bits(N, 2, OFF), N**2 * 4**2 * OFF),
        "H.4, magnification": (bounds.H_4_magnification(9, 4.0), 36.0),
        "H.3": (bounds.chain_bound(E, J), N * D * E_ * J_),
        "H.4, bits": (bounds.chain_bits(N, D, 2, 5, OFF), N * D * 5 * 2**2 * OFF),
        "H.4, repaired": (
            bounds.fresh_and_magnified(E, G, N, D, 3, 2, -0.5, 0.25),
            N * D * (4 * 0.5 * D**3 * 3**2 * 2**2 + D * 2) * (E_ + 0.25 * G_),
        ),
        "J.3": (bounds.residual_magnification(E, J), (N * D * J_ + 1) * E_),
        "J.3, chosen after": (bounds.chosen_after(N, D, 2, 1), 2),
        "K.2": (
            bounds.multi_head_magnification(E, J, entries(41.0, 4, N, 5, N, D)),
            4 * N**2 * D * 5 * J_ * 41 * E_,
        ),
        "all weight that moves": (bounds.total_weight_error(KAPPA - 1), math.tanh(math.log(KAPPA) / 4)),
    }


FORMULAS = formulas()


@pytest.mark.parametrize("formula", FORMULAS)
def test_bounds_are_the_formulas_that_are_written(formula: str) -> None:
    bound, written = FORMULAS[formula]
    assert float(bound) == pytest.approx(written, rel=1e-12, abs=0)


@pytest.mark.parametrize("residual", [0, 1])
def test_errors_of_two_layers_are_the_recursion_that_is_written(residual: int) -> None:
    """Numbers of about 1 each, so that no term hides another."""
    r, d, rho, omega, tau, eta, L, bend = residual, 2, 0.75, 0.5, -0.25, 0.125, 0.625, 0.375
    gamma_m, c_m = 1.5, 0.875
    Lambda = 4 * abs(tau) * d**3 * rho**2 * omega**2 + d * omega
    t, sigma, z = [0.0], [], []
    for i in range(3):
        sigma.append(2 * abs(tau) * d**2 * omega * rho * t[i])
        z.append(r * t[i] + d * omega * (t[i] + rho * (eta / 2 + sigma[i])))
        t.append(r * z[i] + L * d * omega * z[i])
    delta = [math.exp(eta + 2 * s) - 1 for s in sigma]

    def backwards(layer: int) -> tuple[float, float, float, float]:
        """γ_{i−1}, c_{i−1}, G_i and Δ_i, from the last of two layers."""
        above = (gamma_m, c_m) if layer == 1 else backwards(layer + 1)[:2]
        G_i = (r + d * omega * L) * above[0]
        Delta = (r + d * omega * L) * above[1] + d * omega * bend * d * omega * z[layer] * above[0]
        own = Lambda * (delta[layer] + 2 * t[layer] / rho) * G_i
        return (r + Lambda) * G_i, (r + Lambda) * Delta + own, G_i, Delta

    numbers: tuple[Any, ...] = 2, d, rho, omega, tau, eta, L, bend, residual, gamma_m, c_m
    W_errors, V_errors = [], []
    for i in range(2):
        _, _, G_i, Delta = backwards(i)
        W_errors.append(2 * abs(tau) * d * rho**3 * omega * (Delta + (delta[i] + 3 * t[i] / rho) * G_i))
        V_errors.append(rho * (Delta + (delta[i] / 2 + t[i] / rho) * G_i))
    assert bounds.model_X_error(*numbers) == pytest.approx(backwards(0)[1], rel=1e-12)
    assert bounds.model_W_error(*numbers) == pytest.approx(np.array(W_errors), rel=1e-12)
    assert bounds.model_W_V_error(*numbers) == pytest.approx(np.array(V_errors), rel=1e-12)
    states = bounds.model_state_error(2, d, rho, omega, tau, eta, L, residual)
    assert states == pytest.approx(np.array(t[1:3]), rel=1e-12)


def test_nothing_is_off_where_all_states_are_zero() -> None:
    """ρ = 0: what is divided by it is 0."""
    errors = bounds.model_errors(2, 2, 0.0, 0.5, 1.0, 0.125, 1.0, 1.0, 1, 1.0, 0.0)
    assert [e.T for e in errors] == [0, 0]
    assert all(np.isfinite(e).all() for e in errors)


def entrywise(entry: Any, *shape: int) -> Any:
    return np.array([float(entry(*index)) for index in np.ndindex(*shape)]).reshape(shape)


@pytest.mark.parametrize("causal", [False, True])
def test_entrywise_bounds_are_the_formulas_that_are_written(causal: bool) -> None:
    """docs/bounds.md, own/weights to own/moments, entry by entry, over the keys that the mask allows."""
    n, d, delta, omega, tau = 4, 2, 0.7, 0.4, -1.5
    rng = np.random.default_rng(5)
    mask = np.tri(n) if causal else np.ones((n, n))
    f = mask * rng.uniform(0.5, 2, size=(n, n))
    f /= f.sum(axis=1, keepdims=True)
    F, E = (mask * rng.uniform(0.1, 0.4, size=(n, n)) for _ in range(2))
    q, p, (h, G, X) = rng.normal(size=(n, n)), mask * rng.normal(size=(n, n)), rng.normal(size=(3, n, d))
    (W, W_V), c, D, K = rng.normal(size=(2, d, d)), rng.normal(size=d), rng.uniform(3, 4, size=n), rng.normal(size=n)
    h[:, 1] = 0.5  # a constant column moves nothing
    keys = [range(i + 1 if causal else n) for i in range(n)]
    whole, kappa = range(n), 1 + delta
    moves, spreads = math.tanh(math.log(kappa) / 4), delta / (2 * math.sqrt(kappa))

    def mean(i: int, y: Any) -> Any:
        return sum(f[i, j] * y[j] for j in keys[i])

    def sigma(i: int, y: Any) -> float:
        return math.sqrt(sum(f[i, j] * (y[j] - mean(i, y)) ** 2 for j in keys[i]))

    def span(i: int, y: Any) -> Any:
        return max(y[j] for j in keys[i]) - min(y[j] for j in keys[i])

    def position(i: int, a: int) -> Any:
        x = mean(i, h[:, a]) - min(h[j, a] for j in keys[i])
        y = max(h[j, a] for j in keys[i]) - mean(i, h[:, a])
        return delta * x * y / (x + y + delta * min(x, y)) if span(i, h[:, a]) else 0

    sq = entrywise(lambda i: sigma(i, q[i]), n)  # of q
    sX, sh = (entrywise(lambda i, a, y=y: sigma(i, y[:, a]), n, d) for y in (X, h))
    T = [sum(E[i, j] for j in keys[i]) for i in whole]
    left = [D[i] - T[i] for i in whole]
    t = [T[i] / left[i] for i in whole]
    Q = [max(abs(q[i, j] - K[i]) for j in keys[i]) for i in whole]
    XW, GV, centred = abs(X @ W), abs(G @ W_V.T), abs((X - c) @ W.T)
    of_queries = entrywise(lambda j, a: sum(abs(tau) * F[i, j] * XW[i, a] for i in whole), n, d)
    of_values = entrywise(lambda j, a: sum(delta * f[i, j] * GV[i, a] for i in whole), n, d)
    written = {
        "weights": (bounds.weight_error(f, delta), lambda i, j: delta * f[i, j]),
        "weights, sharp": (
            bounds.weight_error_sharp(f, delta),
            lambda i, j: delta * f[i, j] * (1 - f[i, j]) / (1 + delta * min(f[i, j], 1 - f[i, j])),
        ),
        "pairs": (bounds.pair_error(f, delta), lambda i, j: delta * f[i, j] * (1 - f[i, j])),
        "range": (bounds.output_error_by_range(h, delta, causal), lambda i, a: moves * span(i, h[:, a])),
        "position": (bounds.output_error_by_position(f, h, delta, causal), position),
        "deviation": (bounds.output_error_by_deviation(sh, delta), lambda i, a: spreads * sh[i, a]),
        "σ": (bounds.deviation(f, X), lambda i, a: sX[i, a]),
        "mean, range": (bounds.mean_error_by_range(q, delta, causal), lambda i: moves * span(i, q[i])),
        "mean, deviation": (bounds.mean_error_by_deviation(sq, delta), lambda i: spreads * sq[i]),
        "cotangent": (bounds.cotangent_error(f, q, delta, causal), lambda i, j: delta * f[i, j] * span(i, q[i])),
        "cotangent, sharp": (
            bounds.cotangent_error_sharp(f, q, delta, causal),
            lambda i, j: delta * f[i, j] * (1 - f[i, j]) * max(abs(q[i, j] - q[i, k]) for k in keys[i]),
        ),
        "cotangent, deviation": (
            bounds.cotangent_error_by_deviation(f, q, sq, delta),
            lambda i, j: delta * f[i, j] * (abs(q[i, j] - mean(i, q[i])) + math.sqrt(kappa) / 2 * sq[i]),
        ),
        "covariance": (bounds.covariance_error(sq, sX, delta), lambda i, a: delta * sq[i] * sX[i, a]),
        "X": (
            bounds.gradient_X_error(F, f, X, W, W_V, G, delta, tau, c),
            lambda i, a: sum(abs(tau) * F[i, j] * centred[j, a] for j in whole) + of_queries[i, a] + of_values[i, a],
        ),
        "X, deviation": (
            bounds.gradient_X_error_by_deviation(F, f, X, W, W_V, G, sq, sX, delta, tau),
            lambda i, a: abs(tau) * delta * sq[i] * sX[i, a] + of_queries[i, a] + of_values[i, a],
        ),
        "W": (
            bounds.gradient_W_error(F, X, tau, c),
            lambda a, b: sum(abs(tau * X[i, a]) * F[i, j] * abs(X[j, b] - c[b]) for i in whole for j in whole),
        ),
        "W, deviation": (
            bounds.gradient_W_error_by_deviation(X, sq, sX, delta, tau),
            lambda a, b: sum(abs(tau * X[i, a]) * delta * sq[i] * sX[i, b] for i in whole),
        ),
        "W_V": (
            bounds.gradient_W_V_error(f, X, G, delta, c),
            lambda a, b: sum(delta * abs(X[j, a] - c[a]) * f[i, j] * abs(G[i, b]) for i in whole for j in whole),
        ),
        "W_V, deviation": (
            bounds.gradient_W_V_error_by_deviation(sX, G, delta),
            lambda a, b: sum(spreads * sX[i, a] * abs(G[i, b]) for i in whole),
        ),
        "differentiate": (
            bounds.differentiated_error(f, q, delta, omega, causal),
            lambda i, j: (delta + omega) * f[i, j] * span(i, q[i]),
        ),
        "weights, absolute": (
            bounds.weight_error_absolute(E, f, D),
            lambda i, j: (E[i, j] + f[i, j] * T[i]) / left[i],
        ),
        "output, absolute": (
            bounds.output_error_absolute(E, f, D, h),
            lambda i, a: sum(E[i, j] * abs(h[j, a] - mean(i, h[:, a])) for j in keys[i]) / left[i],
        ),
        "cotangent, absolute": (
            bounds.cotangent_error_absolute(E, f, D, q, K, causal),
            lambda i, j: E[i, j] * Q[i] * (1 + t[i]) / left[i] + f[i, j] * Q[i] * (2 * t[i] + t[i] ** 2),
        ),
        "sums, absolute": (
            bounds.sum_error_absolute(E, f, D, q, K, p, X, causal),
            lambda i, a: (
                (
                    Q[i] * sum(E[i, j] * abs(X[j, a] - mean(i, X[:, a])) for j in keys[i])
                    + T[i] * abs(sum(p[i, j] * X[j, a] for j in keys[i]))
                )
                / left[i]
            ),
        ),
    }
    for name, (bound, entry) in written.items():
        np.testing.assert_allclose(bound, entrywise(entry, *bound.shape), rtol=1e-12, atol=1e-15, err_msg=name)
