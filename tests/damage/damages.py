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
from damage.verdict import Verdict, judge
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
    parts: list[tuple[list[int], list[Change]]]  # of each kind of damage: the numbers that were drawn, and its changes

    def __repr__(self) -> str:
        return f"{self.cohort}: {' and '.join(self.damages)}; {self.changes}"[:2000]


def make_case(cohort: str, names: list[str], below: Callable[[int], int]) -> Case:
    """Return a cohort with some kinds of damage.

    Raises:
        NotPossible: the cohort does not have what one of them changes.
    """
    folder, parts = get_cohort(cohort).copy(), []
    names = sorted(names, key=_ORDER.index)
    for name in names:
        numbers: list[int] = []

        def record(number: int, numbers: list[int] = numbers) -> int:
            numbers.append(below(number))
            return numbers[-1]

        parts.append((numbers, DAMAGES[name](folder, Choices(record))))
    return Case(cohort, names, folder, [change for _, changes in parts for change in changes], parts)


def judge_case(case: Case) -> Verdict:
    """Return what a user learns of a case; a part that alone is harmless need not be named."""
    verdict = judge(case.cohort, case.folder, case.changes)
    if len(case.parts) < 2 or verdict.outcome not in {"silent", "misplaced"}:
        return verdict
    alone = [_judge_alone(case, number) for number in range(len(case.parts))]
    if verdict.outcome == "misplaced":
        return next((each for each in alone if each.outcome == "refused"), verdict)
    parts = [(changes, v) for (_, changes), v in zip(case.parts, alone, strict=True)]
    kept = [change for changes, v in parts if v.outcome != "harmless" for change in changes]
    for number, (changes, v) in enumerate(parts):
        others = [change for k, (each, _) in enumerate(parts) if k != number for change in each]
        if v.outcome in {"named", "refused"} and any(_meet(a, b) for a in changes for b in others):
            for change in changes:  # alone it is noticed; the other one has changed the cells that show it
                change.unknowable = change.unknowable or "the other damage changed the values that show it"
    return judge(case.cohort, case.folder, kept)


def _meet(a: Change, b: Change) -> bool:
    """Return whether two changes have cells in common, or the other one is the loss of a file."""
    if b.is_lost_file:
        return True
    if a.file != b.file or (a.sheet and b.sheet and a.sheet != b.sheet):
        return False
    return all(not x or not y or x & y for x, y in ((a.rows, b.rows), (a.columns, b.columns)))


def _judge_alone(case: Case, number: int) -> Verdict:
    numbers = iter(case.parts[number][0])
    try:
        part = make_case(case.cohort, [case.damages[number]], lambda below: next(numbers) % below)
    except (NotPossible, StopIteration, ZeroDivisionError, IndexError):
        return Verdict("silent")
    return judge(part.cohort, part.folder, part.changes)


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
