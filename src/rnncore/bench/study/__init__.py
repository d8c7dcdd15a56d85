# SPDX-License-Identifier: MIT
"""The study: rows of all sets in every installed system, in random blocks, and what follows from them."""
