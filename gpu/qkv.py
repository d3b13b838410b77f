"""Softmax attention and its gradients in Q, K, V on CuPy arrays: `reference.qkv` on a CUDA device.

The exact functions are the reference's, whose products CuPy takes: float32 is computed in float32, unless CuPy was
told to use TF32. The fast ones take all heads at once (`gpu.fast_qkv`), never in TF32.
"""

from __future__ import annotations

from gpu.backend import on_device
from reference import qkv
from reference.qkv import OutputAndGradient, QKVGradient

__all__ = [
    "OutputAndGradient",
    "QKVGradient",
    "attention",
    "attention_vjp",
    "fast_attention",
    "fast_attention_and_vjp",
    "fast_attention_vjp",
]

attention = on_device(qkv.attention)
attention_vjp = on_device(qkv.attention_vjp)
fast_attention = on_device(qkv.fast_attention)
fast_attention_and_vjp = on_device(qkv.fast_attention_and_vjp)
fast_attention_vjp = on_device(qkv.fast_attention_vjp)
