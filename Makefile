# Two commands: make demo, make test. Each sets up what it needs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRAINING := .venv-training
PYDICOM2 := .venv-pydicom2
SLICER_CORE := .venv-slicer-5.12.4.0 .venv-slicer-5.13.31053.0

# Processes that test side by side: one more than cores, for a third of the time they wait for servers and engines.
SIDE_BY_SIDE ?= 3
# Pure Python: no engine, no server, no network.
FAST := batch/test_parts.py checks/test_ranges.py cli/test_lists.py dicom evaluation/test_metrics.py \
    evaluation/test_rasterise.py models rtstruct runtimes/test_streams.py sample service/test_settings.py \
    service/test_text.py test_house.py test_silent_libraries.py

.PHONY: demo lint test test-fast test-library test-training test-pydicom2 test-slicer-core benchmark image clean

demo: $(VENV)/.demo
	$(BIN)/hn-segmenter demo

lint: $(VENV)/.lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test: test-training test-pydicom2 test-slicer-core test-library

test-library: $(VENV)/.test
	$(BIN)/python -m pytest HNSegmenter/Testing --ignore=HNSegmenter/Testing/scene -n $(SIDE_BY_SIDE)

test-fast: $(VENV)/.test
	$(BIN)/python -m pytest $(FAST:%=HNSegmenter/Testing/%) -n $(SIDE_BY_SIDE)

# Slicer ships pydicom 2 or 3: what reads and writes DICOM runs with both.
test-pydicom2: $(PYDICOM2)/.test
	$(PYDICOM2)/bin/python -m pytest HNSegmenter/Testing/dicom HNSegmenter/Testing/rtstruct/test_[!r]*.py -n $(SIDE_BY_SIDE)

# Slicer's MRML, segmentations and subject hierarchy without its window: the wheel slicer-core. What needs the window
# (slicer_module/test_application.py) is part of test-library, where a Slicer is on the PATH or named by SLICER. The release, and the newest.
test-slicer-core: $(SLICER_CORE:%=%/.test)
	for venv in $(SLICER_CORE); do $$venv/bin/python -m pytest HNSegmenter/Testing/scene -n $(SIDE_BY_SIDE) || exit 1; done

# One thread each, since they run side by side.
test-training: $(TRAINING)/.test
	OMP_NUM_THREADS=1 $(TRAINING)/bin/python -m pytest -c training/pyproject.toml training/tests -n $(SIDE_BY_SIDE)

benchmark: $(VENV)/.test
	$(BIN)/hn-segmenter benchmark

image: $(VENV)/.demo
	$(BIN)/hn-segmenter image build

clean:
	rm -rf $(VENV) $(TRAINING) $(PYDICOM2) $(SLICER_CORE) build out

# Two virtual environments: PyTorch is for training alone, and the library must be shown to work without it.
$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[local]'
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[local,test]'
	touch $@

# With what the tests need: mypy reads their libraries' types.
$(VENV)/.lint: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[local,test,lint]'
	touch $@

$(PYDICOM2)/.test: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PYDICOM2)
	grep -Ev '^(pydicom|pynetdicom|pyorthanc)==' constraints.txt > $(PYDICOM2)/constraints.txt
	$(PYDICOM2)/bin/python -m pip install --quiet --constraint $(PYDICOM2)/constraints.txt --editable '.[test]' 'pydicom<3'
	touch $@

.venv-slicer-%/.test: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[local,test]' 'slicer-core==$*'
	touch $@

# With what predict.py needs: a test exports a model and runs it. With nnU-Net: tests import its networks.
TRAINING_NEEDS := training/requirements.txt training/requirements-nnunet.txt docker/requirements.txt
$(TRAINING)/.test: $(TRAINING_NEEDS)
	$(PYTHON) -m venv $(TRAINING)
	$(TRAINING)/bin/python -m pip install --quiet $(TRAINING_NEEDS:%=--requirement %)
	touch $@
