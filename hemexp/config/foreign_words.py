"""Words of other templates, each with hemexp's word for it.

The words are those of lightning-hydra-template, Lightning's command line, nnU-Net and skorch. A setting that exists in
hemexp is never looked up here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from hemexp.config.section import Section, list_sections

# other words | hemexp's, with the value that was given | what to know or to do. The first row that fits is used: a row
# with a value, then a row with the key, then a row with a part of the key.
_TABLE = """
trainer=gpu trainer=cuda trainer=cpu trainer=mps trainer=auto device accelerator trainer.device | trainer.accelerator={value} |
trainer | trainer.accelerator=gpu | the trainer is not a group: its keys are set one by one
trainer=ddp trainer=ddp_sim trainer=ddp_spawn strategy trainer.strategy trainer.num_nodes trainer.sync_batchnorm | -m where=gpus | a run trains on one device, and a sweep uses all of them
gpus=0 trainer.gpus=0 num_gpus=0 | trainer.accelerator=cpu |
gpus num_gpus trainer.gpus trainer.num_gpus | trainer.accelerator=gpu | a run trains on one device; -m where=gpus uses all of them for a sweep
devices num_devices | trainer.devices={value} |
lr learning_rate base_lr initial_lr trainer.lr trainer.learning_rate model.lr model.learning_rate model.optimizer.lr model.optimizer.learning_rate optimizer.learning_rate optim.lr optimizer.initial_lr | optimizer.lr={value} |
wd weight_decay model.weight_decay model.optimizer.weight_decay optim.weight_decay | optimizer.weight_decay={value} |
optimizer._target_ | engine=lightning optimizer=custom optimizer.target={value} |
model.optimizer optim | optimizer=NAME | the choices are in --help; any other class: engine=lightning optimizer=custom optimizer.target=CLASS
optimizer.betas optimizer.eps optimizer.amsgrad optimizer.fused | engine=lightning optimizer=custom optimizer.target=torch.optim.Adam optimizer.args.{name}={value} |
nesterov | optimizer=sgd optimizer.nesterov={value} |
momentum model.optimizer.momentum | optimizer.momentum={value} | with optimizer=sgd
scheduler._target_ | engine=lightning scheduler=custom scheduler.target={value} |
lr_scheduler model.scheduler model.lr_scheduler | scheduler=NAME | the choices are in --help; any other class: engine=lightning scheduler=custom scheduler.target=CLASS
scheduler=CosineAnnealingLR scheduler=cosine_annealing scheduler.T_max | scheduler=cosine | over trainer.max_epochs
scheduler=StepLR scheduler.step_size | scheduler=step scheduler.every=100 | epochs
scheduler.gamma scheduler=ExponentialLR | scheduler=step scheduler.factor=0.5 |
scheduler=ReduceLROnPlateau scheduler=reduce_on_plateau scheduler=reduce_lr_on_plateau | scheduler=plateau |
scheduler=constant | scheduler=none |
scheduler.eta_min | scheduler=cosine scheduler.min_lr={value} |
warmup warmup_epochs warmup_steps warmup_ratio num_warmup_steps trainer.warmup_epochs scheduler.warmup_epochs scheduler.warmup_steps scheduler.warmup_ratio scheduler.num_warmup_steps scheduler=warmup | scheduler=warmup_cosine scheduler.warmup=0.1 | the share of trainer.max_epochs
loss=ce loss=bce loss=bce_with_logits loss=nll loss=CrossEntropyLoss loss=BCEWithLogitsLoss | loss=cross_entropy |
class_weight class_weights pos_weight loss.weight loss.pos_weight loss.class_weights | loss=weighted | the weights come from the training part
label_smoothing loss.label_smoothing | loss=label_smoothing loss.epsilon={value} |
criterion loss_fn model.criterion model.loss model.loss_fn | loss=NAME | the choices are in --help; any other function: engine=lightning loss=custom loss.target=FUNCTION
grad_clip clip_grad gradient_clip gradient_clip_val max_grad_norm trainer.gradient_clip trainer.grad_clip trainer.max_grad_norm | trainer.gradient_clip_val={value} |
ensemble.size ensemble.n ensemble.num_members ensemble_size n_ensemble num_ensemble num_members | ensemble={value} |
calibrate=platt calibrate=sigmoid calibrate=true calibrate=isotonic calibration calibration.method | calibrate=logistic | Platt's method; there is no other one
precision=16-mixed precision=bf16-mixed trainer.precision=16-mixed trainer.precision=bf16-mixed | engine=lightning trainer.lightning.precision={value} |
amp fp16 trainer.amp trainer.precision=16 | engine=lightning trainer.lightning.precision=bf16-mixed |
precision | trainer.precision={value} | 32 or 64 bits; engine=lightning trainer.lightning.precision=bf16-mixed has fewer
epochs max_epochs num_epochs n_epochs trainer.epochs trainer.num_epochs model.epochs max_steps trainer.max_steps | trainer.max_epochs={value} | an epoch is one step, unless trainer.batch_size is set
batch_size train_batch_size trainer.train_batch_size data.batch_size datamodule.batch_size dataloader.batch_size iterator_train.batch_size | trainer.batch_size={value} | null: all patients in one step
num_workers data.num_workers data.pin_memory datamodule.num_workers dataloader.num_workers iterator_train.num_workers | | leave it out: the table lies in memory; where.num_workers=N sets the processes of a sweep
data_dir data_path data_root dataset.path data.data_dir data.dir data.path datamodule.data_dir paths.data_dir | data.root={value} |
datamodule dataset data._target_ | data.root=DIR | a folder or a file; data=synthetic has simulated patients
val_split val_fraction validation_split validation_fraction data.val_split data.train_val_test_split train_split | split.val_fraction=0.2 | the part of the training patients whose loss is watched
fold fold_idx data.fold cv_fold | split=kfold split.fold={value} |
cv k_folds num_folds n_folds n_splits kfold data.k_folds data.num_folds | evaluation.num_folds={value} |
seed_everything random_seed random_state manual_seed trainer.seed model.seed | seed={value} |
n_iter_no_change early_stopping_rounds patience early_stopping early_stopping_patience early_stopping.patience trainer.early_stopping trainer.early_stopping_patience callbacks.early_stopping.patience | trainer.patience={value} | epochs without a lower loss; val/loss with split.val_fraction
callbacks.early_stopping callbacks=early_stopping | trainer.patience=20 | epochs without a lower loss; val/loss with split.val_fraction
callbacks.model_checkpoint callbacks=model_checkpoint checkpoint_callback trainer.checkpoint_callback trainer.enable_checkpointing | | leave it out: the best and the last state are always saved in checkpoints/
callbacks=default callbacks=rich_progress_bar callbacks=model_summary | | a callback is added by engine=lightning callbacks.NAME._target_=CLASS; checkpoints are always saved, and trainer.patience=20 stops early
progress_bar verbose enable_progress_bar trainer.enable_progress_bar trainer.progress_bar_refresh_rate callbacks.rich_progress_bar | trainer.progress_bar=false | true shows it
ckpt_path resume resume_from_checkpoint c trainer.resume_from_checkpoint continue_training model.ckpt_path | | the same command with the same output_dir=DIR resumes a run; predict.py run_dir=RUN predicts with a finished run
train fit | | leave it out: train.py always trains; predict.py run_dir=RUN predicts with a finished run
test validate validation predict | | leave it out: train.py always scores the test part; evaluation=off leaves out the cross-validation
task_name exp_name run_name | tags=[{value}] |
experiment_name project_name logger.project logger.wandb.project logger.mlflow.experiment_name wandb.project | logger.experiment_name={value} |
logger.name trainer.logger | logger={value} |
logger=many_loggers logger=all | 'logger=[csv,mlflow,wandb]' |
logger=comet logger=neptune logger=aim logger=none logger=false | | the loggers are tensorboard (always), csv, mlflow and wandb
logger.mlflow.tracking_uri tracking_uri | logger.tracking_uri={value} |
logger.offline logger.entity logger.wandb.offline logger.wandb.entity use_wandb wandb | logger=wandb | the variables WANDB_MODE=offline, WANDB_ENTITY and WANDB_BASE_URL are read by wandb
logger.wandb.tags | tags={value} |
output paths.output_dir paths.log_dir paths.root_dir log_dir logdir save_dir work_dir checkpoint_dir default_root_dir trainer.default_root_dir | output_dir={value} |
debug=default debug=limit debug=limit_batches debug=fdr debug=step debug=epoch mode=debug fast_dev_run trainer.fast_dev_run | debug=fast |
debug=profiler | debug=profile |
overfit_batches trainer.overfit_batches | debug=overfit |
hparams_search optuna hydra/sweeper=optuna | -m search=tpe | with the values of the searched keys, such as model.kernel_size=3,5,7
n_trials hydra.sweeper.n_trials | search.num_trials={value} |
optimized_metric hydra.sweeper.direction | search.score=auroc | --help lists the scores
trainer.auto_lr_find trainer.auto_scale_batch_size | -m search=tpe 'optimizer.lr=tag(log,interval(1e-4,1e-2))' |
hydra/launcher=joblib hydra/launcher=submitit_local | -m where=local |
hydra/launcher=submitit_slurm | -m where=slurm |
hydra/launcher=ray | -m where=ray |
n_jobs hydra.launcher.n_jobs | where.num_workers={value} |
hydra.launcher.partition | where=slurm where.partition={value} |
hydra.launcher.timeout_min | where=slurm where.time_minutes={value} |
model._target_ model.net._target_ | model=custom model.target={value} |
model.net net module | model=NAME | the choices are in --help; your own class: model=custom model.target=CLASS, and its arguments model.args.NAME=VALUE
compile model.compile | | leave it out: hemexp does not compile, the networks are too small to gain from it
print_config extras paths | | leave it out: --cfg job prints the configuration
config | | give experiment=NAME; a YAML file of yours in FOLDER/experiment/ is found with --config-dir=FOLDER
accumulate_grad_batches min_epochs limit_train_batches limit_val_batches trainer.accumulate_grad_batches trainer.min_epochs trainer.min_steps trainer.limit_train_batches trainer.limit_val_batches trainer.deterministic trainer.detect_anomaly trainer.log_every_n_steps trainer.check_val_every_n_epoch trainer.val_check_interval trainer.num_sanity_val_steps trainer.max_time trainer.benchmark trainer.gradient_clip_algorithm | trainer.lightning.{name}={value} | with engine=lightning
"""  # noqa: E501 - a line is a row
_OPTIONS = (  # of Hydra's command line
    "help", "hydra-help", "version", "cfg", "resolve", "package", "run", "multirun", "shell-completion", "config-path",
    "config-name", "config-dir", "experimental-rerun", "info",
)  # fmt: skip
_SHORT_OPTIONS = ("-h", "-c", "-p", "-r", "-m", "-sc", "-cp", "-cn", "-cd", "-i")


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        words: ``KEY`` or ``KEY=VALUE``.
        use: hemexp's word, with ``{value}`` for the value and ``{name}`` for the last part of the key; may be empty.
        note: what to know or to do; may be empty.
    """

    words: tuple[str, ...]
    use: str
    note: str

    @property
    def key(self) -> str:
        """The first key that hemexp's word sets; empty if it sets none."""
        setting = self.use.removeprefix("-m ").strip("'")
        return setting.partition("=")[0].removesuffix(".{name}")


