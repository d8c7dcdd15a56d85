/* SPDX-License-Identifier: MIT
 * Which of the compiled instruction sets this machine runs. */
#include <string.h>

#include <unistd.h>

#include "plan.h"
#include "tuning.h"

enum {
#define X(isa, supported) INDEX_##isa,
#include "../isa/isas.def"
#undef X
    ISA_COUNT
};

static const rc_kernels *const sets[ISA_COUNT][2] = {
#define X(isa, supported) {&rc_kernels_##isa##_f32, &rc_kernels_##isa##_f64},
#include "../isa/isas.def"
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
#include "../isa/isas.def"
#undef X
    default: return 0;
    }
}

int64_t rc_l2_bytes(void)
{
#if defined(_SC_LEVEL2_CACHE_SIZE)
    const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (bytes > 0) return bytes;
#endif
    return RC_L2_BYTES;
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
        if (is_supported(i) && (!isa || strcmp(isa, sets[i][0]->isa) == 0)) return sets[i][dtype];
    return NULL;
}
