"""Approximate models: their bounds against dense formulas on balls, what they say when nothing is known, training."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from flint import arb, arb_series, ctx
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from proofs_checks.ground_truth import BITS, ball_gradient, balls
from reference import (
    AltgradError,
    Approximation,
    Layer,
    LinearLoss,
    ModelGradient,
    SquaredLoss,
    fast_qkv,
    fast_transformer,
    fast_transformer_gradient,
    gradient_step,
    perturbation,
    qkv,
    transformer,
    transformer_gradient,
)
from reference.bounded import Bounded
from reference.certificate import unit
from reference.fast_qkv import METHODS
from reference.fast_transformer import SLOPES, _phi, _phi_prime
from reference.polynomial import taylor
from tests import signatures
from tests.models import (
    ACTIVATIONS,
    DTYPES,
    LOSSES,
    PAIR,
    STYLES,
    WEIGHTS,
    Case,
    as_tree,
    case,
    dense,
    leaves,
    map_tree,
    rank_one,
    repeated_rows,
    run,
    same,
    small,
    small_integers,
    zero,
)

NAMED = [each for each in ACTIVATIONS if isinstance(each, str)]
RTOLS: dict[Any, list[float]] = {np.float32: [0.5, 1e-2], np.float64: [0.5, 1e-2, 1e-5, 1e-8]}


@pytest.fixture(autouse=True)
def many_bits() -> Iterator[None]:
    with ctx.workprec(BITS):
        yield


# -------------------------------------------------------------------------------------------------- against the truth


def fast_gradient(start: Case, rtol: float, method: Any) -> Approximation:
    layers, X, loss = start.arguments
    return fast_transformer_gradient(layers, X, loss, rtol=rtol, method=method, **start.keywords)


def triples(start: Case, fast: Approximation) -> Iterator[tuple[str, Any, Any, Any]]:
    """Each array's name, its value, its bound, and the exact one in balls."""
    exact = {name: np.vectorize(lambda number: number.value, otypes=[object])(x) for name, x in leaves(run(start))}
    bounds = dict(leaves(arrays(fast.bound)))
    for name, value in leaves(arrays(fast.value)):
        assert value.shape == bounds[name].shape == exact[name].shape, name
        assert value.dtype == bounds[name].dtype == (start.dtype if name != ".value" else float), name
        yield name, value, bounds[name], exact[name]


def arrays(gradient: ModelGradient) -> Any:
    return {"value": np.array(gradient.value), **as_tree(gradient)}


def assert_within(start: Case, rtol: float = 1e-3, method: Any = "differentiate") -> bool:
    """Each entry is as near to the exact one as its bound says. Whether all bounds are finite."""
    fast, finite = fast_gradient(start, rtol, method), True
    for name, value, bound, exact in triples(start, fast):
        entries = zip(balls(value).flat, bound.flat, exact.flat, strict=True)
        broken = [(v, b, e) for v, b, e in entries if b < np.inf and not abs(v - e) <= arb(float(b))]
        assert not broken, f"{name}: {broken[0][0]} is farther than {broken[0][1]} from {broken[0][2]}"
        finite &= bool(np.isfinite(bound).all())
    return finite


def chosen(choose: Callable[[list[Any]], Any], seed: int) -> tuple[Case, float, Any]:
    """Any case, rtol and method, by a function that takes one of a list."""
    n, d, m = choose([1, 2, 3, 5]), choose([1, 2, 2, 4]), choose([1, 2, 3, 4, 5, 6])
    both: list[Any] = [False, True]
    heads = [1, d] if d < 4 else [2, 4]
    each: dict[str, list[Any]] = {"heads": heads, "causal": both, "residual": both, "activation": NAMED}
    weights = STYLES if m <= 2 else [small, small, zero]  # or scores grow beyond what is reached
    model: dict[str, list[Any]] = {"loss": LOSSES, "dtype": DTYPES, "X": STYLES, "weights": weights}
    layers: Any = {name: [choose(values) for _ in range(m)] for name, values in each.items()}
    options: Any = {name: choose(values) for name, values in model.items()}
    start = case(n, d, m, seed=seed, **options, **layers)
    return start, choose(RTOLS[start.dtype]), choose(list(METHODS))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Case, float, Any]:
    return chosen(lambda values: draw(st.sampled_from(values)), draw(st.integers(0, 2**32 - 1)))


def answered(drawn: tuple[Case, float, Any]) -> bool:
    """Whether the model is not refused, for one of the reasons there may be here. Each names the layer."""
    try:
        fast_gradient(*drawn)
    except AltgradError as refusal:
        reasons = "rounding in float(32|64) alone|with scores up to|would carry"
        if not re.match(rf"fast_transformer_gradient: layer \d: .*({reasons})", str(refusal)):
            raise
        return False
    return True


