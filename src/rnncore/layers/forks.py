# SPDX-License-Identifier: MIT
"""Forks wait for what other threads do to a layer: a child never has half an update, nor a lock that nobody opens.

Before a fork this thread takes the locks of all layers, so no other one is packing or updating; afterwards parent and
child let go of them. They are taken in the order that optimisers use, so the two never wait for each other.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

_layers = weakref.WeakSet()
_adding = threading.RLock()
_held = []


def give_lock(layer: Any) -> None:
    """Set the `_lock` of a layer: free after a fork; a thread that holds it may take it again, or fork."""
    with _adding:
        layer._lock = threading.RLock()
        _layers.add(layer)


def _take_all():
    _adding.acquire()
    # The layers, not their locks alone: one that is collected meanwhile must not change what is let go of.
    for layer in sorted(_layers, key=id):
        layer._lock.acquire()
        _held.append(layer._lock)


def _let_go():
    while _held:
        _held.pop().release()
    _adding.release()


if hasattr(os, "register_at_fork"):  # a system without it has no fork
    os.register_at_fork(before=_take_all, after_in_parent=_let_go, after_in_child=_let_go)
