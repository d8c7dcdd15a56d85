# SPDX-License-Identifier: MIT
"""A JAX training loop with a recurrent layer of rnncore."""