@settings(max_examples=80)
@given(cases())
@example((case(1, 1, 1), 1e-3, "paper"))
@example((case(1, 4, 3, heads=4, residual=True, weights=small), 1e-3, "antiderivative"))
@example((case(5, 1, 6, causal=True, residual=True, activation="gelu"), 1e-3, "differentiate"))
@example((case(4, 2, 3, weights=zero, residual=True, activation="relu"), 1e-3, "paper"))
@example((case(4, 2, 3, weights=rank_one, activation="relu"), 1e-3, "paper"))
@example((case(4, 2, 3, X=repeated_rows, causal=True), 1e-3, "paper"))
@example((case(4, 2, 2, X=small_integers, weights=small_integers, activation="relu", residual=True), 1e-2, "paper"))
def test_truth(drawn: tuple[Case, float, Any]) -> None:
    """And every bound is finite up to three layers."""
    assume(answered(drawn))
    assert assert_within(*drawn) or len(drawn[0].layers) > 3


def test_few_models_are_refused() -> None:
    rng, sample = np.random.default_rng(0), 100
    counts = [answered(chosen(lambda values: values[rng.integers(len(values))], seed)) for seed in range(sample)]
    assert counts.count(False) <= 0.2 * sample


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("activation", NAMED)
def test_finite_up_to_three_layers(activation: str, causal: bool, residual: bool) -> None:
    """One to three layers with Gaussian operands, n = 4, d = 2, weights divided by √2, each with another loss."""
    options: Any = {"activation": activation, "causal": causal, "residual": residual}
    for m, loss, dtype, method in zip((1, 2, 3), LOSSES, [np.float64, np.float32, np.float64], METHODS, strict=True):
        assert assert_within(case(4, 2, m, loss=loss, dtype=dtype, heads=2, seed=1, **options), 1e-2, method)


def at_zero(activation: str) -> Case:
    """The first layer maps to exact zeros and to numbers whose sign no bound knows."""
    start = case(4, 2, 2, X=small_integers, activation=activation, residual=True)
    start.layers[0] = replace(start.layers[0], W_V=np.eye(2), W_g=np.array([[0.0, 1.0], [0.0, -1.0]]))
    return replace(start, X=np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]]))


@pytest.mark.parametrize("activation", NAMED)
def test_arguments_of_activations_at_zero(activation: str) -> None:
    """Z W_g is exactly 0. There relu's slope, and no other's, may be off by all that it jumps by, 1."""
    start = at_zero(activation)
    assert assert_within(start)
    bound = fast_gradient(start, 1e-3, "paper").bound
    assert (float(bound.layers[0].W_g.max()) > 0.1) == (activation == "relu")


# --- a lie in a layer is found


def forgetful(self: Bounded, value: Any, error: Any = 0.0) -> None:
    self.value, self.error = value, np.zeros(np.shape(value))


def still(function: Any) -> Any:
    """The same, but its bounds are 0."""

    def of(*operands: Any) -> Any:
        bounds = function(*operands)
        return type(bounds)(*(0 * b for b in bounds)) if isinstance(bounds, tuple) else 0 * bounds

    return of


