"""Redraw the tables and figures of the paper (Yu 2024) from a cohort, beside the values that it prints.

``paper.yaml`` holds the printed values. They are compared to the last printed digit.
"""

from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd
import torch
import yaml
from torch import Tensor, nn

from hemexp.audit.table import AuditData, build_audit_data
from hemexp.audit.trials import Trial, build_tables, build_trial
from hemexp.cohort.labels import label_patients
from hemexp.cohort.load import Cohort
from hemexp.config import FeaturesConfig, GrowthLabelConfig, OptimizerConfig, SACNNConfig, TrainerConfig
from hemexp.config.compose import label_definitions, load_protocols
from hemexp.data.features import feature_names, input_table
from hemexp.models.registry import build_network
from hemexp.models.sacnn import SACNN, AttentionBranch
from hemexp.training.fit import fit
from hemexp.training.member import FitResult
from hemexp.types import Array

ABSENT = "not in this cohort"
PROTOCOLS = {"first 60 %": "honest_60_40", "all patients": "paper_claim"}  # the patients that a network learns from


@cache
def load_printed() -> dict[str, Any]:
    """Return the content of ``paper.yaml``."""
    text = files("hemexp.audit").joinpath("paper.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)
    return content


def get_printed_table(number: int) -> pd.DataFrame:
    """Return the printed rows of Table 1 to 5; the first column is the index."""
    table = load_printed()["tables"][number]
    return pd.DataFrame(table["rows"], columns=table["columns"]).set_index(table["columns"][0])


def get_label() -> GrowthLabelConfig:
    """Return the default definition of expansion, which gives the 9.52 h that Table 4 prints for sub003."""
    return label_definitions()["onset_48h"]


def is_published(cohort: Cohort) -> bool:
    """Return whether the cohort holds a scan whose serial the paper prints."""
    serials = {*get_printed_table(2)["scan_serial"], *get_printed_table(3).index}
    return bool(cohort.scans["scan_serial"].isin(serials).any())


def compare_table(cohort: Cohort, number: int) -> pd.DataFrame:
    """Return the rows that Table 1, 2, 3 or 4 prints, computed from a cohort.

    Tables 1, 2 and 4 are looked up by patient, Table 3 by scan serial. Volumes are in 10^-3 mL, times in hours.

    Returns:
        A row a printed row. For each column of the paper a pair ``(name, printed)`` and ``(name, cohort)``; a value of
        the cohort is missing where it has no such row. ``(differs, )`` names the columns that differ, or says
        `ABSENT`.
    """
    printed = get_printed_table(number)
    key = str(printed.index.name)
    if number == 4:
        source = label_patients(cohort.scans, get_label())
        source["hours_to_expansion"] = source["hours_to_expansion"].mask(source["expansion"] == 0, 0.0)
    else:
        source = cohort.scans if number == 3 else cohort.patients
    found = source.drop_duplicates(key).set_index(key).reindex(index=printed.index, columns=printed.columns)
    return _put_beside(printed, found, load_printed()["tables"][number]["tolerance"])


def list_differences(printed: pd.DataFrame, found: pd.DataFrame, tolerance: float) -> pd.Series:
    """Return the columns in which two tables of one shape differ, for each row, separated by commas."""
    differs = pd.DataFrame(False, index=printed.index, columns=printed.columns)
    for name in printed:
        if pd.api.types.is_numeric_dtype(printed[name]):
            gap = (printed[name] - found[name].astype(float)).abs()
            differs[name] = ~(gap <= tolerance + 1e-9)
        else:
            differs[name] = printed[name] != found[name]
    return differs.apply(lambda row: ", ".join(row.index[row]), axis=1)


def _put_beside(printed: pd.DataFrame, found: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    columns = {}
    for name in printed:
        columns[name, "printed"], columns[name, "cohort"] = printed[name], found[name].convert_dtypes()
    absent = found.isna().all(axis=1)
    columns["differs", ""] = list_differences(printed, found, tolerance).mask(absent, ABSENT)
    return pd.DataFrame(columns)


def count_patient_flow(cohort: Cohort) -> pd.DataFrame:
    """Return the number of patients and scans after each step of the pre-processing (figure 2).

    Returns:
        ``step, patients, scans, with_expansion, note``. The last two rows are the parts of the paper's split.
    """
    label, scans, names = get_label(), cohort.scans, feature_names("paper")
    merged, matrix = (" x ".join(map(str, load_printed()[name])) for name in ("merged", "matrix"))
    data = build_audit_data(cohort, label, FeaturesConfig("paper"))
    labels = label_patients(scans, label)
    unknown = int(labels["expansion"].isna().sum())
    labels = labels.iloc[data.patients]
    outcome, in_window = labels["expansion"].to_numpy(), labels["reason"] != "no_scan_in_window"
    gaps = int(input_table(cohort.patients.iloc[data.patients], names).isna().to_numpy().sum())
    edge = len(data.patients) - len(_build_trial(data, "honest_60_40", 0).candidates[0].labels)
    count, total = len(data.patients), len(cohort.patients)
    known = int(scans["patient_id"].isin(set(labels["patient_id"])).sum())
    rows = [
        ("All tables merged, a row a scan", total, len(scans), None, f"paper: {merged}"),
        ("With a later scan", count, known, None, f"{unknown} left out: no outcome"),
        (
            "Later volumes compared with the first",
            count,
            known,
            int(outcome.sum()),
            f"{int((~in_window).sum())} without a scan within 48 h; they count as no expansion",
        ),
        (
            "First scans, gaps filled",
            count,
            count,
            int(outcome.sum()),
            f"{len(names)} inputs, {gaps} gaps; paper: {matrix} with 72 inputs",
        ),
        ("Training part", edge, edge, int(outcome[:edge].sum()), ""),
        ("Test part", count - edge, count - edge, int(outcome[edge:].sum()), "paper: 60 % train, 40 % test"),
    ]
    return pd.DataFrame(rows, columns=["step", "patients", "scans", "with_expansion", "note"]).astype(
        {"with_expansion": "Int64"}
    )


def describe_network(model: SACNNConfig | None = None, num_inputs: int = 72) -> pd.DataFrame:
    """Return the layers of the network as it is built, beside what the paper says about each (figure 3).

    Args:
        model: sizes of the network; by default the defaults of `SACNNConfig`.
        num_inputs: of a patient.

    Returns:
        A row a layer in the order of the computation: ``layer, kind, output, parameters, printed``. ``output`` is the
        shape for one patient. The same pooling is used twice.
    """
    printed = load_printed()["network"]
    net = build_network(num_inputs, **asdict(model or SACNNConfig("sacnn"))).eval()
    assert isinstance(net, SACNN)
    branch = net.branches["attention"]
    assert isinstance(branch, AttentionBranch)
    rows: list[tuple[str, str, str, int, str]] = []

    def add(name: str, kind: str, output: Tensor, parameters: int) -> None:
        rows.append((name, kind, " x ".join(map(str, output.shape[1:])), parameters, printed.get(name, "not printed")))

    def record(name: str, layer: nn.Module) -> None:
        parameters = sum(each.numel() for each in layer.parameters())
        layer.register_forward_hook(lambda _, __, output: add(name, type(layer).__name__, output, parameters))

    inputs = torch.zeros(1, num_inputs)
    with torch.inference_mode():
        weights = branch.attention(inputs)  # (1, H, F, F)
        for name, module in net.named_modules():
            if not list(module.children()):
                record(name, module)
            if name == "branches.attention.value":
                module.register_forward_hook(lambda *_: add("attention weights", "softmax", weights, 0))
        logits = net(inputs)
    add("softmax", "softmax", logits, 0)
    return pd.DataFrame(rows, columns=["layer", "kind", "output", "parameters", "printed"])


@dataclass(frozen=True, eq=False)
class PaperFits:
    """The default network, trained on the first 60 % of the patients and on all of them.

    Attributes:
        scores: a row a network: ``learned_from, seed, hits, count, auroc, epochs, loss``. `hits` of the `count` test
            patients were right; `loss` is that of the weights that are kept.
        histories: the training losses of seed 0, by `learned_from`: ``epoch, train/loss``.
        table_5: a row a test patient; see `fit_paper`.
    """

    scores: pd.DataFrame
    histories: dict[str, pd.DataFrame]
    table_5: pd.DataFrame

    def summary(self) -> pd.DataFrame:
        """Return the mean, the lowest and the highest number of hits over the seeds, beside the printed number."""
        count = int(self.scores["count"].iloc[0])
        hits = self.scores.groupby("learned_from", sort=False)["hits"].agg(["mean", "min", "max"])
        majority = max(share := self.table_5["expansion", "cohort"].mean(), 1 - share) * count
        return hits.assign(of=count, printed=load_printed()["accuracy"] / 100 * 40, majority=round(majority))


def fit_paper(cohort: Cohort, num_seeds: int = 10) -> PaperFits:
    """Train the default network as the protocols honest_60_40 and paper_claim say, for Table 5 and figure 4.

    The first learns from the first 60 % of the patients until the loss is below 0.001 or for 1000 epochs. The second
    learns from all patients, test part included, until the loss is below the paper's 0.15. Both predict the last 40 %.

    Returns:
        The scores of every seed. The predictions and losses are those of seed 0: `PaperFits.table_5` has, as pairs,
        ``(expansion, printed)``, ``(expansion, cohort)``, ``(prediction, printed)`` and ``(prediction, NAME)`` for
        each name in `PROTOCOLS`.

    Raises:
        UserError: the cohort lacks volumes or inputs, or too few patients have an outcome.
    """
    data = build_audit_data(cohort, get_label(), FeaturesConfig("paper"))
    rows, histories, predictions = [], {}, {}
    for name, protocol_name in PROTOCOLS.items():
        protocol = load_protocols()[protocol_name]
        trials = [_build_trial(data, protocol_name, seed) for seed in range(num_seeds)]
        trainer = replace(TrainerConfig(progress_bar=False), stop_loss=protocol.stop_loss)
        results = fit([trial.candidates[0].member for trial in trials], trainer)
        for trial, result in zip(trials, results, strict=True):
            scores = trial.score([result])
            rows.append((name, trial.seed, scores.hits, scores.count, scores.auroc, result.epochs, result.best_loss))
        histories[name] = results[0].history
        predictions[name] = _predict(trials[0], results[0])
    columns = ["learned_from", "seed", "hits", "count", "auroc", "epochs", "loss"]
    labels = trials[0].candidates[0].labels
    tested = data.patients[len(data.patients) - len(labels) :]
    ids = pd.Index(cohort.patients["patient_id"].iloc[tested], name="patient_id")
    printed = get_printed_table(5).reindex(ids).astype("Int64")
    table = pd.DataFrame(
        {
            ("expansion", "printed"): printed["expansion"],
            ("expansion", "cohort"): labels.astype(int),
            ("prediction", "printed"): printed["prediction"],
            **{("prediction", name): values for name, values in predictions.items()},
        },
        index=ids,
    )
    return PaperFits(pd.DataFrame(rows, columns=columns), histories, table)


def _build_trial(data: AuditData, protocol: str, seed: int) -> Trial:
    chosen = load_protocols()[protocol]
    return build_trial(build_tables(data, chosen), chosen, SACNNConfig("sacnn"), OptimizerConfig(), seed)


def _predict(trial: Trial, result: FitResult) -> Array:
    return (result.predictor().predict(trial.candidates[0].inputs) > 0.5).astype(int)
