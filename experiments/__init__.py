"""What the authors told their reviewers, tried: one module for each experiment, `altgrad reproduce` runs them."""

from __future__ import annotations

from importlib import import_module

from experiments.experiment import Experiment

NAMES = (  # in the order of the claims
    "rebuttal-table",
    "error-vs-n",
    "full-rank",
    "bounded-entries",
    "any-loss",
    "depth",
    "real-model",
    "train",
    "fine-tune",
    "growing-d",
    "crossover",
    "versus",
)


def module_of(name: str) -> str:
    """Where an experiment is written."""
    return f"experiments.{name.replace('-', '_')}"


def load(name: str) -> Experiment:
    """The experiment of that name, which is one of `NAMES`."""
    found: Experiment = import_module(module_of(name)).EXPERIMENT
    return found
