"""The program as a model of Ollama's own: a Modelfile for `ollama create`.

A Modelfile can hold one fixed conversation and the options. It can neither translate first, nor read one token a feature, nor
let several answers vote, nor decide by thresholds; such programs are refused with the reason.

Ollama's reader of Modelfiles drops characters that Go does not call printable, among them the half-space of Persian (U+200C),
and ends a text at three quotation marks before a line's end (ollama/parser/parser.go). Where a text has one of these, the
same model is written as a request for `POST /api/create`, which keeps every character.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..engines.catalogue import load_catalogue
from ..errors import InputError
from ..signatures.features import FeatureSet
from .manifest import ExtractStep, MessageEntry, ModelEntry, Slot

MODELFILE = "Modelfile"
REQUEST = "ollama-create.json"


def ollama_files(step: ExtractStep, model: ModelEntry, feature_set: FeatureSet, route: str) -> dict[str, bytes]:
    """`Modelfile`, or `ollama-create.json` where a Modelfile would change the text.

    Raises:
        InputError: The program is more than one fixed conversation.
    """
    _check(step, route)
    tag = _tag(model)
    system, *turns = [(m.role, m.content("")) for m in step.messages[:-1]]
    if all(_survives(content) for _, content in (system, *turns)):
        return {MODELFILE: _modelfile(step, model, feature_set, tag, system[1], turns).encode("utf-8")}
    request = {
        "model": _name(feature_set),
        "from": tag,
        "system": system[1],
        "messages": [{"role": role, "content": content} for role, content in turns],
        "parameters": _parameters(step, model),
    }
    return {REQUEST: (json.dumps(request, ensure_ascii=False, indent=1) + "\n").encode("utf-8")}


def _check(step: ExtractStep, route: str) -> None:
    reason = None
    if route != "direct":
        reason = "it reads English, and a Modelfile translates nothing"
    elif step.index is not None:
        reason = "its demos are chosen for each text, and a Modelfile holds one fixed conversation"
    elif step.probes:
        reason = f"the format {step.format} reads one token for each feature, and a Modelfile makes one answer"
    elif step.votes is not None:
        reason = f"{step.votes.n} sampled answers vote, and a Modelfile makes one"
    elif step.thresholds:
        reason = "it decides by thresholds on P(true), which a Modelfile cannot hold"
    elif [m.role for m in step.messages[:1]] != ["system"] or len(step.messages) < 2:
        reason = "its prompt does not begin with a system message"
    if reason is not None:
        raise InputError(
            f"--modelfile: {reason}; `balin export` without it, and `balin extract`, run this program as it is"
        )


def _modelfile(
    step: ExtractStep,
    model: ModelEntry,
    feature_set: FeatureSet,
    tag: str,
    system: str,
    turns: Sequence[tuple[str, str]],
) -> str:
    comments = [
        f"ollama create {_name(feature_set)} -f {MODELFILE}",
        f"Measured with {model.name} {model.digest} on {model.engine} {model.engine_version}.",
        f"Send each transcript to /api/chat as one message of the user, of these parts: {_shown(step.messages[-1])}",
        'and with it "truncate": false and "think": false.',
    ]
    if step.json_schema is not None:
        comments.append(f'The answer\'s form goes with each request: "format": {json.dumps(step.json_schema)}')
    lines = [f"# {' '.join(c.split())}" for c in comments]
    lines += [f"FROM {tag}", f"SYSTEM {_quoted(system)}"]
    lines += [f"MESSAGE {role} {_quoted(content)}" for role, content in turns]
    lines += [f"PARAMETER {name} {value}" for name, value in _parameters(step, model).items()]
    return "\n".join(lines) + "\n"


def _parameters(step: ExtractStep, model: ModelEntry) -> dict[str, Any]:
    """As Balin sends them with each greedy request, whatever the model's own file says."""
    return {
        "num_ctx": model.num_ctx,
        "num_predict": step.max_tokens,
        "temperature": model.temperature,
        "seed": model.seed,
        "top_k": 1,
        "top_p": 1.0,
        "min_p": 0.0,
        "repeat_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }


def _tag(model: ModelEntry) -> str:
    if model.engine == "ollama":
        return model.name
    entry = load_catalogue().find(model.name)
    if entry is None:
        raise InputError(f"--modelfile: {model.name} is not in the catalogue, so its Ollama tag is not known")
    return entry.ollama


def _name(feature_set: FeatureSet) -> str:
    return f"balin-{feature_set.id}"


def _quoted(text: str) -> str:
    return f'"""{text}"""'


def _shown(message: MessageEntry) -> str:
    return ", ".join(
        "the transcript" if isinstance(p, Slot) else json.dumps(p, ensure_ascii=False) for p in message.parts
    )


def _survives(text: str) -> bool:
    """Whether Ollama's reader gives the text back as it is."""
    return '"""' not in text and all(c.isprintable() or c in "\n\r\t" for c in text)
