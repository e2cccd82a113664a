"""Bytes that a training pass of NextDiT holds for its backward, by component, and the FLOPs of the pass.

NextDiT's forward, operation by operation, on a `Tape`: what follows is the structure of model/nextdit.py with the
adapter of training/adapter_layers.py, under autocast as training/loop.py runs it. Nothing is fitted. Compared in
tests/planning/test_activations.py with what autograd really saves.

Assumed: fused attention (flash or memory-efficient; PyTorch takes one of them for every shape that NextDiT has, on
a CPU its own flash kernel), and captions of one length, the longest: then no sample is padded. The fp32 copies that a
card of compute capability below 8.0 gives to its kernel (model/attention.py) are not counted: with their gradients
less than 100 kB a token of the real model, in one block at a time where it is checkpointed.
"""

from dataclasses import dataclass

from trainer_core.planning.shapes import TIME_FREQUENCIES, Dimensions, Targets
from trainer_core.planning.tape import FP32, Flops, Pass, Tape, Value


@dataclass(frozen=True, kw_only=True)
class Activations:
    """Bytes. `kept` is alive at the end of the forward pass, by component.

    recomputed: the most that gradient checkpointing's second run of a block adds to what is still kept by then
    (0 without).
    backward_work, forward_work: temporaries at the most expensive place of each pass, beside what is saved there.
    """

    kept: dict[str, int]
    recomputed: int
    backward_work: int
    forward_work: int
    flops: Flops
    recompute_flops: int

    @property
    def model_flops(self) -> int:
        """What the mathematics needs."""
        return self.flops.forward + self.flops.backward

    @property
    def executed_flops(self) -> int:
        """The second forward pass of checkpointed layers as well."""
        return self.model_flops + self.recompute_flops

    @property
    def kept_total(self) -> int:
        return sum(self.kept.values())

    @property
    def peak_saved(self) -> int:
        """Saved tensors alone, at the moment when most are alive."""
        # The output's part is used up before the first layer is run again.
        return max(self.kept_total, self.kept_total - self.kept["output"] + self.recomputed)

    @property
    def peak(self) -> int:
        """Saved tensors and temporaries together. The gradients of the adapter are not among them."""
        backward = self.kept_total - self.kept["output"] + self.recomputed + self.backward_work
        return max(self.peak_saved, backward, self.kept_total + self.forward_work)


def activations(dims: Dimensions, targets: Targets, run: Pass) -> Activations:
    """What training one micro-batch holds; see the module's text for what is assumed."""
    return _Walk(dims, targets, run).measure()


