# All steps for one model of each framework. Each framework is installed only here, into build/env/<framework>.

##@ Examples
.PHONY: example-pytorch example-tensorflow example-tflite example-sklearn example-qat
example-pytorch: ## PyTorch to generated C: train, export, deploy, compare; accuracy of float and int8
	@scripts/example.sh pytorch

example-tensorflow: ## the same from Keras
	@scripts/example.sh tensorflow

example-tflite: ## the same from a .tflite
	@scripts/example.sh tflite

example-sklearn: ## the same from scikit-learn, with a table of measurements
	@scripts/example.sh sklearn

example-qat: ## PyTorch trains with fake quantization to powers of two; error of float, quantized, and trained int8
	@scripts/example.sh qat
