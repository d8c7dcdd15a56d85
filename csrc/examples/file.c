/* SPDX-License-Identifier: MIT
 *
 * Runs a layer that Python saved, layer.save("layer.safetensors"):  file LAYER STEPS ROWS < x > y
 * x (T, N, I) and y (T, N, D*O) are dense arrays of the layer's element type. */
#include <stdio.h>
#include <stdlib.h>

#include "rnncore.h"

static int fail(const char *what, rnncore_status status)
{
    fprintf(stderr, "%s: %s: %s\n", what, rnncore_status_name(status), rnncore_status_text(status));
    return 1;
}

/* The whole file in memory of rnncore_alloc (mmap does as well), or NULL. */
static void *read_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    void *memory = NULL;
    if (file && !fseek(file, 0, SEEK_END)) {
        const long end = ftell(file);
        *bytes = end > 0 ? (size_t)end : 0;
        memory = rnncore_alloc(*bytes + 1);
        rewind(file);
        if (memory && fread(memory, 1, *bytes, file) != *bytes) *bytes = 0;
    }
    if (file) fclose(file);
    return memory;
}

int main(int argc, char **argv)
{
    size_t bytes = 0;
    rnncore_config config = {.struct_size = sizeof config};
    rnncore_plan *plan = NULL;
    if (argc != 4) return fail("usage: file LAYER STEPS ROWS", RNNCORE_ERROR_ARGUMENT);
    void *file = read_file(argv[1], &bytes);
    if (!file) return fail(argv[1], RNNCORE_ERROR_MEMORY);

    rnncore_status status = rnncore_file_read(file, bytes, &config, NULL, 0);
    if (status) return fail(argv[1], status);
    status = rnncore_plan_create(&config, &plan);
    if (status) return fail(argv[1], status);
    const int64_t directions = config.bidirectional ? 2 : 1;
    const int64_t count = config.num_layers * directions * rnncore_param_count(plan);
    const void **params = calloc((size_t)count, sizeof *params);
    if (!params) return fail("params", RNNCORE_ERROR_MEMORY);
    void *wide = rnncore_alloc(rnncore_file_bytes(file, bytes)); /* for matrices of compact files */
    status = rnncore_file_widen(file, bytes, wide, params, count);
    if (status) return fail(argv[1], status);
    void *weights = rnncore_alloc(rnncore_weights_bytes(plan, RNNCORE_PACK_FORWARD));
    if (!weights) return fail("weights", RNNCORE_ERROR_MEMORY);
    status = rnncore_weights_pack(plan, RNNCORE_PACK_FORWARD, params, weights);
    free(params); /* packed: the file is not needed any more */
    rnncore_free(file), rnncore_free(wide);
    if (status) return fail("weights", status);

    const int64_t T = atoll(argv[2]), N = atoll(argv[3]), elem = config.dtype == RNNCORE_FLOAT32 ? 4 : 8;
    const int64_t in = config.input_size, out = directions * (config.proj_size ? config.proj_size : config.hidden_size);
    if (T < 1 || N < 1) return fail("STEPS and ROWS", RNNCORE_ERROR_SHAPE);
    char *x = calloc((size_t)(T * N), (size_t)(in * elem)), *y = calloc((size_t)(T * N), (size_t)(out * elem));
    if (!x || !y) return fail("x", RNNCORE_ERROR_MEMORY);
    if (fread(x, (size_t)(in * elem), (size_t)(T * N), stdin) != (size_t)(T * N)) return fail("x", RNNCORE_ERROR_SHAPE);
    status = rnncore_forward(plan, weights,
                             &(rnncore_forward_args){.struct_size = sizeof(rnncore_forward_args),
                                                     .steps = T,
                                                     .batch = N,
                                                     .threads = 1,
                                                     .x = {x, {N * in * elem, in * elem, elem}},
                                                     .y = {y, {N * out * elem, out * elem, elem}}});
    if (status) return fail("forward", status);
    fwrite(y, (size_t)(out * elem), (size_t)(T * N), stdout);
    free(x), free(y), rnncore_free(weights), rnncore_plan_destroy(plan);
    return 0;
}
