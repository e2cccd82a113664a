"""Measurements of the trainer on the machine at hand; nothing of the product imports this."""
