"""The last layer of a trained model learns to tell words in their order from words in disorder, exactly and not.

The layers before it stay as they are, and are run once. Forward and backward pass of the last are written out here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import factorial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from experiments import real_model
from experiments.experiment import REPETITION, Experiment, Panel, Row, relative
from experiments.train import METHODS, Adam, angle
from reference.loss import CrossEntropyLoss
from reference.transformer import gelu, gelu_prime, layer_norm, layer_norm_vjp

Array = NDArray[Any]
Weights = list[Array]  # of query, key, value and dense, (d, d) each, and W_out (d, 2)

TRAINED = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Which gradient; the polynomial is exp's Taylor polynomial of that degree. Is attention trained?"""

    method: str = "exact"
    degree: int = 0
    attention: bool = True

    def weights(self, S: Array) -> tuple[Array, Array]:
        """f, and what stands for f in C.12's p: f again, or for "differentiate" P′ over the sums of P."""
        if not self.degree:
            A = slopes = np.exp(S - S.max(axis=-1, keepdims=True))
        else:
            P = Polynomial([1 / factorial(k) for k in range(self.degree + 1)])  # of even degree, so positive
            A = P(S).astype(S.dtype)
            slopes = P.deriv()(S).astype(S.dtype) if self.method == "differentiate" else A
        sums = A.sum(axis=-1, keepdims=True)
        return A / sums, slopes / sums


EXACT = Variant()
HEAD_ONLY = Variant(method="head only", attention=False)


class Attention:
    """All heads of all sequences; the mean of the keys is taken from them, which changes no weight of softmax."""

    def __init__(self, Q: Array, K: Array, V: Array, variant: Variant) -> None:
        self.Q, self.K, self.V = Q, K - K.mean(axis=-2, keepdims=True), V  # (sequences, heads, n, d_h) each
        self.scale = np.float32(Q.shape[-1] ** -0.5)
        self.f, self.r = variant.weights(self.scale * self.Q @ self.K.mT)  # (sequences, heads, n, n)

    @property
    def output(self) -> Array:
        averages: Array = self.f @ self.V
        return averages

    def vjp(self, dO: Array) -> tuple[Array, Array, Array]:
        """Gradients on Q, K and V, of their shapes."""
        q = dO @ self.V.mT  # (sequences, heads, n, n)
        p = self.scale * self.r * (q - (self.f * q).sum(axis=-1, keepdims=True))
        dK = p.mT @ self.Q
        return p @ self.K, dK - dK.mean(axis=-2, keepdims=True), self.f.mT @ dO


class Batch(NamedTuple):
    """Sequences of one length as the last layer gets them, and 1 for those in disorder."""

    X: Array  # (sequences, n, d)
    labels: Array  # (sequences,)


class Pass(NamedTuple):
    """What the forward pass makes, of N sequences of n rows."""

    x: Array  # (N n, d)
    attention: Attention
    joined: Array  # (N n, d), the outputs of the heads side by side
    a: Array  # (N n, d), before the first norm
    inner: Array  # (N n, 4 d), before gelu
    z: Array  # (N n, d), before the second norm
    mean: Array  # (N, d)