LIES: dict[str, tuple[Any, str, Any]] = {
    "no error but the last": (Bounded, "__init__", forgetful),
    "the output does not move": (fast_transformer, "output_moved", still(perturbation.output_moved)),
    "the gradients do not move": (fast_transformer, "gradient_moved", still(perturbation.gradient_moved)),
    "activations do not move": (fast_transformer, "_phi", lambda phi, slopes, S: Bounded(phi(S.value))),
    "the loss does not move": (SquaredLoss, "bounded", lambda self, T: (0.0, 0.0, {})),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found(lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [
        case(4, 2, m, seed=seed, activation=each) for m in (1, 2) for seed in range(4) for each in ("tanh", "identity")
    ]
    assert all(assert_within(start, 0.5) for start in models)
    monkeypatch.setattr(*LIES[lie])
    with pytest.raises(AssertionError, match="farther than"):
        [assert_within(start, 0.5) for start in models]


# --- activations

ARGUMENTS = [*np.linspace(-4, 4, 33), 2**0.5, -(2**0.5), 0.6584789484624084, -30.0, 30.0, 1e-20]
ERRORS = [0.0, 1e-12, 1e-3, 0.5, 3.0, 100.0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMED)
def test_activations_move_as_far_as_is_said(name: str, dtype: Any) -> None:
    """At exact arguments within the bound φ and φ′, of balls, are as near as is said; and some are nearly as far."""
    S, slopes = np.array(ARGUMENTS, dtype), SLOPES[name]
    functions = transformer.ACTIVATIONS[name]
    for E in ERRORS:
        known = Bounded(S, E)
        after = _phi(functions[0], slopes, known), _phi_prime(functions[1], slopes, known)
        assert (after[1].error <= slopes.range + 128 * unit(dtype)).all()
        for share in (-1, -0.5, -1e-3, 0, 1e-3, 0.5, 1):
            exact = balls(S) + balls(np.full(len(S), share * E))
            for phi, computed in zip(functions, after, strict=True):
                off = abs(balls(computed.value) - phi(exact))
                assert all(distance <= bound for distance, bound in zip(off, computed.error, strict=True)), (name, E)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMED)
def test_bounds_of_activations_term_by_term(name: str, dtype: Any) -> None:
    """φ moves by max |φ′| E and rounds 16 times; φ′ by max |φ″| E, by its range at most, and rounds 32 times."""
    S, u, slopes = np.array([-3.0, -0.25, 0.0, 0.5, 2.0, 40.0], dtype), unit(dtype), SLOPES[name]
    functions = transformer.ACTIVATIONS[name]
    for E in (0.0, 1e-9, 0.25, 0.5, 3.0):
        known = Bounded(S, E)
        phi, phi_prime = _phi(functions[0], slopes, known), _phi_prime(functions[1], slopes, known)
        assert phi.value.tolist() == functions[0](S).tolist()
        assert phi_prime.value.tolist() == functions[1](S).tolist()
        for i, s in enumerate(S.tolist()):
            rounding = 16 * u * max(abs(s), abs(float(phi.value[i])))
            assert phi.error[i] == pytest.approx(slopes.first * E + rounding, rel=1e-12)
            moved = slopes.range * (abs(s) <= E) if name == "relu" else min(slopes.second * E, slopes.range)
            rounding = 0.0 if name == "identity" else 32 * u
            assert phi_prime.error[i] == pytest.approx(moved + rounding, rel=1e-12)
    with np.errstate(all="ignore"):  # as the model's gradient calls them
        assert all(np.isinf(bounded(np.tanh, None, Bounded(S)).error).all() for bounded in (_phi, _phi_prime))


def test_bounds_on_slopes_are_attained() -> None:
    """Each to a fiftieth, on points 1/1000 apart."""
    x = np.linspace(-5, 5, 10001)
    for name, (first, second, span) in SLOPES.items():
        slope = transformer.ACTIVATIONS[name][1](x)
        assert 0.98 * first <= np.abs(slope).max() <= first
        assert 0.98 * span <= slope.max() - slope.min() <= span
        steepness = np.abs(np.diff(slope)).max() / 1e-3
        assert 0.98 * min(second, 1000) <= steepness * (1 + 1e-6) <= second * (1 + 1e-5)


def test_the_slope_of_relu_is_known_away_from_zero() -> None:
    """Where the exact argument cannot be 0: then it is 0 or 1, else it may be off by 1."""
    S = Bounded(np.array([-2.0, -1.0, 1.0, 2.0, 0.0]), np.array([1.0, 1.0, 1.0, 1.0, 0.0]))
    slope = _phi_prime(transformer.relu_prime, SLOPES["relu"], S)
    assert slope.value.tolist() == [0, 0, 1, 1, 0]
    assert (slope.error < 1e-14).tolist() == [True, False, False, True, False]
    assert slope.error.max() < 1 + 1e-14


# ------------------------------------------------------------------------------------------------ how the bound grows


def growth(residual: bool) -> Iterator[tuple[int, float, float]]:
    """m, and relative to the largest entry of dL/dX the largest error and the largest bound; one to six layers."""
    rng = np.random.default_rng(0)
    n, d = 64, 4
    X, C = rng.normal(size=(2, n, d))
    layers = [Layer(*rng.normal(size=(4, d, d)) / np.sqrt(d), heads=2, residual=residual) for _ in range(6)]
    for m in range(1, 7):
        fast = fast_transformer_gradient(layers[:m], X, LinearLoss(C), rtol=1e-6, method="differentiate")
        exact = transformer_gradient(layers[:m], X, LinearLoss(C)).X
        size = np.abs(exact).max()
        yield m, np.abs(fast.value.X - exact).max() / size, fast.bound.X.max() / size


def table() -> str:
    """For docs/models.md."""
    lines = ["| m | error | bound | error, residual | bound, residual |", "|---|---|---|---|---|"]
    for (m, *plain), (_, *residual) in zip(growth(False), growth(True), strict=True):
        lines.append(f"| {m} | " + " | ".join(f"{x:.1g}" for x in (*plain, *residual)) + " |")
    return "\n".join(lines)


def test_the_table_in_the_documents() -> None:
    assert table() in (Path(__file__).parent.parent / "docs" / "models.md").read_text("utf-8")


def test_growth() -> None:
    """With residuals the bound grows with every layer, far faster than the error does, which is never above it."""
    plain, residual = list(growth(False)), list(growth(True))
    assert all(error <= bound < np.inf for _, error, bound in (*plain, *residual))
    bounds, errors = [bound for *_, bound in residual], [error for _, error, _ in residual]
    assert bounds == sorted(bounds)
    assert max(errors) / min(errors) < bounds[1] / bounds[0] < bounds[-1] / bounds[0]


# ----------------------------------------------------------------------------------- where no bound is known, or none


def finite(bound: Any) -> dict[str, bool]:
    return {name: bool(np.isfinite(array).all()) for name, array in leaves(arrays(bound))}


def causes(fast: Approximation) -> list[str]:
    """What `why` says, but for the rank, which is above n in all small models."""
    return [reason for reason in fast.why.split("; ") if reason and "the rank" not in reason]


UNKNOWN_SLOPES = "its activation is a pair of functions, nothing is known of their slopes"


@pytest.mark.parametrize("i", [1, 2, 3])
def test_activations_of_the_caller(i: int) -> None:
    """All bounds pass through them; but what is before the first of them, forward, is as good as ever."""
    start = case(4, 2, 3, activation=["tanh" if k != i else PAIR for k in (1, 2, 3)], loss="cross_entropy")
    fast = fast_gradient(start, 1e-3, "paper")
    assert causes(fast) == [f"layer {i}: {UNKNOWN_SLOPES}"]
    assert not any(finite(fast.bound).values())
    assert assert_within(start) is False
    only = replace(start, layers=[replace(start.layers[0], activation=PAIR)])
    linear = fast_transformer_gradient(only.layers, start.X, LinearLoss(np.ones((4, 2))), rtol=1e-3)
    assert causes(linear) == [f"layer 1: {UNKNOWN_SLOPES}"]
    assert not any(finite(linear.bound).values())


def test_a_loss_of_the_caller() -> None:
    """Without `bounded`, nothing is known; with it, as much as it says."""
    start = case(4, 2, 2, loss="squared")
    layers, X, own = start.arguments
    told = fast_transformer_gradient(layers, X, own, rtol=1e-3)
    silent = fast_transformer_gradient(layers, X, own.__call__, rtol=1e-3)
    assert causes(silent) == ["the loss has no method `bounded`: nothing is known of how it moves with T"]
    assert not any(finite(silent.bound).values())
    assert causes(told) == []
    assert all(finite(told.bound).values())
    for (_, one), (_, other) in zip(leaves(arrays(told.value)), leaves(arrays(silent.value)), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("loss", LOSSES)
def test_g0_of_the_caller(loss: str) -> None:
    """No bound passes it, but all others are what they are, T_0 taken as it is returned."""
    start = case(4, 2, 2, loss=loss, g0=True)
    layers, X, the_loss = start.arguments
    fast = fast_gradient(start, 1e-3, "paper")
    assert causes(fast) == ["g0 is given as functions: no bound passes through them"]
    unknown = {name for name, known in finite(fast.bound).items() if not known}
    assert unknown == {".X", ".g0.E", ".g0.B"}
    after = fast_transformer_gradient(layers, start.keywords["g0"][0](X), the_loss, rtol=1e-3)
    for ours, theirs in ((fast.value, after.value), (fast.bound, after.bound)):
        assert np.array_equal(ours.layers[0].X, theirs.X)
        assert np.array_equal(ours.layers[1].W_K, theirs.layers[1].W_K)
        assert ours.value == theirs.value
    exact = transformer_gradient(layers, X, the_loss, **start.keywords)
    assert (np.abs(exact.layers[0].X - fast.value.layers[0].X) <= 2 * fast.bound.layers[0].X).all()
    assert np.array_equal(fast.value.X, fast.value.layers[0].X @ start.of_g0["E"].T)


PASS = {"W_Q": 0.0, "W_K": 0.0, "W_V": 0.0, "W_g": 0.0, "residual": True}  # T ↦ T


def uniform(dtype: Any = np.float64, **changed: Any) -> Layer:
    """With X as below and an rtol of 50 all weights are taken as equal: values are 0, bounds are not."""
    numbers: dict[str, Any] = {"W_Q": 2.0**-9, "W_K": 0.5, "W_V": 1.0, "W_g": 1.0, "residual": False} | changed
    residual = numbers.pop("residual")
    weights: Any = {name: np.array([[number]], dtype) for name, number in numbers.items()}
    return Layer(**weights, residual=residual, activation="identity")


EVEN = np.array([[16.0], [-16.0], [16.0], [-16.0]])


def test_bounds_that_overflow_forward_name_the_layer() -> None:
    layers = [uniform(**PASS), uniform(W_g=0.9 * np.finfo(np.float64).max), uniform()]
    fast = fast_transformer_gradient(layers, EVEN, LinearLoss(EVEN), rtol=50.0)
    assert causes(fast) == ["layer 2: the bound on its output overflows"]
    assert fast.bound.value == np.inf
    assert not finite(fast.bound)[".X"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds_that_overflow_backward_name_the_layer(dtype: Any) -> None:
    """In the dtype of the gradients."""
    layers = [uniform(dtype, **PASS), uniform(dtype, W_V=1e-3), uniform(dtype, **PASS)]
    C = (EVEN / 160 * np.finfo(dtype).max).astype(dtype)
    fast = fast_transformer_gradient(layers, EVEN.astype(dtype), LinearLoss(C), rtol=50.0)
    assert causes(fast) == [f"layer 2: a bound on its gradients overflows {np.dtype(dtype)}"]
    assert np.isinf(fast.bound.layers[1].W_V).all()
    assert all(np.isfinite(getattr(fast.bound.layers[2], name)).all() for name in ("X", *WEIGHTS))


def test_of_several_layers_the_last_is_named() -> None:
    """Backward it comes first."""
    fast = fast_gradient(case(4, 2, 3), 1e-2, "paper")
    spoiled = [replace(each, W_K=np.full((2, 2), np.inf)) for each in fast.bound.layers[:2]]
    journal = fast_transformer.Journal()
    bound = replace(fast.bound, layers=(*spoiled, fast.bound.layers[2]))
    fast_transformer._name_overflow([Bounded(np.zeros((4, 2)))], bound, journal)
    assert journal.reasons == ["layer 2: a bound on its gradients overflows float64"]


def test_a_loss_whose_bound_overflows_is_named() -> None:
    X = np.vstack([EVEN] * 16)
    loss = LinearLoss(X / 800 * np.finfo(np.float64).max)
    fast = fast_transformer_gradient([uniform()], X, loss, rtol=50.0, method="differentiate")
    assert causes(fast)[0] == "the bound on the loss or on its parameters' gradients overflows"
    assert fast.bound.value == np.inf


def attention(layer: Layer, rtol: float) -> Any:
    return fast_transformer.Attention(
        layer, fast_transformer.BoundedWording("test"), rtol, "differentiate", lambda fast: None
    )


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 2.0**127), (np.float64, 2.0**1023)])
def test_column_sums_that_overflow_are_no_reason_to_refuse(dtype: Any, size: float) -> None:
    """The first key has more than half of each of 8 weights: its bound is above all float32 numbers, or infinite.

    The sum of its approximate weights is below that of the exact ones.
    """
    Q, K, V = (Bounded(x.astype(dtype)) for x in (np.ones((8, 1)), 2 * np.eye(8, 1), np.zeros((8, 1))))
    with np.errstate(all="ignore"):
        dV = attention(uniform(dtype), 0.1).gradient(Q, K, V, Bounded(V.value, size)).V
    share = np.exp(2) / (np.exp(2) + 7)
    assert dV.error[0] >= 8 * share * Fraction(size)
    assert (dV.error[1:] <= 1.2 * (1 - share) / 7 * 8 * size).all()


