/* SPDX-License-Identifier: MIT
 *
 * A reader of JSON from untrusted memory that need not end with a zero. It allocates nothing and does not recurse; what is
 * not there sets `bad`, after which every call does nothing and says no. */
#ifndef RC_JSON_H
#define RC_JSON_H

#include <stdint.h>

typedef struct rc_json {
    const char *at, *end;
    int bad;
} rc_json;

/* Whether the next character, after white space, is c; then it is taken. */
int rc_json_accept(rc_json *json, char c);
void rc_json_expect(rc_json *json, char c);

/* Objects and lists: `for (int i = 0; rc_json_more(json, i, '}'); i++)` after the opening bracket; takes commas and the
 * closing bracket. */
int rc_json_more(rc_json *json, int64_t index, char close);

/* A string without its escapes, ended by a zero, at most `size` bytes with it; what is not ASCII becomes '?'. out NULL:
 * skipped. Returns its length. */
int64_t rc_json_string(rc_json *json, char *out, int64_t size);

/* The row of `words`, a table that ends with NULL, that the next string is; -1 and bad if there is none. */
int rc_json_word(rc_json *json, const char *const *words);

int64_t rc_json_count(rc_json *json);   /* an integer from 0 to 2^53 without fraction or exponent */
double rc_json_number(rc_json *json);   /* finite */
int rc_json_bool(rc_json *json);        /* true or false */
int rc_json_accept_null(rc_json *json); /* whether it is null; then it is taken */

#endif
