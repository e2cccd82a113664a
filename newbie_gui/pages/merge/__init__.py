"""The Merge tab: LoRAs into a model or into the other form, what they are, and how their pictures look."""
