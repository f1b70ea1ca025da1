"""Why a network of others cannot become a model folder."""

from __future__ import annotations

from ..config import ConfigError


class Refused(ConfigError):
    """The message is a sentence that says what is wrong and what to do."""
