from types import SimpleNamespace

import numpy as np
import pytest

from hemexp.evaluation.validation import has_leak, judge_ranking, judge_risks, make_tables
from hemexp.evaluation.validation_answer import write_answer
from hemexp.files.result import Calibration, ComparedModel, Difference, Score, Validation, ValidationSampleSize


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.51, 0.7, "better"), (0.45, 0.7, "not_better"), (0.3, 0.49, "worse"), (None, None, "unknown")],
)
def test_the_interval_of_the_auroc_decides_whether_a_model_ranks(low, high, expected):
    assert judge_ranking(Score(value=0.6, low=low, high=high)) == expected
    assert judge_ranking(None) == "unknown"


def make_calibration(intercept, slope):
    scores = [Score(value=value, low=value - 0.2, high=value + 0.2) for value in (intercept, slope)]
    return Calibration(intercept=scores[0], slope=scores[1], scaled_brier=Score(), mean_risk=0.3, observed=0.3)


@pytest.mark.parametrize(
    ("intercept", "slope", "expected"),
    [
        (0.1, 0.9, "no_clear_error"),
        (-0.3, 1.0, "too_high"),
        (0.3, 1.0, "too_low"),
        (0.3, 0.4, "too_low"),  # the error of the mean goes first
        (0.0, 0.4, "too_extreme"),
        (0.0, 1.5, "too_moderate"),
    ],
)
def test_the_intervals_of_intercept_and_slope_decide_what_is_wrong_with_the_risks(intercept, slope, expected):
    assert judge_risks(make_calibration(intercept, slope)) == expected


def test_risks_without_an_interval_are_not_judged():
    unknown = Calibration(intercept=Score(), slope=Score(), scaled_brier=Score(), mean_risk=0.3, observed=0.3)
    assert judge_risks(unknown) == judge_risks(None) == "unknown"


@pytest.mark.parametrize("leak", ["outcome_inputs", "followup_delta", "followup_counts", "label_without_followup"])
def test_a_leak_of_the_inputs_or_of_the_outcome_spoils_new_patients_too(leak):
    assert has_leak(f"LEAKAGE: {leak}")


@pytest.mark.parametrize("verdict", ["NO_LEAKAGE_FOUND", "LEAKAGE: train_includes_test", "LEAKAGE: same_patient",
                                     "INCOMPLETE: outcome_inputs"])  # fmt: skip
def test_a_leak_between_the_parts_of_a_run_does_not(verdict):
    assert not has_leak(verdict)


def test_curves_need_both_outcomes_and_different_risks():
    labels, risks = np.tile([0.0, 1.0], 20), np.linspace(0.1, 0.9, 40)
    assert set(make_tables(labels, risks, "logistic")) == {"decision_curve", "calibration_curve"}
    assert list(make_tables(labels, risks, "logistic")["decision_curve"]["strategy"].unique()) == [
        "logistic", "treat all", "treat none"
    ]  # fmt: skip
    assert set(make_tables(labels, np.full(40, 0.3), "logistic")) == {"decision_curve"}
    assert set(make_tables(labels[:10], risks[:10], "logistic")) == {"decision_curve"}
    assert make_tables(np.zeros(40), risks, "logistic") == {}


def answer(low, high, intercept=0.0, slope=1.0, **changes):
    """Return the answer for 200 new patients, 60 with expansion, of a model with an AUROC of 0.9 in its own cohort."""
    auroc = Score(value=(low + high) / 2, low=low, high=high)
    found = make_calibration(intercept, slope)
    values = {"caveats": [], "comparison": [], "verdict": "NO_LEAKAGE_FOUND", "num_test": 200, "events_test": 60}
    result = SimpleNamespace(
        metrics={"test/auroc": auroc}, calibration=SimpleNamespace(test=found), **{**values, **changes}
    )
    own = Score(value=0.9, low=0.8, high=0.95)
    trained = SimpleNamespace(verdict=result.verdict, metrics={"cv/auroc": own})
    size = ValidationSampleSize(num_patients=200, events=60, required_patients=900, required_events=270, criteria={},
                                adequate=False)  # fmt: skip
    ranking, risks = judge_ranking(auroc), judge_risks(found)
    advice = "do_not_use" if ranking != "better" else "update" if risks != "no_clear_error" else "more_patients"
    validation = Validation(
        answer="", ranking=ranking, risks=risks, advice=advice, num_patients=200, num_unlabelled=0, sample_size=size
    )
    return write_answer(result, trained, validation)


def test_the_answer_says_that_a_model_ranks_less_well_than_in_its_own_cohort_or_than_the_brain_score():
    assert answer(0.7, 0.92).startswith(
        "In 200 new patients (60 with expansion) the model ranks better than chance (AUROC 0.81, 0.70 to 0.92); its "
        "risks show no clear error (mean 30 %, observed 30 %). It may work here, but 200 patients are too few to be "
        "sure: about 900 are needed."
    )
    assert "0.70 to 0.80), less well than in its own cohort (0.90); its" in answer(0.7, 0.8)
    difference = Difference(value=-0.1, low=-0.18, high=-0.02)
    brain = ComparedModel(model="brain", is_model=False, test_auroc=Score(value=0.85), test_auroc_difference=difference)
    assert "less well than in its own cohort (0.90) and less well than the BRAIN score (0.85); its" in answer(
        0.7, 0.8, comparison=[brain]
    )


def test_the_answer_names_both_errors_of_the_risks():
    assert (
        "too high by less than 1 percentage point (mean 30 %, observed 30 %) and too extreme (slope 0.40)."
        in answer(0.7, 0.92, intercept=-0.5, slope=0.4)
    )
    assert "its risks are too close together (slope 1.50). Do not use it here without" in answer(0.7, 0.92, slope=1.5)


def test_the_answer_about_a_leak_of_new_patients_says_nothing_else():
    words = answer(0.7, 0.9, verdict="LEAKAGE: outcome_inputs")
    assert words.startswith("The scores of 200 new patients say nothing: an input gives the outcome away")
    assert "AUROC" not in words
    assert "less well" not in answer(0.7, 0.8, verdict="LEAKAGE: train_includes_test")


def test_the_answer_about_the_own_test_part_or_simulated_patients_says_so():
    words = answer(0.7, 0.92, caveats=["own_test_part", "synthetic_cohort"])
    assert words.startswith("In 200 simulated patients of the run's own test part (60")
    assert words.endswith("This is not an external validation.")
