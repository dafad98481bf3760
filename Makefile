# Everything a person types. `make run` and `make test` do all their own set-up, on Debian,
# Ubuntu and macOS, with Python 3.11 or later; the second time there is nothing to set up.
# Written for GNU Make 3.81, the one macOS has.

VENV := .venv
BIN := $(VENV)/bin
LOCAL := .local

# The first Python here that is new enough; PYTHON=… overrides.
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& echo "$$python" && break; done)
UV_VERSION := 0.13.9
BUF_VERSION := 1.75.0
BUF := $(LOCAL)/buf/node_modules/.bin/buf

# The last onnxruntime-gpu for CUDA 12, which is what ctranslate2 (Whisper) needs too.
ONNXRUNTIME_GPU_VERSION := 1.26.0
# GPU=1 is remembered: a later set-up must not bring back what it replaced. `make clean`
# forgets it.
GPU ?= $(if $(wildcard $(VENV)/.gpu),1)
GPU_STAMP := $(if $(filter-out 0,$(GPU)),$(VENV)/.gpu)

# Programs that tests need, and the Debian packages that have them.
TEST_PROGRAMS := ps:procps node:nodejs npm:npm redis-server:redis-server haproxy:haproxy
NODE_CLIENTS := tests/clients/node/node_modules/.stamp

PY_FOLDERS := gateway stt_service tts_service llm_orchestrator persistence mesh voicemesh bench tests proto

.DEFAULT_GOAL := help
.PHONY: help run test lint format proto lock bench clean

help: ## Show this.
	@grep -E '^[a-z]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:[^#]*## /\t/' | expand -t 12

run: $(VENV)/.run $(GPU_STAMP) ## Run the whole mesh on this machine, until Ctrl-C. GPU=1: models use CUDA.
	@exec $(BIN)/voicemesh up

test: $(VENV)/.dev $(NODE_CLIENTS) $(GPU_STAMP) ## Run all tests. ARGS='-k name' chooses.
	@$(call need_programs)
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev $(BUF) ## Check format, types, imports and contracts.
	$(BIN)/ruff format --check $(PY_FOLDERS)
	$(BIN)/ruff check $(PY_FOLDERS)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BUF) lint
	$(BUF) format --diff --exit-code
	@BUF=$(BUF) .ci/breaking
	$(BIN)/python proto/generate.py --check

format: $(VENV)/.dev $(BUF) ## Bring code and contracts into shape.
	$(BIN)/ruff format $(PY_FOLDERS)
	$(BIN)/ruff check --fix $(PY_FOLDERS)
	$(BUF) format --write

proto: $(VENV)/.dev ## Write the stubs of the contracts afresh.
	$(BIN)/python proto/generate.py

lock: $(VENV)/.dev ## Choose the packages' versions afresh.
	$(BIN)/uv pip compile pyproject.toml --extra up --universal --generate-hashes \
		--python-version 3.11 --no-header --upgrade -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra up --group dev --universal --generate-hashes \
		--python-version 3.11 --no-header --upgrade -c requirements.lock -o requirements-dev.lock

bench: $(VENV)/.dev ## Measure what one audio frame costs the gateway.
	$(BIN)/python -m bench.frames

clean: ## Remove what set-up and tools made; data in .local stays.
	rm -rf $(VENV) $(LOCAL)/buf $(dir $(NODE_CLIENTS)) *.egg-info build dist
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(PY_FOLDERS) -name __pycache__ -type d -prune -exec rm -rf {} +

# --- Set-up. Each stamp is newer than what it was made from.

$(VENV)/.run: $(VENV)/.venv requirements.lock pyproject.toml
	@echo "Installing packages into $(VENV) (once; hashes are checked) …"
	@$(call install,requirements.lock)
	@touch $@

$(VENV)/.dev: $(VENV)/.venv requirements-dev.lock pyproject.toml
	@echo "Installing packages for development into $(VENV) (once; hashes are checked) …"
	@$(call install,requirements-dev.lock)
	@touch $@ $(VENV)/.run

# The two builds of onnxruntime share a folder, so both go before one comes. Meanwhile no
# stamp is there: what is cut half-way is set up from the lock again the next time.
$(VENV)/.gpu: $(VENV)/.run
	@echo "Replacing onnxruntime by onnxruntime-gpu $(ONNXRUNTIME_GPU_VERSION) (once; 250 MB) …"
	@stamps=$$(ls $(VENV)/.run $(VENV)/.dev 2>/dev/null); rm -f $$stamps; \
		pip="$(BIN)/python -m pip --quiet --disable-pip-version-check"; \
		$$pip --quiet uninstall --yes onnxruntime onnxruntime-gpu \
		&& $$pip install --no-deps onnxruntime-gpu==$(ONNXRUNTIME_GPU_VERSION) \
		&& touch $$stamps $@

$(VENV)/.venv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is missing:" \
		"apt-get install python3 python3-venv, or brew install python@3.11" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version) …"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); $(call apt_get,python3-venv) \
		&& $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) \
		|| echo "uv cannot be installed: pip does it all, more slowly."
	@touch $@

$(BUF):
	@command -v npm >/dev/null || { echo "npm is missing, which brings buf:" \
		"apt-get install npm, or brew install node" >&2; exit 1; }
	@echo "Installing buf $(BUF_VERSION) into $(LOCAL)/buf (once) …"
	@mkdir -p $(LOCAL)/buf
	@npm install --prefix $(LOCAL)/buf --ignore-scripts --no-audit --no-fund --loglevel=error \
		@bufbuild/buf@$(BUF_VERSION)
	@touch $@

# The stock JavaScript clients that tests/clients drives. npm checks the lock's hashes.
$(NODE_CLIENTS): tests/clients/node/package.json tests/clients/node/package-lock.json
	@$(call need_programs)
	@node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' \
		|| { echo "Node.js 18 or later is needed, and here is $$(node --version)." >&2; exit 1; }
	@echo "Installing JavaScript clients into $(dir $@) (once; hashes are checked) …"
	@npm ci --prefix tests/clients/node --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# Install a lock file, then this project itself, editable.
define install
	if [ -x $(BIN)/uv ]; then \
		pip="$(BIN)/uv pip install --quiet --python $(BIN)/python"; \
	else \
		pip="$(BIN)/python -m pip install --quiet --disable-pip-version-check"; \
	fi; \
	$$pip --require-hashes -r $(1) && $$pip --no-deps --editable .
endef

# Install a Debian package, saying so; elsewhere say what is missing.
define apt_get
	if command -v apt-get >/dev/null; then \
		echo "Installing the Debian package $(1) …"; \
		root=""; [ "$$(id -u)" = 0 ] || root=sudo; \
		$$root apt-get update -qq && $$root apt-get install -y -qq --no-install-recommends $(1); \
	else \
		echo "$(1) is missing: install it, then try again." >&2; false; \
	fi
endef

define need_programs
	for pair in $(TEST_PROGRAMS); do \
		command -v "$${pair%%:*}" >/dev/null && continue; \
		package="$${pair##*:}"; \
		$(call apt_get,$$package) || exit 1; \
	done
endef
