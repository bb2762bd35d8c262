"""Running the generated program: on the host, in an emulator, on a board."""
