"""An HTTP server that follows Ollama's API document and answers with the tokens of any `Engine`.

It takes what Balin may send and nothing else: a body with another key, a missing `num_ctx`, `stream` left on, is kept in
`problems` and answered with 400. `fail` makes it misbehave as live servers do. Replies are the bodies of
`fixtures/ollama/`, with what the engine says filled in.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from balin.engines.protocol import ChatRequest, Completion, Engine, Message, TokenChoice
from balin.errors import EmptyAnswer, PromptTooLong

FIXTURES = Path(__file__).parent / "fixtures" / "ollama"

_BOTH = {"model", "stream", "format", "keep_alive", "options", "think", "truncate", "shift", "logprobs", "top_logprobs"}
CHAT_KEYS = frozenset(_BOTH | {"messages", "tools", "_debug_render_only"})
GENERATE_KEYS = frozenset(
    _BOTH | {"prompt", "suffix", "system", "template", "context", "raw", "images", "_debug_render_only"}
)
OPTION_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "num_ctx": int,
    "num_predict": int,
    "seed": int,
    "top_k": int,
    "temperature": (int, float),
    "top_p": (int, float),
    "min_p": (int, float),
    "repeat_penalty": (int, float),
    "repeat_last_n": int,
    "presence_penalty": (int, float),
    "frequency_penalty": (int, float),
}


@dataclass
class Reply:
    """A status, a body (JSON unless bytes) and headers, instead of the right answer."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


Fault = Reply | str
"""A reply; the name of a fixture; or what happens to the connection: "hang", "reset", "cut" (in the middle), "garbage"."""


def fixture(name: str, folder: Path = FIXTURES / "documented") -> Any:
    """The body `name`.json, or the lines of `name`.jsonl."""
    lines = folder / f"{name}.jsonl"
    if lines.exists():
        return [json.loads(line) for line in lines.read_text().splitlines()]
    return json.loads((folder / f"{name}.json").read_text())


def fixture_reply(name: str, folder: Path = FIXTURES / "documented") -> Reply:
    """The body `name` with the status in its name ("error_503_…"), or 200."""
    status = re.match(r"error_(\d{3})_", name)
    return Reply(int(status[1]) if status else 200, fixture(name, folder))


class OllamaServer:
    """The server.

    Attributes:
        url: Its address.
        version: What /api/version tells.
        trained: The context that /api/show tells.
        clamp: The most context that the server gives, as one short of memory does; None for all that is asked.
        requests: Operation and body of each request, in order. Operations: version, tags, show, ps, pull, load, chat,
            render, read.
        problems: What was wrong with bodies; a test that leaves some has failed.
        loads: How often the model was loaded: at first, and whenever `num_ctx` or `shift` changed.
    """

    def __init__(self, engine: Engine, *, model: str = "smollm2:135m") -> None:
        self.engine = engine
        self.model = model
        self.version = "0.33.0"
        self.trained = 8192
        self.clamp: int | None = None
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.problems: list[str] = []
        self.loads = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._loaded: tuple[int, bool] | None = None
        self._faults: dict[str, list[Fault]] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"ollama": self}))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

    def fail(self, operation: str, fault: Fault, times: int = 1) -> None:
        """Answer the next requests of this kind so, before any that were ordered later."""
        self._faults.setdefault(operation, []).extend([fault] * times)

    def fault(self, operation: str) -> Fault | None:
        with self.lock:
            waiting = self._faults.get(operation)
            return waiting.pop(0) if waiting else None

    def count(self, operation: str) -> int:
        return sum(1 for name, _ in self.requests if name == operation)

    def bodies(self, operation: str) -> list[dict[str, Any]]:
        return [body for name, body in self.requests if name == operation]

    def loaded_context(self) -> int | None:
        return self._loaded[0] if self._loaded else None

    def load(self, options: Mapping[str, Any], shift: bool) -> int:
        """Load as asked, and again if that changed; the context that the model then has."""
        context = min(options["num_ctx"], self.trained, self.clamp or self.trained)
        with self.lock:
            if self._loaded != (context, shift):
                self.loads += 1
                self._loaded = (context, shift)
        return context


