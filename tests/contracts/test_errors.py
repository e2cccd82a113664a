import pickle

import pytest

from trainer_core.contracts.errors import ConfigError, Problem, UserError, is_gpu_memory, system_problem


def test_the_text_of_a_user_error_is_its_message():
    error = UserError("weights_missing", "No weights in base/.", ["Download it."])
    assert (str(error), error.code, error.hints) == ("No weights in base/.", "weights_missing", ("Download it.",))


def test_a_user_error_comes_back_from_its_fields():
    told = {"status": "failed", **UserError("disk_full", "Full.", ["Free some."]).fields()}
    assert UserError.of(told).fields() == {"code": "disk_full", "message": "Full.", "hints": ["Free some."]}
    assert UserError.of({}).code == "internal"


def test_a_config_error_lists_every_problem_with_field_and_value():
    problems = [
        Problem(field="resolution", value=7, message="too small"),
        Problem(field="base_model_path", value=None, message="must be set"),
    ]
    text = str(ConfigError(problems, "my.toml"))
    assert "2 problems in my.toml" in text
    assert "resolution = 7: too small" in text and "base_model_path: must be set" in text


def test_a_long_value_is_shortened():
    assert len(str(Problem(field="seed", value="x" * 5000, message="bad"))) < 120


def test_errors_travel_between_processes():
    user = pickle.loads(pickle.dumps(UserError("run_busy", "busy", ["wait"])))  # noqa: S301 (our own bytes)
    config = pickle.loads(pickle.dumps(ConfigError([Problem(field="a", value=1, message="b")])))  # noqa: S301
    assert (user.code, user.hints) == ("run_busy", ("wait",))
    assert config.problems == [Problem(field="a", value=1, message="b")]


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB.",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "Triton Error [CUDA]: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "ncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 2 'out of memory'",
    ],
)
def test_want_of_gpu_memory_has_many_voices(text: str):
    problem = system_problem(RuntimeError(text))
    assert is_gpu_memory(RuntimeError(text)) and problem is not None and problem.code == "gpu_memory_full"


def test_other_errors_are_none_of_gpu_memory():
    for text in ("CUDA error: an illegal memory access was encountered", "can't allocate memory: you tried 9 bytes"):
        assert not is_gpu_memory(RuntimeError(text))
    assert not is_gpu_memory(UserError("x", "CUDA out of memory"))
