"""Hardware detection against a fake of NVIDIA's library: working, half working, dying, absent."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainer_core.planning.hardware import MIB, Machine, detect


class FakeNvml:
    """pynvml with the cards given as dicts; a missing field is "Not Supported"."""

    class NVMLError(Exception):
        pass

    def __init__(self, *cards: dict[str, Any], init: bool = True) -> None:
        self.cards, self.init, self.open = cards, init, 0

    def nvmlInit(self) -> None:
        if not self.init:
            raise self.NVMLError("Driver Not Loaded")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def __getattr__(self, function: str) -> Any:
        def answer(handle: Any = None, number: int = 0) -> Any:
            known = {"nvmlDeviceGetCount": len(self.cards), "nvmlSystemGetDriverVersion": b"580.65"}
            if function == "nvmlDeviceGetHandleByIndex" and "lost" not in self.cards[handle]:
                return self.cards[handle]
            if function == "nvmlDeviceGetMigDeviceHandleByIndex":
                return handle["slices"][number]
            found = known.get(function) if handle is None else isinstance(handle, dict) and handle.get(function)
            if found in (None, False):
                raise self.NVMLError("Not Supported")
            return found

        return answer


def card(name: object, total: int, **more: Any) -> dict[str, Any]:
    fields = {"Name": name, "MemoryInfo": SimpleNamespace(total=total * MIB, free=(total - 500) * MIB), **more}
    return {f"nvmlDeviceGet{field}": value for field, value in fields.items()}


def asked(nvml: FakeNvml, **environment: str) -> Machine:
    machine = detect(Path("somewhere/new"), nvml=nvml, environment=environment)
    assert nvml.open == 0, "the library must be closed again"
    return machine


THREE = (card("A", 100, UUID="GPU-aa11"), card("B", 200, UUID="GPU-ab22"), card("C", 300, UUID="GPU-c3"))


def test_everything_a_card_tells_is_there():
    rates = SimpleNamespace(gpu=37)
    full = card(b"RTX 3090", 24576, CudaComputeCapability=(8, 6), UtilizationRates=rates, Temperature=61, UUID="GPU-1")
    [gpu] = asked(FakeNvml(full)).gpus
    assert (gpu.index, gpu.name, gpu.total_mib, gpu.free_mib, gpu.used_mib) == (0, "RTX 3090", 24576, 24076, 500)
    assert (gpu.driver, gpu.compute_capability, gpu.utilisation) == ("580.65", (8, 6), 37)
    assert gpu.temperature == 61


def test_fields_that_are_not_supported_are_left_open():
    machine = asked(FakeNvml({"nvmlDeviceGetName": "GB10"}))
    assert (machine.gpus[0].total_mib, machine.gpus[0].compute_capability) == (0, None)
    assert machine.gpus[0].temperature is None
    assert "does not tell its memory" in machine.notes[0]


def test_without_a_driver_the_rest_is_still_known():
    machine = asked(FakeNvml(init=False))
    assert machine.gpus == () and "Driver Not Loaded" in machine.notes[0]
    assert machine.memory_total_mib > 0 and machine.cpu_count > 0 and machine.disk_free_mib > 0


def test_without_the_package_no_gpu_is_listed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    machine = detect(Path())
    assert machine.gpus == () and "nvidia-ml-py is not installed" in machine.notes[0]


def test_a_card_that_fell_off_the_bus_hides_no_other():
    machine = asked(FakeNvml({"lost": True}, card("A", 100)))
    assert [gpu.index for gpu in machine.gpus] == [1] and "GPU 0 does not answer" in machine.notes[0]


def test_the_real_library_answers_or_says_why_not():
    machine = detect(Path.cwd())
    assert machine.gpus or machine.hidden or machine.notes


@pytest.mark.parametrize(
    ("listed", "indices"),
    [("", []), ("-1", []), ("2,0", [2, 0]), ("0,9,1", [0]), ("1,1", [1]), ("GPU-ab", [1]), ("GPU-a", []), ("no", [])],
)
def test_the_visible_cards_are_those_that_cuda_would_take(listed: str, indices: list[int]):
    machine = asked(FakeNvml(*THREE), CUDA_VISIBLE_DEVICES=listed, CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert [gpu.index for gpu in machine.gpus] == indices
    assert sorted([*indices, *(gpu.index for gpu in machine.hidden)]) == [0, 1, 2]
    assert bool(machine.notes) == (not indices)


def test_numbers_in_cudas_own_order_are_pointed_out():
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in asked(FakeNvml(*THREE), CUDA_VISIBLE_DEVICES="1").notes[0]
    assert asked(FakeNvml(*THREE), CUDA_VISIBLE_DEVICES="GPU-c3").notes == ()


def test_a_card_in_mig_mode_offers_its_slices_only():
    slices = [card("x", 20000, UUID="MIG-1"), card("x", 10000, UUID="MIG-2")]
    split = card("A100", 40960, MigMode=[1, 1], MaxMigDeviceCount=2) | {"slices": slices}
    assert [gpu.total_mib for gpu in asked(FakeNvml(split)).gpus] == [20000]
    [second] = asked(FakeNvml(split), CUDA_VISIBLE_DEVICES="MIG-2").gpus
    assert (second.index, second.total_mib, second.name) == (0, 10000, "A100 (MIG slice)")


def test_mig_mode_without_a_slice_has_no_usable_memory():
    assert asked(FakeNvml(card("A100", 40960, MigMode=[1, 1]))).gpus[0].total_mib == 0
