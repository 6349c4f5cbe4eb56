"""The risk of one patient in words."""

import math

from hemexp.cohort.columns import LOGARITHMS, known_columns
from hemexp.cohort.find_column import MOST_NAMED, list_columns
from hemexp.cohort.one_patient import get_source
from hemexp.config import get_model_title
from hemexp.files.model_folder import ModelCard
from hemexp.files.one_patient import InputEffect, PatientResult
from hemexp.files.result import (
    BETTER,
    CAVEATS,
    CONCLUSIONS,
    INCOMPLETE,
    LEAKAGE,
    NOT_BETTER,
    WORSE,
    describe_leak,
)
from hemexp.formatting import plural

_MOST_EFFECTS = 5
_LEAST_LOGIT, _LEAST_RISK = 0.05, 0.005  # smaller effects are not named


def describe_patient(result: PatientResult, card: ModelCard) -> list[str]:
    """Return the lines that are printed: leakage first, then the risk, what it rests on, and the caveats."""
    lines = []
    if card.verdict.startswith(LEAKAGE):
        lines.append(f"Do not use this risk. {card.verdict}: {describe_leak(card.verdict)}")
    lines += [_describe_risk(result, card), _describe_training(card), describe_conclusion(card)]
    lines += _describe_window(result, card) + _describe_own_risk(result, card)
    if card.verdict.startswith(INCOMPLETE):
        lines.append(f"{card.verdict}.")
    lines.append("Research only.")
    lines += _describe_missing(result, card) + _describe_outside(result, card) + _describe_effects(result.effects)
    if result.not_used:
        lines.append(f"Given, but not used by this model: {list_columns(result.not_used, MOST_NAMED)}.")
    return [*lines, *(f"Caveat {code}: {CAVEATS.get(code, '')}." for code in result.caveats)]


def format_risk(risk: float) -> str:
    """Return a risk in percent: ``21 %``, ``below 1 %`` or ``above 99 %``."""
    if risk < 0.005:
        return "below 1 %"
    return "above 99 %" if risk > 0.995 else f"{100 * risk:.0f} %"


def _describe_risk(result: PatientResult, card: ModelCard) -> str:
    window = card.label.get("window_hours")
    outcome = f"expansion within {window:g} h" if window else f"the outcome ({card.label_definition})"
    risk, calibrated = result.risk, result.calibrated
    if calibrated is None or calibrated.value is None or calibrated.low is None or calibrated.high is None:
        reason = "the run was not cross-validated, or by an earlier version of hemexp"
        if card.update_method:
            reason = "the update is of an earlier version of hemexp, or its patients do not allow one"
        known = f"no calibrated risk is known: {reason}"
    else:
        low = format_risk(calibrated.low).removesuffix(" %")
        risk, known = calibrated.value, f"calibrated: {low} to {format_risk(calibrated.high)}"
    return f"Risk of {outcome}: {format_risk(risk)} ({known})."


def _describe_training(card: ModelCard) -> str:
    verb = "expanded" if card.label.get("window_hours") else "had the outcome"
    end = f"{_name_cohort(card)}{',' * bool(card.update_method)} {card.events_train} {verb}."
    return f"Of {plural(card.num_train, 'patient')} in the {end}"


def _name_cohort(card: ModelCard) -> str:
    """Return the cohort that the numbers and ranges of a model are of."""
    if card.update_method is None:
        return "training cohort"
    return f"cohort it was {'checked in' if card.update_method == 'none' else 'updated with'}"


def describe_conclusion(card: ModelCard) -> str:
    """Return whether the model is any good, in a sentence with the baseline that it is not better than."""
    others = card.worse_than if card.conclusion == WORSE else card.not_better_than
    if card.conclusion == BETTER:
        return "This model was better than every baseline that it was compared with."
    if card.update_method and not others:
        return "This model was not compared with the baselines in that cohort."
    if card.conclusion not in {WORSE, NOT_BETTER} or not others:
        return f"This model: {CONCLUSIONS[card.conclusion]}."
    title = get_model_title(others[0])
    title = f"the {title}" if title.startswith("BRAIN") else title
    return f"This model is {'worse' if card.conclusion == WORSE else 'not better'} than {title}."


def _describe_window(result: PatientResult, card: ModelCard) -> list[str]:
    """Return a line where the time in which expansion counts was over at the first scan."""
    window, hours = card.label.get("window_hours"), result.values.get("onset_to_first_scan")
    if card.label.get("clock") != "onset" or window is None or not isinstance(hours, float) or not hours >= window:
        return []
    return [f"The {window:g} h from symptom onset were over at this scan ({hours:g} h): the risk means nothing here."]


