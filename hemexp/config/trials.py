"""Try a loss, an optimizer or a schedule of another package before a run begins; PyTorch is imported only then."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hemexp.errors import UserError

if TYPE_CHECKING:
    from hemexp.config.optimization import CustomLossConfig, CustomOptimizerConfig, CustomSchedulerConfig

_LABELS = [0, 1, 1, 0]  # of made-up patients
_MOST_EPOCHS = 10_000  # in which a schedule is tried


def try_loss(config: "CustomLossConfig") -> None:
    """Compute a loss of four made-up patients, and its gradient.

    Raises:
        UserError: names the target, the reason and the rule.
    """
    torch: Any = import_module("torch")
    labels, logits = torch.tensor(_LABELS), torch.linspace(-1, 1, 2 * len(_LABELS)).reshape(-1, 2).requires_grad_()
    more = "; loss=weighted takes the class weights of the training part" * ("weight" in config.args)
    rule = f"it gets logits {tuple(logits.shape)} and labels {tuple(labels.shape)}, 0 or 1{more}"
    with _errors_of(config, rule):
        losses = config.build()(logits, labels)
        config.check_result(losses, labels)
        if not losses.requires_grad:
            raise UserError(
                f"loss.target={config.target}: has no gradient; rule: compute it from the logits in PyTorch"
            )
        losses.mean().backward()
        if losses.ndim == 0:  # the loss of each patient twice must have the same mean
            twice = config.build()(torch.cat([logits, logits]).detach(), torch.cat([labels, labels]))
            once = float(losses.detach())
            if abs(float(twice.detach()) - 2 * once) < 1e-6 * abs(once):
                rule = "the mean over the patients, or the loss of each; give loss.args.reduction=mean"
                raise UserError(f"loss.target={config.target}: returns a sum over the patients; rule: {rule}")
    if not losses.isfinite().all() or not logits.grad.isfinite().all():
        raise UserError(f"loss.target={config.target}: the loss or its gradient is NaN or infinite; {rule}")


def try_optimizer(config: "CustomOptimizerConfig") -> None:
    """Do two steps with an optimizer on a tiny parameter.

    Raises:
        UserError: names the target, the reason and the rule.
    """
    torch: Any = import_module("torch")
    parameter = torch.nn.Parameter(torch.ones(2, 2))

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (parameter**2).sum()
        loss.backward()
        return loss

    with _errors_of(config, "it gets parameters, the rate and optimizer.args, and is stepped with a closure"):
        optimizer = config.build([parameter])
        if not isinstance(optimizer, torch.optim.Optimizer):
            kind = type(optimizer).__name__
            raise UserError(f"optimizer.target={config.target}: returned {kind}; rule: a torch.optim.Optimizer")
        for _ in range(2):
            optimizer.step(closure)


def try_scheduler(config: "CustomSchedulerConfig", num_epochs: int) -> None:
    """Step a schedule of a tiny optimizer once an epoch.

    Raises:
        UserError: names the target, the reason and the rule.
    """
    torch: Any = import_module("torch")
    settings = {"lr": 0.1, "momentum": 0.9, "betas": (0.9, 0.999), "weight_decay": 0.0}  # of any kind of optimizer
    optimizer = torch.optim.Optimizer([torch.nn.Parameter(torch.ones(2, 2))], settings)
    with warnings.catch_warnings(), _errors_of(config, "it gets the optimizer, and is stepped once an epoch"):
        warnings.simplefilter("ignore")  # about a schedule that is stepped before its optimizer
        scheduler = config.call(optimizer)
        kinds = torch.optim.lr_scheduler.LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau
        if not isinstance(scheduler, kinds):
            rule = "a schedule of torch.optim.lr_scheduler, or a class made from LRScheduler"
            raise UserError(f"scheduler.target={config.target}: returned {type(scheduler).__name__}; rule: {rule}")
        metrics = [1.0] if isinstance(scheduler, kinds[1]) else []
        for _ in range(min(num_epochs, _MOST_EPOCHS)):
            scheduler.step(*metrics)


@contextmanager
def _errors_of(config: Any, rule: str) -> Iterator[None]:
    """Turn an error of the target into a message for the user."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        where = f"{config.PREFIX}.target={config.target}"
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise UserError(f"{where}: failed when it was tried ({problem}); {rule}") from error
