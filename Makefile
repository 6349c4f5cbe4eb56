.PHONY: check format lint types test slow nightly

check: lint types test ## all fast checks, as in CI

format:
	ruff format .
	ruff check --fix .

lint:
	ruff format --check .
	ruff check .
	lint-imports --no-logo
	deptry hemexp hydra_plugins
	nbstripout --verify notebooks/*.ipynb

types:
	mypy

test: ## the fast tests
	pytest

slow: ## the slow tests: commands of the README and the docs, notebooks, the wheel, interruption, 5000 patients
	pytest -m "slow and not nightly"

nightly: ## the slow tests and the longest ones; run it before a release
	pytest -m "slow or nightly"
