"""Estimates of the cost of a job, and the key of jobs that may be trained in one batch."""

from hemexp.config import NetConfig, TrainConfig


def count_epochs(cfg: TrainConfig) -> int:
    """Return the largest number of epochs that a run trains over all its fits.

    A fit of a model that is not a network counts as one epoch.
    """
    epochs_per_fit = cfg.trainer.max_epochs if isinstance(cfg.model, NetConfig) else 1
    evaluation = cfg.evaluation
    num_fits = evaluation.num_folds * (evaluation.num_repeats + evaluation.threshold_repeats)
    # label sensitivity: nine other definitions of expansion
    num_fits += evaluation.num_refits + 9 * evaluation.num_folds * evaluation.label_repeats
    return epochs_per_fit * (1 + (0 if evaluation.name == "off" else num_fits))


def estimate_cost(cfg: TrainConfig) -> float:
    """Return the estimated cost of a run in any unit, to compare the jobs of a sweep."""
    sizes = vars(cfg.model)
    channels = sizes.get("channels", [])
    convolution = sizes.get("kernel_size", 0) * (channels[0] * (1 + channels[1]) if channels else 0)
    attention = 40 * sizes.get("num_heads", 0) + 10 * sizes.get("embed_dim", 0)
    width = sizes.get("hidden_dim", 0) * (sum(channels[1:]) + sizes.get("embed_dim", 0))
    return float(count_epochs(cfg) * (500.0 + convolution + attention + width))


def get_batch_key(cfg: TrainConfig) -> str:
    """Return a key that is equal for jobs that may be trained in one batch; empty for a job that trains alone."""
    if not isinstance(cfg.model, NetConfig) or cfg.trainer.profiler is not None:  # a profile covers one training
        return ""
    return repr((cfg.model, cfg.trainer, cfg.data, cfg.label, cfg.features))
