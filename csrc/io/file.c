/* SPDX-License-Identifier: MIT
 *
 * Files of one layer as Python writes them: safetensors, with the architecture as JSON in the metadata entry "rnncore". A
 * file is 8 bytes (length of the header, little endian), a JSON header, then the arrays one after the other in the header's
 * order. All claims are checked against each other and the file's size before anything is given out. */
#include "file.h"

#include <string.h>

#include "../base/fpenv.h"
#include "../base/json.h"
#include "../base/tuning.h"

enum { MOST_LAYER_TEXT = 8192, MOST_NAME = 64 }; /* bytes of the architecture, and of an array's name */

/* -- The architecture ----------------------------------------------------------------------------------------------- */

/* The words of the fields cell, nonlinearity, reset_after and layer_norm, and the cell's name. */
static const char *const families[] = {"rnn", "lstm", "gru", "min_gru", "min_lstm", NULL}, *const nonlinearities[] = {
                                                                                               "tanh", "relu", NULL};
static const struct cell_words {
    int family, nonlinearity, reset_after, layer_norm;
    const char *cell;
} cells[] = {{0, 0, 1, 0, RNNCORE_RNN_TANH},
             {0, 1, 1, 0, RNNCORE_RNN_RELU},
             {1, 0, 1, 0, RNNCORE_LSTM},
             {1, 0, 1, 1, "lstm_norm"},
             {2, 0, 1, 0, RNNCORE_GRU},
             {2, 0, 1, 1, "gru_norm"},
             {2, 0, 0, 0, RNNCORE_GRU_RESET_BEFORE},
             {3, 0, 1, 0, RNNCORE_MIN_GRU},
             {4, 0, 1, 0, RNNCORE_MIN_LSTM}};
static const char *const dtypes[] = {"float32", "float64", NULL}, *const stores[] = {"bfloat16", "float16", "int8",
                                                                                     "int8x16", NULL};
static const char *const functions[] = {
    "sigmoid", "tanh",     "relu",     "affine",    "leaky_relu", "thresholded_relu", "scaled_tanh", "hard_sigmoid",
    "elu",     "softsign", "softplus", "log_space", NULL}; /* from RNNCORE_SIGMOID on */
static const int parameters_of[RNNCORE_FUNCTION_COUNT - RNNCORE_SIGMOID] = {0, 0, 0, 2, 1, 1, 2, 2, 1, 0, 0, 0};

/* What the fields say that is no field of a config. */
typedef struct layer_words {
    int family, nonlinearity, reset_after, layer_norm;
    int functions; /* directions that have some */
} layer_words;

/* ["name", alpha, beta] */
static rnncore_activation read_activation(rc_json *json)
{
    rnncore_activation found = {RNNCORE_USUAL, 0, 0};
    rc_json_expect(json, '[');
    const int word = rc_json_word(json, functions);
    if (json->bad) return found;
    found.function = (rnncore_function)(RNNCORE_SIGMOID + word);
    if (parameters_of[word] > 0) rc_json_expect(json, ','), found.alpha = rc_json_number(json);
    if (parameters_of[word] > 1) rc_json_expect(json, ','), found.beta = rc_json_number(json);
    rc_json_expect(json, ']');
    return found;
}

/* A list per direction of a list of all places; coupled gates leave out place 1, which is moved into place later. */
static void read_activations(rc_json *json, rnncore_config *c, layer_words *words)
{
    rc_json_expect(json, '[');
    for (int d = 0; rc_json_more(json, d, ']'); d++) {
        if (d >= 2) json->bad = 1;
        rc_json_expect(json, '[');
        for (int i = 0; rc_json_more(json, i, ']'); i++) {
            if (d >= 2 || i >= RNNCORE_PLACES) json->bad = 1;
            else c->activations[d][i] = read_activation(json);
        }
        words->functions = d + 1;
    }
}

/* One function for both directions is said once, and coupled gates have no place f. */
static void place_activations(rnncore_config *c, const layer_words *words)
{
    for (int d = 0; d < words->functions && c->coupled; d++) {
        memmove(&c->activations[d][2], &c->activations[d][1], 3 * sizeof c->activations[d][1]);
        c->activations[d][1] = (rnncore_activation){RNNCORE_USUAL, 0, 0};
    }
    if (words->functions == 1 && c->bidirectional)
        memcpy(c->activations[1], c->activations[0], sizeof c->activations[1]);
}

