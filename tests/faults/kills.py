"""A run that is killed again and again at chosen kinds of moments, each time looked at, and continued to its end."""

import random
import shutil
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from runs import config_file, run_of
from safetensors import safe_open
from warm import finish, launch, until

from trainer_core.contracts.checkpoints import complete_checkpoints, step_of
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.events import read_events
from trainer_core.training.cache import FeatureCache
from trainer_core.training.checkpoint import load_checkpoint

PHASES = ("caching", "step", "save", "export", "resume")
# Seconds from the sign of a phase to the kill, at most: somewhat longer than the phase lasts.
_DELAY_S = {"caching": 0.4, "step": 0.4, "save": 0.03, "export": 0.025, "resume": 0.4}


class Victim:
    """One run in its own folder and with its own cache."""

    def __init__(self, config: TrainConfig, rng: random.Random) -> None:
        self.config = config
        self._run = run_of(config)
        self._rng = rng
        self._log = Path(config.output_dir) / "printed.log"
        self._spared = 0

    def finished(self) -> bool:
        return self._run.status() == "finished"

    def possible(self, phase: str) -> bool:
        """A run that has made no checkpoint yet begins anew rather than going on."""
        return phase != "resume" or bool(complete_checkpoints(self._run.checkpoints))

    def kill_during(self, phase: str) -> str:
        """Start or continue it and kill it; returns the phase that was hit, "" if it came to its end before."""
        if phase == "caching":
            shutil.rmtree(self.config.cache_dir, ignore_errors=True)
        # Not always the first step or save of a life: a run that never gets on is never resumed.
        self._spared = self._rng.randrange(2)
        before = [step_of(folder) for folder in complete_checkpoints(self._run.checkpoints)]
        child = launch(["train", str(config_file(self.config))], self._log)
        assert until(lambda: self._shows(phase, child), child) or child.exitcode == 0, self._log.read_text(
            encoding="utf-8"
        )
        time.sleep(self._rng.uniform(0.0, _DELAY_S[phase]))
        child.kill()
        if finish(child) == 0 or self.finished():
            return ""
        assert child.exitcode == -9, self._log.read_text(encoding="utf-8")
        hit = self._hit(child, resumed=bool(before))
        self._look(before)
        return hit

    def go_on(self) -> None:
        """To the end, undisturbed."""
        child = launch(["train", str(config_file(self.config))], self._log)
        assert finish(child) == 0, self._log.read_text(encoding="utf-8")
        assert self.finished()

    def leftovers(self) -> list[str]:
        """Whatever was begun under a passing name and is still there, and damaged features."""
        damaged = FeatureCache(Path(self.config.cache_dir)).verify()
        return [str(path) for path in self._run.path.rglob(".*") if "tmp" in path.name] + list(map(str, damaged))

    def _told(self) -> list[dict[str, Any]]:
        return read_events(self._run.events_file)

    def _new(self, child: BaseProcess) -> list[dict[str, Any]]:
        """What this life told; nothing before it has said that it began, however much the one before had told."""
        told = self._told()
        begun = [place for place, event in enumerate(told) if event["event"] == "started" and event["pid"] == child.pid]
        return told[begun[-1] :] if begun else []

    def _shows(self, phase: str, child: BaseProcess) -> bool:
        folder = {"save": self._run.checkpoints, "export": self._run.exports}.get(phase)
        if folder is not None and not any("tmp" in path.name for path in folder.glob(".*")):
            return False
        kinds = [(event["event"], event.get("phase", "")) for event in self._new(child)]
        if folder is not None:
            return kinds.count(("checkpoint", "")) >= self._spared
        if phase == "step":
            return kinds.count(("step", "")) > 3 * self._spared
        if phase == "caching":
            return any(name.startswith(("loading Gemma3", "encoding")) for _, name in kinds)
        return ("started", "") in kinds

    def _hit(self, child: BaseProcess, *, resumed: bool) -> str:
        """What it was at, by what it left."""
        mine = f".{child.pid}.tmp"
        for phase, folder in (("save", self._run.checkpoints), ("export", self._run.exports)):
            if any(path.name.endswith(mine) for path in folder.glob(".*")):
                return phase
        told = [(event["event"], event.get("phase", "")) for event in self._new(child)]
        if ("step", "") in told:
            return "step"
        if told and told[-1][1].startswith(("loading Gemma3", "encoding")):
            return "caching"
        return "resume" if resumed else "step"

    def _look(self, before: list[int]) -> None:
        """Nothing that was whole before is lost, and nothing that is half passes for whole."""
        assert self._run.interrupted() and self._run.status() == "failed"
        complete = complete_checkpoints(self._run.checkpoints)
        announced = [event["step"] for event in self._told() if event["event"] == "checkpoint"]
        if complete:
            assert load_checkpoint(complete[-1]).state["step"] == step_of(complete[-1])
        assert max([*announced, *before], default=0) <= max(map(step_of, complete), default=0)
        assert len(complete) >= min(2, len(before))
        for file in self._run.exports.glob("*.safetensors"):
            with safe_open(file, framework="pt") as export:
                assert len(list(export.keys())) > 0
        for folder in self._run.exports.glob("*-peft"):
            assert len(list(folder.iterdir())) == 2


class Campaign:
    """Kills until ``count`` have hit; finished runs are handed to ``compare`` and replaced by new ones."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.hits: Counter[str] = Counter()

    def next_phase(self, victim: Victim) -> str:
        """The one hit least so far, by lot among equals."""
        possible = [phase for phase in PHASES if victim.possible(phase)]
        fewest = min(self.hits[phase] for phase in possible)
        return self._rng.choice([phase for phase in possible if self.hits[phase] == fewest])
