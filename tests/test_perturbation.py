"""How far exact attention moves with its operands: never further than is said, in balls, and as far as is said.

Truth is softmax attention by the definitions, row by row, at the known operands and at exact ones within their bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_checks.ground_truth import BITS, balls
from reference.bounded import Bounded
from reference.perturbation import gradient_moved, output_moved, scores_moved

DTYPES: list[Any] = [np.float32, np.float64]
NAMES = ("Q", "K", "V", "G")
GRADIENTS = ("dQ", "dK", "dV")


@pytest.fixture(autouse=True)
def many_bits_and_no_warnings() -> Iterator[None]:
    with ctx.workprec(BITS), np.errstate(all="ignore"):
        yield


# --- the truth


class Truth(NamedTuple):
    """Scores, weights, output and gradients of one head."""

    scores: Any  # (n, m)
    f: Any  # (n, m)
    s: Any  # (n, e)
    dQ: Any  # (n, d)
    dK: Any  # (m, d)
    dV: Any  # (m, e)


def truth(operands: Any, scale: float, seen: Any) -> Truth:
    """Q, K, V and G in balls; `seen` has the keys that each query sees."""
    Q, K, V, G = operands
    scores = arb(scale) * (Q @ K.T)  # (n, m)
    u = np.exp(scores) * seen  # (n, m)
    f = u / u.sum(axis=1)[:, None]  # (n, m)
    q = G @ V.T  # (n, m)
    p = f * (q - (f * q).sum(axis=1)[:, None])  # (n, m)
    return Truth(scores, f, f @ V, arb(scale) * (p @ K), arb(scale) * (p.T @ Q), f.T @ G)


def upper(ball: Any) -> float:
    """A float that is not below any number of the ball."""
    return float(np.nextafter(float(ball.upper()), np.inf))


def column_sums(f: list[Any]) -> Callable[[Any], Any]:
    """f̃ᵀ z head by head, rounded up."""

    def of(z: Any) -> Any:
        if not np.isfinite(z).all():
            return np.full((len(f), f[0].shape[1], z.shape[-1]), np.inf)
        return np.array([np.vectorize(upper)(each.T @ balls(rows)) for each, rows in zip(f, z, strict=True)])

    return of


class Moved(NamedTuple):
    """What is known, what is exact, and the same of attention: lists have one entry for each head."""

    operands: dict[str, Bounded]  # (h, rows, columns)
    scale: float
    known: list[Truth]
    exact: list[Truth]
    seen: Any

    @property
    def sigma(self) -> Any:
        return scores_moved(self.operands["Q"], self.operands["K"], self.scale)

    @property
    def bounds(self) -> dict[str, Any]:
        Q, K, V, G = self.operands.values()
        gradient = gradient_moved(Q, K, V, G, self.scale, column_sums([each.f for each in self.known]))
        return {"s": output_moved(Q, K, V, self.scale), **dict(zip(GRADIENTS, gradient, strict=True))}

    def distance(self, name: str) -> Any:
        """Balls. Shapes: -> (h, rows, columns)."""
        pairs = zip(self.known, self.exact, strict=True)
        return np.array([abs(getattr(known, name) - getattr(exact, name)) for known, exact in pairs])


def moved(operands: dict[str, Bounded], exact: dict[str, Any], scale: float, causal: bool = False) -> Moved:
    """`exact` in balls, of the operands' shapes (h, rows, columns)."""
    (h, n, _), m = operands["Q"].shape, operands["K"].shape[1]
    seen = np.tri(n, m, dtype=int) if causal else np.ones((n, m), int)
    known = [truth([balls(operands[k].value[i]) for k in NAMES], scale, seen) for i in range(h)]
    true = [truth([exact[k][i] for k in NAMES], scale, seen) for i in range(h)]
    return Moved(operands, scale, known, true, seen)


def assert_within(case: Moved) -> None:
    """No distance is above its bound. Scores are compared up to a constant of each row, the weights by their ratio."""
    for name, bound in case.bounds.items():
        distance = case.distance(name)
        assert bound.shape == distance.shape, name
        assert bound.dtype == np.float64
        broken = [(d, b) for d, b in zip(distance.flat, bound.flat, strict=True) if d > b or np.isnan(b)]
        assert not broken, f"{name} moves by {broken[0][0]}, bound {broken[0][1]}"
    for known, exact, sigma in zip(case.known, case.exact, case.sigma, strict=True):
        for change, row, most in zip(exact.scores - known.scores, case.seen, sigma[:, 0], strict=True):
            of_row = change[row == 1].tolist()
            assert not max(of_row, key=float) - min(of_row, key=float) > 2 * arb(most), "scores"


