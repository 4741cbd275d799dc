"""What a mask tells in millimetres: thickness of layers, parts of them, how far menisci stand out, what is cut."""
