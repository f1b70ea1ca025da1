"""Every foreseen failure: one sentence for the user and the exit code of the command line."""


class HNSegmenterError(Exception):
    """A fault with a sentence that says what is wrong and what to do."""

    exit_code = 1

    def __init__(self, sentence: str):
        sentence = sentence.encode("utf-8", "replace").decode()  # file names may hold bytes that no screen can print
        super().__init__(sentence)
        self.sentence = sentence


class UnusableInput(HNSegmenterError):
    """The input would give a wrong contour, or none."""

    exit_code = 2

    def __init__(self, sentence: str, candidates: list | None = None):
        super().__init__(sentence)
        self.candidates = candidates or []


class WrongUsage(HNSegmenterError):
    """The command line or a setting is wrong (EX_USAGE of sysexits.h)."""

    exit_code = 64


class Cancelled(HNSegmenterError):
    """The user cancelled (128 + SIGINT)."""

    exit_code = 130

    def __init__(self, sentence: str = "Cancelled: nothing was written."):
        super().__init__(sentence)


class RuntimeFault(HNSegmenterError):
    """The segmentation could not be computed where it ran, or its result not be written as it should."""


class EngineFault(RuntimeFault):
    """The Docker engine or the container failed."""


class UnusableModel(RuntimeFault):
    """A model folder is damaged, incomplete or not one that this program can run."""
