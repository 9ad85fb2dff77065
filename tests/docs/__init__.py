"""Code in documents is run: what a reader copies works."""
