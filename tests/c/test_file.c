/* SPDX-License-Identifier: MIT
 *
 * rnncore_file_read: sound files, wrong ones of every kind, and files damaged at random. Each file lies in a block of exactly
 * its size, and every array that is given out is read to its end, so the address sanitizer sees any step outside. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rnncore.h"

#include "check.h"

enum { MOST = 1 << 16, SLOTS = 24 };

static char header[MOST];

/* A file of `header`, padded as the format wants, and `data` bytes; NULL-terminated text, exact block. */
static char *make_file(const char *text, size_t data, size_t *bytes)
{
    const size_t length = (strlen(text) + 7) / 8 * 8;
    *bytes = 8 + length + data;
    char *file = malloc(*bytes);
    for (int i = 0; i < 8; i++) file[i] = (char)(length >> 8 * i);
    memset(file + 8, ' ', length);
    memcpy(file + 8, text, strlen(text));
    for (size_t i = 0; i < data; i++) file[8 + length + i] = (char)i;
    return file;
}

static rnncore_config config = {.struct_size = sizeof config};
static const void *params[SLOTS];

/* The status of both calls; the arrays are read. */
static rnncore_status read_file(const char *file, size_t bytes)
{
    const rnncore_config before = config;
    rnncore_status status = rnncore_file_read(file, bytes, &config, NULL, 0);
    if (status) {
        CHECK(!memcmp(&config, &before, sizeof config));
        return status;
    }
    rnncore_plan *plan = NULL;
    CHECK_STATUS(rnncore_plan_create(&config, &plan), RNNCORE_OK);
    const int64_t count = config.num_layers * (1 + config.bidirectional) * rnncore_param_count(plan);
    if (count > SLOTS) status = RNNCORE_ERROR_OVERFLOW; /* the test's own limit */
    const size_t wide = rnncore_file_bytes(file, bytes);
    void *memory = malloc(wide ? wide : 1);
    if (!status) {
        const rnncore_status direct = rnncore_file_read(file, bytes, &config, params, count);
        status = rnncore_file_widen(file, bytes, wide ? memory : NULL, params, count);
        CHECK_STATUS(direct, wide ? RNNCORE_ERROR_UNSUPPORTED : status);
    }
    if (status) {
        rnncore_plan_destroy(plan);
        free(memory);
        return status;
    }
    void *weights = rnncore_alloc(rnncore_weights_bytes(plan, RNNCORE_PACK_FORWARD));
    CHECK_STATUS(rnncore_weights_pack(plan, RNNCORE_PACK_FORWARD, params, weights), RNNCORE_OK);
    rnncore_free(weights);
    rnncore_plan_destroy(plan);
    free(memory);
    return RNNCORE_OK;
}

#define META(fields) \
    "{\"__metadata__\":{\"rnncore\":\"{\\\"format\\\": \\\"rnncore.layer\\\", \\\"version\\\": 1, " \
    "\\\"architecture\\\": {" fields "}}\"}"
#define BASE(cell, layers, nonlinearity, bias, both, dtype, proj, after) \
    "\\\"cell\\\": \\\"" cell "\\\", \\\"input_size\\\": 3, \\\"hidden_size\\\": 2, \\\"num_layers\\\": " layers \
    ", \\\"nonlinearity\\\": \\\"" nonlinearity "\\\", \\\"bias\\\": " bias \
    ", \\\"batch_first\\\": true, \\\"dropout\\\": 0.25, \\\"bidirectional\\\": " both ", \\\"dtype\\\": \\\"" dtype \
    "\\\", \\\"proj_size\\\": " proj ", \\\"reset_after\\\": " after
#define ENTRY(name, shape, begin, end) \
    ",\"" name "\":{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" #begin "," #end "]}"

