# Speed, memory and size of what is generated. Included by the Makefile.

##@ Bench
.PHONY: bench bench-compare memory
bench: ## NAMES: instructions, RAM and flash of generated programs in the emulator, into bench/
	@scripts/in-env.sh python bench/bench.py $${NAMES:-}

bench-compare: ## BASE: what is better or worse in bench/results.json than in this file
	@scripts/in-env.sh python bench/bench.py --compare "$${BASE:-}"

memory: ## OUT: a picture of the arena over time, of the quantized model in OUT
	@scripts/in-env.sh python bench/memory.py "$${OUT:-build/digits}"