# --- no bound is broken

ERRORS: dict[str, Callable[[Any], Any]] = {
    "none": lambda x: 0 * x,
    "rounding": lambda x: 2.0**-24 * np.abs(x),
    "small": lambda x: 0.01 + 0.01 * np.abs(x),
    "one": lambda x: 0 * x + 1,
    "huge": lambda x: 30 + 10 * np.abs(x),
    "one entry": lambda x: np.where(np.indices(x.shape).sum(axis=0) == 1, 0.7, 0.0),
    "unknown": lambda x: np.where(np.indices(x.shape).sum(axis=0) == 2, np.inf, 0.0),
}
USUAL = ("none", "rounding", "small", "small", "one", "one", "huge", "one entry")
UNKNOWN = 1e3  # how far an exact number is of which nothing is known


def rows(rng: np.random.Generator, style: int, *shape: int) -> Any:
    """Gaussian rows, some zero, integers, repeated ones, or far from the origin."""
    drawn = rng.normal(size=shape)
    if style == 1:
        return drawn * rng.integers(0, 2, size=(*shape[:-1], 1))
    if style == 2:
        return rng.integers(-2, 3, size=shape).astype(float)
    if style == 3:
        return np.broadcast_to(drawn[..., :1, :], shape)
    return drawn + 50 * (style == 4)


def pushed(operands: dict[str, Bounded], rng: np.random.Generator) -> dict[str, Any]:
    """Sides of the boxes, by which one key gains on another for every query, its value on the other's."""
    Q, K, V, G = (operands[name].value for name in NAMES)
    one, other = rng.integers(0, K.shape[1], size=2)
    sign = rng.choice([-1, 1], size=2)
    sides = {name: np.ones(operands[name].shape) for name in NAMES}
    sides["Q"] *= sign[0] * np.where(K[:, one] >= K[:, other], 1, -1)[:, None]
    sides["K"] *= -sign[0] * np.where(Q[:, :1] >= 0, 1, -1)
    sides["K"][:, one] *= -1
    sides["G"] *= sign[1] * np.where(V[:, one] >= V[:, other], 1, -1)[:, None]
    sides["V"] *= -sign[1] * np.where(G[:, :1] >= 0, 1, -1)
    sides["V"][:, one] *= -1
    return sides


def drawn(
    seed: int, sizes: tuple[int, ...], errors: dict[str, str], dtype: Any, *, style: int, scale: float, causal: bool,
    place: str,
) -> Moved:  # fmt: skip
    rng = np.random.default_rng(seed)
    h, n, m, d, e = sizes
    shapes = {"Q": (h, n, d), "K": (h, m, d), "V": (h, m, e), "G": (h, n, e)}
    values = {name: rows(rng, style if name in "KV" else min(style, 3), *shape) for name, shape in shapes.items()}
    operands = {name: Bounded(x.astype(dtype), ERRORS[errors[name]](x)) for name, x in values.items()}
    places: dict[str, Callable[[], Any]] = {
        "corner": lambda: {name: rng.choice([-1.0, 1.0], size=shape) for name, shape in shapes.items()},
        "inner": lambda: {name: rng.uniform(-1, 1, size=shape) for name, shape in shapes.items()},
        "pushed": lambda: pushed(operands, rng),
    }
    sides = places[place]()
    exact = {}
    for name, x in operands.items():
        reach = np.where(np.isfinite(x.error), x.error, UNKNOWN)
        exact[name] = balls(x.value) + balls(sides[name]) * balls(reach)
    return moved(operands, exact, scale, causal)


@st.composite
def cases(draw: st.DrawFn, errors: tuple[str, ...] = USUAL) -> Moved:
    causal = draw(st.booleans())
    n = draw(st.integers(1, 4))
    sizes = (
        draw(st.integers(1, 2)),
        n,
        n if causal else draw(st.integers(1, 4)),
        *draw(st.tuples(*[st.integers(1, 3)] * 2)),
    )
    return drawn(
        draw(st.integers(0, 2**32 - 1)),
        sizes,
        {name: draw(st.sampled_from(errors)) for name in NAMES},
        draw(st.sampled_from(DTYPES)),
        style=draw(st.integers(0, 4)),
        scale=draw(st.sampled_from((1.0, 0.5, -0.25, 4.0, 0.0))),
        causal=causal,
        place=draw(st.sampled_from(("corner", "inner", "pushed", "pushed"))),
    )


@settings(max_examples=1500)
@given(cases())
def test_no_bound_is_broken(case: Moved) -> None:
    assert_within(case)


