"""The gradients of arXiv 2408.13233v2 in NumPy, written to be read beside the paper.

`attention` and `attention_gradient` are the exact map and gradient in X, W, W_V; `qkv` holds the same in Q, K, V
with batches and heads. `transformer_output` and `transformer_gradient` are those of a model: a sequence of `Layer`.
The functions named `fast_…` approximate them in time linear in the length, with a bound on their error.
Refused input raises `AltgradError`.
"""

from reference import qkv
from reference.chain_rule import (
    Gradient,
    attention,
    attention_gradient,
    fast_attention,
    fast_attention_gradient,
)
from reference.errors import AltgradError
from reference.fast_qkv import Approximation
from reference.fast_transformer import fast_transformer_gradient
from reference.loss import CrossEntropyLoss, LinearLoss, SquaredLoss
from reference.polynomial import ExpPolynomial, exp_polynomial
from reference.transformer import Layer, ModelGradient, gradient_step, transformer_gradient, transformer_output

__all__ = [
    "AltgradError",
    "Approximation",
    "CrossEntropyLoss",
    "ExpPolynomial",
    "Gradient",
    "Layer",
    "LinearLoss",
    "ModelGradient",
    "SquaredLoss",
    "attention",
    "attention_gradient",
    "exp_polynomial",
    "fast_attention",
    "fast_attention_gradient",
    "fast_transformer_gradient",
    "gradient_step",
    "qkv",
    "transformer_gradient",
    "transformer_output",
]
