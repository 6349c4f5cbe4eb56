"""Turn a protocol, a model and a seed into members to fit, and the fitted members into a score."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

import numpy as np

from hemexp.audit.table import AuditData, Table, build_table
from hemexp.config import (
    LossConfig,
    ModelConfig,
    NetConfig,
    OptimizerConfig,
    ProtocolConfig,
    SchedulerConfig,
    check_rates,
)
from hemexp.config.compose import label_definitions
from hemexp.data.imputation import fit_preprocessing
from hemexp.data.split import count_first
from hemexp.data.training_set import TrainingSet
from hemexp.errors import UserError
from hemexp.metrics.table import METRICS
from hemexp.training.member import FitResult, Member
from hemexp.types import Array

NUM_SEEDS, NUM_SPLITS, NUM_SELECTED = 10, 200, 10  # to choose from
GRID = [  # the settings that the paper sweeps
    {"kernel_size": kernel, "num_heads": heads, "lr": lr}
    for kernel in (3, 5, 7)
    for heads in (1, 2, 4)
    for lr in (1e-3, 3e-4)
]
_NEIGHBORS = 5  # of SMOTE
_ATTEMPTS = 100  # to draw a division with both outcomes in both parts


@dataclass(frozen=True)
class Scores:
    """The scores of one trial; `hits` of `count` rows were right."""

    accuracy: float
    auroc: float
    majority_accuracy: float
    hits: int
    count: int

    @property
    def is_possible(self) -> bool:
        """Return whether the numbers agree with each other, as a changed file may not."""
        shares = (self.accuracy, self.auroc, self.majority_accuracy)
        return (
            all(0 <= share <= 1 for share in shares)
            and 0 <= self.hits <= self.count > 0
            and abs(self.hits - self.accuracy * self.count) < 1e-6
        )


@dataclass(frozen=True, eq=False)
class Candidate:
    """A member, and the rows that it is scored on.

    Attributes:
        member: to fit.
        inputs: (T, F) of the scored rows, in their own units.
        labels: (T,) of the scored rows.
        majority: the more frequent outcome of the rows that the member learns from.
    """

    member: Member
    inputs: Array
    labels: Array
    majority: int

    @property
    def majority_share(self) -> float:
        """Return the accuracy of always answering the majority."""
        return float((self.labels == self.majority).mean())


@dataclass(frozen=True, eq=False)
class Trial:
    """One seed of a protocol and a model: one member, or several of which the best is reported."""

    protocol: ProtocolConfig
    model: str
    seed: int
    candidates: list[Candidate]

    def score(self, results: Sequence[FitResult]) -> Scores:
        """Return the scores that the protocol reports: of its member, or the best one of each score if it chooses."""
        scores = [each for pair in zip(self.candidates, results, strict=True) for each in self._score(*pair)]
        best = max(scores, key=attrgetter("accuracy", "auroc"))
        return replace(best, auroc=max(each.auroc for each in scores))

    def _score(self, candidate: Candidate, result: FitResult) -> list[Scores]:
        labels, threshold = candidate.labels, 0.5
        if self.protocol.choose == "epoch":
            return _score_epochs(candidate, result)
        risks = result.predictor().predict(candidate.inputs)
        if self.protocol.choose == "threshold":
            middles = (np.sort(risks)[1:] + np.sort(risks)[:-1]) / 2
            limits = np.unique(np.concatenate([[0.0, 0.5, 1.0], middles]))
            threshold = max(limits, key=lambda limit: ((risks > limit) == (labels == 1)).mean())
        hits = int(((risks > threshold) == (labels == 1)).sum())
        auroc = METRICS["auroc"].compute(labels.astype(float), risks)
        return [Scores(hits / len(labels), auroc, candidate.majority_share, hits, len(labels))]


def _score_epochs(candidate: Candidate, result: FitResult) -> list[Scores]:
    """Return the scores in the test part after each epoch, as the history states them."""
    count, share = len(candidate.labels), candidate.majority_share
    hits = (result.history["val/accuracy"] * count).round().astype(int)  # the history has 32 bits
    return [
        Scores(right / count, auroc, share, right, count)
        for right, auroc in zip(hits.tolist(), result.history["val/auroc"].tolist(), strict=True)
    ]


def build_tables(data: AuditData, protocol: ProtocolConfig) -> list[Table]:
    """Return the table of a protocol, or one for each definition of the outcome that it chooses from.

    Raises:
        UserError: the cohort lacks what the protocol needs.
    """
    if protocol.choose != "label":
        return [build_table(data, protocol)]
    tables = [build_table(data, protocol, label) for label in label_definitions().values()]
    return [table for table in tables if _has_both_parts(table)]


def build_trial(
    tables: Sequence[Table],
    protocol: ProtocolConfig,
    model: ModelConfig,
    optimizer: OptimizerConfig,
    seed: int,
    **options: Any,
) -> Trial:
    """Return the members of one seed of a protocol.

    Args:
        tables: of `build_tables`.
        protocol: what is done.
        model: to fit.
        optimizer: of a network.
        seed: of the division, of new rows and of the weights.
        options: schedule and loss of a network; see `Member`.

    Raises:
        UserError: the cohort has too few patients for the protocol.
    """
    if isinstance(model, NetConfig):
        model = replace(model, init=protocol.init)
    rng = np.random.default_rng([seed, 40])
    build = _Builder(protocol, model, optimizer, **options)
    builders, seeds = [build], [seed]
    if protocol.choose == "seed":
        seeds = [NUM_SEEDS * seed + number for number in range(NUM_SEEDS)]
    elif protocol.choose == "split":
        seeds = [seed] * NUM_SPLITS
    elif protocol.choose == "setting":
        builders = [build.with_setting(setting) for setting in GRID]
    candidates = [one.candidate(table, rng, each) for table in tables for one in builders for each in seeds]
    return Trial(protocol, model.name, seed, candidates)


def _has_both_parts(table: Table) -> bool:
    """Return whether both outcomes are in both parts of the paper's split."""
    edge = count_first(len(table.labels))
    return all(0 < part.sum() < len(part) for part in (table.labels[:edge], table.labels[edge:]))