def test_the_error_of_attention_is_the_fresh_one_and_the_moved_one() -> None:
    """Head by head, with the scale 1/d_h, and column sums that are sharp."""
    rng = np.random.default_rng(0)
    operands = [Bounded(rng.normal(size=(5, 4)), 1e-3) for _ in range(4)]
    layer = replace(case(5, 4, 1).layers[0], heads=2)
    output = attention(layer, 1e-6).output(*operands[:3]).error
    gradient = attention(layer, 1e-6).gradient(*operands)
    for head in (slice(0, 2), slice(2, 4)):
        Q, K, V, G = (x[:, head] for x in operands)
        u = np.exp(Q.value @ K.value.T / 2)
        f = u / u.sum(axis=1, keepdims=True)
        moved = perturbation.gradient_moved(Q, K, V, G, 0.5, f.T.__matmul__)
        fresh = qkv.fast_attention_vjp(
            *(np.ascontiguousarray(x.value) for x in (Q, K, V, G)), scale=0.5, rtol=1e-6, method="differentiate"
        ).bound
        for ours, one, other in zip(gradient, fresh, moved, strict=True):
            assert np.allclose(ours.error[:, head], one + other, rtol=1e-3, atol=0)
        of_output = qkv.fast_attention(*(np.ascontiguousarray(x.value) for x in (Q, K, V)), scale=0.5, rtol=1e-6).bound
        expected = of_output + perturbation.output_moved(Q, K, V, 0.5)
        assert np.allclose(output[:, head], expected, rtol=1e-3, atol=0)


