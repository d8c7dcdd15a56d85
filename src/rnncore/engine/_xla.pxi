# SPDX-License-Identifier: MIT
# Part of _core.pyx: what XLA's foreign functions need.

_kept = []  # teams that calls from XLA may still be using


def xla_handlers():
    """Capsules of the handlers of xla.c, by name."""
    return {
        "rnncore_forward": PyCapsule_New(<void *>rnncore_xla_forward, NULL, NULL),
        "rnncore_backward": PyCapsule_New(<void *>rnncore_xla_backward, NULL, NULL),
    }


def xla_config(spec):
    """The config of a Spec without its names, as the handlers read it: hexadecimal digits."""
    cdef rnncore_config config = config_of(spec)
    return (<const char *>&config)[:sizeof(config)].hex()


def xla_team(Team team):
    """Let all calls that come from XLA use this team, which stays for good."""
    if team not in _kept:
        _kept.append(team)
    rnncore_xla_set_team(team.team)
