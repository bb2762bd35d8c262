# The entry point: `make help` lists all targets. The work is done by scripts/; this file only calls them.
#
# A target's text for `make help` follows its '##'. Variables reach the scripts through the environment exactly as
# they were typed, never through this file's text: so any file name works.

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

PYTEST_OPTIONS ?=

# Make would expand its command line, and run the command in a file name with '$(shell ...)'.
GIVEN := $(strip $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name))))
$(foreach name,$(GIVEN),$(eval override export $(name) := $$(value $(name))))
# For a hint: after make -C, file names are relative to this folder, not to the caller's.
export CALLED_FROM := $(value PWD)
# A misspelt variable would silently have its default, and a goal that does not need TARGET would take any. What $(shell)
# runs does not have what is exported here: each value is quoted for it.
ifneq ($(GIVEN),)
SAID := $(shell env $(foreach name,$(GIVEN),'$(name)=$(subst ','\'',$(value $(name)))') \
    scripts/pipeline.sh names $(GIVEN) >&2)
ifneq ($(.SHELLSTATUS),0)
$(error nothing was done)
endif
endif

# `make DOCKER=1 TARGET ...` does the same in the image of `make image`.
ifeq ($(DOCKER),1)
MAKECMDGOALS ?= help
.PHONY: $(MAKECMDGOALS)
$(MAKECMDGOALS):
	@scripts/image.sh run $@
else

##@ From a model to the chip
.PHONY: preprocess quantize export run debug deploy
preprocess: ## MODEL: fold and simplify the float model into OUT/model_opt.onnx
	@scripts/pipeline.sh preprocess

quantize: ## MODEL CALIB: int8 with power-of-two scales into OUT/model_quant.onnx
	@scripts/pipeline.sh quantize

export: ## MODEL CALIB INPUT TARGET: the ESP-IDF project in C into OUT/new_project
	@scripts/pipeline.sh export

run: ## MODEL CALIB INPUT: run the generated C on this computer and compare every byte with the reference
	@scripts/pipeline.sh run

debug: ## MODEL CALIB INPUT: run the reference on this computer and dump every tensor into OUT/tvmdbg
	@scripts/pipeline.sh debug

deploy: ## MODEL CALIB INPUT TARGET: everything from preprocess to run; on RISC-V chips also emulate
	@scripts/pipeline.sh deploy

-include scripts/*.mk

##@ This project
.PHONY: setup system-packages demo test test-all fuzz lint format lock clean distclean help
setup: ## create .venv and install TVM; done once, and by every target that needs it
	@scripts/setup.sh >/dev/null && echo "ready: .venv and TVM are set up"

system-packages: ## install the Debian packages that the tools need (as root)
	@scripts/system-packages.sh

demo: ## all steps for handwritten digits, with the accuracy of the generated C
	@scripts/pipeline.sh demo

test: lint ## lint and the tests; PYTEST_OPTIONS="-k conv" chooses some
	@scripts/setup.sh --dev >/dev/null
	@scripts/in-env.sh python -m pytest -n auto --dist loadgroup $(PYTEST_OPTIONS)

test-all: lint ## the slow tests too: networks, emulators, documents' commands; 45 minutes of one core more, needs a network
	@scripts/setup.sh --dev >/dev/null
	@scripts/in-env.sh python -m pytest -m "" -n auto --dist loadgroup $(PYTEST_OPTIONS)

fuzz: ## 2000 unusual and damaged inputs in 10 minutes; FUZZ_OPTIONS="--seed 7" for others (docs/security.md)
	@scripts/setup.sh --dev >/dev/null
	@scripts/in-env.sh python tests/fuzz/__main__.py $(FUZZ_OPTIONS)

lint: ## check the style of Python, C and shell files
	@scripts/lint.sh check

format: ## format Python and C files in the project's style
	@scripts/lint.sh format

lock: ## update the lock files from the requirements files (needs uv), then vendor/ and scripts/wheels.json
	@scripts/lock.sh && scripts/vendor.sh

clean: ## remove unchanged products for MODEL or OUT; without both, in all of build/
	@scripts/pipeline.sh clean

distclean: clean ## also remove .venv, TVM, and the files of set-up and the examples in build/
	@rm -rf build/env build/logs build/tvm-setup build/sbom.json build/.setup-lock build/.tvm-checked build/from_* \
	    build/image_classification build/object_detection build/image_embedding build/keyword_spotting
	@rmdir build 2>/dev/null || true
	@if [ -f .venv/made-by-setup ]; then rm -rf .venv; fi
	@if [ -f tvm/installed-files.json ]; then rm -rf tvm; fi

help: ## this list
	@bold=; plain=; \
	if [ -t 1 ] && [ -z "$$NO_COLOR" ] && [ "$$TERM" != dumb ]; then bold='\033[1m'; plain='\033[0m'; fi; \
	awk -v bold="$$bold" -v plain="$$plain" 'BEGIN { FS = ":.*## " } \
	    /^##@ / { printf "\n%s%s%s\n", bold, substr($$0, 5), plain } \
	    /^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@scripts/pipeline.sh variables
endif
