##@ Packages (docs/container.md)
.PHONY: sbom vendor
sbom: ## list packages, versions, licences and hashes; build/sbom.json has them as CycloneDX
	@scripts/in-env.sh python scripts/sbom.py --output "$${OUT:-build}/sbom.json"

vendor: ## download all wheels into vendor/: set-up and image then need no package index
	@scripts/vendor.sh
