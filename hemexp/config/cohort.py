"""The cohort, the outcome, the inputs and the split."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Optional

from hemexp.config.section import REQUIRED, Section, key
from hemexp.errors import UserError

TIDY_FILES = ("scans.csv", "scans.parquet")
TABLE_TYPES = (".xlsx", ".xlsm", ".xls", ".ods", ".csv", ".tsv", ".txt", ".parquet")
WORKBOOKS = {"clinical": "表1", "imaging": "表2", "radiomics": "表3", "times": "附表1"}


@dataclass
class DataConfig(Section):
    """The source of the cohort."""

    PREFIX: ClassVar[str] = "data"
    kind: str = key(REQUIRED, "set by data=KIND", choices=("auto", "synthetic", "workbook", "tidy", "mapped"))
    root: Optional[str] = key(None, "a table of the hospital (Excel, CSV, Parquet), or a folder with its tables")
    mapping: Optional[str] = key(None, "mapping.yaml: which column of the files holds what", is_file=True)


@dataclass
class SyntheticDataConfig(DataConfig):
    """The synthetic cohort. With `kind` auto it is used where no `root` is given."""

    num_patients: int = key(100, "synthetic patients with a known outcome", at_least=1, at_most=10**6)
    num_unlabelled: int = key(60, "synthetic patients with a first scan only", at_least=0, at_most=10**6)
    prevalence: float = key(0.23, "expected share of synthetic patients with expansion", at_least=0.001, at_most=0.999)
    signal: float = key(1.0, "strength of the inputs' effect: 0 none, 1 realistic, 4 strong", at_least=0, at_most=20)
    seed: int = key(
        2024, "seed of the synthetic cohort; the key seed is the seed of the run", at_least=0, at_most=2**32 - 1
    )
    num_centers: int = key(
        1, "synthetic hospitals; with several, volume and prevalence differ between them", at_least=1, at_most=1000
    )
    planted_errors: bool = key(False, "plant the errors of the published workbooks in the synthetic ones")

    def __post_init__(self) -> None:
        super().__post_init__()
        enough = not self.planted_errors or self.num_patients >= 5
        self.require(enough, "num_patients", "must be at least 5 with data.planted_errors=true")


@dataclass
class LabelConfig(Section):
    """The outcome: what the model learns to predict."""

    PREFIX: ClassVar[str] = "label"
    name: str = key(REQUIRED, "name of the definition")

    def describe(self) -> str:
        """Return the definition in words."""
        return self.name


@dataclass
class GrowthLabelConfig(LabelConfig):
    """A definition of hematoma expansion: growth of the volume since the first scan, within a time window."""

    TAKES_OWN_NAMES: ClassVar[bool] = True
    absolute_ml: Optional[float] = key(
        6.0, "growth that counts as expansion; null: not used", at_least=0.001, at_most=1000, unit="mL"
    )
    relative: Optional[float] = key(
        0.33, "growth that counts, as a fraction of the first volume; null: not used", at_least=0.001, at_most=10
    )
    window_hours: float = key(48.0, "time window in which a later scan counts", above=0, at_most=8760, unit="hours")
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
class ColumnLabelConfig(LabelConfig):
    """An outcome that a column of the file holds. Without `positive` and `at_least` the column holds 1/0 or yes/no."""

    NAMES: ClassVar[tuple[str, ...]] = ("column",)
    column: str = key("", "column of the outcome: a header of the file, or one of our names")
    positive: Optional[str] = key(
        None, "value of the column that means yes; every other value means no, a word such as unknown is a gap"
    )
    at_least: Optional[float] = key(None, "smallest number that means yes, such as 3 for the mRS")

    def __post_init__(self) -> None:
        rule = "must not be empty; give the column of the outcome, label.column=NAME"
        self.require(bool(self.column.strip()), "column", rule)
        super().__post_init__()
        one = self.positive is None or self.at_least is None
        self.require(one, "at_least", f"label.positive={self.positive} is set too; give one of the two")

    def describe(self) -> str:
        """Return the definition in words."""
        if self.at_least is not None:
            return f"{self.column} is at least {self.at_least:g}, as the file states it"
        return f"{self.column} is {self.positive or 'yes'}, as the file states it"


def build_label(values: Mapping[str, Any]) -> LabelConfig:
    """Return the label of a checkpoint or of a file, from its values by key."""
    return ColumnLabelConfig(**values) if "column" in values else GrowthLabelConfig(**values)


@dataclass
class FeaturesConfig(Section):
    """The inputs of the model."""

    PREFIX: ClassVar[str] = "features"
    NAMES: ClassVar[tuple[str, ...]] = ("paper", "admission", "minimal", "all")
    name: str = key(REQUIRED, "name of the group of inputs; it is set by features=NAME")
    clip: float = key(
        10.0, "largest distance of an input from its training mean; larger ones are cut",
        at_least=0.1, at_most=10**6, unit="SD",
    )  # fmt: skip


@dataclass
class AvailableFeaturesConfig(FeaturesConfig):
    """Every column that is known at the first scan and has enough values."""

    NAMES: ClassVar[tuple[str, ...]] = ("available",)
    min_share: float = key(
        0.8, "share of the training patients in which a column must have a value", at_least=0, at_most=1
    )


@dataclass
class ColumnsFeaturesConfig(FeaturesConfig):
    """A list of columns."""

    NAMES: ClassVar[tuple[str, ...]] = ("columns",)
    TAKES_OWN_NAMES: ClassVar[bool] = True
    columns: list[str] = key([], "columns to use, by the headers of the file or our names, such as [age,HM_volume,gcs]")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(bool(self.columns), "columns", "must not be empty; give a list, such as [age,HM_volume,gcs]")
        others = (*FeaturesConfig.NAMES, *AvailableFeaturesConfig.NAMES)
        self.require(self.name not in others, "name", "is the name of another group of inputs; choose another name")


def get_features_section(values: Mapping[str, Any]) -> type[FeaturesConfig]:
    """Return the section of a group of inputs in a file, from its values by key."""
    if "columns" in values:
        return ColumnsFeaturesConfig
    return AvailableFeaturesConfig if "min_share" in values else FeaturesConfig


@dataclass
class SplitConfig(Section):
    """The division of the labeled patients into a training and a test part."""

    PREFIX: ClassVar[str] = "split"
    name: str = key(REQUIRED, "name of the split; it is set by split=NAME")
    val_fraction: float = key(
        0.0, "random share of the training part for validation, which then chooses the best epoch", at_least=0, below=1
    )
    fit_on: str = key(
        "train", "patients to learn from; all: the test part, too, which is a leak", choices=("train", "all")
    )

    def describe(self) -> str:
        """Return the split in words."""
        return self.name


@dataclass
class FractionSplitConfig(SplitConfig):
    """One division into training and test part."""

    NAMES: ClassVar[tuple[str, ...]] = ("paper", "stratified", "temporal")
    train_fraction: float = key(0.6, "share of the patients in the training part", at_least=0.01, at_most=0.99)


@dataclass
class KFoldSplitConfig(SplitConfig):
    """Stratified folds. One of them is the test part."""

    NAMES: ClassVar[tuple[str, ...]] = ("kfold",)
    num_folds: int = key(5, "number of folds", at_least=2, at_most=10_000)
    fold: int = key(0, "number of the fold that is the test part, from 0 to num_folds - 1", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.fold < self.num_folds, "fold", f"must be 0 to {self.num_folds - 1} (split.num_folds - 1)")

    def describe(self) -> str:
        """Return the split in words."""
        return f"fold {self.fold} of {self.num_folds}"


@dataclass
class CenterSplitConfig(SplitConfig):
    """One center is the test part; all others train."""

    NAMES: ClassVar[tuple[str, ...]] = ("center",)
    center: Optional[str] = key(None, "name of the center that is the test part; null: the message lists them")

    def describe(self) -> str:
        """Return the split in words."""
        return f"center {self.center} as the test part"


def resolve_data(data: DataConfig) -> DataConfig:
    """Return the data config with its kind found and its root made absolute.

    Raises:
        UserError: the path is missing, its kind is not recognized, or data=synthetic has a root.
    """
    if data.root is None:
        if data.kind not in {"auto", "synthetic"} or data.mapping is not None:
            raise UserError("data.root is not set: give data.root=PATH, a file or a folder")
        return replace(data, kind="synthetic")
    if data.kind == "synthetic":
        raise UserError(f"data.root={data.root}: data=synthetic does not read a folder; remove one of the two")
    if isinstance(data, SyntheticDataConfig):
        default = SyntheticDataConfig(data.kind, data.root, data.mapping)
        for name in (item.name for item in fields(data) if getattr(data, item.name) != getattr(default, item.name)):
            raise UserError(
                f"data.{name}={getattr(data, name)}: is a key of the synthetic cohort, but the cohort is read from "
                f"data.root={data.root}; remove one of the two"
            )
    root, place = Path(data.root), f"data.root={data.root}"
    if not root.exists():
        raise UserError(f"{place}: there is no such file or folder")
    kind, found = data.kind, _find_kinds(root)
    if kind == "auto":
        if {"tidy", "workbook"} <= set(found):
            raise UserError(
                f"{place}: holds {found['tidy']} and {found['workbook']}; choose data=tidy or data=workbook"
            )
        if not found:
            raise UserError(f"{place}: holds no table; rule: a file of the type {', '.join(TABLE_TYPES)}")
        kind = next(iter(found))
    if data.mapping is not None and not Path(data.mapping).is_file():
        raise UserError(f"data.mapping={data.mapping}: there is no such file; prepare.py writes it")
    mapping = str(Path(data.mapping).resolve()) if data.mapping else None
    return DataConfig(kind=kind, root=str(root.resolve()), mapping=mapping)


def _find_kinds(root: Path) -> dict[str, str]:
    """Return the kinds of cohort that a file or a folder may hold, most special first, each with a file of it."""
    paths = [root] if root.is_file() else sorted(root.iterdir())
    tables = [
        path.name for path in paths if path.suffix.lower() in TABLE_TYPES and not path.name.startswith(("~$", "."))
    ]
    kinds = {
        "tidy": [name for name in tables if name in TIDY_FILES],
        "workbook": [name for name in tables if name.startswith(tuple(WORKBOOKS.values())) and ".xls" in name.lower()],
        "mapped": tables,
    }
    return {kind: names[0] for kind, names in kinds.items() if names}
