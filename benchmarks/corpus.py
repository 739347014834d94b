"""What the shipped corpus is worth: prevalence, agreement of its readings, and two programs that need no language model.

    .venv/bin/python benchmarks/corpus.py                # the tables of the data card, seconds

The keyword matcher ticks a feature where one of its words occurs, in whatever sense. TF-IDF of characters with logistic
regression is trained on the pool. Both are scored on dev; a corpus on which the first does well (mean MCC of 0.60 and more)
would be too easy.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from balin.data.corpus import read_corpus, read_second_labels
from balin.data.persian import normalise
from balin.data.transcripts import PARTS, Dataset, Transcript
from balin.eval.agreement import agreement
from balin.eval.evaluation import evaluate_answers
from balin.eval.grids import Grid, figure
from balin.eval.metrics import AnswerRow, AnswerTable
from balin.eval.scores import Scores
from balin.eval.tables import compare_table
from balin.signatures.answers import Answer
from balin.signatures.features import FeatureSet, load_feature_set

KEYWORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "doctor_visit_request": {
        "fa": ("ویزیت", "دکتر بیاد", "پزشک بیاید", "دکتر بفرست", "نوبت", "معاینه", "بیاد ببین"),
        "en": ("visit", "appointment", "examine", "doctor come", "doctor to come", "send a doctor", "see a doctor"),
    },
    "psychological_complaints": {
        "fa": ("افسرد", "اضطراب", "استرس", "گریه", "ناامید", "بی قرار", "ترس", "نگران", "دلشوره", "توهم", "عصبی"),
        "en": (
            "depress",
            "anxi",
            "stress",
            "cry",
            "hopeless",
            "restless",
            "fear",
            "afraid",
            "worr",
            "hallucin",
            "agitat",
        ),
    },
    "sleep_disorders": {
        "fa": ("بی خواب", "بدخواب", "خوابش نمی", "خواب ندار", "کابوس", "نمی خواب", "نخوابید", "اختلال خواب"),
        "en": ("insomnia", "sleepless", "cannot sleep", "can't sleep", "not sleep", "nightmare", "awake"),
    },
    "loss_of_appetite": {
        "fa": ("اشتها", "غذا نمی خور", "لب به غذا", "نمی خوره", "چیزی نمی خور", "میل به غذا"),
        "en": ("appetite", "not eat", "doesn't eat", "won't eat", "anorexi"),
    },
    "seizures": {"fa": ("تشنج", "صرع", "غش"), "en": ("seizure", "convuls", "epilep", "fit ")},
    "weakness_and_fatigue": {
        "fa": ("ضعف", "خسته", "خستگی", "بی حال", "ضعیف", "بی رمق", "نا ندار", "جون ندار"),
        "en": ("weak", "tired", "fatigue", "letharg", "no strength", "exhaust", "worn out"),
    },
    "decreased_consciousness": {
        "fa": ("هوشیار", "گیج", "خواب آلود", "بیهوش", "نمی شناس", "دلیریوم", "gcs"),
        "en": ("conscious", "confus", "drows", "unrespons", "delirium", "gcs", "disorient"),
    },
    "fever": {"fa": ("تب ", "تبش", "تبدار", "تب و لرز", "داغ"), "en": ("fever", "febrile", "temperature", "hot")},
    "respiratory_complaints": {
        "fa": ("تنگی نفس", "نفس", "سرفه", "خلط", "اکسیژن", "خس خس", "spo2", "dyspn"),
        "en": ("breath", "cough", "sputum", "oxygen", "wheez", "spo2", "dyspn", "saturation"),
    },
    "insurance_or_cost_issues": {
        "fa": ("بیمه", "هزینه", "پول", "گرون", "گران", "کمک مالی", "تومن", "تومان"),
        "en": ("insurance", "cost", "afford", "expens", "money", "price", "toman"),
    },
    "urinary_issues": {
        "fa": ("ادرار", "سوند", "سوزش", "دستشویی", "جیش", "شاش", "تکرر"),
        "en": ("urin", "catheter", "pee", "bladder", "burning"),
    },
    "pain": {"fa": ("درد", "می سوز", "تیر می کش", "ناله", "nrs"), "en": ("pain", "ache", "hurt", "sore", "nrs")},
    "gastrointestinal_issues": {
        "fa": (
            "تهوع",
            "استفراغ",
            "یبوست",
            "اسهال",
            "نفخ",
            "بلع",
            "زخم دهان",
            "بالا می آر",
            "بالا آورد",
            "شکمش کار",
            "n/v",
        ),
        "en": ("nausea", "vomit", "constipat", "diarrh", "bloat", "swallow", "mouth sore", "bowel", "n/v", "throw up"),
    },
}


def plain(text: str) -> str:
    """Text for matching: normalised, half-spaces as spaces, lower case."""
    return normalise(text).replace("\u200c", " ").casefold()


def keywords(language: str) -> Callable[[str], dict[str, Answer]]:
    """The matcher: present where a word of the feature occurs."""
    words = {i: tuple(plain(w) for w in table[language]) for i, table in KEYWORDS.items()}

    def ask(text: str) -> dict[str, Answer]:
        found = plain(text)
        return {i: Answer.of(any(w in found for w in group)) for i, group in words.items()}

    return ask


def learned(
    pool: Sequence[Transcript], ids: Sequence[str], text_of: Callable[[Transcript], str]
) -> Callable[[str], dict[str, Answer]]:
    """Characters of 2 to 5 and a logistic regression for each feature, classes balanced, trained on the pool."""
    texts = [plain(text_of(t)) for t in pool]
    models = {}
    for identifier in ids:
        model = make_pipeline(
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
            LogisticRegression(C=10.0, class_weight="balanced", max_iter=2000),
        )
        models[identifier] = model.fit(texts, np.array([t.labels[identifier] is True for t in pool]))

    def ask(text: str) -> dict[str, Answer]:
        p_true = {i: float(m.predict_proba([plain(text)])[0, 1]) for i, m in models.items()}
        return {i: Answer.of(p >= 0.5, p) for i, p in p_true.items()}

    return ask


def score(
    ask: Callable[[str], dict[str, Answer]],
    notes: Sequence[Transcript],
    ids: Sequence[str],
    text_of: Callable[[Transcript], str],
) -> Scores:
    """The scores of one program on some notes."""
    rows = (AnswerRow(t.id, t.group, t.labels, ask(text_of(t))) for t in notes)
    return evaluate_answers(AnswerTable.from_rows(ids, rows))


def prevalence(corpus: Dataset, feature_set: FeatureSet) -> Grid:
    """Positives by feature and part."""
    rows = [("transcripts", *(str(len(corpus.part(p))) for p in PARTS), str(len(corpus)), "")]
    for i in feature_set.ids:
        counts = [sum(t.labels[i] is True for t in corpus.part(p)) for p in PARTS]
        rows.append((f"`{i}`", *map(str, counts), str(sum(counts)), f"{100 * sum(counts) / len(corpus):.0f} %"))
    return Grid("Positives", ("feature", *PARTS, "all", "share"), tuple(rows))


def agreements(corpus: Dataset, feature_set: FeatureSet, language: str) -> Grid:
    """A blind second reading against the labels: Cohen's kappa, Gwet's AC1, raw agreement."""
    second = read_second_labels(feature_set, language)
    rows = []
    for i in feature_set.ids:
        found = agreement([bool(t.labels[i]) for t in corpus], [second[t.id][i] for t in corpus])
        rows.append(
            (
                f"`{i}`",
                str(found.first_only),
                str(found.second_only),
                figure(found.kappa, 3),
                figure(found.ac1, 3),
                figure(found.raw, 3),
            )
        )
    columns = ("feature", "only labelled", "only second reading", "κ", "AC1", "raw agreement")
    return Grid(f"A blind second reading ({language}) against the labels", columns, tuple(rows))


def kinds(corpus: Dataset) -> list[Grid]:
    """Registers and phenomena, most frequent first."""
    grids = []
    for name, of in (("register", lambda t: [t.extra["register"]]), ("phenomenon", lambda t: t.extra["phenomena"])):
        counts = Counter(kind for t in corpus for kind in of(t))
        grids.append(Grid(name, (name, "calls"), tuple((f"`{k}`", str(n)) for k, n in counts.most_common())))
    return grids


def main() -> None:
    """Print the tables as Markdown; the last line is JSON."""
    feature_set = load_feature_set("palliative13")
    corpus = read_corpus(feature_set)
    pool, dev = corpus.part("pool"), corpus.part("dev")
    persian, english = (lambda t: t.text), (lambda t: t.english or "")
    arms = {
        "keywords, Persian": score(keywords("fa"), dev, feature_set.ids, persian),
        "keywords, English": score(keywords("en"), dev, feature_set.ids, english),
        "TF-IDF and logistic regression, Persian": score(
            learned(pool, feature_set.ids, persian), dev, feature_set.ids, persian
        ),
        "TF-IDF and logistic regression, English": score(
            learned(pool, feature_set.ids, english), dev, feature_set.ids, english
        ),
    }
    grids = [prevalence(corpus, feature_set), *kinds(corpus)]
    grids += [agreements(corpus, feature_set, language) for language in ("fa", "en")]
    for grid in [*grids, compare_table(arms.items())]:
        print(f"\n{grid.title}\n\n{grid.markdown()}")
    print(json.dumps({name: round(scores.summaries()["mcc"].mean or 0.0, 3) for name, scores in arms.items()}))


if __name__ == "__main__":
    main()