@contextmanager
def serve(engine: Engine, model: str = "smollm2:135m") -> Iterator[OllamaServer]:
    """A server for one test, which fails if a request had a wrong body."""
    server = OllamaServer(engine, model=model)
    try:
        yield server
    finally:
        server.close()
    assert not server.problems, server.problems


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet; two would wait for the client's delayed acknowledgement
    ollama: OllamaServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        routes = {"/api/version": "version", "/api/tags": "tags", "/api/ps": "ps"}
        self._serve(routes.get(self.path), {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        routes = {"/api/show": "show", "/api/pull": "pull", "/api/generate": "read", "/api/chat": "chat"}
        routes["/api/embed"] = "embed"
        operation = routes.get(self.path)
        if operation == "chat":
            operation = "render" if body.get("_debug_render_only") else "chat" if body.get("messages") else "load"
        self._serve(operation, body)

    def _serve(self, operation: str | None, body: dict[str, Any]) -> None:
        if operation is None:
            self._send(Reply(404, b"404 page not found"))
            return
        server = self.ollama
        server.requests.append((operation, body))
        problems = _problems(operation, body)
        if problems:
            server.problems.extend(f"{operation}: {problem}" for problem in problems)
            self._send(Reply(400, {"error": "; ".join(problems)}))
            return
        fault = server.fault(operation)
        if fault in ("hang", "reset"):
            self._break(fault)
        elif fault in ("cut", "garbage"):
            self._send(Reply(200, b"<html>busy</html>"), missing=10 if fault == "cut" else 0)
        elif isinstance(fault, Reply):
            self._send(fault)
        else:
            self._send(fixture_reply(fault) if fault else _ANSWERS[operation](server, body))

    def _break(self, how: str) -> None:
        self.close_connection = True
        if how == "hang":
            self.ollama.closing.wait(10)
        elif how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            self.connection.close()

    def _send(self, reply: Reply, missing: int = 0) -> None:
        if isinstance(reply.body, bytes):
            kind, data = "text/plain", reply.body
        elif isinstance(reply.body, list):
            kind, data = "application/x-ndjson", b"".join(_go_json(line) + b"\n" for line in reply.body)
        else:
            kind, data = "application/json; charset=utf-8", _go_json(reply.body)
        with suppress(OSError):
            self.send_response(reply.status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data) + missing))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()
        if missing:
            self._break("cut")


