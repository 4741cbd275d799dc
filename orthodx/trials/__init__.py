"""What is tried: several fine-tunings on one split, each tested on the same studies, and their comparison."""
