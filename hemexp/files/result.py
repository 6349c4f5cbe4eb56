"""The content of result.json: a tree of dataclasses that writes the file and reads it back.

Every field carries its help text, from which the table in ``docs/result.md`` is generated. A field without a value is
null. New optional fields keep `SCHEMA_VERSION`; a changed meaning or a removed field raises it.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, make_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from annotated_types import Interval

from hemexp.config import (
    ColumnLabelConfig,
    EvaluationConfig,
    GrowthLabelConfig,
    ModelConfig,
    SplitConfig,
    get_features_section,
)
from hemexp.errors import UserError
from hemexp.files.logits import expit, logit
from hemexp.files.writing import write_json
from hemexp.metrics.table import METRICS, STANDARD, Metric

Count = Annotated[int, Interval(ge=0, le=10**9)]
SCHEMA_VERSION = 1
RESULT = "result.json"
_NORMAL_95 = 1.959963984540054  # standard errors on each side of a 95 % interval
STATUSES = ("running", "done", "failed", "interrupted", "pruned")
NO_LEAKAGE, LEAKAGE, INCOMPLETE = "NO_LEAKAGE_FOUND", "LEAKAGE", "INCOMPLETE"  # how a verdict begins
SAME_PATIENT, SEEN_TEST, INIT_SEEN_TEST = "same_patient", "train_includes_test", "init_includes_test"
OUTCOME_INPUTS, FOLLOW_UP_VALUES, FOLLOW_UP_COUNTS = "outcome_inputs", "followup_delta", "followup_counts"
NO_FOLLOW_UP, TUNED_ON_TEST = "label_without_followup", "tuning_on_test"
LEAKS = {  # what follows LEAKAGE in a verdict
    SAME_PATIENT: "one person has two ids, and they are in different parts of the split: the findings "
    "same_patient in quality.csv name them; give one person one id, or use split=stratified, and train again",
    SEEN_TEST: "the model has learned from the patients that it is scored on (split.fit_on=all): their scores say how "
    "well it remembers them; train with split.fit_on=train",
    INIT_SEEN_TEST: "the first weights (model.init_from) have learned from patients of the test part or of a fold, so "
    "their scores say how well it remembers them; begin from a run of other patients, or score new patients",
    OUTCOME_INPUTS: "an input gives the outcome away: it was made from the outcome, or is known only after it; remove "
    "it from the inputs, and train again",
    FOLLOW_UP_VALUES: "an input agrees with the volumes or the growth of later scans, which are not known at the first "
    "scan; remove it from the inputs, and train again",
    FOLLOW_UP_COUNTS: "an input agrees with the number or the times of later scans, which are not known at the first "
    "scan; remove it from the inputs, and train again",
    NO_FOLLOW_UP: "patients without a scan after the first count as patients without expansion, but only a later scan "
    "can show it; leave their outcome empty, and train again",
    TUNED_ON_TEST: "the search was continued after its test score was seen, which makes that score optimistic; report "
    "the first one, or use new patients",
}
BETTER, WORSE = "better_than_baselines", "worse_than_baseline"
NOT_BETTER, NOT_EVALUATED = "not_better_than_baselines", "not_evaluated"
CONCLUSIONS = {
    BETTER: "better than every baseline by AUROC, and by Brier score not worse than any",
    NOT_BETTER: "not shown to be better than the baselines",
    WORSE: "worse than a baseline",
    NOT_EVALUATED: "not evaluated: the model was not compared with the baselines",
}
CAVEATS = {
    "treatments_after_first_scan": "the inputs include treatments, which are given after the first scan: "
    "the model cannot predict at admission",
    "few_events_per_input": "fewer than 10 patients of the rarer outcome for each input: expect chance findings",
    "one_outcome_in_test": "the test part has only one outcome: no ranking can be scored",
    "one_person_twice": "some new patients occur under two ids, so they are scored twice: the intervals are too narrow",
    "own_test_part": "no new patient has a known outcome: the scores are those of the run's own test part, not of an "
    "external test",
    "inert_init": "model.init is zeros or all_zeros: weights that start at zero do not learn",
    "began_from_weights": "the first weights are those of another run (model.init_from): the patients that it has "
    "learned from are not new to this model",
    "earlier_patients_unknown": "the patients that the first weights (model.init_from) have learned from are not "
    "known; if they are among the scored patients, the scores are too good",
    "own_classifier": "the classifier is not hemexp's own: its file may hold values of patients, so there is no folder "
    "model/ to give away",
    "equal_risks": "calibrate=logistic found that the model's risks do not rank the training patients: every patient "
    "gets the same risk",
    "synthetic_cohort": "the patients are simulated",
    "trained_on_synthetic": "the model was trained on simulated patients",
    "input_without_values": "an input of the model has no value in any patient of the update: the model takes the "
    "value of its training cohort instead",
    "own_outcome": "the outcome is the file's own: hemexp did not check it against the scans",
    "updated": "the model was trained on other patients and then updated with these, or only checked in them "
    "(updated_from): the numbers of patients and the scores are those of the update",
    "debug": "a debug run tests the program: its scores mean nothing",
    "folds_diverged": "in some folds the training loss became NaN or infinite; their best earlier weights are used",
    "cross_validated_within_training": "cross-validation divides only the training part: fewer patients to learn from",
    "centers_differ": "the scores differ more between centers than chance explains: expect other scores in a new one",
    "too_few_centers": "fewer than 3 centers with 2 patients of each outcome: no scores by center",
    "too_few_events_for_thresholds": "too few expansions for every fold of the training part: no thresholds, "
    "no abstaining",
    "too_few_events_for_refits": "fewer than 5 patients of one outcome: no bootstrap refits, so neither optimism "
    "nor instability",
    "too_few_events_for_cross_validation": "too few expansions for every fold: no cross-validation, so the main "
    "scores are missing",
}


_DIGEST = "digest of all other fields, by which a later change is noticed; hemexp writes it"

_BRAIN_MISSING = (
    "items of the BRAIN score that the cohort does not have, with the points (of 24) that each can add; they count 0"
)


_WORDS = (  # about an outcome of the file, instead of those about expansion; the first ones first
    ("hematoma expansion after intracerebral hemorrhage", "the outcome"),
    ("Hematoma expansion means", "The outcome means"),
    ("hematoma expansion", "the outcome"),
    ("of expansion", "of the outcome"),
    ("with expansion", "with the outcome"),
    ("expansion", "outcome"),
)


def entry(text: str, **options: Any) -> Any:
    """Return a field of a dataclass with its help text; `options` are those of `dataclasses.field`."""
    return field(metadata={"help": text}, **options)


class OtherVersion(UserError):
    """The file is of another version of hemexp."""


class _Block:
    """A part of result.json; fields that are not listed are refused."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(kw_only=True)