def _go_json(value: object) -> bytes:
    """JSON as Go writes it: the signs <, > and & escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").encode()


def _problems(operation: str, body: Mapping[str, Any]) -> list[str]:
    """What in a body is not as Balin must send it."""
    if operation in ("version", "tags", "ps"):
        return []
    if operation == "show":
        return [] if set(body) == {"model"} else [f"keys {sorted(body)}"]
    if operation == "pull":
        return [] if {"model", "stream"} <= set(body) <= {"model", "stream", "insecure"} else [f"keys {sorted(body)}"]
    if operation == "embed":
        right = set(body) == {"model", "input", "truncate", "keep_alive"} and body["truncate"] is False
        return [] if right else [f"keys {sorted(body)}, truncate {body.get('truncate')}"]
    unknown = set(body) - (GENERATE_KEYS if operation == "read" else CHAT_KEYS)
    found = [f"unknown key {key}" for key in sorted(unknown)]
    found += [f"{key} is not false" for key in ("stream", "think", "truncate", "shift") if body.get(key) is not False]
    if not re.fullmatch(r"-?\d+(\.\d+)?(ms|s|m|h)", str(body.get("keep_alive"))):
        found.append("keep_alive is no duration")
    top = body.get("top_logprobs", 0)
    if not 0 <= top <= 20 or (top and body.get("logprobs") is not True):
        found.append("top_logprobs")
    if "format" in body and not (isinstance(body["format"], dict) and "type" in body["format"]):
        found.append("format is no schema")
    return found + _option_problems(operation, body.get("options") or {}) + _text_problems(operation, body)


def _option_problems(operation: str, options: Mapping[str, Any]) -> list[str]:
    needed = {"num_ctx"} if operation == "load" else set(OPTION_TYPES)
    found = [f"option {name} is missing" for name in sorted(needed - set(options))]
    for name, value in options.items():
        kinds = OPTION_TYPES.get(name)
        if kinds is None or not isinstance(value, kinds) or isinstance(value, bool):
            found.append(f"option {name}")
    if options.get("temperature") == 0 and options.get("top_k") != 1:
        found.append("greedy without top_k 1")
    if options.get("num_predict", 1) < 1:
        found.append("num_predict is not bounded")
    return found


def _text_problems(operation: str, body: Mapping[str, Any]) -> list[str]:
    if operation == "read":
        raw = body.get("raw") is True and isinstance(body.get("prompt"), str) and body["prompt"]
        return [] if raw and body["options"].get("num_predict") == 1 else ["not a raw one-token request"]
    messages = body.get("messages")
    if not isinstance(messages, list):
        return ["no messages"]
    right = all(
        set(m) == {"role", "content"} and m["role"] in ("system", "user", "assistant") and isinstance(m["content"], str)
        for m in messages
    )
    return [] if right else ["a message is not role and content"]


def _head(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return fixture(name) | {"model": body["model"], "created_at": at}


def _unknown(server: OllamaServer, body: Mapping[str, Any]) -> Reply | None:
    asked = body["model"].lower().removeprefix("library/")
    if server.model in (asked, f"{asked}:latest"):
        return None
    return Reply(404, {"error": f"model '{body['model']}' not found"})


def _overflow(prompt_tokens: int, context: int) -> Reply:
    """llama.cpp's own error, which Ollama passes on as a string."""
    inner = {
        "code": 400,
        "message": f"request ({prompt_tokens} tokens) exceeds the available context size ({context} tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": prompt_tokens,
        "n_ctx": context,
    }
    return Reply(400, {"error": json.dumps({"error": inner}, separators=(",", ":"))})


def _metrics(completion: Completion) -> dict[str, int]:
    """Durations in nanoseconds; numbers that are 0 are left out."""
    cost = completion.telemetry
    values = {
        "total_duration": int(1e9 * (cost.wall_seconds or cost.engine_seconds + cost.load_seconds)),
        "load_duration": int(1e9 * cost.load_seconds),
        "prompt_eval_count": cost.prompt_tokens,
        "prompt_eval_duration": int(1e9 * cost.prefill_seconds),
        "eval_count": cost.generated_tokens,
        "eval_duration": int(1e9 * cost.decode_seconds),
    }
    return {name: value for name, value in values.items() if value}


def _logprobs(tokens: tuple[TokenChoice, ...]) -> list[dict[str, Any]]:
    # A token without text (the end of the text, part of a character) comes without its log-probabilities.
    return [
        _logprob(t.token, t.logprob) | ({"top_logprobs": [_logprob(*other) for other in t.top]} if t.top else {})
        for t in tokens
        if t.token
    ]


