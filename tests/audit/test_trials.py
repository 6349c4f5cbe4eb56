"""The training part, the test part and the statistics of each protocol."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hemexp.audit.table import AuditData, build_table
from hemexp.audit.trials import Candidate, Trial, _add_synthetic, build_tables, build_trial
from hemexp.cohort.labels import label_patients
from hemexp.cohort.load import load_cohort
from hemexp.config import LogisticConfig, ModelConfig, OptimizerConfig, ProtocolConfig, SACNNConfig, TrainConfig
from hemexp.config.compose import load_config, load_protocols
from hemexp.data.features import feature_names
from hemexp.data.imputation import fit_preprocessing
from hemexp.errors import UserError
from hemexp.training.member import FitResult

LOGISTIC = LogisticConfig("logistic", C=1.0)


@pytest.fixture(scope="module")
def data() -> AuditData:
    cfg = load_config(TrainConfig, ["data.num_patients=80"])
    cohort = load_cohort(cfg.data)
    labels = label_patients(cohort.scans, cfg.label)["expansion"].to_numpy(dtype=float)
    return AuditData(cohort, cfg.label, np.flatnonzero(~np.isnan(labels)), tuple(feature_names("paper")))


def trial(data: AuditData, seed: int = 0, **changes: object) -> Trial:
    return build(data, ProtocolConfig("x", **changes), seed=seed)


def build(data: AuditData, protocol: ProtocolConfig, model: ModelConfig = LOGISTIC, seed: int = 0) -> Trial:
    return build_trial(build_tables(data, protocol), protocol, model, OptimizerConfig(), seed)


def only(data: AuditData, seed: int = 0, **changes: object) -> Candidate:
    (candidate,) = trial(data, seed, **changes).candidates
    return candidate


def rows_in_both(candidate: Candidate) -> int:
    """Return how many scored rows the member has learned from."""
    learned = {row.tobytes() for row in candidate.member.training_set.inputs}
    filled = fit_preprocessing(candidate.inputs, 10.0)[1]
    return sum(row.tobytes() in learned for row in filled)


def test_every_protocol_has_its_texts_and_a_control_that_is_one():
    protocols = load_protocols()
    assert len(protocols) > 25
    for name, protocol in protocols.items():
        assert protocol.name == name
        assert all((protocol.title, protocol.wrong, protocol.look, protocol.source)), name
        if protocol.control:
            assert not protocols[protocol.control].leak, name


def test_the_honest_protocol_learns_from_the_first_60_percent_alone(data: AuditData):
    candidate = only(data)
    number = len(data.patients)
    assert len(candidate.member.training_set.labels) == int(0.6 * number)
    assert len(candidate.labels) == number - int(0.6 * number)
    assert rows_in_both(candidate) == 0
    changed = replace(data, patients=data.patients[: int(0.6 * number) + 15])  # other test patients
    other = only(changed).member.training_set
    assert np.allclose(other.preprocessing.mean[:5], only(changed).member.training_set.preprocessing.mean[:5])


@pytest.mark.parametrize("score_on", ["test", "all"])
def test_a_fit_on_all_has_seen_every_scored_row(score_on: str, data: AuditData):
    candidate = only(data, fit_on="all", score_on=score_on)
    assert len(candidate.member.training_set.labels) == len(data.patients)
    assert rows_in_both(candidate) == len(candidate.labels)


def test_statistics_come_from_the_rows_that_the_protocol_says(data: AuditData):
    table = build_table(data, ProtocolConfig("x"))
    edge = int(0.6 * len(table.labels))
    for part, rows in (("train", table.inputs[:edge]), ("all", table.inputs)):
        expected = fit_preprocessing(rows, 10.0)[0]
        found = only(data, preprocess_on=part).member.training_set.preprocessing
        assert np.array_equal(found.mean, expected.mean), part


def test_scans_of_a_patient_are_divided_by_row_or_kept_together(data: AuditData):
    table = build_table(data, ProtocolConfig("x", rows="scans"))
    assert len(table.labels) > len(data.patients)
    for patient in np.unique(table.groups):  # the outcome is the patient's
        assert len(set(table.labels[table.groups == patient])) == 1
    for split, shared in (("random", True), ("grouped", False)):
        candidate = only(data, rows="scans", split=split)
        learned, where = candidate.member.training_set.inputs, {}
        for group, row in zip(table.groups, fit_preprocessing(table.inputs, 10.0)[1], strict=True):
            where.setdefault(round(float(row[0] + row[19]), 6), group)
        train = {where.get(round(float(row[0] + row[19]), 6)) for row in learned}
        test = {where.get(round(float(row[0] + row[19]), 6)) for row in candidate.inputs}
        assert bool(train & test - {None}) == shared, split


def test_copies_of_a_patient_are_in_both_parts(data: AuditData):
    assert rows_in_both(only(data, copies=3, split="random")) > 0
    assert rows_in_both(only(data, copies=1, split="random")) == 0


def test_inputs_are_selected_from_the_rows_that_the_protocol_says(data: AuditData):
    chosen = {part: only(data, select=part, split="random").member.training_set.features for part in ("train", "all")}
    assert all(len(names) == 10 for names in chosen.values())
    assert chosen["train"] != chosen["all"]


def test_smote_makes_rows_between_neighbors_of_the_rarer_outcome(data: AuditData):
    table = build_table(data, ProtocolConfig("x"))
    more = _add_synthetic(table, np.random.default_rng(0))
    new = more.inputs[len(table.labels) :]
    assert more.labels.mean() == 0.5
    rarer = fit_preprocessing(table.inputs, 10.0)[1][table.labels == 1]
    for row in new:  # on the line between two of them: the distances to both add up to their distance
        distance = np.linalg.norm(rarer - row, axis=1)
        pairs = np.linalg.norm(rarer[:, None] - rarer[None], axis=2)
        gap = distance[:, None] + distance[None] - pairs
        np.fill_diagonal(gap, np.inf)
        assert gap.min() < 1e-6 * max(1, pairs.max())
    inside = only(data, smote="train", split="random")
    assert inside.labels.mean() < 0.5 == inside.member.training_set.labels.mean()
    assert abs(only(data, smote="all", split="random").labels.mean() - 0.5) < 0.15


def test_the_growth_of_later_scans_is_the_outcome_itself(data: AuditData):
    plain, leaky = (
        build_table(data, ProtocolConfig("x")),
        build_table(data, ProtocolConfig("x", inputs=["later_volumes"])),
    )
    assert leaky.names[: len(plain.names)] == plain.names
    growth, share = leaky.inputs[:, -2], leaky.inputs[:, -1]
    assert np.array_equal((growth >= 6000 - 1e-3) | (share >= 0.33 - 1e-6), leaky.labels == 1)


def test_a_threshold_on_raw_units_makes_more_events(data: AuditData):
    assert build_table(data, ProtocolConfig("x", label="raw_units")).labels.mean() > 0.5
    assert not np.array_equal(
        build_table(data, ProtocolConfig("x", label="edema")).labels, build_table(data, ProtocolConfig("x")).labels
    )


@pytest.mark.parametrize(("choose", "number"), [("seed", 10), ("split", 200), ("setting", 18), ("label", 10)])
def test_a_choice_by_the_test_part_has_as_many_candidates(choose: str, number: int, data: AuditData):
    model = SACNNConfig("sacnn") if choose == "setting" else LOGISTIC
    protocol = ProtocolConfig("x", choose=choose, split="random" if choose == "split" else "paper")
    candidates = build(data, protocol, model).candidates
    assert len(candidates) == number if choose != "label" else 1 < len(candidates) <= number
    if choose == "setting":
        sizes = {(each.member.model.kernel_size, each.member.model.num_heads, each.member.rates) for each in candidates}
        assert len(sizes) == 18


def test_the_scores_of_epochs_are_whole_numbers_of_patients(data: AuditData):
    trial = build(data, ProtocolConfig("x", choose="epoch"), SACNNConfig("sacnn"))
    count = 301  # 32 bits are too few for this share
    candidate = replace(trial.candidates[0], labels=np.arange(count) % 2)
    history = pd.DataFrame({"val/accuracy": [float(np.float32(200 / 301))], "val/auroc": [0.5]})
    scores = replace(trial, candidates=[candidate]).score([FitResult({}, 1, 0, 0.1, "fitted", history)])
    assert scores.accuracy == 200 / 301
    assert scores.is_possible


def test_a_cohort_without_the_column_is_refused_by_name(data: AuditData):
    cohort = copy.copy(data.cohort)
    cohort.__dict__.pop("patients", None)  # computed from the scans
    cohort.scans = cohort.scans.drop(columns="mrs_90d")
    with pytest.raises(UserError, match="mrs_90d"):
        build_table(replace(data, cohort=cohort), ProtocolConfig("x", inputs=["mrs_90d"]))
