"""Metrics that a user adds: their numbers, their directions, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import brier_score_loss, f1_score

import hemexp
from hemexp.config import TrainConfig, config_hash
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.evaluation.metrics import score_predictions
from hemexp.files.result import Score
from hemexp.metrics.own import get_metrics
from hemexp.metrics.table import METRICS, STANDARD

F1 = "torchmetrics.classification.BinaryF1Score"
SHARE = "def share(labels, probabilities):\n    return (probabilities > 0.5).mean()\n"


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Return a function that writes a module that can be imported, and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, code: str) -> str:
        (tmp_path / f"{name}.py").write_text(code)
        return name

    return write


def draw(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = (rng.random(n) < 0.4).astype(float)
    return y, np.clip(0.3 * y + rng.random(n) * 0.7, 0, 1)


def score(source: str, y: np.ndarray, p: np.ndarray) -> Score:
    (own,) = get_metrics([source])[len(STANDARD) :]
    return score_predictions(y, p, majority=0, metrics=[own])[f"test/{own.name}"]


def test_a_class_of_torchmetrics_has_scikit_learns_value_and_scipys_interval():
    y, p = draw()
    found = score(F1, y, p)
    assert found.value == pytest.approx(f1_score(y, p > 0.5))
    # hemexp widens the percentiles by Student's t; scipy gets the same wider level
    reach = stats.t.ppf(0.025, 59) * np.sqrt(60 / 59)
    level = 1 - 2 * stats.norm.cdf(reach)
    oracle = stats.bootstrap(
        (y, p), lambda y, p: f1_score(y, p > 0.5), paired=True, vectorized=False, method="percentile",
        confidence_level=level, n_resamples=2000, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=0.02)


def test_the_standard_metrics_have_the_same_numbers_beside_an_own_one(write_module):
    y, p = draw()
    alone = score_predictions(y, p, majority=0)
    beside = score_predictions(y, p, 0, metrics=get_metrics([f"{write_module('beside', SHARE)}.share", F1]))
    assert {key: beside[key] for key in alone} == alone
    assert list(beside) == [*alone, "test/share", "test/BinaryF1Score"]


def test_an_own_function_gets_whole_numbers_and_copies_of_the_data(write_module):
    module = write_module("spoils", "def spoil(y, p):\n    y[:] = y * 1; p[:] = 0\n    return y.sum() / len(y)\n")
    y, p = draw()
    before = p.copy()
    assert score(f"{module}.spoil", y, p).value == pytest.approx(y.mean())
    assert (p == before).all()


def test_nan_and_infinity_mean_not_defined(write_module):
    code = "def nan(y, p):\n    return float('nan')\n\ndef infinite(y, p):\n    return float('inf')\n"
    module = write_module("undefined", code)
    assert score(f"{module}.nan", *draw()) == score(f"{module}.infinite", *draw()) == Score()


def test_a_function_is_called_only_for_patients_with_both_outcomes_unless_it_allows_one(write_module):
    code = (
        "import hemexp\n"
        "def f(y, p):\n    assert 0 < y.sum() < len(y)\n    return p.mean()\n"
        "@hemexp.register_metric('mean_risk', needs_both_outcomes=False)\ndef mean_risk(y, p):\n    return p.mean()\n"
    )
    module, p = write_module("outcomes", code), np.linspace(0, 1, 5)
    assert score(f"{module}.f", np.zeros(5), p) == Score()
    assert score(f"{module}.f", np.array([1.0, 0, 0, 0, 0]), p).low is not None
    assert score(f"{module}.mean_risk", np.zeros(5), p).value == pytest.approx(0.5)


def test_the_decorator_gives_direction_wording_limits_and_the_number_of_resamples(write_module):
    code = (
        "import hemexp\n@hemexp.register_metric('cost', higher_is_better=False, text='mean cost', limits=(0, 10),"
        " num_resamples=200)\ndef total(labels, probabilities):\n    return (labels != (probabilities > 0.5)).mean()\n"
    )
    module = write_module("decorated", code)
    (by_module,) = get_metrics([f"{module}.total"])[len(STANDARD) :]
    (by_name,) = get_metrics(["cost"])[len(STANDARD) :]
    for metric in (by_module, by_name):
        assert (metric.name, metric.higher_is_better, metric.limits) == ("cost", False, (0, 10))
        assert metric.text == "mean cost (interval from 200 resamples)"
    assert by_module.source == f"{module}.total"


def test_a_metric_with_a_direction_can_rank_and_one_without_cannot(write_module):
    module = write_module("plain", SHARE)
    metrics = f"metrics=[{F1},{module}.share,torchmetrics.classification.BinaryCalibrationError]"
    assert load_config(TrainConfig, [metrics, "search.score=BinaryF1Score"]).ranking_metric.higher_is_better
    error = load_config(TrainConfig, [metrics, "search.score=BinaryCalibrationError"]).ranking_metric
    assert error.higher_is_better is False
    with pytest.raises(UserError, match=r"search\.score=share: must be .*direction"):
        load_config(TrainConfig, [metrics, "search.score=share"])


def test_metrics_are_part_of_the_hash_and_one_name_needs_no_brackets():
    one, several, none = (load_config(TrainConfig, o) for o in ([f"metrics={F1}"], [f"metrics=[{F1}]"], []))
    assert one.metrics == several.metrics == [F1]
    assert config_hash(one) == config_hash(several) != config_hash(none)


RAISES = "def f(labels, probabilities):\n    raise KeyError('age')\n"
SILENT = (
    "class Silent:\n    def __float__(self):\n        raise KeyError\n    ndim = 0\n"
    "def f(labels, probabilities):\n    return Silent()\n"
)
MISTAKES = {
    "there is no module": ("no_such_module.f", "", ["there is no module no_such_module", "MODULE.NAME"]),
    "there is no name": ("own_a.g", SHARE, ["the module own_a has no g", "f(labels, probabilities)"]),
    "the module fails": ("own_b.f", "1 / 0", ["own_b cannot be imported", "ZeroDivisionError"]),
    "the module needs another": ("own_c.f", "import no_such_package", ["own_c cannot be imported", "no_such_package"]),
    "it cannot be called": ("own_d.f", "f = 3", ["own_d.f: is not a metric"]),
    "it is another class": ("own_e.F", "class F:\n    def __init__(self, a, b): ...", ["own_e.F: is not a metric"]),
    "one argument": ("own_f.f", "def f(labels):\n    return 1", ["does not take two arguments"]),
    "three arguments": ("own_g.f", "def f(a, b, c):\n    return 1", ["does not take two arguments", "'c'"]),
    "a text": ("own_h.f", "def f(a, b):\n    return '0.5'", ["returned str, not a number"]),
    "nothing": ("own_i.f", "def f(a, b):\n    pass", ["returned NoneType, not a number"]),
    "several numbers": ("own_j.f", "def f(a, b):\n    return b", ["returned ndarray, not a number"]),
    "too large a number": ("own_r.f", "def f(a, b):\n    return 10**400", ["own_r.f: returned a number above 1e308"]),
    "an object": ("own_s.f", SILENT, ["own_s.f: returned Silent, not a number"]),
    "an error with equal risks": ("own_p.f", "def f(a, b):\n    return 1 / len(set(b[1:] - b[:-1]) - {0})",
                                  ["own_p.f: raised ZeroDivisionError", "return float('nan')"]),
    "an error": ("own_k.f", RAISES, ["own_k.f: raised KeyError: 'age'", "60 patients"]),
    "a standard metric": ("auroc", "", ["metrics=auroc: is a standard metric"]),
    "the name of a standard metric": ("own_l.brier", "def brier(a, b):\n    return 1", ["the name brier is taken"]),
    "the name of a column": ("own_m.fold", "def fold(a, b):\n    return 1", ["the name fold is taken"]),
    "no registered name": ("f9", "", ["metrics=f9: there is no registered metric"]),
    "a function of torchmetrics": (
        "torchmetrics.functional.classification.binary_f1_score", "", ["is not a metric", "a class of torchmetrics"],
    ),
    "a class with arguments": (
        "torchmetrics.classification.BinaryFBetaScore", "", ["cannot be built without arguments", "'beta'"],
    ),
    "a class with two results": ("torchmetrics.classification.BinaryROC", "", ["returned tuple, not a number"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_metric_with_a_mistake_is_refused_by_the_configuration(mistake: str, write_module):
    source, code, words = MISTAKES[mistake]
    if code:
        write_module(source.partition(".")[0], code)
    with pytest.raises(UserError) as refused:
        load_config(TrainConfig, [f"metrics=[{source}]"])
    assert str(refused.value).startswith(f"metrics={source}: ")
    assert all(word in str(refused.value) for word in words), refused.value


def test_a_metric_that_allows_one_outcome_is_tried_with_one(write_module):
    code = (
        "import hemexp\n@hemexp.register_metric('own_share', needs_both_outcomes=False)\n"
        "def f(labels, probabilities):\n    return 1 / int(labels.sum())\n"
    )
    with pytest.raises(UserError, match=r"metrics=own_share: raised ZeroDivisionError: .* 60 patients, 0 of them"):
        load_config(TrainConfig, [f"metrics={write_module('one_outcome', code)}.f"])


def test_two_metrics_of_one_name_are_refused(write_module):
    first, second = write_module("own_n", SHARE), write_module("own_o", SHARE)
    with pytest.raises(UserError, match=r"own_n\.share and own_o\.share: two metrics with the name share"):
        load_config(TrainConfig, [f"metrics=[{first}.share,{second}.share]"])
    with pytest.raises(UserError, match=r"own_n\.share twice"):
        load_config(TrainConfig, [f"metrics=[{first}.share,{first}.share]"])


@pytest.mark.parametrize(("name", "words"), [("auroc", "is taken"), ("a b", "letters, digits"), ("x/y", "letters")])
def test_a_name_that_cannot_be_a_metric_is_refused_by_the_decorator(name: str, words: str):
    with pytest.raises(UserError, match=words):
        hemexp.register_metric(name)(lambda labels, probabilities: 1.0)


@pytest.mark.parametrize("wrong", [{"limits": (1, 0)}, {"limits": (0, 0.5, 1)}, {"num_resamples": 10}])
def test_wrong_limits_and_too_few_resamples_are_refused_by_the_decorator(wrong: dict):
    with pytest.raises(UserError, match=f"metric f: {next(iter(wrong))}=.*must be"):
        hemexp.register_metric("f", **wrong)


def test_a_registered_name_is_not_given_twice():
    hemexp.register_metric("once")(f1_score)
    hemexp.register_metric("once")(f1_score)  # the same function, as after a second import
    with pytest.raises(UserError, match="once: there is another metric of this name"):
        hemexp.register_metric("once")(brier_score_loss)


def test_the_interval_of_a_class_of_torchmetrics_is_not_cut_at_zero():
    y, p = draw(20)
    found = score("torchmetrics.classification.BinaryMatthewsCorrCoef", y, 1 - p)
    assert -1 <= found.low < found.value < 0
    (mcc,) = get_metrics(["torchmetrics.classification.BinaryMatthewsCorrCoef"])[len(STANDARD) :]
    assert mcc.limits == (-np.inf, np.inf)  # of the interval in cross-validation


def test_an_object_of_torchmetrics_with_arguments_is_a_metric(write_module):
    module = write_module(
        "objects", "from torchmetrics.classification import BinaryFBetaScore\nf2 = BinaryFBetaScore(2.0)"
    )
    y, p = draw()
    hits = (y * (p > 0.5)).sum()
    assert score(f"{module}.f2", y, p).value == pytest.approx(5 * hits / (4 * y.sum() + (p > 0.5).sum()))


def test_the_table_names_every_standard_metric_once_and_only_the_majority_cannot_rank():
    assert [metric.name for metric in STANDARD if not metric.ranks] == ["majority_accuracy"]
    assert {name for name, metric in METRICS.items() if not metric.higher_is_better} == {"brier", "log_loss"}
