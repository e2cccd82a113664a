"""How far a run has come, and whether settings ask for more of it, as the trainer will find."""

from dataclasses import dataclass

from trainer_core.contracts.checkpoints import STATE, complete_checkpoints, step_of
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.fsutil import read_json_object
from trainer_core.contracts.run_names import sample_place
from trainer_core.contracts.rundir import RunDir


@dataclass(frozen=True, kw_only=True)
class Reached:
    """Where a run would go on.

    Attributes:
        steps: of its newest checkpoint.
        epochs: the same in epochs, with the share of the one under way.
        finished: it has ended as such.
        drawn: the prompts that have a picture of that step, by their place.
    """

    steps: int
    epochs: float
    finished: bool
    drawn: frozenset[int]

    def is_enough(self, config: TrainConfig) -> bool:
        """True where these settings leave nothing to do. One that has not ended well has its end left to do."""
        left = self._left(config)
        return left < 0 or (left == 0 and self.finished and not self._lacks_pictures(config))

    def _lacks_pictures(self, config: TrainConfig) -> bool:
        """True where the trainer would draw pictures of the very last step, which some prompts have none of."""
        sampling = config.sample_every_n_epochs or config.sample_every_n_steps
        return bool(sampling) and not self.drawn.issuperset(range(len(config.sample_prompts)))

    def _left(self, config: TrainConfig) -> float:
        """Steps, or epochs where these say how long the run is; negative where it has done more than is asked for."""
        return config.max_train_steps - self.steps if config.max_train_steps else config.num_epochs - self.epochs


def reached(run: RunDir) -> Reached | None:
    """``None`` where there is no checkpoint: the run starts anew."""
    checkpoints = complete_checkpoints(run.checkpoints)
    if not checkpoints:
        return None
    state = read_json_object(checkpoints[-1] / STATE)
    epochs = state.get("epoch", 0) + state.get("position", 0) / (state.get("steps_per_epoch") or 1)
    steps = step_of(checkpoints[-1])
    places = (sample_place(file.name) for file in run.samples.glob("*"))
    drawn = frozenset(place[1] for place in places if place and place[0] == steps)
    return Reached(steps=steps, epochs=epochs, finished=run.status() == "finished", drawn=drawn)


def missing_samples(run: RunDir, config: TrainConfig, step: int) -> list[int]:
    """The prompts without a picture of that step, by their place."""
    return [number for number in range(len(config.sample_prompts)) if not run.sample(step, number).exists()]
