"""What PyTorch's autograd keeps for the backward pass, and what it computes, worked out without tensors.

A `Tape` is written by the same operations as a real forward pass, but its values are only sizes. Each operation
applies autograd's own rule for what it saves: a product saves the factor whose *other* side needs a gradient, a
norm saves its input, a frozen linear layer saves nothing but its weight, which is the model's anyway.
A storage counts once however often it is saved, as it does in memory.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from trainer_core.planning.adapter import AdapterShape, LokrShape, LoraShape
from trainer_core.planning.quantised import is_quantised
from trainer_core.planning.shapes import Dimensions

FP32 = 4
# Bytes of the numbers that autocast computes in, by mixed_precision.
COMPUTE_BYTES = {"bf16": 2, "fp16": 2, "no": 4}


@dataclass(eq=False)
class Storage:
    """Memory behind one or several values, in bytes."""

    size: int


@dataclass(frozen=True, kw_only=True)
class Value:
    """Stand-in of a tensor: its rows (all leading axes), the length of its last axis, bytes per element."""

    rows: int
    last: int
    width: int
    grad: bool
    storage: Storage

    @property
    def elements(self) -> int:
        return self.rows * self.last

    @property
    def size(self) -> int:
        """Bytes of the value itself; a view may keep a larger storage alive."""
        return self.elements * self.width


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One micro-batch: latent sides in cells (8 px each), caption tokens, and how the model runs."""

    latent_height: int
    latent_width: int
    caption_tokens: int
    batch: int = 1
    adapter: AdapterShape = LoraShape(rank=32)
    dropout: float = 0.0
    precision: str = "bf16"
    checkpointing: bool = True
    skip_every: int = 0  # with checkpointing, one main block in so many keeps what it saves; 0 = none
    quantised: bool = False  # frozen weights are unpacked for each use and never kept
    packed_attention: bool = False  # the varlen and flash backends; sdpa otherwise
    cuda: bool = True  # kernels of a GPU; those of a CPU differ in dropout masks and the last norm

    @property
    def compute(self) -> int:
        """Bytes of a number of autocast's format."""
        return COMPUTE_BYTES[self.precision]

    @property
    def recast(self) -> bool:
        """Frozen weights, bfloat16 in both 16-bit modes, have another format: each use of one makes a kept copy."""
        return self.precision == "fp16"

    def image_tokens(self, dims: Dimensions) -> int:
        return (self.latent_height // dims.patch_size) * (self.latent_width // dims.patch_size)


@dataclass
class Flops:
    """Floating-point operations of a pass, a multiply-add counted as two.

    With T tokens of a sample (caption + image), a block's frozen linears cost 2 * T * in * out each in the forward pass
    and as much again in the backward pass for the gradient of their input; their own weights get none. LoRA of rank r
    adds 2 * T * r * (in + out) forward and twice that backward (gradients of its weights and of its input); LoKr of
    factor f about a share 1 / f of the frozen product, and twice that backward. Attention
    costs 4 * T^2 * dim forward and 8 * T^2 * dim backward. A layer through which nothing trained lies upstream has no
    input gradient. Norms, rotations and other elementwise work are left out: they move bytes rather than multiply.
    Flash kernels also recompute the scores in their backward pass (2 * T^2 * dim more), which is not counted.
    """

    forward: int = 0
    backward: int = 0


@dataclass
class Tape:
    """Records one forward pass under labels; `saved` maps a label to the storages first saved under it.

    targets: the full names of the layers with an adapter.
    """

    run: Pass
    targets: frozenset[str]
    flops: Flops = field(default_factory=Flops)
    saved: dict[str, list[Storage]] = field(default_factory=lambda: defaultdict(list))
    _known: set[int] = field(default_factory=set)
    _alive: list[Storage] = field(default_factory=list)
    _label: str = ""

    @contextmanager
    def part(self, label: str) -> Iterator[None]:
        before, self._label = self._label, label
        yield
        self._label = before

    def aside(self, *held: Value) -> "Tape":
        """A tape of its own that takes what is saved here, and `held`, for known."""
        return Tape(self.run, self.targets, _known=self._known | {id(v.storage) for v in held}, _alive=self._alive)

    def bytes_of(self, label: str) -> int:
        return sum(storage.size for storage in self.saved[label])

    def total(self) -> int:
        return sum(self.bytes_of(label) for label in self.saved)

    # Values

    def new(self, rows: int, last: int, width: int, *, grad: bool) -> Value:
        storage = Storage(rows * last * width)
        # Keeps its id from being given to another storage.
        self._alive.append(storage)
        return Value(rows=rows, last=last, width=width, grad=grad, storage=storage)

    def like(self, value: Value, *, grad: bool | None = None, width: int | None = None) -> Value:
        """A new value of the same shape."""
        return self.new(value.rows, value.last, width or value.width, grad=value.grad if grad is None else grad)

    def cast(self, value: Value, width: int) -> Value:
        """The value itself where it has that width already."""
        return value if value.width == width else self.like(value, width=width)

    def save(self, value: Value) -> None:
        storage = value.storage
        if id(storage) not in self._known:
            self._known.add(id(storage))
            self.saved[self._label].append(storage)

    # Operations

    def multiply(self, a: Value, b: Value) -> Value:
        """a * b; the one with fewer rows is broadcast."""
        if b.grad:
            self.save(a)
        if a.grad:
            self.save(b)
        return self.add(a, b)

    def add(self, *values: Value) -> Value:
        wide = max(values, key=lambda value: value.rows)
        return self.like(wide, grad=any(v.grad for v in values), width=max(v.width for v in values))

    def silu(self, x: Value) -> Value:
        if x.grad:
            self.save(x)
        return self.like(x)

    def gate(self, a: Value, b: Value) -> Value:
        """`model.fused.gate`: both factors, and nothing between."""
        if a.grad or b.grad:
            self.save(a)
            self.save(b)
        return self.add(a, b)

    def tanh(self, x: Value) -> Value:
        y = self.like(x)
        if x.grad:
            self.save(y)
        return y

    def rms_norm(self, x: Value, scale: Value | None = None) -> Value:
        """`model.rms_norm`: its input, one fp32 number a row and a scale that is more than a frozen weight."""
        grad = x.grad or (scale is not None and scale.grad)
        if grad:
            for value in (x, self.new(x.rows, 1, FP32, grad=False), *([scale] if scale else [])):
                self.save(value)
        return self.like(x, grad=grad)

    def layer_norm(self, x: Value) -> Value:
        """Without weights: its input and two numbers a row are saved, in fp32 under a GPU's autocast."""
        inner = self.cast(x, FP32) if self.run.cuda else x
        if x.grad:
            self.save(inner)
            for _ in range(2):
                self.save(self.new(x.rows, 1, inner.width, grad=False))
        return self.like(inner)

    def linear(self, x: Value, out: int, name: str) -> Value:
        """A frozen linear layer, with its adapter beside it where `name` is a target."""
        run = self.run
        x = self.cast(x, run.compute)
        product = 2 * x.rows * x.last * out
        self.flops.forward += product
        if x.grad:
            self.flops.backward += product
            if run.recast and not (run.quantised and is_quantised(name)):
                self.save(self.new(x.last, out, run.compute, grad=False))
        result = self.new(x.rows, out, run.compute, grad=x.grad)
        if name not in self.targets:
            return result
        adapter = run.adapter
        beside = self._lokr(x, out, adapter) if isinstance(adapter, LokrShape) else self._lora(x, out, adapter.rank)
        return self.add(result, beside)

    def _lora(self, x: Value, out: int, rank: int) -> Value:
        """B(A(dropout(x))): saved are the dropout's mask, A's and B's inputs, and autocast's copies of A and B."""
        compute = self.run.compute
        dropped = self._dropout(x)
        self.save(dropped)
        if x.grad:
            self._save_copy(x.last * rank)
        hidden = self.new(x.rows, rank, compute, grad=True)
        self.save(hidden)
        self._save_copy(rank * out)
        down, up = 2 * x.rows * x.last * rank, 2 * x.rows * rank * out
        self.flops.forward += down + up
        # Each half: the gradient of its weight, and of its input (A's only if something below is trained).
        self.flops.backward += down * (2 if x.grad else 1) + 2 * up
        return self.new(x.rows, out, compute, grad=True)

    def _lokr(self, x: Value, out: int, adapter: LokrShape) -> Value:
        """(w1 (x) w2) dropout(x): saved are the dropout's mask and what it leaves of x, and copies of the factors."""
        compute, shapes = self.run.compute, adapter.of(out, x.last)
        (rows, columns), whole = shapes["lokr_w1"], "lokr_w2" in shapes
        self.save(self._dropout(x))
        self._save_copy(rows * columns)
        if whole:
            self._save_copy(out // rows * (x.last // columns))
        else:
            # The product of its halves, in fp32, becomes a number of the format that is computed in.
            self.save(self.new(out // rows, x.last // columns, compute, grad=False))
        small, large = 2 * x.rows * x.last * rows, 2 * x.rows * out * (x.last // columns)
        self.flops.forward += small + large
        # The large factor's gradient and that of its input; the small one's, and x's if something below is trained.
        self.flops.backward += 2 * large + small * (2 if x.grad else 1)
        return self.new(x.rows, out, compute, grad=True)

    def _save_copy(self, elements: int) -> None:
        if self.run.compute != FP32:
            self.save(self.new(1, elements, self.run.compute, grad=False))

    def _dropout(self, x: Value) -> Value:
        if self.run.dropout == 0:
            return x
        if x.grad:
            # A GPU's kernel saves one byte an element, the CPU's composition its random factors.
            self.save(self.like(x, width=1 if self.run.cuda else x.width))
        return self.like(x)

    def rotate(self, x: Value, table: Value) -> Value:
        """Rotary embedding in fp32; only the shared cosines and sines are saved."""
        if x.grad:
            self.save(table)
        return self.like(x)

    def attention(self, q: Value, k: Value, v: Value, *, batch: int, heads: tuple[int, int], packed: bool) -> Value:
        """Fused attention (flash or memory-efficient): q, k, v, the output and one fp32 number a query and head.

        q, k, v: [batch * tokens, all heads * head_dim]; `packed` kernels get gathered copies instead of views.
        """
        tokens = q.rows // batch
        product = 2 * batch * tokens * tokens * q.last
        self.flops.forward += 2 * product
        out = self.new(q.rows, q.last, q.width, grad=q.grad or k.grad or v.grad)
        if out.grad:
            self.flops.backward += 4 * product
            inputs = [self.like(x) for x in (q, k, v)] if packed else [q, k, v]
            for value in (*inputs, out, self.new(q.rows, heads[0], FP32, grad=False)):
                self.save(value)
        # Packed kernels' outputs are spread back over the padded batch, which is another copy.
        return self.like(out) if packed else out
