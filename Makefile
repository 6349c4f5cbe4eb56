.PHONY: check format lint types test slow notebooks

check: lint types test ## what CI and pre-commit run

format:
	ruff format .
	ruff check --fix .

lint:
	ruff format --check .
	ruff check .
	nbstripout --verify notebooks/*.ipynb

types:
	mypy

test:
	pytest

slow: ## the rest of the tests: README commands, notebooks, 5000 patients, kills
	pytest -m slow
