# SPDX-License-Identifier: MIT
"""Time series; run it with ``python -m examples.forecasting``."""
