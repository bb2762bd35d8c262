# Operators: tests, and documents about them. Included by the Makefile.

##@ Operators
.PHONY: test-onnx-nodes operators
test-onnx-nodes: ## the ONNX project's tests of single operators through the pipeline, into docs/onnx-node-tests.md
	@scripts/in-env.sh python tests/onnx_node_tests.py

operators: ## update the parts of documents and of the kernels' build that list operators
	@scripts/in-env.sh python -m esp_tvm.operator_table
