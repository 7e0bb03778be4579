"""How a training ends before its last step. All are picklable, since they cross processes."""


class TrainingDiverged(ValueError):  # noqa: N818 - the name says what happened
    """The loss or the gradient is no longer a number; `step` counts from 1."""

    def __init__(self, step: int, lr: float) -> None:
        super().__init__(step, lr)
        self.step = step
        self.lr = lr

    def __str__(self) -> str:
        return f"training diverged at step {self.step} with learning rate {self.lr:g}; lower lr or set clip"


class DeviceOutOfMemory(RuntimeError):  # noqa: N818 - the name says what happened
    """The device cannot hold a pass over `examples` examples; 0: over what no setting makes smaller."""

    def __init__(self, device: str, examples: int) -> None:
        super().__init__(device, examples)
        self.device = device
        self.examples = examples

    def __str__(self) -> str:
        if self.examples > 1:
            passes = f" with {self.examples} examples per forward pass"
            remedy = f"set micro_batch below {self.examples} (results do not depend on it)"
        else:
            passes = ""
            remedy = "in resources, give the stage more of a GPU (gpus), one with more memory (accelerator), or none"
        return f"{self.device} ran out of memory{passes}; {remedy}"


class PeerLost(RuntimeError):  # noqa: N818 - the name says what happened
    """Another worker of the group is gone; what that one ended with says why."""


class TrainingStopped(RuntimeError):  # noqa: N818 - the name says what happened
    """The training was asked to end; its checkpoint at `step` carries on from there."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step

    def __str__(self) -> str:
        return f"stopped on request after step {self.step}"
