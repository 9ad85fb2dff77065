"""What to give instead of a result: strategies, and the switches over them."""