@settings(max_examples=100)
@given(cases((*USUAL, "unknown")))
def test_what_is_unknown_is_infinite_or_does_not_matter(case: Moved) -> None:
    assert_within(case)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_moves_if_nothing_is_unknown(dtype: Any) -> None:
    """All bounds are what underflow may do to them, times operands of less than 2⁷."""
    for style in range(5):
        sizes, none = (2, 3, 4, 2, 3), dict.fromkeys(NAMES, "none")
        case = drawn(style, sizes, none, dtype, style=style, scale=1.0, causal=False, place="inner")
        assert max(bound.max() for bound in case.bounds.values()) <= 2.0**30 * np.finfo(dtype).tiny


# --- and each is attained
#
# One query and two keys. The exact operands are at the upper corner of their boxes, the second key and its value at
# the lower one: the first key gains on the second.


def instance(Q: Any, K: Any, V: Any, G: Any, /, *, scale: float = 1.0, side_of_V: int = -1, **errors: Any) -> Moved:
    values = {name: np.array([x], float) for name, x in zip(NAMES, (Q, K, V, G), strict=True)}
    operands = {name: Bounded(x, np.array([errors.get(name, 0 * x[0])], float)) for name, x in values.items()}
    sides: Any = {"K": [[1], [-1]], "V": [[1], [side_of_V]]}
    exact = {name: balls(x.value) + balls(sides.get(name, 1) * x.error) for name, x in operands.items()}
    return moved(operands, exact, scale)


def share(case: Moved, name: str, entry: tuple[int, int]) -> float:
    """How much of the bound is attained."""
    return float(case.distance(name)[0][entry]) / float(case.bounds[name][0][entry])


SHARP = 1 - 1e-9  # what e^{−40} and rounding in float64 leave


@pytest.mark.parametrize("scale", [1.0, -0.5])
@pytest.mark.parametrize("middle", [0.0, 100.0])
@pytest.mark.parametrize(("E_Q", "E_K"), [(0.5, 0.0), (0.0, 0.25), (0.5, 0.25)])
def test_scores_move_as_far_as_is_said(E_Q: float, E_K: float, middle: float, scale: float) -> None:
    """By E_Q k̄, |Q| E_K and E_Q E_K, but for a constant of the row: the middle of the keys times E_Q."""
    K = [[1 + middle], [-1 + middle]]
    case = instance([[2.0]], K, [[0], [0]], [[0]], scale=scale, Q=[[E_Q]], K=[[E_K], [E_K]])
    first, second = (case.exact[0].scores - case.known[0].scores)[0]
    assert float(abs(first - second)) / 2 == pytest.approx(case.sigma.item(), rel=1e-12)


@pytest.mark.parametrize("E_K", [2.0**-7, 1.0, 8.0])
@pytest.mark.parametrize("E_V", [0.0, 0.5])
def test_the_output_moves_as_far_as_is_said(E_K: float, E_V: float) -> None:
    """From scores ∓σ/2 to ±σ/2, and both values with it; the middle of the values does not matter."""
    K: Any = [[-E_K / 2], [E_K / 2]]
    errors: Any = {"K": [[E_K], [E_K]], "V": [[E_V], [E_V]]}
    case = instance([[2.0]], K, [[101], [99]], [[0]], side_of_V=1, **errors)
    assert SHARP <= share(case, "s", (0, 0)) <= 1


FAR = [[-20.0, 0.0], [20.0, 0.0]]  # the first of these keys has a weight of e^{−40} if Q = (1, …)


@pytest.mark.parametrize("E", [0.0, 2.0**-10, 0.125, 0.3125])
@pytest.mark.parametrize("E_G", [0.0, 0.5])
def test_the_gradient_of_the_values_moves_as_far_as_is_said(E: float, E_G: float) -> None:
    """A small weight by a factor e^{2σ}, and G with it. Here e^{2σ} is below 2, the number of keys."""
    case = instance([[1, 0]], FAR, [[0], [0]], [[3]], K=[[E, 0], [E, 0]], G=[[E_G]])
    assert share(case, "dV", (0, 0)) <= 1
    if E or E_G:
        assert share(case, "dV", (0, 0)) >= SHARP


@pytest.mark.parametrize("E", [0.0, 2.0**-10, 0.125, 0.3125])
@pytest.mark.parametrize("E_V", [0.0, 0.125])
@pytest.mark.parametrize("E_G", [0.0, 0.5])
@pytest.mark.parametrize("E_Q", [0.0, 0.25])
def test_the_gradient_of_the_keys_moves_as_far_as_is_said(E: float, E_V: float, E_G: float, E_Q: float) -> None:
    """The small weight by a factor e^{2σ}, q by V and G, and a second column of Q that meets no key."""
    errors: Any = {"Q": [[0, E_Q]], "K": [[E, 0], [E, 0]], "V": [[E_V], [E_V]], "G": [[E_G]]}
    case = instance([[1, 3]], FAR, [[1], [-1]], [[2]], **errors)
    assert share(case, "dK", (0, 1)) <= 1
    if E or E_V or E_G or E_Q:
        assert share(case, "dK", (0, 1)) >= SHARP