#define RNN META(BASE("rnn", "1", "tanh", "false", "false", "float32", "0", "true"))
#define RNN_FILE RNN ENTRY("weight_ih_l0", "2,3", 0, 24) ENTRY("weight_hh_l0", "2,2", 24, 40) "}"
#define LSTM_OPTIONS \
    ", \\\"peepholes\\\": true, \\\"coupled\\\": true, \\\"clip\\\": 1.5e0, \\\"activations\\\": " \
    "[[[\\\"sigmoid\\\"], [\\\"elu\\\", 0.5], [\\\"affine\\\", -1, 0.25], [\\\"tanh\\\"]]], \\\"zoneout\\\": 0.25, " \
    "\\\"zoneout_c\\\": 0.5"
#define LSTM_FILE \
    META(BASE("lstm", "1", "tanh", "true", "true", "float32", "1", "true") LSTM_OPTIONS) \
    ENTRY("weight_ih_l0", "6,3", 0, 72) \
    ENTRY("weight_hh_l0", "6,1", 72, 96) \
    ENTRY("bias_ih_l0", "6", 96, 120) \
    ENTRY("bias_hh_l0", "6", 120, 144) \
    ENTRY("weight_hr_l0", "1,2", 144, 152) \
    ENTRY("weight_peephole_l0", "4", 152, 168) \
    ENTRY("weight_ih_l0_reverse", "6,3", 168, 240) \
    ENTRY("weight_hh_l0_reverse", "6,1", 240, 264) \
    ENTRY("bias_ih_l0_reverse", "6", 264, 288) \
    ENTRY("bias_hh_l0_reverse", "6", 288, 312) \
    ENTRY("weight_hr_l0_reverse", "1,2", 312, 320) ENTRY("weight_peephole_l0_reverse", "4", 320, 336) "}"

#define COMPACT_META \
    "{\"__metadata__\":{\"rnncore\":\"{\\\"format\\\": \\\"rnncore.layer\\\", \\\"version\\\": 1, \\\"compact\\\": " \
    "true, " \
    "\\\"architecture\\\": {" BASE("rnn", "1", "tanh", "false", "false", "float32", "0", \
                                   "true") ", \\\"store\\\": \\\"int8\\\"}}\"}"
#define COMPACT_FILE \
    COMPACT_META ENTRY("weight_ih_l0", "2,3", 0, 24) \
        ENTRY("weight_hh_l0.scale", "2", 24, \
              32) ",\"weight_hh_l0\":{\"dtype\":\"I8\",\"shape\":[2,2],\"data_offsets\":[32,36]}}"

/* Scales and codes of weight_hh_l0. */
static char *make_compact(const char *text, float first, float second, const signed char codes[4], size_t *bytes)
{
    char *file = make_file(text, 36, bytes);
    const float scale[2] = {first, second};
    memcpy(file + *bytes - 12, scale, sizeof scale);
    memcpy(file + *bytes - 4, codes, 4);
    return file;
}

static const signed char own_codes[4] = {127, 1, 0, -127};

