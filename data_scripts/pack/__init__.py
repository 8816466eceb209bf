"""The parts of the sample pack's generator: a maintainer's tool, needed by nobody who uses it."""
