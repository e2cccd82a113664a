"""Which device is taken, and what is said of a card that PyTorch cannot use."""

import pytest
import torch

from trainer_core.cli import train
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.planning.demo import demo_values
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.training import device
from trainer_core.training.device import pick_device

Patch = pytest.MonkeyPatch
CARD = Gpu(index=0, name="RTX 3060", total_mib=12288, free_mib=11800, driver="555.85", compute_capability=(8, 6))


@pytest.fixture
def unusable(monkeypatch: Patch) -> None:
    """A card that the driver shows, a PyTorch for CUDA 13 that cannot use it."""
    monkeypatch.setattr(device, "detect", lambda path: Machine(gpus=(CARD,)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")


def refusal(name: str = "auto") -> UserError:
    with pytest.raises(UserError) as caught:
        pick_device(name)
    assert caught.value.code == "device_unavailable"
    return caught.value


@pytest.mark.parametrize("name", ["auto", "cuda"])
@pytest.mark.usefixtures("unusable")
def test_an_old_driver_is_no_reason_to_train_on_the_cpu(name: str) -> None:
    error = refusal(name)
    assert "RTX 3060 (driver 555.85): its build for CUDA 13.0 needs driver 580 or newer" in error.message
    assert "Update the NVIDIA driver" in error.hints[0] and "whl/cu126" in error.hints[1]
    assert 'device = "cpu"' in error.hints[-1]


@pytest.mark.usefixtures("unusable")
def test_a_build_for_the_cpu_is_replaced_by_the_launcher(monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    error = refusal()
    assert "build for the CPU" in error.message and "launch.sh" in error.hints[0]


@pytest.mark.usefixtures("unusable")
def test_with_a_good_driver_cuda_itself_is_asked(monkeypatch: Patch) -> None:
    def init() -> None:
        raise RuntimeError("CUDA unknown error.\nCompile with ...")

    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(device, "needed_driver", lambda cuda, driver: 0)
    assert "driver 555.85): CUDA unknown error." in refusal().message


@pytest.mark.usefixtures("unusable")
def test_the_command_refuses_before_it_starts_a_process_for_each_card(monkeypatch: Patch) -> None:
    """NVML counts for torch: it also counts cards that the driver is too old for."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="cannot use the GPU"):
        train.gpu_count(TrainConfig(base_model_path="b", train_data_dir="d"))


@pytest.mark.usefixtures("unusable")
def test_the_cpu_stays_a_choice_and_is_the_demos() -> None:
    assert pick_device("cpu").type == "cpu" and demo_values()["device"] == "cpu"


@pytest.mark.usefixtures("unusable")
def test_a_card_that_is_hidden_on_purpose_is_left_alone(monkeypatch: Patch) -> None:
    monkeypatch.setattr(device, "detect", lambda path: Machine(hidden=(CARD,)))
    assert pick_device("auto").type == "cpu"
    assert "sees no NVIDIA GPU" in refusal("cuda").message


@pytest.mark.parametrize(
    ("cuda", "capability", "build"),
    [("13.0", (6, 1), "whl/cu126"), ("12.6", (12, 0), "whl/cu130"), ("13.0", (3, 5), "")],
)
def test_a_card_without_kernels_is_refused_with_the_build_that_has_them(
    cuda: str, capability: tuple[int, int], build: str, monkeypatch: Patch
) -> None:
    card(monkeypatch, capability, ["sm_75", "sm_80", "sm_86", "sm_90"], cuda=cuda)
    error = refusal()
    assert f"GTX, whose compute capability is {capability[0]}.{capability[1]}" in error.message
    assert build in error.hints[0] and len(error.hints) == 1 + bool(build)


def test_each_process_takes_its_own_card_before_it_asks_it_anything(monkeypatch: Patch) -> None:
    card(monkeypatch, (8, 9), ["sm_80"])
    asked: list[int | str] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", asked.append)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (asked.append("capability"), (8, 9))[1])
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert pick_device("auto") == torch.device("cuda") and asked == [1, "capability"]


def test_a_card_with_kernels_is_taken(monkeypatch: Patch) -> None:
    card(monkeypatch, (8, 9), ["sm_75", "sm_80", "sm_86", "sm_90"])
    assert pick_device("auto").type == "cuda"


def card(monkeypatch: Patch, capability: tuple[int, int], architectures: list[str], *, cuda: str = "13.0") -> None:
    """A card that PyTorch sees, and what PyTorch was built for."""
    answers = {
        "is_available": True, "device_count": 1, "get_device_capability": capability, "get_device_name": "GTX",
        "get_arch_list": architectures, "set_device": None,
    }  # fmt: skip
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *given, answer=answer: answer)
    monkeypatch.setattr(torch.version, "cuda", cuda)
