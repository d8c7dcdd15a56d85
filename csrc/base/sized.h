/* SPDX-License-Identifier: MIT
 *
 * Structs of callers whose header is older or newer than this library: the first field is the size that they have there (see
 * "Structs that grow" in rnncore.h). */
#ifndef RC_SIZED_H
#define RC_SIZED_H

#include "../include/rnncore.h"

/* *mine = *theirs and zeros; *theirs = *mine as far as it reaches. `last` is the last field of the first version of the struct:
 * one that is smaller is refused. */
#define RC_TAKE(mine, theirs, last) rc_take((mine), (theirs), sizeof *(mine), RC_END_OF(mine, last))
#define RC_GIVE(theirs, mine, last) rc_give((theirs), (mine), sizeof *(mine), RC_END_OF(mine, last))
#define RC_END_OF(pointer, field) ((size_t)((const char *)(&(pointer)->field + 1) - (const char *)(pointer)))

rnncore_status rc_take(void *mine, const void *theirs, size_t size, size_t least);
rnncore_status rc_give(void *theirs, const void *mine, size_t size, size_t least);

#endif