def _describe_own_risk(result: PatientResult, card: ModelCard) -> list[str]:
    """Return a line on the model's own risk where it is another one, and why."""
    known = card.calibrated_risk
    if known is None or result.calibrated is None or result.calibrated.value is None:
        return []
    if known.slope == 0:
        return ["The model does not rank the patients: each gets the same calibrated risk."]
    reach, low, high = 2 * math.sqrt(max(known.slope_variance, 0.0)), result.calibrated.low, result.calibrated.high
    if known.slope + reach < 1 or known.slope - reach > 1:
        side = "extreme" if known.slope < 1 else "close together"
        reason = f"its risks are too {side} (calibration slope {known.slope:.2f}, ideal 1)"
    else:
        if low is None or high is None:
            return []
        if low <= result.risk <= high:
            is_same = format_risk(result.risk) == format_risk(result.calibrated.value)
            if card.update_method in {None, "refit"} or is_same:
                return []
            again = f"the calibrated risk estimates average and spread again in the {_name_cohort(card)}"
            return [f"The model's own risk is {format_risk(result.risk)}; {again}."]
        reason = f"in cross-validation its risks were too {'low' if result.risk < low else 'high'} on average"
    return [f"The model's own risk is {format_risk(result.risk)}; {reason}."]


def _describe_missing(result: PatientResult, card: ModelCard) -> list[str]:
    if not result.inputs_missing:
        return []
    number = len({*result.inputs_missing})
    return [
        f"Without a value: {list_columns(map(_name, result.inputs_missing), MOST_NAMED)} "
        f"({plural(number, 'input')}). The model fills a gap by its own rule, mostly with the mean of the last "
        "three training patients, which may be far from this patient."
    ]


def _describe_outside(result: PatientResult, card: ModelCard) -> list[str]:
    """Return a line with the values outside of the training range, each with the range."""
    parts = []
    for column in result.outside_range[:MOST_NAMED]:
        item = next((each for each in card.inputs if get_source(each.name, each.kind) == column), None)
        value = result.values.get(column)
        text = f"{_name(column)} {_show(column, value)}"
        if item is not None and item.kind != "level" and item.low is not None and item.high is not None:
            low, high = (_show(column, _undo_logarithm(item.name, limit)) for limit in (item.low, item.high))
            who = "its" if card.update_method else "training"
            text += f" ({who} patients: mostly {low} to {high})"
        parts.append(text)
    more = len(result.outside_range) - MOST_NAMED
    tail = f", and {more} more" if more > 0 else ""
    where = f"range of the {_name_cohort(card)}" if card.update_method else "training range"
    return [f"Outside of the {where}: {', '.join(parts)}{tail}."] if parts else []


def _undo_logarithm(name: str, value: float) -> float:
    """Return the value of the column of an input."""
    return math.exp(value) * LOGARITHMS[name][1] if name in LOGARITHMS else value


def _describe_effects(effects: list[InputEffect]) -> list[str]:
    """Return a line with the inputs that moved the risk, strongest first."""
    parts = []
    for effect in effects[:_MOST_EFFECTS]:
        if abs(effect.change) < (_LEAST_LOGIT if effect.scale == "logit" else _LEAST_RISK):
            break
        if effect.scale == "logit":
            verb = "multiplies" if effect.change > 0 else "divides"
            size = f"the odds by {math.exp(min(abs(effect.change), 50.0)):.1f}"
        else:
            verb = "raises" if effect.change > 0 else "lowers"
            size = f"the risk by {plural(round(100 * abs(effect.change)), 'percentage point')}"
        parts.append(f"{_name(effect.input)} ({_show(effect.input, effect.value)}) {verb} {size}")
    if not parts:
        return ["No single value moved the risk much."] if effects else []
    return [f"Against a typical patient, in the model's own risk: {'; '.join(parts)}."]


def _name(column: str) -> str:
    """Return the name of a column in words; of territories and radiomics the column, which are counted."""
    known = known_columns().get(column)
    if known is None or (known.role == "imaging" and known.kind != "volume"):
        return column
    is_name = known.meaning[:2].isupper() or (known.meaning.istitle() and " " in known.meaning)  # Glasgow Coma Scale
    return known.meaning if is_name else known.meaning[:1].lower() + known.meaning[1:]


def _show(column: str, value: float | str | None) -> str:
    """Return a value with its unit."""
    known = known_columns().get(column)
    if not isinstance(value, float):
        return "" if value is None else value
    if known is not None and known.kind == "volume":
        return f"{value / 1000:.3g} mL"
    if known is not None and known.kind == "sex":
        return {1.0: "male", 2.0: "female"}.get(value, f"{value:.3g}")
    if known is not None and known.kind == "yes_no":
        return {1.0: "yes", 0.0: "no"}.get(value, f"{value:.3g}")
    unit = f" {known.unit.replace('hours', 'h')}" if known is not None and known.unit else ""
    return f"{value:.4g}{unit}"
