"""The trials: what they draw and enumerate, that they see what is false and never take a fault for a pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from flint import arb
from hypothesis import find, given, settings
from hypothesis import strategies as st

from proofs_checks import fast_gradient, softmax_attention, weight_gradient
from proofs_checks.equation import EquationTrial, apart, measured
from proofs_checks.instances import (
    LARGEST_SCORE,
    MOST,
    SMALL_SIZES,
    STYLES,
    Array,
    Instance,
    layers,
    odd_scale,
    paper_scale,
    shapes,
    small,
    unit_scale,
)
from proofs_checks.readings import READINGS, ReadingsTrial, described, one_alone, printed_group, repaired_group
from proofs_checks.record import Claim
from proofs_checks.symbols import Symbols
from proofs_checks.trial import Counterexample, Result
from reference import input_gradient
from reference import softmax_attention as attn
from reference import weight_gradient as weights
from tests.layers import worst_ratio

NAMES = ("X", "W", "W_V", "G")
drawn = layers(unit_scale, paper_scale, odd_scale, masks=(False, True))


@given(drawn)
def test_drawn_layers_are_layers(layer: Instance) -> None:
    assert {name: a.shape for name, a in layer.operands.items()} == shapes(layer.n, layer.d)
    assert len({a.dtype for a in layer.operands.values()}) == 1
    assert all(np.isfinite(a).all() for a in layer.operands.values())
    assert (layer.operands["Y"].sum(axis=1) == 1).all(), "one label in each row"
    X, W, _, _ = layer.arrays
    with np.errstate(all="raise", under="ignore"):
        attn.f(attn.u(X, W, scale=float(layer.scale)))  # no overflow, in float32 neither


@pytest.mark.parametrize("style", STYLES)
@given(n=st.integers(1, 5), d=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_styles_follow_from_the_seed(style: Any, n: int, d: int, seed: int) -> None:
    one, two = (style(np.random.default_rng(seed), n, d) for _ in range(2))
    assert all((one[name] == two[name]).all() for name in NAMES)
    assert {name: a.shape for name, a in one.items()} == shapes(n, d)


WANTED: dict[str, Callable[[Instance], Any]] = {
    "n = 1": lambda layer: layer.n == 1,
    "d = 1": lambda layer: layer.d == 1,
    "n < d": lambda layer: layer.n < layer.d,
    "a zero row": lambda layer: (layer.operands["X"] == 0).all(axis=1).any(),
    "equal rows": lambda layer: layer.n > 1 and any((a == b).all() for a, b in pairwise(layer.operands["X"])),
    "W of rank 1": lambda layer: layer.d > 1 and np.linalg.matrix_rank(layer.operands["W"]) == 1,
    "W not symmetric": lambda layer: (layer.operands["W"] != layer.operands["W"].T).any(),
    "scores near the largest": lambda layer: (
        np.abs(layer.operands["X"] @ layer.operands["W"] @ layer.operands["X"].T).max()
        > LARGEST_SCORE[layer.operands["X"].dtype] / 2
    ),
    "float32": lambda layer: layer.operands["X"].dtype == np.float32,
    "float64": lambda layer: layer.operands["X"].dtype == np.float64,
    "masked": lambda layer: layer.causal,
    "unmasked": lambda layer: not layer.causal,
}


@pytest.mark.parametrize("kind", WANTED)
def test_every_kind_of_layer_is_drawn(kind: str) -> None:
    found = find(drawn, WANTED[kind], settings=settings(max_examples=2000, database=None))
    assert WANTED[kind](found)


def test_layers_shrink_to_something_readable() -> None:
    found = find(drawn, lambda layer: layer.n >= 2, settings=settings(max_examples=500, database=None))
    assert (found.n, found.d, found.causal, found.scale) == (2, 1, False, unit_scale(1))
    assert all(isinstance(x, int) for rows in found.listed().values() for row in rows for x in row)


def test_small_layers_come_in_order_and_once() -> None:
    sizes = []
    for n, d, space, instances in small(("X", "W_V")):
        seen: Counter[bytes] = Counter()
        nonzeros = []
        for instance in instances:
            assert (instance.n, instance.d) == (n, d)
            assert not instance.operands["W"].any(), "an operand that does not matter is zero"
            seen[b"".join(a.tobytes() for a in instance.arrays)] += 1
            nonzeros.append(sum(np.count_nonzero(a) for a in instance.arrays))
        assert set(seen.values()) == {1}, f"an array twice at n = {n}, d = {d}"
        assert nonzeros == sorted(nonzeros)
        entries = n * d + d * d
        full = 3**entries if 3**entries <= MOST else 2**entries
        assert len(seen) == min(full, MOST), space
        assert str(min(full, MOST)) in space
        sizes.append((n, d))
    assert tuple(sizes) == SMALL_SIZES == tuple(sorted(SMALL_SIZES))


TRIALS = {
    "X": EquationTrial(fast_gradient.dL_dX, "dL/dX", max_n=6),
    "W": EquationTrial(weight_gradient.dL_dW, "dL/dW", max_n=6),
    "W_V": EquationTrial(weight_gradient.dL_dW_V, "dL/dW_V", max_n=6),
}


def gradient_trial(operand: str) -> EquationTrial:
    return replace(TRIALS[operand], scales=(paper_scale, unit_scale, odd_scale), masks=(False, True))


GRADIENTS: dict[str, tuple[Any, Claim, dict[str, Claim]]] = {
    "F.4": ("W", weights.gradient_W, weight_gradient.FALSE_W),
    "G.3": ("W_V", weights.gradient_W_V, weight_gradient.FALSE_W_V),
    "E.11": ("X", input_gradient.gradient_X, fast_gradient.FALSE_X),
}


@pytest.mark.parametrize("id", GRADIENTS)
def test_the_truth_passes_and_each_false_variant_is_refuted(id: str) -> None:
    operand, claim, false = GRADIENTS[id]
    trial = gradient_trial(operand)
    result = trial.run(claim, 5)
    assert (result.outcome, result.examples) == ("supports", 100)
    for name, variant in false.items():
        assert trial.run(variant, 5).outcome == "refutes", f"{id} accepts {name}"


@pytest.mark.parametrize("id", GRADIENTS)
def test_a_false_variant_has_a_smallest_counterexample(id: str) -> None:
    operand, _, false = GRADIENTS[id]
    result = replace(TRIALS[operand], scales=(odd_scale,)).explain(next(iter(false.values())))
    assert result.counterexample is not None, f"{id}: nothing small refutes {next(iter(false))}"
    assert "smallest in n, then d" in result.counterexample.search
    assert result.reason.startswith("off by ")


def smallest_size(counterexample: Counterexample) -> tuple[int, int]:
    X = counterexample.operands["X"]
    return len(X), len(X[0])


def test_counterexamples_are_the_smallest() -> None:
    """n = 1 has f = 1 and p = 0, and at d = 1 the factor 1/d is 1: nothing smaller than these can exist."""
    printed: dict[tuple[str, Claim, Any], tuple[int, int]] = {
        ("W_V", weights.gradient_W_V_printed, unit_scale): (2, 1),
        ("X", input_gradient.gradient_X_printed, unit_scale): (2, 1),
        ("W", weights.gradient_W_printed, paper_scale): (2, 2),
    }
    for (operand, claim, scale), size in printed.items():
        found = replace(TRIALS[operand], scales=(scale,)).explain(claim).counterexample
        assert found is not None
        assert smallest_size(found) == size, found.operands
    found = softmax_attention.LARGEST_VALUE.explain(attn.value_bound_printed).counterexample
    assert found is not None
    assert smallest_size(found) == (1, 2)


def slightly_off(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    return weights.gradient_W_V(X, W, G, scale=scale, causal=causal) * (1 + 2.0**-35)


def wrong_for_long_sequences(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    return weights.gradient_W_V(X, W, G, scale=scale, causal=causal) * (2 if len(X) == 6 else 1)


def not_a_number(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    return np.full((X.shape[1], X.shape[1]), np.nan)


def raises(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    raise ZeroDivisionError("on purpose")


def wrong_in_floats_only(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """Rounds its float result to two digits: a fault of the code, which balls do not have."""
    result = weights.gradient_W_V(X, W, G, scale=scale, causal=causal)
    return result if result.dtype == object else np.round(result, 2)


def test_a_tiny_error_is_seen_and_confirmed() -> None:
    assert gradient_trial("W_V").run(slightly_off, 0).outcome == "refutes"


def test_a_rare_error_is_seen_without_a_small_counterexample() -> None:
    trial = gradient_trial("W_V")
    result = trial.run(wrong_for_long_sequences, 0)
    assert result.outcome == "refutes"
    assert result.counterexample is not None
    assert smallest_size(result.counterexample)[0] == 6
    assert "smallest" not in result.counterexample.search


def test_what_balls_do_not_confirm_stays_open() -> None:
    result = gradient_trial("W_V").run(wrong_in_floats_only, 0)
    assert result.outcome == "open"
    assert "does not confirm" in result.reason


@pytest.mark.parametrize("claim", [not_a_number, raises])
def test_a_fault_is_never_a_pass(claim: Claim) -> None:
    with pytest.raises((ValueError, ZeroDivisionError)):
        gradient_trial("W_V").run(claim, 0)


def test_a_shard_follows_from_its_seed() -> None:
    trial = gradient_trial("X")
    one, again, other = (trial.run(input_gradient.gradient_X, seed) for seed in (1, 1, 2))
    assert one == again
    assert one.worst != other.worst


def test_hypotheses_are_kept() -> None:
    trial = replace(softmax_attention.LARGEST_VALUE, assumed=softmax_attention.long_sequence, hypothesis="n ≥ d")
    result = trial.run(attn.value_bound_printed, 0)
    assert result.outcome == "supports"
    assert result.discarded > 0
    assert result.worst == 1, "n = d with equal entries attains the bound"


@given(st.integers(-40, 40), st.integers(1, 3))
def test_bits_bound_the_entries(power: int, d: int) -> None:
    symbols = Symbols.of(1, d, X=np.full((1, d), 2.0**power))
    assert symbols.bits == max(0, power)


def test_ratios() -> None:
    assert worst_ratio(np.array([0.0, 1.0]), np.array([0.0, 4.0])) == 0.25
    assert worst_ratio(np.array([1.0]), np.array([0.0])) == np.inf
    assert np.isnan(worst_ratio(np.array([np.nan]), np.array([1.0])))
    assert np.isnan(worst_ratio(np.array([1.0]), np.array([np.nan])))
    assert worst_ratio(np.array([1.0]), np.array([np.inf])) == 0


def test_thirty_two_readings() -> None:
    assert len({described(*r) for r in READINGS}) == 32
    result = ReadingsTrial().run(printed_group, 0)
    assert result.outcome == "supports"
    heading, *rows = result.details
    own = next(row for row in rows if row[:5] == ("1", "X W Xᵀ", "rows", "f", "f h"))
    assert dict(zip(heading[5:], own[5:], strict=True)) == dict.fromkeys(heading[5:], "x") | {
        "F.3": "-",
        "F.4": "-",
        "G.2": "-",
    }


@pytest.mark.parametrize("group", [repaired_group, one_alone])
def test_a_group_with_a_reading_survives(group: Claim) -> None:
    result = ReadingsTrial().run(group, 0)
    assert result.outcome == "open"
    assert "1, X W Xᵀ, rows, f, f h" in result.reason


def test_what_no_reading_saves() -> None:
    """E.11 and D.8 fall in every reading, and neither D.1's parts nor G.2 and G.3 ever stand together."""
    heading, *rows = ReadingsTrial().run(printed_group, 3).details
    for row in rows:
        standing = {name for name, mark in zip(heading, row, strict=True) if mark == "-"}
        assert not standing & {"D.8", "E.11"}
        assert not {"D.1=", "D.1≠"} <= standing
        assert not {"G.2", "G.3"} <= standing