class Score(_Block):
    """A score with its 95 % interval; all null where the score is not defined."""

    value: float | None = entry("the score", default=None)
    low: float | None = entry("lower end of the 95 % interval", default=None)
    high: float | None = entry("upper end of the 95 % interval", default=None)


@dataclass(kw_only=True)
class Difference(Score):
    """The score of the model minus the score of a baseline."""

    p: float | None = entry("two-sided p value", default=None)
    p_holm: float | None = entry("p value after Holm's correction over all baselines", default=None)


@dataclass(kw_only=True)
class OwnMetric(_Block):
    """A metric that metrics= added."""

    name: str = entry("what follows test/ and cv/")
    text: str = entry("name on the pages")
    higher_is_better: bool | None = entry("direction; null where it has none")
    source: str = entry("what metrics= held: a dotted or a registered name")
    digits: ClassVar[int] = 3
    is_reference: ClassVar[bool] = False


@dataclass(kw_only=True)
class DataSource(_Block):
    """The cohort that was read."""

    kind: str = entry("synthetic, workbook, tidy or mapped")
    root: str | None = entry("absolute path of the file or folder; null for a synthetic cohort")
    num_patients: Count = entry("patients in the cohort, labeled or not")
    num_centers: Count | None = entry("centers in the cohort; null without a column of the centers", default=None)
    findings: dict[str, Count] = entry("number of data-quality findings of each kind")


@dataclass(kw_only=True)
class PatientFlow(_Block):
    """The number of patients in each part of the split."""

    patients: Count = entry("patients in the cohort")
    unlabelled: dict[str, Count] = entry("patients without a known outcome, by reason")
    unused: Count = entry("patients with a known outcome who take no part")
    train: Count = entry("patients in the training part, without the validation part")
    val: Count = entry("patients in the validation part")
    test: Count = entry("patients in the test part")


@dataclass(kw_only=True)
class PrevalenceBaseline(_Block):
    """The scores of giving every test patient the share of expansion in the training part."""

    brier: float | None = entry("Brier score")
    log_loss: float | None = entry("log loss")


@dataclass(kw_only=True)
class CrossValidationSummary(_Block):
    """The design of the repeated cross-validation."""

    patients: str = entry("labelled (training and test parts) or train (training part alone)")
    num_folds: Count = entry("folds of each repeat")
    num_repeats: Count = entry("repeats, each with another division into folds")
    num_fits: Count = entry("fits of the model: folds times repeats")
    num_patients: Count = entry("patients who are divided into folds")
    events: Count = entry("patients among them with expansion")
    num_diverged: Count = entry("fits whose training loss ended as NaN or infinite")
    auprc_by_chance: float = entry("mean AUPRC of the folds under random ranking")


@dataclass(kw_only=True)
class Calibration(_Block):
    """The agreement of predicted risks with observed outcomes."""

    intercept: Score = entry("calibration intercept (calibration in the large); ideal 0")
    slope: Score = entry("calibration slope; ideal 1, below 1 means too extreme risks")
    scaled_brier: Score = entry("scaled Brier score; 1 is perfect, below 0 is worse than the prevalence")
    mean_risk: float = entry("mean predicted risk")
    observed: float = entry("observed share of expansion")


