##@ ESP-IDF and the board (MODEL or OUT selects the project; PORT is the serial device)
.PHONY: boards build flash flash-weights monitor menuconfig erase size emulate component test-idf idf-tools
boards: ## the boards known to BOARD=: chip, flash, PSRAM
	@scripts/in-env.sh python -m esp_tvm boards $${TARGET:+--target "$$TARGET"}

build: ## build OUT/new_project with the activated ESP-IDF, or in its container if none is active
	@scripts/idf.sh build

flash: ## write it to the board at PORT
	@scripts/idf.sh flash

flash-weights: ## write only the weights, if they are in a partition (EXPORT_OPTIONS="--constants partition")
	@scripts/idf.sh constants-flash

monitor: ## show what the board prints
	@scripts/idf.sh monitor

menuconfig: ## set the project's options
	@scripts/idf.sh menuconfig

erase: ## erase the board's flash
	@scripts/idf.sh erase-flash

size: ## the sizes of the built program
	@scripts/idf.sh size

emulate: ## MODEL CALIB INPUT TARGET EMULATOR=esp-idf|qemu-riscv: run it in ESP-IDF's QEMU if that is active, otherwise its C on an emulated RISC-V
	@scripts/emulate.sh

component: ## DEST [MODEL_NAME FORM=component|library]: copy the model into another application's components, or its lib or libraries
	@scripts/pipeline.sh component

test-idf: ## [MODEL CALIB INPUT]: with an active ESP-IDF: export for all its chips, build each, run in QEMU what it can
	@scripts/idf_chips.sh export
	@scripts/idf_chips.sh test build/idf/*/new_project

idf-tools: ## Espressif's component manager and Kconfig tools into build/env/idf, for the tests that use them
	@scripts/example_env.sh idf
