"""A small transformer learns to recall what it read, with exact and with approximate gradients, in some layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.experiment import REPETITION, Experiment, Panel, Row, relative
from reference import qkv
from reference.fast_qkv import Method
from reference.loss import CrossEntropyLoss
from reference.polynomial import taylor
from reference.transformer import WEIGHTS, Layer, Step, backward_pass, checked_layers, forward_pass

Array = NDArray[Any]
Weights = list[Array]  # W_Q, W_K, W_V, W_g of each layer, (d, d) each, and W_out (d, 2)

METHODS: tuple[Method, ...] = ("paper", "differentiate")
NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How a model is trained: which gradient, and in which layers (from 1) polynomials stand for exp."""

    method: Method = "differentiate"
    layers: tuple[int, ...] = ()
    degree: int = 2
    forward: bool = True  # whether the forward pass is approximate too

    @property
    def gradient(self) -> str:
        if not self.layers:
            return "exact"
        return self.method if self.forward else f"{self.method}, backward only"

    @property
    def approximated(self) -> str:
        if not self.layers:
            return NOTHING
        which = f"layer {self.layers[0]}" if len(self.layers) == 1 else "all layers"
        return f"{which}, degree {self.degree}"


EXACT = Variant()


class Batch(NamedTuple):
    """Sequences one below the other, each of n rows of which the last n/4 ask."""

    X: Array  # (sequences n, d)
    n: int
    labels: Array  # (asked,)

    @property
    def asked(self) -> Array:
        """Where the rows that ask are."""
        places: Array = np.arange(len(self.X)).reshape(-1, self.n)[:, -(self.n // 4) :].ravel()
        return places


def recall(rng: np.random.Generator, sequences: int, n: int, bits: int, wrong: float) -> Batch:
    """Rows (key, value, asks): the key of each row is one of 2^bits, and each key has a value ±1 in each sequence.

    The value is shown with the wrong sign in a share of the rows. Rows that ask show none: what is it, of their key?
    """
    keys = rng.integers(2**bits, size=(sequences, n))
    table = rng.choice([-1.0, 1.0], size=(sequences, 2**bits))
    values = np.take_along_axis(table, keys, axis=1)  # (sequences, n)
    asks = np.arange(n) >= n - n // 4  # (n,)
    shown = values * rng.choice([1, -1], size=values.shape, p=[1 - wrong, wrong]) * ~asks
    signs = 2.0 * (keys[..., None] >> np.arange(bits) & 1) - 1  # (sequences, n, bits)
    columns = signs, shown[..., None], np.broadcast_to(asks[:, None], (*keys.shape, 1))
    return Batch(
        np.concatenate(columns, axis=2).reshape(sequences * n, -1), n, (values[:, asks] > 0).ravel().astype(int)
    )


def step_of(step: Step, n: int, variant: Variant) -> Step:
    """The layer with attention within each sequence, exact or as the variant says."""
    exact = within_sequences(step, n, qkv.attention, qkv.attention_vjp)
    if variant == EXACT:
        return exact
    options = {"polynomial": taylor(variant.degree, 1.0), "certify": False}  # even degree: positive for all scores
    fast = within_sequences(
        step,
        n,
        _value(qkv.fast_attention, **options),
        _value(qkv.fast_attention_vjp, method=variant.method, **options),
    )
    return fast if variant.forward else exact._replace(attend_vjp=fast.attend_vjp)


def within_sequences(step: Step, n: int, output: Callable[..., Any], vjp: Callable[..., Any]) -> Step:
    """The layer with sequences of n rows as what attention calls heads."""

    def split(arrays: tuple[Array, ...]) -> Iterator[Array]:
        return (a.reshape(-1, n, a.shape[1]) for a in arrays)  # (sequences, n, d)

    def attend(*QKV: Array) -> Array:
        joined: Array = output(*split(QKV), scale=1 / QKV[0].shape[1]).reshape(QKV[0].shape)
        return joined

    def attend_vjp(*QKVG: Array) -> qkv.QKVGradient:
        found = vjp(*split(QKVG), scale=1 / QKVG[0].shape[1])
        return qkv.QKVGradient(*(d.reshape(QKVG[0].shape) for d in found))

    return step._replace(attend=attend, attend_vjp=attend_vjp)


def _value(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    def of(*operands: Array, **further: Any) -> Any:
        return function(*operands, **options, **further).value

    return of


class Tested(NamedTuple):
    """What a model does with sequences that it was not trained with."""

    loss: float  # the mean
    wrong: float  # answers, in percent
    score: float  # the largest


def largest_score(layer: Layer, T: Array, n: int) -> float:
    """Within the sequences, with the mean of each row taken from it, which changes no weight."""
    Q, K = (T @ W for W in (layer.W_Q, layer.W_K))
    S = Q.reshape(-1, n, Q.shape[1]) @ K.reshape(-1, n, Q.shape[1]).swapaxes(1, 2) / Q.shape[1]  # (sequences, n, n)
    return float(np.abs(S - S.mean(axis=2, keepdims=True)).max())


class Model:
    """Layers with residual connections, and a linear layer to the two answers."""

    def __init__(self, weights: Weights, variant: Variant) -> None:
        *of_layers, self.W_out = weights
        each = [of_layers[i : i + 4] for i in range(0, len(of_layers), 4)]
        self.layers = [Layer(*W, residual=True) for W in each]
        self.variant = variant

    def gradient(self, batch: Batch) -> Weights:
        """Of the mean loss, on all weights."""
        steps, T, Z = self._forward(batch)
        _, cotangent, of_loss = self._loss(T[-1], batch)
        g_T = np.zeros_like(T[-1])  # (sequences n, d)
        g_T[batch.asked] = cotangent
        gradients = backward_pass(steps, T, Z, g_T)
        whole = [*(getattr(one, name) for one in gradients for name in WEIGHTS), of_loss["W_out"]]
        return [g / len(batch.labels) for g in whole]

    def tested(self, batch: Batch) -> Tested:
        """On sequences that it was not trained with."""
        _, T, _ = self._forward(batch)
        right = (T[-1][batch.asked] @ self.W_out).argmax(axis=1) == batch.labels
        scores = [largest_score(layer, before, batch.n) for layer, before in zip(self.layers, T[:-1], strict=True)]
        return Tested(self._loss(T[-1], batch)[0] / len(right), 100 * float(1 - right.mean()), max(scores))

    def _forward(self, batch: Batch) -> tuple[list[Step], list[Array], list[Array]]:
        steps = [
            step_of(step, batch.n, self.variant if i in self.variant.layers else EXACT)
            for i, step in enumerate(checked_layers("train", self.layers, batch.X), 1)
        ]
        return steps, *forward_pass(steps, batch.X)

    def _loss(self, T: Array, batch: Batch) -> tuple[float, Array, dict[str, Array]]:
        return CrossEntropyLoss(self.W_out, batch.labels)(T[batch.asked])


class Adam:
    """Steps of length `rate` along averaged gradients (Kingma and Ba 2015, with β₁ = 0.9, β₂ = 0.99)."""

    def __init__(self, weights: Weights, rate: float) -> None:
        self.rate, self.t = rate, 0
        self.mean, self.square = [0 * W for W in weights], [0 * W for W in weights]

    def step(self, weights: Weights, gradient: Weights) -> Weights:
        self.t += 1
        self.mean = [0.9 * m + 0.1 * g for m, g in zip(self.mean, gradient, strict=True)]
        self.square = [0.99 * s + 0.01 * g * g for s, g in zip(self.square, gradient, strict=True)]
        rate = self.rate * (1 - 0.99**self.t) ** 0.5 / (1 - 0.9**self.t)
        moves = (rate * m / (np.sqrt(s) + 1e-8) for m, s in zip(self.mean, self.square, strict=True))
        return [W - move for W, move in zip(weights, moves, strict=True)]


def angle(x: Array, y: Array) -> float:
    """In degrees; by half of it, which is exact also where it is small."""
    a, b = x / np.linalg.norm(x), y / np.linalg.norm(y)
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))))


