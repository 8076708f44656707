# Every target works on a fresh clone: `setup` makes .venv once and the others re-use it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
RUNTIME := .venv/.runtime
SRC := layers/modelyard/python/modelyard
# Each server of a test is several processes: without bytecode each would compile all it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: reference image-test layers synth deploy-test setup demo serve test test-long test-all volume old-xgboost toolkit clients formats stores page test-lambda torture overload soak neighbours redteam lint check fuzz schema audit checkov bench bench-quick bench-requirements fleet requirements clean server-image-test chart

setup: $(STAMP)

define INSTALL
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Modelyard needs Python 3.11 or newer: make PYTHON=python3.12")'
test -x $(BIN)/python || $(PYTHON) -m venv .venv
$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $<
$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
endef

# What is needed to serve. `requirements.txt` has the CDK, too; test tools come with `setup` only.
$(RUNTIME): requirements-serve.txt pyproject.toml
	$(INSTALL)
	touch $@

$(STAMP): requirements-dev.txt pyproject.toml
	$(INSTALL)
	touch $(RUNTIME) $@

demo: $(RUNTIME)
	$(BIN)/modelyard demo

serve: $(RUNTIME) examples/home-value/models/.made
	$(BIN)/modelyard serve examples/home-value/models --endpoint home-value

examples/home-value/models/.made: examples/home-value/train.py examples/home-value/houses.py | $(RUNTIME)
	$(BIN)/python examples/home-value/train.py --force
	touch $@

# Every guard in its short form, in three processes per two processors.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
test: setup
	$(PYTEST) -m "not long"

# What only takes long, and the tests of properties with more examples.
test-long: setup build/formats/.made
	$(PYTEST) -m "long or hypothesis or volume" --hypothesis-profile long

# Both in one run, which shares what is expensive to make.
test-all: setup build/formats/.made
	$(PYTEST) --hypothesis-profile long

# Before a release: what is compared with other implementations, with twenty times as many cases.
volume: setup
	$(PYTEST) -m volume --hypothesis-profile volume --timeout 7200

# Eight old versions of XGBoost, in environments of their own, say what their models predict.
old-xgboost: setup
	$(BIN)/python -m tests.old_xgboost.environments
	$(BIN)/python -m pytest -m long tests/old_xgboost

# SageMaker's toolkit and model server say how scripts and their defaults read and write.
toolkit: build/toolkit/.made
	$(BIN)/python -m pytest tests/toolkit
	$(BIN)/python -m tests.toolkit
build/toolkit/.made: tests/toolkit/requirements.txt | $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes \
		--no-build-isolation --no-deps --upgrade --target $(@D) -r $<
	touch $@

# Packages that little else needs, CatBoost's of 100 MB for one, say what their models predict. The
# others are installed anyway: each format is called as users call it, and damaged ones are refused.
formats: build/formats/.made
	$(BIN)/python -m pytest -m long tests/formats
build/formats/.made: tests/formats/requirements.txt | $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes \
		--only-binary=:all: --no-deps --upgrade --target $(@D) -r $<
	touch $@

# Google Cloud Storage and Azure: what the tests of repositories need besides moto. Needs Node.
stores: build/stores/.made
	$(BIN)/python -m pytest -m long tests/contract/test_repositories.py tests/contract/test_google_azure_repository.py \
		tests/functional/test_stores.py
build/stores/.made: tests/stores/requirements.txt tests/stores/package-lock.json | $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes \
		--only-binary=:all: --no-deps --upgrade --target $(@D) -r $<
	cp tests/stores/package*.json $(@D)
	cd $(@D) && npm ci --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# Clients of others: Triton's, KServe's and MLServer's need older packages, so each has its own.
CLIENTS := tritonclient kserve mlserver
clients: $(STAMP) $(CLIENTS:%=build/%/.made)
	$(BIN)/python -m pytest -m long tests/clients tests/docs/test_protocols_page.py
$(CLIENTS:%=build/%/.made): build/%/.made: tests/clients/requirements/%.txt
	$(TOOL)

# The page in Debian's Chromium, which axe and Playwright drive; its pictures are in build/page.
page: $(STAMP) build/page/.made
	$(BIN)/python -m tests.page
build/page/.made: tests/page/requirements.txt
	$(TOOL)

