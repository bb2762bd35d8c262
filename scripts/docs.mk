##@ Documents
.PHONY: test-docs
test-docs: ## run every command of README and docs, except those that need a board
	@scripts/setup.sh --dev >/dev/null
	@scripts/in-env.sh python -m pytest -m "" tests/test_docs.py $(PYTEST_OPTIONS)
