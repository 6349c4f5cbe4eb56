"""Column names of our tables, what each column is, and the headers of the published workbooks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

SIMULATED = "simulated"  # the last column of the tables of simulated patients
SIMULATED_COMMENT = "simulated by hemexp: no real patient"  # in the properties of their workbooks
MOST_LEVELS = 10  # of an own column of texts
EXAMPLE_IDS = ("EXAMPLE", "示例")  # patient ids of the example rows of the template; they are not read

HISTORY_HEADERS = {
    "高血压病史": "hypertension",
    "卒中病史": "stroke_history",
    "糖尿病史": "diabetes",
    "房颤史": "atrial_fibrillation",
    "冠心病史": "coronary_disease",
    "吸烟史": "smoking",
    "饮酒史": "alcohol",
}
TREATMENT_HEADERS = {
    "脑室引流": "ventricular_drainage",
    "止血治疗": "hemostasis",
    "降颅压治疗": "icp_lowering",
    "降压治疗": "bp_lowering",
    "镇静、镇痛治疗": "sedation",
    "止吐护胃": "antiemetic",
    "营养神经": "neurotrophic",
}
NUMBER_HEADERS = {
    "年龄": "age",
    "脑出血前mRS评分": "mrs_before",
    **HISTORY_HEADERS,
    **TREATMENT_HEADERS,
    "发病到首次影像检查时间间隔": "onset_to_first_scan",
    "90天mRS": "mrs_90d",
}
SEX_HEADER, PRESSURE_HEADER, PART_HEADER, SERIAL_HEADER = "性别", "血压", "数据集划分", "入院首次影像检查流水号"
SEX_CODES = {"男": 1.0, "女": 2.0, "1": 1.0, "2": 2.0, "male": 1.0, "female": 2.0, "m": 1.0, "f": 2.0}
TRAINING_MARK, TEST_MARK = "训练", "测试"
TABLE_1 = [  # the headers after the patient id, in the published order
    "90天mRS", PART_HEADER, SERIAL_HEADER, "年龄", SEX_HEADER, "脑出血前mRS评分", *HISTORY_HEADERS,
    "发病到首次影像检查时间间隔", PRESSURE_HEADER, *TREATMENT_HEADERS,
]  # fmt: skip

HISTORY = list(HISTORY_HEADERS.values())
TREATMENTS = list(TREATMENT_HEADERS.values())
CLINICAL = ["age", "sex", "mrs_before", *HISTORY, "systolic", "diastolic", *TREATMENTS]

_TERRITORIES = ["ACA", "MCA", "PCA", "Pons_Medulla", "Cerebellum"]
RATIOS = {
    tissue: [f"{tissue}_{territory}_{side}_Ratio" for side in "RL" for territory in _TERRITORIES]
    for tissue in ("HM", "ED")
}
VOLUMES = ["HM_volume", "ED_volume"]  # 10^-3 mL
LOCATION = ["HM_volume", *RATIOS["HM"], "ED_volume", *RATIOS["ED"]]

_SHAPE_FEATURES = """
    Elongation Flatness LeastAxisLength MajorAxisLength Maximum2DDiameterColumn Maximum2DDiameterRow
    Maximum2DDiameterSlice Maximum3DDiameter MeshVolume MinorAxisLength Sphericity SurfaceArea SurfaceVolumeRatio
    VoxelVolume
"""
_FIRST_ORDER_FEATURES = """
    10Percentile 90Percentile Energy Entropy InterquartileRange Kurtosis Maximum MeanAbsoluteDeviation Mean Median
    Minimum Range RobustMeanAbsoluteDeviation RootMeanSquared Skewness Uniformity Variance
