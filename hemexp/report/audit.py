"""The page and the text of an audit: which mistake makes which number."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hemexp.audit.figure4 import NAME, PRINTED, WITHIN, Figure4
from hemexp.audit.published import Published
from hemexp.audit.run import HONEST, Audit, Row
from hemexp.audit.table import AuditData
from hemexp.config import ProtocolConfig, get_model_title
from hemexp.evaluation.metrics import exact_interval
from hemexp.figures.audit import sort_protocols
from hemexp.files.result import NO_LEAKAGE
from hemexp.formatting import count, num, plural
from hemexp.report.audit_predictions import PREDICTIONS_TITLE, build_blocks, conclude
from hemexp.report.blocks import Block, bullets, caveat_text, load_texts, section, table, text
from hemexp.report.first_screen import Line, build_top
from hemexp.report.html import png_uri

_TITLE = "Audit: which mistake makes which number"
_HIGH = 0.95
_PAPER = 39 / 40  # the accuracy of the paper
_HEAD = ["protocol", "kind", "model", "accuracy", "majority", "AUROC", "inflation", "control"]
_INTRODUCTION = (
    "Each row is one way to train and score a model on the same patients; the highest AUROC comes first. "
    "Inflation is the AUROC minus the AUROC of the row of its control, for the same model: 0 means"
    " that the mistake costs nothing here. A protocol that can inflate has one mistake more than its control, and"
    " can give high scores even where the inputs hold no signal. On these patients some cost nothing: see 'Why "
    "much or little'. The other flaws answer another question (wrong_units, edema_label, drop_unclear), learn "
    "nothing (zero_init), or move the scores only by chance (scale_impute_on_all). The numbers are means over the"
    " seeds, with the standard deviation. The majority differs where a protocol scores other patients or another "
    "outcome: then compare the AUROC, not the accuracy. SACNN is the network of the paper."
)
_CLAIMS = (HONEST, "train_includes_test", "paper_claim")
_CLAIM_HEAD = ["protocol", "model", "seeds with 97.5 % or more", "95 % interval of this share", "accuracy"]
_CLAIM_TITLE = "The claim of Yu (2024): 39 of 40 right"
_FIGURE4_TITLE = "Which settings follow the paper's loss curve?"
_FIGURE4_HEAD = ["setting", *(f"loss at epoch {epoch}" for epoch in PRINTED), "follows",
                 "accuracy, trained on all", "accuracy, trained on the first 60 %"]  # fmt: skip
_FIGURE4 = (
    "Figure 4 of the paper shows a training loss of 0.3 at about epoch 600 and 0.15 at the end, epoch 1000. The "
    "network as printed is far below that within a hundred epochs. Each setting was trained on all patients with "
    "three seeds, until the loss was below 0.001 or for 1000 epochs; a loss of 0.001 below means that the "
    f"training has stopped before. A setting follows the curve if its median loss is within a factor of {WITHIN} "
    "of both points. The accuracies are means in the last 40 % of the patients. Settings that follow the curve "
    "were trained on the first 60 %, too. Softmax before PyTorch's cross-entropy, a usual mistake, cannot be the "
    "reason: such a loss never falls below 0.313."
)
_AIDS = {
    "audit": (
        "Accuracy and AUROC of each protocol",
        "Left: compare each accuracy with the grey line, always the majority. Right: 0.5 is chance.",
    ),
    NAME: (
        "Training loss of each setting",
        "Thick: the median of three seeds; thin: each seed. Red: within a factor of 1.5 of both crosses.",
    ),
}
_SUMMARY = (
    "A protocol is one way to train and score a model. Its control is the same without the mistake. The page goes"
    " from the claim of Yu (2024) to its cause: how often that number comes out, which settings give the printed "
    "loss curve, what each mistake costs on these patients, and what to ask of a paper."
)
_RELATED = (
    "The questions follow the eight kinds of leakage of Kapoor and Narayanan (Patterns 2023;4:100804) and PROBAST+AI "
    "(BMJ 2025;388:e082505). Each names the protocols that show what a wrong answer costs. "
    "Other papers on expansion report high numbers, too: an accuracy of 0.94 in one window, with SMOTE and XGBoost "
    "(doi 10.1186/s12911-024-02561-9), and an AUROC of 0.936 in a validation part (doi 10.15953/j.ctta.2025.291). They "
    "were not tried here. Ask them the ten questions."
)
_TITLE_OF_TABLE = "Audit of a published table of predictions"
_SUMMARY_OF_TABLE = (
    "The first section is about the table. The others show what mistakes cost on the same patients, for comparison."
)
_NAMED = 4  # protocols on the first screen
_SKIPPED = "Protocols that this cohort cannot have"
_LIMITS = (
    "The seeds change divisions, new rows and first weights, not the patients: the spread over the seeds is smaller "
    "than the uncertainty of so few patients.",
    "A protocol is one reading of a mistake. Papers make it in other ways, and several mistakes together.",
)
_EXPLANATION = (
    "A protocol that gives the paper's number is a sufficient explanation of it, one among several. It does not prove "
    "what was done. The spread over the seeds is not a confidence interval."
)


def build_content(
    audit: Audit,
    figure4: Figure4 | None,
    published: Published | None,
    data: AuditData,
    pictures: Mapping[str, Path],
    is_simulated: bool = False,
) -> dict[str, Any]:
    """Return the content of ``audit.html`` and ``audit.md``, with its pictures.

    Args:
        audit: the scores.
        figure4: the fits beside the paper's loss curve, if there are any.
        published: a published table, if there is one; it comes first.
        data: the cohort.
        pictures: the figures ``audit`` and ``figure4``.
        is_simulated: whether the patients are simulated.
    """
    names, claims = sort_protocols(audit), _list_claims(audit)
    outcomes = data.outcomes(data.label)[data.patients]
    shown = {
        name: {"kind": "figure", "title": title, "aid": aid, "source": png_uri(pictures[name]), "tall": True}
        for name, (title, aid) in _AIDS.items()
        if name in pictures
    }
    sections = [
        section("claim", _CLAIM_TITLE, [bullets(_tell_claim(audit)), table("", _CLAIM_HEAD, claims)] if claims else []),
        section(NAME, _FIGURE4_TITLE, [text(_FIGURE4), shown.get(NAME), table("", _FIGURE4_HEAD, _list_fits(figure4)),
                text(_conclude(figure4))]) if figure4 else None,
        section("table", "All protocols", [text(_INTRODUCTION), shown.get("audit"),
                table("", _HEAD, _list_rows(audit))]) if names else None,
        section("protocols", "What each protocol does", [_build_entry(audit, name) for name in names]),
        section("skipped", _SKIPPED, [text(f"{name}: {why}") for name, why in audit.skipped.items()]),
        section("limits", "Limits", [bullets(_LIMITS)]),
        section("questions", "Ten questions to ask of a prediction paper", [text(_RELATED), _build_questions(audit)]),
    ]  # fmt: skip
    events, simulated = f"{count(int(outcomes.sum()))} with expansion", "simulated " * is_simulated
    patients = ("Patients", f"{count(len(outcomes))} {simulated}({events}).")
    about = f"Expansion means {data.label.describe()}."
    notes = [text(_SUMMARY_OF_TABLE if published else _SUMMARY), text(f"{about} {_EXPLANATION}")]
    if is_simulated:
        notes.append(text(caveat_text("synthetic_cohort"), "warn"))
    title = _TITLE_OF_TABLE if published else _TITLE
    lines = [patients] if published else [*_answer(audit), patients]
    answer = conclude(published) if published else _conclude_audit(audit)
    quiet = "An explanation, not a proof of what was done."
    top = build_top([(title, lines)], "the directory of the audit", NO_LEAKAGE, (answer, ""), None, quiet=quiet)
    sections.insert(0, section("about", "What the sections show", notes))
    if published:
        sections.insert(0, section("predictions", PREDICTIONS_TITLE, build_blocks(published, audit)))
    return top | {"sections": [block for block in sections if block]}


def _get(audit: Audit, name: str) -> ProtocolConfig:
    return next(row.protocol for row in audit.rows if row.protocol.name == name)


def _list_high(audit: Audit) -> dict[str, ProtocolConfig]:
    """Return the protocols with a model of high accuracy."""
    return {row.protocol.name: row.protocol for row in audit.rows if row.mean("accuracy") >= _HIGH}


def _conclude_audit(audit: Audit) -> str:
    """Return from which protocols a number like the paper's comes."""
    if not audit.rows:
        return "No protocol was run"
    high = _list_high(audit)
    if not high:
        return f"No protocol reaches an accuracy of {_HIGH}"
    if all(protocol.fit_on == "all" for protocol in high.values()):
        return f"An accuracy of {_HIGH} comes only from learning from the scored patients"
    return f"{len(high)} of {plural(len(sort_protocols(audit)), 'protocol')} reach an accuracy of {_HIGH}"


