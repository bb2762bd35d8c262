##@ Container (docs/container.md); `make DOCKER=1 TARGET ...` runs any target for a model in it
.PHONY: image shell image-check image-test image-twice
image: ## [STAGE IMAGE PYTHON_IMAGE IDF_IMAGE PIP_CONF APT_CONF CA_CERT NETWORK APT_SNAPSHOT SOURCE_DATE_EPOCH]: build the container image (docker)
	@scripts/image.sh build

shell: ## [IMAGE]: a shell in the image, with this folder as /project
	@scripts/image.sh shell

image-check: ## [IMAGE]: run the demo inside the image and compare its project with the one made here
	@scripts/image.sh check

image-test: ## as root on Debian: start an engine, make a stand-in base, build the image, check it (slow)
	@scripts/image-test.sh

image-twice: ## as root on Debian: build the image twice, with buildah, and compare the digests (slow)
	@scripts/image-twice.sh
