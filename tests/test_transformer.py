"""Transformers and their gradients against dense formulas on running numbers (tests/models.py).

That the formulas are the gradient is shown apart and without tolerance: on power series of balls, the coefficient of t
in the loss.
"""

from __future__ import annotations

import itertools
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flint import arb, arb_series, ctx
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from proofs_checks.ground_truth import BITS, balls
from reference import (
    AltgradError,
    Gradient,
    Layer,
    LinearLoss,
    SquaredLoss,
    gradient_step,
    qkv,
    transformer,
    transformer_gradient,
    transformer_output,
)
from reference.input_gradient import gradient_X_printed
from tests.models import (
    ACTIVATIONS,
    DTYPES,
    LOSSES,
    PAIR,
    TRUE,
    WEIGHTS,
    Case,
    as_tree,
    case,
    cases,
    chosen,
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
from tests.signatures import keywords


@pytest.fixture(autouse=True)
def many_bits() -> Iterator[None]:
    with ctx.workprec(BITS):
        yield


# ------------------------------------------------------------------------------------------------- the dense formulas


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_the_dense_formulas_are_the_gradient(residual: bool, causal: bool, activation: Any, loss: str) -> None:
    """Each entry is the coefficient of t in the loss where t is added to it: rigorous. No operand of φ is 0 here."""
    options: Any = {"residual": residual, "causal": causal, "activation": activation, "heads": [1, 2]}
    start = case(3, 2, 2, seed=6, loss=loss, g0=loss != "linear", **options)
    gradients, cap = dict(leaves(run(start))), ctx.cap
    ctx.cap = 2
    try:
        lifted = map_tree(np.vectorize(lambda x: arb_series([x]), otypes=[object]), start.operands)
        for name, array in leaves(lifted):
            for index in np.ndindex(array.shape) if name in gradients else ():
                entry = array[index]
                array[index] = arb_series([entry[0], 1])
                moved = dense(start, lifted, gradient=False)["value"]
                array[index] = entry
                assert same([moved[0], moved[1]], [gradients[".value"].value, gradients[name][index].value]), name
    finally:
        ctx.cap = cap


# ------------------------------------------------------------------------------------------------- against the truth


def assert_true(start: Case, block: int = qkv.BLOCK_ENTRIES) -> bool:
    """All results lie within their bounds, in the operands' dtype and shapes. Whether all bounds say something."""
    layers, X, loss = start.arguments
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(qkv, "BLOCK_ENTRIES", block)
        T = transformer_output(layers, X, **start.keywords)
        gradient = transformer_gradient(layers, X, loss, **start.keywords)
    computed = {"output": T, "value": np.array(gradient.value), **as_tree(gradient)}
    said = []
    for (name, ours), (same_name, numbers) in zip(leaves(computed), leaves(run(start)), strict=True):
        assert name == same_name
        assert ours.dtype == start.dtype or name == ".value"
        assert ours.shape == np.shape(numbers), name
        pairs = list(zip(ours.flat, np.ravel(numbers), strict=True))
        off = [abs(arb(float(entry)) - number.value) for entry, number in pairs]
        broken = [(o, n) for o, (_, n) in zip(off, pairs, strict=True) if not o <= n.error]
        assert not broken, f"{name}: off by {broken[0][0]}, from {broken[0][1]}"
        size = max(float(abs(number.value).upper()) for _, number in pairs)
        said.append(max(number.error for _, number in pairs) <= max(size, 1e-3))
    return all(said)


@settings(max_examples=400)
@given(cases(), st.sampled_from([1, 7, qkv.BLOCK_ENTRIES]))
@example(case(1, 1, 1), 1)
@example(case(1, 4, 3, heads=4, residual=True), 1)
@example(case(6, 1, 3, causal=True, residual=True, activation="gelu"), 7)
@example(case(2, 4, 3, heads=2, loss="cross_entropy", g0=True), 1)
@example(case(4, 3, 2, X=zero, activation=PAIR, residual=True), 1)
@example(case(4, 3, 2, X=repeated_rows, activation="gelu", causal=True), 7)
@example(case(5, 4, 3, weights=rank_one, heads=2, activation="identity"), 7)
@example(case(5, 4, 3, weights=zero, residual=True, activation="gelu"), 1)
def test_truth(start: Case, block: int) -> None:
    """Where a bound is above 1/1000 and above all numbers it is for, or infinite, the example counts for nothing."""
    assume(assert_true(start, block))


def test_few_examples_count_for_nothing() -> None:
    rng, sample = np.random.default_rng(0), 200
    counts = [assert_true(chosen(lambda values: values[rng.integers(len(values))], seed)) for seed in range(sample)]
    assert counts.count(False) <= 0.15 * sample


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_truth_for_each_kind_of_layer(activation: Any, causal: bool, residual: bool, dtype: Any) -> None:
    options: Any = {"activation": activation, "causal": causal, "residual": residual, "dtype": dtype}
    for loss, heads in itertools.product(LOSSES, [1, 2, 4]):
        assert assert_true(case(5, 4, 2, weights=small, loss=loss, heads=heads, **options))


@pytest.mark.parametrize(
    ("m", "dtype", "tolerance"), [(1, np.float32, 1e-2), (1, np.float64, 1e-10), (2, np.float64, 1e-7)]
)
def test_the_bound_is_small(m: int, dtype: Any, tolerance: float) -> None:
    """A factor of 1 + `tolerance` in the largest entry of any result would be seen."""
    for activation in ACTIVATIONS:
        start = case(m=m, activation=activation, heads=2, residual=True, loss="cross_entropy", dtype=dtype)
        for name, numbers in leaves(run(start)):
            size = max(float(abs(number.value)) for number in np.ravel(numbers))
            worst = max(number.error for number in np.ravel(numbers))
            assert worst <= tolerance * size, (activation, name, worst / size)


INNER: Any = {name: getattr(transformer, name) for name in ("_heads", "forward", "backward")}
LIES: dict[str, Any] = {
    "_heads": lambda layer, T: [(columns, scale**0.5) for columns, scale in INNER["_heads"](layer, T)],
    "T_next": lambda Attn, W_g, phi: phi(Attn @ W_g.T),
    "S_cotangent": lambda g_T, Attn, W_g, phi_prime: g_T * phi_prime(g_T @ W_g),
    "residual_attention": lambda T, Attn: T - Attn,
    "residual_g": lambda Z, g_Z: g_Z,
    "residual_gradient": lambda G_Y, vjp_H: (G_Y + vjp_H) * (1 + 1e-6),
    "forward": lambda Q, K, V, *rest: INNER["forward"](K, Q, V, *rest),
    "backward": lambda Q, K, V, G, *rest: qkv.QKVGradient(*INNER["backward"](Q, K, V, G, *rest)[::-1]),
    "tanh_prime": lambda x: 1 - np.tanh(x),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start = case(residual=True, heads=2)
    assert assert_true(start)
    monkeypatch.setattr(transformer, name, LIES[name])
    monkeypatch.setitem(transformer.ACTIVATIONS, "tanh", (transformer.tanh, transformer.tanh_prime))
    with pytest.raises(AssertionError, match="off by"):
        assert_true(start)


def test_relu_has_slope_zero_at_zero() -> None:
    """Bounds know no side of 0. Here all scores are 0 and all numbers small integers over 4: nothing is rounded."""
    start = case(4, 2, 1, loss="linear", X=zero, weights=small_integers, activation="relu", residual=True)
    W, C = (np.rint(2 * array) for array in (start.layers[0].W_V, start.of_loss["C"]))
    gradient = transformer_gradient([replace(start.layers[0], W_V=W)], start.X, LinearLoss(C))
    assert not any(getattr(gradient.layers[0], name).any() for name in WEIGHTS)
    assert gradient.X.tolist() == (C + C.mean(axis=0) @ W.T).tolist()


def test_no_array_of_all_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The states and at most thirty arrays of their shape, and blocks; an n × n array would be four times that."""
    monkeypatch.setattr(qkv, "BLOCK_ENTRIES", 2**16)
    n, d, m = 4096, 8, 2
    layers, X, loss = case(n, d, m, dtype=np.float32, heads=2, residual=True).arguments
    tracemalloc.start()
    try:
        transformer_gradient(layers, X, loss)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= (2 * m + 30) * X.nbytes + 4 * 2**16 * X.itemsize < n * n * X.itemsize / 4


# ------------------------------------------------------------------------------------------------------------- steps


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_step(dtype: Any) -> None:
    """W − rate dL/dW for all weights; nothing else changes, in the layers or in what was given."""
    layers, X, loss = case(
        4, 2, 2, dtype=dtype, heads=[1, 2], residual=[True, False], activation=["gelu", PAIR]
    ).arguments
    gradient = transformer_gradient(layers, X, loss)
    before = [getattr(layer, name).copy() for layer in layers for name in WEIGHTS]
    for rate in (0.5, 1, np.float64(0.25), 0, -2):
        stepped = gradient_step(layers, gradient, rate)
        for old, new, of in zip(layers, stepped, gradient.layers, strict=True):
            for name in WEIGHTS:
                assert getattr(new, name).dtype == dtype
                assert np.array_equal(getattr(new, name), getattr(old, name) - dtype(rate) * getattr(of, name))
            settings_kept = ("heads", "causal", "residual", "activation")
            assert all(getattr(new, name) == getattr(old, name) for name in settings_kept)
    assert all(
        np.array_equal(a, b) for a, b in zip(before, (getattr(x, k) for x in layers for k in WEIGHTS), strict=True)
    )


def test_gradient_step_refuses() -> None:
    layers, X, loss = case(4, 2, 2).arguments
    gradient = transformer_gradient(layers, X, loss)

    def refusal(*arguments: Any) -> str:
        with pytest.raises(AltgradError) as error:
            gradient_step(*arguments)
        return str(error.value)

    for rate in ("1", None, True, np.nan, np.inf):
        assert refusal(layers, gradient, rate) == f"gradient_step: rate is {rate!r}, needs a finite number"
    words = "gradient_step: layers are 1, needs 2, as many as the gradient has"
    assert refusal(layers[:1], gradient, 0.1) == words
    steep = replace(gradient.layers[1], W_K=np.full((2, 2), 1e308))
    words = refusal(layers, replace(gradient, layers=(gradient.layers[0], steep)), 10.0)
    assert words.startswith("gradient_step: layer 2: W_K overflows float64")
    assert words.endswith("needs a smaller rate")


# ------------------------------------------------------------------------------------------------------ the interface


def test_keywords() -> None:
    assert keywords(transformer) == {"transformer_output": {"g0": None}, "transformer_gradient": {"g0": None}}


def bits(tree: Any) -> list[tuple[str, bytes]]:
    return [(name, array.tobytes()) for name, array in leaves(tree)]


def test_what_the_results_hold() -> None:
    layers, X, loss = case(3, 2, 2, loss="cross_entropy").arguments
    gradient = transformer_gradient(layers, X, loss)
    assert isinstance(gradient.value, float)
    assert gradient.value == loss(transformer_output(layers, X))[0]
    assert all(isinstance(each, Gradient) and each.W is None for each in gradient.layers)
    assert gradient.layers[0].X.tobytes() == gradient.X.tobytes()
    assert (set(gradient.loss), gradient.g0) == ({"W_out"}, {})
    again = transformer_gradient(tuple(layers), X, loss)
    assert bits(as_tree(gradient)) == bits(as_tree(again))
    assert gradient != again  # identity: comparing arrays has no one truth value


def strided(array: Any) -> Any:
    return np.repeat(np.repeat(array, 2, axis=0), 2, axis=1)[::2, ::2]


@pytest.mark.parametrize("change", [np.asfortranarray, strided])
def test_memory_layout_changes_no_bit(change: Any) -> None:
    layers, X, loss = case(37, 48, 2, heads=2, residual=True, weights=small).arguments
    moved = [replace(each, **{name: change(getattr(each, name)) for name in WEIGHTS}) for each in layers]
    before = as_tree(transformer_gradient(layers, X, loss))
    assert bits(as_tree(transformer_gradient(moved, change(X), loss))) == bits(before)
    assert transformer_output(moved, change(X)).tobytes() == transformer_output(layers, X).tobytes()


def test_inputs_may_be_read_only_and_stay_as_they_are() -> None:
    start = case(g0=True, loss="cross_entropy", residual=True)
    layers, X, loss = start.arguments
    operands = [X, loss.W_out, loss.labels, *(getattr(each, name) for each in layers for name in WEIGHTS)]
    for array in operands:
        array.flags.writeable = False
    before = [array.tobytes() for array in operands]
    transformer_gradient(layers, X, loss, **start.keywords)
    transformer_output(layers, X, **start.keywords)
    assert [array.tobytes() for array in operands] == before


def test_results_share_no_memory_with_inputs() -> None:
    layers, X, loss = case(loss="linear").arguments
    keep: list[Any] = []

    def keeping(result: Any) -> Any:
        keep.append(result)
        return result

    g0 = (keeping, lambda X, G: (keeping(G), {"own": keeping(G + 1)}))
    results = [array for _, array in leaves(as_tree(transformer_gradient(layers, X, loss, g0=g0)))]
    foreign = [X, loss.C, *keep, *(getattr(each, name) for each in layers for name in WEIGHTS)]
    assert not any(np.shares_memory(a, b) for a in results for b in foreign)


def vandal(function: Any) -> Any:
    """The same function, which destroys its arguments and, at its next call, what it returned last."""
    returned: list[Any] = []

    def vandalising(*arguments: Any) -> Any:
        for array in returned:
            array[...] = 7
        results = function(*(array.copy() for array in arguments))
        for array in arguments:
            array[...] = 7
        parts = results if isinstance(results, tuple) else (results,)
        returned[:] = [part for part in parts if isinstance(part, np.ndarray)]
        return results

    return vandalising


def test_functions_of_the_caller_cannot_corrupt_the_result() -> None:
    start = case(m=3, g0=True, activation=PAIR, residual=[False, True, False])
    layers, X, loss = start.arguments
    before = as_tree(transformer_gradient(layers, X, loss, **start.keywords))
    layers = [replace(each, activation=tuple(map(vandal, PAIR))) for each in layers]
    g0 = tuple(map(vandal, start.keywords["g0"]))
    assert bits(as_tree(transformer_gradient(layers, X, vandal(loss), g0=g0))) == bits(before)


# -------------------------------------------------------------------------------------------------------- bad input


def message(layers: Any, X: Any, loss: Any = None, **keywords: Any) -> str:
    """The refusal, of the gradient; without a loss also of the output, in the same words."""
    with pytest.raises(AltgradError) as error:
        transformer_gradient(layers, X, loss or SquaredLoss(np.zeros(np.shape(X))), **keywords)
    words = str(error.value)
    if loss is None:
        with pytest.raises(AltgradError) as error:
            transformer_output(layers, X, **keywords)
        assert str(error.value).replace("transformer_output", "transformer_gradient") == words
    assert words.startswith("transformer_gradient: ")
    return words.removeprefix("transformer_gradient: ")


def spoiled(array: Any) -> Any:
    array = array.copy()
    array[1, 0] = np.nan
    return array


BAD_ARRAYS: dict[str, tuple[Any, str]] = {
    "list": (lambda a: a.tolist(), "has type list, needs a plain numpy.ndarray"),
    "float32": (lambda a: a.astype(np.float32), "has dtype float32, needs float64, the dtype of X"),
    "narrow": (lambda a: a[:, :1], "has shape ({rows}, 1), needs ({spec}, d) with d = 4 from X"),
    "vector": (lambda a: a[0], "has shape (4,), needs ({spec}, d)"),
    "NaN": (spoiled, "has nan at index (1, 0), needs finite entries"),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
def test_bad_operands(kind: str) -> None:
    (first, second), X, _ = case().arguments
    change, words = BAD_ARRAYS[kind]
    for name in WEIGHTS:
        bad = replace(second, **{name: change(getattr(second, name))})
        expected = words.format(rows=4, spec="d")
        assert message([first, bad], X) == f"{name} of layer 2 {expected}"
    if kind in {"list", "vector", "NaN"}:
        assert message([first, second], change(X)) == "X " + words.format(spec="n")


@pytest.mark.parametrize("kind", BAD_ARRAYS)
def test_bad_results_of_functions(kind: str) -> None:
    (first, second), X, loss = case().arguments
    change, words = BAD_ARRAYS[kind][0], BAD_ARRAYS[kind][1].format(rows=5, spec="n")

    def layers(phi: Any, phi_prime: Any) -> list[Layer]:
        return [first, replace(second, activation=(phi, phi_prime))]

    good = [first, second]
    assert message(layers(change, np.cos), X) == f"φ(Z W_g) of layer 2 {words}"
    assert message(layers(np.sin, change), X, loss) == f"φ′(Z W_g) of layer 2 {words}"
    assert message(good, X, g0=(change, lambda X, G: (G, {}))) == f"forward(X) of g0 {words}"
    vjp: Any = (np.sin, lambda X, G: (change(G), {}))
    assert message(good, X, loss, g0=vjp) == f"dL/dX from g0 {words}"
    assert message(good, X, lambda T: (0.0, change(T), {})) == f"dL/dT from loss {words}"
    if "shape" not in words:
        vjp = (np.sin, lambda X, G: (G, {"own": change(G)}))
        assert message(good, X, loss, g0=vjp) == f"the gradient on own from g0 {words}"
        assert message(good, X, lambda T: (0.0, T, {"own": change(T)})) == f"the gradient on own from loss {words}"


def test_a_parameter_may_have_any_shape() -> None:
    layers, X, _ = case().arguments
    own = {"temperature": np.array(2.0), "bias": np.ones(7)}
    assert bits(transformer_gradient(layers, X, lambda T: (0.0, T, own)).loss) == bits(own)


NEEDS = {
    "heads": "a positive int that divides d = 4",
    "causal": "True or False",
    "residual": "True or False",
    "activation": "one of tanh, gelu, relu, identity, or a pair (φ, φ′) of functions",
}
BAD_FIELDS: list[tuple[str, Any]] = [
    *(("heads", each) for each in (3, 0, -1, 8, True, 2.0)),
    ("causal", 1),
    ("residual", None),
]
BAD_FIELDS += [("activation", each) for each in ("swish", (1, 2), None, (abs,), (abs, abs, abs))]


@pytest.mark.parametrize(("name", "value"), BAD_FIELDS)
def test_bad_layers(name: str, value: Any) -> None:
    (first, second), X, _ = case().arguments
    words = message([first, replace(second, **{name: value})], X)
    assert words == f"{name} of layer 2 is {value!r}, needs {NEEDS[name]}"


def test_bad_sequences_of_layers() -> None:
    (layer, _), X, _ = case().arguments
    assert message([], X) == "layers is empty, needs at least one Layer"
    assert message(layer, X) == "layers has type Layer, needs a sequence of Layer"
    assert message(iter([layer]), X) == "layers has type list_iterator, needs a sequence of Layer"
    assert message([layer, "tanh"], X) == "layer 2 has type str, needs a Layer"


BAD_LOSSES: list[tuple[Any, str]] = [
    (3, "loss is 3, needs a function of T"),
    (lambda T: 0.0, "loss returns float, needs (value, dL/dT, parameters)"),
    (lambda T: (0.0, T), "loss returns 2 results, needs (value, dL/dT, parameters)"),
    *(
        (lambda T, value=value: (value, T, {}), f"value from loss is {value!r}, needs a finite float")
        for value in (np.nan, -np.inf, 1, True, 1j, np.array(1.0))
    ),
    (lambda T: (0.0, T, None), "parameters from loss has type NoneType, needs a dict of arrays"),
]


@pytest.mark.parametrize(("loss", "words"), BAD_LOSSES)
def test_bad_losses(loss: Any, words: str) -> None:
    layers, X, _ = case().arguments
    assert message(layers, X, loss) == words


def test_bad_g0() -> None:
    layers, X, loss = case().arguments
    for g0 in (3, (1, 2), np.sin, (np.sin,), (np.sin, np.cos, np.tan), [np.sin, np.cos]):
        assert message(layers, X, g0=g0) == f"g0 is {g0}, needs None or a pair (forward, vjp) of functions"
    words = message(layers, X, loss, g0=(np.sin, lambda X, G: G))
    assert words == "vjp of g0 returns ndarray, needs (dL/dX, parameters)"
    words = message(layers, X, loss, g0=(np.sin, lambda X, G: (G, [])))
    assert words == "parameters from g0 has type list, needs a dict of arrays"


def test_errors_of_the_callers_functions_come_through() -> None:
    layers, X, _ = case().arguments

    def loss(T: Any) -> Any:
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        transformer_gradient(layers, X, loss)
    words = "LinearLoss: T has shape (5, 4), needs (n, d) with n = 2 from C"
    with pytest.raises(AltgradError, match=re.escape(words)):
        transformer_gradient(layers, X, LinearLoss(np.ones((2, 4))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sign", [-1, 1])
def test_overflow_is_named(sign: int, dtype: Any) -> None:
    """One product at a time; the layer in front is the identity."""
    largest = np.finfo(dtype).max
    large, root = sign * 0.9 * largest, 4 * sign * np.sqrt(largest)

    def refused(what: str, X: Any, G: float = 0.0, cure: str = "smaller operands", **layer: Any) -> None:
        weights: Any = {name: np.array([[layer.pop(name, 0)]], dtype) for name in WEIGHTS}
        zero = np.zeros((1, 1), dtype)
        front = Layer(zero, zero, zero, zero, residual=True, activation="identity")
        layers = [front, Layer(**weights, **{"activation": "identity"} | layer)]
        words = message(layers, np.array(X, dtype), lambda T: (0.0, np.full_like(T, G), {}))
        cure += "" if dtype == np.float64 else ", or float64"
        assert words == f"layer 2: {what} overflows {np.dtype(dtype)} (at most {largest!s}), needs {cure}"

    scaled = "smaller operands or scale"
    refused("T W_Q", [[root]], W_Q=root)
    refused("T W_K", [[root]], W_K=root)
    refused("T W_V", [[root]], W_V=root)
    refused("scale (T W_Q) (T W_K)ᵀ (the scores)", [[2]], W_Q=root, W_K=root, cure=scaled)
    refused("T + Attn(T)", [[large]], W_V=1, residual=True)
    refused("Z W_g", [[root]], W_V=1, W_g=root)
    refused("Z + φ(Z W_g)", [[large]], W_g=1, residual=True)
    refused("dL/dT_i ⊙ φ′(Z W_g)", [[1]], G=large, activation=(np.sin, lambda S: np.full_like(S, 4)))
    refused("G", [[1]], G=root, W_g=root)
    refused("G (T W_V)ᵀ - rowsum(G ⊙ output)", [[1]], G=root, W_g=1, W_V=root)
    refused("the gradient on (T W_Q)", [[root / 64], [0]], G=16, W_g=1, W_V=1, W_K=2**10, cure=scaled)
    refused("the gradient on (T W_V)", [[0], [0]], G=large, W_g=1, causal=True, cure=scaled)
    refused("the gradient on T", [[0]], G=root, W_g=1, W_V=root)
    refused("the gradient on W_V", [[root]], G=root, W_g=1)
    refused("the gradient on W_g", [[root]], G=root, W_V=1)


# ------------------------------------------------------------------------------------------------------- the formulas

STEP = 1e-200  # of complex steps: its square is 0, so the imaginary part is the derivative, to rounding


def derivative(function: Any, at: Any) -> Any:
    """Of an array-valued function by each entry of its argument: (shape of the value, shape of the argument)."""
    columns = []
    for index in np.ndindex(at.shape):
        moved = at.astype(complex)
        moved[index] += 1j * STEP
        columns.append(np.imag(function(moved)) / STEP)
    return np.stack(columns, axis=-1).reshape(*np.shape(columns[0]), *at.shape)


def near(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12, strict=True)


def dense_attention(T: Any, W_Q: Any, W_K: Any, W_V: Any) -> Any:
    """Row by row; complex numbers may pass."""
    rows = []
    for query in T @ W_Q:
        u = np.exp(T @ W_K @ query / T.shape[1])
        rows.append(u / u.sum() @ (T @ W_V))
    return np.array(rows)


def slope(x: Any) -> Any:
    """Of tanh, also at complex arguments."""
    return 1 - np.tanh(x) ** 2


def formula_operands(*shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=shape) for shape in shapes]


def test_each_line_of_the_gradient_through_g() -> None:
    """H.1 and H.2: T = tanh(Attn W_g) differentiated by complex steps, and the sums of its proof."""
    Attn, W_g, g_T = formula_operands((3, 2), (2, 2), (3, 2))
    phi = transformer.tanh
    T = transformer.T_next(Attn, W_g, phi)
    true = derivative(lambda A: transformer.T_next(A, W_g, phi), Attn)  # (3, 2, 3, 2)
    for i, j in np.ndindex(3, 2):
        near(T[i, j], np.tanh(sum(Attn[i, c] * W_g[c, j] for c in range(2))))
        near(transformer.T_entry(Attn, W_g, phi, i, j), T[i, j])
        near(transformer.dT_dAttn(Attn, W_g, slope, i, j), true[i, j])
        for i5, j5 in np.ndindex(3, 2):
            near(transformer.dT_dAttn_entry(Attn, W_g, slope, i, j, i5, j5), true[i, j, i5, j5])
            near(transformer.dT_dAttn_row(Attn, W_g, slope, i, j, i5), true[i, j, i5])
    G = np.einsum("ij,ijkl->kl", g_T, true)  # (3, 2)
    near(transformer.G_by_chain_rule(g_T, true), G)
    for line in ("G_of_T", "G_sum", "G_sum_of_rows", "G_sum_of_products"):
        near(getattr(transformer, line)(g_T, Attn, W_g, slope), G)
    near(transformer.G_of_slopes(g_T, slope(Attn @ W_g), W_g), G)
    near(transformer.S_cotangent(g_T, Attn, W_g, slope) @ W_g.T, G)


def test_each_line_of_the_gradient_around_a_layer() -> None:
    """J.3 and what is said of 1.3: through attention, around it, around g, by heads, of a squared distance."""
    T, G, E, W_g, *weights = formula_operands((3, 2), (3, 2), (3, 2), (2, 2), (2, 2), (2, 2), (2, 2))
    phi = transformer.tanh
    Attn = dense_attention(T, *weights)
    dAttn = derivative(lambda T: dense_attention(T, *weights), T)  # (3, 2, 3, 2)

    def gradient(function: Any) -> Any:
        return np.einsum("ij,ijkl->kl", G, derivative(function, T))

    def layer(T: Any) -> Any:
        return dense_attention(T, *weights)

    near(transformer.gradient_through_attention(G, dAttn), gradient(layer))
    near(transformer.gradient_around_attention(G, dAttn), gradient(lambda T: T + layer(T)))
    near(transformer.residual_gradient_product(G, dAttn), gradient(lambda T: T + layer(T)))
    around = gradient(lambda T: layer(T) + np.tanh(layer(T) @ W_g))
    near(transformer.gradient_around_g(G, Attn, W_g, slope, dAttn), around)
    Z = T + Attn
    near(transformer.residual_layer(T, Attn, W_g, phi), Z + np.tanh(Z @ W_g))
    of_l2 = derivative(lambda T: np.array(((layer(T) - E) ** 2).sum() / 2), T)
    near(transformer.gradient_of_l2(Attn, E, dAttn), of_l2)
    dY = derivative(lambda s: np.tanh(s @ W_g), Attn)
    whole = gradient(lambda T: np.tanh(layer(T) @ W_g))
    near(transformer.gradient_of_concatenation(G, dY, dAttn), whole)
    heads = np.stack([dAttn[:, :1], dAttn[:, 1:]])  # (2, 3, 1, 3, 2)
    near(transformer.gradient_of_heads(G, dY, heads), whole)


def test_models_and_algorithm_1() -> None:
    """F_m from the last layer inwards, the states from the first; dL/dT_0 by complex steps through a dense model."""
    X, G, Ws_Q, Ws_K, Ws_V, Ws_g = formula_operands((3, 2), (3, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (3, 2, 2))

    def after(T: Any, m: int = 2) -> Any:
        for i in range(m):
            T = np.tanh(dense_attention(T, Ws_Q[i], Ws_K[i], Ws_V[i]) @ Ws_g[i + 1])
        return T

    T_0 = np.tanh(X @ Ws_g[0])
    states = transformer.hidden_states(X, Ws_Q, Ws_K, Ws_V, Ws_g, np.tanh)
    near(states, np.stack([after(T_0, m) for m in range(3)]))
    near(transformer.F_m(X, Ws_Q, Ws_K, Ws_V, Ws_g, np.tanh), states[2])
    with pytest.raises(ValueError, match="shorter"):
        transformer.hidden_states(X, Ws_Q, Ws_K, Ws_V, Ws_g[:2], np.tanh)
    operands = G, X, Ws_Q, Ws_K, Ws_V, Ws_g, np.tanh, slope
    near(transformer.MultiGrad(*operands), np.einsum("ij,ijkl->kl", G, derivative(after, T_0)))
    printed, g_t = transformer.MultiGrad_printed(*operands), G
    for i in (1, 0):
        Z = dense_attention(states[i], Ws_Q[i], Ws_K[i], Ws_V[i])
        W = Ws_Q[i] @ Ws_K[i].T / 2
        g_t = gradient_X_printed(states[i], W, Ws_V[i], (g_t * slope(Z @ Ws_g[i + 1])) @ Ws_g[i + 1].T)
    near(printed, g_t)
    dW, W_Q, W_K = Ws_V[0], Ws_Q[0], Ws_K[0]
    near(transformer.g_w_for_W_Q(dW), dW)
    by_W_Q = derivative(lambda W: np.array((dW * (W @ W_K.T)).sum()), W_Q)
    by_W_K = derivative(lambda W: np.array((dW * (W_Q @ W.T)).sum()), W_K)
    near(transformer.g_w_to_W_Q_and_W_K(dW, W_Q, W_K), np.stack([by_W_Q, by_W_K]))


def test_layer_norm() -> None:
    """Rows of mean 0 and variance 1, in the proportions of Z; its vector-Jacobian product by complex steps."""
    Z, G = formula_operands((3, 4), (3, 4))
    y = transformer.layer_norm(Z)
    for row, ours in zip(Z.tolist(), y, strict=True):
        mean = sum(row) / 4
        sigma = (sum((z - mean) ** 2 for z in row) / 4) ** 0.5
        near(ours, np.array([(z - mean) / sigma for z in row]))
    near(transformer.layer_norm_vjp(Z, G), np.einsum("ij,ijkl->kl", G, derivative(transformer.layer_norm, Z)))


def test_other_components() -> None:
    """Encoding, norm, MLP, dropout, residual and heads: the value by its formula, the gradients by complex steps."""
    X, P, W_1, W_2, G = formula_operands((3, 4), (3, 4), (4, 5), (5, 4), (3, 4))
    mask = np.where(np.arange(12).reshape(3, 4) % 3, 2.0, 0.0)

    def Y(X: Any, W_1: Any, W_2: Any) -> Any:
        return X + P + mask * (np.tanh(transformer.layer_norm(X + P) @ W_1) @ W_2)

    results = transformer.other_components(X, P, mask, W_1, W_2, G, np.tanh, slope, 2)
    near(results[0], Y(X, W_1, W_2))
    for ours, of, at in zip(
        results[1:],
        (lambda x: Y(x, W_1, W_2), lambda x: Y(X, x, W_2), lambda x: Y(X, W_1, x)),
        (X, W_1, W_2),
        strict=True,
    ):
        near(ours, np.einsum("ij,ijkl->kl", G, derivative(of, at)))


def test_places_and_shapes() -> None:
    """H.1's indices i₄ ∈ [n], j₄ ∈ [d], and as printed the other way round; the row of d slopes."""
    for n, d in ((1, 2), (3, 2), (2, 2)):
        inside = [[float(i < n and j < d) for j in range(max(n, d))] for i in range(max(n, d))]
        assert transformer.places(n, d).tolist() == inside
        assert transformer.places_printed(n, d).T.tolist() == inside
    assert transformer.length_of_slopes(3) == 3
    assert transformer.shape_of_slopes(3).tolist() == [1, 3]
    assert transformer.shape_of_slopes_printed(3).tolist() == [3, 1]


FUNCTIONS = {
    name: (getattr(transformer, name), getattr(transformer, f"{name}_prime")) for name in transformer.ACTIVATIONS
}
POINTS = [-9.5, -3.0, -1.0, -0.75, -1e-3, 1e-9, 0.5, 1.0, 2.5, 8.0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations_of_balls(name: str) -> None:
    """φ and φ′ against the first two coefficients of φ(x + t): rigorous, to 196 bits."""
    cap, ctx.cap = ctx.cap, 2
    try:
        expansions = [TRUE[name].series(arb_series([arb(x), 1])) for x in POINTS]
        for order, function in enumerate(FUNCTIONS[name]):
            assert same(function(balls(POINTS)), [each[order] for each in expansions])
    finally:
        ctx.cap = cap


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations_of_floats(name: str, dtype: Any) -> None:
    """They keep the dtype and are good to 64 units of roundoff, relatively: an exponent of x² ≤ 128 moves by as much.

    Only gelu′ has a zero, where it is the difference of numbers below 1/4.
    """
    x = np.array([*POINTS, 0.0], dtype)
    for function in FUNCTIONS[name]:
        values, exact = function(x), function(balls(x))
        assert values.dtype == dtype
        u, size = np.finfo(dtype).eps / 2, 0.25 if function is transformer.gelu_prime else 0
        error = np.array([float(abs(arb(float(v)) - e)) for v, e in zip(values, exact, strict=True)])
        most = np.array([size + float(abs(e)) for e in exact])
        assert (error <= 64 * u * most + np.finfo(dtype).tiny).all(), function.__name__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations_of_huge_floats_do_not_overflow(name: str) -> None:
    x = np.array([-1, 1]) * np.finfo(np.float64).max
    with np.errstate(over="ignore"):
        assert all(np.isfinite(function(x)).all() for function in FUNCTIONS[name])