def _answer(audit: Audit) -> list[Line]:
    """Return the protocols of high accuracy, and the best scores without a mistake."""
    names, lines = sorted(_list_high(audit)), []
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        lines.append(("Reached", f"by {', '.join(names[:_NAMED])}{more}."))
    if honest := [row for row in audit.rows if row.protocol.name == HONEST]:
        accuracy, majority = (max(row.mean(name) for row in honest) for name in ("accuracy", "majority_accuracy"))
        auroc = num(max(row.mean("auroc") for row in honest), 2)
        words = f"accuracy {num(accuracy, 3)} at best (always the more frequent outcome: {num(majority, 3)}), AUROC"
        lines.append(("Trained honestly", f"{words} {auroc}."))
    return lines


def _show(row: Row, name: str, digits: int = 3) -> str:
    mean, spread = num(row.mean(name), digits), num(row.spread(name), digits)
    return mean if spread == num(0, digits) else f"{mean} ± {spread}"


def _list_rows(audit: Audit) -> list[list[str]]:
    rows = []
    for name in sort_protocols(audit):
        for row in (each for each in audit.rows if each.protocol.name == name):
            change, other = _compare(audit, row)
            majority = num(row.mean("majority_accuracy"), 3)
            scores = [_show(row, "accuracy"), majority, _show(row, "auroc")]
            rows.append([name, row.protocol.kind, get_model_title(row.model), *scores, change, other])
    return rows


