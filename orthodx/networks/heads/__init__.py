"""Task heads: masks, or one view's part of a diagnosis, from an encoder's blocks."""
