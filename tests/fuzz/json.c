/* SPDX-License-Identifier: MIT
 *
 * The reader of JSON on any bytes, in memory of exactly their size: a walk over lists and objects as deep as they are, which
 * takes at every place what the reader says is there. */
#include <math.h>
#include <string.h>

#include "../../csrc/base/json.h"
#include "fuzz.h"

enum { DEEPEST = 64, TEXT = 9 };

/* The value before the reader. Only this walk recurses; the reader never does. */
static void walk(rc_json *json, int depth)
{
    static const char *const words[] = {"lstm", "gru", "", NULL};
    char text[TEXT];
    if (depth == DEEPEST) {
        json->bad = 1;
    } else if (rc_json_accept(json, '{')) {
        for (int i = 0; rc_json_more(json, i, '}'); i++) {
            const int64_t length = rc_json_string(json, i % 2 ? text : NULL, TEXT);
            FUZZ_HOLDS(length >= 0);
            if (i % 2 && !json->bad) FUZZ_HOLDS(memchr(text, 0, TEXT) != NULL);
            rc_json_expect(json, ':');
            walk(json, depth + 1);
        }
    } else if (rc_json_accept(json, '[')) {
        for (int64_t i = 0; rc_json_more(json, i, ']'); i++) walk(json, depth + 1);
    } else if (!rc_json_accept_null(json)) {
        rc_json as_word = *json, as_count = *json, as_number = *json, as_bool = *json, as_text = *json;
        const int word = rc_json_word(&as_word, words);
        const int64_t number = rc_json_count(&as_count);
        const double real = rc_json_number(&as_number);
        const int truth = rc_json_bool(&as_bool);
        (void)rc_json_string(&as_text, text, TEXT);
        FUZZ_HOLDS(as_word.bad ? word == -1 : word >= 0 && word < 3);
        FUZZ_HOLDS(number >= 0 && number <= (int64_t)1 << 53);
        FUZZ_HOLDS(isfinite(real));
        FUZZ_HOLDS(truth == 0 || truth == 1);
        *json = !as_text.bad ? as_text : !as_number.bad ? as_number : as_bool;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1);
    if (!text) return 0;
    if (size) memcpy(text, data, size);
    rc_json json = {text, text + size, 0};
    walk(&json, 0);
    FUZZ_HOLDS(json.at >= text && json.at <= text + size);
    free(text);
    return 0;
}
