"""Fine-tuning from voxel-wise truth: structures, lesions, or both."""
