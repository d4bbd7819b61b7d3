"""XGBoost's way to the gate."""

from __future__ import annotations

import xgboost

from tests.faults.gate import Gate


class InRound(xgboost.callback.TrainingCallback):
    """Comes to the gate after the third round."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def after_iteration(self, model, epoch, evals_log):
        if epoch == 3:
            self.gate()
        return False
