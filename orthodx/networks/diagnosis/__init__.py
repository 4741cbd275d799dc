"""From the views' heads to one answer: pooling, fusion, health record, repeated series."""
