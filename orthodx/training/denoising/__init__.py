"""Pretraining: what an encoder learns from images alone."""