@dataclass(frozen=True)
class _Builder:
    protocol: ProtocolConfig
    model: ModelConfig
    optimizer: OptimizerConfig
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    def with_setting(self, setting: dict[str, float]) -> "_Builder":
        """Return the builder with other settings of the network and the optimizer."""
        sizes: dict[str, Any] = {name: value for name, value in setting.items() if name != "lr"}
        optimizer = replace(self.optimizer, lr=setting["lr"])
        check_rates(optimizer, self.scheduler)
        return replace(self, model=replace(self.model, **sizes), optimizer=optimizer)

    def candidate(self, table: Table, rng: np.random.Generator, seed: int) -> Candidate:
        """Divide a table, and do with the parts what the protocol says."""
        protocol, clip = self.protocol, 10.0
        if protocol.copies > 1:
            positives = np.flatnonzero(table.labels == 1)
            rows = np.concatenate([np.arange(len(table.labels)), *[positives] * (protocol.copies - 1)])
            table = table.take(rows)
        if protocol.smote == "all":
            table = _add_synthetic(table, rng)
        train, test = self._divide(table, rng)
        fitted = np.arange(len(table.labels)) if protocol.fit_on == "all" else train
        scored = np.arange(len(table.labels)) if protocol.score_on == "all" else test
        if protocol.select is not None:
            chosen = _select(table, fitted if protocol.select == "train" else np.arange(len(table.labels)))
            table = replace(table, inputs=table.inputs[:, chosen], names=tuple(table.names[i] for i in chosen))
        learned = table.take(fitted)
        if protocol.smote == "train":
            learned = _add_synthetic(learned, rng)
        if protocol.preprocess_on == "all":
            statistics, filled = fit_preprocessing(table.inputs, clip)
            inputs = filled[fitted]
        else:
            statistics, inputs = fit_preprocessing(learned.inputs, clip)
        sees_test = protocol.choose == "epoch"
        val_inputs, val_labels = (
            (table.inputs[test], table.labels[test]) if sees_test else (table.inputs[:0], table.labels[:0])
        )
        training_set = TrainingSet(
            inputs, learned.labels.astype(int), val_inputs, val_labels.astype(int), statistics, table.names, {}
        )
        majority = int(learned.labels.mean() > 0.5)
        member = Member(self.model, self.optimizer, training_set, seed, scheduler=self.scheduler, loss=self.loss)
        return Candidate(member, table.inputs[scored], table.labels[scored], majority)

    def _divide(self, table: Table, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return the rows of the training and of the test part, in table order, each with both outcomes."""
        count = len(table.labels)
        is_random = self.protocol.split != "paper"
        groups = table.groups if self.protocol.split == "grouped" else np.arange(count)
        for _ in range(_ATTEMPTS if is_random else 1):
            order = np.unique(groups)
            order = rng.permutation(order) if is_random else order
            in_train = np.isin(groups, order[: count_first(len(order))])
            train, test = np.flatnonzero(in_train), np.flatnonzero(~in_train)
            if all(0 < table.labels[part].sum() < len(part) for part in (train, test)):
                return train, test
        raise UserError("too few patients of one outcome for a training and a test part")


def _select(table: Table, rows: Array) -> Array:
    """Return the inputs with the largest F value among some rows, in their order."""
    from sklearn.feature_selection import f_classif

    _, filled = fit_preprocessing(table.inputs[rows], 10.0)
    varies = np.flatnonzero(np.ptp(filled, axis=0) > 0)
    values = np.nan_to_num(f_classif(filled[:, varies], table.labels[rows])[0])
    return np.sort(varies[np.argsort(-values, kind="stable")[:NUM_SELECTED]])


def _add_synthetic(table: Table, rng: np.random.Generator) -> Table:
    """Return a table in which SMOTE has made as many rows of the rarer outcome as of the other one.

    A new row lies at a random place between a row of the rarer outcome and one of its five nearest neighbors of that
    outcome, by scaled inputs (Chawla and others, Journal of Artificial Intelligence Research 2002;16:321-357).
    """
    from sklearn.neighbors import NearestNeighbors

    statistics, filled = fit_preprocessing(table.inputs, 10.0)
    rarer = int(table.labels.mean() < 0.5)
    rows = np.flatnonzero(table.labels == rarer)
    missing = len(table.labels) - 2 * len(rows)
    if missing <= 0 or len(rows) < 2:
        return replace(table, inputs=filled)
    scaled = (filled[rows] - statistics.mean) / statistics.scale
    near = NearestNeighbors(n_neighbors=min(_NEIGHBORS + 1, len(rows))).fit(scaled).kneighbors(scaled)[1][:, 1:]
    start = rng.integers(len(rows), size=missing)
    end = near[start, rng.integers(near.shape[1], size=missing)]
    share = rng.random((missing, 1))
    new = filled[rows[start]] + share * (filled[rows[end]] - filled[rows[start]])
    groups = np.concatenate([table.groups, table.groups[rows[start]]])
    labels = np.concatenate([table.labels, np.full(missing, float(rarer))])
    return replace(table, inputs=np.concatenate([filled, new]), labels=labels, groups=groups)