@dataclass(kw_only=True)
class CalibrationByStage(_Block):
    """Calibration in cross-validation and in the test part."""

    cv: Calibration | None = entry("from cross-validation", default=None)
    test: Calibration | None = entry("from the test part", default=None)


@dataclass(kw_only=True)
class CalibratedRisk(_Block):
    """The logistic recalibration of the model's risks by its out-of-fold risks: ``intercept + slope logit p``."""

    intercept: float = entry("intercept, the mean over the repeats of the cross-validation")
    slope: float = entry("slope, the mean over the repeats; 0: the risks do not rank the patients")
    intercept_variance: float = entry("variance of the intercept, with the patients as the sample size")
    slope_variance: float = entry("variance of the slope")
    covariance: float = entry("covariance of both")
    num_patients: Count = entry("cross-validated patients")
    events: Count = entry("patients among them with expansion")
    num_repeats: Count = entry("repeats of the cross-validation")

    def interval(self, risk: float) -> tuple[float, float, float]:
        """Return the calibrated risk of a patient with a 95 % interval: value, low, high; see docs/evaluation.md."""
        z = logit(risk)
        variance = self.intercept_variance + 2 * z * self.covariance + z**2 * self.slope_variance
        center, reach = self.intercept + self.slope * z, _NORMAL_95 * math.sqrt(max(variance, 0.0))
        return expit(center), expit(center - reach), expit(center + reach)


@dataclass(kw_only=True)
class SubgroupScore(_Block):
    """The cross-validated AUROC within a clinical subgroup."""

    subgroup: str = entry("name: value")
    num_patients: Count = entry("patients in the subgroup")
    events: Count = entry("patients among them with expansion")
    auroc: Score = entry("AUROC over pairs of patients held out in the same fold")
    mean_risk: float | None = entry("mean predicted risk")
    observed: float | None = entry("observed share of expansion")
    note: str = entry("'too few' where there are fewer than 10 patients of either outcome; else empty")


@dataclass(kw_only=True)
class ComparedModel(_Block):
    """The model, or a baseline, on the same folds and the same test part."""

    model: str = entry("name of the model")
    is_model: bool = entry("true for the model of the run, false for a baseline")
    auroc: Score = entry("cross-validated AUROC", default_factory=Score)
    auprc: Score = entry("cross-validated AUPRC", default_factory=Score)
    brier: Score = entry("cross-validated Brier score", default_factory=Score)
    log_loss: Score = entry("cross-validated log loss", default_factory=Score)
    auroc_difference: Difference | None = entry("AUROC of the model minus this one's", default=None)
    brier_difference: Difference | None = entry("Brier score of the model minus this one's", default=None)
    test_auroc: Score = entry("AUROC in the test part", default_factory=Score)
    test_auroc_difference: Difference | None = entry("the difference in the test part, DeLong's test", default=None)
    own_metrics: dict[str, Score] = entry("cross-validated scores by metrics of metrics=", default_factory=dict)
    num_patients: Count | None = entry("patients compared, where not all could be (predict.py)", default=None)


@dataclass(kw_only=True)
class Claim(_Block):
    """The comparison of the model with the baselines, by measure (auroc, brier)."""

    auroc: str = entry("better than baseline, not better than baseline or worse than baseline")
    brier: str = entry("the same by Brier score")
    worse_than: dict[str, list[str]] = entry("baselines that the model is worse than after Holm's correction")
    worse_before_holm: dict[str, list[str]] = entry("baselines that the model is worse than before the correction")


@dataclass(kw_only=True)
class ThresholdScore(_Block):
    """A threshold of risk, fixed on the training part and scored on the test part."""

    rule: str = entry("fixed 0.5, youden or sensitivity 0.9")
    threshold: float = entry("patients with at least this risk are flagged")
    flagged: Count = entry("test patients flagged")
    num_patients: Count = entry("test patients")
    sensitivity: Score = entry("share of expansions that are flagged")
    specificity: Score = entry("share of other patients who are not flagged")
    ppv: Score = entry("positive predictive value")
    npv: Score = entry("negative predictive value")


@dataclass(kw_only=True)
class Uncertainty(_Block):
    """The Venn-Abers pairs of the test patients."""

    num_patients: Count = entry("test patients")
    num_abstained: Count = entry("test patients whose pair contains the threshold")
    median_width: float | None = entry("median width of the pairs")
    threshold: float = entry("Youden's threshold")
    calibrated_threshold: float = entry("the threshold on the scale of the pairs")
    coverage_note: str = entry("what the pairs mean and do not mean")


@dataclass(kw_only=True)
class SampleSize(_Block):
    """The sample size that Riley's criteria ask for (BMJ 2020;368:m441)."""

    num_patients: Count = entry("patients in the training part")
    events: Count = entry("patients among them with expansion")
    num_parameters: Count = entry("candidate parameters, without the intercept")
    events_per_parameter: float | None = entry("events for each parameter")
    required_patients: Count = entry("patients required by the strictest criterion")
    required_events: Count = entry("events among as many patients")
    expected_shrinkage: float = entry("expected shrinkage factor; at least 0.9 is wanted")
    criteria: dict[str, Count] = entry("patients required by each criterion")
    adequate: bool = entry("whether there are enough patients")


