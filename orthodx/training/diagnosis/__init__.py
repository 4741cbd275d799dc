"""Fine-tuning for diagnosis from studies and their labels."""
