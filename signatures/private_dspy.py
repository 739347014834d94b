"""DSPy with its doors closed; every folder takes `dspy` from here.

DSPy keeps answers in a disk cache and prompts in a history, logs failing examples whole, and LiteLLM fetches a price
list when it is imported. For patient text all of that is off, and it has to be off before the import.
"""

from __future__ import annotations

import logging
import os

# Before the imports below: LiteLLM and the hub client read these once.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_TELEMETRY"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["DO_NOT_TRACK"] = "1"

import dspy

__all__ = ["dspy"]


class _WithoutContents(logging.Filter):
    """Keeps the place of a log record and drops its text: DSPy's warnings quote inputs and answers."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = f"DSPy {record.levelname.lower()} at {record.module}:{record.lineno} (text withheld)"
        record.args = ()
        record.exc_info = None
        record.exc_text = None
        return True


def _close_doors() -> None:
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    # DSPy keeps a trace of every prediction unless told not to; optimizers open traces of their own.
    dspy.settings.configure(disable_history=True, trace=None)
    withhold = _WithoutContents()
    logger = logging.getLogger("dspy")
    for handler in logger.handlers:
        handler.addFilter(withhold)
    # Records of child loggers bypass the parent's filters, not its handlers; without handlers there is nobody to filter.
    logger.addFilter(withhold)
    logger.propagate = False


_close_doors()
