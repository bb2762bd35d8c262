# The vector kernels of the ESP32-S3, and the MAC16 kernels of the ESP32, which the S3's core runs too. Included by the Makefile.

##@ ESP32-S3
.PHONY: bench-esp32s3 bench-esp32 layers-esp32s3
bench-esp32s3: ## MODEL SAMPLE: multiply-accumulates per instruction of the vector kernels in an emulator, by shape or by layer
	@scripts/in-env.sh python bench/bench_esp32s3.py $${MODEL:+"$$MODEL"} $${SAMPLE:+"$$SAMPLE"}

bench-esp32: ## MODEL SAMPLE: multiply-accumulates per instruction of the ESP32's MAC16 kernels in an emulator, by shape or of a model
	@scripts/in-env.sh python bench/bench_esp32.py $${MODEL:+"$$MODEL"} $${SAMPLE:+"$$SAMPLE"}

layers-esp32s3: ## LAYERS SEED: check random layers with the vector kernels, on this computer and, if available, in an emulator
	@scripts/in-env.sh python tests/esp32s3_layers.py $${LAYERS:-1000} $${SEED:-1}
