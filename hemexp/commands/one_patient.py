"""Predict the risk of one patient whose values are given on the command line.

A model with a formula in model.json is predicted without PyTorch and pandas, whose imports take seconds.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hemexp.cohort.columns import LOGARITHMS
from hemexp.cohort.mapping.mapping import Mapping as ColumnsMapping
from hemexp.cohort.mapping.mapping import read_mapping
from hemexp.cohort.one_patient import Values, get_source, read_patient
from hemexp.commands.patient_text import describe_patient
from hemexp.config import PredictConfig
from hemexp.errors import UserError
from hemexp.files.formula import LOGISTIC
from hemexp.files.model_folder import CARD, FOLDER, ModelCard, ModelInput, read_model_card
from hemexp.files.one_patient import PATIENT, InputEffect, PatientResult, write_patient
from hemexp.files.result import RESULT, Score, load_json
from hemexp.files.writing import remove

Predict = Callable[[Sequence[Sequence[float]]], list[float]]


def predict_patient(cfg: PredictConfig, directory: Path | str) -> PatientResult:
    """Write ``patient.json`` and print the risk in words; the run directory is only read.

    Args:
        cfg: with ``patient``.
        directory: for patient.json.

    Raises:
        UserError: the run, or a value of the patient, cannot be used.
    """
    directory, run = Path(directory), Path(str(cfg.run_dir))
    remove(directory / PATIENT, directory / RESULT, directory / "predictions.csv")  # of an earlier call
    card, predict = _load_model(run)
    columns = {get_source(each.name, each.kind): each.kind for each in card.inputs}  # in order, each once
    texts = [column for column, kind in columns.items() if kind == "level"]
    values = read_patient(cfg.patient, columns, texts, lambda: _load_mapping(run))
    result = describe_values(card, run, values, predict)
    write_patient(result, directory)
    print("\n".join(result.text))
    return result


def describe_values(card: ModelCard, run: Path, values: Values, predict: Predict) -> PatientResult:
    """Return the risk of a patient with what it rests on.

    Args:
        card: of the model.
        run: of the model.
        values: by column, in our units.
        predict: returns the risks of rows of inputs in their own units.
    """
    columns = {each.name: get_source(each.name, each.kind) for each in card.inputs}
    needed = list(dict.fromkeys(columns.values()))
    texts = {columns[each.name] for each in card.inputs if each.kind == "level"}
    raw = [compute_input(each, values) for each in card.inputs]
    (risk,) = predict([raw])
    calibrated = card.calibrated_risk.interval(risk) if card.calibrated_risk else None
    missing = [column for column in needed if _is_missing(values.get(column, math.nan))]
    outside = [columns[each.name] for each, value in zip(card.inputs, raw, strict=True) if each.is_outside(value)]
    outside += [column for column in texts if _is_unknown_level(column, values, card.inputs)]
    result = PatientResult(
        conclusion=card.conclusion,
        verdict=card.verdict,
        caveats=card.caveats_elsewhere,
        run_dir=str(run.resolve()),
        model=card.title,
        label_definition=card.label_definition,
        values={name: None if _is_missing(value) else value for name, value in values.items()},
        risk=risk,
        calibrated=Score(**dict(zip(("value", "low", "high"), calibrated, strict=True))) if calibrated else None,
        num_train=card.num_train,
        events_train=card.events_train,
        inputs_missing=missing,
        outside_range=list(dict.fromkeys(outside)),
        not_used=[column for column in values if column not in needed],
        effects=_find_effects(card, columns, raw, values, predict),
        text=[],
    )
    result.text = describe_patient(result, card)
    return result


def _load_model(run: Path) -> tuple[ModelCard, Predict]:
    """Return what a reader must know about a model, and its risks: by its formula, else by its checkpoint.

    Raises:
        UserError: a file is missing, damaged or changed.
    """
    card = _read_card(run)
    if card is not None and (formula := card.formula) is not None:
        return card, lambda rows: [formula.predict(row) for row in rows]
    import numpy as np

    from hemexp.commands.model_card import load_trained_model  # imports PyTorch

    trained = load_trained_model(run)
    return trained.card, lambda rows: trained.predictor.predict(np.array(rows, dtype=float)).tolist()


def _read_card(run: Path) -> ModelCard | None:
    """Return the card of a model folder, or of a run; None for a run without one, or with that of another model."""
    if not (run / RESULT).is_file():
        return read_model_card(run)
    if not (run / FOLDER / CARD).is_file():
        return None
    card, digest = read_model_card(run / FOLDER), load_json(run / RESULT).get("model_digest")
    return card if card.model_digest == digest else None


def _load_mapping(run: Path) -> ColumnsMapping | None:
    with suppress(UserError):
        return read_mapping(run / "mapping.yaml")
    return None


def compute_input(item: ModelInput, values: Values) -> float:
    """Return an input of a patient from the values by column, as `hemexp.data.features.input_table`; NaN for a gap."""
    value = values.get(get_source(item.name, item.kind), math.nan)
    if item.kind == "level":
        return math.nan if _is_missing(value) else float(value == item.name.partition("=")[2])
    assert isinstance(value, float)
    if item.name in LOGARITHMS:
        _, unit, least = LOGARITHMS[item.name]
        return value if math.isnan(value) else math.log(max(value / unit, least))
    return value


def _is_missing(value: float | str) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _is_unknown_level(column: str, values: Values, inputs: Sequence[ModelInput]) -> bool:
    value = values.get(column, math.nan)
    return not _is_missing(value) and f"{column}={value}" not in {each.name for each in inputs}


def _find_effects(
    card: ModelCard, columns: dict[str, str], raw: Sequence[float], values: Values, predict: Predict
) -> list[InputEffect]:
    """Return how each input moved the risk, strongest first; also a gap, which the model fills with some value.

    Of a logistic formula it is the contribution to the logit, 0 at the training mean. Of any other model it is the
    risk minus the risk with a typical value of the input: the mean, rounded for a code; a gap where it is not known.
    """
    used = list(dict.fromkeys(columns.values()))
    if card.formula is not None and card.formula.kind == LOGISTIC:
        terms = list(zip(card.inputs, card.formula.contributions(raw), strict=True))
        changes = {column: sum(term for each, term in terms if columns[each.name] == column) for column in used}
        scale = "logit"
    else:
        rows = [
            [
                _get_typical(each) if columns[each.name] == column else value
                for each, value in zip(card.inputs, raw, strict=True)
            ]
            for column in used
        ]
        risks = predict([raw, *rows])
        changes = {column: risks[0] - risk for column, risk in zip(used, risks[1:], strict=True)}
        scale = "risk"
    effects = [
        InputEffect(input=column, value=_get_shown(values.get(column, math.nan)), change=change, scale=scale)
        for column, change in changes.items()
    ]
    return sorted(effects, key=lambda effect: -abs(effect.change))


def _get_shown(value: float | str) -> float | str:
    return "no value" if _is_missing(value) else value


def _get_typical(item: ModelInput) -> float:
    if item.mean is None:
        return math.nan
    return float(round(item.mean)) if item.kind in {"yes_no", "sex", "level", "whole"} else item.mean
