"""The question: features and feature sets, the four answer states, and the DSPy signatures built from them.

features.py         Feature, FeatureSet and the YAML reader
palliative13.yaml   the shipped feature set
answers.py          Answer and its four states
private_dspy.py     DSPy with its cache, history and downloads off
wording.py          the words of the extraction prompt, from the feature set
translate.py        the Translate signature, built from a pair of languages
extract.py          the Extract signature, built from a feature set and a language
"""
