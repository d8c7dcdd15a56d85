# SPDX-License-Identifier: MIT
"""A scikit-learn search over a pipeline on sequences of different lengths."""
