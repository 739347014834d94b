"""Balin: call transcripts to yes/no clinical features, with small language models that never leave the building."""

__version__ = "0.1.0"