"""
SHAPE = [f"original_shape_{feature}" for feature in _SHAPE_FEATURES.split()]
FIRST_ORDER = [f"NCCT_original_firstorder_{feature}" for feature in _FIRST_ORDER_FEATURES.split()]
_AT_LEAST_0 = (0.0, math.inf)
RADIOMICS_LIMITS = {  # by definition: pyradiomics.readthedocs.io/en/latest/features.html; shapes are at least 0
    **dict.fromkeys(("Elongation", "Flatness", "Sphericity", "Uniformity"), (0.0, 1.0)),
    **dict.fromkeys(("Energy", "Entropy", "InterquartileRange", "MeanAbsoluteDeviation", "Range"), _AT_LEAST_0),
    **dict.fromkeys(("RobustMeanAbsoluteDeviation", "RootMeanSquared", "Variance"), _AT_LEAST_0),
}
RADIOMICS = {tissue: [f"{tissue}_{feature}" for feature in SHAPE + FIRST_ORDER] for tissue in ("Hemo", "ED")}

SCAN_KEYS = ["patient_id", "scan_serial", "scan_index", "scan_time", "hours_from_onset", "hours_from_first_scan"]
PATIENT_COLUMNS = [*CLINICAL, "onset_to_first_scan", "mrs_90d", "dataset_part"]
IMAGING = [*LOCATION, *RADIOMICS["Hemo"], *RADIOMICS["ED"]]
SCAN_COLUMNS = [*SCAN_KEYS, *PATIENT_COLUMNS, *IMAGING]
TEXT_COLUMNS = ["patient_id", "scan_serial", "dataset_part", "center"]


LOGARITHMS = {  # inputs: natural logarithm of a column in a unit, not below a value smaller than any measured one
    "log_volume": ("HM_volume", 1000, 0.01),
    "log_hours": ("onset_to_first_scan", 1, 0.1),
}
_MOST_VALUES = 7  # a message names up to so many legal values one by one


@dataclass(frozen=True)
class LegalValues:
    """The legal values of a column of numbers, in its own unit; `words` says them."""

    words: str
    low: float
    high: float
    is_whole: bool = False

    def allows(self, value: float) -> bool:
        """Return whether a value is legal."""
        return self.low <= value <= self.high and not (self.is_whole and value % 1)


@dataclass(frozen=True)
class Column:
    """A column that hemexp knows; ``columns.yaml`` describes the attributes."""

    name: str
    meaning: str
    chinese: str
    kind: str
    of: str
    role: str
    unit: str = ""
    units: tuple[tuple[str, float], ...] = ()
    known: str = ""
    range: tuple[float, float] | None = None
    usual: tuple[float, float] | None = None
    example: Any = None
    synonyms: tuple[str, ...] = ()

    @property
    def is_input(self) -> bool:
        """Whether a model may use it: it is known at the first scan, and is not a treatment."""
        return self.known == "first_scan"

    @property
    def legal_values(self) -> LegalValues | None:
        """The legal values; None for texts and for numbers of any size."""
        low, high = self.range or ((0.0, 1.0) if self.kind == "yes_no" else (-math.inf, math.inf))
        if self.kind in {"yes_no", "sex", "whole"} and math.isfinite(high):
            values = range(int(low), int(high) + 1)
            is_short = len(values) <= _MOST_VALUES
            words = " or ".join(map(str, values)) if is_short else f"a whole number from {low:g} to {high:g}"
            return LegalValues(words, low, high, is_whole=True)
        if self.kind not in {"number", "volume", "hours"} or not math.isfinite(low):
            return None
        words = f"{low:g} to {high:g}{f' {self.unit}' if self.unit else ''}"
        if not math.isfinite(high):
            words = f"at least {low:g}"
        elif self.kind == "volume":
            words = f"a volume from {low / 1000:g} to {high / 1000:g} mL"
        return LegalValues(words, low, high)


@cache
def known_columns() -> dict[str, Column]:
    """Return every known column by name, in the order of the data dictionary."""
    content = yaml.load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    found = {name: _build_column(name, values) for name, values in content.items()}
    position = list(found).index("ED_volume") + 1
    names = list(found)
    for name in [*names[:position], *_imaging(), *names[position:]]:
        found[name] = found.pop(name) if name in found else _imaging()[name]
    return found


def _build_column(name: str, values: dict[str, Any]) -> Column:
    pairs: dict[str, Any] = {key: tuple(values.pop(key)) for key in ("range", "usual") if key in values}
    units, synonyms = tuple(values.pop("units", {}).items()), tuple(map(str, values.pop("synonyms", ())))
    return Column(name, units=units, synonyms=synonyms, **pairs, **values)


def list_known(table: Iterable[object]) -> list[Column]:
    """Return the known columns that a table has, in the order of the data dictionary."""
    present = set(table)
    return [column for name, column in known_columns().items() if name in present]


@cache
def _imaging() -> dict[str, Column]:
    """Return the columns of territories and radiomics; their headers are their names."""
    columns = {}

    def add(name: str, meaning: str, chinese: str, limits: tuple[float, float] | None = None) -> None:
        columns[name] = Column(
            name, meaning, chinese, "number", of="scan", role="imaging", known="first_scan", range=limits
        )

    for tissue, (english, chinese) in {"HM": ("hematoma", "血肿"), "ED": ("edema", "水肿")}.items():
        for name in RATIOS[tissue]:
            place = name.removeprefix(f"{tissue}_").removesuffix("_Ratio").replace("_", " ")
            add(name, f"Share of the {english} in {place}", f"{chinese}{place}比例", (0, 1))
    for tissue, (english, chinese) in {"Hemo": ("hematoma", "血肿"), "ED": ("edema", "水肿")}.items():
        for name in RADIOMICS[tissue]:
            feature = name.rpartition("_")[2]
            limits = RADIOMICS_LIMITS.get(feature, (0, math.inf) if name.removeprefix(f"{tissue}_") in SHAPE else None)
            add(name, f"PyRadiomics {feature} of the {english}", f"{chinese}{feature}", limits)
    return columns
