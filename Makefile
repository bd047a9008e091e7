# Everything a checkout needs; `make help` lists the targets. PYTHON=python3.12 picks an interpreter.
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.motionkit-ready
USABLE = $(1) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do if $(call USABLE,$$p); then echo $$p; break; fi; done)
# Freed memory is kept: its pages asked for again cost up to a tenth of a training step.
KEEP = env MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=268435456
TRAIN = $(KEEP) $(BIN)/python -m motionkit.training.recipes

.PHONY: help setup demo test test-slow lint docs bench figures train-pocket train-pocket-gpu train-pocket-sd train-anamodiff train-pose train-scorer train-clipscorer clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-24s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "motionkit needs Python 3.11 or newer with venv: set PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt setuptools wheel torch
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e '.[dev,docs]'
	@touch $@

setup: $(STAMP) ## make .venv with the tested versions (quick when it is already there)

demo: setup ## transfer a motion on the shipped example: leaves an mp4 and a report.html
	$(BIN)/python -m motionkit.cli.demo

test: setup ## the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: setup ## the slow tests too
	$(BIN)/python -m pytest -m "slow or not slow"

lint: setup ## formatter, linter, types, and the order of imports
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-cache

docs: setup ## build these pages, with every method's settings and figures, into build/docs/site
	$(BIN)/python -m docs.generate

bench: setup ## every method against the known truth (BENCH="bench=anamodiff bench.pairs=4" for another protocol)
	$(BIN)/motionkit bench $(BENCH)

figures: setup ## make every figure and picture anew that depends on the small weights (hours; resumes)
	$(BIN)/python benchmarks/figures.py

CORE ?= 0
train-pocket: setup ## train the next set of pocket weights on one core, from wherever it is (Ctrl-C stops it; CORE=0)
	$(TRAIN).queue --core $(CORE) $(if $(COPIES),--second $(COPIES))

train-pocket-gpu: ## the same on a GPU, for six minutes at a time: run it again to go on (PYTHON=python3)
	$(KEEP) $(or $(wildcard $(BIN)/python),$(PYTHON)) -m motionkit.training.recipes.queue --gpu-workers $(or $(WORKERS),12) --seconds $(or $(SECONDS),330)

train-pocket-sd: setup ## train pocket-sd alone, from its autoencoder on (resumes)
	$(TRAIN).pocket_vae
	$(TRAIN).queue --only colour-decoder fold pocket-sd

train-pocket-modelscope: setup ## train pocket-modelscope on top of pocket-sd again (resumes)
	$(TRAIN).queue --only line-decoder verb-critic pocket-modelscope

train-pocket-maps: setup ## train the small network behind the pocket masks, depth and correspondence (resumes)
	$(TRAIN).pocket_maps --out motionkit/assets/perception/pocket_maps.safetensors

train-pocket-animatediff: setup ## train pocket-animatediff's motion modules on top of pocket-sd again (resumes)
	$(TRAIN).queue --only verb-critic pocket-animatediff

train-anamodiff: setup ## train AnaMoDiff's keypoints and flow network again (resumes)
	$(BIN)/python -m motionkit.methods.anamodiff.supervised keypoints
	$(BIN)/python -m motionkit.methods.anamodiff.supervised lofnet

train-flipsketch: setup ## train FlipSketch's sketch LoRA again (resumes)
	$(BIN)/motionkit sprites lines=2-3 count=400 output=runs/train/flipsketch/clips
	$(BIN)/motionkit train method=flipsketch data=runs/train/flipsketch/clips/ output=runs/train/flipsketch/ train.backbone=pocket-modelscope train.half=true gpu=cpu gpu.dtype=bfloat16
	mkdir -p motionkit/assets/flipsketch && cp runs/train/flipsketch/lora.safetensors motionkit/assets/flipsketch/

