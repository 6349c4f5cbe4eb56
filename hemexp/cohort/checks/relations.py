"""Pairs of columns that say the same thing twice: volumes and radiomics, and radiomics among themselves.

Each relation follows from the definition of the features (pyradiomics.readthedocs.io/en/latest/features.html) or holds
in every scan of the published cohort.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import CodeType

from hemexp.cohort import columns as c
from hemexp.types import Array


@dataclass(frozen=True)
class Relation:
    """Two expressions of columns of one tissue, and what holds between them.

    Attributes:
        left: a column, or an expression of columns.
        sign: ``=``, ``<=``, or ``~`` for values whose ranks agree.
        right: as `left`.
        least: the smallest rank correlation that a cohort may have, whatever its sign; None: not compared.
        bounds: of left / right, for ``~``; the volumes have their own.
        is_proportional: left / right is one number where all scans have voxels of one size.
    """

    left: str
    sign: str
    right: str
    least: float | None = 0.7
    bounds: tuple[float, float] | None = None
    is_proportional: bool = False

    @property
    def names(self) -> list[str]:
        """The columns in it."""
        return list(dict.fromkeys(re.findall(r"[A-Z]\w*", f"{self.left} {self.right}")))

    @property
    def text(self) -> str:
        """The relation in words."""
        if self.sign != "~":
            return f"{self.left} {self.sign} {self.right}".replace(str(_PI), "pi")
        bounds = PUBLISHED_RATIO if self.left == VOLUME else self.bounds
        between = f" and is {bounds[0]:g} to {bounds[1]:g} times as large" if bounds else ""
        return f"{self.left} rises and falls with {self.right}{between}"

    @property
    def is_bounded(self) -> bool:
        """Whether single scans can break it by definition."""
        return self.sign != "~" or self.bounds is not None or self.left == VOLUME

    def compute(self, columns: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return both sides."""
        left, right = (_compile(side) for side in (self.left, self.right))
        return eval(left, {}, dict(columns)), eval(right, {}, dict(columns))


@cache
def _compile(expression: str) -> CodeType:
    return compile(expression, "<relation>", "eval")


_PI = 3.14159265
PUBLISHED_RATIO = (1.2, 12.0)  # of HM_volume and VoxelVolume: 1.5 to 9.4 in every published scan
VOLUME = "Volume"  # HM_volume or ED_volume, in the relations
RELATIONS = [
    Relation(VOLUME, "~", "VoxelVolume"),
    Relation("MeshVolume", "~", "VoxelVolume", bounds=(0.25, 1.25)),
    Relation("SurfaceArea", "=", "SurfaceVolumeRatio * MeshVolume"),
    Relation("Sphericity", "=", f"(36 * {_PI} * MeshVolume ** 2) ** (1 / 3) / SurfaceArea"),
    Relation("Elongation", "=", "MinorAxisLength / MajorAxisLength"),
    Relation("Flatness", "=", "LeastAxisLength / MajorAxisLength"),
    Relation("MinorAxisLength", "<=", "MajorAxisLength", least=None),
    Relation("Maximum3DDiameter", "~", "MajorAxisLength", least=0.5, bounds=(0.4, 5)),
    Relation("Maximum2DDiameterSlice", "~", "Maximum3DDiameter", least=0.5, bounds=(0, 1.35)),
    Relation("Maximum2DDiameterColumn", "~", "Maximum3DDiameter", least=0.5, bounds=(0, 1.35)),
    Relation("Maximum2DDiameterRow", "~", "Maximum3DDiameter", least=0.5, bounds=(0, 1.35)),
    Relation("Range", "=", "Maximum - Minimum"),
    Relation("RootMeanSquared ** 2", "=", "Mean ** 2 + Variance"),
    Relation("Energy", "~", "VoxelVolume * RootMeanSquared ** 2", is_proportional=True),
    Relation("Minimum", "<=", "P10", least=None),
    Relation("P10", "<=", "Median"),
    Relation("Median", "<=", "P90"),
    Relation("P90", "<=", "Maximum", least=None),
    Relation("Median", "~", "Mean"),
    Relation("P10", "~", "Mean - Variance ** 0.5"),
    Relation("P90", "~", "Mean + Variance ** 0.5"),
    Relation("InterquartileRange", "<=", "P90 - P10"),
    Relation("RobustMeanAbsoluteDeviation", "~", "InterquartileRange", bounds=(0.2, 0.8)),
    Relation("MeanAbsoluteDeviation ** 2", "<=", "Variance"),
    Relation("2 ** -Entropy", "<=", "Uniformity"),
    Relation("Skewness ** 2 + 1", "<=", "Kurtosis", least=None),
    Relation("Kurtosis", "~", "MeanAbsoluteDeviation / Variance ** 0.5", least=0.4),
    Relation("Skewness", "~", "(Mean - Median) / Variance ** 0.5", least=0.4),
]
TISSUES = {"Hemo": "HM_volume", "ED": "ED_volume"}


@cache
def short_name(name: str) -> str:
    """Return the name of a column in the relations: ``P10`` for ``ED_NCCT_original_firstorder_10Percentile``."""
    return re.sub(r"^(\d+)Percentile$", r"P\1", name.rpartition("_")[2])


@cache
def full_name(short: str, tissue: str) -> str:
    """Return the column of a tissue that a name in the relations stands for."""
    if short == VOLUME:
        return TISSUES[tissue]
    return next(name for name in c.RADIOMICS[tissue] if short_name(name) == short)
