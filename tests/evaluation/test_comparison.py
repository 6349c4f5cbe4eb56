"""Claim and conclusion from the comparison with baselines."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from hemexp.config import BaselineConfig, CustomConfig, ModelConfig, Ridge2Config, TrainConfig
from hemexp.config.compose import load_config
from hemexp.evaluation.comparison import claim, compare, conclude, holm
from hemexp.evaluation.cross_validation import cross_validate
from hemexp.evaluation.folds import repeated_folds
from hemexp.evaluation.pipeline import Pipeline
from hemexp.files.result import ComparedModel, Difference

MODEL = ComparedModel(model="sacnn", is_model=True)
GOOD, BAD, OPEN = (0.01, 0.2), (-0.2, -0.01), (-0.1, 0.2)  # intervals of a difference, positive in favor of the model


def baseline(
    name: str, auroc: tuple[float, float], brier: tuple[float, float], p: float | None = 0.01
) -> ComparedModel:
    """Return a baseline with these intervals; `brier` is turned around, because a lower Brier score is better."""
    return ComparedModel(
        model=name,
        is_model=False,
        auroc_difference=Difference(value=sum(auroc) / 2, low=auroc[0], high=auroc[1], p=p),
        brier_difference=Difference(value=-sum(brier) / 2, low=-brier[1], high=-brier[0], p=p),
    )


UNDEFINED = replace(baseline("brain", OPEN, OPEN), auroc_difference=Difference(), brier_difference=Difference())


@pytest.mark.parametrize(
    ("hours", "brain", "relation", "worse"),
    [
        (GOOD, GOOD, "better than", []),
        (GOOD, OPEN, "not better than", []),
        (BAD, GOOD, "worse than", ["hours"]),
        (BAD, BAD, "worse than", ["hours", "brain"]),
    ],
)
def test_the_claim_names_the_relation_to_all_baselines(
    hours: tuple[float, float], brain: tuple[float, float], relation: str, worse: list[str]
):
    result = claim([MODEL, baseline("hours", hours, hours), baseline("brain", brain, brain)])
    assert result.auroc == result.brier == f"{relation} baseline"
    assert result.worse_than == result.worse_before_holm == {"auroc": worse, "brier": worse}


def test_the_claim_is_worse_only_after_holms_correction():
    for p, num_others, relation in ((0.04, 4, "not better than"), (0.04, 0, "worse than"), (0.009, 4, "worse than")):
        others = [baseline(str(i), OPEN, OPEN, 0.6) for i in range(num_others)]
        result = claim([MODEL, baseline("hours", BAD, BAD, p), *others])
        assert result.auroc == f"{relation} baseline", (p, num_others)
        assert result.worse_before_holm["auroc"] == ["hours"]
    assert claim([MODEL, UNDEFINED]).auroc == "not better than baseline"


def test_there_is_no_claim_without_cross_validation_or_baselines():
    assert claim([MODEL]) is None
    assert claim([MODEL, ComparedModel(model="hours", is_model=False)]) is None


@pytest.mark.parametrize(
    ("hours", "volume", "conclusion"),
    [
        # AUROC and Brier interval against each of two baselines
        ((GOOD, GOOD), (GOOD, GOOD), "better_than_baselines"),
        ((GOOD, OPEN), (GOOD, OPEN), "better_than_baselines"),  # the Brier score need not be better
        ((GOOD, GOOD), (OPEN, GOOD), "not_better_than_baselines"),  # every baseline counts
        ((OPEN, GOOD), (OPEN, GOOD), "not_better_than_baselines"),  # a better Brier score is not enough
        ((GOOD, GOOD), (BAD, GOOD), "worse_than_baseline"),  # one baseline is enough
        ((GOOD, GOOD), (GOOD, BAD), "worse_than_baseline"),  # by either score
    ],
)
def test_the_conclusion_needs_all_baselines_for_better_and_one_for_worse(hours, volume, conclusion: str):
    assert conclude([MODEL, baseline("hours", *hours), baseline("volume", *volume)]) == conclusion


@pytest.mark.parametrize(("p", "conclusion"), [(0.0124, "worse_than_baseline"), (0.0126, "not_better_than_baselines")])
def test_the_conclusion_is_worse_only_after_holms_correction(p: float, conclusion: str):
    """With four baselines the smallest p value is multiplied by four."""
    others = [baseline(str(i), GOOD, OPEN, 0.02) for i in range(3)]
    assert conclude([MODEL, baseline("hours", BAD, OPEN, p), *others]) == conclusion
    assert conclude([MODEL, baseline("hours", OPEN, BAD, p), *others]) == conclusion
    assert (multipletests([p, 0.02, 0.02, 0.02], method="holm")[0][0]) == (conclusion == "worse_than_baseline")


def test_a_model_with_a_worse_brier_score_before_holms_correction_is_not_better():
    others = [baseline(str(i), GOOD, OPEN, 0.2) for i in range(3)]
    assert conclude([MODEL, baseline("hours", GOOD, BAD, 0.04), *others]) == "not_better_than_baselines"


def test_the_conclusion_leaves_out_baselines_that_could_not_be_computed():
    hours = baseline("hours", GOOD, OPEN)
    assert conclude([MODEL, hours, UNDEFINED]) == "better_than_baselines"
    assert conclude([MODEL, hours, ComparedModel(model="brain", is_model=False)]) == "better_than_baselines"
    worse = baseline("hours", BAD, BAD, p=0.03)
    assert conclude([MODEL, worse, UNDEFINED]) == "worse_than_baseline"  # one comparison, so p is not multiplied


def test_the_conclusion_is_not_evaluated_without_a_difference():
    for rows in ([], [MODEL], [MODEL, UNDEFINED], [MODEL, ComparedModel(model="hours", is_model=False)]):
        assert conclude(rows) == "not_evaluated"


def test_holm_agrees_with_the_example_of_rs_p_adjust():
    # p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.02, None]) == [pytest.approx(0.04), None]  # a missing p value counts as a comparison
    assert holm([]) == []


def test_rows_hold_scores_and_differences(make_pipeline: Callable[..., Pipeline]):
    pipeline = make_pipeline(signal=4.0)
    constant = replace(pipeline, model=BaselineConfig("prevalence"), raw=pipeline.raw[:, :0], features=())
    folds = repeated_folds(pipeline.labels, range(80), 5, 4, seed=0)
    logistic, prevalence = cross_validate([pipeline, constant], folds, pipeline.cfg.trainer)
    model, other = compare(
        {"logistic": logistic, "prevalence": prevalence},
        pipeline.labels[:40],
        {"logistic": pipeline.raw[:40, 0], "prevalence": np.full(40, 0.3)},
    )
    assert (model.is_model, other.is_model) == (True, False)
    assert model.auroc_difference is None
    assert other.auroc.value == other.test_auroc.value == 0.5
    assert other.auroc_difference.value == pytest.approx(model.auroc.value - 0.5)
    assert other.test_auroc_difference.value == pytest.approx(model.test_auroc.value - 0.5)
    assert other.auroc_difference.p_holm == other.auroc_difference.p  # one comparison
    assert claim([model, other]).auroc == claim([model, other]).brier == "better than baseline"
    assert conclude([model, other]) == "better_than_baselines"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (CustomConfig("custom", "sklearn.svm.SVC", {"probability": True}), "SVC"),
        (Ridge2Config("ridge2", C=0.5), "ridge2 (C=0.5)"),
        (BaselineConfig("volume"), "volume"),
    ],
)
def test_the_row_of_a_model_has_the_name_that_its_user_gave(model: ModelConfig, name: str):
    cfg = load_config(TrainConfig, [])
    assert Pipeline(cfg, model, (), np.empty((2, 0)), np.array([0.0, 1.0]), {}).name == name