@pytest.mark.parametrize("E_K", [0.0, 0.5])
@pytest.mark.parametrize("E_V", [0.0, 0.25])
@pytest.mark.parametrize("E_G", [0.0, 0.5])
@pytest.mark.parametrize("scale", [1.0, -0.5])
def test_the_gradient_of_the_queries_moves_as_far_as_is_said(E_K: float, E_V: float, E_G: float, scale: float) -> None:
    """Equal weights that do not move: by Δ k̄ and (μ + Δ) E_K, in a second column of the keys that meets no query."""
    errors: Any = {"K": [[0, E_K], [0, E_K]], "V": [[E_V], [E_V]], "G": [[E_G]]}
    case = instance([[1, 0]], [[0, 1], [0, -1]], [[1], [-1]], [[2]], scale=scale, **errors)
    assert share(case, "dQ", (0, 1)) <= 1
    if E_K or E_V or E_G:
        assert share(case, "dQ", (0, 1)) >= SHARP


def test_moving_weights_move_the_gradient_of_the_queries_by_more_than_a_third_of_what_is_said() -> None:
    """p = 2 f (1 − f) μ is steepest at f = (3 − √3)/6, where σ moves it by 2/(3√3) σ μ; or it goes from 0 to μ/2."""
    log_odds = -np.log(2 + np.sqrt(3))
    for E, key, least in ((2.0**-20, log_odds / 2, 0.38), (1.0, -1.0, 0.2), (20.0, -20.0, 0.49)):
        case = instance([[1, 0]], [[key, 1], [-key, -1]], [[1], [-1]], [[2]], K=[[E, 0], [E, 0]])
        assert least <= share(case, "dQ", (0, 1)) <= 1


def test_far_from_the_known_operands_the_gradient_of_the_queries_moves_as_far_as_is_said() -> None:
    """All weight goes from two keys to two others, which pull the other way: from μ k̄ to −μ k̄."""
    K, V = np.array([[[20.0, 1], [20, -1], [-20, -1], [-20, 1]]]), np.array([[[1.0], [-1], [1], [-1]]])
    values = {"Q": np.array([[[1.0, 0]]]), "K": K, "V": V, "G": np.array([[[2.0]]])}
    operands = {name: Bounded(x) for name, x in values.items()} | {"K": Bounded(K, np.array([40.0, 0]))}
    exact = {name: balls(x) for name, x in values.items()} | {"K": balls(K * [-1, 1])}
    assert SHARP <= share(moved(operands, exact, 1.0), "dQ", (0, 1)) <= 1


@pytest.mark.parametrize("E_G", [0.0, 0.5])
@pytest.mark.parametrize("E_Q", [0.0, 0.25])
@pytest.mark.parametrize("E_V", [0.0, 0.125])
def test_far_from_the_known_operands_the_bounds_are_attained(E_G: float, E_Q: float, E_V: float) -> None:
    """From no weight to a half p goes from 0 to a quarter of the range of q; from none to all f goes from 0 to 1."""
    errors: Any = {"Q": [[0, E_Q]], "V": [[E_V], [E_V]], "G": [[E_G]]}
    for E, name, entry in ((20.0, "dK", (0, 1)), (40.0, "dV", (0, 0))):
        case = instance([[1, 3]], FAR, [[1], [-1]], [[2]], K=[[E, 0], [E, 0]], **errors)
        assert SHARP <= share(case, name, entry) <= 1


def test_the_bound_by_factors_is_left_where_it_says_less() -> None:
    """Beyond e^{2σ} = m, where e^{2σ} f̃ reaches 1 for equal weights."""
    m = 64
    Q, V, G = (Bounded(np.ones((1, rows, 1))) for rows in (1, m, 1))
    for E, far in ((np.log(m) / 2 * 0.99, False), (np.log(m) / 2 * 1.01, True), (50.0, True)):
        K = Bounded(np.zeros((1, m, 1)), E)
        bound = gradient_moved(Q, K, V, G, 1.0, lambda z: np.broadcast_to(z / m, (1, m, z.shape[-1]))).V
        assert np.allclose(bound, 1 if far else np.expm1(2 * E) / m, rtol=1e-6, atol=0)
