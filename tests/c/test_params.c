/* SPDX-License-Identifier: MIT
 *
 * The table of parameters of every cell and option, on every instruction set: the names, shapes and order of the header, and a
 * parameter that must be given is asked for. */
#include <string.h>

#include "rnncore.h"

#include "check.h"
#include "model.h"

enum { MOST = 16 };

typedef struct row {
    const char *name;
    int64_t rows, columns;
} row;

/* The header's table for one layer, whose input has `in` features; its count. */
static int expect(const rnncore_config *c, int64_t in, row table[MOST])
{
    const int lstm = !strncmp(c->cell, "lstm", 4), scan = !strncmp(c->cell, "min_", 4),
              norm = strstr(c->cell, "norm") != NULL;
    const int64_t H = c->hidden_size, O = c->proj_size ? c->proj_size : H;
    const int64_t G = lstm                                 ? 4 - c->coupled
                      : !strcmp(c->cell, RNNCORE_MIN_GRU)  ? 2
                      : !strcmp(c->cell, RNNCORE_MIN_LSTM) ? 3
                      : !strncmp(c->cell, "gru", 3)        ? 3
                                                           : 1;
    int n = 0;
    table[n++] = (row){"weight_ih", G * H, in};
    if (!scan) table[n++] = (row){"weight_hh", G * H, O};
    table[n++] = (row){"bias_ih", G * H, 0};
    if (!scan) table[n++] = (row){"bias_hh", G * H, 0};
    if (c->proj_size) table[n++] = (row){"weight_hr", O, H};
    if (c->peepholes) table[n++] = (row){"weight_peephole", (G - 1) * H, 0};
    if (norm) table[n++] = (row){"gain_ih", G * H, 0};
    if (norm) table[n++] = (row){"gain_hh", G * H, 0};
    if (norm && lstm) table[n++] = (row){"gain_c", H, 0};
    if (norm && lstm) table[n++] = (row){"bias_c", H, 0};
    return n;
}

static void check_table(const rnncore_config *config)
{
    model m;
    row table[MOST];
    const void *params[MODEL_MAX_PARAMS];
    model_init_config(&m, config, 1, 1);
    const int64_t D = m.directions;
    const int count = rnncore_param_count(m.plan);
    check_subject = config->cell;
    for (int64_t layer = 0; layer < config->num_layers; layer++) {
        CHECK(expect(config, layer ? D * m.out : config->input_size, table) == count);
        for (int i = 0; i < count; i++) {
            const int optional = !strcmp(table[i].name, "bias_ih") || !strcmp(table[i].name, "bias_hh");
            rnncore_param param = {.struct_size = sizeof param};
            CHECK_STATUS(rnncore_param_get(m.plan, layer, i, &param), RNNCORE_OK);
            CHECK(!strcmp(param.name, table[i].name) && param.optional == optional);
            CHECK(param.rows == table[i].rows && param.columns == table[i].columns);
            for (int64_t d = 0; d < D; d++) {
                memcpy(params, m.params, sizeof params);
                params[(layer * D + d) * count + i] = NULL;
                CHECK_STATUS(rnncore_weights_pack(m.plan, RNNCORE_PACK_FORWARD, params, m.weights),
                             optional ? RNNCORE_OK : RNNCORE_ERROR_ARGUMENT);
            }
        }
    }
    model_free(&m);
}

int main(void)
{
    const char *isa;
    for (int i = 0; (isa = rnncore_isa_name(i)) != NULL; i++)
        for (int k = 0; k < model_config_count; k++) {
            rnncore_config config = model_configs[k];
            config.isa = isa;
            config.bidirectional = config.activations[0][0].function == RNNCORE_USUAL;
            check_table(&config);
        }
    return check_result("test_params");
}
