# Operators: what the pipeline makes of each of them. Included by the Makefile.

##@ Operators
.PHONY: test-onnx-nodes operators
test-onnx-nodes: ## the ONNX project's tests of single operators through the pipeline, into docs/onnx-node-tests.md
	@scripts/in-env.sh python tests/onnx_node_tests.py

operators: ## write what documents and the kernels' build say of the operators
	@scripts/in-env.sh python -m esp_tvm.operator_table