/* The fields of Python's Spec, each at most once; the options of cells may be absent. */
static void read_architecture(rc_json *json, rc_file *file, layer_words *words)
{
    static const char *const fields[] = {
        "cell",    "input_size",    "hidden_size", "num_layers", "nonlinearity", "bias",      "batch_first",
        "dropout", "bidirectional", "dtype",       "proj_size",  "reset_after",  "peepholes", "coupled",
        "clip",    "activations",   "zoneout",     "zoneout_c",  "layer_norm",   "store",     NULL};
    enum { REQUIRED = (1 << 12) - 1 };
    rnncore_config *c = &file->config;
    int seen = 0;
    rc_json_expect(json, '{');
    for (int i = 0; rc_json_more(json, i, '}'); i++) {
        const int field = rc_json_word(json, fields);
        rc_json_expect(json, ':');
        if (json->bad || seen & 1 << field) {
            json->bad = 1;
            return;
        }
        seen |= 1 << field;
        switch (field) {
        case 0: words->family = rc_json_word(json, families); break;
        case 1: c->input_size = rc_json_count(json); break;
        case 2: c->hidden_size = rc_json_count(json); break;
        case 3: c->num_layers = rc_json_count(json); break;
        case 4: words->nonlinearity = rc_json_word(json, nonlinearities); break;
        case 5: file->has_bias = rc_json_bool(json); break;
        case 6: rc_json_bool(json); break; /* the caller's strides say it */
        case 7: c->dropout = rc_json_number(json); break;
        case 8: c->bidirectional = rc_json_bool(json); break;
        case 9: c->dtype = (rnncore_dtype)rc_json_word(json, dtypes); break;
        case 10: c->proj_size = rc_json_count(json); break;
        case 11: words->reset_after = rc_json_bool(json); break;
        case 12: c->peepholes = rc_json_bool(json); break;
        case 13: c->coupled = rc_json_bool(json); break;
        case 14: c->clip = rc_json_accept_null(json) ? 0 : rc_json_number(json); break;
        case 15: read_activations(json, c, words); break;
        case 16: c->zoneout = rc_json_number(json); break;
        case 17: c->zoneout_c = rc_json_number(json); break;
        case 18: words->layer_norm = rc_json_bool(json); break;
        case 19: c->store = (rnncore_store)(RNNCORE_STORE_BFLOAT16 + rc_json_word(json, stores)); break;
        }
    }
    if ((seen & REQUIRED) != REQUIRED) json->bad = 1;
}

/* {"format": "rnncore.layer", "version": 1, "architecture": {...}}, and "compact": true where it is. */
static int read_layer_text(const char *text, int64_t length, rc_file *file)
{
    static const char *const keys[] = {"format", "version", "architecture", "compact", NULL};
    static const char *const formats[] = {"rnncore.layer", NULL};
    rc_json json = {text, text + length, 0};
    layer_words words = {.reset_after = 1};
    int seen = 0;
    rc_json_expect(&json, '{');
    for (int i = 0; rc_json_more(&json, i, '}'); i++) {
        const int key = rc_json_word(&json, keys);
        rc_json_expect(&json, ':');
        if (json.bad || seen & 1 << key) return 0;
        seen |= 1 << key;
        if (key == 0) rc_json_word(&json, formats);
        else if (key == 1) json.bad |= rc_json_count(&json) != 1;
        else if (key == 3) file->compact = rc_json_bool(&json);
        else read_architecture(&json, file, &words);
    }
    if (json.bad || (seen & 7) != 7) return 0;
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        if (cells[i].family == words.family && cells[i].nonlinearity == words.nonlinearity &&
            cells[i].reset_after == words.reset_after && cells[i].layer_norm == words.layer_norm)
            file->config.cell = cells[i].cell;
    place_activations(&file->config, &words);
    if (rc_check_config(&file->config)) return 0;
    file->cell = rc_find_table(&file->config);
    return 1;
}

/* -- The arrays ----------------------------------------------------------------------------------------------------- */

/* Whether the file has a row of the table: without bias the optional ones are left out. */
static int has_param(const rc_file *file, const rc_param *param)
{
    return rc_has_param(&file->config, file->cell, param) && (file->has_bias || !param->optional);
}

int rc_file_params(const rc_file *file)
{
    int count = 0;
    for (int i = 0; i < file->cell->param_count; i++)
        count += rc_has_param(&file->config, file->cell, &file->cell->params[i]);
    return count;
}

rc_kind rc_file_kind(const rc_file *file, int row, int64_t columns)
{
    const rnncore_store store = file->config.store;
    if (!file->compact || !columns || store == RNNCORE_STORE_REAL)
        return file->config.dtype == RNNCORE_FLOAT32 ? RC_KIND_F32 : RC_KIND_F64;
    if (store == RNNCORE_STORE_BFLOAT16) return RC_KIND_BF16;
    if (store == RNNCORE_STORE_FLOAT16) return RC_KIND_F16;
    return row == file->cell->term[RC_TERM_X].param && columns < RC_LEAST_CODED_INPUTS ? RC_KIND_F32 : RC_KIND_I8;
}

