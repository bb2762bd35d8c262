##@ Container
.PHONY: image image-check image-test
image: ## IMAGE PYTHON_IMAGE: build the container image of the pipeline (docker)
	@scripts/image.sh build

image-check: ## IMAGE: run the demo inside the image and compare its project with the one made here
	@scripts/image.sh check

image-test: ## as root on Debian: start an engine, make a stand-in base, build the image, check it (slow)
	@scripts/image-test.sh