@dataclass(kw_only=True)
class ValidationSampleSize(_Block):
    """The sample size that an external validation needs (Riley et al., Statistics in Medicine 2021;40:4230)."""

    num_patients: Count = entry("scored patients")
    events: Count = entry("patients among them with expansion")
    required_patients: Count = entry("patients required by the strictest criterion")
    required_events: Count = entry("events among as many patients")
    criteria: dict[str, Count] = entry("patients required by each criterion")
    adequate: bool = entry("whether there are enough patients")


@dataclass(kw_only=True)
class LinearPredictor(_Block):
    """The logits of the risks of a model in patients of its training cohort, rounded."""

    part: str = entry("test: patients that the model has not learned from; train: those that it has learned from")
    num_patients: Count = entry("patients in this part")
    mean: float = entry("mean of the logits")
    sd: float = entry("standard deviation of the logits")


@dataclass(kw_only=True)
class CaseMix(_Block):
    """An input in the new patients beside the training cohort."""

    name: str = entry("name of the input")
    mean: float | None = entry("mean in the new patients", default=None)
    sd: float | None = entry("standard deviation in the new patients", default=None)
    missing: float = entry("share of the new patients without a value")
    difference: float | None = entry(
        "standardized difference: mean here minus mean in training, over the root of the mean variance", default=None
    )
    outside: float | None = entry(
        "share of the known values outside of the range of the training cohort (low to high in model.json)",
        default=None,
    )


@dataclass(kw_only=True)
class Validation(_Block):
    """The validation of a model in new patients."""

    answer: str = entry("the answer in words")
    ranking: str = entry("better, not_better or worse (than chance), or unknown")
    risks: str = entry(
        "too_high, too_low, too_extreme, too_moderate, no_clear_error or unknown; the error of the mean goes first"
    )
    advice: str = entry("holds, more_patients, update, do_not_use or unknown")
    num_patients: Count = entry("patients that case_mix describes: the scored ones, or without any all new ones")
    num_unlabelled: Count = entry("new patients without a known outcome")
    sample_size: ValidationSampleSize | None = entry("the sample size that a validation needs", default=None)
    linear_predictor: LinearPredictor | None = entry("the logits of the risks in the training cohort", default=None)
    linear_predictor_mean: float | None = entry("mean of the logits of the risks here", default=None)
    linear_predictor_sd: float | None = entry("standard deviation of the logits of the risks here", default=None)
    case_mix: list[CaseMix] = entry("the inputs here beside the training cohort", default_factory=list)


@dataclass(kw_only=True)
class Heterogeneity(_Block):
    """A score over centers."""

    num_centers: Count = entry("centers with a score")
    mean: float = entry("mean over centers")
    low: float = entry("lower end of the 95 % interval of the mean")
    high: float = entry("upper end of the 95 % interval of the mean")
    predicted_low: float = entry("lower end of the 95 % prediction interval for a new center")
    predicted_high: float = entry("upper end of the 95 % prediction interval for a new center")
    between_sd: float = entry("standard deviation between centers, on the scale on which it was pooled")
    i_squared: float = entry("share of the variance that is between centers")


@dataclass(kw_only=True)
class CenterScore(_Block):
    """The scores in one center, by a model of all other centers."""

    center: str = entry("name of the center")
    num_train: Count = entry("patients of the other centers, who trained")
    num_patients: Count = entry("patients of the center")
    events: Count = entry("patients among them with expansion")
    auroc: Score = entry("AUROC")
    auroc_difference: Difference = entry(
        "AUROC minus that of the best baseline, DeLong's test", default_factory=Difference
    )
    intercept: Score = entry("calibration intercept; ideal 0, above 0 the risks are too low")
    slope: Score = entry("calibration slope; ideal 1, below 1 means too extreme risks")
    brier: Score = entry("Brier score")
    mean_risk: float = entry("mean predicted risk")
    observed: float = entry("observed share of expansion")


@dataclass(kw_only=True)
class CenterValidation(_Block):
    """Internal-external cross-validation: each center is left out once and scored by a model of the others."""

    centers: list[CenterScore] = entry("scores in each center, the largest first")
    not_scored: dict[str, Count] = entry("patients of the centers that are too small to score; they only train")
    num_without_center: Count = entry("patients without a center; they take no part")
    best_baseline: str | None = entry("baseline with the highest mean AUROC over centers", default=None)
    auroc: Heterogeneity | None = entry("AUROC over centers, pooled on the scale of its logit", default=None)
    auroc_difference: Heterogeneity | None = entry("difference to the best baseline over centers", default=None)
    intercept: Heterogeneity | None = entry("calibration intercept over centers", default=None)
    slope: Heterogeneity | None = entry("calibration slope over centers", default=None)


