# SPDX-License-Identifier: MIT
"""Truncated backpropagation through time; run it with ``python -m examples.truncated_bptt``."""
