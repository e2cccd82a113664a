"""The training engine: contracts, data set, model and training loop of the Newbie LoRA trainer.

Imports only point down: ``tools`` -> ``training`` -> ``model`` -> ``dataset`` -> ``contracts``. The package
knows nothing of the browser side.
"""
