# Chips with two cores (docs/both-cores.md). Included by the Makefile.

##@ Both cores
.PHONY: bench-cores
bench-cores: ## MODEL SAMPLE: instructions of each core, by layer, counted in an emulator
	@scripts/in-env.sh python bench/cores.py "$${MODEL:-build/digits/model_quant.onnx}" "$${SAMPLE:-examples/digits/input_sample.npy}"