def test_bounds_are_rounded_up() -> None:
    bounds = np.array([0.0, 1.0, 1 + 1e-9, 1 - 1e-9, 1e-60, 1e39, np.inf])
    with np.errstate(over="ignore"):
        rounded = fast_transformer.rounded_up(bounds, np.float32)
    assert rounded.dtype == np.float32
    assert rounded[:2].tolist() == [0, 1]
    assert (rounded[2:5] > bounds[2:5] * (1 - 1e-12)).all()
    assert (rounded[2:4] <= 1 + 2.0**-23).all()
    assert np.isinf(rounded[5:]).all()


class Told(LinearLoss):
    """With parameters of which a bound is told that float32 does not represent."""

    def __call__(self, T: Any) -> Any:
        value, cotangent, _ = super().__call__(T)
        return value, cotangent, {"A": T}

    def bounded(self, T: Bounded) -> Any:
        return 0.0, 0.0, {"A": 1 + 1e-9}


@pytest.mark.parametrize(
    ("errors", "named"),
    [
        (1.0, "returns 1.0"),
        ((0.0, 0.0), "returns"),
        ((0.0, 0.0, {}), "other parameters"),
        ((-1e-6, 0.0, {"A": 0.0}), "the value"),
        ((0.0, np.full((4, 2), -1.0), {"A": 0.0}), "dL/dT"),
        ((0.0, np.zeros(2), {"A": 0.0}), "dL/dT"),
        ((0.0, 0.0, {"A": "1"}), "A"),
    ],
)
def test_bounds_of_the_caller_are_checked(errors: Any, named: str) -> None:
    class Lying(Told):
        def bounded(self, T: Bounded) -> Any:
            return errors

    layers, X, _ = case(4, 2, 1).arguments
    with pytest.raises(AltgradError, match=named):
        fast_transformer_gradient(layers, X, Lying(X), rtol=1e-2)


