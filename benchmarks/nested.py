"""Which model the patients themselves choose, and what that choice is worth: nested cross-validation.

python benchmarks/nested.py [--repeats 4] [--inner-repeats 2] [--score brier] [--candidates NAME ...]

In every fold of 5-fold cross-validation, repeated, the candidates are cross-validated within the training patients; the
best of them is fitted to these and tried on the patients held out. What is scored is the choosing, not a model. Reads
the cohort that `HEMEXP_COHORT` names, a synthetic one where it is not set.
"""

import argparse
from collections import Counter

import numpy as np
import pandas as pd
import rivals

from hemexp.config import LOWER_IS_BETTER, TrainConfig
from hemexp.config.compose import load_config
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.evaluation.cross_validation import CrossValidated, cross_validate, score_parts
from hemexp.evaluation.folds import Fold, evaluated_indices, repeated_folds
from hemexp.evaluation.pipeline import Pipeline, build_pipeline
from hemexp.formatting import interval_text
from hemexp.training.fit import fit

# fixed before the run, with earlier results on the cohort in sight: small and regularized models, on what is known at
# admission or on the paper's inputs, and knowing nothing; the first is what the paper did
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
SHOWN = ("auroc", "brier", "log_loss")
Pipelines = dict[str, Pipeline]


def pipelines(names: list[str]) -> tuple[Pipelines, list[int]]:
    """Return these candidates' pipelines, and the table positions of the patients who are divided."""
    found = {}
    for name in names:
        cfg = load_config(TrainConfig, [*rivals.data_override(), "trainer.progress_bar=false", *CANDIDATES[name]])
        data = ExpansionDataModule.from_config(cfg)
        data.setup()
        found[name] = build_pipeline(cfg, data)
    return found, evaluated_indices(cfg, data)


def best_of(every: dict[str, CrossValidated], score: str) -> str:
    """Return the candidate with the best mean over folds."""
    sign = 1 if score in LOWER_IS_BETTER else -1
    return min(every, key=lambda name: sign * float(every[name].scores[score].mean()))


def validated(candidates: Pipelines, indices: list[int], num_repeats: int, seed: int) -> dict[str, CrossValidated]:
    """Cross-validate every candidate on the same folds of some patients."""
    first = next(iter(candidates.values()))
    parts = repeated_folds(first.labels, indices, 5, num_repeats, seed)
    every = cross_validate(list(candidates.values()), parts, first.cfg.trainer)
    return dict(zip(candidates, every, strict=True))


def chosen_in(part: Fold, candidates: Pipelines, num_repeats: int, score: str) -> str:
    """Return the candidate that the training patients of an outer fold choose."""
    return best_of(validated(candidates, part.train.tolist(), num_repeats, part.seed % 2**31), score)


def main() -> None:
    """Print what was chosen, and what the choosing scored beside each candidate on the same folds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--inner-repeats", type=int, default=2)
    parser.add_argument("--score", default="brier", choices=SHOWN)
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), choices=CANDIDATES, metavar="NAME")
    options = parser.parse_args()
    candidates, indices = pipelines(options.candidates)
    whole = validated(candidates, indices, options.repeats, seed=0)
    parts = next(iter(whole.values())).parts
    picked = [chosen_in(part, candidates, options.inner_repeats, options.score) for part in parts]
    outer = nested(parts, picked, candidates)
    counts = Counter(picked)
    rows = [["the choice, nested", "", *(interval_text(outer.score(name), 3) for name in SHOWN)]]
    for name, each in whole.items():
        rows.append([name, counts[name], *(interval_text(each.score(score), 3) for score in SHOWN)])
    title = f"{len(parts)} outer folds, chosen by {options.score}"
    rivals.table([title, "times chosen", *SHOWN], rows)
    print(f"\nall patients choose: {best_of(whole, options.score)}")


def nested(parts: list[Fold], picked: list[str], candidates: Pipelines) -> CrossValidated:
    """Return the scores of the outer folds, each of the candidate that was chosen there."""
    pipeline = next(iter(candidates.values()))
    chosen = [candidates[name] for name in picked]
    members = [each.member(part.train.tolist(), part.seed) for each, part in zip(chosen, parts, strict=True)]
    results = fit(members, pipeline.cfg.trainer)
    single = [
        score_parts(*each) for each in zip(chosen, ([part] for part in parts), ([r] for r in results), strict=True)
    ]
    probabilities = np.full((parts[-1].repeat + 1, len(pipeline.labels)), np.nan)
    for part, each in zip(parts, single, strict=True):
        probabilities[part.repeat, part.test] = each.probabilities[part.repeat, part.test]
    scores = pd.concat([each.scores for each in single], ignore_index=True)
    return CrossValidated(parts, pipeline.labels, probabilities, scores, [each.predictors[0] for each in single])


if __name__ == "__main__":
    main()