def _compare(audit: Audit, row: Row) -> tuple[str, str]:
    """Return the inflation of a row, and the protocol that it is compared with."""
    control = audit.find_control(row)
    if row.protocol.label:
        return "–", "other outcome"
    if control is None or control is row:
        return "–", "–"
    return num(audit.inflation(row), 3), control.protocol.name


def _build_entry(audit: Audit, name: str) -> Block:
    title = _get(audit, name).title
    return {"kind": "entry", "anchor": name, "title": f"{name}: {title}", "facts": _describe(audit, name)}


def _describe(audit: Audit, name: str) -> list[tuple[str, str]]:
    """Return what is wrong, how to see it in a paper, what it costs here, and the source."""
    protocol = _get(audit, name)
    costs = []
    for row in (each for each in audit.rows if each.protocol.name == name):
        change, other = _compare(audit, row)
        against = "" if change == "–" else f" (inflation {change} against {other})"
        scores = f"AUROC {_show(row, 'auroc')}{against}, accuracy {_show(row, 'accuracy')}"
        costs.append(f"{get_model_title(row.model)}: {scores}")
    return [
        ("What is wrong", str(protocol.wrong)),
        ("How to see it in a paper", str(protocol.look)),
        ("What it costs here", f"{'; '.join(costs)}."),
        ("Why much or little", str(protocol.note)),
        ("Source", str(protocol.source)),
    ]


