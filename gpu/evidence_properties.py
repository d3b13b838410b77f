"""The property suite of a device: seeded random cases, each against three truths and against itself.

A ratio is the largest |difference|/bound over the entries of output, dQ, dK and dV: of a property that holds it is at
most 1. Two of the truths are computed by the formulas of exact attention, and their own rounding is added to the bound
(`reference.error_bounds`). Every property is also put to planted false versions of what it judges, and has to refuse
each of them in some example.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

import gpu.qkv
from reference import qkv
from reference.error_bounds import attention_rounding, vjp_rounding
from reference.errors import AltgradError
from reference.fast_qkv import METHODS, Method
from reference.polynomial import taylor

SEED = 0
EXAMPLES = 300
SECONDS = 120.0
GRADCHECKS = 10
EVERY = 5  # example is also tried with the false versions
LARGEST, WIDEST = 600, 16  # rows, columns
HUGE = 1e300  # what stands for an infinite ratio in JSON

Arrays = tuple[Any, ...]  # output, dQ, dK, dV, on the host
CLAIMS = {
    "reference": "gpu.qkv and reference.qkv differ by no more than the sum of their bounds",
    "exact": "gpu.qkv is within its bound of exact attention in extended precision, whose rounding is added",
    "autodiff": "gpu.qkv is within its bound of what PyTorch's autograd finds in float64, whose rounding is added",
    "bits": "the same operands give the same bits, with the certificate and without",
    "gradcheck": "the bridge's output and gradient pass torch.autograd.gradcheck in float64 (differentiate)",
}


@dataclass(frozen=True)
class Case:
    """One example; the seed gives the operands."""

    seed: int
    batch: tuple[int, ...]
    n: int
    m: int
    d: int
    e: int
    dtype: str
    causal: bool
    method: Method
    scores: float  # that they reach
    degree: int | None  # of a Taylor polynomial, or
    rtol: float | None

    def operands(self) -> Arrays:
        """Q, K, V and dO: away from 0, some rows longer than others."""
        rng = np.random.default_rng(self.seed)
        shapes = (self.n, self.d), (self.m, self.d), (self.m, self.e), (self.n, self.e)
        drawn = [rng.normal(size=(*self.batch, *shape)) * rng.uniform(0.5, 2) for shape in shapes]
        middles = (0, *(rng.normal(size=x.shape[-1]) for x in drawn[1:3]), 0)
        return tuple((x + middle).astype(self.dtype) for x, middle in zip(drawn, middles, strict=True))

    def options(self, Q: Any, K: Any) -> dict[str, Any]:
        pairs = Q, K - K.mean(axis=-2, keepdims=True)
        q, k = (float(np.linalg.norm(x.astype(np.float64), axis=-1).max()) for x in pairs)
        scale = self.scores / max(q * k, 1e-3)
        how = {"rtol": self.rtol} if self.degree is None else {"polynomial": taylor(self.degree, 1.0)}
        return {"scale": scale, "causal": self.causal, **how}


def draw(i: int) -> Case:
    """The i-th example: of all methods, masks, types, batches; of ranks up to some thousands."""
    rng = np.random.default_rng([SEED, i])
    n, m = (int(np.exp(rng.uniform(0, np.log(LARGEST)))) for _ in range(2))
    causal, tolerance = bool(rng.integers(2)), bool(rng.integers(2))
    batches: tuple[tuple[int, ...], ...] = ((), (2,), (2, 3))
    return Case(
        seed=int(rng.integers(2**31)),
        batch=batches[rng.integers(3)],
        n=n,
        m=n if causal else m,
        d=int(rng.integers(1, 4 if tolerance else WIDEST + 1)),
        e=int(rng.integers(1, WIDEST + 1)),
        dtype=("float32", "float64")[rng.integers(2)],
        causal=causal,
        method=METHODS[rng.integers(3)],
        scores=float(rng.uniform(0.1, 2)),
        degree=None if tolerance else int(rng.choice([0, 2, 4], p=[0.1, 0.6, 0.3])),
        rtol=float(rng.choice([0.1, 0.01])) if tolerance else None,
    )


# --- what is compared


def both(functions: Any, operands: Arrays, options: Mapping[str, Any], method: Method, certify: bool) -> list[Any]:
    """The values, and the bounds if asked for, of output, dQ, dK and dV."""
    forward = functions.fast_attention(*operands[:3], **options, certify=certify)
    backward = functions.fast_attention_vjp(*operands, **options, method=method, certify=certify)
    return [(forward.value, *backward.value), (forward.bound, *backward.bound) if certify else None]


def on_device(xp: Any, operands: Arrays, *how: Any) -> list[Any]:
    """The same by `gpu.qkv`, brought back to the host."""
    found = both(gpu.qkv, tuple(map(xp.asarray, operands)), *how)
    return [None if arrays is None else tuple(map(xp.asnumpy, arrays)) for arrays in found]


def exact(operands: Arrays, scale: float, causal: bool) -> Arrays:
    """Softmax attention and its gradient from their definitions, in extended precision."""
    Q, K, V, dO = (x.astype(np.longdouble) for x in operands)
    S = scale * (Q @ K.mT)  # (..., n, m)
    if causal:
        S = np.where(np.tri(S.shape[-1], dtype=bool), S, -np.inf)
    f = np.exp(S - S.max(axis=-1, keepdims=True))  # (..., n, m)
    f /= f.sum(axis=-1, keepdims=True)
    output = f @ V  # (..., n, e)
    P = f * (dO @ V.mT - (dO * output).sum(axis=-1, keepdims=True))  # (..., n, m)
    return output, scale * (P @ K), scale * (P.mT @ Q), f.mT @ dO


def autodiff(torch: Any, operands: Arrays, scale: float, causal: bool) -> Arrays:
    """What PyTorch's autograd makes of its own attention in float64, on the device if PyTorch sees one."""
    place = "cuda" if torch.cuda.is_available() else "cpu"
    q, k, v, dO = (torch.tensor(x, dtype=torch.float64, device=place) for x in operands)
    leaves = [x.requires_grad_() for x in (q, k, v)]
    output = torch.nn.functional.scaled_dot_product_attention(*leaves, scale=scale, is_causal=causal)
    found = (output.detach(), *torch.autograd.grad(output, leaves, dO))
    return tuple(x.cpu().numpy() for x in found)


