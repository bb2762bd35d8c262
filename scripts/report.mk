##@ Inspect and compare
.PHONY: report compare
report: ## MODEL CALIB INPUT [LOG]: a page about the program's layers, memory, time and noise: OUT/report.html
	@scripts/pipeline.sh report

compare: ## MODEL CALIB INPUT LOG: a board's log against the reference, layer by layer; `make monitor | make compare`
	@scripts/pipeline.sh compare
