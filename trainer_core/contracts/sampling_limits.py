"""What may be asked of a picture that a command or a job paints. The options ``sample_*`` are a training's own."""

# Each: the lowest, the highest, and what is taken where nothing is said.
STEPS = (1, 1000, 24)
CFG = (0, 100, 4.5)
SHIFT = (0.01, 100, 6.0)
SEED = (0, 2**63 - 1, 42)
# Of each side, in px: the lowest, the highest, and what it is a multiple of.
SIDE = (64, 2048, 16)
