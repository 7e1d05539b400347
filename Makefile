# What one does with a checkout. `make` alone explains the targets.
#
# Everything is relative and quoted: the checkout may live in a path with spaces. Long-running
# commands replace the recipe's shell and die with make (setpriv --pdeathsig), and whatever they
# started dies with them (tests/lab/warden.py).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:

PYTHON ?= python3
RUN := exec setpriv --pdeathsig TERM .venv/bin/python
JSON = $(if $(RESULTS),--json "$(RESULTS)/$(1).json")# of benchmarks, with RESULTS=directory
EPOCH = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null || date +%s))# of the sources, in what is packed
BINDING := $(filter-out rsfilter/rtr/_%,$(wildcard rsfilter/rtr/*.c rsfilter/rtr/*.h rsfilter/rtr/*_build.py))

.PHONY: help
help: ## explain the targets
	@echo "rsfilter: route-server filter behind ExaBGP"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

.PHONY: setup packages
setup: .venv/installed ## install what is missing: Debian packages (asks sudo), .venv, the librtr binding

packages:
	@.ci/packages

.venv/installed: pyproject.toml $(BINDING) | packages
	@.ci/venv "$(PYTHON)"
	@touch .venv/installed

.PHONY: demo
demo: setup ## two route servers, real hosts and routers on one screen (KEEP=1: until Ctrl-C)
	@echo "demo: starting StayRTR, BIRD hosts, two ExaBGP with rsfilter, a BIRD and an FRR router (ten seconds)"
	@PYTHONPATH=tests $(RUN) -m lab.demo $(if $(filter-out 0,$(KEEP)),--keep)

.PHONY: lab lab-all
lab: setup ## list the labs; NAME=b: watch one (KEEP=1: play with it until Ctrl-C)
	@PYTHONPATH=tests $(RUN) -m lab.play $(if $(NAME),"$(NAME)") $(if $(STEP),--step "$(STEP)") \
	  $(if $(filter-out 0,$(KEEP)),--keep)

lab-all: setup ## run every lab, those of minutes too, and print how long each took
	@PYTHONPATH=tests $(RUN) -m lab.play --all

.PHONY: test
test: setup ## run all tests, those against real daemons too (TESTS="..." for a few)
	@.ci/packages test
	@echo "test: pytest"
	@$(RUN) -m pytest $(or $(TESTS),--numprocesses 4 --dist loadfile --no-loadscope-reorder)

.PHONY: release-check
release-check: ## demo and tests in a minimal Debian 12 and a minimal 13, made for it (as root; half an hour; SUITES="trixie")
	@TESTS="$(TESTS)" exec .ci/release-check $(SUITES)

.PHONY: unit
unit: setup ## run the tests that need no daemon (under two minutes)
	@echo "unit: pytest tests/unit tests/model"
	@$(RUN) -m pytest tests/unit tests/model -m "not lab and not slow" --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: slow
slow: setup ## run the tests that are not part of make test: minutes, or installations (half an hour)
	@.ci/packages test
	@echo "slow: pytest -m slow"
	@$(RUN) -m pytest -m slow --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: alice
alice: setup ## run the test with a real Alice-LG, which must be on PATH: neither Debian nor PyPI has it
	@echo "alice: pytest -m foreign"
	@$(RUN) -m pytest -m foreign tests/system/test_looking_glass.py

.PHONY: mutation
mutation: setup ## break the pure rooms in 12,000 ways; list what no test noticed (hours)
	@echo "mutation: mutmut"
	@$(RUN) -m mutmut run
	@$(RUN) -m mutmut results

.PHONY: fuzz
fuzz: .venv/fuzz-installed ## fuzz whatever hosts and files can say, for MINUTES=10 in all (TARGETS="..." for a few)
	@PYTHONPATH=tests $(RUN) -m fuzz.run $(if $(REPLAY),--replay $(REPLAY),--minutes $(or $(MINUTES),10) $(TARGETS))

.venv/fuzz-installed: setup .venv/installed
	@echo "fuzz: pip install --editable .[fuzz]"
	@.venv/bin/python -m pip --quiet --disable-pip-version-check install --editable '.[fuzz]'
	@touch .venv/fuzz-installed

.PHONY: torture
torture: setup ## kill -9 of the filter, KILLS=200 times in a storm, while a probe watches the routers (a quarter of an hour)
	@echo "torture: rsfilter between BIRD, FRR and ExaBGP"
	@$(RUN) tests/system/torture.py --kills $(or $(KILLS),200) --seed $(or $(SEED),1)

.PHONY: soak
soak: setup ## everything at once for MINUTES=20: churn, flaps, deaths, changes of data; memory and CPU
	@echo "soak: rsfilter between BIRD, FRR, StayRTR and ExaBGP"
	@$(RUN) tests/system/soak.py --minutes $(or $(MINUTES),20) --seed $(or $(SEED),1)

.PHONY: bench
bench: setup ## rsfilter beside a null helper and beside BIRD: CPU, routes per second, delays (a quarter of an hour)
	@echo "bench: the same load with ExaBGP and rsfilter, ExaBGP alone, and BIRD"
	@setpriv --pdeathsig TERM .venv/bin/python tests/bench/compare.py $(if $(LOADS),--loads $(LOADS)) $(call JSON,compare)
	@$(RUN) tests/bench/changes.py $(call JSON,changes)

.PHONY: benchchurn
benchchurn: setup ## 500 changes of routes a second for MINUTES=10: delays, backlog, memory and CPU of each minute
	@echo "benchchurn: BIRD hosts, ExaBGP with rsfilter, a BIRD router"
	@$(RUN) tests/bench/churn.py --minutes $(or $(MINUTES),10) $(call JSON,churn)

.PHONY: benchflap
benchflap: setup ## one guest that flaps, at several rates: changes at the router, cores of everybody
	@echo "benchflap: BIRD hosts, ExaBGP with rsfilter, a BIRD router"
	@$(RUN) tests/bench/flap.py $(call JSON,flap)

.PHONY: benchtuning
benchtuning: setup ## what makes ExaBGP cheaper: its settings, commands, logs and interpreters, one at a time (an hour; ONLY="speed log", EXABGP="PyPy=/somewhere/bin/exabgp")
	@echo "benchtuning: one thing changed at a time, in CPU seconds of ExaBGP"
	@$(RUN) tests/bench/tuning.py $(if $(ONLY),--only $(ONLY)) $(if $(EXABGP),--exabgp $(EXABGP)) $(call JSON,tuning)

.PHONY: benchscale
benchscale: setup ## 200,000 routes of 20 BIRD hosts through ExaBGP and rsfilter, in CPU seconds (2 minutes)
	@echo "benchscale: a full table, with real daemons"
	@$(RUN) tests/bench/scale.py

.PHONY: benchhosts
benchhosts: setup ## sessions of 500 to 8,000 hypervisors with one ExaBGP, in CPU seconds (10 minutes; HOSTS="500 4000" STOCK="500" MINUTES=60)
	@echo "bench: thousands of hypervisors, in one real session each"
	@$(RUN) tests/bench/hypervisors.py $(if $(HOSTS),--hosts $(HOSTS)) $(if $(STOCK),--stock $(STOCK)) --minutes $(or $(MINUTES),10) $(call JSON,hosts)

.PHONY: benchfanout
benchfanout: setup ## what 1 to 64 routers cost ExaBGP, and with one BIRD between (10 minutes; ROUTERS="1 16")
	@echo "bench: routers, with and without a fan-out"
	@$(RUN) tests/bench/fanout.py $(if $(ROUTERS),--routers $(ROUTERS)) $(call JSON,fanout)

.PHONY: benchaudit
benchaudit: setup ## questions to 10,000,000 audit records, beside grep and jq (a quarter of an hour, 2 GB of disk)
	@echo "bench: the audit log"
	@$(RUN) tests/bench/audit.py

.PHONY: floods
floods: setup ## a million prefixes, flaps, stalls, full disks, huge truths: what each costs (half an hour; ONLY="truth" for a few)
	@echo "floods: every flood in full"
	@setpriv --pdeathsig TERM .venv/bin/python tests/bench/floods.py $(ONLY)
	@$(RUN) -m pytest -m slow tests/system/test_floods.py

.PHONY: benchfleet
benchfleet: setup ## what a fleet costs: the filter, in Valgrind too, the database, copies, questions, comparing (half an hour; ONLY="filter ship")
	@.ci/packages test
	@.ci/packages count
	@echo "bench: filters, PostgreSQL, copies"
	@$(RUN) tests/bench/fleet.py $(if $(ONLY),--only $(ONLY))

.PHONY: fleet-faults
fleet-faults: setup ## the fleet's slow faults, octet for octet: patroni's primary killed, etcd without quorum, slow disks, clocks that step (ten minutes)
	@.ci/packages fleet
	@echo "fleet-faults: PostgreSQL, patroni, etcd"
	@$(RUN) -m pytest -m slow -s tests/system/test_fleet_faults.py

.PHONY: fleet-churn
fleet-churn: setup ## two route servers in churn for MINUTES=60: no false difference, and a real one is named (ROUTES=200000 PAUSE=20)
	@.ci/packages test
	@echo "fleet-churn: two ExaBGP with rsfilter, BIRD hosts, two StayRTR, PostgreSQL"
	@$(RUN) tests/system/fleet_churn.py --minutes $(or $(MINUTES),60) --seed $(or $(SEED),1) \
	  --routes $(or $(ROUTES),0) --pause $(or $(PAUSE),6)

.PHONY: benchhttp
benchhttp: setup ## what clients of the HTTP API cost a route on its way, in milliseconds (a minute)
	@echo "bench: 200,000 routes, and clients that ask for all of them"
	@$(RUN) tests/bench/web.py

.PHONY: benchrestart
benchrestart: setup ## the longest step over a restart of rsfilter with one host of 200,000 routes, in CPU milliseconds (3 minutes; ROUTES=50000)
	@echo "bench: restarts of the filter alone"
	@$(RUN) tests/bench/restart.py $(if $(ROUTES),--routes $(ROUTES))

.PHONY: benchcore
benchcore: setup ## what a route and a change of data cost rsfilter alone, beside msgspec and an afternoon's loop (5 minutes)
	@echo "bench: the filter alone"
	@$(RUN) tests/bench/core.py $(call JSON,core)

.PHONY: benchpage
benchpage: setup ## what one waits for on the page with 200,000 routes, in milliseconds (a minute)
	@.ci/packages test
	@echo "bench: the page in Chromium"
	@$(RUN) tests/bench/page.py

.PHONY: benchplots
benchplots: setup ## draw what docs/benchmarks/*.json say into docs/images and docs/performance.md (RESULTS=directory)
	@echo "benchplots: bench, benchcore, benchfanout and benchchurn leave them there with RESULTS=docs/benchmarks"
	@$(RUN) tests/bench/plots.py $(if $(RESULTS),--results "$(RESULTS)")

.PHONY: docs
docs: .venv/docs-installed ## build site/: the manual with search, to be opened from the disk; bad links are errors
	@echo "docs: mkdocs build --strict"
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs --quiet build --strict
	@echo "docs: site/index.html"

.venv/docs-installed: .venv/installed
	@echo "docs: pip install --editable .[docs]"
	@.venv/bin/python -m pip --quiet --disable-pip-version-check install --editable '.[docs]'
	@touch .venv/docs-installed

.PHONY: man
man: setup ## build build/man/: rsfilter(1), a page for each command, rsfilter.toml(5), rsfilter-truth(5)
	@echo "man: build/man"
	@SOURCE_DATE_EPOCH=$(EPOCH) $(RUN) packaging/man.py build/man

.PHONY: dist
dist: setup ## build dist/: the source archive, from it the wheel, its bill of materials (CycloneDX), checksums
	@rm -rf dist
	@echo "dist: python -m build"
	@.venv/bin/python -m build --outdir dist . >/dev/null
	@echo "dist: bill of materials"
	@SOURCE_DATE_EPOCH=$(EPOCH) .venv/bin/python packaging/sbom.py dist/*.whl dist
	@cd dist && sha256sum -- * | tee SHA256SUMS

.PHONY: deb
deb: ## build dist/*.deb for the Debian that this is, 12 or 13; to install it fetches nothing
	@.ci/packages build
	@packaging/deb/build

.PHONY: deb-check
deb-check: ## build, install, upgrade, remove and purge it in a minimal Debian 12 and 13 (as root; SUITES="trixie")
	@exec .ci/deb-check $(SUITES)

ENGINE ?= $(firstword $(foreach engine,podman docker buildah,$(shell command -v $(engine))))

.PHONY: image
image: ## build the container image rsfilter:VERSION, with podman, docker or buildah (ENGINE=docker)
	@test -n "$(ENGINE)" || { echo "image: neither podman nor docker nor buildah is installed" >&2; exit 1; }
	@exec "$(ENGINE)" build --file packaging/Containerfile --build-arg "SOURCE_DATE_EPOCH=$(EPOCH)" \
	  --tag "rsfilter:$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' rsfilter/__init__.py)" $(IMAGE_OPTIONS) .

.PHONY: lint
lint: setup ## ruff (rules and format), mypy (strict for rsfilter/routing), plain English in docstrings
	@echo "lint: ruff check"
	@$(RUN) -m ruff check rsfilter tests docs packaging setup.py
	@echo "lint: ruff format --check"
	@$(RUN) -m ruff format --check rsfilter tests docs packaging setup.py
	@echo "lint: mypy"
	@setpriv --pdeathsig TERM .venv/bin/python -m mypy
	@echo "lint: English of docstrings and comments"
	@PYTHONPATH=tests $(RUN) -m support.english