class _Walk:
    def __init__(self, dims: Dimensions, targets: Targets, run: Pass) -> None:
        self.dims = dims
        self.run = run
        self.targets = targets.layers
        self.compute = run.compute
        self.tape = Tape(run, targets.names)
        # For each block that is run again: bytes kept at the end of its first run, bytes of its second.
        self.again: list[tuple[int, int]] = []
        self.recompute_flops = 0

    def measure(self) -> Activations:
        dims, run, tape = self.dims, self.run, self.tape
        image_tokens = run.image_tokens(dims)
        joint_tokens = run.caption_tokens + image_tokens
        with tape.part("condition"):
            condition = self._condition()
        with tape.part("refiners"):
            text = self._text(self._table(run.caption_tokens))
            image = self._image(image_tokens, self._table(image_tokens), condition)
        with tape.part("layers"):
            joint = tape.new(run.batch * joint_tokens, dims.dim, self.compute, grad=text.grad or image.grad)
            table = self._table(joint_tokens)
            for number in range(dims.n_layers):
                keeps = run.skip_every > 0 and (number + 1) % run.skip_every == 0
                joint = self._layer(f"layers.{number}", joint, table, condition, recompute=not keeps)
        whole = tape.total()
        with tape.part("output"):
            self._output(joint, image_tokens, condition)
        labels = ("condition", "refiners", "layers", "output")
        return Activations(
            kept={label: tape.bytes_of(label) for label in labels},
            # What blocks further on kept is used up when one is run again.
            recomputed=max(0, *(kept + inner - whole for kept, inner in self.again)) if self.again else 0,
            backward_work=self._backward_work(joint_tokens) if joint.grad else 0,
            # Beside what is kept at the last block that is run again; those after it hold what they keep anyway.
            forward_work=max(0, self._forward_work(joint_tokens) + self.again[-1][0] - whole) if self.again else 0,
            flops=tape.flops,
            recompute_flops=self.recompute_flops,
        )

    def _table(self, tokens: int) -> Value:
        """Cosines and sines."""
        return self.tape.new(self.run.batch * tokens, self.dims.head_dim, FP32, grad=False)

    def _input(self, rows: int, last: int) -> Value:
        return self.tape.new(rows, last, FP32, grad=False)

    def _condition(self) -> Value:
        dims, tape, batch = self.dims, self.tape, self.run.batch
        waves = tape.linear(self._input(batch, TIME_FREQUENCIES), dims.modulation, "t_embedder.mlp.0")
        time = tape.linear(tape.silu(waves), dims.modulation, "t_embedder.mlp.2")
        pooled = tape.rms_norm(self._input(batch, dims.clip_text_dim))
        pooled = tape.linear(pooled, dims.clip_text_dim, "clip_text_pooled_proj.1")
        grad = time.grad or pooled.grad
        both = tape.new(batch, dims.modulation + dims.clip_text_dim, self.compute, grad=grad)
        return tape.linear(tape.silu(both), dims.modulation, "time_text_embed.1")

    def _text(self, table: Value) -> Value:
        dims, rows = self.dims, self.run.batch * self.run.caption_tokens
        features = self.tape.rms_norm(self._input(rows, dims.cap_feat_dim))
        text = self.tape.linear(features, dims.dim, "cap_embedder.1")
        for number in range(dims.n_refiner_layers):
            text = self._layer(f"context_refiner.{number}", text, table, None)
        return text

    def _image(self, tokens: int, table: Value, condition: Value) -> Value:
        patches = self._input(self.run.batch * tokens, self.dims.patch_values)
        image = self.tape.linear(patches, self.dims.dim, "x_embedder")
        for number in range(self.dims.n_refiner_layers):
            image = self._layer(f"noise_refiner.{number}", image, table, condition)
        return image

    def _layer(self, name: str, x: Value, table: Value, condition: Value | None, *, recompute: bool = True) -> Value:
        if not (self.run.checkpointing and recompute):
            return self._block(self.tape, name, x, table, condition)
        # Checkpointing keeps a layer's inputs; what it saves itself lives only while its own backward runs.
        inputs = (x, *([condition] if condition else []), table)
        inner = self.tape.aside(*inputs)
        y = self._block(inner, name, x, table, condition)
        self.tape.flops.forward += inner.flops.forward
        self.tape.flops.backward += inner.flops.backward
        if not y.grad:
            return y
        for value in inputs:
            self.tape.save(value)
        self.again.append((self.tape.total(), inner.total()))
        self.recompute_flops += inner.flops.forward
        return y

    def _block(self, tape: Tape, name: str, x: Value, table: Value, condition: Value | None) -> Value:
        if condition is None:
            x = tape.add(x, tape.rms_norm(self._attention(tape, name, tape.rms_norm(x), table)))
            return tape.add(x, tape.rms_norm(self._feed_forward(tape, name, tape.rms_norm(x))))
        modulation = tape.linear(tape.silu(condition), 4 * self.dims.dim, f"{name}.adaLN_modulation.1")
        scale_msa, gate_msa, scale_mlp, gate_mlp = (
            tape.new(condition.rows, self.dims.dim, self.compute, grad=modulation.grad) for _ in range(4)
        )
        attended = self._attention(tape, name, tape.rms_norm(x, tape.like(scale_msa)), table)
        x = tape.add(x, tape.rms_norm(attended, tape.like(tape.tanh(gate_msa))))
        fed = self._feed_forward(tape, name, tape.rms_norm(x, tape.like(scale_mlp)))
        return tape.add(x, tape.rms_norm(fed, tape.like(tape.tanh(gate_mlp))))

    def _attention(self, tape: Tape, name: str, x: Value, table: Value) -> Value:
        dims = self.dims
        qkv = tape.linear(x, dims.qkv, f"{name}.attention.qkv")
        q, k, v = (
            # Views: whoever keeps one keeps the whole of qkv.
            Value(rows=x.rows, last=heads * dims.head_dim, width=qkv.width, grad=qkv.grad, storage=qkv.storage)
            for heads in (dims.n_heads, dims.n_kv_heads, dims.n_kv_heads)
        )
        q, k = (tape.rotate(self._head_norm(tape, part, heads), table)
                for part, heads in ((q, dims.n_heads), (k, dims.n_kv_heads)))  # fmt: skip
        heads = (dims.n_heads, dims.n_kv_heads)
        out = tape.attention(q, k, v, batch=self.run.batch, heads=heads, packed=self.run.packed_attention)
        return tape.linear(out, dims.dim, f"{name}.attention.out")

    def _head_norm(self, tape: Tape, x: Value, heads: int) -> Value:
        """A norm over each head: as many statistics as there are heads."""
        if not self.dims.qk_norm:
            return x
        split = Value(rows=x.rows * heads, last=x.last // heads, width=x.width, grad=x.grad, storage=x.storage)
        normed = tape.rms_norm(split)
        return Value(rows=x.rows, last=x.last, width=x.width, grad=x.grad, storage=normed.storage)

    def _feed_forward(self, tape: Tape, name: str, x: Value) -> Value:
        w1, w3 = (tape.linear(x, self.dims.hidden, f"{name}.feed_forward.{w}") for w in ("w1", "w3"))
        return tape.linear(tape.gate(w1, w3), self.dims.dim, f"{name}.feed_forward.w2")

    def _output(self, joint: Value, image_tokens: int, condition: Value) -> None:
        """The image's part of the joint sequence, which is a view of it, to the loss."""
        dims, tape, run = self.dims, self.tape, self.run
        image = Value(
            rows=run.batch * image_tokens, last=dims.dim, width=joint.width, grad=joint.grad, storage=joint.storage
        )
        modulation = tape.linear(tape.silu(condition), dims.dim, "final_layer.adaLN_modulation.1")
        scale = tape.new(run.batch, dims.dim, self.compute, grad=modulation.grad)
        scaled = tape.multiply(tape.layer_norm(image), scale)
        velocity = tape.linear(scaled, dims.patch_values, "final_layer.linear")
        # The loss squares an fp32 difference, which it keeps.
        tape.save(tape.like(velocity, width=FP32))

    def _backward_work(self, tokens: int) -> int:
        """Temporaries in the second half of the last layer's backward pass, less what was freed on the way there.

        With D values of the model's width and F bytes of the feed-forward's: in the norm three maps in fp32, its input,
        the gradient coming in and the one going out. In the product silu(w1 x) * w3 x the gradients of it and of both
        factors; the norm's input is freed by then, and so is the product where w2 has LoRA (else no one kept it).
        """
        wide, hidden = self._maps(tokens)
        own = any(name.startswith("layers.") and name.endswith("w2") for name in self.tape.targets)
        return max(3 * FP32 * wide, (2 if own else 3) * hidden - self.compute * wide)

    def _forward_work(self, tokens: int) -> int:
        """A checkpointed layer as it first runs: both factors, silu and product of its feed-forward part, x before
        and after; and autocast's copies of the layers' adapters, which it holds until the pass ends."""
        wide, hidden = self._maps(tokens)
        copies = 0
        if self.compute != FP32:
            inner = (layer for layer in self.targets if "layers." in layer.name)
            copies = self.compute * sum(sum(layer.adapter_sizes(self.run.adapter)) for layer in inner)
        return 4 * hidden + 2 * self.compute * wide + copies

    def _maps(self, tokens: int) -> tuple[int, int]:
        """Elements of one value of the model's width, bytes of one of the feed-forward's."""
        rows = self.run.batch * tokens
        return rows * self.dims.dim, rows * self.dims.hidden * self.compute
