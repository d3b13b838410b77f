"""The gradients of arXiv 2408.13233v2 in NumPy, written to be read beside the paper.

`attention` and `attention_gradient` are the exact map and gradient in X, W, W_V; `qkv` holds the same in Q, K, V
with batches and heads. Refused input raises `AltgradError`.
"""

from reference import qkv
from reference.chain_rule import Gradient, attention, attention_gradient
from reference.errors import AltgradError

__all__ = ["AltgradError", "Gradient", "attention", "attention_gradient", "qkv"]
