"""The score: what the answers are worth, with an interval on every number.

metrics.py          AnswerTable (gold labels beside answers, as arrays), confusion counts under a missing policy, the metrics
intervals.py        the seeded bootstrap by group, and Wilson's interval
smoothing.py        the bootstrap's pseudo-counts
scores.py           Scores: the result as plain values; what `metrics.json` holds
evaluation.py       evaluate_answers: an AnswerTable in, Scores out
grids.py            a table of texts, shown in the terminal (rich) or written as Markdown
tables.py           scores as grids: by feature, summary, arms beside the study's published results; the report of a run
agreement.py · agreement_tables.py    how far two readings of the same labels agree
paired.py           two arms on the same transcripts: differences, the swap test, Holm, McNemar
comparability.py · comparison.py · comparison_tables.py · latex.py    runs side by side
error_profile.py · error_tables.py · run_data.py    where runs err: by phenomenon, length, register and route
review.py · correction.py    the review sheet, and the labels that come back
translation_quality.py · translation_tables.py · copying.py    chrF, checks without reference, text copied from demos
baselines.py · learning_curve.py · baseline_runs.py    programs without a language model, as runs
shown.py            what a report shows of one run or several
figures.py · drawing.py · curves.py · mark_rows.py · probability_figures.py · difference_figures.py    the figures
search_record.py · search_figures.py    what a search left
disagreements.py    on which transcripts the arms differ
page.py             report.html, from page.html.j2, page.css and page.js
arm.py              one program × one model × one route at work over a part
answered.py         what was answered and by which program, whoever asked the model
job.py              one evaluation from files to a run folder
choice.py           how a program was chosen and what it scored on dev, found again by later runs of it
runs.py             the run folder
models.py           which model digests a folder began with
recorded.py         the recorded results and answers of the shipped corpus
study_results.csv   the study's published medians over its 13 features

How the numbers are meant:

- Each feature is scored by itself; the summaries are the mean and the median over the features.
- A missing answer counts as False, as in the study (policy "false"); the summaries are also given with a missing answer
  counted as the wrong class (policy "wrong").
- An error is no answer: it is left out of the feature's counts and counted apart. More than 2 % of the transcripts with an
  error is too many to trust the rest.
- A feature is undefined where its scored gold labels have one class only. It is then left out of every mean and median and
  named. A model that predicts one class only has MCC 0, and precision 0 where it predicts no positive.
- Intervals resample groups (patients), not transcripts, and the resamples depend on nothing but the seed and the
  transcripts, so that all arms of a comparison share them.

The files named above know no model, engine, prompt or optimizer.
"""
