/* SPDX-License-Identifier: MIT
 *
 * Prints a hash of all that a training call gives, for every architecture of model.c in both element types and every store: the
 * same lines on every machine, system and compiler. Within one run the instruction sets must agree; a hash of 0 says they do not. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "rnncore.h"

#include "model.h"

static uint64_t hash(uint64_t h, const void *bytes, size_t count) /* FNV-1a */
{
    for (size_t i = 0; i < count; i++) h = (h ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
    return h;
}

/* One step of Adam on all parameters, by the gradients that backward left. */
static uint64_t hash_update(uint64_t h, model *m, const char *isa)
{
    enum { MOST = 4096 };
    static double values[MOST], moments[2][MOST];
    double norm = 0;
    memset(values, 0, sizeof values);
    memset(moments, 0, sizeof moments);
    const int64_t size = m->config.input_size * m->config.hidden_size; /* every weight_ih of layer 0 has so many */
    const rnncore_tensor tensor = {values, m->grads[0], moments[0], moments[1], size, m->config.dtype};
    const rnncore_update_args args = {.struct_size = sizeof args,
                                      .method = RNNCORE_ADAM,
                                      .lr = 0.01,
                                      .beta1 = 0.9,
                                      .beta2 = 0.999,
                                      .eps = 1e-8,
                                      .grad_scale = 1,
                                      .clip_norm = 0.5,
                                      .step = 7,
                                      .tensors = &tensor,
                                      .count = 1,
                                      .isa = isa,
                                      .threads = 1};
    if (size > MOST || rnncore_update(&args, &norm)) return 0;
    return hash(hash(h, values, sizeof values), &norm, sizeof norm);
}

/* 0: a call failed. */
static uint64_t hash_config(const rnncore_config *config)
{
    model m;
    size_t bytes;
    model_init_config(&m, config, 6, 5);
    rnncore_forward_args forward = model_forward_args(&m);
    const rnncore_backward_args backward = model_backward_args(&m);
    forward.tape = m.tape;
    uint64_t h = 0;
    if (!rnncore_forward(m.plan, m.weights, &forward) && !rnncore_backward(m.plan, m.weights, &backward)) {
        void *outputs = model_outputs(&m, &bytes);
        h = hash_update(hash(14695981039346656037u, outputs, bytes), &m, config->isa);
        rnncore_free(outputs);
    }
    model_free(&m);
    return h;
}

/* The hash of an architecture in all instruction sets; 0: they differ, or a call failed. */
static uint64_t hash_everywhere(rnncore_config config)
{
    uint64_t first = 0;
    const char *isa;
    config.bidirectional = config.activations[0][0].function == RNNCORE_USUAL;
    config.dropout = 0.25;
    for (int i = 0; (isa = rnncore_isa_name(i)) != NULL; i++) {
        config.isa = isa;
        model_seed(1);
        const uint64_t h = hash_config(&config);
        if (i == 0) first = h;
        if (h != first) return 0;
    }
    return first;
}

int main(void)
{
    int failed = 0;
    for (int k = 0; k < model_config_count; k++)
        for (int kind = 0; kind <= RNNCORE_STORE_COUNT; kind++) { /* the stores of float32, and float64 */
            rnncore_config config = model_configs[k];
            config.dtype = kind == RNNCORE_STORE_COUNT ? RNNCORE_FLOAT64 : RNNCORE_FLOAT32;
            config.store = kind == RNNCORE_STORE_COUNT ? RNNCORE_STORE_REAL : (rnncore_store)kind;
            const uint64_t h = hash_everywhere(config);
            failed |= !h;
            printf("%2d %s %s store %d %016" PRIx64 "\n", k, config.cell, config.dtype ? "float64" : "float32",
                   (int)config.store, h);
        }
    return failed;
}