# The Helm chart, rendered and held to the schemas of Kubernetes.
chart: build/chart/.made
	build/chart/venv/bin/python tests/chart/check.py
build/chart/.made: tests/chart/requirements.txt
	$(TOOL)

# The suites of both contracts once more, against functions run as Lambda runs them. With AUTH=iam
# or AUTH=key, API Gateway and the router let only authenticated callers in.
DEPLOYED := $(addprefix tests/functional/test_,$(addsuffix .py, \
	aws_cli bad_artifacts bad_requests invoke_errors invoke_members invoke_retries lifecycle limits \
	management_routes protocols same_key surface cortex_calls cortex_config cortex_models cortex_onnx \
	cortex_operations cortex_reloading cortex_splitter cortex_tensorflow cortex_wrong_projects))
test-lambda: setup
	MODELYARD_DOOR=lambda$(addprefix -,$(AUTH)) $(BIN)/python -m pytest $(DEPLOYED)

# The fault tests in their long form; SEED replays the faults of an earlier run.
SECONDS ?= 600
torture: setup
	$(BIN)/python -m tests.faults.torture --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

# Twice as many calls as the server can answer, for ten minutes: make overload SECONDS=60
overload: setup
	$(BIN)/python -m tests.faults.endurance.overload $(if $(filter command line,$(origin SECONDS)),--seconds $(SECONDS))

# Half an hour of loads, evictions, updates and killed workers: make soak SECONDS=300
soak: setup
	$(BIN)/python -m tests.faults.endurance.soak $(if $(filter command line,$(origin SECONDS)),--seconds $(SECONDS))

# What others' failures cost the calls of a model: killed workers, ended and hanging guests.
neighbours: setup
	$(BIN)/python -m tests.faults.endurance.neighbours

# Attacks with generated files, bytes, names and kills; SEED does the same once more.
redteam: setup
	$(BIN)/python -m tests.redteam.run --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

check: lint test

# Tools that bring pins of their own: each lives in a virtual environment below build/.
define TOOL
test -x $(@D)/venv/bin/python || $(PYTHON) -m venv $(@D)/venv
$(@D)/venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
touch $@
endef

# Coverage-guided fuzzing (Linux): make fuzz RUNS=100000 SECONDS=300 TARGETS="archive codecs"
RUNS ?= 20000
fuzz: build/fuzz/.made
	PYTHONPATH=$(dir $(SRC)) build/fuzz/venv/bin/python -m tests.fuzz.run \
		--runs $(RUNS) --seconds $(SECONDS) $(TARGETS)
build/fuzz/.made: tests/fuzz/requirements.txt
	$(TOOL)

# Schemathesis on the HTTP routes of a real server: make schema EXAMPLES=300
EXAMPLES ?= 100
schema: $(STAMP) build/schema/.made
	$(BIN)/python -m tests.functional.schema_run build/schema/venv/bin/schemathesis \
		--max-examples $(EXAMPLES)
build/schema/.made: tests/functional/schema-requirements.txt
	$(TOOL)

