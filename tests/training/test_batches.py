"""A micro-batch on its way to the model."""

import torch
from tiny_lora import CONFIG, tiny_model
from torch.distributed.utils import _to_kwargs

from trainer_core.contracts.config import TrainConfig
from trainer_core.training.batches import make_batch
from trainer_core.training.dummy_data import RandomFeatures, dummy_samples


def test_no_number_is_asked_of_the_device_that_ddp_brings_a_batch_to() -> None:
    config = TrainConfig(base_model_path="b", train_data_dir="d", caption_dropout_rate=0.0)
    features = RandomFeatures(channels=4, caption_dim=CONFIG["cap_feat_dim"], pooled_dim=CONFIG["clip_text_dim"])
    batch = make_batch(config, features, dummy_samples((128, 64), [5, 3]), step=0, first_index=0, patch=2)
    given = (batch.data, batch.t, batch.cap_feats, batch.cap_lengths, batch.pooled)
    # As DistributedDataParallel does it; a tensor on meta refuses to tell its value.
    meta = torch.device("meta")
    [moved], _ = _to_kwargs(given, {}, meta, False)
    assert tiny_model().to(meta)(*moved).shape == batch.data.shape and batch.cap_lengths == (5, 3)