def test_the_bounds_of_a_model_are_rounded_up() -> None:
    layers, X, _ = case(4, 2, 1, dtype=np.float32).arguments
    bound = fast_transformer_gradient(layers, X, Told(X), rtol=1e-2).bound.loss["A"]
    assert bound.dtype == np.float32
    assert (bound > 1).all()


# ------------------------------------------------------------------------------------------ what is computed, and how


def test_what_the_results_hold() -> None:
    start = case(3, 4, 3, heads=2, loss="cross_entropy", weights=small)
    fast = fast_gradient(start, 1e-3, "paper")
    assert isinstance(fast.value.value, float)
    assert isinstance(fast.bound.value, float)
    assert len(fast.degree) == len(fast.rank) == len(fast.relative_error) == 3
    assert all(0 < error < 1e-3 for error in fast.relative_error)
    assert all(k == (g + 1) * (g + 2) // 2 for k, g in zip(fast.rank, fast.degree, strict=True))
    assert np.array_equal(fast.value.layers[0].X, fast.value.X)
    assert not np.shares_memory(fast.value.layers[0].X, fast.value.X)
    assert not np.shares_memory(fast.bound.layers[0].X, fast.bound.X)
    assert all(each.W is None for each in fast.value.layers + fast.bound.layers)
    told = [f"layer {i}: the rank {k} is above the number of rows 3" in fast.why for i, k in enumerate(fast.rank, 1)]
    assert told == [k > 3 for k in fast.rank]
    assert True in told
    assert False in told


def approximate(layers: Any, X: Any, target: Any, polynomial: Any) -> Any:
    """½‖T − target‖² of the model with a polynomial for exp, dense, in autograd's NumPy; one head."""
    coefficients, T = [float(c) for c in polynomial.coefficients], X
    for W_Q, W_K, W_V, W_g in layers:
        S = anp.dot(anp.dot(T, W_Q), anp.dot(T, W_K).T) / X.shape[1]
        P = sum(c * S**k for k, c in enumerate(coefficients))
        Z = T + anp.dot(P / anp.sum(P, axis=1, keepdims=True), anp.dot(T, W_V))
        T = Z + anp.tanh(anp.dot(Z, W_g))
    return anp.sum((T - target) ** 2) / 2


def test_differentiate_is_the_gradient_of_the_approximate_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """By reverse mode. With rows in pairs x, −x the middle of the keys, which is subtracted, is 0 in every layer."""
    monkeypatch.setattr(fast_qkv, "exp_polynomial", lambda B, error: taylor(2, 1.0))
    start = case(3, 2, 2, residual=True, weights=small)
    X, target = np.vstack([start.X, -start.X]), np.random.default_rng(1).normal(size=(6, 2))
    weights = [[getattr(layer, name) for name in WEIGHTS] for layer in start.layers]
    expected = autograd.grad(approximate, argnum=(0, 1))(weights, X, target, taylor(2, 1.0))
    layers = [replace(layer, causal=False) for layer in start.layers]

    def off(method: Any) -> float:
        value = fast_transformer_gradient(layers, X, SquaredLoss(target), rtol=0.9, method=method).value
        ours = [value.X, *(getattr(each, name) for each in value.layers for name in WEIGHTS)]
        theirs = [expected[1], *(W for each in expected[0] for W in each)]
        return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours, theirs, strict=True))

    assert off("differentiate") < 2.0**-40 < 2.0**-20 < off("paper")


