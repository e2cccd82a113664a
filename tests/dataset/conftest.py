from dataset_desk import desk

__all__ = ["desk"]