def rounding(operands: Arrays, scale: float, causal: bool, dtype: Any) -> Arrays:
    """Bounds on the rounding of exact attention and its gradient, computed in `dtype` by the formulas of `exact`."""
    bounds = [np.empty(x.shape) for x in (operands[3], *operands[:3])]
    for head in np.ndindex(operands[0].shape[:-2]):
        Q, K, V, dO = (x[head] for x in operands)
        how: Any = {"scale": scale, "causal": causal, "dtype": dtype}
        found = attention_rounding(Q, K, V, **how), *vjp_rounding(Q, K, V, dO, **how)
        for bound, one in zip(bounds, found, strict=True):
            bound[head] = one
    return tuple(bounds)


def plus(bounds: Arrays, others: Arrays) -> Arrays:
    return tuple(a.astype(np.longdouble) + b for a, b in zip(bounds, others, strict=True))


def ratio(found: Arrays, truth: Arrays, bounds: Arrays) -> float:
    """The largest |difference|/bound; a difference that is not a number is beyond all bounds."""
    largest = 0.0
    for value, true, bound in zip(found, truth, bounds, strict=True):
        with np.errstate(all="ignore"):
            distance = np.abs(value.astype(np.longdouble) - true)
            ratios = np.where(distance == 0, 0, distance / bound.astype(np.longdouble))
        largest = max(largest, float(np.nan_to_num(ratios, nan=np.inf).max()))
    return min(largest, HUGE)


def unequal(found: Arrays, same: Arrays) -> float:
    """0 if all bits are equal, which no rounding may change."""
    equal = all(a.tobytes() == b.tobytes() for a, b in zip(found, same, strict=True))
    return 0.0 if equal else HUGE


# --- false versions of what is judged

Falsify = Callable[[Arrays, dict[str, Any]], tuple[Arrays, dict[str, Any]]]


