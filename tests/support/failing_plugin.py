"""A plugin whose strategies fail in every way there is, and components that note what is done.

Tests install it as the module `failing_plugin`. What it notes goes to the file NOTES names, one
line each: workers are processes of their own.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from sftbench.api import (
    Cell,
    Component,
    Dataset,
    Examples,
    Model,
    Split,
    Stage,
    Step,
    StepOutput,
    Strategy,
    StrategyContext,
    hookimpl,
)
from sftbench.testing import TinyBackbone, TinyImages


def note(line: str) -> None:
    """Append a line to the notes, whole even where several processes do."""
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{line}\n")


class NotedBackbone(TinyBackbone):
    """Notes each reading of the pretrained weights."""

    name = "noted-convnet"

    def pretrained(self, network: Any) -> Any:
        note(f"weights {os.getpid()}")
        return super().pretrained(network)


class OddBackbone(TinyBackbone):
    """Says of its weights what no record can hold."""

    name = "odd-convnet"

    def pretrained(self, network: Any) -> Any:
        return dataclasses.replace(super().pretrained(network), origin=object())


class NotedImages(TinyImages):
    """Notes each load of a split."""

    name = "noted-images"

    def load(self, split: Split, image_size: int) -> Examples:
        note(f"load {split} {os.getpid()}")
        return super().load(split, image_size)


class Failing(Strategy):
    """Does `fail` in the fourth step; a subclass says what."""

    steps = 0

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="train", update=self.update)]

    def update(self, step: Step) -> None:
        self.steps += 1
        if self.steps == 4:
            self.fail(step)
        step.backward(step.loss())
        step.apply()

    def fail(self, step: Step) -> None:
        raise NotImplementedError


class Healthy(Failing):
    name = "healthy"

    def fail(self, step: Step) -> None:
        return


class Raises(Strategy):
    name = "raises"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        raise ValueError("no stages today\n\x1b[31mred")


class RaisesInStep(Failing):
    name = "raises-in-step"

    def fail(self, step: Step) -> None:
        step.loss()
        raise KeyError("missing")


class RaisesMute(Failing):
    name = "raises-mute"

    def fail(self, step: Step) -> None:
        class MuteError(Exception):
            def __str__(self) -> str:
                raise TypeError

        raise MuteError


class Panics(Failing):
    name = "panics"

    def fail(self, step: Step) -> None:
        class Panic(BaseException):
            pass

        raise Panic("rust")


class SysExits(Failing):
    name = "sys-exits"

    def fail(self, step: Step) -> None:
        sys.exit(3)


class EatsMemory(Failing):
    name = "eats-memory"

    def fail(self, step: Step) -> None:
        torch.empty(2**60)


class EatsPythonMemory(Failing):
    name = "eats-python-memory"

    def fail(self, step: Step) -> None:
        bytes(2**62)


class Diverges(Strategy):
    name = "diverges"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="train", loss=self.loss)]

    def loss(self, step: StepOutput) -> torch.Tensor:
        return step.task_loss(step.logits, step.targets) / 0.0 * 0.0


class Poisons(Strategy):
    """Its weights are not numbers, and training is over."""

    name = "poisons"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="train")]

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        with torch.no_grad():
            model.head.weight.fill_(float("nan"))
        return model


class Hangs(Failing):
    name = "hangs"

    def fail(self, step: Step) -> None:
        print("about to hang")  # noqa: T201 - what a plugin prints is part of the test
        while True:
            time.sleep(60)


class HangsInC(Failing):
    """Hangs in C code that holds the interpreter: no thread of this process runs any more."""

    name = "hangs-in-c"

    def fail(self, step: Step) -> None:
        note(f"hangs {os.getpid()}")
        ctypes.PyDLL(None).sleep(100_000)


class SpawnsChild(Failing):
    """Leaves two processes behind, one in a session of its own, and hangs."""

    name = "spawns-child"

    def fail(self, step: Step) -> None:
        for apart in (False, True):
            child = subprocess.Popen(["sleep", "100000"], start_new_session=apart)
            note(f"child {child.pid}")
        time.sleep(100_000)


class ForksAndDies(Failing):
    """Leaves a copy of itself behind, which holds every open file of the worker."""

    name = "forks-and-dies"

    def fail(self, step: Step) -> None:
        child = os.fork()
        if child == 0:
            time.sleep(100_000)
        note(f"child {child}")
        os.kill(os.getpid(), signal.SIGKILL)


class Kills(Failing):
    name = "kills"

    def fail(self, step: Step) -> None:
        print("last words", end="")  # noqa: T201
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)


class Exits(Failing):
    name = "exits"

    def fail(self, step: Step) -> None:
        print("leaving")  # noqa: T201
        os._exit(7)


class Segfaults(Failing):
    name = "segfaults"

    def fail(self, step: Step) -> None:
        ctypes.string_at(0)


class ClosesFiles(Failing):
    """Closes what it did not open, and goes on."""

    name = "closes-files"

    def fail(self, step: Step) -> None:
        os.closerange(3, 1024)
        time.sleep(100_000)


class Prints(Failing):
    """Writes to standard output in three ways, and finds nothing on standard input."""

    name = "prints"

    def fail(self, step: Step) -> None:
        print('{"kind": "done", "record": {}}')  # noqa: T201
        os.write(1, b'\n{"kind": "gone"}\n')
        subprocess.run(["echo", '{"kind": "started"}'], check=True)
        note(f"read {sys.stdin.read()!r} {os.read(0, 9)!r}")


class Lingers(Failing):
    """Ends well, and leaves something that ends the worker before the next cell starts."""

    name = "lingers"

    def fail(self, step: Step) -> None:
        def die(_: object) -> Cell:
            os._exit(9)

        Cell.model_validate = die  # type: ignore[assignment, method-assign]


class Slow(Failing):
    """Ends well, in a second or so."""

    name = "slow"

    def update(self, step: Step) -> None:
        time.sleep(0.1)
        super().update(step)

    def fail(self, step: Step) -> None:
        return


class Trap(Slow):
    """As `slow`, but the first cell that comes along hangs in C code, and so does its child."""

    name = "trap"

    def fail(self, step: Step) -> None:
        try:
            Path(f"{os.environ['NOTES']}.trap").touch(exist_ok=False)
        except FileExistsError:
            return
        child = subprocess.Popen(["sleep", "100000"])
        note(f"trapped {os.getpid()} {child.pid}")
        ctypes.PyDLL(None).sleep(100_000)


class Holds(Failing):
    """Raises; notes how many models of earlier cells are still there."""

    name = "holds"
    models: ClassVar[list[weakref.ref[Model]]] = []

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        alive = sum(reference() is not None for reference in self.models)
        note(f"alive {alive} of {len(self.models)}")
        self.models.append(weakref.ref(model))
        return model

    def fail(self, step: Step) -> None:
        step.backward(step.loss())
        raise RuntimeError("with a model in hand")


class Keeps(Holds):
    """Ends well, with `finalise`; notes as `Holds` does."""

    name = "keeps"

    def fail(self, step: Step) -> None:
        return

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        return model


class Leaves(Failing):
    """Ends well, and leaves a thread that never ends."""

    name = "leaves"

    def fail(self, step: Step) -> None:
        threading.Thread(target=time.sleep, args=(100_000,)).start()


class DiesTogether(Strategy):
    """Trains a head; in company it ends the process in the fourth step."""

    name = "dies-together"
    heads_together = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        def loss(step: StepOutput) -> Tensor:
            if torch._C._functorch.is_batchedtensor(step.logits) and step.progress > 0.5:
                os.kill(os.getpid(), signal.SIGKILL)
            return step.task_loss(step.logits, step.targets)

        return [Stage(name="head", trainable=ctx.is_head, loss=loss)]


@hookimpl
def sftbench_backbones() -> list[type[Component]]:
    return [TinyBackbone, NotedBackbone, OddBackbone]


@hookimpl
def sftbench_datasets() -> list[type[Dataset]]:
    return [TinyImages, NotedImages]


@hookimpl
def sftbench_strategies() -> list[type[Strategy]]:
    return [
        found
        for found in globals().values()
        if isinstance(found, type) and issubclass(found, Strategy) and "name" in vars(found)
    ]
