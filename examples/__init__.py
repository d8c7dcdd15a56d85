# SPDX-License-Identifier: MIT
"""The example applications; each is a folder that is run: ``python examples/forecasting hours``."""
