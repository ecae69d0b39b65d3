# The two commands of the README; each installs what it needs into .venv once.
.PHONY: demo test test-all setup check recipes rehearse

# What the demo and the tests need of the machine: no GPU, no key, no network after the install.
export HF_HUB_OFFLINE ?= 1
export HF_DATASETS_OFFLINE ?= 1

demo: setup
	.venv/bin/codefavor demo $(ARGS)

test: setup
	.venv/bin/python -m pytest -m "not slow and not gpu" $(ARGS)

# Also what takes minutes a test: a real training of every method, 200 kills.
test-all: setup
	.venv/bin/python -m pytest -m "not gpu" $(ARGS)

setup:
	@scripts/install.sh

# Lint, types and rendered files, as continuous integration checks them.
check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/codefavor recipes render --check

recipes: setup
	.venv/bin/codefavor recipes render

# Every recipe that has no record of a rehearsal as it is, and then the records in the files; goes on
# where it was interrupted. For every night: 5 CPU minutes where all have changed.
rehearse: setup
	.venv/bin/codefavor recipes rehearse --all
	.venv/bin/codefavor recipes render