def _logprob(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _filled(head: dict[str, Any], completion: Completion, wanted: bool) -> Reply:
    for name in ("total_duration", "load_duration", "prompt_eval_count", "eval_count", "logprobs"):
        head.pop(name, None)
    body = head | {"done": True, "done_reason": completion.finish} | _metrics(completion)
    logprobs = _logprobs(completion.tokens) if wanted else []
    return Reply(200, body | ({"logprobs": logprobs} if logprobs else {}))


def _chat(server: OllamaServer, body: Mapping[str, Any]) -> Reply:
    if missing := _unknown(server, body):
        return missing
    options = body["options"]
    context = server.load(options, body["shift"])
    request = ChatRequest(
        messages=tuple(Message(m["role"], m["content"]) for m in body["messages"]),
        max_tokens=options["num_predict"],
        schema=body.get("format"),
        top_logprobs=body.get("top_logprobs", 0),
        temperature=options["temperature"],
        seed=options["seed"],
        partial=True,
        repeat_penalty=options.get("repeat_penalty", 1.0),
    )
    with server.lock:
        try:
            completion = _continue(server.engine, request)
        except EmptyAnswer:
            return Reply(200, _head(body, "chat_empty"))
        except PromptTooLong as error:
            return _overflow(error.needed - request.max_tokens, error.limit)
    if completion.telemetry.prompt_tokens >= context:
        return _overflow(completion.telemetry.prompt_tokens, context)
    head = _head(body, "chat") | {"message": {"role": "assistant", "content": completion.text}}
    return _filled(head, completion, body.get("logprobs", False))


def _continue(engine: Engine, request: ChatRequest) -> Completion:
    """As llama.cpp does, which refuses a prompt that does not fit but lets an answer run into the end of the context."""
    try:
        return engine.chat(request)
    except PromptTooLong as error:
        room = error.limit - (error.needed - request.max_tokens)
        if room < 1:
            raise
    return engine.chat(replace(request, max_tokens=room))


def _read(server: OllamaServer, body: Mapping[str, Any]) -> Reply:
    if missing := _unknown(server, body):
        return missing
    context = server.load(body["options"], body["shift"])
    with server.lock:
        try:
            completion = server.engine.read(body["prompt"], top_logprobs=body.get("top_logprobs", 0))
        except PromptTooLong as error:
            return _overflow(error.needed - 1, error.limit)
    if completion.telemetry.prompt_tokens >= context:
        return _overflow(completion.telemetry.prompt_tokens, context)
    return _filled(_head(body, "read") | {"response": completion.text}, completion, body.get("logprobs", False))


def _render(server: OllamaServer, body: Mapping[str, Any]) -> Reply:
    if missing := _unknown(server, body):
        return missing
    server.load(body["options"], body["shift"])
    with server.lock:
        prompt = server.engine.render([Message(m["role"], m["content"]) for m in body["messages"]])
    return Reply(200, _head(body, "render") | {"_debug_info": {"rendered_template": prompt}})


def _load(server: OllamaServer, body: Mapping[str, Any]) -> Reply:
    if missing := _unknown(server, body):
        return missing
    server.load(body["options"], body["shift"])
    return Reply(200, _head(body, "chat_load"))


def _tags(server: OllamaServer, body: Mapping[str, Any]) -> Reply:
    reply = fixture("tags")
    reply["models"][0] |= {"name": server.model, "model": server.model}
    return Reply(200, reply)


def _show(server: OllamaServer, body: Mapping[str, Any]) -> Reply:
    if missing := _unknown(server, body):
        return missing
    reply = fixture("show")
    reply["model_info"]["llama.context_length"] = server.trained
    return Reply(200, reply)


def _ps(server: OllamaServer, body: Mapping[str, Any]) -> Reply:
    reply = fixture("ps")
    context = server.loaded_context()
    reply["models"][0] |= {"name": server.model, "model": server.model, "context_length": context}
    return Reply(200, reply if context else {"models": []})


def _pull(server: OllamaServer, body: Mapping[str, Any]) -> Reply:
    return fixture_reply("pull" if body["model"] == server.model else "pull_missing")


def _embed(server: OllamaServer, body: Mapping[str, Any]) -> Reply:
    """A row a text, not of length 1: how many letters, words and letters E it has."""
    if missing := _unknown(server, body):
        return missing
    rows = [[len(t) + 1, len(t.split()), t.count("e")] for t in body["input"]]
    return Reply(200, {"model": body["model"], "embeddings": rows, "total_duration": 1, "prompt_eval_count": 1})


_ANSWERS: Mapping[str, Callable[[OllamaServer, Mapping[str, Any]], Reply]] = {
    "version": lambda server, body: Reply(200, {"version": server.version}),
    "tags": _tags,
    "show": _show,
    "ps": _ps,
    "pull": _pull,
    "load": _load,
    "chat": _chat,
    "render": _render,
    "read": _read,
    "embed": _embed,
}