/* Arrays that a layer and direction has in the file. */
static int64_t count_arrays(const rc_file *file, int64_t layer)
{
    int64_t count = 0;
    for (int i = 0; i < file->cell->param_count; i++) {
        const rc_param *param = &file->cell->params[i];
        if (!has_param(file, param)) continue;
        const rnncore_param shape = rc_describe_param(&file->config, file->cell, param, layer);
        count += rc_file_kind(file, i, shape.columns) == RC_KIND_I8 ? 2 : 1;
    }
    return count;
}

/* The rest of a name, "_l<layer>" or "_l<layer>_reverse", and of scales ".scale". */
static int read_place(const char *text, rc_tensor *t)
{
    int digits = 0;
    if (strncmp(text, "_l", 2)) return 0;
    text += 2;
    for (t->layer = 0; text[digits] >= '0' && text[digits] <= '9' && digits < 6; digits++)
        t->layer = 10 * t->layer + (text[digits] - '0');
    if (!digits || (digits > 1 && text[0] == '0')) return 0;
    text += digits;
    t->direction = !strncmp(text, "_reverse", 8);
    text += t->direction ? 8 : 0;
    t->is_scale = !strcmp(text, ".scale");
    return t->is_scale || !*text;
}

/* Which array a name says, and its shape. */
static int find_tensor(const rc_file *file, const char *name, rc_tensor *t)
{
    const rnncore_config *c = &file->config;
    for (t->row = t->place = 0; t->row < file->cell->param_count; t->row++) {
        const rc_param *param = &file->cell->params[t->row];
        const size_t length = strlen(param->name);
        if (has_param(file, param) && !strncmp(name, param->name, length) && read_place(name + length, t)) break;
        t->place += rc_has_param(c, file->cell, param);
    }
    if (t->row == file->cell->param_count || t->layer >= c->num_layers || t->direction > c->bidirectional) return 0;
    const rnncore_param param = rc_describe_param(c, file->cell, &file->cell->params[t->row], t->layer);
    t->rows = param.rows;
    t->columns = param.columns;
    t->kind = rc_file_kind(file, t->row, t->columns);
    if (!t->is_scale) return 1;
    const int has_scale = t->kind == RC_KIND_I8;
    t->kind = RC_KIND_F32;
    t->columns = 0;
    return has_scale;
}

/* {"dtype": "F32", "shape": [...], "data_offsets": [begin, end]}; the array must begin at *reached, which moves on. */
static int read_entry(rc_json *json, const rc_file *file, const rc_tensor *t, int64_t *reached)
{
    static const char *const keys[] = {"dtype", "shape", "data_offsets", NULL};
    static const char *const names[] = {"F32", "F64", "BF16", "F16", "I8", NULL};
    static const int elem[] = {sizeof(float), sizeof(double), 2, 2, 1};
    const int64_t bytes = t->rows * (t->columns ? t->columns : 1) * elem[t->kind]; /* below 2^63: see rc_check_config */
    int seen = 0;
    rc_json_expect(json, '{');
    for (int i = 0; rc_json_more(json, i, '}'); i++) {
        const int key = rc_json_word(json, keys);
        rc_json_expect(json, ':');
        if (json->bad || seen & 1 << key) return 0;
        seen |= 1 << key;
        if (key == 0) {
            if (rc_json_word(json, names) != (int)t->kind) return 0;
            continue;
        }
        const int64_t expected[2] = {key == 1 ? t->rows : *reached, key == 1 ? t->columns : *reached + bytes};
        const int count = key == 1 && !t->columns ? 1 : 2;
        rc_json_expect(json, '[');
        for (int k = 0; k < count; k++) {
            if (k) rc_json_expect(json, ',');
            if (rc_json_count(json) != expected[k]) return 0;
        }
        rc_json_expect(json, ']');
    }
    if (json->bad || seen != 7 || bytes > file->data_bytes - *reached || *reached % elem[t->kind]) return 0;
    *reached += bytes;
    return 1;
}

