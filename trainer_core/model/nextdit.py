"""NextDiT_CLIP, the transformer of NewBie-image, with the parameter names of the official checkpoint.

Time runs from noise (t = 0) to data (t = 1); the output is the velocity dx/dt = data - noise.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from trainer_core.model.attention import Attention, Lengths, build_attention
from trainer_core.model.fused import gate, heads
from trainer_core.model.rms_norm import rms_norm
from trainer_core.model.rope import apply_rope, caption_positions, image_positions, rope_table
from trainer_core.planning.shapes import FFN_MULTIPLE, MODULATION_WIDTH, TIME_FREQUENCIES

MAX_PERIOD = 10000.0


class RMSNorm(nn.Module):
    """Root-mean-square norm; what it takes beside its input is `rms_norm`'s."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(
        self, x: Tensor, *, scale: Tensor | None = None, gate: Tensor | None = None, onto: Tensor | None = None
    ) -> Tensor:
        return rms_norm(x, self.weight, self.eps, scale=scale, gate=gate, onto=onto)


class TimestepEmbedder(nn.Module):
    """Sinusoids of the raw t in [0, 1] (cosines first), then a two-layer MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(TIME_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    @property
    def dtype(self) -> torch.dtype:
        return next(self.mlp.parameters()).dtype

    def forward(self, timesteps: Tensor) -> Tensor:
        half = TIME_FREQUENCIES // 2
        exponents = torch.arange(half, dtype=torch.float32, device=timesteps.device) / half
        angles = timesteps.float()[:, None] * MAX_PERIOD**-exponents
        waves = torch.cat((angles.cos(), angles.sin()), dim=-1)
        return self.mlp(waves.to(self.dtype))


class SelfAttention(nn.Module):
    """Fused qkv with grouped key/value heads; q and k are normed per head, then rotated. The block attends."""

    def __init__(self, dim: int, n_heads: int, n_kv_heads: int, *, qk_norm: bool, eps: float) -> None:
        super().__init__()
        self.head_dim = dim // n_heads
        self.heads = (n_heads, n_kv_heads, n_kv_heads)
        self.qkv = nn.Linear(dim, sum(self.heads) * self.head_dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.q_norm = RMSNorm(self.head_dim, eps) if qk_norm else nn.Identity()
        self.k_norm = RMSNorm(self.head_dim, eps) if qk_norm else nn.Identity()

    def heads_of(self, x: Tensor, rope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q [B, T, H, D], k and v [B, T, Hkv, D] of x [B, T, dim]."""
        qkv = self.qkv(x)
        if isinstance(self.q_norm, RMSNorm) and isinstance(self.k_norm, RMSNorm):
            weights = (self.q_norm.weight, self.k_norm.weight)
            fused = heads(qkv, weights, rope, self.heads[:2], self.q_norm.eps)
            if fused is not None:
                return fused
        q, k, v = qkv.unflatten(-1, (-1, self.head_dim)).split(self.heads, dim=2)
        return apply_rope(self.q_norm(q), rope), apply_rope(self.k_norm(k), rope), v


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = -(-4 * dim // FFN_MULTIPLE) * FFN_MULTIPLE
        self.w1 = nn.Linear(dim, hidden, bias=False)
        self.w2 = nn.Linear(hidden, dim, bias=False)
        self.w3 = nn.Linear(dim, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(gate(self.w1(x), self.w3(x)))


class Block(nn.Module):
    """Sandwich-norm block. Modulated by (1 + scale) before and tanh(gate) after each part, or not at all.

    `before` and `after` its attention may be replaced, in one block, by the same made faster.
    """

    def __init__(self, attention: SelfAttention, dim: int, *, modulated: bool, eps: float) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = FeedForward(dim)
        self.attention_norm1 = RMSNorm(dim, eps)
        self.attention_norm2 = RMSNorm(dim, eps)
        self.ffn_norm1 = RMSNorm(dim, eps)
        self.ffn_norm2 = RMSNorm(dim, eps)
        if modulated:
            width = min(dim, MODULATION_WIDTH)
            self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 4 * dim))

    def forward(self, x: Tensor, rope: Tensor, attend: Attention, condition: Tensor | None = None) -> Tensor:
        q, k, v, *modulation = self.before(x, rope, condition)
        return self.after(x, attend(q, k, v), *modulation)

    def before(self, x: Tensor, rope: Tensor, condition: Tensor | None) -> tuple[Tensor, ...]:
        """What attention takes: q, k, v as `Attention` has them; then what `after` takes, if there is a condition."""
        if condition is None:
            return self.attention.heads_of(self.attention_norm1(x), rope)
        modulation = self.adaLN_modulation(condition).unsqueeze(1)
        scale_msa, gate_msa, scale_mlp, gate_mlp = modulation.chunk(4, dim=-1)
        heads = self.attention.heads_of(self.attention_norm1(x, scale=scale_msa), rope)
        return (*heads, gate_msa, scale_mlp, gate_mlp)

    def after(self, x: Tensor, attended: Tensor, *modulation: Tensor) -> Tensor:
        """The block's output, of its input and what attention gave [B, T, H, D]."""
        gate_msa, scale_mlp, gate_mlp = modulation or (None, None, None)
        x = self.attention_norm2(self.attention.out(attended.flatten(2)), gate=gate_msa, onto=x)
        return self.ffn_norm2(self.feed_forward(self.ffn_norm1(x, scale=scale_mlp)), gate=gate_mlp, onto=x)


