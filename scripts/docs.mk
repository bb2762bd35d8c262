##@ Documents
.PHONY: test-docs docs-check docs-outputs
test-docs: ## run every command of README and docs, except those that need a board
	@scripts/setup.sh --dev >/dev/null
	@scripts/in-env.sh python -m pytest -m "" tests/test_docs.py $(PYTEST_OPTIONS)

docs-check: ## run the commands whose outputs the documents show, and compare (docs/outputs)
	@scripts/in-env.sh python scripts/doc_outputs.py check
	@scripts/in-env.sh python scripts/doc_outputs.py verify

docs-outputs: ## the same, and write what they print into docs/outputs and the documents
	@scripts/in-env.sh python scripts/doc_outputs.py run
	@scripts/in-env.sh python scripts/doc_outputs.py write
