# Pictures and sound: front ends that make a model's input, on this computer and on the board. Included by the Makefile.

##@ Pictures and sound
.PHONY: arrays frontend detect example-image example-detection example-embedding example-keyword
arrays: ## SPEC FILES CALIB: pictures or sounds as the model's inputs, into the .npy CALIB (docs/image-input.md)
	@scripts/frontend.sh arrays

frontend: ## MODEL CALIB SPEC SAMPLE TARGET BOARD APP: a project that takes camera frames or sound, into OUT/board/new_project
	@scripts/frontend.sh frontend

example-image: ## pictures of any format to a camera application in C, bytes and accuracy: examples/image_classification
	@scripts/frontend.sh example-image

detect: ## SPEC FILES OUT [SECOND SECOND_SPEC]: boxes in pictures by a detector of make frontend, drawn in OUT/found and the report
	@scripts/frontend.sh detect

example-detection: ## a camera application that finds shapes: recall and precision, boxes from C and NumPy, a picture of them
	@scripts/frontend.sh example-detection

example-embedding: ## a camera application that knows again what it has seen: cosines of descriptors, from C and NumPy
	@scripts/frontend.sh example-embedding

example-keyword: ## words to a listening application in C, bytes, accuracy and detected words: examples/keyword_spotting
	@scripts/frontend.sh example-keyword