ANIMATEX = $(BIN)/motionkit train method=animatex gpu=cpu gpu.dtype=bfloat16 train.drop=0.2
ANIMATEX_CLIPS = data=sprites train.sprite_clips=1200
train-pocket-animatex: setup ## train pocket-animatex on top of pocket-modelscope again, in two turns (resumes)
	$(ANIMATEX) $(ANIMATEX_CLIPS) train.epi.probability=0.6 train.learn=pocket output=runs/train/pocket-animatex/
	$(ANIMATEX) $(ANIMATEX_CLIPS) output=runs/train/pocket-animatex-2/ train.cache=runs/train/pocket-animatex/cache \
	  train.epi.probability=0.3 train.start=own train.backbone_path=runs/train/pocket-animatex/model \
	  train.timesteps=uniform train.lr=5e-4 steps=700
	rm -rf motionkit/assets/pocket-animatex && cp -r runs/train/pocket-animatex-2/compact motionkit/assets/pocket-animatex

train-pocket-animatex-mamba: setup ## train Mamba in place of its attention along time, the rest as it is (resumes)
	$(ANIMATEX) $(ANIMATEX_CLIPS) output=runs/train/pocket-animatex-mamba/ train.cache=runs/train/pocket-animatex/cache \
	  train.epi.probability=0.3 train.start=own train.temporal=mamba train.learn=temporal \
	  train.timesteps=uniform train.lr=1e-3 steps=250
	rm -rf motionkit/assets/pocket-animatex-mamba && \
	  cp -r runs/train/pocket-animatex-mamba/compact motionkit/assets/pocket-animatex-mamba

ABLATE = runs/train/animatex-ablations
SMALL = $(ANIMATEX) data=$(ABLATE)/clips/ train.cache=$(ABLATE)/cache size=64 steps=400 train.learn=pocket
train-animatex-ablations: setup ## train the five small models (64 px) of Animate-X's ablation table (resumes)
	test -d $(ABLATE)/clips || $(BIN)/motionkit sprites what=dataset split=train count=600 frames=16 size=64 output=$(ABLATE)/clips
	$(SMALL) output=$(ABLATE)/full
	$(SMALL) output=$(ABLATE)/no-ipi train.indicator=false
	$(SMALL) output=$(ABLATE)/no-epi train.epi.probability=0
	$(SMALL) output=$(ABLATE)/no-realign train.epi.realign=false
	$(SMALL) output=$(ABLATE)/no-rescale train.epi.rescale=false

train-animatex-ablations-all: train-animatex-ablations ## and the thirteen others of tables 5 and 6, and a control, for the ledger (resumes)
	$(SMALL) output=$(ABLATE)/no-lq train.variant.query=keypoints
	$(SMALL) output=$(ABLATE)/no-dq train.variant.query=learned
	$(SMALL) output=$(ABLATE)/kv-q train.variant.query=features
	$(SMALL) output=$(ABLATE)/parallel train.variant.parallel=true
	$(SMALL) output=$(ABLATE)/no-add train.epi.groups=[drop,body_shoulder,neck_face,arm_leg]
	$(SMALL) output=$(ABLATE)/no-drop train.epi.groups=[add,body_shoulder,neck_face,arm_leg]
	$(SMALL) output=$(ABLATE)/no-bs train.epi.groups=[drop,add,neck_face,arm_leg]
	$(SMALL) output=$(ABLATE)/no-nf train.epi.groups=[drop,add,body_shoulder,arm_leg]
	$(SMALL) output=$(ABLATE)/no-al train.epi.groups=[drop,add,body_shoulder,neck_face]
	$(SMALL) output=$(ABLATE)/full-again seed=1
	for share in 100 95 90 80; do \
	  $(SMALL) output=$(ABLATE)/lambda-$$share train.epi.probability=$$(echo "$$share" | sed 's/100/1.0/;t;s/^/0./') || exit 1; done

train-pose: setup ## train the sprite pose estimator behind the keypoint metric
	$(TRAIN).judges pose

train-pocket-pose: setup ## train the network that finds the driving body, in the varied world (resumes)
	$(TRAIN).pocket_pose --out motionkit/assets/perception/pocket_pose.safetensors

train-scorer: setup ## train the sprite classifier that scores generated samples
	$(TRAIN).judges scorer

train-clipscorer: setup ## train the sprite clip judge: motion, kind and identity, in colour and as line drawings
	$(TRAIN).clip_judge

clean: ## remove build outputs and caches (keeps .venv and runs)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
