"""One form for texts that look the same: for fingerprints, leak checks and search, never for what a model reads.

Persian is typed with Arabic and Persian letters (ي and ی, ك and ک), three kinds of digits, a half-space that is a
zero-width non-joiner, a space or nothing, and optional marks. `normalise` removes these differences; the stored original
stays as it is.

The Python standard library's Unicode tables and the small table below do this. Of the published packages, `persiantools`
(MIT, well kept, no dependencies) changes only ي, ى, ك and the digits, and leaves the half-space, marks, kashida and
presentation forms as they are; `piraye` is LGPL, calls itself pre-alpha and needs NLTK; `shekar` needs an ONNX runtime,
and `hazm` pins an old NumPy. None would replace more than a few lines of this file.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable

# Letters and punctuation whose Persian form differs from the Arabic, Urdu or Kurdish one. Hamza carriers lose their
# hamza, because the same word is typed with and without it; آ stays, because it is another letter than ا.
_LETTERS = {
    "ي": "ی", "ى": "ی", "ئ": "ی", "ے": "ی", "ې": "ی",
    "ك": "ک", "ڪ": "ک",
    "ة": "ه", "ۀ": "ه", "ە": "ه", "ہ": "ه", "ۂ": "ه", "ۃ": "ه", "ھ": "ه",
    "أ": "ا", "إ": "ا", "ٱ": "ا", "ؤ": "و",
    "،": ",", "؛": ";", "؟": "?", "٪": "%", "٫": ".", "٬": ",",
    "ـ": "",
}  # fmt: skip

# The half-space, and what stands for it in badly converted files: a zero-width space, or ¬ between Persian letters
# (the windows-1256 half-space read as latin-1).
_HALF_SPACES = "\u200b\u200c"
_NOT_SIGN = re.compile(r"(?<=[\u0620-\u06ff])\u00ac+(?=[\u0620-\u06ff])")


class _Table(dict[int, str]):
    """A table for `str.translate` that works out each character once."""

    def __init__(self, form: Callable[[str], str]) -> None:
        super().__init__()
        self.form = form

    def __missing__(self, point: int) -> str:
        self[point] = form = self.form(chr(point))
        return form


def _form(character: str) -> str:
    if character in _LETTERS:
        return _LETTERS[character]
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    if category in ("Cc", "Cf"):
        return " " if character.isspace() or character in _HALF_SPACES else ""
    arabic_mark = category == "Mn" and "\u0600" <= character <= "\u08ff"
    variation_selector = "\ufe00" <= character <= "\ufe0f"
    return "" if arabic_mark or variation_selector else character


def _letter(character: str) -> str:
    return character if unicodedata.category(character)[0] in "LNM" else ""


_FORMS = _Table(_form)
_LETTERS_ONLY = _Table(_letter)


def normalise(text: str) -> str:
    """The text in one form; idempotent, and harmless to other languages.

    Persian forms of letters, ASCII digits and punctuation, a space for the half-space, no Arabic vowel marks, no kashida,
    no invisible marks, Unicode NFKC, and single spaces. Case, accents and umlauts stay.
    """
    # Removing a character can bring a letter and its accent together, so composition comes after it once more.
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).translate(_FORMS))
    return " ".join(_NOT_SIGN.sub(" ", text).split())


def fingerprint(text: str) -> str:
    """SHA-256 (64 hex digits) of the normalised text's letters and digits, without case.

    Two texts with the same fingerprint say the same: spaces, half-spaces and punctuation do not count. A text without any
    letter or digit is known by its normalised form.
    """
    plain = normalise(text)
    letters = plain.casefold().translate(_LETTERS_ONLY)
    return hashlib.sha256((letters or plain).encode("utf-8", "surrogatepass")).hexdigest()