@dataclass(kw_only=True)
class OptimismOf(_Block):
    """The optimism of one score."""

    apparent: float | None = entry("score on the patients that the model was fitted to")
    optimism: float | None = entry("mean optimism over bootstrap refits")
    corrected: float | None = entry("apparent score minus optimism (Harrell)")
    out_of_bag: float | None = entry("mean score on the patients left out of the bootstrap sample")
    corrected_632plus: float | None = entry("the .632+ estimate, for AUROC and Brier score", default=None)


@dataclass(kw_only=True)
class Optimism(_Block):
    """The optimism of the apparent scores, from bootstrap refits."""

    num_refits: Count = entry("bootstrap refits")
    auroc: OptimismOf = entry("of the AUROC")
    brier: OptimismOf = entry("of the Brier score")
    calibration_slope: OptimismOf = entry("of the calibration slope")
    note: str = entry("a warning where the model memorizes its patients; else empty")


@dataclass(kw_only=True)
class Instability(_Block):
    """The change of the patients' risks when the model is refitted."""

    num_refits: Count = entry("bootstrap refits")
    threshold: float = entry("threshold of risk for the classification")
    mean_absolute_difference: float = entry("mean absolute change of a patient's risk")
    median_interval_width: float = entry("median width of the interval with 95 % of the refits")
    classification_instability: float = entry("mean share of refits that change a patient's class")


@dataclass(kw_only=True)
class LabelScore(_Block):
    """The cross-validated AUROC under one definition of expansion."""

    label: str = entry("name of the definition")
    definition: str = entry("the definition in words")
    num_patients: Count = entry("patients with a known outcome under it")
    events: Count = entry("patients among them with expansion")
    is_run_label: bool = entry("whether it is the definition of the run")
    auroc: Score = entry("AUROC of the model", default_factory=Score)
    ridge2_auroc: Score = entry("AUROC of the two-variable ridge", default_factory=Score)
    note: str = entry("'too few' where it could not be scored; else empty", default="")


@dataclass(kw_only=True)
class Attributions(_Block):
    """The inputs that the ranking depends on."""

    method: str = entry("how importance is measured")
    rank_correlation: float | None = entry("mean rank correlation of the importances between two repeats")
    num_fits: Count = entry("fits that were measured")
    top: list[str] = entry("the ten most important inputs")
    clear: list[str] = entry("inputs whose interval lies above zero")


@dataclass(kw_only=True)
class EvaluationBlocks(_Block):
    """The results of the evaluation in result.json; null or empty where a stage was not run."""

    cross_validation: CrossValidationSummary | None = entry("design of the cross-validation", default=None)
    calibration: CalibrationByStage | None = entry("calibration", default=None)
    by_center: CenterValidation | None = entry("scores in each center (3 or more centers)", default=None)
    calibrated_risk: CalibratedRisk | None = entry("how to calibrate the risk of a patient", default=None)
    subgroups: list[SubgroupScore] = entry("scores by subgroup", default_factory=list)
    comparison: list[ComparedModel] = entry("the model beside the baselines, the model first", default_factory=list)
    claim: Claim | None = entry("how the model compares with the baselines", default=None)
    thresholds: list[ThresholdScore] = entry("thresholds of risk", default_factory=list)
    uncertainty: Uncertainty | None = entry("Venn-Abers pairs", default=None)
    sample_size: SampleSize | None = entry("sample size", default=None)
    optimism: Optimism | None = entry("bootstrap optimism (evaluation=full)", default=None)
    instability: Instability | None = entry("instability of the risks (evaluation=full)", default=None)
    label_sensitivity: list[LabelScore] = entry("scores under every label (evaluation=full)", default_factory=list)
    attributions: Attributions | None = entry("importance of the inputs (evaluation=full)", default=None)
    left_out_baselines: dict[str, str] = entry(
        "baselines that the cohort has no inputs for, with the reason", default_factory=dict
    )
    brain_missing_items: dict[str, int] = entry(_BRAIN_MISSING, default_factory=dict)


@dataclass(kw_only=True)
class UpdateStep(_Block):
    """An update of a model for another hospital, and the model that was updated."""

    method: str = entry("none, intercept, intercept_slope or refit")
    asked_for: str = entry("the key method: auto, or one of these")
    p_values: dict[str, float] = entry(
        "closed test: p value of each method that was tested against the largest one, in order"
    )
    left_out_methods: dict[str, str] = entry("methods that could not be chosen, with the reason")
    intercept: float = entry("a of the update: the logit of a risk becomes a + b logit; 0 with none and refit")
    slope: float = entry("b of the update; 1 with none, intercept and refit")
    num_patients: Count = entry("new patients with a known outcome, with whom the model was updated")
    events: Count = entry("patients among them with expansion")
    left_out_patients: dict[str, Count] = entry(
        "patients of earlier cohorts of the model who were recognized and left out, by their role there"
    )
    run_dir: str = entry("absolute path of the run before the update, or of its folder model/")
    model_digest: str | None = entry("digest of its model")
    config_hash: str | None = entry("its configuration hash; null with a folder model/, which does not hold it")
    data_hash: str | None = entry("hash of its scans; null with a folder model/")
    num_train: Count = entry("patients in its training part")
    events_train: Count = entry("patients among them with expansion")
    recognition_digest: str | None = entry(
        "SHA-256 of its recognition.csv, copied into ancestors/; null where its patients are not known"
    )
    pseudonym_key: str | None = entry("check value of its key of privacy.pseudonymize; null: no pseudonyms")


