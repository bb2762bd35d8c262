# Operators: tests, and documents about them. Included by the Makefile.

##@ Operators
.PHONY: test-onnx-nodes sweep operators
test-onnx-nodes: ## the ONNX project's tests of single operators through the pipeline, into docs/onnx-node-tests.md
	@scripts/in-env.sh python tests/onnx_node_tests.py

sweep: ## a thousand models of one operator, each attribute away from its default, against ONNX Runtime; SWEEP_OPTIONS="Conv" chooses some
	@scripts/in-env.sh python tests/attribute_sweep.py $(SWEEP_OPTIONS)

operators: ## update the parts of documents and of the kernels' build that list operators
	@scripts/in-env.sh python -m esp_tvm.operator_table
