"""The program: what is asked of a model, and how its words become answers.

formats/        the answer formats: pure render and parse
adapter.py      DSPy adapters over them
extractor.py    Extractor: answers every feature of one text
translator.py   Translator: source text to English
translation.py  a translation and the checks on it
decisions.py    thresholds on P(true): from the model's answers to the program's
votes.py        several sampled answers and their majority
pipeline.py     Pipeline: the two routes, over the store
builtin.py      the built-in programs: `study`, `zero-shot`, `few-shot`
demos.py        which worked examples, and the guard against leaks
retrieval.py    demos chosen for each text by embedding
index_file.py   the index of such demos as JSON
saving.py       programs as JSON files
translator_file.py    translators as JSON files
"""