@dataclass(kw_only=True)
class UpdateValidation(_Block):
    """The validation of an update: cross-validation of all its steps, the choice of the method included."""

    num_folds: Count = entry("folds of each repeat")
    num_repeats: Count = entry("repeats, each with another division into folds")
    chosen: dict[str, Count] = entry("number of folds in which each method was chosen")
    comparison: list[ComparedModel] = entry(
        "the updated model, the original model in the same patients, and the same risk for every patient"
    )
    original_calibration: Calibration | None = entry("calibration of the original model in the same patients")
    ranking: str = entry("ranking compared with the original model: same, better, not better, worse or lost")
    risks: str = entry("risks compared with the original model, by Brier score: same, better, not better or worse")
    beside_prevalence: str = entry("Brier score against the same risk for every patient: better, not better, worse")
    conclusion: list[str] = entry("what the update does and does not do, in sentences")


@dataclass
class _Config:
    """The part of a run's configuration that a reader of result.json uses."""

    split: SplitConfig | None = None
    evaluation: EvaluationConfig | None = None
    model: ModelConfig | None = None


@dataclass
class _GrowthLabel:
    """The label of a run whose outcome is a definition of expansion."""

    label: GrowthLabelConfig | None = None


@dataclass
class _ColumnLabel:
    """The label of a run whose outcome is a column of the file."""

    label: ColumnLabelConfig


def _build_features_reader(features: object) -> type[Any]:
    """Return the dataclass that reads the inputs of a run."""
    section = get_features_section(features if isinstance(features, dict) else {})
    return make_dataclass("_Features", [("features", section | None, None)])


@dataclass(kw_only=True)
class RunResult(EvaluationBlocks):
    """result.json of a run of train.py."""

    schema_version: int = entry("version of this format", default=SCHEMA_VERSION)
    status: str = entry("running, done, failed, interrupted or pruned", default="running")
    conclusion: str = entry(
        "better_than_baselines, not_better_than_baselines, worse_than_baseline or not_evaluated", default=NOT_EVALUATED
    )
    verdict: str = entry(
        "NO_LEAKAGE_FOUND, LEAKAGE: <which> or INCOMPLETE: <why>", default=f"{INCOMPLETE}: running or killed"
    )
    caveats: list[str] = entry("codes of what a reader must know")
    config_hash: str = entry("hash of the configuration values that differ from the defaults, and of your own code")
    code: dict[str, str] = entry(
        "digests of the source files of your own code that the run uses, by module", default_factory=dict
    )
    data_hash: str = entry("hash of the scans of the cohort")
    seed: int = entry("seed of the run")
    tags: list[str] = entry("words to find the run by")
    versions: dict[str, str] = entry("versions of Python, hemexp and its main packages")
    seconds: float = entry("computing time of the run in seconds", default=0.0)
    num_train: Count = entry("patients in the training part")
    num_val: Count = entry("patients in the validation part")
    num_test: Count = entry("patients in the test part")
    events_train: Count = entry("training patients with expansion")
    events_test: Count = entry("test patients with expansion")
    metrics: dict[str, Score] = entry(
        f"test/… and cv/… with {', '.join(METRICS)} and the names in own_metrics", default_factory=dict
    )
    own_metrics: list[OwnMetric] = entry("metrics that metrics= added", default_factory=list)
    prevalence_baseline: PrevalenceBaseline | None = entry("scores of the training prevalence", default=None)
    majority: int = entry("the more frequent outcome in the training part, 1 or 0")
    label_definition: str = entry("the definition of the outcome in words")
    label_values: list[str] = entry(
        "with label.positive, the values that the column of the outcome holds in the training cohort, in lower case; 1 "
        "is any word for yes, 0 for no",
        default_factory=list,
    )
    input_group: str = entry("the group of inputs")
    num_features: Count = entry("number of inputs")
    inputs: list[str] = entry("names of the inputs, in order", default_factory=list)
    left_out_inputs: dict[str, str] = entry(
        "columns that are not used as inputs, with the reason", default_factory=dict
    )
    constant_inputs: list[str] = entry(
        "inputs with the same value in the whole training part; they have no effect on the predictions",
        default_factory=list,
    )
    leaky_inputs: dict[str, str] = entry(
        "inputs that are not known at the first scan, with what they agree with", default_factory=dict
    )
    flow: PatientFlow = entry("patients in each part")
    data: DataSource = entry("the cohort that was read")
    best_possible_auroc: float | None = entry("AUROC of the true risk in a synthetic population", default=None)
    epochs: Count | None = entry("epochs trained; 1 for a model without epochs", default=None)
    best_epoch: int | None = entry("epoch of the best weights", default=None)
    best_loss: float | None = entry("loss of the best weights", default=None)
    stopped_by: str | None = entry("stop_loss, patience, max_epochs, or fitted (no epochs)", default=None)
    config: dict[str, Any] = entry("the composed configuration")
    updated_from: list[UpdateStep] = entry(
        "of update.py: the updates that led to this model, the last one first", default_factory=list
    )
    update: UpdateValidation | None = entry("of update.py: how good the update is", default=None)
    model_digest: str | None = entry("digest of checkpoints/best.ckpt, by which another model is noticed", default=None)
    recognition_digest: str | None = entry("SHA-256 of recognition.csv, by which a change is noticed", default=None)
    first_weights_digest: str | None = entry(
        "digest of the model that model.init_from named; null without one", default=None
    )
    pseudonym_key: str | None = entry(
        "check value of the key of privacy.pseudonymize, by which another key is noticed; null: no pseudonyms",
        default=None,
    )
    digest: str | None = entry(_DIGEST, default=None, compare=False)

    @property
    def has_own_outcome(self) -> bool:
        """Whether the outcome is a column of the file, not a definition of expansion."""
        label = self.config.get("label")
        return isinstance(label, dict) and "column" in label


