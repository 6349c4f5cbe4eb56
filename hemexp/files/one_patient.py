"""patient.json: the risk of one patient, with what it rests on."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from hemexp.files.result import SCHEMA_VERSION, Count, Score, entry, write_with_digest

PATIENT = "patient.json"


@dataclass(kw_only=True)
class InputEffect:
    """The effect of one input on the risk of a patient."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    input: str = entry("the column")
    value: float | str = entry("its value, in the unit of the column; 'no value' for a gap, which the model fills")
    change: float = entry("change of the logit, or of the risk, against a typical value")
    scale: str = entry("logit (of a formula) or risk")


@dataclass(kw_only=True)
class PatientResult:
    """patient.json of predict.py."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    schema_version: int = entry("version of this format", default=SCHEMA_VERSION)
    conclusion: str = entry("the conclusion of the run that trained the model")
    verdict: str = entry("the verdict of the run that trained the model")
    caveats: list[str] = entry("codes of what a reader must know")
    run_dir: str = entry("absolute path of the run that trained the model, or of its folder model/")
    model: str = entry("name of the model in words")
    label_definition: str = entry("the definition of the outcome in words")
    values: dict[str, float | str | None] = entry("values by column, in our units; null: no value")
    risk: float = entry("risk of the model")
    calibrated: Score | None = entry("calibrated risk with its 95 % interval; null: not known")
    num_train: Count = entry("patients in the training part")
    events_train: Count = entry("training patients with the outcome")
    inputs_missing: list[str] = entry("columns of the inputs without a value")
    outside_range: list[str] = entry("columns whose value is outside of the training range")
    not_used: list[str] = entry("columns that were given and that the model does not use")
    effects: list[InputEffect] = entry("how the inputs moved the risk, strongest first")
    text: list[str] = entry("what was printed")
    digest: str | None = entry("digest of all other fields", default=None, compare=False)


def write_patient(result: PatientResult, directory: Path) -> None:
    """Write patient.json with its digest."""
    write_with_digest(asdict(result), directory / PATIENT)
