/* SPDX-License-Identifier: MIT
 *
 * Tapes of segments: whatever their number, and that of threads, gradients are those of a tape that has all. */
#include <string.h>

#include "rnncore.h"

#include "check.h"
#include "model.h"

enum { T = 6, N = 5, VALID = 19 };
static const int64_t lengths[N] = {6, 2, 5, 0, 6};

/* All outputs of a call with gradients. */
static void *train(model *m, int64_t segments, int threads, size_t *bytes)
{
    rnncore_forward_args forward = model_forward_args(m);
    rnncore_backward_args backward = model_backward_args(m);
    model_reset(m);
    forward.lengths = backward.lengths = lengths;
    forward.threads = backward.threads = threads;
    forward.segments = segments;
    const size_t size = rnncore_tape_bytes(m->plan, T, N, VALID, segments);
    forward.tape = backward.tape = model_alloc(size);
    memset(forward.tape, 0xFF, size); /* NaN where nothing is written */
    CHECK_STATUS(rnncore_forward(m->plan, m->weights, &forward), RNNCORE_OK);
    CHECK_STATUS(rnncore_backward(m->plan, m->weights, &backward), RNNCORE_OK);
    rnncore_free(forward.tape);
    return model_outputs(m, bytes);
}

static void check_segments(const rnncore_config *config)
{
    model m;
    size_t bytes;
    model_init_config(&m, config, T, N);
    void *whole = train(&m, 0, 1, &bytes);
    for (int64_t segments = 0; segments <= T; segments++)
        for (int threads = 1; threads <= 3; threads += 2) {
            void *found = train(&m, segments, threads, &bytes);
            CHECK(memcmp(found, whole, bytes) == 0);
            rnncore_free(found);
        }
    rnncore_free(whole);
    model_free(&m);
}

int main(void)
{
    const char *isa;
    for (int i = 0; (isa = rnncore_isa_name(i)) != NULL; i++)
        for (int k = 0; k < model_config_count; k++) {
            rnncore_config config = model_configs[k];
            config.isa = isa;
            check_subject = config.cell;
            check_segments(&config);
        }
    return check_result("test_segments");
}