@dataclass(kw_only=True)
class PredictionResult(_Block):
    """result.json of predict.py."""

    schema_version: int = entry("version of this format", default=SCHEMA_VERSION)
    status: str = entry("done", default="done")
    conclusion: str = entry("the conclusion of the run that trained the model")
    verdict: str = entry(
        "the verdict of the run that trained the model, INCOMPLETE: <why>, or LEAKAGE: <which> of the new patients"
    )
    caveats: list[str] = entry("codes of what a reader must know")
    run_dir: str = entry("absolute path of the run that trained the model, or of its folder model/")
    config_hash: str | None = entry("its configuration hash; null with a folder model/, which does not hold it")
    data_hash: str = entry("hash of the scans that were predicted")
    data: DataSource = entry("the cohort that was read")
    seconds: float = entry("computing time in seconds")
    num_patients: Count = entry("patients predicted")
    num_train: Count = entry("patients among them that the model was trained on: never scored")
    num_test: Count = entry(
        "patients scored in test/…: new to the run or without a known outcome in it; with the caveat own_test_part all "
        "are its test part"
    )
    events_test: Count = entry("patients scored in test/… with expansion")
    num_own_test: Count = entry("patients of the run's own test part with a known outcome")
    events_own_test: Count = entry("patients among them with expansion", default=0)
    recognized: dict[str, Count] = entry(
        "patients of the run, by what recognized them: id and serial, serial, measurements, or id (runs of earlier "
        "versions)",
        default_factory=dict,
    )
    metrics: dict[str, Score] = entry(
        "test/… scores of the patients scored, with intervals; beside new patients, own_test/… are the scores of the "
        "run's own test part"
    )
    own_metrics: list[OwnMetric] = entry("metrics of the run that are computed here too", default_factory=list)
    prevalence_baseline: PrevalenceBaseline = entry("scores of the run's training prevalence")
    comparison: list[ComparedModel] = entry("the model beside the BRAIN score; only test_auroc fields")
    calibration: CalibrationByStage = entry("calibration in the patients scored, as test")
    missing_inputs: dict[str, Count] = entry(
        "inputs of the model that have no value, with the number of patients; they count as gaps", default_factory=dict
    )
    unknown_levels: dict[str, Count] = entry(
        "texts of a column that the training part did not have, as column=text, with the number of patients; "
        "they count as none of the known texts",
        default_factory=dict,
    )
    brain_missing_items: dict[str, int] = entry(_BRAIN_MISSING, default_factory=dict)
    validation: Validation | None = entry("what the new patients say about the model", default=None)
    digest: str | None = entry(_DIGEST, default=None, compare=False)


Result = TypeVar("Result", RunResult, PredictionResult)


def describe_brain(missing: Mapping[str, int]) -> str:
    """Return in words which items of the BRAIN score are missing, and what that costs."""
    items = " and ".join(f"{name.replace('_', ' ')} ({points} points)" for name, points in missing.items())
    return (
        f"the BRAIN score is partial: the cohort has no column for {items}; these of its 24 points count as 0, so the "
        "risk of a patient who has one of them is too low"
    )


def describe_leak(verdict: str) -> str:
    """Return in words what leaked; empty for another verdict."""
    return LEAKS.get(verdict.removeprefix(f"{LEAKAGE}: "), "")


def describe_metrics(metrics: Sequence[Metric]) -> list[OwnMetric]:
    """Return what result.json says about the metrics that a user added."""
    names = ("name", "text", "higher_is_better", "source")
    return [OwnMetric(**{name: getattr(each, name) for name in names}) for each in metrics if each.source]


def list_metrics(result: RunResult | PredictionResult) -> list[Metric | OwnMetric]:
    """Return the standard metrics and those that a result describes."""
    return [*STANDARD, *result.own_metrics]


