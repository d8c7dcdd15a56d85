# SPDX-License-Identifier: MIT
"""Translation from English to French; run it with ``python -m examples.translation``."""
