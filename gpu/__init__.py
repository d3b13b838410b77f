"""The public functions of `reference` on CuPy arrays: the same names, operands, results and bounds.

Importing needs neither CuPy nor a CUDA device; a call without them raises `AltgradError`. Operands must lie on the
current device, and so do the results.
"""

import reference
from gpu import qkv
from gpu.backend import on_device
from gpu.loss import CrossEntropyLoss, LinearLoss, SquaredLoss
from reference import AltgradError, Approximation, ExpPolynomial, Gradient, Layer, ModelGradient, exp_polynomial

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

attention = on_device(reference.attention)
attention_gradient = on_device(reference.attention_gradient)
fast_attention = on_device(reference.fast_attention)
fast_attention_gradient = on_device(reference.fast_attention_gradient)
fast_transformer_gradient = on_device(reference.fast_transformer_gradient)
gradient_step = on_device(reference.gradient_step)
transformer_gradient = on_device(reference.transformer_gradient)
transformer_output = on_device(reference.transformer_output)
