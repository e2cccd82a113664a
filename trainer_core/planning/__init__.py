"""What to train with on this machine, and what helps when it hurts: hardware, presets, advice. Never imports torch."""
