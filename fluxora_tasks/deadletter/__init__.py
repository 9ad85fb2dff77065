"""Messages that died: their recorded form, their identity, and the way into the dead-letter exchange."""
