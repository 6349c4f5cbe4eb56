"""What a command says on the terminal when it is done."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from hemexp.evaluation.scores import Score

NAMES = {
    "accuracy": "accuracy",
    "majority_accuracy": "  always the majority",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score (lower is better)",
    "log_loss": "log loss (lower is better)",
}

CAVEATS = {
    "treatments_after_first_scan": "inputs hold treatments, which follow the first scan: no prediction at admission",
    "few_events_per_input": "fewer than 10 patients of the rarer outcome for each input: expect chance findings",
    "one_outcome_in_test": "the test part holds one outcome only: nothing can be ranked",
    "inert_init": "model.init is zeros or all_zeros: what begins at zero never learns",
    "synthetic_cohort": "the patients are simulated",
}


def print_scores(title: str, metrics: Mapping[str, Score], notes: Sequence[str]) -> None:
    """Print the scores of a test part with their intervals, then what a reader must know beside them."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    table.add_column("test part")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for key, score in metrics.items():
        name = NAMES.get(key.split("/")[-1], key)
        if score["value"] is None:
            table.add_row(name, "-", "not defined")
        else:
            table.add_row(name, f"{score['value']:.3f}", f"{score['low']:.3f} to {score['high']:.3f}")
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    for note in notes:
        console.print(note, markup=False)


def explain(verdict: str, caveats: Sequence[str]) -> list[str]:
    """Return the verdict and each caveat's code with their meaning."""
    meaning = ["HONEST means: neither the outcome nor the test part leaked into the fit; it is no praise"]
    return (meaning if verdict == "HONEST" else []) + [f"caveat {code}: {CAVEATS.get(code, '')}" for code in caveats]


def judge(metrics: Mapping[str, Score], baseline: Mapping[str, float]) -> list[str]:
    """Say in words how the scores compare with knowing nothing; `baseline` scores the training prevalence."""
    accuracy, majority, auroc = (metrics[f"test/{name}"] for name in ("accuracy", "majority_accuracy", "auroc"))
    notes = []
    if baseline:
        values = f"Brier {baseline['brier']:.3f}, log loss {baseline['log_loss']:.3f}"
        notes.append(f"giving everybody the training part's share of expansion would score {values}")
    if accuracy["value"] is not None and majority["value"] is not None:
        gap = accuracy["value"] - majority["value"]
        relation = "above" if gap > 0 else "below" if gap < 0 else "equal to"
        values = f"{accuracy['value']:.3f} against {majority['value']:.3f}"
        notes.append(f"accuracy is {relation} always giving the training majority's answer ({values})")
    if auroc["low"] is not None and auroc["high"] is not None and auroc["low"] <= 0.5 <= auroc["high"]:
        notes.append("the AUROC's interval includes 0.5: this test part does not show that the model beats a coin")
    return notes
