"""Every action of an operator, written once; the interfaces only translate."""
