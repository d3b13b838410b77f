"""The trials: what they draw and enumerate, that they see what is false and never take a fault for a pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from proofs_checks import fast_gradient, softmax_attention, weight_gradient
from proofs_checks.identity import GradientTrial, worst_ratio
from proofs_checks.inequality import exact
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
from proofs_checks.readings import READINGS, ReadingsTrial, one_alone, printed_group, repaired_group
from proofs_checks.record import Claim
from proofs_checks.trial import Counterexample, Result, apply
from reference import input_gradient
from reference import softmax_attention as attn
from reference import weight_gradient as weights

NAMES = ("X", "W", "W_V", "G")
drawn = layers(unit_scale, paper_scale, odd_scale, masks=(False, True))


@given(drawn)
def test_drawn_layers_are_layers(layer: Instance) -> None:
    assert {name: a.shape for name, a in layer.operands.items()} == shapes(layer.n, layer.d)
    assert len({a.dtype for a in layer.arrays}) == 1
    assert all(np.isfinite(a).all() for a in layer.arrays)
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
        np.abs(layer.operands["X"] @ layer.operands["W"] @ layer.operands["X"].T).max() > LARGEST_SCORE / 2
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


def gradient_trial(operand: Any) -> GradientTrial:
    return GradientTrial(operand, (paper_scale, unit_scale, odd_scale), (False, True))


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
    result = GradientTrial(operand, (odd_scale,)).explain(next(iter(false.values())))
    assert result.counterexample is not None, f"{id}: nothing small refutes {next(iter(false))}"
    assert "smallest in n, then d" in result.counterexample.search
    assert result.reason.startswith("off by ")


def smallest_size(counterexample: Counterexample) -> tuple[int, int]:
    X = counterexample.operands["X"]
    return len(X), len(X[0])


def test_counterexamples_are_the_smallest() -> None:
    """n = 1 has f = 1 and p = 0, and at d = 1 the factor 1/d is 1: nothing smaller than these can exist."""
    printed = {
        ("W_V", weights.gradient_W_V_printed, unit_scale): (2, 1),
        ("X", input_gradient.gradient_X_printed, unit_scale): (2, 1),
        ("W", weights.gradient_W_printed, paper_scale): (2, 2),
    }
    for (operand, claim, scale), size in printed.items():
        found = GradientTrial(operand, (scale,)).explain(claim).counterexample  # type: ignore[arg-type]
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
    with pytest.raises((FloatingPointError, ZeroDivisionError)):
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


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4))
def test_fractions_are_exact(values: list[float]) -> None:
    assert [float(x) for x in exact(np.array([values])).flat] == values
    assert all(isinstance(x, Fraction) for x in exact(np.array([values])).flat)


@given(st.integers(-40, 40), st.integers(1, 3))
def test_bits_bound_the_entries(power: int, d: int) -> None:
    X = exact(np.full((1, d), 2.0**power))
    bits = softmax_attention.size_and_bits({"X": X, "W_V": exact(np.zeros((d, d)))})
    assert bits == {"d": d, "bits": max(0, power)}


def test_ratios() -> None:
    assert worst_ratio(np.array([0.0, 1.0]), np.array([0.0, 4.0])) == 0.25
    assert worst_ratio(np.array([1.0]), np.array([0.0])) == np.inf
    assert np.isnan(worst_ratio(np.array([np.nan]), np.array([1.0])))
    assert np.isnan(worst_ratio(np.array([1.0]), np.array([np.nan])))
    assert worst_ratio(np.array([1.0]), np.array([np.inf])) == 0


def test_apply_passes_what_the_formula_takes() -> None:
    assert apply(lambda X, scale: X * scale, {"X": 3, "W": 5}, scale=2, causal=True) == 6


def test_thirty_two_readings() -> None:
    assert len({r.described() for r in READINGS}) == 32
    result = ReadingsTrial().run(printed_group, 0)
    assert result.outcome == "supports"
    own = [row for row in result.details if row[1:5] == ("X W Xᵀ", "rows", "f", "f h")]
    assert [row[5:] for row in own] == [("not refuted", "refuted", "refuted"), ("refuted", "refuted", "refuted")]


@pytest.mark.parametrize("group", [repaired_group, one_alone])
def test_a_group_with_a_reading_survives(group: Claim) -> None:
    result = ReadingsTrial().run(group, 0)
    assert result.outcome == "open"
    assert "1, X W Xᵀ, rows, f, f h" in result.reason


def test_e11_is_refuted_in_every_reading() -> None:
    rows = ReadingsTrial().run(printed_group, 3).details[1:]
    assert all(row[-1] == "refuted" for row in rows)


def test_results_survive_json() -> None:
    for result in (
        Result("supports", 3, 1, 0.5),
        gradient_trial("W_V").explain(weight_gradient.W_V_sign),
        ReadingsTrial().run(printed_group, 0),
    ):
        assert Result.from_json(result.to_json()) == result


def test_an_instance_without_a_finite_bound_is_no_evidence() -> None:
    """Scores so large that float32 says nothing of their differences: any answer would be within the bound."""
    X, one = np.full((2, 1), 1e9, np.float32), np.ones((1, 1), np.float32)
    layer = Instance({"X": X, "W": one, "W_V": one, "G": np.array([[1], [-1]], np.float32)}, Fraction(1))
    with pytest.raises(OverflowError, match="no finite rounding bound"):
        gradient_trial("W_V").ratio(lambda X, G: np.full((1, 1), 7.0), layer)
