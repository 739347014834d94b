"""Transcripts in, checked and split; and the store of what models said about them.

transcripts.py   Transcript, Dataset, Reject: the types
readers.py       read_dataset: columns to roles and labels, bad rows to the rejects
tables.py        CSV, XLSX, Parquet and JSONL as columns and raw cells
persian.py       one form for texts that look the same, for fingerprints and leak checks; never for prompts
checks.py        check_dataset: the report on a data file
split.py         pool, dev and locked test; the split file and the log of its scorings
corpus/          the shipped corpus
synth.py         data of any size, for load tests only
store.py         Store: translations and predictions, append-only, safe against power cuts
files.py         whole files and lines, private and on the disk
"""
