"""View encoders: diffusion denoisers whose inner blocks are read as features."""
