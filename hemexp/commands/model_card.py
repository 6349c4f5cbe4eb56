"""The model of a run for use in another place: write its folder, and find the model that predict.py uses."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from hemexp.cohort.columns import known_columns
from hemexp.config import get_choice_name, get_model_title
from hemexp.data.features import get_column
from hemexp.errors import UserError
from hemexp.evaluation.case_mix import describe_inputs
from hemexp.files.model_folder import (
    CARD,
    CARD_VERSION,
    CHECKPOINT,
    FOLDER,
    ModelCard,
    ModelInput,
    add_training_values,
    is_model_folder,
    read_model_card,
    write_model_card,
)
from hemexp.files.result import RESULT, ComparedModel, LinearPredictor, RunResult
from hemexp.files.run_directory import RunDirectory
from hemexp.files.writing import write_bytes
from hemexp.models.formula import build_formula
from hemexp.models.predictor import Predictor, read_predictor
from hemexp.types import Array

_PARTLY = "they are recognized by measurements alone, and some may be scored too"
_TRAINING = ("optimizer", "scheduler", "loss", "engine", "ensemble", "calibrate")
_FEWEST = 10  # training patients with a value; the aggregates of fewer would tell of single patients
_LOGARITHMS = {"log_volume": "ln mL", "log_hours": "ln hours"}


@dataclass(frozen=True)
class TrainedModel:
    """A model with what is known about it.

    Attributes:
        card: what a reader must know.
        predictor: of the checkpoint.
        result: of the run; None where only its folder ``model/`` is there.
    """

    card: ModelCard
    predictor: Predictor
    result: RunResult | None

    def explain_unrecognized(self, pseudonym_key: str | None) -> str:
        """Return why the run's own patients cannot be recognized by their ids and serials; empty where they can.

        Args:
            pseudonym_key: check value of the key by which the patients of the cohort are named.
        """
        if self.result is None:
            return "a model folder does not hold the run's patients, who may be scored too"
        if self.result.pseudonym_key == pseudonym_key:
            return ""
        if pseudonym_key is None:
            return f"the run's patients have pseudonyms; without privacy.pseudonymize {_PARTLY}"
        if self.result.pseudonym_key is None:
            return f"the run's patients have no pseudonyms; with privacy.pseudonymize {_PARTLY}"
        return f"the run's patients have pseudonyms of another key file; {_PARTLY}"


def write_model_folder(
    run: RunDirectory,
    result: RunResult,
    columns: Collection[str],
    predictor: Predictor,
    learned: Array,
    linear_predictor: LinearPredictor | None = None,
) -> None:
    """Write the folder ``model/`` of a run: a copy of ``best.ckpt``, and ``model.json``.

    A classifier from outside has no such folder: its checkpoint may hold values of patients.

    Args:
        run: with its checkpoint.
        result: complete.
        columns: of the cohort, to tell a column from a level of a text column.
        predictor: of the checkpoint.
        learned: inputs of the patients that it has learned from, in their own units; only aggregates are written.
        linear_predictor: of the model in the training cohort.

    Shape:
        learned: (N, F), NaN marks a gap.
    """
    if "own_classifier" in result.caveats:
        return
    folder = run.path / FOLDER
    write_bytes(folder / CHECKPOINT, run.best.read_bytes())
    card = build_card(result, columns)
    inputs, formula = describe_inputs(card.inputs, learned), build_formula(predictor)
    write_model_card(replace(card, inputs=inputs, formula=formula, linear_predictor=linear_predictor), folder)


def load_trained_model(path: Path) -> TrainedModel:
    """Read a model from a run directory, or from a folder ``model/`` alone, and check that its files fit together.

    Raises:
        UserError: a file is missing, damaged or changed, or two files are of different models.
    """
    result = None if is_model_folder(path) else RunDirectory(path).result()
    if result is None:
        card, source, checkpoint = read_model_card(path), path / CARD, path / CHECKPOINT
    else:
        card = add_training_values(build_card(result), path / FOLDER)
        source, checkpoint = path / RESULT, RunDirectory(path).best

    def check_settings(content: Mapping[str, Any]) -> None:
        _check_inputs(content["features"], card.input_names, checkpoint, source)
        for name, expected in (("model", card.model), ("label", card.label)):
            if key := _find_difference(content[name], expected):
                values = f"{content[name].get(key)!r} in {checkpoint}, {expected.get(key)!r} in {source}"
                raise UserError(f"{name}.{key}: {values}; rule: both files are of one run")

    predictor, digest = read_predictor(checkpoint, check_settings)
    if card.model_digest not in {None, digest}:  # earlier versions wrote none
        raise UserError(f"{checkpoint}: is not the model that {source} describes; rule: both files are of one run")
    return TrainedModel(card, predictor, result)


def build_card(result: RunResult, columns: Collection[str] = ()) -> ModelCard:
    """Return what a reader must know about the model of a run, without anything that tells its patients."""
    own: dict[str, Any] = {
        "schema_version": CARD_VERSION,
        "inputs": [_describe_input(name, columns) for name in result.inputs],
        "training": {name: _as_json({name: result.config.get(name)})[name] for name in _TRAINING},
        "title": get_model_title(get_choice_name(result.config.get("model") or {})),
        "linear_predictor": None,
        "formula": None,
        "worse_than": _list_worse(result),
        "not_better_than": _list_not_better(result),
        "update_method": result.updated_from[0].method if result.updated_from else None,
        "digest": None,
        **{name: _as_json(result.config.get(name) or {}) for name in ("label", "features", "model")},
    }
    own["model"].pop("init_from", None)  # a path
    shared: dict[str, Any] = {
        item.name: getattr(result, item.name) for item in fields(ModelCard) if item.name not in own
    }
    return ModelCard(**shared, **own)


def _list_worse(result: RunResult) -> list[str]:
    """Return the baselines that the model is worse than, after Holm's correction."""
    worse = result.claim.worse_than.values() if result.claim else ()
    return list(dict.fromkeys(name for names in worse for name in names))


