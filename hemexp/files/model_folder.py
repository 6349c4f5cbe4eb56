"""The folder ``model/`` of a run: the model and what a reader must know about it, for use in another place.

It holds no patient ids, scan serials, dates, paths or user names, and no hash of them. docs/files.md says what small
numbers of patients can still tell.
"""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from hemexp.errors import UserError
from hemexp.files.formula import Formula
from hemexp.files.result import (
    CONCLUSIONS,
    INCOMPLETE,
    LEAKAGE,
    NO_LEAKAGE,
    CalibratedRisk,
    CalibrationByStage,
    Count,
    LinearPredictor,
    OwnMetric,
    PrevalenceBaseline,
    Score,
    ThresholdScore,
    check_digest,
    entry,
    load_json,
    parse_file,
    write_with_digest,
)

FOLDER, CARD, CHECKPOINT = "model", "model.json", "best.ckpt"
CARD_VERSION = 1
_OF_EVALUATION = {  # caveats about the evaluation of a run, which do not concern other patients
    "one_outcome_in_test",
    "folds_diverged",
    "cross_validated_within_training",
    "too_few_centers",
    "too_few_events_for_thresholds",
    "too_few_events_for_refits",
    "too_few_events_for_cross_validation",
}


@dataclass(kw_only=True)
class ModelInput:
    """An input of a model."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    name: str = entry("name of the input")
    kind: str = entry(
        "kind of value, such as number, whole, binary, volume; level: 1 where a text column has this text"
    )
    unit: str = entry("unit; empty where it has none or the file did not state one")
    mean: float | None = entry("mean in the training part; null with fewer than 10 known values", default=None)
    sd: float | None = entry("standard deviation in the training part", default=None)
    missing: float | None = entry("share of the training part without a value", default=None)
    low: float | None = entry(
        "2.5th percentile in the training part; with fewer than 60 known values mean - 1.96 sd, at least 0 if all are",
        default=None,
    )
    high: float | None = entry("97.5th percentile in the training part, or mean + 1.96 sd", default=None)

    def is_outside(self, value: Any) -> Any:
        """Return whether a value, or each of an array, is outside of the training range; False where it is not known.

        The range is from the 2.5th to the 97.5th percentile. Of a code, such as yes or no, only a value that no
        training patient had is outside.
        """
        if self.low is None or self.high is None:
            return value > math.inf
        if self.kind in {"yes_no", "sex", "level"}:
            return (value == value) & (value != self.mean) & (self.sd == 0)
        margin = 1e-3 * max(abs(self.low), abs(self.high))  # the limits are rounded
        return (value < self.low - margin) | (value > self.high + margin)


@dataclass(kw_only=True)
class ModelCard:
    """model.json: what a reader must know about a model."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    schema_version: int = entry("version of this format", default=CARD_VERSION)
    conclusion: str = entry("the conclusion of the run; see result.json")
    verdict: str = entry("the verdict of the run; see result.json")
    caveats: list[str] = entry("codes of what a reader must know")
    versions: dict[str, str] = entry("versions of Python, hemexp and its main packages")
    label_definition: str = entry("the definition of the outcome in words")
    label: dict[str, Any] = entry("the definition of the outcome")
    label_values: list[str] = entry("as in result.json", default_factory=list)
    features: dict[str, Any] = entry("the choice of inputs")
    inputs: list[ModelInput] = entry("the inputs, in order")
    title: str = entry("name of the model in words", default="")
    model: dict[str, Any] = entry("name and settings of the model")
    training: dict[str, Any] = entry(
        "how the model was trained: optimizer, scheduler, loss, engine, ensemble, recalibration", default_factory=dict
    )
    num_train: Count = entry("patients in the training part")
    num_val: Count = entry("patients in the validation part")
    num_test: Count = entry("patients in the test part")
    events_train: Count = entry("training patients with the outcome")
    events_test: Count = entry("test patients with the outcome")
    majority: int = entry("the more frequent outcome in the training part, 1 or 0")
    metrics: dict[str, Score] = entry("test/… and cv/… scores with 95 % intervals")
    own_metrics: list[OwnMetric] = entry("metrics that metrics= added", default_factory=list)
    prevalence_baseline: PrevalenceBaseline | None = entry("scores of the training prevalence")
    calibration: CalibrationByStage | None = entry("calibration")
    thresholds: list[ThresholdScore] = entry("thresholds of risk")
    linear_predictor: LinearPredictor | None = entry("the logits of the risks in the training cohort", default=None)
    calibrated_risk: CalibratedRisk | None = entry("how to calibrate the risk of a patient", default=None)
    formula: Formula | None = entry("formula of the model; null where it has none", default=None)
    worse_than: list[str] = entry("baselines that the model is worse than", default_factory=list)
    not_better_than: list[str] = entry(
        "baselines that the model is not shown to be better than by AUROC or Brier score, the best one first",
        default_factory=list,
    )
    update_method: str | None = entry(
        "method of the last update by update.py, whose cohort num_train and the scores are of; null without an update",
        default=None,
    )
    model_digest: str | None = entry("digest of best.ckpt, by which another model is noticed")
    digest: str | None = entry("digest of all other fields", default=None, compare=False)

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs, in order."""
        return [each.name for each in self.inputs]

    @property
    def caveats_elsewhere(self) -> list[str]:
        """The caveats that also concern the predictions of other patients."""
        kept = [caveat for caveat in self.caveats if caveat not in _OF_EVALUATION]
        renamed = ["trained_on_synthetic" if caveat == "synthetic_cohort" else caveat for caveat in kept]
        return list(dict.fromkeys(renamed))


def is_model_folder(path: Path) -> bool:
    """Return whether a folder is the ``model/`` of a run or a copy of it."""
    return (path / CARD).is_file() and not (path / "result.json").exists()


def write_model_card(card: ModelCard, folder: Path) -> None:
    """Write ``model.json`` into a model folder."""
    write_with_digest(asdict(card), folder / CARD)


def add_training_values(card: ModelCard, folder: Path) -> ModelCard:
    """Return a card with what only the file in a model folder holds: ranges of the inputs, and the formula.

    It stays as it is where the folder does not hold them, or is of another model.
    """
    try:
        other = read_model_card(folder)
    except UserError:
        return card
    if other.model_digest != card.model_digest or other.input_names != card.input_names:
        return card
    return replace(card, inputs=other.inputs, formula=other.formula, linear_predictor=other.linear_predictor)


def read_model_card(folder: Path) -> ModelCard:
    """Read ``model.json`` and check it.

    Raises:
        UserError: it cannot be read, was written by another version, a field is missing or wrong, or it was changed.
    """
    path = folder / CARD
    content = load_json(path)
    version = content.get("schema_version")
    if type(version) is not int or version != CARD_VERSION:
        raise UserError(
            f"{path}: schema_version is {version!r}; this version of hemexp reads {CARD_VERSION}; "
            "use the version that wrote the file"
        )
    card: ModelCard = parse_file(content, path, ModelCard)
    rules: dict[str, tuple[object, bool, str]] = {
        "conclusion": (card.conclusion, card.conclusion in CONCLUSIONS, f"one of {', '.join(CONCLUSIONS)}"),
        "verdict": (
            card.verdict,
            card.verdict.partition(":")[0] in {NO_LEAKAGE, LEAKAGE, INCOMPLETE},
            f"{NO_LEAKAGE}, {LEAKAGE}: <which> or {INCOMPLETE}: <why>",
        ),
        "majority": (card.majority, card.majority in {0, 1}, "0 or 1"),
        "num_train": (card.num_train, card.num_train > 0, "at least 1"),
        "events_train": (card.events_train, card.events_train <= card.num_train, "at most num_train"),
        "events_test": (card.events_test, card.events_test <= card.num_test, "at most num_test"),
        "formula": (
            card.formula,
            card.formula is None or len(card.formula.fill) == len(card.inputs),
            "a value for each input",
        ),
    }
    for name, (value, holds, rule) in rules.items():
        if not holds:
            raise UserError(f"{path}: {name}: is {value!r}; rule: {rule}")
    check_digest(content, path)
    return card
