/* SPDX-License-Identifier: MIT
 * Which of the compiled instruction sets this machine runs. */
#include "find.h"

#include <string.h>

#if defined(__x86_64__)
/* The compiler's runtime asks the processor once. A cpuid of our own leaves a virtual machine each time, which takes
 * longer than a small call; older compilers do not know the name. */
#if (defined(__clang__) && __clang_major__ >= 15) || (!defined(__clang__) && __GNUC__ >= 11)
static int has_f16c(void) { return __builtin_cpu_supports("f16c") != 0; }
#else
#include <cpuid.h>

static int has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
}
#endif
#endif

enum {
#define X(isa, supported) INDEX_##isa,
#include "isas.def"
#undef X
    ISA_COUNT
};

static const rc_kernels *const sets[ISA_COUNT][2] = {
#define X(isa, supported) {&rc_kernels_##isa##_f32, &rc_kernels_##isa##_f64},
#include "isas.def"
#undef X
};

static int is_supported(int index)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    switch (index) {
#define X(isa, supported) \
    case INDEX_##isa: return (supported) != 0;
#include "isas.def"
#undef X
    default: return 0;
    }
}

const char *rnncore_isa_name(int index)
{
    for (int i = 0; i < ISA_COUNT; i++)
        if (is_supported(i) && index-- == 0) return sets[i][0]->isa;
    return NULL;
}

const rc_kernels *rc_find_kernels(const char *isa, rnncore_dtype dtype)
{
    for (int i = 0; i < ISA_COUNT; i++)
        if ((!isa || strcmp(isa, sets[i][0]->isa) == 0) && is_supported(i)) return sets[i][dtype];
    return NULL;
}
