"""The schema of ``sweep.json``, by which an edited or damaged file is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hemexp.errors import UserError
from hemexp.files.result import OwnMetric


@dataclass
class _Score:
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(kw_only=True)
class _Baseline(_Score):
    model: str


@dataclass
class _Winner:
    num_jobs: int
    score: _Score
    job: int = 0
    folder: str = ""
    conclusion: str | None = None
    baseline: _Baseline | None = None
    reevaluation: _Score | None = None
    fold_seed: int | None = None


@dataclass
class _Fold:
    fold: int | None
    winner: int | None
    chosen_by: float | None
    test: float | None
    overrides: str


@dataclass
class _Nested(_Score):
    score: str | None = None
    p: float | None = None
    folds: list[_Fold] | None = None
    winner: int | None = None
    test: dict[str, _Score] | None = None
    reports: int = 1


@dataclass
class _Sweep:
    status: str = "unknown"
    command: list[str] = field(default_factory=list)
    ranked_by: str | None = None
    lower_is_better: bool = False
    search: dict[str, Any] | None = None
    where: dict[str, Any] | None = None
    swept: dict[str, list[str | float | bool | None]] | None = None
    own_metrics: list[OwnMetric] = field(default_factory=list)
    winner: _Winner | None = None
    nested: _Nested | None = None
    versions: dict[str, str | None] | None = None
    counts: dict[str, int] | None = None
    skipped: int = 0
    seconds: float | None = None


def check_sweep(facts: Mapping[str, Any], path: Path) -> None:
    """Refuse the content of a sweep.json that train.py did not write.

    Raises:
        UserError: names the file, the place in it and the rule.
    """
    try:
        TypeAdapter(_Sweep).validate_python(dict(facts))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {place} is not as train.py writes it: {first['msg']}") from None
