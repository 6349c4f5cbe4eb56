"""All kinds of damage, one or two at a time."""

from collections.abc import Callable
from dataclasses import dataclass

from damage.choices import Choices
from damage.cohorts import COHORTS, get_cohort
from damage.folder import Change, Folder
from damage.of_cells import COLUMN, ONE_CELL, ROWS, Damage, NotPossible
from damage.of_files import BYTES, FILES
from damage.of_patients import PATIENTS
from damage.of_structure import STRUCTURE
from hypothesis import reject
from hypothesis import strategies as st

LEVELS: dict[str, dict[str, Damage]] = {  # in this order: what comes later may move what was changed before
    "patients": PATIENTS,
    "one cell": ONE_CELL,
    "columns": COLUMN,
    "rows": ROWS,
    "structure": STRUCTURE,
    "files": FILES,
    "bytes": BYTES,
}
DAMAGES = {name: damage for level in LEVELS.values() for name, damage in level.items()}
LEVEL_OF = {name: level for level, damages in LEVELS.items() for name in damages}
_ORDER = list(DAMAGES)


@dataclass
class Case:
    """A damaged cohort."""

    cohort: str
    damages: list[str]
    folder: Folder
    changes: list[Change]

    def __repr__(self) -> str:
        return f"{self.cohort}: {' and '.join(self.damages)}; {self.changes}"


def make_case(cohort: str, names: list[str], below: Callable[[int], int]) -> Case:
    """Return a cohort with some kinds of damage.

    Raises:
        NotPossible: the cohort does not have what one of them changes.
    """
    folder, changes = get_cohort(cohort).copy(), []
    names = sorted(names, key=_ORDER.index)
    for name in names:
        changes += DAMAGES[name](folder, Choices(below))
    return Case(cohort, names, folder, changes)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a cohort with one or two kinds of damage of different levels."""
    cohort = draw(st.sampled_from([*["published"] * 5, *COHORTS]))
    levels = draw(st.lists(st.sampled_from(list(LEVELS)), min_size=1, max_size=2, unique=True))
    names = [draw(st.sampled_from(list(LEVELS[level]))) for level in levels]

    def below(number: int) -> int:
        if number < 1:
            raise NotPossible
        return draw(st.integers(0, number - 1))

    try:
        return make_case(cohort, names, below)
    except NotPossible:
        reject()
