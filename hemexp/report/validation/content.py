"""The content of the page of a validation."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from hemexp.files.model_folder import ModelCard
from hemexp.files.result import LEAKAGE, Calibration, PredictionResult, Score, Validation
from hemexp.report.blocks import Block, picture

Row = tuple[str, Score, Calibration | None]


@dataclass(frozen=True)
class ValidationContent:
    """The content of the page.

    Attributes:
        result: of the prediction, with its validation.
        validation: of the result.
        trained: the model.
        name: of the model in words.
        tables: ``decision_curve`` and ``calibration_curve``, where they exist.
        figures: data URIs by name.
    """

    result: PredictionResult
    validation: Validation
    trained: ModelCard
    name: str
    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, str]

    @property
    def who(self) -> str:
        """The scored patients in words."""
        return get_place(self.result)


def get_figure(content: ValidationContent, name: str) -> Block | None:
    """Return a figure with its explanation; None if there is none."""
    return picture(name, content.figures[name]) if name in content.figures else None


def get_place(result: PredictionResult) -> str:
    """Return in words which patients are scored."""
    return "own test part" if "own_test_part" in result.caveats else "new patients"


def list_rows(result: PredictionResult, trained: ModelCard) -> list[Row]:
    """Return name, AUROC and calibration of the scored patients, of the BRAIN score, and of the run.

    The scores of the run are cross-validated if it has such. A run with a leak has no row: its scores are too good.
    """
    own_only = "own_test_part" in result.caveats
    here = (get_place(result), result.metrics["test/auroc"], result.calibration.test)
    rows: list[Row] = [here]
    for compared in result.comparison:
        if not compared.is_model:
            rows.append((f"{compared.model.upper()} score", compared.test_auroc, None))
    if trained.verdict.startswith(LEAKAGE):
        return rows
    parts = trained.calibration
    stages = (
        ("cv", "own cross-validation", parts.cv if parts else None),
        ("test", "own test part", parts.test if parts else None),
    )
    for stage, name, found in stages:
        score = trained.metrics.get(f"{stage}/auroc")
        if score is not None and score.value is not None and not (own_only and stage == "test"):
            return [*rows, (name, score, found)]
    return rows
