"""Which patients, which outcome, which inputs, and who trains."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar, Optional

from hemexp.config.rules import rule
from hemexp.errors import UserError

TIDY_FILES = ("scans.csv", "scans.parquet")
WORKBOOKS = {"clinical": "表1", "imaging": "表2", "radiomics": "表3", "times": "附表1"}


@dataclass
class DataConfig:
    """Where the cohort comes from: `kind` is auto, synthetic, workbook or tidy; `root` a folder."""

    kind: str
    root: Optional[str] = None

    def __post_init__(self) -> None:
        rule(self.kind in {"auto", "synthetic", "workbook", "tidy"}, "data.kind", self.kind, "unknown kind")


@dataclass
class SyntheticDataConfig(DataConfig):
    """The simulated cohort; with `kind` auto it is what is used where no `root` is given."""

    num_patients: int = 100
    num_unlabelled: int = 60
    prevalence: float = 0.23
    signal: float = 1.0
    seed: int = 2024
    traps: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        rule(1 <= self.num_patients <= 10**6, "data.num_patients", self.num_patients, "must be 1 to a million")
        rule(0 <= self.num_unlabelled <= 10**6, "data.num_unlabelled", self.num_unlabelled, "must be 0 to a million")
        rule(0.001 <= self.prevalence <= 0.999, "data.prevalence", self.prevalence, "must lie between 0.001 and 0.999")
        rule(0 <= self.signal <= 20, "data.signal", self.signal, "must be 0 (no signal) to 20")
        rule(self.seed >= 0, "data.seed", self.seed, "must be 0 or more")
        rule(not self.traps or self.num_patients >= 5, "data.num_patients", self.num_patients, "traps need at least 5")


@dataclass
class LabelConfig:
    """What counts as hematoma expansion: growth over the first scan, within a window, on a clock."""

    name: str
    absolute_ml: Optional[float]
    relative: Optional[float]
    window_hours: float
    clock: str
    inclusive: bool = True
    no_scan_in_window: str = "negative"
    intraventricular: bool = False

    def __post_init__(self) -> None:
        rule(
            self.absolute_ml is not None or self.relative is not None,
            "label.absolute_ml",
            None,
            "a label needs label.absolute_ml (mL), label.relative (a fraction) or both",
        )
        for key in ("absolute_ml", "relative"):
            value = getattr(self, key)
            rule(value is None or value > 0, f"label.{key}", value, "must be above 0")
        sane = self.relative is None or self.relative <= 10
        rule(sane, "label.relative", self.relative, "is a fraction, 0.33 for 33 %: at most 10")
        rule(self.window_hours > 0, "label.window_hours", self.window_hours, "must be above 0")
        rule(self.clock in {"onset", "baseline"}, "label.clock", self.clock, "must be onset or baseline")
        rule(
            self.no_scan_in_window in {"negative", "exclude"},
            "label.no_scan_in_window",
            self.no_scan_in_window,
            "must be negative or exclude",
        )
        rule(
            not self.intraventricular,
            "label.intraventricular",
            self.intraventricular,
            "needs new intraventricular blood on a later scan, which the tables do not hold",
        )

    def describe(self) -> str:
        """Return the definition in words."""
        sign = "at least" if self.inclusive else "more than"
        growth = [f"{self.absolute_ml:g} mL"] if self.absolute_ml is not None else []
        growth += [f"{100 * self.relative:g} %"] if self.relative is not None else []
        start = "onset" if self.clock == "onset" else "the first scan"
        words = f"growth by {sign} {' or '.join(growth)} within {self.window_hours:g} h of {start}"
        left_out = (
            "; patients scanned again, but not within it, are left out" if self.no_scan_in_window == "exclude" else ""
        )
        return words + left_out


@dataclass
class FeaturesConfig:
    """Which inputs, and how far from the training mean an input may lie (in standard deviations)."""

    name: str
    clip: float = 10.0

    def __post_init__(self) -> None:
        rule(self.clip > 0, "features.clip", self.clip, "must be above 0 standard deviations")


@dataclass
class SplitConfig:
    """A division of the labelled patients; `val_fraction` is cut out of the training part, never the test part."""

    NAMES: ClassVar[tuple[str, ...]]
    name: str
    val_fraction: float = 0.0

    def __post_init__(self) -> None:
        rule(self.name in self.NAMES, "split.name", self.name, "is set by split=NAME, not by itself")
        rule(0 <= self.val_fraction < 1, "split.val_fraction", self.val_fraction, "must lie in [0, 1)")

    def describe(self) -> str:
        """Return the division in words."""
        return self.name


@dataclass
class FractionSplitConfig(SplitConfig):
    """One division, `train_fraction` of the patients for training."""

    NAMES: ClassVar[tuple[str, ...]] = ("paper", "stratified")
    train_fraction: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        rule(0 < self.train_fraction < 1, "split.train_fraction", self.train_fraction, "must lie between 0 and 1")


@dataclass
class KFoldSplitConfig(SplitConfig):
    """Stratified folds; fold number `fold` is the test part."""

    NAMES: ClassVar[tuple[str, ...]] = ("kfold",)
    num_folds: int = 5
    fold: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        rule(self.num_folds >= 2, "split.num_folds", self.num_folds, "must be at least 2")
        rule(
            0 <= self.fold < self.num_folds, "split.fold", self.fold, f"must be 0 to {self.num_folds - 1} (num_folds-1)"
        )

    def describe(self) -> str:
        """Return the division in words."""
        return f"fold {self.fold} of {self.num_folds}"


def resolve_data(data: DataConfig) -> DataConfig:
    """Return the data config with its kind found out and its root made absolute.

    Raises:
        UserError: the folder is missing, holds both kinds of files or neither, or a root goes with data=synthetic.
    """
    if data.root is None:
        if data.kind in {"workbook", "tidy"}:
            raise UserError(f"data.root is not set: data={data.kind} reads a folder, give data.root=DIR")
        return replace(data, kind="synthetic")
    if data.kind == "synthetic":
        raise UserError(f"data.root={data.root}: data=synthetic reads no folder; leave one of the two out")
    if isinstance(data, SyntheticDataConfig):
        default = SyntheticDataConfig(data.kind, data.root)
        for key in (field.name for field in fields(data) if getattr(data, field.name) != getattr(default, field.name)):
            raise UserError(
                f"data.{key}={getattr(data, key)}: shapes the synthetic cohort, but data.root={data.root} is read"
            )
    root = Path(data.root)
    if not root.is_dir():
        what = "is a file; give the folder that holds it" if root.is_file() else "there is no such folder"
        raise UserError(f"data.root={data.root}: {what}")
    tidy = [name for name in TIDY_FILES if (root / name).is_file()]
    workbooks = sorted(path.name for prefix in WORKBOOKS.values() for path in root.glob(f"{prefix}*.xls*"))
    kind = data.kind
    if kind == "auto":
        if tidy and workbooks:
            raise UserError(
                f"data.root={data.root}: holds {tidy[0]} and {workbooks[0]}; say data=tidy or data=workbook"
            )
        if not tidy and not workbooks:
            books = ", ".join(f"{prefix}*.xlsx" for prefix in WORKBOOKS.values())
            raise UserError(
                f"data.root={data.root}: holds neither the four workbooks ({books}) nor {' or '.join(TIDY_FILES)}"
            )
        kind = "tidy" if tidy else "workbook"
    return DataConfig(kind=kind, root=str(root.resolve()))
