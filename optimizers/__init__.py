"""The search: which demos, which configuration and which thresholds, chosen by scores that are honest.

metric.py        what is maximised: the corpus objectives, and a surrogate per transcript for GEPA and for pruning
thresholds.py    a threshold per feature on P(true): decisions out of fold for selection, thresholds fitted on all for the program
strategies/      ways to choose the demos, and room.py: how many tokens they may take
plan.py · optimization.py · ground.py · bench.py · trial.py · verdict.py · proposals.py    the work behind `balin optimize`
translation_score.py · translators.py · translation.py · translation_report.py    the choice of a translator, `balin optimize --stage translate`
space.py · goals.py · study_file.py · study.py · search.py · examination.py · places.py · pruning.py · budget.py · workers.py ·
search_plan.py · search_job.py · finale.py · search_report.py · importance.py    the Optuna study behind `balin search`
"""
