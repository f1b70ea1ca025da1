"""What can go wrong, each with one sentence for the user that names no file."""


class Failure(Exception):
    """Ends the run with this exit code; the message is the sentence of the `error` event."""

    exit_code = 1


class UnusableInput(Failure):
    """The image cannot be segmented: the sentence says why and what to do."""

    exit_code = 2


class DamagedModel(Failure):
    """The model folder is incomplete, was changed, or is of another contract."""


class WrongUsage(Failure):
    """The command line is wrong."""

    exit_code = 64


class Stopped(Failure):
    """The engine or the user asked the run to stop (SIGTERM, SIGINT)."""

    exit_code = 143
