# Operators: what the pipeline makes of each of them. Included by the Makefile.

##@ Operators
.PHONY: test-onnx-nodes operators
test-onnx-nodes: ## the ONNX project's tests of single operators through the pipeline, into docs/onnx-node-tests.md
	@scripts/in-env.sh python tests/onnx_node_tests.py

operators: ## write docs/operators.md from the table of operators
	@scripts/in-env.sh python -m esp_tvm.operator_table docs/operators.md