class FinalLayer(nn.Module):
    """Affine-free LayerNorm, scaled by the condition, then a linear map to patch pixels."""

    def __init__(self, dim: int, patch_values: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.linear = nn.Linear(dim, patch_values)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(min(dim, MODULATION_WIDTH), dim))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.linear(self.norm_final(x) * (1 + self.adaLN_modulation(condition).unsqueeze(1)))


class NextDiT(nn.Module):
    """The transformer. Constructor keywords and parameter names are the official checkpoint's.

    `attention_backend` (sdpa, varlen, flash), `gradient_checkpointing` and `checkpoint_skip_every` may be set at any
    time; checkpointing recomputes each block, refiners included, in the backward pass of a model in training mode,
    less every n-th main block with `checkpoint_skip_every` n (0: none).
    """

    def __init__(  # noqa: PLR0913 - the checkpoint's own config keys
        self,
        *,
        patch_size: int = 2,
        in_channels: int = 16,
        dim: int = 2304,
        n_layers: int = 36,
        n_refiner_layers: int = 2,
        n_heads: int = 24,
        n_kv_heads: int = 8,
        axes_dims: Sequence[int] = (32, 32, 32),
        axes_lens: Sequence[int] = (1024, 512, 512),
        qk_norm: bool = True,
        cap_feat_dim: int = 2560,
        clip_text_dim: int = 1024,
        norm_eps: float = 1e-5,
        qk_norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if dim != n_heads * sum(axes_dims):
            raise ValueError(f"dim {dim} is not n_heads {n_heads} x the sum of axes_dims {tuple(axes_dims)}")
        self.patch_size = patch_size
        self.in_channels = in_channels
        self.cap_feat_dim = cap_feat_dim
        self.clip_text_dim = clip_text_dim
        self.axes_dims = tuple(axes_dims)
        self.axes_lens = tuple(axes_lens)
        self.attention_backend = "sdpa"
        self.gradient_checkpointing = False
        self.checkpoint_skip_every = 0
        width = min(dim, MODULATION_WIDTH)
        patch_values = patch_size * patch_size * in_channels

        def blocks(count: int, *, modulated: bool) -> nn.ModuleList:
            return nn.ModuleList(
                Block(
                    SelfAttention(dim, n_heads, n_kv_heads, qk_norm=qk_norm, eps=qk_norm_eps),
                    dim,
                    modulated=modulated,
                    eps=norm_eps,
                )
                for _ in range(count)
            )

        self.x_embedder = nn.Linear(patch_values, dim)
        self.noise_refiner = blocks(n_refiner_layers, modulated=True)
        self.context_refiner = blocks(n_refiner_layers, modulated=False)
        self.t_embedder = TimestepEmbedder(width)
        self.cap_embedder = nn.Sequential(RMSNorm(cap_feat_dim, norm_eps), nn.Linear(cap_feat_dim, dim))
        self.clip_text_pooled_proj = nn.Sequential(
            RMSNorm(clip_text_dim, qk_norm_eps), nn.Linear(clip_text_dim, clip_text_dim)
        )
        self.time_text_embed = nn.Sequential(nn.SiLU(), nn.Linear(width + clip_text_dim, width))
        self.layers = blocks(n_layers, modulated=True)
        # Part of the checkpoint, though the base's own forward never applies it.
        self.norm_final = RMSNorm(dim, norm_eps)
        self.final_layer = FinalLayer(dim, patch_values)

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        cap_feats: Tensor,
        cap_lengths: Sequence[int],
        clip_text_pooled: Tensor | None,
    ) -> Tensor:
        """Velocity, shaped like `latents`.

        Args:
            latents: [B, in_channels, H, W]; H and W multiples of patch_size.
            timesteps: [B] in [0, 1]; 0 is noise.
            cap_feats: [B, L, cap_feat_dim], right padded.
            cap_lengths: real tokens of each caption, which come first, at most L. Numbers of the host: to ask a device
                for them means to wait for it, and `DistributedDataParallel` brings every tensor there.
            clip_text_pooled: [B, clip_text_dim]. None means "time embedding alone", as upstream has it.

        Raises:
            ValueError: sides that patches do not divide, or positions beyond axes_lens.
        """
        rows, columns = self._grid(latents)
        caption = Lengths(tuple(cap_lengths), cap_feats.shape[1])
        self._check_positions(max(caption.each), rows, columns)
        condition = self._condition(timesteps, clip_text_pooled)

        text_rope = rope_table(
            caption_positions(cap_feats.shape[0], cap_feats.shape[1], cap_feats.device), self.axes_dims
        )
        lengths = torch.tensor(caption.each).to(latents.device, non_blocking=True)
        image_rope = rope_table(image_positions(lengths, rows, columns), self.axes_dims)
        text = self._refine_text(cap_feats, caption, text_rope)
        image = self._refine_image(latents, image_rope, condition)

        joint, rope, total = _join(text, image, (text_rope, image_rope), caption)
        attend = build_attention(self.attention_backend, total, latents.device)
        for number, block in enumerate(self.layers, 1):
            # The last of each group, for its activations are then used up before any block is recomputed.
            keeps = self.checkpoint_skip_every > 0 and number % self.checkpoint_skip_every == 0
            joint = self._through(block, joint, rope, attend, condition, recompute=not keeps)
        image = _image_part(joint, caption, rows * columns)
        return self._unpatchify(self.final_layer(image, condition), rows, columns)

    def _grid(self, latents: Tensor) -> tuple[int, int]:
        height, width = latents.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(f"latents of {height} x {width}: sides must be multiples of {self.patch_size}")
        return height // self.patch_size, width // self.patch_size

    def _check_positions(self, caption: int, rows: int, columns: int) -> None:
        wanted = (caption + 1, rows, columns)
        if any(want > have for want, have in zip(wanted, self.axes_lens, strict=True)):
            raise ValueError(f"positions (caption + 1, rows, columns) = {wanted} exceed axes_lens {self.axes_lens}")

    def _condition(self, timesteps: Tensor, pooled: Tensor | None) -> Tensor:
        time = self.t_embedder(timesteps)
        if pooled is None:
            return time
        return self.time_text_embed(torch.cat((time, self.clip_text_pooled_proj(pooled)), dim=-1))

    def _refine_text(self, cap_feats: Tensor, caption: Lengths, rope: Tensor) -> Tensor:
        text = self.cap_embedder(cap_feats)
        attend = build_attention(self.attention_backend, caption, text.device)
        for block in self.context_refiner:
            text = self._through(block, text, rope, attend, None)
        return text

    def _refine_image(self, latents: Tensor, rope: Tensor, condition: Tensor) -> Tensor:
        patches = F.pixel_unshuffle(latents, self.patch_size)
        patches = patches.unflatten(1, (self.in_channels, -1)).transpose(1, 2).flatten(1, 2)
        image = self.x_embedder(patches.flatten(2).transpose(1, 2))
        tokens = Lengths((image.shape[1],) * image.shape[0], image.shape[1])
        attend = build_attention(self.attention_backend, tokens, image.device)
        for block in self.noise_refiner:
            image = self._through(block, image, rope, attend, condition)
        return image

    def _through(  # noqa: PLR0913 - a block's own arguments
        self,
        block: nn.Module,
        x: Tensor,
        rope: Tensor,
        attend: Attention,
        condition: Tensor | None,
        *,
        recompute: bool = True,
    ) -> Tensor:
        if recompute and self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            kept: Tensor = checkpoint(block, x, rope, attend, condition, use_reentrant=False)
            return kept
        out: Tensor = block(x, rope, attend, condition)
        return out

    def _unpatchify(self, tokens: Tensor, rows: int, columns: int) -> Tensor:
        patch = self.patch_size
        grid = tokens.unflatten(1, (rows, columns)).unflatten(-1, (patch, patch, self.in_channels))
        return grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def _join(
    text: Tensor, image: Tensor, ropes: tuple[Tensor, Tensor], caption: Lengths
) -> tuple[Tensor, Tensor, Lengths]:
    """Text then image of each sample, without the caption's padding; the tail of shorter samples is padded."""
    text_rope, image_rope = ropes
    if caption.full:
        joint = torch.cat((text, image), dim=1)
        rope = torch.cat((text_rope, image_rope), dim=1)
        return joint, rope, Lengths((joint.shape[1],) * len(caption.each), joint.shape[1])
    totals = tuple(length + image.shape[1] for length in caption.each)
    longest = max(totals)

    def splice(front: Tensor, back: Tensor) -> Tensor:
        rows = [torch.cat((front[i, :length], back[i])) for i, length in enumerate(caption.each)]
        return torch.stack([F.pad(row, (0, 0) * (row.dim() - 1) + (0, longest - len(row))) for row in rows])

    rope = splice(text_rope, image_rope)
    return splice(text, image), rope, Lengths(totals, longest)


def _image_part(joint: Tensor, caption: Lengths, tokens: int) -> Tensor:
    if caption.full:
        return joint[:, caption.padded :]
    return torch.stack([joint[i, length : length + tokens] for i, length in enumerate(caption.each)])
