"""What may be said of a model beside baselines."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hemexp.config import BaselineConfig
from hemexp.evaluation.comparison import claim, compare
from hemexp.evaluation.cross_validation import cross_validate
from hemexp.evaluation.folds import repeated_folds
from hemexp.evaluation.pipeline import Pipeline


def row(name: str, auroc: tuple[float, float], brier: tuple[float, float], p: float | None = 0.01) -> dict[str, object]:
    ends = {"auroc_difference": auroc, "brier_difference": brier}
    differences = {key: {"low": low, "high": high, "p": p} for key, (low, high) in ends.items()}
    return {"model": name, "is_model": False, **differences}


MODEL = {"model": "sacnn", "is_model": True}


GOOD, BAD, OPEN = (0.01, 0.2), (-0.2, -0.01), (-0.1, 0.2)


def flipped(ends: tuple[float, float]) -> tuple[float, float]:
    return -ends[1], -ends[0]  # of a Brier score, where lower is better


@pytest.mark.parametrize(
    ("hours", "brain", "said", "worse"),
    [
        (GOOD, GOOD, "better than", []),
        (GOOD, OPEN, "not better than", []),
        (BAD, GOOD, "worse than", ["hours"]),
        (BAD, BAD, "worse than", ["hours", "brain"]),
    ],
)
def test_the_claim(hours: tuple[float, float], brain: tuple[float, float], said: str, worse: list[str]):
    found = claim([MODEL, row("hours", hours, flipped(hours)), row("brain", brain, flipped(brain))])
    assert found["auroc"] == found["brier"] == f"{said} baseline"
    assert found["worse_than"] == {"auroc": worse, "brier": worse}


def test_worse_is_said_after_the_correction_for_looking_at_all_of_them():
    for p, others, said in ((0.04, 4, "not better than"), (0.04, 0, "worse than"), (0.009, 4, "worse than")):
        rows = [row("hours", BAD, flipped(BAD), p), *(row(str(i), OPEN, OPEN, 0.6) for i in range(others))]
        assert claim([MODEL, *rows])["auroc"] == f"{said} baseline", (p, others)
    undefined = {**row("hours", BAD, OPEN), "auroc_difference": {"low": None, "high": None, "p": None}}
    assert claim([MODEL, undefined])["auroc"] == "not better than baseline"


def test_no_claim_without_cross_validation_or_rivals():
    assert claim([MODEL]) is None
    assert claim([MODEL, {"model": "hours", "is_model": False, "auroc_difference": None}]) is None


def test_rows_hold_scores_and_differences(make_recipe: Callable[..., Pipeline]):
    pipeline = make_recipe(signal=4.0)
    constant = replace(pipeline, model=BaselineConfig("prevalence"), raw=pipeline.raw[:, :0], features=())
    both = cross_validate(
        [pipeline, constant], repeated_folds(pipeline.labels, range(80), 5, 4, seed=0), pipeline.cfg.trainer
    )
    risks = pipeline.raw[:40, 0], np.full(40, 0.3)
    rows = compare(
        dict(zip(["logistic", "prevalence"], both, strict=True)),
        pipeline.labels[:40],
        dict(zip(["logistic", "prevalence"], risks, strict=True)),
    )
    assert [r["is_model"] for r in rows] == [True, False]
    assert rows[0]["auroc_difference"] is None
    assert rows[1]["auroc"]["value"] == rows[1]["test_auroc"]["value"] == 0.5
    assert rows[1]["auroc_difference"]["value"] == pytest.approx(rows[0]["auroc"]["value"] - 0.5)
    assert rows[1]["test_auroc_difference"]["value"] == pytest.approx(rows[0]["test_auroc"]["value"] - 0.5)
    assert claim(rows)["auroc"] == claim(rows)["brier"] == "better than baseline"
