"""Whether to try at all: circuits shared by every process that uses their name."""
