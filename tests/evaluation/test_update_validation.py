import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from hemexp.config import LogisticConfig, OptimizerConfig
from hemexp.data.training_set import build_training_set
from hemexp.errors import UserError
from hemexp.evaluation.folds import Fold
from hemexp.evaluation.update_validation import UpdateProcedure, apply_update, calibrate_update, validate_update
from hemexp.evaluation.updating import list_possible
from hemexp.training.member import Member

SCENARIOS = {  # intercept, factor of the effects, coefficient of the third input; in the first hospital 0, 1 and 0
    "nothing": (0.0, 1.0, 0.0),
    "prevalence": (0.8, 1.0, 0.0),
    "prevalence and all effects": (0.8, 0.5, 0.0),
    "prevalence and one coefficient": (0.8, 1.0, 0.8),
}
METHODS = ("none", "intercept", "intercept_slope", "refit")


def simulate(intercept, factor, coefficient, num_patients, seed):
    """Return the procedure for a second hospital; the model of the first one has the coefficients 1, 1 and 0."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(num_patients, 3))
    logits = raw[:, 0] + raw[:, 1] - 1
    truth = expit(intercept + factor * logits + coefficient * raw[:, 2])
    labels = (rng.random(num_patients) < truth).astype(float)

    def build_member(rows, seed):
        model = LogisticConfig("logistic", C=1e9, l1_ratio=0.0)
        return Member(model, OptimizerConfig(), build_training_set(raw, labels, rows), seed)

    methods, _ = list_possible(int(min(labels.sum(), (1 - labels).sum())), 4)
    return UpdateProcedure(labels, raw, expit(logits), methods, raw, build_member)


def test_the_held_out_patients_have_no_influence_on_their_update():
    procedure = simulate(0.8, 0.5, 0.8, 200, 0)
    rows = np.arange(200)
    fold = Fold(0, 0, 0, rows[:150], rows[150:])
    risks = []
    for outcomes in (procedure.labels[150:], 1 - procedure.labels[150:]):
        procedure.labels[150:] = outcomes
        risks.append(procedure.update([procedure.choose(fold.train)], [fold])[0])
    np.testing.assert_array_equal(*risks)


def test_a_refit_that_ranks_better_says_so_and_another_method_never_does():
    procedure = simulate(0.0, 1.0, 2.0, 400, 1)
    choice = procedure.choose(np.arange(400))
    validation, validated = validate_update(procedure, choice, "logistic", 5, 2, 0)
    assert (choice.method, validation.ranking, validation.risks) == ("refit", "better", "better")
    assert validation.conclusion[1].startswith("In cross-validation its ranking is better than")
    assert validation.chosen == {"refit": 10}
    updated, original, prevalence = validated.values()
    assert updated.scores["auroc"].mean() > original.scores["auroc"].mean() + 0.05
    assert (prevalence.scores["auroc"] == 0.5).all()
    assert [row.model for row in validation.comparison] == ["logistic (updated)", "logistic (original)", "prevalence"]


def test_a_model_that_ranks_the_wrong_way_loses_its_ranking_in_plain_words():
    procedure = simulate(0.0, -1.0, 0.0, 300, 2)
    procedure = UpdateProcedure(procedure.labels, procedure.raw, procedure.risks, METHODS[:3])
    choice = procedure.choose(np.arange(300))
    validation, _ = validate_update(procedure, choice, "mlp", 5, 1, 0)
    assert (choice.recalibration[1], validation.ranking, validation.beside_prevalence) == (0, "lost", "not better")
    assert validation.conclusion[0].startswith("The original model does not rank these patients.")
    assert any(text.startswith("It is not shown that the risks are more accurate") for text in validation.conclusion)


def test_few_patients_leave_out_what_they_cannot_estimate():
    assert list_possible(50, 5)[0] == METHODS
    assert list_possible(49, 5)[0] == METHODS[:3]
    assert list_possible(19, 5)[0] == METHODS[:2]
    methods, left_out = list_possible(9, None)
    assert (methods, set(left_out)) == (("none",), {"refit", "intercept", "intercept_slope"})
    assert left_out["intercept"].startswith("needs 10 patients of the rarer outcome, 10 for each number")


def test_the_ids_of_one_person_are_held_out_together():
    procedure, groups = simulate(0.8, 1.0, 0.0, 120, 2), np.arange(120) // 2
    choice = procedure.choose(np.arange(120))
    for folds_of in (groups, None):
        _, validated = validate_update(procedure, choice, "logistic", 5, 1, 0, folds_of)
        folds = next(iter(validated.values())).folds
        divided = [fold for fold in folds if set(groups[fold.train]) & set(groups[fold.test])]
        assert bool(divided) == (folds_of is None)


def test_risks_that_are_all_the_same_have_no_slope():
    labels = np.arange(40) % 2.0
    procedure = UpdateProcedure(labels, np.zeros((40, 1)), np.full(40, 0.3), ("intercept_slope",))
    with pytest.raises(UserError, match="method=intercept_slope: has no solution"):
        procedure.choose(np.arange(40))


@pytest.mark.parametrize("num_patients", [60, 150])
@pytest.mark.parametrize(("intercept", "slope"), [(0.0, 1.0), (0.6, 0.5)])
def test_the_interval_of_the_calibrated_risk_holds_the_true_risk_in_95_of_100_hospitals(num_patients, intercept, slope):
    points, covered = expit([-2.5, -0.8, 1.0]), np.zeros(3)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        logits = rng.normal(-0.8, 1.2, num_patients)
        labels = (rng.random(num_patients) < expit(intercept + slope * logits)).astype(float)
        methods, _ = list_possible(int(min(labels.sum(), (1 - labels).sum())), None)
        procedure = UpdateProcedure(labels, logits[:, None], expit(logits), methods)
        choice = procedure.choose(np.arange(num_patients))
        known = calibrate_update(choice.method, labels, apply_update(procedure.risks, choice), None)
        assert known is not None
        truth = expit(intercept + slope * logit(points))
        bounds = np.array([known.interval(float(risk))[1:] for risk in apply_update(points, choice)])
        covered += (bounds[:, 0] <= truth) & (truth <= bounds[:, 1])
    print(f"\n{num_patients} patients, logit {intercept} + {slope} x: {covered / 2} %")
    assert (covered >= 180).all()


@pytest.mark.slow
@pytest.mark.parametrize("num_patients", [200, 500])
def test_the_closed_test_finds_the_right_update_and_claims_no_better_ranking(num_patients):
    """The table in docs/validate_elsewhere.md; run with -s to see it. Only a refit can claim a better ranking."""
    rows = []
    for name, shift in SCENARIOS.items():
        counts = dict.fromkeys([*METHODS, "ranking better"], 0)
        for seed in range(100):
            procedure = simulate(*shift, num_patients, seed)
            choice = procedure.choose(np.arange(num_patients))
            counts[choice.method] += 1
            if choice.method == "refit":
                validation, _ = validate_update(procedure, choice, "logistic", 5, 1, seed)
                counts["ranking better"] += validation.ranking == "better"
        rows.append({"shift": name, **counts})
    table = pd.DataFrame(rows).set_index("shift")
    print(f"\n{num_patients} patients\n{table.to_string()}")
    for name, method in zip(SCENARIOS, METHODS, strict=True):
        assert table.loc[name, method] > 50, (name, method)
    assert (table.drop(index="prevalence and one coefficient")["ranking better"] <= 2).all()
