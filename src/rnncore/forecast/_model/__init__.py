# SPDX-License-Identifier: MIT
"""`Forecaster`: windows of a series, the linear path, the networks, their training, and files; NumPy alone."""
