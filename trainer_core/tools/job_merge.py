"""The jobs `merge` and `convert_lora`: what the commands of these names do, with progress in bytes."""

from collections.abc import Mapping
from typing import Any, cast

from trainer_core.contracts.disk import bytes_of
from trainer_core.contracts.forms import DTYPES, LORA_FORMS, LoraForm
from trainer_core.jobs.context import JobContext
from trainer_core.tools.job_spec import Spec


def run(spec: Mapping[str, Any], job: JobContext) -> Mapping[str, Any]:
    """Merge LoRAs into a base.

    spec: base (path), loras [{path, strength}], output (a new .safetensors file: one for ComfyUI; else a new model
    folder), precision (keep, bf16, fp16, fp32: of the transformer). Returns output, bytes, kind (comfyui, folder).
    A stop leaves nothing. Raises UserError `job_invalid` and as `tools.merge.merge`.
    """
    values = Spec(spec)
    base, loras, output = values.path("base"), values.loras(), values.path("output")
    precision = values.choice("precision", DTYPES, "keep")
    from trainer_core.tools.merge import merge
    from trainer_core.tools.outputs import is_single_file

    def report(what: str, done: int, total: int) -> None:
        job.progress("merging", done, total)

    made = merge(base, loras, output, report, job.warn, dtype=precision)
    kind = "comfyui" if is_single_file(made) else "folder"
    return {"output": str(made), "bytes": bytes_of(made), "kind": kind}


def convert_lora(spec: Mapping[str, Any], job: JobContext) -> Mapping[str, Any]:
    """Write a LoRA in another form.

    spec: source (file, PEFT or run folder), output (new), form (comfyui, peft, diffusers), dtype (keep, bf16, fp16,
    fp32), base (only where a DoRA changes its form). Returns output, bytes, form. Raises UserError `job_invalid` and
    as `tools.lora_convert.convert`.
    """
    values = Spec(spec)
    source, output, base = values.path("source"), values.path("output"), values.optional_path("base")
    form = cast(LoraForm, values.choice("form", LORA_FORMS, "comfyui"))
    dtype = values.choice("dtype", DTYPES, "keep")
    from trainer_core.tools.lora_convert import convert

    job.progress("converting", 0, 1)
    made = convert(source, output, form=form, base=base, dtype=dtype, tell=job.warn)
    return {"output": str(made), "bytes": bytes_of(made), "form": form}
