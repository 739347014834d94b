"""The question: features and feature sets, the four answer states, and the DSPy signatures built from them.

features.py         Feature, FeatureSet and the YAML reader
palliative13.yaml   the shipped feature set
answers.py          Answer and its four states
translate.py        the Translate signature, built from a pair of languages
extract.py          the Extract signature, built from a feature set and a language
"""
