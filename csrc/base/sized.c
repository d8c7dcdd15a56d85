/* SPDX-License-Identifier: MIT
 * See sized.h. */
#include "sized.h"

#include <string.h>

enum { MOST_BYTES = 4096 }; /* of a struct of any version: a larger size is a field that nobody has set */

/* The size that a caller's struct says it has, 0 if that cannot be. */
static size_t size_of(const void *theirs, size_t least)
{
    size_t size = 0;
    if (theirs) memcpy(&size, theirs, sizeof size);
    return least <= size && size <= MOST_BYTES ? size : 0;
}

/* Whether the fields of one struct that the other does not reach are zeros: then they mean nothing. */
static int are_zeros(const void *a, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (((const unsigned char *)a)[i]) return 0;
    return 1;
}

rnncore_status rc_take(void *mine, const void *theirs, size_t size, size_t least)
{
    const size_t given = size_of(theirs, least);
    if (!given) return RNNCORE_ERROR_ARGUMENT;
    if (!are_zeros(theirs, size, given)) return RNNCORE_ERROR_UNSUPPORTED;
    memset(mine, 0, size);
    memcpy(mine, theirs, given < size ? given : size);
    memcpy(mine, &size, sizeof size);
    return RNNCORE_OK;
}

rnncore_status rc_give(void *theirs, const void *mine, size_t size, size_t least)
{
    const size_t given = size_of(theirs, least);
    if (!given) return RNNCORE_ERROR_ARGUMENT;
    if (!are_zeros(mine, given, size)) return RNNCORE_ERROR_UNSUPPORTED;
    memset(theirs, 0, given);
    memcpy(theirs, mine, given < size ? given : size);
    memcpy(theirs, &given, sizeof given);
    return RNNCORE_OK;
}
