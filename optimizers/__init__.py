"""The search: nothing yet. Demo strategies, thresholds and the Optuna study come when there is something to choose."""
