"""Write the tables, the figures and the page of a validation into the directory of a prediction."""

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from hemexp.config import get_choice_name, get_model_title
from hemexp.evaluation.validation import make_tables
from hemexp.files.model_folder import ModelCard
from hemexp.files.result import PredictionResult, get_wording
from hemexp.files.writing import remove, write_csv, write_text
from hemexp.types import Array

PAGE = "report.html"
_TABLES = ("calibration_curve", "decision_curve")
_FIGURES = ("validation", "calibration", "decision_curve")


def remove_validation(directory: Path) -> None:
    """Remove what `write_validation` writes, of an earlier call."""
    remove(
        directory / PAGE,
        *(directory / f"{name}.csv" for name in _TABLES),
        *(directory / "figures" / f"{name}.png" for name in _FIGURES),
    )


def write_validation(
    result: PredictionResult,
    trained: ModelCard,
    outcomes: Array,
    risks: Array,
    patient_ids: Collection[str],
    directory: Path,
) -> Path:
    """Write curves, figures and the page; return the path of the page.

    Args:
        result: with its validation.
        trained: the model.
        outcomes: of the scored patients, 1 or 0.
        risks: of the same patients.
        patient_ids: ids that the page must not show.
        directory: of the prediction.

    Shape:
        outcomes, risks: (N,).
    """
    from hemexp.report.html import png_uri  # not in a prediction that fails before its page
    from hemexp.report.validation.content import ValidationContent
    from hemexp.report.validation.page import render_validation

    assert result.validation is not None
    tables = make_tables(outcomes, risks, get_choice_name(trained.model))
    for name, table in tables.items():
        write_csv(table, directory / f"{name}.csv")
    figures = _draw(result, trained, outcomes, risks, tables, directory)
    title = get_model_title(get_choice_name(trained.model))
    pictures = {name: png_uri(path) for name, path in figures.items()}
    content = ValidationContent(result, result.validation, trained, title, tables, pictures)
    write_text(directory / PAGE, render_validation(content, frozenset(patient_ids)))
    return directory / PAGE


def _draw(
    result: PredictionResult,
    trained: ModelCard,
    outcomes: Array,
    risks: Array,
    tables: Mapping[str, pd.DataFrame],
    directory: Path,
) -> dict[str, Path]:
    """Draw the figures that the patients allow, and return their files."""
    if not tables:
        return {}
    from hemexp.figures import evaluation, forest
    from hemexp.figures.style import change_words, house_style, save_png
    from hemexp.report.validation.content import get_place, list_rows

    rows, where = list_rows(result, trained), get_place(result)
    with house_style():
        figures = {"validation": forest.validation(rows, "Here and in its own cohort")}
        if "calibration_curve" in tables:
            found, curve = result.calibration.test, tables["calibration_curve"]
            figures["calibration"] = evaluation.calibration(outcomes, risks[None], curve, found, where)
        figures["decision_curve"] = evaluation.decision_curve(tables["decision_curve"], where)
        paths = {name: directory / "figures" / f"{name}.png" for name in figures}
        for name, figure in figures.items():
            change_words(figure, get_wording(result))
            save_png(figure, paths[name])
    return paths
