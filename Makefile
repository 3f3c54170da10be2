VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench clean

$(VENV)/ready: pyproject.toml
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[all,dev]'
	touch $@

demo: $(VENV)/ready          ## inpaint a bundled picture, from a fresh checkout on
	$(BIN)/snips run --task inpaint --out runs/demo --overwrite

# Threads that spin while they wait would stall a busy machine.
test: export OMP_WAIT_POLICY = passive
test: check                  ## everything that must hold before a change lands
	$(BIN)/python -m pytest

check: $(VENV)/ready         ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/ready         ## distance from known posteriors, cost of the engine
	$(BIN)/snips bench truth
	$(BIN)/snips bench engine

clean:
	rm -rf $(VENV) dist build
