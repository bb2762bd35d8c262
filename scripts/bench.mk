# Speed, memory and size of generated programs. Included by the Makefile.

##@ Bench
.PHONY: bench bench-check bench-operators bench-strips bench-docs bench-compare bench-accuracy calibration-memory memory zoo
bench: ## NAMES: instructions, RAM and flash of generated programs in the emulators, into bench/
	@scripts/in-env.sh python bench/bench.py $${NAMES:-}

bench-check: ## NAMES: whether the table of costs leads to the programs it was counted on; compiles them, runs nothing
	@scripts/in-env.sh python bench/bench.py --check $${NAMES:-}

bench-operators: ## WORDS: instructions of single operators in the emulator, into bench/OPERATORS.md (WORDS: only print these)
	@scripts/in-env.sh python bench/operators.py $${WORDS:-}

bench-strips: ## WORDS: memory that strips of rows save and instructions they cost, into bench/STRIPS.md (WORDS: only print these)
	@scripts/in-env.sh python bench/strips.py $${WORDS:-}

bench-docs: ## the tables of docs/both-cores.md, docs/esp32.md and docs/esp32-s3.md, counted anew in emulators
	@scripts/in-env.sh python bench/document_tables.py

bench-compare: ## BASE: the differences of bench/results.json from this file
	@scripts/in-env.sh python bench/bench.py --compare "$${BASE:-}"

bench-accuracy: ## [WORDS] signal-to-noise ratio of int8 networks by the exact reference, compared with other tools
	@scripts/setup.sh --dev >/dev/null
	@scripts/in-env.sh python bench/accuracy.py $${WORDS:-}

calibration-memory: ## check that quantizing with 10 000 samples of 96x96x3 stays below 1.5 GB of memory
	@scripts/setup.sh --dev >/dev/null
	@scripts/in-env.sh python -m pytest -q -m "" tests/test_calibration_memory.py

memory: ## MODEL or OUT: a picture of the exported project's arena over time: OUT/memory.svg
	@scripts/in-env.sh python bench/memory.py

zoo: ## ZOO [FILES] [WORDS]: a table of the models in a folder: size, accuracy, memory, time, exactness, into OUT/zoo.md
	@scripts/zoo.sh
