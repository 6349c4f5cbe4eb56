"""The section about the effect of each swept key on the score."""

from hemexp.formatting import count, num
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.sweep.effects import Effect
from hemexp.report.sweep.files import SweepFiles

_TOP = 10  # settings that are shown


def key_effects(sweep: SweepFiles, effects: list[Effect], figures: dict[str, Block]) -> Block | None:
    """Return the section on the effect of each swept key."""
    if not effects:
        return None
    words = [
        "For each key, the mean score of the jobs by value, over all values of the other keys, largest difference "
        f"first. The spread is a standard deviation over the other settings. {_luck_words(sweep)}"
    ]
    if not all(effect.balanced for effect in effects if effect.key not in sweep.luck):
        words.append(
            "Not every value was tried with the same other settings, so means may also differ because of the "
            "other settings: read the differences as hints."
        )
    tables = [_effect_table(sweep, effect) for effect in effects]
    blocks = [*map(text, words), figures.get("sweep_effects"), *tables, *_by_setting(sweep)]
    return section("effects", "Effect of each key", blocks)


def _luck_words(sweep: SweepFiles) -> str:
    if not sweep.luck:
        return (
            "No seed was swept, so it is not known how much a score changes by chance when only the seed differs. "
            "Differences of that size mean nothing."
        )
    parts = {"seed": "the seed sets the first weights, the folds and a random split",
             "split.fold": "the fold assigns patients to training and test"}  # fmt: skip
    names = f"{' and '.join(sweep.luck)} {'vary' if sweep.luck[1:] else 'varies'}"
    return (
        f"{names} only chance ({'; '.join(parts[key] for key in sweep.luck)}): each setting counts once, with its "
        "mean over them, and the spread within a setting is shown separately."
    )


def _effect_table(sweep: SweepFiles, effect: Effect) -> Block:
    best = effect.values["mean"].min() if sweep.lower_is_better else effect.values["mean"].max()
    chance = effect.key in sweep.luck
    spreads = {"spread": f"over {'all' if chance else 'other'} settings", "luck": f"over {' and '.join(sweep.luck)}"}
    known = [name for name in spreads if effect.values[name].notna().any()]
    head = ["value", "jobs", "mean score", "from the best value", *(f"spread {spreads[name]}" for name in known)]
    rows = [
        [row["value"], count(row["num_jobs"]), num(row["mean"], 3), num(row["mean"] - best, 3),
         *(num(row[name], 3) for name in known)]
        for _, row in effect.values.iterrows()
    ]  # fmt: skip
    note = "This key is chance: its best value is not a better choice." if chance else ""
    return table(effect.key, head, rows, note)


def _by_setting(sweep: SweepFiles) -> list[Block]:
    """Return a table of the settings in the order of their means over the seeds or folds, if these were swept."""
    if not sweep.luck or not sweep.settings or sweep.ranked.empty:
        return []
    groups = sweep.ranked.groupby(sweep.settings, sort=False)["score"].agg(["size", "mean", "std", "min", "max"])
    groups = groups.sort_values("mean", ascending=sweep.lower_is_better, kind="stable")
    rows = []
    for key, row in groups.head(_TOP).iterrows():
        values = key if isinstance(key, tuple) else (key,)
        reach = f"{num(row['min'], 3)} to {num(row['max'], 3)}"
        rows.append([*values, count(row["size"]), num(row["mean"], 3), num(row["std"], 3), reach])
    over = " and ".join(sweep.luck)
    note = "Choose a setting by this order, not by the single best job."
    if len(groups) > _TOP:
        note += f" The best {_TOP} of {count(len(groups))} settings."
    head = [*map(sweep.short, sweep.settings), "jobs", "mean score", "spread", "lowest to highest"]
    return [table(f"Settings by their mean over {over}", head, rows, note)]