class LastLayer:
    """The last layer of the model, the mean of its rows, and a linear layer to the two answers."""

    def __init__(self, bert: real_model.Model, weights: Weights, variant: Variant) -> None:
        self.bert, self.weights, self.variant = bert, weights, variant

    def tested(self, batch: Batch) -> tuple[float, float]:
        """The mean of the cross-entropy, and the share of wrong answers in percent."""
        mean = self._forward(batch).mean
        wrong = (mean @ self.weights[-1]).argmax(axis=1) != batch.labels
        return self._loss(mean, batch)[0] / len(mean), 100 * float(wrong.mean())

    def gradient(self, batch: Batch) -> Weights:
        """Of the mean of the cross-entropy, on all weights that are trained."""
        x, attention, joined, a, inner, z, mean = self._forward(batch)
        N, n, _ = batch.X.shape
        _, d_mean, of_loss = self._loss(mean, batch)
        dz = self._normed_vjp("output", z, np.repeat(d_mean / (N * n), n, axis=0))
        d_inner = (dz @ self._fixed("output.dense.weight")) * gelu_prime(inner)
        da = self._normed_vjp("attention.output", a, dz + d_inner @ self._fixed("intermediate.dense.weight"))
        d_heads = attention.vjp(self._split(da @ self.weights[3], N))
        return [*(self._joined(g).T @ x for g in d_heads), da.T @ joined, of_loss["W_out"] / N]

    def _forward(self, batch: Batch) -> Pass:
        N, n, d = batch.X.shape
        x = batch.X.reshape(N * n, d)
        Q, K, V = (
            self._split(x @ W.T + self._fixed(f"{name}.bias"), N)
            for W, name in zip(self.weights[:3], TRAINED[:3], strict=True)
        )
        attention = Attention(Q, K, V, self.variant)
        joined = self._joined(attention.output)
        a = x + joined @ self.weights[3].T + self._fixed(f"{TRAINED[3]}.bias")
        y = self._normed("attention.output", a)
        inner = y @ self._fixed("intermediate.dense.weight").T + self._fixed("intermediate.dense.bias")
        z = y + gelu(inner) @ self._fixed("output.dense.weight").T + self._fixed("output.dense.bias")
        return Pass(x, attention, joined, a, inner, z, self._normed("output", z).reshape(N, n, d).mean(axis=1))

    def _loss(self, mean: Array, batch: Batch) -> tuple[float, Array, dict[str, Array]]:
        return CrossEntropyLoss(self.weights[-1], batch.labels)(mean)

    def _fixed(self, name: str) -> Array:
        return self.bert.weights[f"encoder.layer.{self.bert.layers - 1}.{name}"]

    def _split(self, a: Array, N: int) -> Array:
        return a.reshape(N, -1, self.bert.heads, a.shape[1] // self.bert.heads).swapaxes(1, 2)

    def _joined(self, a: Array) -> Array:
        return a.swapaxes(1, 2).reshape(a.shape[0] * a.shape[2], -1)

    def _normed(self, name: str, Z: Array) -> Array:
        return layer_norm(Z) * self._fixed(f"{name}.LayerNorm.weight") + self._fixed(f"{name}.LayerNorm.bias")

    def _normed_vjp(self, name: str, Z: Array, G: Array) -> Array:
        return layer_norm_vjp(Z, G * self._fixed(f"{name}.LayerNorm.weight"))


def stretches(
    bert: real_model.Model, *, passages: int, width: int, stride: int, tested: float, rng: np.random.Generator
) -> tuple[Batch, Batch]:
    """Stretches of `width` tokens, each in its order and in a random one: to learn from, and to be tested on.

    Of each passage, joined to a ring, a share is for tests, from a random place on; no stretch reaches across.
    """
    found: tuple[list[tuple[Array, int]], ...] = [], []
    for text in real_model.texts()[:passages]:
        first, *inner, last = bert.tokens(text)
        ring = np.roll(inner, -rng.integers(len(inner)))
        cut = round(len(ring) * (1 - tested))
        for part, ids in zip(found, (ring[:cut], ring[cut:]), strict=True):
            for window in np.lib.stride_tricks.sliding_window_view(ids, width)[::stride]:
                for label, order in enumerate((window, rng.permutation(window))):
                    states, _ = bert.states([first, *order.tolist(), last])
                    part.append((states[bert.layers - 1], label))
    learned, held_out = (Batch(np.stack([x for x, _ in part]), np.array([y for _, y in part])) for part in found)
    return learned, held_out


def variants(degrees: tuple[int, ...]) -> Iterator[Variant]:
    """Exact, none of the attention's weights trained, and each method at each degree."""
    yield from (EXACT, HEAD_ONLY)
    yield from (Variant(method=method, degree=degree) for method in METHODS for degree in degrees)


def run(
    *, seed: int, model: str, passages: int, width: int, stride: int, tested: float, sequences: int, rate: float,
    steps: int, every: int, degrees: tuple[int, ...], repetitions: int,
) -> Iterator[Row]:  # fmt: skip
    """A row for each variant, repetition and `every` steps. `model` is a folder; the package's own if empty."""
    bert = real_model.Model(Path(model) if model else real_model._packaged())
    for r in range(repetitions):
        rng = np.random.default_rng((seed, r))
        learned, held_out = stretches(bert, passages=passages, width=width, stride=stride, tested=tested, rng=rng)
        d = learned.X.shape[2]
        start = [bert.weights[f"encoder.layer.{bert.layers - 1}.{name}.weight"] for name in TRAINED]
        start.append(rng.standard_normal((d, 2), dtype=np.float32) * np.float32(d**-0.5))
        orders = (rng.choice(len(learned.labels), sequences, replace=False) for _ in range(steps + 1))
        batches = [Batch(learned.X[order], learned.labels[order]) for order in orders]
        for variant in variants(degrees):
            for row in _trained(bert, variant, start, batches, held_out, rate, every):
                yield {"gradient": variant.method, "degree": variant.degree, REPETITION: r, **row}


def _trained(
    bert: real_model.Model, variant: Variant, weights: Weights, batches: list[Batch], held_out: Batch, rate: float,
    every: int,
) -> Iterator[Row]:  # fmt: skip
    adam = Adam(weights, rate)
    for t, batch in enumerate(batches):
        model, exact = LastLayer(bert, weights, variant), LastLayer(bert, weights, EXACT)
        gradient = model.gradient(batch)
        if t % every == 0:
            g, true = (np.concatenate([W.ravel() for W in Ws]) for Ws in (gradient, exact.gradient(batch)))
            loss, wrong = model.tested(held_out)
            yield {
                "step": t,
                "loss": loss,
                "angle": angle(true, g),
                "gradient, %": relative(true, g),
                "wrong, %": wrong,
                "wrong with exact attention, %": exact.tested(held_out)[1],
            }
        moved = adam.step(weights, gradient)
        weights = moved if variant.attention else [*weights[:-1], moved[-1]]


EXPERIMENT = Experiment(
    name="fine-tune",
    title="Fine-tuning a trained model",
    question="all-MiniLM-L6-v2 ([a trained model](real-model.md)) learns a small task: 12 tokens from one of five"
    " passages in the public domain, are they in their order or shuffled? Trained are the weights of query, key,"
    " value and output of the last layer's attention (12 heads of width 32) and a linear layer from the mean of"
    " its rows to the two answers; all before it is run once, all else stays as it is. 60 steps of Adam on 16"
    " sequences each, from five beginnings, which all variants share. Two fifths of each passage are held out."
    " **paper**: f and p with the Taylor polynomial of degree 2, 4 or 8 for exp, forward and backward;"
    " **differentiate**: the gradient of that forward pass; **head only**: exact, and only the linear layer is"
    " trained. Columns as in [training](train.md): the angle in degrees, and wrong answers on what was held out.",
    notes="Who guesses is wrong half of the time. The passages are few and short, so the held-out share has 90"
    " sequences, half of them shuffled: a wrong answer more or less is 1.1 %. Polynomials are evaluated on the"
    " n² scores, with the mean of the keys taken from them, so that errors are those of the method; by columns,"
    " degree 8 would need 76,904,685 of them at this width. “head only” leaves attention as"
    " it is, at the same rate, which is low for it alone.",
    run=run,
    small={
        "model": "", "passages": 1, "width": 6, "stride": 4, "tested": 0.4, "sequences": 4, "rate": 1e-3,
        "steps": 2, "every": 2, "degrees": (2,), "repetitions": 1,
    },
    full={
        "model": "", "passages": 5, "width": 12, "stride": 2, "tested": 0.4, "sequences": 16, "rate": 1e-3,
        "steps": 60, "every": 20, "degrees": (2, 4, 8), "repetitions": 5,
    },
    setting=("gradient", "degree", "step"),
    measured=("loss", "angle", "gradient, %", "wrong, %", "wrong with exact attention, %"),
    panels=(
        Panel("step", "loss", ("gradient", "degree"), ""),
        Panel("step", "angle", ("gradient", "degree"), ""),
        Panel("step", "wrong, %", ("gradient", "degree"), ""),
    ),
    needs=("safetensors", "tokenizers", real_model.PACKAGE),
)  # fmt: skip
