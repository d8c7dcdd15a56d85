/* SPDX-License-Identifier: MIT
 * Names and sentences of the statuses. */
#include "../include/rnncore.h"

static const struct {
    const char *name, *text;
} statuses[] = {
#define X(name, text) [name] = {#name, text},
#include "status.def"
#undef X
};

const char *rnncore_status_name(rnncore_status status)
{
    return (unsigned)status < RNNCORE_STATUS_COUNT ? statuses[status].name : "RNNCORE_UNKNOWN";
}

const char *rnncore_status_text(rnncore_status status)
{
    return (unsigned)status < RNNCORE_STATUS_COUNT ? statuses[status].text : "unknown status";
}