def _build_questions(audit: Audit) -> Block:
    """Return the ten questions, each with the protocols of this audit that show it."""
    shown = {row.protocol.name for row in audit.rows}
    questions = [
        {"question": each["question"], "links": [name for name in each["protocols"] if name in shown]}
        for each in load_texts("audit_questions")
    ]
    return {"kind": "questions", "questions": questions}


def _reached(row: Row) -> tuple[int, int, str]:
    """Return in how many seeds a row has the paper's accuracy, of how many, and the exact interval of the share."""
    reached, number = sum(each.accuracy >= _PAPER - 1e-9 for each in row.scores), len(row.scores)
    share = exact_interval(reached / number, number)
    return reached, number, f"{num(share.low, 2)} to {num(share.high, 2)}"


def _list_claims(audit: Audit) -> list[list[str]]:
    """Return how often each protocol of the claim reaches the paper's accuracy, with an exact interval."""
    rows = []
    for row in (each for name in _CLAIMS for each in audit.rows if each.protocol.name == name):
        reached, number, interval = _reached(row)
        if row.model == "logistic":  # without a random division, each seed is the same fit
            interval = "same fit"
        scores = [f"{reached} of {number}", interval, _show(row, "accuracy")]
        rows.append([row.protocol.name, get_model_title(row.model), *scores])
    return rows


def _tell_claim(audit: Audit) -> list[str]:
    """Return the claim, and what came out honestly and with the test patients in training, as sentences."""
    honest, claim = audit.find(HONEST, "sacnn"), audit.find("paper_claim", "sacnn")
    simple = audit.find("train_includes_test", "logistic")
    lines = [
        'The paper prints an accuracy of 97.5 %, 39 of 40 patients. Its section 3.4 says that "the first 100 patients" '
        "(前 100 名患者) are the input of the training, and section 3.2 that 60 % of the patients are the training "
        "part. The 40 patients of its Table 5 are among the first 100."
    ]
    if honest:
        lines.append(
            "Trained on the first 60 % only, as train.py experiment=paper does, the same network has an accuracy of "
            f"{_show(honest, 'accuracy')}. Always answering the more frequent outcome has "
            f"{num(honest.mean('majority_accuracy'), 3)}."
        )
    if claim:
        reached, number, interval = _reached(claim)
        lines.append(
            "Trained on all patients until the paper's loss of 0.15, as train.py experiment=paper_claim does, it has "
            f"{_show(claim, 'accuracy')}; {reached} of {number} seeds reach 97.5 % (95 % interval of the share: "
            f"{interval})."
        )
    if simple:
        lines.append(
            f"Logistic regression trained on all patients has {_show(simple, 'accuracy')}. So the number says nothing "
            "about the network."
        )
    return lines


def _list_fits(figure4: Figure4) -> list[list[str]]:
    """Return the fits beside the paper's loss curve, the printed points first."""
    rows = [["printed in the paper", *(num(loss, 2) for loss in PRINTED.values()), "", num(_PAPER, 3), ""]]
    for fit in figure4.fits.to_dict("records"):
        losses = [num(fit[f"loss_{epoch}"], 3) for epoch in PRINTED]
        follows, honest = ("yes", num(fit["accuracy_honest"], 3)) if fit["follows"] else ("no", "")
        rows.append([str(fit["setting"]), *losses, follows, num(fit["accuracy"], 3), honest])
    return rows


def _conclude(figure4: Figure4) -> str:
    fits = figure4.fits[figure4.fits["follows"]]
    if fits.empty:
        return "On this cohort, no setting follows the printed curve."
    lowest, highest = (num(value, 3) for value in (fits["accuracy"].min(), fits["accuracy"].max()))
    honest = num(fits["accuracy_honest"].max(), 3)
    return (
        f"The curve is followed by {'; '.join(fits['setting'])}. Each is a sufficient explanation of it, and none is "
        f"proof of what was done. With all patients in training, they have an accuracy of {lowest} to {highest} in the "
        f"last 40 %. With the first 60 % in training, at most {honest}."
    )