def test_methods_differ_in_the_gradients_only_as_they_may() -> None:
    """ "paper" and "antiderivative" compute the same numbers, whatever the polynomial; and all are near the exact."""
    start = case(5, 2, 3, residual=True, weights=small, loss="cross_entropy")
    values = {method: fast_gradient(start, 0.5, method).value for method in METHODS}
    assert all(assert_within(start, 0.5, method) for method in METHODS)
    off = {method: np.abs(values[method].layers[0].W_Q - values["paper"].layers[0].W_Q).max() for method in METHODS}
    size = np.abs(values["paper"].layers[0].W_Q).max()
    assert off["antiderivative"] < 2.0**-30 * size < off["differentiate"]
    assert len({each.value for each in values.values()}) == 1


def test_no_array_of_all_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the text: loading compiled loops takes memory too, which has nothing to do with n."""
    n, d = 4096, 2
    monkeypatch.setattr(fast_qkv, "LONG", n + 1)
    layers, X, loss = case(n, d, 2, dtype=np.float32, weights=small, residual=True).arguments
    tracemalloc.start()
    try:
        fast_transformer_gradient(layers, X, loss, rtol=0.1, method="differentiate")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < n * n * X.itemsize / 4


def test_inputs_stay_as_they_are() -> None:
    layers, X, loss = case(4, 2, 2, heads=2, residual=True, loss="cross_entropy").arguments
    operands = [X, loss.W_out, loss.labels, *(getattr(each, name) for each in layers for name in WEIGHTS)]
    for array in operands:
        array.flags.writeable = False
    before = [array.tobytes() for array in operands]
    fast = fast_transformer_gradient(layers, X, loss, rtol=1e-2)
    assert [array.tobytes() for array in operands] == before
    results = [array for gradient in (fast.value, fast.bound) for _, array in leaves(as_tree(gradient))]
    assert not any(np.shares_memory(a, b) for a in results for b in operands)


# ------------------------------------------------------------------------------------------------------- soft prompts


@pytest.mark.parametrize("causal", [False, True])
def test_soft_prompts(causal: bool) -> None:
    """B.5: of the model on [P; X] the gradient on the p rows of P, the others fixed: the first p rows of dL/dX.

    The derivative of the loss along a change of P alone, a coefficient of power series of balls, is as near to that of
    the returned rows as their bounds say.
    """
    p, start = 2, case(5, 2, 2, residual=True, causal=causal, activation="gelu")
    fast = fast_gradient(start, 1e-6, "paper")
    gradient, bound = fast.value.X[:p], fast.bound.X[:p]
    change = np.random.default_rng(1).normal(size=(p, 2))
    cap, ctx.cap = ctx.cap, 2
    try:
        lifted = map_tree(np.vectorize(lambda x: arb_series([x]), otypes=[object]), start.operands)
        for index in np.ndindex(change.shape):
            lifted["X"][index] = arb_series([float(start.X[index]), float(change[index])])
        derivative = dense(start, lifted, gradient=False)["value"][1]
    finally:
        ctx.cap = cap
    computed = (balls(gradient) * balls(change)).sum()
    assert abs(computed - derivative) <= (balls(bound) * balls(np.abs(change))).sum()
    assert float(abs(derivative)) > 100 * float((bound * np.abs(change)).sum())


# ------------------------------------------------------------------------------------------------- steps and training


def test_gradients_of_W_Q_and_W_K_are_those_of_W_passed_on() -> None:
    """C.3: (dL/dW) W_K and (dL/dW)ᵀ W_Q for W = W_Q W_Kᵀ, one head: in balls, the model being attention alone."""
    start = case(3, 2, 1, loss="linear", activation="identity")
    layer = replace(start.layers[0], W_g=np.eye(2))
    start = replace(start, layers=[layer])
    W_Q, W_K = balls(layer.W_Q), balls(layer.W_K)
    dW = ball_gradient(start.X, W_Q @ W_K.T, layer.W_V, start.of_loss["C"], scale=Fraction(1, 2)).W
    exact = {
        name: np.vectorize(lambda x: x.value, otypes=[object])(array)
        for name, array in run(start)["layers"][0].items()
    }
    assert same(dW @ W_K, exact["W_Q"])
    assert same(dW.T @ W_Q, exact["W_K"])
    assert assert_within(start, 1e-6, "paper")


def toy() -> tuple[list[Layer], Any, SquaredLoss]:
    """Each row's target is the mean of the rows so far: two causal layers."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(32, 2))
    layers = [Layer(*0.3 * rng.normal(size=(4, 2, 2)), residual=True, causal=True) for _ in range(2)]
    return layers, X, SquaredLoss(np.cumsum(X, axis=0) / np.arange(1, 33)[:, None])


