# Two commands: make demo, make test. Each sets up what it needs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRAINING := .venv-training

.PHONY: demo test test-training benchmark image clean

demo: $(VENV)/.demo
	$(BIN)/hn-segmenter demo

test: $(VENV)/.test test-training
	$(BIN)/python -m pytest HNSegmenter/Testing

test-training: $(TRAINING)/.test
	$(TRAINING)/bin/python -m pytest -c docker/training/pyproject.toml docker/training/tests

benchmark: $(VENV)/.test
	$(BIN)/hn-segmenter benchmark

image: $(VENV)/.demo
	$(BIN)/hn-segmenter image build

clean:
	rm -rf $(VENV) $(TRAINING) build out

# Two virtual environments: PyTorch is for training alone, and the library must be shown to work without it.
$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[local]'
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[local,test]'
	touch $@

$(TRAINING)/.test: docker/training/requirements.txt
	$(PYTHON) -m venv $(TRAINING)
	$(TRAINING)/bin/python -m pip install --quiet --requirement docker/training/requirements.txt
	touch $@
