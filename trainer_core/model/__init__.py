"""The model: transformer, text encoders, VAE, and the reading of their files."""
