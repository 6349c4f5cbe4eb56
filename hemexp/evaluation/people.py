"""Whom an evaluation divides, and whether they can be divided so."""

from hemexp.config import TrainConfig
from hemexp.datamodule import ExpansionDataModule
from hemexp.errors import UserError
from hemexp.evaluation.cross_validation import repeated_folds
from hemexp.evaluation.recipe import recipe_of

_USUAL_FOLDS = 5  # a cohort too small even for these has no cross-validation, and a caveat


def training_part(data: ExpansionDataModule) -> list[int]:
    """Return the table positions of the patients that the run's model is fitted to."""
    return sorted(data.split.positions("train") + data.split.positions("val"))


def evaluated_people(cfg: TrainConfig, data: ExpansionDataModule) -> list[int]:
    """Return the table positions of the patients whom cross-validation divides, as ``evaluation.patients`` says."""
    training = training_part(data)
    return training if cfg.evaluation.patients == "train" else sorted(training + data.split.positions("test"))


def rehearse(cfg: TrainConfig, data: ExpansionDataModule) -> None:
    """Draw every part that the evaluation will hold out, before hours of training meet one that cannot be drawn.

    Raises:
        UserError: a fold's patients cannot be divided as the split asks, or more folds are asked for than there are
            patients of the rarer outcome.
    """
    recipe, evaluation = recipe_of(cfg, data), cfg.evaluation
    people = evaluated_people(cfg, data)
    events = int(recipe.labels[people].sum())
    rarer = min(events, len(people) - events)
    if evaluation.name != "off" and _USUAL_FOLDS <= rarer < evaluation.num_folds:
        raise UserError(
            f"evaluation.num_folds={evaluation.num_folds}: each fold must hold both outcomes, and of {len(people)} "
            f"patients {events} have expansion; give at most {rarer}"
        )
    if evaluation.name == "off" or cfg.split.val_fraction == 0:
        return
    for num_repeats, rows in ((evaluation.num_repeats, people), (evaluation.threshold_repeats, training_part(data))):
        for part in repeated_folds(recipe.labels, rows, evaluation.num_folds, num_repeats, cfg.seed):
            recipe.member(part.train.tolist(), part.seed)
