"""Images of joints that nobody has: what every joint shares, and beside it one package a joint."""
