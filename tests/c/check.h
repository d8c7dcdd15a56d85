/* SPDX-License-Identifier: MIT
 * Checks that count: a failed one is printed and the program goes on; main returns `check_result()`. */
#ifndef CHECK_H
#define CHECK_H

#include <stdatomic.h>
#include <stdio.h>

static atomic_int checks_made, checks_failed;

/* What the checks of a table row are about; shown when one fails. */
static _Thread_local const char *check_subject = "";

#define CHECK(condition) \
    ((void)(atomic_fetch_add(&checks_made, 1), \
            (condition) || (atomic_fetch_add(&checks_failed, 1), fprintf(stderr, "%s:%d: %s: failed: %s\n", __FILE__, \
                                                                         __LINE__, check_subject, #condition))))

#define CHECK_STATUS(call, expected) check_status(__FILE__, __LINE__, #call, (call), (expected))

static inline int check_status(const char *file, int line, const char *call, rnncore_status got,
                               rnncore_status expected)
{
    atomic_fetch_add(&checks_made, 1);
    if (got == expected) return 1;
    atomic_fetch_add(&checks_failed, 1);
    fprintf(stderr, "%s:%d: %s: %s gave %s, expected %s\n", file, line, check_subject, call, rnncore_status_name(got),
            rnncore_status_name(expected));
    return 0;
}

static inline int check_result(const char *program)
{
    printf("%s: %d checks, %d failed\n", program, atomic_load(&checks_made), atomic_load(&checks_failed));
    return atomic_load(&checks_failed) ? 1 : 0;
}

#endif