def variants(layers: int, degrees: tuple[int, ...]) -> Iterator[Variant]:
    """Exact; in all layers for each degree; at the first degree in the backward pass only, and in one layer only."""
    every = tuple(range(1, layers + 1))
    yield EXACT
    for degree in degrees:
        yield from (Variant(method=method, layers=every, degree=degree) for method in METHODS)
    yield Variant(method="paper", layers=every, degree=degrees[0], forward=False)
    for method in METHODS:
        yield from (Variant(method=method, layers=(i,), degree=degrees[0]) for i in every)


def run(
    *, seed: int, sequences: int, n: int, bits: int, wrong: float, layers: int, rate: float, steps: int, every: int,
    tests: int, degrees: tuple[int, ...], repetitions: int,
) -> Iterator[Row]:  # fmt: skip
    """A row for each variant, repetition and `every` steps; all variants begin alike and see the same sequences."""
    d = bits + 2
    for r in range(repetitions):
        rng = np.random.default_rng((seed, r))
        shapes = [(d, d)] * len(WEIGHTS) * layers + [(d, 2)]
        start = [rng.standard_normal(shape) / d**0.5 for shape in shapes]
        test = recall(rng, tests, n, bits, wrong)
        batches = [recall(rng, sequences, n, bits, wrong) for _ in range(steps + 1)]
        whole: dict[tuple[str, int], float] = {}  # wrong answers with all layers approximate, of the first degree
        for variant in variants(layers, degrees):
            for row in _trained(variant, start, batches, test, rate, every):
                where = variant.gradient, row["step"]
                share = row["wrong, %"] / whole[where] if len(variant.layers) == 1 and whole[where] else None
                whole.setdefault(where, row["wrong, %"])
                about = {"gradient": variant.gradient, "approximated": variant.approximated, REPETITION: r}
                yield {**about, **row, "wrong/all layers": share}