int rc_file_arrays(const rc_file *file, const void **params, const void **scales)
{
    const rnncore_config *c = &file->config;
    rc_json json = {file->header, file->header + file->header_bytes, 0};
    const int64_t expected =
        (count_arrays(file, 0) + (c->num_layers - 1) * count_arrays(file, 1)) * (1 + c->bidirectional);
    int64_t reached = 0, count = 0;
    char name[MOST_NAME];
    rc_json_expect(&json, '{');
    for (int64_t i = 0; rc_json_more(&json, i, '}'); i++) {
        rc_tensor t = {0};
        rc_json_string(&json, name, sizeof name);
        rc_json_expect(&json, ':');
        if (json.bad) return 0;
        if (!strcmp(name, "__metadata__")) { /* read already */
            if (i) return 0;
            rc_json_expect(&json, '{');
            for (int64_t k = 0; rc_json_more(&json, k, '}'); k++) {
                rc_json_string(&json, NULL, 0);
                rc_json_expect(&json, ':');
                rc_json_string(&json, NULL, 0);
            }
            continue;
        }
        const int64_t begin = reached;
        if (!find_tensor(file, name, &t) || !read_entry(&json, file, &t, &reached) || ++count > expected) return 0;
        const void **to = t.is_scale ? scales : params;
        if (!to) continue;
        const int64_t place = (t.layer * (1 + c->bidirectional) + t.direction) * rc_file_params(file) + t.place;
        if (to[place]) return 0;
        to[place] = file->data + begin;
    }
    while (json.at < json.end && *json.at == ' ') json.at++;
    return !json.bad && json.at == json.end && count == expected && reached == file->data_bytes;
}

/* -- The file ------------------------------------------------------------------------------------------------------- */

/* The metadata entry "rnncore", which must come first in the header, as every writer has it. */
static int read_metadata(rc_file *file)
{
    rc_json json = {file->header, file->header + file->header_bytes, 0};
    char name[MOST_NAME], text[MOST_LAYER_TEXT];
    int found = 0;
    rc_json_expect(&json, '{');
    rc_json_string(&json, name, sizeof name);
    rc_json_expect(&json, ':');
    rc_json_expect(&json, '{');
    if (json.bad || strcmp(name, "__metadata__")) return 0;
    for (int64_t i = 0; rc_json_more(&json, i, '}'); i++) {
        rc_json_string(&json, name, sizeof name);
        rc_json_expect(&json, ':');
        const int ours = !json.bad && !strcmp(name, "rnncore");
        const int64_t length = rc_json_string(&json, ours ? text : NULL, sizeof text);
        if (!ours) continue;
        if (json.bad || found++ || !read_layer_text(text, length, file)) return 0;
    }
    return !json.bad && found;
}

rnncore_status rc_file_open(rc_file *file, const void *memory, size_t bytes)
{
    if (!memory || (uintptr_t)memory % sizeof(double)) return RNNCORE_ERROR_ARGUMENT;
    const unsigned char *start = memory;
    uint64_t header = 0;
    if (bytes < 8) return RNNCORE_ERROR_FORMAT;
    for (int i = 0; i < 8; i++) header |= (uint64_t)start[i] << 8 * i;
    if (header > bytes - 8 || header % sizeof(double))
        return RNNCORE_ERROR_FORMAT; /* our writer keeps arrays aligned */
    *file = (rc_file){
        .header = (const char *)start + 8,
        .data = (const char *)start + 8 + header,
        .header_bytes = (int64_t)header,
        .data_bytes = (int64_t)(bytes - 8 - header),
    };
    return read_metadata(file) && rc_file_arrays(file, NULL, NULL) ? RNNCORE_OK : RNNCORE_ERROR_FORMAT;
}

static rnncore_status read_file(const void *memory, size_t bytes, rnncore_config *config, const void **params,
                                int64_t count)
{
    rc_file file;
    const rnncore_status status = rc_file_open(&file, memory, bytes);
    if (status) return status;
    if (params) {
        const int64_t all = file.config.num_layers * (1 + file.config.bidirectional) * rc_file_params(&file);
        if (count != all) return RNNCORE_ERROR_ARGUMENT;
        if (file.compact && file.config.store != RNNCORE_STORE_REAL) return RNNCORE_ERROR_UNSUPPORTED;
        for (int64_t i = 0; i < all; i++) params[i] = NULL;
        if (!rc_file_arrays(&file, params, NULL)) return RNNCORE_ERROR_FORMAT;
    }
    return rc_give_config(config, &file.config);
}

rnncore_status rnncore_file_read(const void *file, size_t bytes, rnncore_config *config, const void **params,
                                 int64_t count)
{
    const rc_fpenv outside = rc_fpenv_enter(); /* strtod rounds as the environment says */
    const rnncore_status status = read_file(file, bytes, config, params, count);
    rc_fpenv_leave(outside);
    return status;
}