@cache
def list_rows() -> list[Row]:
    """Return the rows of the table."""
    cells = [[cell.strip() for cell in line.split("|")] for line in _TABLE.strip().splitlines()]
    return [Row(tuple(words.split()), use, note) for words, use, note in cells]


@cache
def _by_word() -> dict[str, Row]:
    return {word: row for row in list_rows() for word in row.words}


def list_known(schema: type[Any]) -> dict[str, bool]:
    """Return the keys of a command, with every choice of its groups, and whether each is a section."""
    own = {item.name: isinstance(item.type, type) and issubclass(item.type, Section) for item in fields(schema)}
    below = {
        f"{section.PREFIX}.{item.name}": False
        for section in list_sections()
        if own.get(section.PREFIX)
        for item in fields(section)
    }
    return own | below


def explain_word(key: str, value: str, schema: type[Any]) -> str | None:
    """Return what to give in hemexp for a setting of another template; None if the table does not hold it.

    Args:
        key: of the setting.
        value: of the setting; empty where it is not known.
        schema: of the command.
    """
    parts, value, known = key.split("."), value or "VALUE", list_known(schema)
    above = (".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))
    words = [f"{key}={value}", key, *(word for word in above if word not in known)]
    row = next((_by_word()[word] for word in words if word in _by_word()), None)
    if row is None or (row.key and row.key not in known):
        return None
    use = f"give {row.use.format(value=value, name=parts[-1])}" if row.use else ""
    return f"{use} ({row.note})" if use and row.note else use or row.note


def explain_arguments(
    arguments: Sequence[str], schema: type[Any], choices: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str]]:
    """Return the keys of the arguments that are words of other templates, each with a message.

    Args:
        arguments: of the command line.
        schema: of the command.
        choices: the choices of each group of ``conf/``.
    """
    known = list_known(schema)
    for number, typed in enumerate(arguments):
        given, sign, value = typed.partition("=")
        key = given.lstrip("+-").replace("__", ".")
        if given.startswith("-"):
            if not _is_hydra(given):
                key = key.replace("-", "_")
                follows = arguments[number + 1] if number + 1 < len(arguments) else ""
                if not sign and follows and not follows.startswith("-") and "=" not in follows:
                    typed, value = f"{typed} {follows}", follows
                advice = explain_word(key, value, schema)
                advice = f"give {key}={value or 'VALUE'}" if key in known else advice or "see --help"
                yield given, f"{typed}: is not an option; settings are written KEY=VALUE; {advice}"
        elif sign or (number == 0 and not Path(typed).exists()):
            exists = value in choices[key] if key in choices else key in known and not known[key]
            exists = exists and f"{key}={value}" not in _by_word()
            group, _, name = key.partition(".")
            is_argument = group in {"optimizer", "scheduler", "loss"} and f"{group}=custom" in arguments and name
            is_dictionary = known.get(key) and value.startswith("{")
            advice = (
                None
                if exists or is_argument or is_dictionary or _is_entry(key, arguments, known)
                else explain_word(key, value, schema)
            )
            if advice:
                yield key, f"{typed}: there is no such setting in hemexp; {advice}"


def _is_hydra(option: str) -> bool:
    """Whether an argument is an option of Hydra, perhaps shortened."""
    name = option.removeprefix("--")
    is_long = name != option and name not in _by_word() and any(each.startswith(name) for each in _OPTIONS)
    return option in _SHORT_OPTIONS or is_long


def _is_entry(key: str, arguments: Sequence[str], known: Mapping[str, bool]) -> bool:
    """Whether a key is part of a dictionary, such as ``callbacks``, whose entries other arguments may define."""
    owner, _, below = key.partition(".")
    defines = (f"{owner}=", "experiment=", f"{owner}.{below.partition('.')[0]}._target_=")
    return bool(below) and known.get(owner) is False and any(each.lstrip("+").startswith(defines) for each in arguments)