def _list_not_better(result: RunResult) -> list[str]:
    """Return the baselines that the model is not shown to be better than in cross-validation, the best one first."""
    rows = [row for row in result.comparison if row.auroc_difference is not None and row.auroc.value is not None]
    rows.sort(key=lambda row: -(row.auroc.value or 0.0))

    def is_better(row: ComparedModel) -> bool:
        auroc, brier = row.auroc_difference, row.brier_difference
        is_worse = brier is not None and brier.low is not None and brier.low > 0  # a larger Brier score is worse
        return auroc is not None and auroc.low is not None and auroc.low > 0 and not is_worse

    return [row.model for row in rows if not is_better(row)]


def _describe_input(name: str, columns: Collection[str]) -> ModelInput:
    column = get_column(name, columns)
    known = known_columns().get(column)
    if name in _LOGARITHMS:
        return ModelInput(name=name, kind="number", unit=_LOGARITHMS[name])
    if name != column:
        return ModelInput(name=name, kind="level", unit="")
    return ModelInput(name=name, kind=known.kind if known else "number", unit=known.unit if known else "")


def _check_inputs(held: list[str], expected: list[str], checkpoint: Path, source: Path) -> None:
    """Refuse a checkpoint whose inputs are not those of the run, in the same order."""
    if held == expected:
        return
    unknown = [name for name in held if name not in expected]
    missing = [name for name in expected if name not in held]
    parts = [
        f"{what} {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        for what, names in (("unknown", unknown), ("missing", missing))
        if names
    ]
    if not parts:
        number = next(number for number, (a, b) in enumerate(zip(held, expected, strict=True)) if a != b)
        parts = [f"input {number + 1} is {held[number]} there and {expected[number]} in {source}"]
    raise UserError(
        f"{checkpoint}: features: {'; '.join(parts)}; rule: the inputs of {source}, in the same order; "
        "restore both files from a copy, or train again in a new directory"
    )


def _find_difference(held: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Return the first key with different values; empty if there is none."""
    first, second = _as_json(held), _as_json(expected)
    return next((key for key in sorted({*first, *second}) if first.get(key) != second.get(key)), "")


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a JSON file holds them: lists for tuples."""
    content: dict[str, Any] = json.loads(json.dumps(values, default=repr))
    return content
