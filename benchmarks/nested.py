"""Nested cross-validation of the choice between several models.

python benchmarks/nested.py [--repeats 4] [--inner-repeats 2] [--score brier] [--candidates NAME ...] [--networks]

In every fold of repeated 5-fold cross-validation, the candidates are cross-validated within the training patients. The
best candidate is then fitted to all training patients and scored on the held-out patients. The result is the score of
the choice, not of one model. Reads the cohort of the environment variable `HEMEXP_COHORT`, or a synthetic cohort.
"""

import argparse
from collections import Counter

import numpy as np
import pandas as pd
import rivals

from hemexp.config import TrainConfig
from hemexp.config.compose import load_config
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.evaluation.cross_validation import CrossValidated, cross_validate, score_folds
from hemexp.evaluation.folds import Fold, evaluated_indices, repeated_folds
from hemexp.evaluation.pipeline import Pipeline, build_pipeline
from hemexp.formatting import interval_text
from hemexp.metrics.table import METRICS
from hemexp.training.fit import fit

# Fixed before the run, but with knowledge of earlier results on this cohort: small and regularized models with the
# inputs known at admission or the inputs of the paper, and the prevalence. The first candidate is the paper's model.
CANDIDATES = {
    "sacnn, paper": ["model=sacnn", "features=paper"],
    "logistic, paper": ["model=logistic", "features=paper", "model.C=null", "model.l1_ratio=null"],
    "logistic, admission": ["model=logistic", "features=admission", "model.C=null", "model.l1_ratio=null"],
    "lasso, admission": ["model=logistic", "features=admission", "model.C=null", "model.l1_ratio=1"],
    "ridge, admission": ["model=logistic", "features=admission", "model.C=null", "model.l1_ratio=0"],
    "forest, admission": ["model=random_forest", "features=admission"],
    "boosting, admission": ["model=gradient_boosting", "features=admission"],
    "firth, minimal": ["model=firth", "features=minimal"],
    "ridge2": ["model=ridge2"],
    "brain": ["model=brain"],
    "volume": ["model=volume"],
    "prevalence": ["model=prevalence"],
}
# The settings among which experiment=sacnn_honest was chosen; fixed before the run. All stop early on their own part.
HONEST = ["model=sacnn", "split.val_fraction=0.2", "trainer.patience=50", "trainer.stop_loss=null"]
NETWORKS = {
    "one network": [],
    "eight": ["ensemble=8"],
    "eight, weight decay": ["ensemble=8", "optimizer=adamw", "optimizer.weight_decay=0.1"],
    "eight, admission": ["ensemble=8", "features=admission"],
    "eight, recalibrated": ["ensemble=8", "calibrate=logistic"],
    "eight, admission, recalibrated": ["ensemble=8", "features=admission", "calibrate=logistic"],
}
NETWORKS = {name: [*HONEST, *overrides] for name, overrides in NETWORKS.items()}
SHOWN = ("auroc", "brier", "log_loss")
Pipelines = dict[str, Pipeline]


def pipelines(names: list[str]) -> tuple[Pipelines, list[int]]:
    """Return the pipelines of these candidates, and the table positions of the patients to cross-validate."""
    candidates = {}
    for name in names:
        overrides = (CANDIDATES | NETWORKS)[name]
        cfg = load_config(TrainConfig, [*rivals.data_override(), "trainer.progress_bar=false", *overrides])
        data = ExpansionDataModule.from_config(cfg)
        data.setup()
        candidates[name] = build_pipeline(cfg, data)
    return candidates, evaluated_indices(cfg.evaluation, data)


def choose_best(validated: dict[str, CrossValidated], score: str) -> str:
    """Return the candidate with the best mean over folds."""
    sign = -1 if METRICS[score].higher_is_better else 1
    return min(validated, key=lambda name: sign * float(validated[name].scores[score].mean()))


def cross_validate_all(
    candidates: Pipelines, indices: list[int], num_repeats: int, seed: int
) -> dict[str, CrossValidated]:
    """Cross-validate every candidate on the same folds of some patients."""
    first = next(iter(candidates.values()))
    folds = repeated_folds(first.labels, indices, 5, num_repeats, seed)
    results = cross_validate(list(candidates.values()), folds, first.cfg.trainer)
    return dict(zip(candidates, results, strict=True))


def choose_in_fold(fold: Fold, candidates: Pipelines, num_repeats: int, score: str) -> str:
    """Return the candidate with the best score within the training patients of an outer fold."""
    return choose_best(cross_validate_all(candidates, fold.train.tolist(), num_repeats, fold.seed % 2**31), score)


def main() -> None:
    """Print the chosen candidates, and the scores of the choice and of each candidate in the same folds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--inner-repeats", type=int, default=2)
    parser.add_argument("--score", default="brier", choices=SHOWN)
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), choices=CANDIDATES, metavar="NAME")
    parser.add_argument("--networks", action="store_true", help="the candidates of experiment=sacnn_honest")
    options = parser.parse_args()
    candidates, indices = pipelines(list(NETWORKS) if options.networks else options.candidates)
    by_candidate = cross_validate_all(candidates, indices, options.repeats, seed=0)
    folds = next(iter(by_candidate.values())).folds
    chosen = [choose_in_fold(fold, candidates, options.inner_repeats, options.score) for fold in folds]
    outer = score_choice(folds, chosen, candidates)
    counts = Counter(chosen)
    rows = [["the choice, nested", "", *(interval_text(outer.score(name), 3) for name in SHOWN)]]
    for name, validated in by_candidate.items():
        rows.append([name, counts[name], *(interval_text(validated.score(score), 3) for score in SHOWN)])
    title = f"{len(folds)} outer folds, chosen by {options.score}"
    rivals.table([title, "times chosen", *SHOWN], rows)
    print(f"\nchoice with all patients: {choose_best(by_candidate, options.score)}")


def score_choice(folds: list[Fold], chosen: list[str], candidates: Pipelines) -> CrossValidated:
    """Return the scores of the outer folds, in each fold of the chosen candidate."""
    first = next(iter(candidates.values()))
    pipelines = [candidates[name] for name in chosen]
    members = [each.member(fold.train.tolist(), fold.seed) for each, fold in zip(pipelines, folds, strict=True)]
    results = fit(members, first.cfg.trainer)
    by_fold = [
        score_folds(each, [fold], [result]) for each, fold, result in zip(pipelines, folds, results, strict=True)
    ]
    probabilities = np.full((folds[-1].repeat + 1, len(first.labels)), np.nan)
    for fold, scored in zip(folds, by_fold, strict=True):
        probabilities[fold.repeat, fold.test] = scored.probabilities[fold.repeat, fold.test]
    scores = pd.concat([scored.scores for scored in by_fold], ignore_index=True)
    return CrossValidated(folds, first.labels, probabilities, scores, [scored.predictors[0] for scored in by_fold])


if __name__ == "__main__":
    main()