def test_results_survive_json() -> None:
    for result in (
        Result("supports", 3, 1, 0.5),
        softmax_attention.LARGEST_VALUE.run(attn.value_bound, 0),
        gradient_trial("W_V").explain(weight_gradient.W_V_sign),
        ReadingsTrial().run(printed_group, 0),
    ):
        assert Result.from_json(result.to_json()) == result


def test_without_a_finite_bound_there_is_no_evidence() -> None:
    with pytest.raises(OverflowError, match="no finite rounding bound"):
        measured(0.0, arb(0), np.inf)
    assert measured(1.0, arb(1), 0.0) == 0
    assert measured(1.5, arb(1), 0.0) == np.inf
    assert measured(1.5, arb(1), 2.0) == 0.25


def test_a_wide_enclosure_decides_nothing() -> None:
    wide = arb(1, 0.25)
    with pytest.raises(ValueError, match="too wide"):
        apart(wide, arb(1))
    with pytest.raises(ValueError, match="too wide"):
        softmax_attention.LARGEST_VALUE.run(wide_bound, 0)


@pytest.mark.parametrize("bound", [softmax_attention.one_product, softmax_attention.root_of_d])
def test_a_false_bound_is_refuted_and_the_true_one_attained(bound: Claim) -> None:
    trial = softmax_attention.LARGEST_VALUE
    assert trial.run(bound, 0).outcome == "refutes"
    result = trial.run(attn.value_bound, 0)
    assert (result.outcome, result.worst) == ("supports", 1.0)


