"""How much a job has to do, to begin with the longest and to say how much is left; and what jobs may do together."""

from hemexp.config import NetConfig, TrainConfig


def count_epochs(cfg: TrainConfig) -> int:
    """Return the epochs, over all fits, that a run trains at most; a fit of what is no network counts as one."""
    each = cfg.trainer.max_epochs if isinstance(cfg.model, NetConfig) else 1
    evaluation = cfg.evaluation
    folds = evaluation.num_folds * (evaluation.num_repeats + evaluation.threshold_repeats)
    # label sensitivity: nine other definitions of expansion
    folds += evaluation.num_refits + 9 * evaluation.num_folds * evaluation.label_repeats
    return each * (1 + (0 if evaluation.name == "off" else folds))


def estimate_cost(cfg: TrainConfig) -> float:
    """Return a guess of a run's work, to compare it with its siblings' by."""
    sizes = vars(cfg.model)
    channels = sizes.get("channels", [])
    convolution = sizes.get("kernel_size", 0) * (channels[0] * (1 + channels[1]) if channels else 0)
    attention = 40 * sizes.get("num_heads", 0) + 10 * sizes.get("embed_dim", 0)
    width = sizes.get("hidden_dim", 0) * (sum(channels[1:]) + sizes.get("embed_dim", 0))
    return float(count_epochs(cfg) * (500.0 + convolution + attention + width))


def could_share(cfg: TrainConfig) -> str:
    """Return what jobs have in common that may be trained together; empty for one that trains alone."""
    if not isinstance(cfg.model, NetConfig) or cfg.trainer.profiler is not None:  # a profile is of one training
        return ""
    return repr((cfg.model, cfg.trainer, cfg.data, cfg.label, cfg.features))
