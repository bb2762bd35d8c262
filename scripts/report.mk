##@ Inspect and compare
.PHONY: report evaluate compare
report: ## MODEL CALIB INPUT [LOG] [BASE]: a page about the program's layers, memory, time and noise: OUT/report.html
	@scripts/pipeline.sh report

evaluate: ## MODEL CALIB INPUT [LABELS]: accuracy of the generated C and of the float model on a test set; shown by report
	@scripts/pipeline.sh evaluate

compare: ## MODEL CALIB INPUT LOG: a board's log against the reference, layer by layer; `make monitor | make compare`
	@scripts/pipeline.sh compare
