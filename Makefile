# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
#
# Each target is one script; the scripts say what they do while they do it, and install what the machine lacks.
.DEFAULT_GOAL := help
.PHONY: help demo demo-down lab-up lab-down check test drills soak bench bench-full docs clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo:  ## build the lab, make its bare hosts sending servers, send a message, show what the receiver saw
	@script/demo

demo-down:  ## remove the lab, its images and what it fetched; Debian packages, .venv and reports/ stay
	@lab/lab down --all

lab-up:  ## only the lab, with its hosts still bare
	@script/bootstrap
	@lab/lab up

lab-down:  ## remove the lab; its images stay
	@lab/lab down

check:  ## style, types, documentation and unit tests, in under a minute
	@script/check

test:  ## every check but the drills, in one exit code, with JUnit XML under reports/
	@script/test

drills:  ## the slow proofs: faults, kills and whole tables of cases
	@script/drills

soak:  ## half an hour on each release at half the possible speed: no daemon grows
	@script/drills --soak 30

bench:  ## the measured figures, to reports/bench.json
	@script/bench

bench-full:  ## the same with more samples, which takes longer
	@script/bench --full

docs:  ## write the generated tables of variables
	@script/docs

clean:  ## remove what tests and tools left, the virtualenv included
	@rm -rf .venv .ansible .mypy_cache .pytest_cache .ruff_cache .hypothesis reports sendyard-mail-*.tar.gz