static void test_compact(void)
{
    static const struct {
        const char *subject;
        float first, second;
        signed char codes[4];
    } wrong[] = {{"a code of -128", 0.5f, 0.25f, {-128, 1, 0, -127}},
                 {"a scale too fine", 0.50000006f, 0.25f, {127, 1, 0, -127}},
                 {"small codes", 0.5f, 0.25f, {126, 1, 0, -127}},
                 {"a negative scale", -0.5f, 0.25f, {127, 1, 0, -127}},
                 {"a scale of zero", 0.5f, 0, {127, 1, 0, -127}},
                 {"an infinite scale", 0.5f, INFINITY, {127, 1, 0, -127}},
                 {"codes without a number", 0.5f, NAN, {127, 1, 0, 1}},
                 {"a row of zeros with a scale", 0.5f, 0.25f, {127, 1, 0, 0}}};
    size_t bytes;
    check_subject = "compact";
    char *file = make_compact(COMPACT_FILE, 0.5f, 0.25f, own_codes, &bytes);
    CHECK_STATUS(read_file(file, bytes), RNNCORE_OK);
    CHECK(config.store == RNNCORE_STORE_INT8 && (const char *)params[0] == file + bytes - 36);
    CHECK(rnncore_file_bytes(file, bytes) == 4 * sizeof(void *) + 4 * sizeof(float));
    CHECK(rnncore_file_bytes(file, bytes - 1) == 0);
    float memory[32];
    CHECK_STATUS(rnncore_file_widen(file, bytes, memory, params, 4), RNNCORE_OK);
    const float *weight = params[1];
    CHECK(weight[0] == 63.5f && weight[1] == 0.5f && weight[2] == 0 && weight[3] == -31.75f);
    CHECK(!params[2] && !params[3]);
    CHECK_STATUS(rnncore_file_widen(file, bytes, NULL, params, 4), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_file_widen(file, bytes, memory, params, 3), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_file_widen(file, bytes, memory, NULL, 4), RNNCORE_ERROR_ARGUMENT);
    free(file);
    const signed char zeros[4] = {127, 1, 0, 0};
    file = make_compact(COMPACT_FILE, 0.5f, 0x1p-96f, zeros, &bytes);
    CHECK_STATUS(read_file(file, bytes), RNNCORE_OK);
    free(file);
    file = make_compact(COMPACT_FILE, 0.5f, NAN, zeros, &bytes);
    CHECK_STATUS(read_file(file, bytes), RNNCORE_OK);
    free(file);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        check_subject = wrong[i].subject;
        file = make_compact(COMPACT_FILE, wrong[i].first, wrong[i].second, wrong[i].codes, &bytes);
        CHECK_STATUS(read_file(file, bytes), RNNCORE_ERROR_FORMAT);
        free(file);
    }
}

static void test_sound(void)
{
    size_t bytes;
    check_subject = "sound";
    char *file = make_file(RNN_FILE, 40, &bytes);
    CHECK_STATUS(read_file(file, bytes), RNNCORE_OK);
    CHECK(!strcmp(config.cell, RNNCORE_RNN_TANH) && config.dtype == RNNCORE_FLOAT32 && config.input_size == 3);
    CHECK(config.hidden_size == 2 && config.num_layers == 1 && config.dropout == 0.25 && !config.bidirectional);
    CHECK((const char *)params[0] == file + bytes - 40 && params[1] && !params[2] && !params[3]);
    CHECK_STATUS(rnncore_file_read(file, bytes, &config, params, 2), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_file_read(NULL, bytes, &config, NULL, 0), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_file_read(file, bytes, NULL, NULL, 0), RNNCORE_ERROR_ARGUMENT);
    free(file);

    file = make_file(LSTM_FILE, 336, &bytes);
    CHECK_STATUS(read_file(file, bytes), RNNCORE_OK);
    CHECK(!strcmp(config.cell, RNNCORE_LSTM) && config.peepholes && config.coupled && config.clip == 1.5 &&
          config.proj_size == 1);
    for (int d = 0; d < 2; d++) {
        const rnncore_activation *a = config.activations[d];
        CHECK(a[0].function == RNNCORE_SIGMOID && a[1].function == RNNCORE_USUAL && a[2].function == RNNCORE_ELU);
        CHECK(a[2].alpha == 0.5 && a[3].function == RNNCORE_AFFINE && a[3].alpha == -1 && a[3].beta == 0.25);
        CHECK(a[4].function == RNNCORE_TANH && params[6 * d + 4] && params[6 * d + 5]);
    }
    CHECK((const char *)params[11] == file + bytes - 16);
    free(file);
}

