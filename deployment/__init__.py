"""The winner at work: a run becomes a bundle, and a bundle reads a hospital's file. No pickle, no code in a bundle.

manifest.py     what a bundle's files hold, as checked types
bundle.py       a bundle as a folder or a zip: written whole, checked whole before it is used
runner.py       its steps on one text, without DSPy
batch.py        its steps over a data file, with a store
output.py       the answers as a file
scoring.py      its steps over labelled data, scored as any other run; this file needs DSPy
export.py       a run to a bundle; this file needs DSPy's program
provenance.py   where a program's demos come from
card.py         the model card
modelfile.py    the same program as a model of Ollama's
"""
