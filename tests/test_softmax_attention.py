"""The paper's definitions on small layers: against loops, against each other, and where they end.

Tolerances are rounding bounds of the formulas, or there are none: then both sides are balls.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from flint import arb, ctx

from proofs_checks import ground_truth
from proofs_checks.equation import EquationTrial
from proofs_checks.ground_truth import BITS, ball_jacobian, balls, contracted, mixed
from proofs_checks.instances import Array, Instance, gaussian
from proofs_checks.record import Check
from proofs_checks.softmax_attention import STATEMENTS
from proofs_checks.symbols import Symbols
from reference import attention
from reference import softmax_attention as paper
from reference.error_bounds import gradient_rounding, output_rounding
from tests.signatures import FORMULA, keywords

SIZES = {"one position": (1, 3), "one column": (4, 1), "a single number": (1, 1), "n < d": (2, 4), "n > d": (4, 2)}
INPUTS = ("Gaussian", "zero", "repeated rows")


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    with ctx.workprec(BITS):
        yield


def operands(n: int, d: int, kind: str = "Gaussian") -> dict[str, Array]:
    drawn = gaussian(np.random.default_rng([n, d]), n, d)
    X = {"Gaussian": drawn["X"], "zero": 0 * drawn["X"], "repeated rows": np.ones((n, 1)) * drawn["X"][:1]}[kind]
    return {**drawn, "X": X}


def in_balls(n: int, d: int) -> dict[str, Array]:
    return {name: balls(array) for name, array in operands(n, d).items()}


def overlap(a: Array, b: Array) -> bool:
    """Whether two arrays of narrow balls may hold the same numbers."""
    assert a.shape == b.shape
    assert all(x.rad() < arb(2) ** -200 for x in (*a.flat, *b.flat))
    return all(x.overlaps(y) for x, y in zip(a.flat, b.flat, strict=True))


def equations() -> Iterator[Any]:
    """The checks of the formulas that hold."""
    for statement in STATEMENTS:
        for part in statement.parts:
            for form in part.forms:
                mended = part.fault is not None and form.role == "printed"
                for check in form.checks:
                    if isinstance(check.trial, EquationTrial) and not mended:
                        yield pytest.param(check, id=f"{statement.id} {part.name} {form.role}")


# --- formulas against loops


@pytest.mark.parametrize("check", list(equations()))
def test_formulas_at_the_edges(check: Check) -> None:
    trial = check.trial
    assert isinstance(trial, EquationTrial)
    for (n, d), kind, causal in product(SIZES.values(), INPUTS, trial.masks):
        layer = Instance(operands(n, d, kind), trial.scales[0](d), causal)
        assert trial.ratio(check.claim, layer) <= 1, (n, d, kind, causal)


@pytest.mark.parametrize(("n", "d"), list(SIZES.values()), ids=list(SIZES))
def test_attention_is_the_public_one(n: int, d: int) -> None:
    layer = operands(n, d)
    X, W, W_V = layer["X"], layer["W"], layer["W_V"]
    allowed = 2 * output_rounding(X, W, W_V, scale=1 / d)
    assert (np.abs(paper.Attn(X, W, W_V) - attention(X, W, W_V)) <= allowed).all()


def test_one_position_sees_itself() -> None:
    X, W, W_V = np.array([[2.0]]), np.array([[3.0]]), np.array([[5.0]])
    assert paper.f(paper.u(X, W)) == paper.f_causal(X, W) == paper.M(1) == 1
    assert paper.Attn(X, W, W_V) == paper.s_multi_head(X, W, W, W_V, 1) == 10
    assert paper.p(np.ones((1, 1)), W) == 0


def test_the_largest_entries_are_reached() -> None:
    ones, n, d = np.ones((2, 3)), 2, 3
    f, h = paper.f(paper.u(ones, np.zeros((d, d)))), paper.h(ones, np.ones((d, d)))
    s = paper.s(f, h)
    assert h.max() == paper.value_bound(ones, np.ones((d, d))) == paper.value_bound_bits(d, 0) == d
    assert s.max() == paper.output_bound(f, h) == paper.output_bound_sharp(h) == paper.output_bound_bits(d, 0) == d
    assert paper.f(np.tri(n)).max() == paper.weight_bound() == 1


# --- gradients


def test_gradients_on_W_Q_and_W_K_against_autograd() -> None:
    n, d, scale = 4, 3, 1 / 3
    layer = operands(n, d)
    X, W_V, G = layer["X"], layer["W_V"], layer["G"]
    W_Q, W_K = (np.round(2 * layer[name]) for name in ("W_Q", "W_K"))  # integers, so that W = W_Q W_Kᵀ is exact

    def loss(W_Q: Array, W_K: Array) -> Any:
        return anp.sum(G * ground_truth.forward(X, anp.dot(W_Q, W_K.T), W_V, scale=scale))

    W = W_Q @ W_K.T
    dL_dW = ground_truth.gradient(X, W, W_V, G, scale=scale).W
    true = autograd.grad(loss, argnum=(0, 1))(W_Q, W_K)
    # Both multiply a gradient on W, within its bound of the exact one, by integers, and round sums of d products.
    error = 2 * gradient_rounding(X, W, W_V, G, scale=scale).W + 2 * d * np.finfo(float).eps * np.abs(dL_dW)
    assert (np.abs(paper.gradient_W_Q(dL_dW, W_K) - true[0]) <= error @ np.abs(W_K)).all()
    assert (np.abs(paper.gradient_W_K(dL_dW, W_Q) - true[1]) <= error.T @ np.abs(W_Q)).all()


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_on_W_Q_and_W_K_in_balls(causal: bool) -> None:
    symbols = Symbols(Instance(operands(3, 2), Fraction(1, 2), causal))
    assert overlap(paper.gradient_W_Q(symbols.dL_dW_QK, symbols.W_K), symbols.dL_dW_Q)
    assert overlap(paper.gradient_W_K(symbols.dL_dW_QK, symbols.W_Q), symbols.dL_dW_K)


def test_p_is_the_gradient_on_the_scores() -> None:
    n = 3
    scores, q = balls(operands(n, n)["W"]), balls(operands(n, n)["W_V"])

    def softmax(lifted: Any) -> Any:
        return mixed([[x.exp() for x in row] for row in lifted["scores"]], lifted["one"])

    gradient = contracted(q, ball_jacobian(softmax, {"scores": scores, "one": balls(np.eye(n))}, "scores"))
    f = paper.f(np.exp(scores))
    assert overlap(paper.p(f, q), gradient)
    assert overlap(np.stack([paper.p_row(f, q, j0) for j0 in range(n)]), gradient)


def test_the_rows_of_p2_that_C16_prints() -> None:
    f, q = balls(operands(3, 3)["X"]), balls(operands(3, 3)["G"])
    printed = np.stack([np.outer(f[j0], f[j0]) @ q[j0] for j0 in range(3)])
    assert overlap(paper.p2(f, q), printed)


# --- heads


def test_one_head_is_self_attention() -> None:
    layer = in_balls(3, 4)
    X, W_Q, W_K, W_V = (layer[name] for name in ("X", "W_Q", "W_K", "W_V"))
    assert overlap(paper.s_multi_head(X, W_Q, W_K, W_V, 1), paper.Attn_QKV(X, W_Q, W_K, W_V))


def test_heads_one_column_wide_are_attentions_of_one_column() -> None:
    layer = in_balls(3, 4)
    X, W_Q, W_K, W_V = (layer[name] for name in ("X", "W_Q", "W_K", "W_V"))
    one = balls(np.eye(1))
    s = paper.s_multi_head(X, W_Q, W_K, W_V, 4)
    for c in range(4):
        scores = np.outer(X @ W_Q[:, c], X @ W_K[:, c])
        assert overlap(s[:, [c]], paper.Softmax_rows(scores) @ (X @ W_V[:, [c]]) @ one)


def test_heads_are_no_function_of_the_product_of_queries_and_keys() -> None:
    """Queries and keys times the same rotation: W_Q W_Kᵀ stays, two heads change."""
    X, W_V = np.array([[1.0, 0.0], [2.0, 1.0]]), np.eye(2)
    one, turned = np.eye(2), np.array([[0.0, -1.0], [1.0, 0.0]])
    assert (turned @ turned.T == one @ one.T).all()
    before, after = (paper.s_multi_head(balls(X), balls(R), balls(R), balls(W_V), 2) for R in (one, turned))
    assert not overlap(before, after)
    assert overlap(*(paper.s_multi_head(balls(X), balls(R), balls(R), balls(W_V), 1) for R in (one, turned)))


def test_a_number_of_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="equal division"):
        paper.split(np.ones((2, 3)), 2)


def test_the_checks_see_every_number_of_heads() -> None:
    seen = {d: {Symbols.of(n, d).heads for n in range(1, 6)} for d in range(1, 5)}
    assert seen == {1: {1}, 2: {1, 2}, 3: {1, 3}, 4: {1, 2, 4}}


def test_keywords() -> None:
    assert keywords(paper) == {"u": FORMULA}
