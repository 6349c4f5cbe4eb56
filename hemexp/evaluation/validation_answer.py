"""The answer of a validation in words: one sentence on the ranking and the risks, and one on what to do."""

from hemexp.evaluation.validation import get_own_auroc, has_leak
from hemexp.files.model_folder import ModelCard
from hemexp.files.result import PredictionResult, Validation, describe_leak
from hemexp.formatting import count, num, percent, plural, program

_RANKS = {
    "better": "the model ranks better than chance",
    "not_better": "the model is not shown to rank better than chance",
    "worse": "the model ranks worse than chance",
}
_SHAPES = {"too_extreme": "too extreme", "too_moderate": "too close together"}
_FAR = 0.5  # standardized difference of an input that counts as far from the training cohort


def write_answer(result: PredictionResult, trained: ModelCard, validation: Validation, is_unsure: bool = False) -> str:
    """Return the answer in words.

    Args:
        result: of the prediction, with its scores.
        trained: the model.
        validation: with its codes.
        is_unsure: whether patients of the training part may be among the scored ones.
    """
    simulated = "simulated " if "synthetic_cohort" in result.caveats else ""
    if not result.num_test:
        return _answer_without_outcome(result, validation, simulated)
    who = plural(result.num_test, f"new {simulated}patient")
    if "own_test_part" in result.caveats:
        who = f"{plural(result.num_test, f'{simulated}patient')} of the run's own test part"
    elif is_unsure:
        who = f"{plural(result.num_test, f'{simulated}patient')}, perhaps also of the training part,"
    if has_leak(result.verdict):
        return f"The scores of {who} say nothing: {describe_leak(result.verdict)}."
    events = f"{count(result.events_test)} with expansion"
    if result.events_test in {0, result.num_test}:
        return f"Only one outcome occurs in {who} ({events}), so they do not show whether the model works."
    ranks = f"{_say_ranking(result, trained, validation)}; {_say_risks(result, validation)}"
    return f"In {who} ({events}) {ranks}. {_say_advice(result, validation)}"


def _answer_without_outcome(result: PredictionResult, validation: Validation, simulated: str) -> str:
    if not validation.num_patients:
        return "No patient is new to the model, so nothing is said about other patients."
    who = plural(validation.num_patients, f"new {simulated}patient")
    answer = f"No outcome of {who} is known, so nothing shows whether the model works in them."
    far = [row.name for row in validation.case_mix if row.difference is not None and abs(row.difference) > _FAR]
    if far:
        which = plural(len(far), "input")
        answer += (
            f" They differ from the training cohort: {which} of {len(validation.case_mix)} by more than {_FAR} SD."
        )
    if validation.sample_size:
        answer += (
            f" A validation needs the outcomes of about {count(validation.sample_size.required_patients)} patients."
        )
    return answer


def _say_ranking(result: PredictionResult, trained: ModelCard, validation: Validation) -> str:
    auroc = result.metrics["test/auroc"]
    if validation.ranking == "unknown":
        return "the ranking cannot be judged"
    text = f"{_RANKS[validation.ranking]} (AUROC {num(auroc.value)}, {num(auroc.low)} to {num(auroc.high)})"
    parts = [f"less well than {better}" for better in list_better(result, trained)]
    return f"{text}, {' and '.join(parts)}" if parts else text


def list_better(result: PredictionResult, trained: ModelCard) -> list[str]:
    """Return in words what ranks clearly better than the model in these patients, with its AUROC."""
    auroc, own = result.metrics["test/auroc"], get_own_auroc(trained)
    better = []
    if "own_test_part" not in result.caveats and own and (own.value or 0) > (auroc.high or 1):
        better.append(f"in its own cohort ({num(own.value)})")
    for row in result.comparison:
        difference = row.test_auroc_difference
        if difference and difference.high is not None and difference.high < 0:
            better.append(f"the {row.model.upper()} score ({num(row.test_auroc.value)})")
    return better


def _say_risks(result: PredictionResult, validation: Validation) -> str:
    found = result.calibration.test
    if found is None or validation.risks == "unknown":
        return "its risks cannot be judged"
    means = f"mean {percent(found.mean_risk)}, observed {percent(found.observed)}"
    slope = found.slope
    shape = ""
    if slope.high is not None and slope.low is not None:
        name = "too_extreme" if slope.high < 1 else "too_moderate" if slope.low > 1 else ""
        shape = f"{_SHAPES[name]} (slope {num(slope.value)})" if name else ""
    if validation.risks in {"too_high", "too_low"}:
        gap = round(100 * abs(found.mean_risk - found.observed))
        points = plural(gap, "percentage point") if gap else "less than 1 percentage point"
        text = f"its risks are {validation.risks.replace('_', ' ')} by {points} ({means})"
        return f"{text} and {shape}" if shape else text
    return f"its risks are {shape}" if shape else f"its risks show no clear error ({means})"


def _say_advice(result: PredictionResult, validation: Validation) -> str:
    if "own_test_part" in result.caveats:
        return "This is not an external validation."
    size = validation.sample_size
    few = f"{plural(result.num_test, 'patient')} are too few to be sure"
    wanted = f"{few}: about {count(size.required_patients)} are needed" if size and not size.adequate else ""
    texts = {
        "do_not_use": "Do not use it here. Recalibration does not improve a ranking.",
        "update": f"Do not use it here without updating its risks: {program('update')}.",
        "more_patients": f"It may work here, but {wanted or few}.",
        "holds": "In these patients it works, as far as scores can show.",
        "unknown": "Do not use it here before more outcomes are known.",
    }
    return texts[validation.advice]
