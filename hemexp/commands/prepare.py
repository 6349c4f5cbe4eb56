"""Read, check, merge and label a cohort; no training. Or write blank workbooks."""

import logging
import textwrap
from itertools import count
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hemexp.cohort import columns as c
from hemexp.cohort.find_column import list_outcomes
from hemexp.cohort.findings import CohortError, Findings
from hemexp.cohort.labels import check_follow_up, label_patients
from hemexp.cohort.load import Cohort, load_cohort
from hemexp.cohort.mapping.mapping import UNUSED, Mapping, OpenQuestions
from hemexp.cohort.template import write_templates
from hemexp.config import GrowthLabelConfig, PrepareConfig
from hemexp.data.imputation import fill_from_previous
from hemexp.errors import UserError
from hemexp.files.writing import remove, write_csv, write_text
from hemexp.formatting import program

MOST_SHOWN = 10  # rows of the table of warnings
MOST_LETTERS = 300  # of a message in this table; quality.csv holds all
_WIDTH = 120  # columns of the tables in a file or a pipe
log = logging.getLogger(__name__)


def prepare(cfg: PrepareConfig, directory: Path | str) -> Cohort | None:
    """Write ``scans.csv``, ``patients.csv``, ``labels.csv``, ``quality.csv`` and ``mapping.yaml`` of a cohort.

    A synthetic cohort also gets its four ``workbooks/``; ``imputation=previous_three`` adds the paper's
    ``completed.csv``. Where the cohort has no volumes, ``labels.csv`` is left out. With ``template=DIR`` only the
    blank workbooks are written, and there is no cohort.

    Raises:
        UserError: the directory holds another kind of cohort; or a question about the files is open, and
            ``mapping.yaml`` holds it.
        CohortError: the files have errors; only ``quality.csv`` is written.
    """
    if cfg.template is not None:
        _write_templates(Path(cfg.template))
        return None
    directory = Path(directory)
    if cfg.data.kind != "synthetic" and (directory / "workbooks").exists():
        raise UserError(f"output_dir={directory}: holds the workbooks of a synthetic cohort; choose a new directory")
    names = ("scans.csv", "patients.csv", "labels.csv", "completed.csv", "quality.csv")
    remove(*(directory / name for name in names))  # of an earlier call: old and new tables must not be mixed
    cohort = _load(cfg, directory)
    labels, why_not = None, ""
    try:
        labels = label_patients(cohort.scans, cfg.label, cohort.mapping)
        check_follow_up(labels, cohort.scans, cfg.label, cohort.locate, cohort.findings, cohort.mapping)
        write_csv(labels, directory / "labels.csv")
    except UserError as error:
        if not isinstance(cfg.label, GrowthLabelConfig):
            raise
        why_not = str(error)
    if cfg.imputation == "previous_three":
        write_csv(_completed(cohort.scans), directory / "completed.csv")
    write_csv(cohort.findings.frame(), directory / "quality.csv", for_excel=True)
    # the scans last: where they are, all tables are
    for name, table in (("patients", cohort.patients), ("scans", cohort.scans)):
        mark = pd.Series(1, table.index, name=c.SIMULATED)  # later readers must know that the patients are simulated
        write_csv(pd.concat([table, mark], axis=1) if cohort.is_simulated else table, directory / f"{name}.csv")
    if cfg.data.kind == "mapped" and cohort.mapping:
        _print_mapping(cohort.mapping)
    _print_summary(cohort, cfg)
    if labels is None:
        log.warning("labels.csv is not written: %s", why_not)
    else:
        _print_labels(cohort, labels, cfg)
    _print_warnings(cohort.findings)
    Console(soft_wrap=True, highlight=False).print(
        f"files in {directory}; quality.csv lists each warning with its cell", markup=False
    )
    return cohort


def _write_templates(directory: Path) -> None:
    for path in write_templates(directory):
        print(path)
    print(f"Fill one of them in, then run {program('prepare')} data.root=FILE")


def _load(cfg: PrepareConfig, directory: Path) -> Cohort:
    """Read the cohort; write its mapping, or what is open or wrong in the files."""
    path = directory / "mapping.yaml"
    is_given = cfg.data.mapping is not None and path.resolve() == Path(cfg.data.mapping).resolve()
    try:
        cohort = load_cohort(cfg.data, directory / "workbooks", cfg.privacy.pseudonymize)
    except OpenQuestions as error:
        _write_mapping(error.mapping, path, is_given)
        raise UserError(f"{error}\n  here: data.mapping={path}") from None
    except CohortError as error:
        if error.mapping and cfg.data.kind == "mapped":
            if not is_given:
                _write_mapping(error.mapping, path)
            _print_mapping(error.mapping)
        write_csv(error.findings.frame(), directory / "quality.csv", for_excel=True)
        mapping = f"; the mapping: {path}" if error.mapping and cfg.data.kind == "mapped" else ""
        raise CohortError(f"{error}\nall findings: {directory / 'quality.csv'}{mapping}", error.findings) from error
    if cohort.mapping and not is_given:  # the user's own file keeps its comments
        _write_mapping(cohort.mapping, path)
    return cohort