# Known weaknesses of what is pinned. It asks PyPI; what could not be asked about is a failure, too.
audit: build/audit/.made
	build/audit/venv/bin/python .ci/audit.py requirements-serve.txt requirements.txt requirements-dev.txt \
		layers/dependencies/requirements.txt functions/inference/requirements/*.txt
build/audit/.made: .ci/audit-requirements.txt
	$(TOOL)

# checkov on every template of `synth`, offline; .ci/checkov.yaml has what it need not find, and why.
checkov: synth build/checkov/.made
	CKV_SKIP_PACKAGE_UPDATE_CHECK=true build/checkov/venv/bin/checkov \
		--config-file .ci/checkov.yaml --file cdk.out/*.template.json
build/checkov/.made: .ci/checkov-requirements.txt
	$(TOOL)

# What the functions that are zip files carry, for their processor; pip needs no Docker for it.
ARCHITECTURE ?= arm64
layers: $(STAMP)
	$(BIN)/python -m infra.wheels $(ARCHITECTURE)

# Templates and assets of `cdk deploy` into cdk.out; no Docker, no credentials.
# CONFIG=modelyard.yaml names what to deploy; without it, infra/example.yaml is.
CDK := JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20 CDK_DISABLE_CLI_TELEMETRY=true \
	node_modules/.bin/cdk --no-notices --no-version-reporting
synth: layers node_modules/.bin/cdk
	$(CDK) synth --quiet -c check=1 $(if $(CONFIG),-c config=$(CONFIG))

# `modelyard deploy`, `diff` and `destroy` for real, to an AWS that is a process of this machine.
deploy-test: $(STAMP) node_modules/.bin/cdk
	$(BIN)/python -m tests.infra.deploy

node_modules/.bin/cdk: package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	touch $@

# Builds the image of inference functions and runs it: no network, root read-only, Lambda's limits.
# Linux, root and a container engine from Debian; minutes the first time, so no part of `check`.
image-test: setup
	$(BIN)/python -m tests.image

# The same for the image of the local server.
server-image-test: setup
	$(BIN)/python -m tests.image.server

# The first run makes the environments of the peers and the models: some minutes and 7 GB more.
# BENCH="--quick --peers none --only warm_xgboost" runs a part; BENCH=--help says what there is.
bench: setup
	$(BIN)/python -m benchmarks $(BENCH)

# Three minutes: a few telling figures, compared with those that are published.
QUICK := warm_xgboost warm_onnx cold_xgboost_on_disk cold_xgboost_from_folder many_500
bench-quick: setup
	$(BIN)/python -m benchmarks --peers none --rounds 2 --only $(QUICK) --out build/bench
	$(BIN)/python -m benchmarks.report.slower build/bench

# Simulates Lambda fleets of 100 to 1,000,000 models: docs/fleet.md. FLEET=--quick tries a few.
fleet: setup
	$(BIN)/python -m benchmarks.fleet $(FLEET)

# Each peer's own packages, as `requirements/NAME.in` says; most peers run on Linux only.
PEERS := benchmarks/peers/requirements
bench-requirements:
	for peer in $(basename $(notdir $(wildcard $(PEERS)/*.in))); do \
		uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_35 \
			--generate-hashes --no-emit-index-url --custom-compile-command "make bench-requirements" \
			$(PEERS)/$$peer.in -o $(PEERS)/$$peer.txt || exit; \
	done

# docs/reference.md: the help of each command and the keys of a config, as the code has them.
reference: setup
	$(BIN)/python -m tests.docs.reference > docs/reference.md

# Needs `uv` (any recent one); pins every wheel by hash, for every platform.
COMPILE := uv pip compile --quiet --universal --generate-hashes \
	--no-emit-index-url --fork-strategy fewest --custom-compile-command "make requirements"
ALONE := $(COMPILE) --python-version 3.11
PIN := $(ALONE) pyproject.toml
IMAGE_PINS := $(addprefix functions/inference/requirements/,$(addsuffix .txt,auto onnx xgboost sklearn tensorflow python))
requirements:
	$(PIN) --extra all --group build -o requirements-serve.txt
	$(PIN) --extra all --extra deploy --extra functions --group build -c requirements-serve.txt -o requirements.txt
	$(PIN) --extra all --extra deploy --extra lambda --extra otel --extra tensorflow --group build --group dev -c requirements.txt -o requirements-dev.txt
	$(PIN) --extra all --group fuzz -c requirements-dev.txt -o tests/fuzz/requirements.txt
	$(PIN) --group schema -o tests/functional/schema-requirements.txt
	for client in $(CLIENTS); do \
		$(ALONE) --group $$client -o tests/clients/requirements/$$client.txt || exit; \
	done
	$(PIN) --group page -o tests/page/requirements.txt
	$(PIN) --group chart -o tests/chart/requirements.txt
	$(PIN) --group stores -c requirements-dev.txt -o tests/stores/requirements.txt
	$(PIN) --group audit -o .ci/audit-requirements.txt
	$(PIN) --group checkov -o .ci/checkov-requirements.txt
	$(PIN) --extra functions -c requirements-dev.txt -o layers/dependencies/requirements.txt
	$(MAKE) $(IMAGE_PINS)

# What the image of each runtime carries, in the versions that are tested, for the Python of its
# Dockerfile. `python` has no framework.
$(IMAGE_PINS): functions/inference/requirements/%.txt: requirements-dev.txt
	$(COMPILE) --python-version 3.13 pyproject.toml --extra image $(if $(filter-out python,$*),--extra $*) -c $< -o $@

clean:
	rm -rf .venv examples/*/models
