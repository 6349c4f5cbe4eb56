"""The page and the text of an audit: which mistake makes which number."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hemexp.audit.published import Published
from hemexp.audit.run import HONEST, Audit, Row
from hemexp.audit.table import AuditData
from hemexp.config import ProtocolConfig
from hemexp.evaluation.metrics import exact_interval
from hemexp.figures.audit import sort_protocols
from hemexp.formatting import count, num
from hemexp.report.audit_predictions import put_first
from hemexp.report.blocks import Block, load_texts, section, table, text
from hemexp.report.html import png_uri, to_html

_PAPER = 39 / 40  # the accuracy of the paper
_HEAD = ["protocol", "can inflate", "model", "accuracy", "majority", "AUROC", "inflation"]
_INTRODUCTION = (
    "Each row is one way to train and score a model on the same patients. A protocol that can inflate the scores has "
    "one mistake more than its control. Inflation is the AUROC minus that of the control or the honest protocol. The "
    "numbers are means over the seeds, with the standard deviation. Where a protocol changes the share of expansion in "
    "the test part, compare the AUROC, not the accuracy."
)
_CLAIM_HEAD = ["protocol", "model", "seeds with 97.5 % or more", "95 % interval of the share", "accuracy"]
_SKIPPED = "Protocols that this cohort cannot have"
_LIMITS = (
    "The seeds change divisions, new rows and first weights, not the patients: the spread over the seeds is smaller "
    "than the uncertainty of so few patients.",
    "A protocol is one reading of a mistake. Papers make it in other ways, and several mistakes together.",
)
_EXPLANATION = (
    "A protocol that gives the paper's number is a sufficient explanation of it, one among several. It does not prove "
    "what was done."
)


def render_audit(audit: Audit, data: AuditData, picture: Path, published: Published | None = None) -> str:
    """Return the page of an audit as HTML; it holds its picture.

    Args:
        audit: the scores.
        data: the cohort.
        picture: the figure of the audit.
        published: a published table, which comes first.
    """
    figure: Block = {"kind": "figure", "title": "All protocols", "aid": _INTRODUCTION, "source": png_uri(picture)}
    sections = [
        section("claim", "How often the paper's number comes out", [table("", _CLAIM_HEAD, _list_claims(audit))]),
        section("table", "All protocols", [table("", _HEAD, _list_rows(audit)), figure]),
        section("protocols", "What each protocol does", [_build_entry(audit, name) for name in sort_protocols(audit)]),
        section("questions", "Ten questions to ask of a prediction paper", [_build_questions(audit)]),
        section("skipped", _SKIPPED, [text(f"{name}: {why}") for name, why in audit.skipped.items()]),
        section("limits", "Limits", [text(line) for line in _LIMITS]),
    ]
    content: dict[str, Any] = {
        "title": "Audit: which mistake makes which number",
        "heading": "Audit: which mistake makes which number",
        "sub": f"Report of an audit of hemexp on {count(len(data.patients))} patients",
        "source": "the directory of the audit",
        "banner": {"kind": "", "title": _headline(audit), "text": _EXPLANATION},
        "alarm": None,
        "verdict": "",
        "warning": "",
        "kind": "AUDIT",
        "summary": _INTRODUCTION,
        "cards": [],
        "caveats": [],
        "no_caveats": "",
        "sections": [block for block in sections if block],
    }
    if published is not None:
        put_first(content, published, audit)
    return to_html(content, list(data.cohort.patients["patient_id"]), patients=False)


def write_markdown(audit: Audit, data: AuditData) -> str:
    """Return ``audit.md``: the table, and a paragraph for each protocol."""
    lines = ["# Audit: which mistake makes which number", "", _headline(audit), "", _INTRODUCTION, ""]
    lines += [f"| {' | '.join(_HEAD)} |", f"| {' | '.join('---' for _ in _HEAD)} |"]
    lines += [f"| {' | '.join(row)} |" for row in _list_rows(audit)]
    lines += ["", "## How often the paper's number comes out", "", f"| {' | '.join(_CLAIM_HEAD)} |"]
    lines += [f"| {' | '.join('---' for _ in _CLAIM_HEAD)} |"]
    lines += [*(f"| {' | '.join(row)} |" for row in _list_claims(audit)), ""]
    for name in sort_protocols(audit):
        facts = [f"{key}: {words}" for key, words in _describe(audit, name)]
        lines += [f"## {name}", "", f"**{_get(audit, name).title}**", "", *_spaced(facts)]
    if audit.skipped:
        lines += [f"## {_SKIPPED}", "", *_spaced([f"{name}: {why}" for name, why in audit.skipped.items()])]
    lines += ["## Limits", "", *_spaced(_LIMITS), "## Ten questions to ask of a prediction paper", ""]
    for number, (question, names) in enumerate(_list_questions(audit), start=1):
        lines.append(f"{number}. {question} {', '.join(f'[{name}](#{name})' for name in names)}".rstrip())
    return "\n".join([*lines, ""])


def _spaced(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in (line, "")]


def _get(audit: Audit, name: str) -> ProtocolConfig:
    return next(row.protocol for row in audit.rows if row.protocol.name == name)


def _headline(audit: Audit) -> str:
    reached = sorted({row.protocol.name for row in audit.rows if row.mean("accuracy") >= 0.95})
    honest = [row for row in audit.rows if row.protocol.name == HONEST]
    words = "no protocol reaches an accuracy of 0.95"
    if reached:
        words = f"an accuracy of 0.95 comes from {', '.join(reached)}"
    if not honest:
        return words.capitalize()
    best = max(honest, key=lambda row: row.mean("auroc"))
    majority = num(best.mean("majority_accuracy"), 3)
    return (
        f"Honestly trained, the best model has an AUROC of {num(best.mean('auroc'), 2)} and an accuracy of "
        f"{num(best.mean('accuracy'), 3)} (always the majority: {majority}); {words}"
    )


def _show(row: Row, name: str, digits: int = 3) -> str:
    mean, spread = row.mean(name), row.spread(name)
    return f"{num(mean, digits)} ± {num(spread, digits)}" if spread else num(mean, digits)


def _list_rows(audit: Audit) -> list[list[str]]:
    rows = []
    for name in sort_protocols(audit):
        for row in (each for each in audit.rows if each.protocol.name == name):
            majority, inflation = num(row.mean("majority_accuracy"), 3), num(audit.inflation(row), 3)
            leak = "yes" if row.protocol.leak else "no"
            rows.append([name, leak, row.model, _show(row, "accuracy"), majority, _show(row, "auroc"), inflation])
    return rows


def _build_entry(audit: Audit, name: str) -> Block:
    title = _get(audit, name).title
    return {"kind": "entry", "anchor": name, "title": f"{name}: {title}", "facts": _describe(audit, name)}


def _describe(audit: Audit, name: str) -> list[tuple[str, str]]:
    """Return what is done, how to see it in a paper, what it costs here, and the source."""
    protocol = _get(audit, name)
    costs = []
    for row in (each for each in audit.rows if each.protocol.name == name):
        change = audit.inflation(row)
        against = f" ({num(change, 3)} more than its control)" if change == change and name != HONEST else ""
        costs.append(f"{row.model}: AUROC {_show(row, 'auroc')}{against}, accuracy {_show(row, 'accuracy')}")
    return [
        ("What is done", str(protocol.wrong)),
        ("How to see it in a paper", str(protocol.look)),
        ("Here", f"{'; '.join(costs)}."),
        ("Source", str(protocol.source)),
    ]


def _list_questions(audit: Audit) -> list[tuple[str, list[str]]]:
    """Return the ten questions, each with the protocols of this audit that show it."""
    shown = {row.protocol.name for row in audit.rows}
    return [
        (each["question"], [name for name in each["protocols"] if name in shown])
        for each in load_texts("audit_questions")
    ]


def _build_questions(audit: Audit) -> Block:
    questions = [{"question": question, "links": names} for question, names in _list_questions(audit)]
    return {"kind": "questions", "questions": questions}


def _list_claims(audit: Audit) -> list[list[str]]:
    """Return how often each protocol of the claim reaches the paper's accuracy, with an exact interval."""
    rows = []
    for row in audit.rows:
        if row.protocol.name not in {HONEST, "train_includes_test", "paper_claim"}:
            continue
        reached, number = sum(each.accuracy >= _PAPER - 1e-9 for each in row.scores), len(row.scores)
        share = exact_interval(reached / number, number)
        interval = f"{num(share.low, 2)} to {num(share.high, 2)}"
        rows.append([row.protocol.name, row.model, f"{reached} of {number}", interval, _show(row, "accuracy")])
    return rows