def wide_bound(X: Array, W_V: Array) -> Any:
    return arb(0, 1e30)


def nan_in_the_last_float(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """Right in balls; in floats the last entry is not a number."""
    result = weights.gradient_W_V(X, W, G, scale=scale, causal=causal)
    if result.dtype != object:
        result[-1, -1] = np.nan
    return result


def test_a_nan_among_floats_is_no_pass() -> None:
    with pytest.raises(FloatingPointError, match="nan"):
        gradient_trial("W_V").run(nan_in_the_last_float, 0)


def number_after_a_vector(X: Array, W_V: Array, i: int) -> Any:
    """Row i of h, but from the second row on one number for all of its entries."""
    return X[i] @ W_V if i == 0 else 0


def test_values_of_different_shapes_are_not_broadcast() -> None:
    trial = EquationTrial(entries_of_h, "h", over={"i": "n"}, names=("X", "W_V"))
    with pytest.raises(ValueError, match="at one index"):
        trial.run(number_after_a_vector, 0)


def test_an_equation_without_entries_is_no_example() -> None:
    trial = EquationTrial(nothing, "nothing", names=("X",))
    with pytest.raises(ValueError, match="without entries"):
        trial.run(nothing_claimed, 0)


def nothing(symbols: Symbols) -> Array:
    return np.empty((0,), dtype=object)


def nothing_claimed(X: Array) -> Array:
    return X[:0, 0]


def test_every_index_of_a_formula_is_tried() -> None:
    """Wrong for the last pair of indices only."""
    trial = EquationTrial(entries_of_h, "h", over={"i": "n", "j": "d"}, names=("X", "W_V"))
    assert trial.run(entry_of_h, 0).outcome == "supports"
    result = trial.run(entry_but_the_last, 0)
    assert result.counterexample is not None
    assert result.counterexample.where == "h, i = 2, j = 2"


def entries_of_h(symbols: Symbols) -> Array:
    return symbols.h


def entry_of_h(X: Array, W_V: Array, i: int, j: int) -> Any:
    return X[i] @ W_V[:, j]


def entry_but_the_last(X: Array, W_V: Array, i: int, j: int) -> Any:
    return X[i] @ W_V[:, j] + (i == j == 1)


def test_both_sides_can_be_reproduced() -> None:
    """The three lines of a counterexample print two different arrays."""
    found = gradient_trial("W_V").explain(weights.gradient_W_V_printed).counterexample
    assert found is not None
    printed: list[Any] = []
    exec("\n".join(found.python), {"print": lambda *sides, sep: printed.extend(sides)})
    claimed, true = printed
    assert any(not c.overlaps(t) for c, t in zip(claimed.flat, true.flat, strict=True))


def test_the_instance_that_came_nearest_is_kept() -> None:
    trial = softmax_attention.LARGEST_VALUE
    result = trial.run(attn.value_bound, 0)
    assert result.extreme is not None
    assert result.extreme.ratio == result.worst
    again = Symbols.of(*np.shape(result.extreme.operands["X"]), **result.extreme.operands)
    assert trial.ratio(attn.value_bound, again.instance) == result.worst
    assert gradient_trial("W_V").run(weights.gradient_W_V, 0).extreme is None