/* Texts that replace a piece of RNN_FILE: nothing may be read from what comes of it. */
typedef struct piece {
    const char *subject, *from, *to;
} piece;
static const piece spoiled[] = {
    {"no metadata", "{\"__metadata__\":", "{\"__metadata_\":"},
    {"another name in the metadata", "{\"rnncore\":", "{\"rnncor\":"},
    {"another format", "rnncore.layer", "rnncore.sequential"},
    {"a newer version", "\\\"version\\\": 1", "\\\"version\\\": 2"},
    {"a version that is a float", "\\\"version\\\": 1", "\\\"version\\\": 1.0"},
    {"an unknown cell", "\\\"cell\\\": \\\"rnn\\\"", "\\\"cell\\\": \\\"cnn\\\""},
    {"an unknown field", "\\\"bias\\\"", "\\\"bios\\\""},
    {"a field twice", "\\\"bias\\\": false", "\\\"bias\\\": false, \\\"bias\\\": false"},
    {"a field missing", "\\\"proj_size\\\": 0, ", ""},
    {"a cell that resets before", "\\\"reset_after\\\": true", "\\\"reset_after\\\": false"},
    {"NaN for a size", "\\\"hidden_size\\\": 2", "\\\"hidden_size\\\": NaN"},
    {"a negative size", "\\\"hidden_size\\\": 2", "\\\"hidden_size\\\": -2"},
    {"a size that is a float", "\\\"hidden_size\\\": 2", "\\\"hidden_size\\\": 2e0"},
    {"a size with leading zeros", "\\\"hidden_size\\\": 2", "\\\"hidden_size\\\": 02"},
    {"a huge size", "\\\"hidden_size\\\": 2", "\\\"hidden_size\\\": 9007199254740993"},
    {"a size of many digits", "\\\"hidden_size\\\": 2", "\\\"hidden_size\\\": 99999999999999999999999999999999"},
    {"another size", "\\\"hidden_size\\\": 2", "\\\"hidden_size\\\": 3"},
    {"many layers", "\\\"num_layers\\\": 1", "\\\"num_layers\\\": 60000"},
    {"too many layers", "\\\"num_layers\\\": 1", "\\\"num_layers\\\": 4294967297"},
    {"infinite dropout", "\\\"dropout\\\": 0.25", "\\\"dropout\\\": 1e999"},
    {"dropout without digits", "\\\"dropout\\\": 0.25", "\\\"dropout\\\": ."},
    {"dropout in hexadecimal", "\\\"dropout\\\": 0.25", "\\\"dropout\\\": 0x1p-2"},
    {"dropout of 1", "\\\"dropout\\\": 0.25", "\\\"dropout\\\": 1"},
    {"peepholes of a basic RNN", "\\\"bias\\\": false", "\\\"bias\\\": false, \\\"peepholes\\\": true"},
    {"a clip below 0", "\\\"bias\\\": false", "\\\"bias\\\": false, \\\"clip\\\": -1"},
    {"an unknown function", "\\\"bias\\\": false", "\\\"bias\\\": false, \\\"activations\\\": [[[\\\"gelu\\\"]]]"},
    {"a function without its parameter", "\\\"bias\\\": false",
     "\\\"bias\\\": false, \\\"activations\\\": [[[\\\"elu\\\"]]]"},
    {"functions for two directions of one", "\\\"bias\\\": false",
     "\\\"bias\\\": false, \\\"activations\\\": [[[\\\"relu\\\"]], [[\\\"tanh\\\"]]]"},
    {"too many places", "\\\"bias\\\": false",
     "\\\"bias\\\": false, \\\"activations\\\": [[[\\\"relu\\\"], [\\\"relu\\\"]]]"},
    {"a hundred places", "\\\"bias\\\": false",
     "\\\"bias\\\": false, \\\"activations\\\": [[[\\\"relu\\\"], [\\\"relu\\\"], [\\\"relu\\\"], [\\\"relu\\\"], "
     "[\\\"relu\\\"], [\\\"relu\\\"], [\\\"relu\\\"]]]"},
    {"an escape that is none", "rnncore.layer", "rnncore\\q.layer"},
    {"half an escape", "rnncore.layer", "rnncore\\u00"},
    {"a control character", "rnncore.layer", "rnncore\n.layer"},
    {"an array of another layer", "weight_hh_l0", "weight_hh_l1"},
    {"an array with zeros in its name", "weight_hh_l0", "weight_hh_l00"},
    {"an array of the other direction", "weight_hh_l0", "weight_hh_l0_reverse"},
    {"an unknown array", "weight_hh_l0", "weight_hx_l0"},
    {"a name without an end", "weight_hh_l0", "weight_hh_l0_rev"},
    {"an array twice", "weight_hh_l0\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[24,40]",
     "weight_ih_l0\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[24,48]"},
    {"a long name", "weight_hh_l0",
     "weight_hh_l0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
    {"another type", "F32", "F64"},
    {"an unknown type", "F32", "F8"},
    {"one axis", "[2,3]", "[6]"},
    {"three axes", "[2,3]", "[2,3,1]"},
    {"a transposed shape", "[2,3]", "[3,2]"},
    {"NaN in a shape", "[2,3]", "[2,NaN]"},
    {"a hole", "[24,40]", "[28,44]"},
    {"an overlap", "[24,40]", "[20,36]"},
    {"offsets outside", "[24,40]", "[24,9007199254740992]"},
    {"offsets the wrong way", "[24,40]", "[40,24]"},
    {"negative offsets", "[0,24]", "[-24,0]"},
    {"a field of an array twice", "\"dtype\":\"F32\"", "\"dtype\":\"F32\",\"dtype\":\"F32\""},
    {"a field of an array too many", "\"dtype\":\"F32\"", "\"dtype\":\"F32\",\"more\":\"F32\""},
    {"a second metadata", ",\"weight_hh_l0\"", ",\"__metadata__\":{},\"weight_hh_l0\""},
    {"something after the end", "[24,40]}}", "[24,40]}}x"},
    {"no end", "[24,40]}}", "[24,40]}"},
    {"a missing comma", ",\"weight_hh_l0\"", " \"weight_hh_l0\""},
    {"two commas", ",\"weight_hh_l0\"", ",,\"weight_hh_l0\""},
};

/* Texts that replace a piece of COMPACT_FILE. */
static const piece spoiled_compact[] = {
    {"compact with a number", "\\\"compact\\\": true", "\\\"compact\\\": 1"},
    {"compact twice", "\\\"compact\\\": true", "\\\"compact\\\": true, \\\"compact\\\": true"},
    {"not compact", "\\\"compact\\\": true", "\\\"compact\\\": false"},
    {"another store", "\\\"int8\\\"", "\\\"bfloat16\\\""},
    {"scales of two axes", "[2],", "[2,1],"},
    {"too few scales", "\"shape\":[2],", "\"shape\":[1],"},
    {"scales of another matrix", "weight_hh_l0.scale", "weight_ih_l0.scale"},
    {"scales of a layer that is not there", "weight_hh_l0.scale", "weight_hh_l1.scale"},
    {"scales of scales", "weight_hh_l0.scale", "weight_hh_l0.scale.scale"},
    {"no codes", ",\"weight_hh_l0\":{\"dtype\":\"I8\",\"shape\":[2,2],\"data_offsets\":[32,36]}", ""},
    {"codes twice, no scales", "weight_hh_l0.scale\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]}",
     "weight_hh_l0\":{\"dtype\":\"I8\",\"shape\":[2,2],\"data_offsets\":[24,28]}"},
    {"halves for codes", "\"I8\"", "\"F16\""},
    {"unsigned codes", "\"I8\"", "\"U8\""},
};

static void spoil(const char *text, const piece *pieces, size_t count, size_t data)
{
    for (size_t i = 0; i < count; i++) {
        const char *at = strstr(text, pieces[i].from);
        check_subject = pieces[i].subject;
        CHECK(at != NULL);
        if (!at) continue;
        const size_t before = (size_t)(at - text);
        memcpy(header, text, before);
        strcpy(header + before, pieces[i].to);
        strcat(header, &text[before + strlen(pieces[i].from)]);
        size_t bytes;
        char *file = make_file(header, data + 8, &bytes);
        for (size_t more = 0; more <= 8; more += 4) /* also where the data would fit */
            CHECK_STATUS(read_file(file, bytes - 8 + more), RNNCORE_ERROR_FORMAT);
        free(file);
    }
}

static void test_spoiled(void)
{
    spoil(RNN_FILE, spoiled, sizeof spoiled / sizeof *spoiled, 40);
    spoil(COMPACT_FILE, spoiled_compact, sizeof spoiled_compact / sizeof *spoiled_compact, 36);
}

/* Every length below the whole, and headers that claim more than there is. */
static void test_cut(void)
{
    size_t bytes;
    char *file = make_file(RNN_FILE, 40, &bytes);
    check_subject = "cut";
    for (size_t length = 0; length < bytes; length++) {
        char *cut = malloc(length ? length : 1);
        memcpy(cut, file, length);
        CHECK_STATUS(read_file(cut, length), RNNCORE_ERROR_FORMAT);
        free(cut);
    }
    check_subject = "header bomb";
    for (int byte = 1; byte < 8; byte++) {
        for (int bit = 0; bit < 8; bit++) {
            file[byte] ^= (char)(1 << bit);
            CHECK_STATUS(read_file(file, bytes), RNNCORE_ERROR_FORMAT);
            file[byte] ^= (char)(1 << bit);
        }
    }
    check_subject = "not aligned";
    CHECK_STATUS(rnncore_file_read(file + 4, bytes - 4, &config, NULL, 0), RNNCORE_ERROR_ARGUMENT);
    free(file);
}

static uint64_t random_state = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

/* Damage at random: bytes, digits, pieces that move, pieces of the other file. Whatever comes of it is refused, or sound. */
static void test_fuzz(int64_t rounds)
{
    static const char interesting[] = "{}[]\",:\\0123456789-.eENn tfu_";
    const char *const seeds[] = {RNN_FILE, LSTM_FILE, COMPACT_FILE};
    static const size_t data[] = {40, 336, 36};
    int64_t refused = 0;
    check_subject = "fuzz";
    for (int64_t i = 0; i < rounds; i++) {
        size_t length = strlen(seeds[i % 3]), bytes;
        memcpy(header, seeds[i % 3], length);
        for (uint64_t k = 1 + draw(3); k > 0; k--) {
            const size_t at = draw(length), n = 1 + draw(24), from = draw(length);
            const size_t most = n < length - at ? n : length - at;
            switch (draw(5)) {
            case 0: header[at] = (char)draw(256); break;
            case 1: header[at] = interesting[draw(sizeof interesting - 1)]; break;
            case 2: memmove(header + at, header + at + most, length - at - most), length -= most; break;
            case 3: memmove(header + at, header + from, most < length - from ? most : length - from); break;
            case 4:
                memmove(header + at + n, header + at, length - at), length += n;
                memcpy(header + at, seeds[(i + 1) % 3] + draw(strlen(seeds[(i + 1) % 3]) - n), n);
                break;
            }
            if (!length) header[length++] = '{';
        }
        for (size_t k = 0; k < length; k++) header[k] = header[k] ? header[k] : ' ';
        header[length] = 0;
        char *file = make_file(header, data[i % 3], &bytes);
        if (i % 3 == 2) { /* damage to the header alone, beside codes that are sound */
            free(file);
            file = make_compact(header, 0.5f, 0.25f, own_codes, &bytes);
        }
        const rnncore_status status = read_file(file, bytes);
        CHECK(status == RNNCORE_OK || status == RNNCORE_ERROR_FORMAT || status == RNNCORE_ERROR_OVERFLOW);
        refused += status == RNNCORE_ERROR_FORMAT;
        free(file);
    }
    CHECK(refused > rounds / 2 && refused < rounds);
}

int main(int argc, char **argv)
{
    (void)argv;
    test_sound();
    test_compact();
    test_spoiled();
    test_cut();
    test_fuzz(argc > 1 ? 20000 : 300000);
    return check_result("test_file");
}