def _write_mapping(mapping: Mapping, path: Path, holds_answers: bool = False) -> None:
    """Write ``mapping.yaml``. An earlier one may hold corrections: it is kept as ``mapping.NUMBER.yaml``."""
    text = mapping.to_yaml()
    if path.exists() and (earlier := path.read_text(encoding="utf-8")) != text:
        copies = (path.with_name(f"mapping.{number}.yaml") for number in count(1))
        # the same text: of a call that was stopped between the two writes
        kept = next(kept for kept in copies if not kept.exists() or kept.read_text(encoding="utf-8") == earlier)
        write_text(kept, earlier)
        if holds_answers:
            log.warning("mapping.yaml keeps your answers and has new questions; your file is now %s", kept.name)
        else:
            log.warning("the earlier mapping.yaml is now %s; to use it, give data.mapping=%s", kept.name, kept)
    write_text(path, text)


def _completed(scans: pd.DataFrame) -> pd.DataFrame:
    """Fill every gap of the inputs with the mean of the three observed values before it in the table (paper, 3.1)."""
    inputs = [name for name in (*c.CLINICAL, *c.IMAGING) if name in scans]
    filled = pd.DataFrame(fill_from_previous(scans[inputs].to_numpy(dtype=float)), columns=inputs, index=scans.index)
    log.info("completed.csv: %d gaps filled", int(scans[inputs].isna().sum().sum() - filled.isna().sum().sum()))
    return scans.drop(columns=inputs).join(filled)[list(scans.columns)]


def _print_mapping(mapping: Mapping) -> None:
    """Print a table for each table of the mapping: which column holds what, and how sure that is."""
    known, console = c.known_columns(), _new_console()
    for entry in mapping.tables:
        if all(column.means == UNUSED for column in entry.columns):
            console.print(f"{entry.place}: not used; no column is recognized", markup=False)
            continue
        table = _new_table(f"{entry.place}: a row is a {entry.rows}")
        for name in ("column", "means", "unit", "examples", "how sure"):
            is_short = name == "examples"
            table.add_column(
                name, no_wrap=is_short, max_width=20 if is_short else None, overflow="ellipsis" if is_short else "fold"
            )
        for column in entry.columns:
            meaning = known[column.means].meaning if column.means in known else column.means
            scan = f", scan {column.scan + 1}" if column.scan is not None else ""
            codes = ", ".join(f"{value} = {code}" for value, code in (column.values or {}).items())
            unit = codes or column.unit or column.dates or ""
            cells = (column.column or column.letter, meaning + scan, unit, ", ".join(column.examples), column.sure)
            table.add_row(*map(escape, cells), style="dim" if column.means == UNUSED else None)
        console.print(table)


def _print_summary(cohort: Cohort, cfg: PrepareConfig) -> None:
    source = cfg.data.root or "a synthetic cohort"
    text = f"{source}: {len(cohort.scans)} scans of {len(cohort.patients)} patients"
    Console(soft_wrap=True, highlight=False).print(text, markup=False)


def _print_labels(cohort: Cohort, labels: pd.DataFrame, cfg: PrepareConfig) -> None:
    console = Console(soft_wrap=True, highlight=False)
    events, known = int((labels["expansion"] == 1).sum()), int(labels["expansion"].notna().sum())
    name = "expansion" if isinstance(cfg.label, GrowthLabelConfig) else "outcome"
    counts = f"{events} yes, {known - events} no, {len(labels) - known} unknown"
    console.print(f"{name}, {cfg.label.describe()}: {counts}", markup=False)
    if not known and isinstance(cfg.label, GrowthLabelConfig) and (names := list_outcomes(cohort.scans.columns)):
        hint = f"the files hold {', '.join(names)}; to learn it: label=column label.column={names[0]}, with train, too"
        console.print(hint, markup=False)
    if (best_auroc := cohort.best_auroc_under(cfg.label)) is not None:
        console.print(f"the best possible AUROC in this synthetic population is {best_auroc:.3f}")


def _print_warnings(findings: Findings) -> None:
    """Print the most frequent kinds of warnings, each with its first cell."""
    if not findings.rows:
        return
    table = _new_table("data-quality warnings")
    for name in ("problem", "cells", "first example"):
        table.add_column(name, justify="right" if name == "cells" else "left")
    counts = sorted(findings.counts().items(), key=lambda item: -item[1])
    for problem, number in counts[:MOST_SHOWN]:
        first = next(finding for finding in findings.rows if finding.problem == problem)
        cell = f"{first.column}{first.row}" if first.column else f"row {first.row}" if first.row else ""
        place = f"{first.patient_id or first.file} {cell}".strip()
        message = first.message if first.count > 1 else f"{place}: {first.message}"  # of many cells: it names them
        table.add_row(problem, str(number), escape(textwrap.shorten(message, MOST_LETTERS, placeholder=" ...")))
    if len(counts) > MOST_SHOWN:
        table.caption = f"and {len(counts) - MOST_SHOWN} more kinds; see quality.csv"
    _new_console().print(table)


def _new_console() -> Console:
    """Return a console for tables; 80 columns are too narrow for them in a file or a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(_WIDTH, console.width))


def _new_table(title: str) -> Table:
    return Table(title=escape(title), title_justify="left", title_style="bold", header_style="dim")