def get_label(metric: Metric | OwnMetric) -> str:
    """Return the name of a metric, with its direction where lower is better."""
    return metric.text if metric.higher_is_better is not False else f"{metric.text} (lower is better)"


def get_wording(result: RunResult | PredictionResult) -> Callable[[str], str]:
    """Return the function that changes a text about expansion into one about the outcome of this result.

    It changes nothing where the outcome is a definition of expansion, or a column of that name.
    """
    definition = result.label_definition if isinstance(result, RunResult) else ""
    if "own_outcome" not in result.caveats or "expansion" in definition:
        return str

    def change(text: str) -> str:
        for word, other in _WORDS:
            text = text.replace(word, other)
        return text

    return change


def write_result(result: RunResult | PredictionResult, path: Path) -> None:
    """Write a result with its digest; numbers must be finite or None."""
    write_with_digest(asdict(result), path)


def write_with_digest(content: Mapping[str, Any], path: Path) -> None:
    """Write a JSON file with a digest of its content, for `check_digest`."""
    write_json(path, {**content, "digest": _compute_digest(content)})


def _compute_digest(content: Mapping[str, Any]) -> str:
    """Return a digest of a JSON object, whatever the order of its keys. The key ``digest`` does not count."""
    counted = {name: value for name, value in content.items() if name != "digest"}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def read_result(path: Path, kind: type[Result]) -> Result:
    """Read a result and check it.

    Args:
        path: of a result.json.
        kind: `RunResult` or `PredictionResult`.

    Raises:
        UserError: the file cannot be read, was written by another version, or a field is missing or wrong.
    """
    return check_result(load_json(path), path, kind)


def load_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file that holds an object.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text, parse_constant=_parse_number, parse_float=_parse_number)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: does not hold a JSON object; rule: a file as hemexp wrote it")
    return content


def check_result(content: Mapping[str, Any], path: Path, kind: type[Result]) -> Result:
    """Return the content of a result.json as its dataclass; see `read_result`."""
    version = content.get("schema_version")
    if version is None:
        raise UserError(
            f"{path}: has no schema_version: it was written by hemexp 0.1, or was edited. "
            "This version cannot read runs of 0.1; train the run again in a new directory"
        )
    if version != SCHEMA_VERSION or isinstance(version, bool | float):
        raise OtherVersion(
            f"{path}: schema_version is {version!r}; this version of hemexp reads {SCHEMA_VERSION}; "
            "use the version that wrote the file"
        )
    result: Result = parse_file(content, path, kind)
    if isinstance(result, RunResult):
        parse_file(result.config, path, _Config, "config.")
        parse_file(result.config, path, _build_features_reader(result.config.get("features")), "config.")
        parse_file(result.config, path, _ColumnLabel if result.has_own_outcome else _GrowthLabel, "config.")
    for name in ("status", "conclusion", "verdict", "seconds", "metrics"):  # have a default until the run has ended
        if name not in content:
            raise UserError(f"{path}: {name}: is missing; rule: a file as hemexp wrote it")
    _check_value(path, "status", result.status, STATUSES)
    _check_value(path, "conclusion", result.conclusion, tuple(CONCLUSIONS))
    _check_value(path, "verdict", result.verdict.partition(":")[0], (NO_LEAKAGE, LEAKAGE, INCOMPLETE))
    if isinstance(result, RunResult):
        _check_value(path, "majority", result.majority, (0, 1))
        _check_value(path, "num_train", result.num_train, range(1, 10**9))
        _check_value(path, "events_train", result.events_train, range(result.num_train + 1))
        _check_value(path, "events_test", result.events_test, range(result.num_test + 1))
    check_digest(content, path)
    return result


def check_digest(content: Mapping[str, Any], path: Path) -> None:
    """Refuse a file that was changed after hemexp wrote it. Earlier versions wrote no digests at all."""
    is_earlier = not any(content.get(name) for name in ("digest", "model_digest", "recognition_digest"))
    if not is_earlier and content.get("digest") != _compute_digest(content):
        raise UserError(
            f"{path}: was changed after hemexp wrote it: its content does not fit its digest; rule: a file as hemexp "
            "wrote it; restore it from a copy, or train again in a new directory"
        )


def parse_file(content: Mapping[str, Any], path: Path, kind: Any, prefix: str = "") -> Any:
    """Return the content of a file as a dataclass; `prefix` is the place of the content in the file.

    Raises:
        UserError: a field is missing, wrong or not known.
    """
    from pydantic import ValidationError

    try:
        return _build_reader(kind).validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    except UserError as error:  # of a section of the configuration
        problem, more = str(error), ""
    raise UserError(f"{path}: {prefix}{problem}{more}; rule: a file as hemexp wrote it")


@cache
def _build_reader(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _check_value(path: Path, name: str, value: Any, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        rule = (
            f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else f"one of {', '.join(map(str, allowed))}"
        )
        raise UserError(f"{path}: {name}: is {value!r}; rule: {rule}")


def _parse_number(text: str) -> float:
    """Return a decimal number; NaN and infinity are refused."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number