def test_training() -> None:
    """100 steps of Algorithm 1 by fast gradients, each certified and near the exact gradient at the same weights.

    The loss falls to a tenth, and ends where exact gradients bring it but for a hundredth of the fall.
    """
    (layers, X, loss), losses = toy(), []
    exactly = layers
    for _ in range(100):
        fast = fast_transformer_gradient(layers, X, loss, rtol=1e-2, method="differentiate")
        assert causes(fast) == []
        exact = dict(leaves(arrays(transformer_gradient(layers, X, loss))))
        bounds = dict(leaves(arrays(fast.bound)))
        for name, value in leaves(arrays(fast.value)):
            assert np.isfinite(bounds[name]).all(), name
            assert (np.abs(value - exact[name]) <= bounds[name]).all(), name
        losses.append(fast.value.value)
        layers = gradient_step(layers, fast.value, 0.03)
        exactly = gradient_step(exactly, transformer_gradient(exactly, X, loss), 0.03)
    assert losses[::10] == sorted(losses[::10], reverse=True)
    last, exact_last = (transformer_gradient(each, X, loss).value for each in (layers, exactly))
    assert last < losses[0] / 10
    assert abs(last - exact_last) < (losses[0] - exact_last) / 100


# ---------------------------------------------------------------------------------------------------------- bad input


def refusal(layers: Any, X: Any, loss: Any, **keywords: Any) -> str:
    with pytest.raises(AltgradError) as error:
        fast_transformer_gradient(layers, X, loss, **({"rtol": 1e-2} | keywords))
    assert str(error.value).startswith("fast_transformer_gradient: ")
    return str(error.value).removeprefix("fast_transformer_gradient: ")


def test_keywords() -> None:
    expected = {"fast_transformer_gradient": {"rtol": signatures.NEEDED, "g0": None, "method": "paper"}}
    assert signatures.keywords(fast_transformer) == expected


def test_bad_settings() -> None:
    layers, X, loss = case(4, 2, 2).arguments
    for rtol in (None, 0, -1, "0.1", np.inf, np.nan, True):
        assert refusal(layers, X, loss, rtol=rtol) == f"rtol is {rtol!r}, needs a positive finite number"
    words = refusal(layers, X, loss, method="fast")
    assert words == "method is 'fast', needs one of 'paper', 'antiderivative', 'differentiate'"
    with pytest.raises(TypeError, match="rtol"):
        fast_transformer_gradient(layers, X, loss)  # type: ignore[call-arg]


def test_bad_models() -> None:
    """The same words as those of the exact gradient."""
    layers, X, loss = case(4, 2, 2).arguments
    bad: list[tuple[Any, Any, Any, dict[str, Any]]] = [
        ([], X, loss, {}),
        ([layers[0], "tanh"], X, loss, {}),
        ([layers[0], replace(layers[1], W_K=np.ones((2, 3)))], X, loss, {}),
        ([layers[0], replace(layers[1], heads=3)], X, loss, {}),
        ([layers[0], replace(layers[1], activation="swish")], X, loss, {}),
        (layers, X.tolist(), loss, {}),
        (layers, X.astype(np.float32), loss, {}),
        (layers, X, 3, {}),
        (layers, X, lambda T: 0.0, {}),
        (layers, X, LinearLoss(np.ones((3, 2))), {}),
        (layers, X, loss, {"g0": 3}),
        (layers, X, loss, {"g0": (lambda X: X, lambda X, G: G)}),
    ]
    for *operands, keywords in bad:
        with pytest.raises(AltgradError) as exact:
            transformer_gradient(*operands, **keywords)
        with pytest.raises(AltgradError) as fast:
            fast_transformer_gradient(*operands, rtol=1e-2, **keywords)
        assert str(fast.value) == str(exact.value).replace("transformer_gradient:", "fast_transformer_gradient:")


def test_what_the_approximation_cannot_do_names_the_layer() -> None:
    layers, X, loss = case(4, 2, 2, dtype=np.float32, residual=True).arguments
    words = refusal(layers, X, loss, rtol=1e-12)
    assert words.startswith("layer 1: rtol is 1e-12, and rounding in float32 alone may reach")
    steep = replace(layers[1], W_Q=layers[1].W_Q * 4000)
    words = refusal([layers[0], steep], X, loss)
    assert words.startswith("layer 2: rtol is 0.01")
    wide, X, loss = case(3, 16, 2).arguments
    words = refusal(wide, 4 * X, loss, rtol=1e-8)
    assert re.match(r"layer 1: the polynomial of degree \d+ in d = 16 variables has rank \d+ and would carry", words)


def test_overflow_is_named() -> None:
    """A first layer that changes nothing."""
    zero, large, X = np.zeros((1, 1)), np.full((1, 1), 1e308), np.array([[3.0], [-2.0]])
    first = Layer(zero, zero, zero, zero, residual=True, activation="identity")
    words = refusal([first, replace(first, W_V=large)], X, LinearLoss(X))
    assert words.startswith("layer 2: T W_V overflows float64")
    words = refusal([first, replace(first, W_g=large)], X, LinearLoss(X))
    assert words.startswith("layer 2: Z W_g overflows float64")


if __name__ == "__main__":
    print(table())
