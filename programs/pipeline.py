"""The pipeline: one transcript to answers, by either route, asking the model only for what the store does not have.

The store keeps what the model said; the program's thresholds decide afterwards, for stored and fresh answers alike.

`direct` reads the source text. `translated` reads what a model made of it in English: the translator's own output, made
once and stored, or (`english="given"`) the English column of the data file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..data.store import Store, key_of
from ..data.transcripts import Transcript, text_hash
from ..engines.lm import engine_of
from ..engines.protocol import Telemetry
from ..engines.slots import seconds as clock
from ..errors import NO_ENGLISH, CallError, InputError
from ..signatures.answers import ERROR, Answer, State
from ..signatures.private_dspy import dspy
from .decisions import decide
from .extractor import Extractor
from .translation import Translation, check_translation
from .translator import Translator

Route = Literal["direct", "translated"]
English = Literal["model", "given"]


@dataclass(frozen=True, slots=True)
class Extraction:
    """The answers for one transcript.

    Attributes:
        answers: One for every feature, in the set's order, decided by the program's thresholds.
        telemetry: What the extraction cost, also when it came from the store.
        seconds: Wall time of the extraction, Balin's own work included and loading the model left out; its share of it where several
            run at once; the stored one where it came from the store.
        failure: The kind of `CallError` that made every answer `error`, or None.
        stored: Whether it came from the store.
        translation: What was read on the translated route, or None.
        detail: What a failed call said; no text of the transcript.
    """

    answers: Mapping[str, Answer]
    telemetry: Telemetry
    seconds: float = 0.0
    failure: str | None = None
    stored: bool = False
    translation: Translation | None = None
    detail: str | None = None


class Pipeline(dspy.Module):
    """The two routes as one module.

    Args:
        extractor: Reads the text; its language model is set (`set_lm`).
        translator: Makes English of the source, for the translated route with `english="model"`.
        route: `direct` or `translated`.
        english: Where the translated route's text comes from.
        store: Keeps every answer the moment it exists.

    Raises:
        InputError: The translated route without a translator.
    """

    def __init__(
        self,
        extractor: Extractor,
        *,
        store: Store,
        translator: Translator | None = None,
        route: Route = "direct",
        english: English = "model",
    ) -> None:
        super().__init__()
        if route == "translated" and english == "model" and translator is None:
            raise InputError("the translated route needs a translator (--translator MODEL) or --english given")
        self.extractor = extractor
        self.translator = translator if route == "translated" and english == "model" else None
        self.route = route
        self.english = english
        self.store = store

    def forward(self, transcript: Transcript) -> dspy.Prediction:
        """Both steps for one transcript; the prediction holds `extraction`."""
        return dspy.Prediction(extraction=self.extract(transcript, self.translate(transcript)))

    def translate(self, transcript: Transcript) -> Translation | None:
        """The model's translation of a transcript, stored or made now; None where this pipeline translates nothing."""
        return None if self.translator is None else stored_translation(self.translator, self.store, transcript)

    def extract(self, transcript: Transcript, translation: Translation | None) -> Extraction:
        """The answers for a transcript, stored or asked for now.

        A failed call gives `error` answers and is not stored, so that the next run asks again.
        """
        text = self._text(transcript, translation)
        if text is None:
            if translation is not None and translation.failure is not None:
                return self._failed(translation.failure, f"its translation failed: {translation.detail}", translation)
            return self._failed(NO_ENGLISH, "the data have no English text for it", translation)
        withheld = self._withheld(transcript, text)
        key = answer_key(self.extractor, text, withheld)
        record = self.store.get("predictions", key)
        if record is not None:
            kept = record["answers"]
            answers = {i: Answer(State(kept[i][0]), kept[i][1]) for i in self.extractor.feature_set.ids}
            return Extraction(
                decide(answers, self.extractor.thresholds),
                Telemetry.from_dict(record["telemetry"]),
                record["seconds"],
                stored=True,
                translation=translation,
            )
        started = clock()
        try:
            prediction = self.extractor.ask(text, withheld)
        except CallError as error:
            return self._failed(error.kind, str(error), translation)
        answers = dict(prediction.answers)
        seconds = clock() - started - prediction.telemetry.load_seconds
        self.store.put(
            "predictions",
            key,
            {
                "id": transcript.id,
                "answers": {i: [a.state.value, a.p_true] for i, a in answers.items()},
                "telemetry": prediction.telemetry.to_dict(),
                "seconds": seconds,
                "raw": prediction.raw,
            },
        )
        decided = decide(answers, self.extractor.thresholds)
        return Extraction(decided, prediction.telemetry, seconds, translation=translation)

    def is_stored(self, transcript: Transcript) -> bool:
        """Whether the whole answer is there without asking a model."""
        translation: Translation | None = None
        if self.translator is not None:
            record = self.store.get("translations", answer_key(self.translator, transcript.text))
            if record is None:
                return False
            translation = Translation.from_record(record, transcript.text)
        text = self._text(transcript, translation)
        if text is None:
            return False
        key = answer_key(self.extractor, text, self._withheld(transcript, text))
        return self.store.get("predictions", key) is not None

    def _withheld(self, transcript: Transcript, text: str) -> tuple[int, ...]:
        return self.extractor.withheld([text, transcript.text, transcript.english], transcript.id, transcript.group)

    def _text(self, transcript: Transcript, translation: Translation | None) -> str | None:
        if self.route == "direct":
            return transcript.text
        return transcript.english if self.english == "given" else translation.text if translation else None

    def _failed(self, kind: str, detail: str, translation: Translation | None) -> Extraction:
        answers = dict.fromkeys(self.extractor.feature_set.ids, ERROR)
        return Extraction(answers, Telemetry(), failure=kind, detail=detail, translation=translation)


def stored_translation(translator: Translator, store: Store, transcript: Transcript) -> Translation:
    """The model's translation of one transcript, stored or made now.

    A failed call gives a translation without text and is not stored, so that the next run asks again.
    """
    key = answer_key(translator, transcript.text)
    record = store.get("translations", key)
    if record is not None:
        return Translation.from_record(record, transcript.text)
    started = clock()
    try:
        text = translator(source=transcript.text)
    except CallError as error:
        return Translation(None, Telemetry(), failure=error.kind, detail=str(error))
    made = Translation(
        text.translation,
        text.telemetry,
        clock() - started - text.telemetry.load_seconds,
        warnings=check_translation(transcript.text, text.translation),
    )
    store.put("translations", key, {"id": transcript.id, **made.to_record()})
    return made


def answer_key(program: Extractor | Translator, text: str, withheld: Sequence[int] = ()) -> str:
    """The key of an answer in the store: what was asked (program), of whom (model, engine, context), how, about what (text).

    An extractor's thresholds are not in it: they decide what an answer means, and change nothing that is asked. Where demos are
    chosen for each text, program and text decide which, but for those that are withheld from a transcript.
    """
    lm = program.predict.lm
    identity = engine_of(lm).identity
    temperature = lm.kwargs.get("temperature") or 0.0
    sampling = [temperature, lm.kwargs.get("seed") or 0] if temperature else []
    asked = program.asking_hash() if isinstance(program, Extractor) else program.hash()
    apart = {"withheld": list(withheld)} if withheld else {}
    return key_of(program=asked, model=identity.to_dict(), sampling=sampling, text=text_hash(text), **apart)