def _trained(
    variant: Variant, weights: Weights, batches: list[Batch], test: Batch, rate: float, every: int
) -> Iterator[Row]:
    adam = Adam(weights, rate)
    for t, batch in enumerate(batches):
        model, exact = Model(weights, variant), Model(weights, EXACT)
        gradient = model.gradient(batch)
        if t % every == 0:
            g, true = (np.concatenate([W.ravel() for W in Ws]) for Ws in (gradient, exact.gradient(batch)))
            tested = model.tested(test)
            yield {
                "step": t,
                "loss": tested.loss,
                "angle": angle(g, true),
                "gradient, %": relative(true, g),
                "largest score": tested.score,
                "wrong, %": tested.wrong,
                "wrong with exact attention, %": exact.tested(test).wrong,
            }
        weights = adam.step(weights, gradient)


EXPERIMENT = Experiment(
    name="train",
    title="Training with approximate gradients",
    question="Two layers with residual connections, one head, d = 5, learn to recall: a row shows one of 8 keys (three"
    " signs) and the key's value ±1, with the wrong sign in one row of ten; which value a key has changes from"
    " sequence to sequence. The last quarter of 256 rows show a key only, and ask for its value. 400 steps of Adam"
    " on 4 new sequences each, cross-entropy, from five beginnings, which all variants share, as they share the"
    " sequences. **paper** and **differentiate**: attention and gradient by altgrad's almost linear functions of"
    " that method, with the Taylor polynomial of degree 2 or 4, in all layers or in one, the others exact;"
    " **backward only**: with the exact forward pass. **angle** (degrees) and **gradient, %** compare the gradient"
    " of all weights with the exact one, of the exact model, at the same weights and sequences; **wrong, %** is"
    " the share of wrong answers on 16 sequences that were not trained with, by the model as it was trained, and"
    " with exact attention in all layers.",
    notes="Who guesses is wrong half of the time. The row that asks sees 24 rows with its key, of 192 that show a"
    " value: to tell them apart attention has to weigh them more, so scores grow while the model learns, and"
    " nothing holds them where the polynomial is close to exp. Even Taylor polynomials are positive for all"
    " scores, so attention remains defined there. The gradient of “differentiate” is that of the approximate"
    " model, which is another model than the exact one, so that its angle to the exact gradient may be large while"
    " its loss falls; that of “paper” is the gradient of no function. “wrong/all layers” is the share of wrong"
    " answers beside that with all layers approximate, same method, same degree, same beginning. Steps of Adam do"
    " not depend on the gradient's length: a large error in “gradient, %” with a small angle does no harm.",
    run=run,
    small={
        "sequences": 2, "n": 32, "bits": 2, "wrong": 0.1, "layers": 2, "rate": 0.03, "steps": 4, "every": 4,
        "tests": 2, "degrees": (2,), "repetitions": 1,
    },
    full={
        "sequences": 4, "n": 256, "bits": 3, "wrong": 0.1, "layers": 2, "rate": 0.03, "steps": 400, "every": 80,
        "tests": 16, "degrees": (2, 4), "repetitions": 5,
    },
    setting=("gradient", "approximated", "step"),
    measured=(
        "loss", "angle", "gradient, %", "largest score",
        "wrong, %", "wrong with exact attention, %", "wrong/all layers",
    ),
    panels=(
        Panel("step", "loss", ("gradient", "approximated"), ""),
        Panel("step", "angle", ("gradient", "approximated"), ""),
        Panel("step", "wrong, %", ("gradient", "approximated"), ""),
    ),
)  # fmt: skip
