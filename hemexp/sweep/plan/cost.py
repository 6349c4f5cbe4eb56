"""The fits of a job, estimates of its cost, and the key of jobs whose fits may be trained together."""

from hemexp.config import TrainConfig

OWN, NEW_FOLDS = "own", "new_folds"  # stages beside those of hemexp.evaluation.plan: the run's model; the reevaluation
_OTHER_LABELS = 9  # definitions of expansion beside the run's
_SECONDS = 5e-7  # for each unit of cost, on one core with 60 patients and 72 inputs; only the order of size matters


def count_fits(cfg: TrainConfig) -> dict[str, int]:
    """Return the largest number of fits of a run's model by stage, without reading its cohort."""
    evaluation = cfg.evaluation
    if evaluation.name == "off":
        return {OWN: 1}
    folds = evaluation.num_folds
    return {
        OWN: 1,
        "folds": folds * evaluation.num_repeats,
        "training": 0 if evaluation.reuses_folds else folds * evaluation.threshold_repeats,
        "refits": evaluation.num_refits + 1 if evaluation.num_refits else 0,
        "labels": _OTHER_LABELS * folds * evaluation.label_repeats,
    }


def count_epochs(cfg: TrainConfig) -> int:
    """Return the largest number of epochs that a run trains over all its fits.

    A fit of a model that is not a network counts as one epoch.
    """
    return (cfg.trainer.max_epochs if cfg.model.is_network else 1) * sum(count_fits(cfg).values())


def estimate_cost(cfg: TrainConfig) -> float:
    """Return the estimated cost of a run, in seconds on one core, to compare the jobs of a sweep."""
    sizes = vars(cfg.model)
    channels = sizes.get("channels", [])
    convolution = sizes.get("kernel_size", 0) * (channels[0] * (1 + channels[1]) if channels else 0)
    attention = 40 * sizes.get("num_heads", 0) + 10 * sizes.get("embed_dim", 0)
    width = sizes.get("hidden_dim", 0) * (sum(channels[1:]) + sizes.get("embed_dim", 0))
    return float(count_epochs(cfg) * (500.0 + convolution + attention + width) * _SECONDS)


def get_batch_key(cfg: TrainConfig) -> str:
    """Return a key that is equal for jobs whose fits may be trained together; empty for a job that trains alone."""
    # a profile covers one training, and a job that may be pruned trains one repeat after another
    if not cfg.is_batched or cfg.trainer.profiler is not None or cfg.search.prune:
        return ""
    return repr((cfg.model, cfg.trainer, cfg.data, cfg.label, cfg.features))
