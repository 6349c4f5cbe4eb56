import pytest

from hemexp.figures.style import house_style


@pytest.fixture(autouse=True)
def _style():
    with house_style():
        yield
