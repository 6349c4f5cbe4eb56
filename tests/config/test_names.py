"""The names of models, optimizers and losses in tables, and on pages."""

from typing import Any

import pytest

from hemexp.config import MODELS, get_choice_name, get_model_title


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"name": "volume"}, "volume"),
        ({"name": "custom", "target": "nets.MyNet"}, "MyNet"),
        ({"name": "custom", "target": "my_package.losses.focal"}, "focal"),
        ({"name": "custom", "target": "nets.volume"}, "nets.volume"),  # two rows of a table would have one name
        ({"name": "my_svc", "target": "a setting of a plugin"}, "my_svc"),
        ({}, "unnamed"),
    ],
)
def test_a_user_recognizes_the_name(settings: dict[str, Any], name: str):
    assert get_choice_name(settings) == name


def test_every_model_has_a_title_and_no_two_are_equal():
    titles = [entry.title for entry in MODELS.values() if not entry.plugin]
    assert all(titles)
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("volume", "hematoma volume alone"),
        ("ridge2 (C=0.5)", "volume and hours alone (C=0.5)"),
        ("MyNet", "MyNet"),
        ("treat all", "treat all"),
    ],
)
def test_a_page_gives_a_model_its_title_and_leaves_other_texts(name: str, title: str):
    assert get_model_title(name) == title
