/* SPDX-License-Identifier: MIT
 *
 * A file from anywhere: rnncore_file_read refuses it, or what it gives makes a plan, and every array, widened where the file
 * is compact, can be read to its end. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "rnncore.h"

enum { MOST_PARAMS = 64, MOST_BYTES = 1 << 22 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const void *params[MOST_PARAMS];
    /* A block of exactly this size, so that a step outside is seen. */
    void *file = malloc(size ? size : 1);
    if (!file) return 0;
    if (size) memcpy(file, data, size);
    rnncore_config config = {.struct_size = sizeof config};
    rnncore_plan *plan = NULL;
    if (!rnncore_file_read(file, size, &config, NULL, 0)) {
        FUZZ_HOLDS(rnncore_plan_create(&config, &plan) == RNNCORE_OK);
        const int64_t count = config.num_layers * (1 + config.bidirectional) * rnncore_param_count(plan);
        const size_t bytes = rnncore_weights_bytes(plan, RNNCORE_PACK_FORWARD);
        const size_t wide = rnncore_file_bytes(file, size);
        const int small = count <= MOST_PARAMS && bytes && bytes <= MOST_BYTES;
        void *memory = small && wide ? malloc(wide) : NULL;
        const rnncore_status direct = small ? rnncore_file_read(file, size, &config, params, count) : RNNCORE_OK;
        const rnncore_status status = small ? rnncore_file_widen(file, size, memory, params, count) : direct;
        FUZZ_HOLDS(!small || direct == (wide ? RNNCORE_ERROR_UNSUPPORTED : status));
        if (small && !status) {
            void *weights = rnncore_alloc(bytes);
            if (weights) FUZZ_HOLDS(!rnncore_weights_pack(plan, RNNCORE_PACK_FORWARD, params, weights));
            rnncore_free(weights);
        }
        free(memory);
        rnncore_plan_destroy(plan);
    }
    free(file);
    return 0;
}
