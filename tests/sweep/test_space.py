"""The space of a search: its parsing from overrides, and the draws from it."""

import numpy as np
import pytest

from hemexp.errors import UserError
from hemexp.sweep.plan.search import distinct_draws
from hemexp.sweep.plan.space import Choices, Interval, Space, parse_space


@pytest.mark.parametrize(
    ("override", "setting"),
    [
        ("model.kernel_size=3,5,7", Choices(("3", "5", "7"))),
        ("model.kernel_size=choice(3,5,3)", Choices(("3", "5"))),
        ("model.kernel_size=shuffle(3,5,7)", Choices(("3", "5", "7"))),
        ("model.kernel_size=range(1,9,2)", Choices(("1", "3", "5", "7"))),
        ("model=sacnn,mlp", Choices(("sacnn", "mlp"))),
        ("model.channels=[4,8],[8,16]", Choices(("[4,8]", "[8,16]"))),
        ("trainer.patience=null,100", Choices(("null", "100"))),
        ("model.dropout=interval(0,0.5)", Interval(0.0, 0.5)),
        ("optimizer.lr=tag(log,interval(1e-4,1e-2))", Interval(1e-4, 1e-2, log=True)),
        ("model.embed_dim=int(interval(4,64))", Interval(4, 64)),
        ("model.embed_dim=tag(log,int(interval(4,64)))", Interval(4, 64, log=True)),
    ],
)
def test_lists_ranges_and_intervals_are_parsed(override: str, setting: Choices | Interval):
    space = parse_space(["seed=3", override], {})
    assert dict(space.settings) == {override.split("=")[0]: setting}
    assert space.fixed == ("seed=3",)
    (parsed,) = space.settings.values()
    assert not isinstance(parsed, Interval) or parsed.is_integer == ("int(" in override)


def test_the_command_line_takes_precedence_over_the_params_of_an_experiment():
    params = {"model.C": "interval(0,1)", "features": "minimal,all", "optimizer.lr": 0.1, "trainer.patience": None}
    space = parse_space(["model.C=1,2", "optimizer.lr=0.3"], params)
    assert dict(space.settings) == {"features": Choices(("minimal", "all")), "model.C": Choices(("1", "2"))}
    assert space.fixed == ("trainer.patience=null", "optimizer.lr=0.3")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seed=1"], "a search needs a key to choose"),
        (["split=kfold", "split.fold=0,1"], "a search needs a key to choose"),
        (["model.C=interval(3,1)"], r"model\.C=interval\(3,1\): the bounds are in the wrong order"),
        (["model.C=interval(1,1)"], "give the lower number first"),
        (["model.C=interval(1,inf)"], "give the lower number first"),
        (["model.C=choice(3)"], r"model\.C=choice\(3\): holds one value"),
        (["model.C=tag(log,interval(0,1))"], "log scale must begin above 0"),
        (["model.C=tag(bell,interval(0,1))"], "unknown tag bell"),
        (["model.C=tag(log,choice(1,2))"], "for an interval only"),
        (["model=glob(s*)"], "give a list, range"),
        (["seed=1,2"], "seed cannot be searched: .* luck"),
        (["label=onset_48h,onset_24h"], "label cannot be searched"),
        (["label.window_hours=24,48"], "window_hours cannot be searched"),
        (["split=paper,stratified"], "split cannot be searched"),
        (["evaluation=standard,full"], "evaluation cannot be searched"),
        (["search.seed=1,2"], "does not change a score"),
        (["experiment=paper,admission"], "experiment cannot be searched: it may set any key"),
        (["+experiment=paper,admission"], "experiment cannot be searched"),
        (["debug=fast,overfit"], "debug cannot be searched"),
        (["model.C=1,2", "split=kfold", "split.fold=interval(0,2)"], "outer folds must be numbers"),
    ],
)
def test_keys_and_values_that_cannot_be_searched_are_refused(arguments: list[str], words: str):
    with pytest.raises(UserError, match=words):
        parse_space(arguments, {})


def test_draws_depend_on_the_seed_and_their_number_only():
    space = parse_space(["model.C=interval(0,1)", "features=minimal,all"], {})
    other_order = parse_space(["features=minimal,all", "model.C=interval(0,1)"], {})
    first = [next_draw for next_draw, _ in zip(distinct_draws(space, 4), range(5), strict=False)]
    more = [next_draw for next_draw, _ in zip(distinct_draws(other_order, 4), range(9), strict=False)]
    assert more[:5] == first
    assert next(distinct_draws(space, 5)) != first[0]


def test_every_setting_of_a_small_space_is_drawn_once():
    space = parse_space(["model.kernel_size=3,5,7", "model.num_heads=int(interval(1,4))"], {})
    drawn = [space.overrides(values) for values in distinct_draws(space, 0)]
    assert len(drawn) == len(set(drawn)) == space.size == 12


def test_draws_are_uniform_on_the_linear_or_the_log_scale():
    def many(setting: str) -> np.ndarray:
        space = parse_space([f"model.C={setting}"], {})
        rng = np.random.default_rng(0)
        return np.array([space.draw(rng)["model.C"] for _ in range(4000)])

    for drawn in (many("interval(2,4)") / 2 - 1, np.log10(many("tag(log,interval(0.01,100))")) / 4 + 0.5):
        assert drawn.min() >= 0
        assert drawn.max() <= 1
        np.testing.assert_allclose(np.histogram(drawn, 5, (0, 1))[0] / 4000, 0.2, atol=0.025)
    np.testing.assert_allclose(np.bincount(many("int(interval(0,4))"), minlength=5) / 4000, 0.2, atol=0.025)
    whole = many("tag(log,int(interval(1,64)))")
    assert {1, 64} <= set(whole)
    assert 0.4 < (whole <= 8).mean() < 0.65


def test_a_number_has_six_digits_and_stays_in_its_interval():
    space = Space({"model.C": Interval(0.1, 0.12345651)}, (), ())
    assert space.overrides({"model.C": 0.123456489}) == ("model.C=0.123456",)
    assert space.overrides({"model.C": 0.12345651}) == ("model.C=0.12345651",)
