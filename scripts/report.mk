##@ Look and compare
.PHONY: report compare
report: ## MODEL CALIB INPUT [LOG]: what the program computes, takes and loses, as a page: OUT/report.html
	@scripts/pipeline.sh report

compare: ## MODEL CALIB INPUT LOG: a board's log against the reference, layer by layer; `make monitor | make compare`
	@scripts/pipeline.sh compare