def half_as_steep(operands: Arrays, options: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    return operands, options | {"scale": options["scale"] / 2}


def other_mask(operands: Arrays, options: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    square = operands[0].shape[-2] == operands[1].shape[-2]
    return operands, options | {"causal": options["causal"] != square}


def last_value_lost(operands: Arrays, options: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    Q, K, V, dO = operands
    return (Q, K, np.concatenate([V[..., :-1, :], 0 * V[..., -1:, :]], axis=-2), dO), options


def one_bit(operands: Arrays, options: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    Q, K, V, dO = operands
    return (Q, K, np.nextafter(V, np.inf), dO), options


FALSE: dict[str, Falsify] = {
    "half the scale": half_as_steep,
    "the other mask": other_mask,
    "the last value lost": last_value_lost,
}
FALSE_BITS: dict[str, Falsify] = {"the last bit of the values": one_bit}
FALSE_OF = {"reference": FALSE, "exact": FALSE, "autodiff": FALSE, "bits": FALSE_BITS}


# --- the suite


@dataclass
class Tally:
    """What one property came to."""

    claim: str
    examples: int = 0
    discarded: int = 0  # refused by the reference or the device: float32 cannot reach every rtol
    failures: int = 0
    worst: float = 0.0
    worst_case: dict[str, Any] | None = None
    planted: dict[str, float] = field(default_factory=dict)  # false version -> the largest ratio it reached

    def add(self, case: Case, found: float) -> None:
        self.examples += 1
        self.failures += found > 1
        if found >= self.worst:
            self.worst, self.worst_case = found, asdict(case)

    def plant(self, name: str, found: float) -> None:
        self.planted[name] = max(found, self.planted.get(name, 0.0))


def part(machine: Any, left: Callable[[], float]) -> Iterator[dict[str, Any]]:
    """All properties, by name, after each tenth example."""
    names = [name for name in FALSE_OF if machine.torch or name != "autodiff"]
    tallies = {name: Tally(CLAIMS[name]) for name in names}
    start = time.monotonic()
    for i in range(EXAMPLES):
        try_case(machine, draw(i), tallies, planted=i % EVERY == 0)
        if i % 10 == 9:
            yield {name: asdict(tally) for name, tally in tallies.items()}
        left()
        if time.monotonic() - start > SECONDS:
            break
    if machine.torch and machine.torch.cuda.is_available():
        tallies["gradcheck"] = gradcheck(machine.torch, "cuda")
    yield {name: asdict(tally) for name, tally in tallies.items()}


def try_case(machine: Any, case: Case, tallies: Mapping[str, Tally], planted: bool) -> None:
    operands = case.operands()
    options = case.options(*operands[:2])
    try:
        ours, bounds = on_device(machine.xp, operands, options, case.method, True)
        quick, _ = on_device(machine.xp, operands, options, case.method, False)
        theirs, their_bounds = both(qkv, operands, options, case.method, True)
    except AltgradError:
        for tally in tallies.values():
            tally.discarded += 1
        return
    plain = operands, options["scale"], options["causal"]
    truth, derived = exact(*plain), autodiff(machine.torch, *plain) if machine.torch else None
    both_bounds = plus(bounds, their_bounds)
    exact_bounds, derived_bounds = (plus(bounds, rounding(*plain, dtype)) for dtype in (np.longdouble, np.float64))
    judges: dict[str, Callable[[Arrays], float]] = {
        "reference": lambda found: ratio(found, theirs, both_bounds),
        "exact": lambda found: ratio(found, truth, exact_bounds),
        "autodiff": lambda found: ratio(found, derived or truth, derived_bounds),
        "bits": lambda found: unequal(found, ours),
    }
    again, _ = on_device(machine.xp, operands, options, case.method, True)
    same_quick, _ = on_device(machine.xp, operands, options, case.method, False)
    for name, tally in tallies.items():
        found = (
            [unequal(again, ours), unequal(same_quick, quick)] if name == "bits" else map(judges[name], (ours, quick))
        )
        tally.add(case, max(found))
        for label, falsify in FALSE_OF[name].items() if planted else ():
            tally.plant(label, judges[name](falsified(machine.xp, case, falsify)))


def falsified(xp: Any, case: Case, falsify: Falsify) -> Arrays:
    """The values of a false version, by the polynomial of the true one."""
    operands = case.operands()
    operands, options = falsify(operands, case.options(*operands[:2]))
    values: Arrays = on_device(xp, operands, options, case.method, True)[0]
    return values


def gradcheck(torch: Any, place: str) -> Tally:
    """Of the bridge, heads and masks alike; the method "paper" at degree 2 is the false version."""
    tally = Tally(CLAIMS["gradcheck"])
    for i in range(GRADCHECKS):
        case = replace(draw(i), batch=(2,), n=5, m=5, d=3, e=2, dtype="float64", causal=bool(i % 2))
        leaves = [torch.tensor(x, device=place, requires_grad=True) for x in case.operands()[:3]]
        low = {"is_causal": case.causal, "polynomial": taylor(2, 1.0), "scale": 0.4}

        tally.add(case, mismatch(torch, leaves, low, "differentiate"))
        tally.plant('the method "paper"', mismatch(torch, leaves, low, "paper"))
    return tally


def mismatch(torch: Any, leaves: list[Any], options: dict[str, Any], method: Method) -> float:
    """0 where the gradient is that of the output."""
    from gpu.torch_bridge import attention  # noqa: PLC0415  # it needs PyTorch

    check = torch.autograd.gradcheck
    passed = check(lambda *x: attention(*x, **options, method=method), leaves, raise_exception=False)
    return 0.0 if passed else HUGE


def small_case(xp: Any) -> None:
    """Every kernel once: what the checkers of memory and races look at."""
    for method in METHODS:
        for causal in (False, True):
            case = replace(draw(0), batch=(2,), n=300, m=300, d=3, e=2, dtype="float32", causal=causal)
            case = replace(case, degree=2, rtol=None)
            operands = case.operands()
            on_device(xp, operands, case.options(*operands[:2]), method, True)
