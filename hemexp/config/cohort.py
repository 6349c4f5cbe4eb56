"""The cohort, the outcome, the inputs and the split."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar, Optional

from hemexp.config.section import REQUIRED, Section, key
from hemexp.errors import UserError

TIDY_FILES = ("scans.csv", "scans.parquet")
WORKBOOKS = {"clinical": "表1", "imaging": "表2", "radiomics": "表3", "times": "附表1"}


@dataclass
class DataConfig(Section):
    """The source of the cohort."""

    PREFIX: ClassVar[str] = "data"
    kind: str = key(REQUIRED, "set by data=KIND", choices=("auto", "synthetic", "workbook", "tidy"))
    root: Optional[str] = key(None, "folder with the four workbooks, or with scans.csv or scans.parquet")


@dataclass
class SyntheticDataConfig(DataConfig):
    """The synthetic cohort. With `kind` auto it is used where no `root` is given."""

    num_patients: int = key(100, "synthetic patients with a known outcome", at_least=1, at_most=10**6)
    num_unlabelled: int = key(60, "synthetic patients with a first scan only", at_least=0, at_most=10**6)
    prevalence: float = key(0.23, "expected share of synthetic patients with expansion", at_least=0.001, at_most=0.999)
    signal: float = key(1.0, "strength of the inputs' effect: 0 none, 1 realistic, 4 strong", at_least=0, at_most=20)
    seed: int = key(2024, "seed of the synthetic cohort; the key seed is the seed of the run", at_least=0)
    planted_errors: bool = key(False, "plant the errors of the published workbooks in the synthetic ones")

    def __post_init__(self) -> None:
        super().__post_init__()
        enough = not self.planted_errors or self.num_patients >= 5
        self.require(enough, "num_patients", "must be at least 5 with data.planted_errors=true")


@dataclass
class LabelConfig(Section):
    """A definition of hematoma expansion: growth of the volume since the first scan, within a time window."""

    PREFIX: ClassVar[str] = "label"
    name: str = key(REQUIRED, "name of the definition")
    absolute_ml: Optional[float] = key(6.0, "growth that counts as expansion; null: not used", above=0, unit="mL")
    relative: Optional[float] = key(
        0.33, "growth that counts, as a fraction of the first volume; null: not used", above=0, at_most=10
    )
    window_hours: float = key(48.0, "time window in which a later scan counts", above=0, unit="hours")
    clock: str = key("onset", "start of the window; baseline: the first scan", choices=("onset", "baseline"))
    inclusive: bool = key(True, "true: growth equal to a threshold counts (>=); false: growth must exceed it (>)")
    no_scan_in_window: str = key(
        "negative",
        "later scans, but none in the window: no expansion, or left out",
        choices=("negative", "exclude"),
    )
    intraventricular: bool = key(False, "new intraventricular blood counts too; true is refused: no table holds it")

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = "a label needs label.absolute_ml (mL), label.relative (a fraction) or both"
        self.require(self.absolute_ml is not None or self.relative is not None, "absolute_ml", rule)
        rule = "needs new intraventricular blood on a later scan, which the tables do not hold"
        self.require(not self.intraventricular, "intraventricular", rule)

    def describe(self) -> str:
        """Return the definition in words."""
        sign = "at least" if self.inclusive else "more than"
        growth = [f"{self.absolute_ml:g} mL"] if self.absolute_ml is not None else []
        growth += [f"{100 * self.relative:g} %"] if self.relative is not None else []
        start = "onset" if self.clock == "onset" else "the first scan"
        text = f"growth by {sign} {' or '.join(growth)} within {self.window_hours:g} h of {start}"
        excluded = "; patients scanned again, but not within it, are left out"
        return text + excluded if self.no_scan_in_window == "exclude" else text


@dataclass
class FeaturesConfig(Section):
    """The inputs of the model."""

    PREFIX: ClassVar[str] = "features"
    name: str = key(REQUIRED, "name of the group of inputs; it is set by features=NAME")
    clip: float = key(
        10.0, "largest distance of an input from its training mean; larger ones are cut", above=0, unit="SD"
    )


@dataclass
class SplitConfig(Section):
    """The division of the labeled patients into a training and a test part."""

    PREFIX: ClassVar[str] = "split"
    name: str = key(REQUIRED, "name of the split; it is set by split=NAME")
    val_fraction: float = key(
        0.0, "random share of the training part for validation, which then chooses the best epoch", at_least=0, below=1
    )

    def describe(self) -> str:
        """Return the split in words."""
        return self.name


@dataclass
class FractionSplitConfig(SplitConfig):
    """One division into training and test part."""

    NAMES: ClassVar[tuple[str, ...]] = ("paper", "stratified")
    train_fraction: float = key(0.6, "share of the patients in the training part", above=0, below=1)


@dataclass
class KFoldSplitConfig(SplitConfig):
    """Stratified folds. One of them is the test part."""

    NAMES: ClassVar[tuple[str, ...]] = ("kfold",)
    num_folds: int = key(5, "number of folds", at_least=2)
    fold: int = key(0, "number of the fold that is the test part, from 0 to num_folds - 1", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.fold < self.num_folds, "fold", f"must be 0 to {self.num_folds - 1} (split.num_folds - 1)")

    def describe(self) -> str:
        """Return the split in words."""
        return f"fold {self.fold} of {self.num_folds}"


def resolve_data(data: DataConfig) -> DataConfig:
    """Return the data config with its kind found and its root made absolute.

    Raises:
        UserError: the folder is missing, it holds both kinds of files or neither, or data=synthetic has a root.
    """
    if data.root is None:
        if data.kind in {"workbook", "tidy"}:
            raise UserError(f"data.root is not set: data={data.kind} reads a folder, give data.root=DIR")
        return replace(data, kind="synthetic")
    if data.kind == "synthetic":
        raise UserError(f"data.root={data.root}: data=synthetic does not read a folder; remove one of the two")
    if isinstance(data, SyntheticDataConfig):
        default = SyntheticDataConfig(data.kind, data.root)
        for name in (item.name for item in fields(data) if getattr(data, item.name) != getattr(default, item.name)):
            raise UserError(
                f"data.{name}={getattr(data, name)}: is a key of the synthetic cohort, but the cohort is read from "
                f"data.root={data.root}; remove one of the two"
            )
    root, place = Path(data.root), f"data.root={data.root}"
    if not root.is_dir():
        problem = "is a file; give the folder that holds it" if root.is_file() else "there is no such folder"
        raise UserError(f"{place}: {problem}")
    tidy = [name for name in TIDY_FILES if (root / name).is_file()]
    workbooks = sorted(path.name for prefix in WORKBOOKS.values() for path in root.glob(f"{prefix}*.xls*"))
    kind = data.kind
    if kind == "auto":
        if tidy and workbooks:
            raise UserError(f"{place}: holds {tidy[0]} and {workbooks[0]}; choose data=tidy or data=workbook")
        if not tidy and not workbooks:
            books = ", ".join(f"{prefix}*.xlsx" for prefix in WORKBOOKS.values())
            raise UserError(f"{place}: holds neither the four workbooks ({books}) nor {' or '.join(TIDY_FILES)}")
        kind = "tidy" if tidy else "workbook"
    return DataConfig(kind=kind, root=str(root.resolve()))
