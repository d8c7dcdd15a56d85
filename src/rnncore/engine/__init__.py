# SPDX-License-Identifier: MIT
"""The engine: compiled kernels, the choice of them, threads and memory. It owns no parameters."""
