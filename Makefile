# Two commands for a newcomer: `make demo` and `make test`. Everything else is here for the curious.
# By running them: version managers leave names of versions that are not switched on.
PYTHON ?= $(shell for v in 3.11 3.12 3.13; do python$$v -c 'import sys; print(sys.executable)' 2>/dev/null && exit; done; command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint toyworld toyworld-two tuning tuning-start options results clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## Install the exact, tested versions into .venv

# One stamp file: an install runs again only when the dependencies or their pins change.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 11) <= v[:2] <= (3, 13) and f"Python 3.11, 3.12 or 3.13 is needed, this is {v[0]}.{v[1]}: make PYTHON=/path/to/python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (once, a few minutes): each package is named as it is fetched, then all are unpacked ..."
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --constraint constraints.txt --editable '.[dev]'
	@echo "Installed into $(VENV)."
	@touch $@

demo: $(READY) ## Teach the embedded base a sample concept: prepare, train, evaluate, register
	@$(BIN)/conceptbooth demo

# Files go to the processes whole, since their tests share projects and servers. Three, because many wait for servers.
test: lint ## Lint, types, import contract and all tests
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

lint: $(READY) ## Style, types and the import contract alone
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

toyworld: $(READY) ## Train the embedded base model again from nothing (hours)
	@$(BIN)/python -m toyworld.build

toyworld-two: $(READY) ## Go on with the second edition's base, from its milestone (hours; stop it as you like)
	@nice -n 19 $(BIN)/python -m toyworld.second.build

# Methods on the held-out concepts. Parts run at once, of one thread each, so that no thread waits for another. Whatever a
# part leaves undone the last command does, so that both can be stopped and run again.
EXPERIMENT := .conceptbooth/experiment
PARTS ?= 2
SEEDS ?= 0,1
METHODS ?= attndreambooth,textual_inversion,dreambooth,attndreambooth_rare_token,dreambooth_super_category,$\
attndreambooth_no_term,attndreambooth_no_stage_1,attndreambooth_no_stage_2,attndreambooth_no_stage_3
define in_parts
$(BIN)/python -m toyworld.experiment $(EXPERIMENT)
cd $(EXPERIMENT) && export OMP_NUM_THREADS=1 && \
	seq $(PARTS) | xargs -P $(PARTS) -I PART $(CURDIR)/$(BIN)/conceptbooth $(1) --part PART/$(PARTS); \
	$(CURDIR)/$(BIN)/conceptbooth $(1) --report ../../docs/$@.md
endef

tuning: ## Try settings of each method on the tuning concepts and write docs/tuning.md (hours)
tuning-start: ## The same for AttnDreamBooth from a rare token, docs/tuning-start.md
options: ## The same for terms of later papers and LoRAs, docs/options.md
tuning tuning-start options: $(READY)
	@$(call in_parts,tune ../../toyworld/$@.yaml --look-alikes look-alikes)

results: $(READY) ## Compare the methods on the held-out concepts and write docs/results.md (hours)
	@$(call in_parts,compare $$(cat reported.txt) --methods $(METHODS) --seeds $(SEEDS) --images-per-prompt 8 --look-alikes look-alikes)

clean: ## Remove .conceptbooth/: trained concepts, databases, caches (asks first; YES=1 does not)
	@test -d .conceptbooth || { echo "Nothing to remove: there is no .conceptbooth/ here."; exit 0; }; \
	if [ -z "$(YES)" ]; then \
		echo "This removes .conceptbooth/ ($$(du -sh .conceptbooth | cut -f1)): every trained concept, both databases, the galleries, and DVC's"; \
		echo "cache, which may hold the only copy of older image sets (\`dvc push\` copies them to a remote, if there is one)."; \
		printf 'Remove it? [y/N] '; \
		read -r answer; case "$$answer" in y|Y|yes) ;; *) echo "Kept."; exit 0;; esac; \
	fi; \
	rm -rf .conceptbooth && echo "Removed .conceptbooth/."
