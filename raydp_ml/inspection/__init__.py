"""What a fitted model does with its features, on Spark DataFrames and in memory.

`partial_dependence`, its display and `permutation_importance` bear scikit-learn's names, and give
scikit-learn's own results for the collected rows; `shap_explanation` hands what
``model.explain`` finds to the plots of shap.
"""

from raydp_ml.inspection._display import PartialDependenceDisplay
from raydp_ml.inspection._partial_dependence import partial_dependence
from raydp_ml.inspection._permutation_importance import permutation_importance
from raydp_ml.inspection._shap import shap_explanation

__all__ = [
    "PartialDependenceDisplay",
    "partial_dependence",
    "permutation_importance",
    "shap_explanation",
]
