/* SPDX-License-Identifier: MIT
 *
 * What processors of one instruction set have or have not, where the compiler cannot ask: os_*.c does. */
#ifndef RC_CPU_H
#define RC_CPU_H

#if defined(__aarch64__)
int rc_cpu_has_dot(void); /* the instruction sdot; asking takes nanoseconds */
#endif

#endif
