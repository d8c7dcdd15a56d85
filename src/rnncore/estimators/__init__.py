# SPDX-License-Identifier: MIT
"""scikit-learn estimators of sequences: classifier, regressor, transformer, scaler, forecaster.

`X` is an array (n, T) or (n, T, F), a list of arrays (T_i, F), or a column of lists of polars, pyarrow or pandas: one
sequence is one sample. Needs scikit-learn, the extra ``sklearn``.

>>> import numpy as np
>>> from rnncore.estimators import RNNClassifier
>>> rng = np.random.default_rng(0)
>>> X = [rng.normal(k % 2, 0.5, size=(5 + k % 7, 3)) for k in range(40)]
>>> y = np.arange(40) % 2
>>> RNNClassifier(hidden_size=8, learning_rate_init=0.01, max_iter=40, random_state=0).fit(X, y).score(X, y)
1.0
"""

try:
    import sklearn as _sklearn  # noqa: F401 (its own error would not name the extra)
except ImportError as _error:
    raise ImportError(
        "rnncore.estimators: expected scikit-learn, got none (pip install 'rnncore[sklearn]')"
    ) from _error

from .classifier import RNNClassifier
from .forecaster import Forecaster
from .regressor import RNNRegressor
from .scaler import SequenceScaler
from .transformer import RNNTransformer

__all__ = ["Forecaster", "RNNClassifier", "RNNRegressor", "RNNTransformer", "SequenceScaler"]
