/* SPDX-License-Identifier: MIT
 * See json.h. */
#include "json.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void skip_space(rc_json *json)
{
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t'))
        json->at++;
}

int rc_json_accept(rc_json *json, char c)
{
    if (json->bad) return 0;
    skip_space(json);
    if (json->at == json->end || *json->at != c) return 0;
    json->at++;
    return 1;
}

void rc_json_expect(rc_json *json, char c)
{
    if (!rc_json_accept(json, c)) json->bad = 1;
}

int rc_json_more(rc_json *json, int64_t index, char close)
{
    if (rc_json_accept(json, close)) return 0;
    if (index > 0) rc_json_expect(json, ',');
    return !json->bad;
}

/* The four hexadecimal digits of an escape. */
static int escaped_code(rc_json *json)
{
    int code = 0;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdefABCDEF";
        const char *found = json->at < json->end && *json->at ? strchr(digits, *json->at) : NULL;
        if (!found) return json->bad = 1;
        const int digit = (int)(found - digits);
        code = 16 * code + (digit < 16 ? digit : digit - 6);
        json->at++;
    }
    return code;
}

/* The next character of a string; a quotation mark that ends it gives -1. */
static int string_char(rc_json *json)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const int c = json->at < json->end ? (unsigned char)*json->at++ : 0;
    if (c == '"') return -1;
    if (c < 0x20) json->bad = 1; /* or the end */
    if (c != '\\') return c;
    const char escape = json->at < json->end ? *json->at++ : 0;
    if (escape == 'u') return escaped_code(json);
    const char *found = escape ? strchr(names, escape) : NULL;
    if (!found) json->bad = 1;
    return found ? values[found - names] : 0;
}

int64_t rc_json_string(rc_json *json, char *out, int64_t size)
{
    int64_t length = 0;
    rc_json_expect(json, '"');
    for (int c = 0; !json->bad && (c = string_char(json)) >= 0; length++) {
        if (out && length + 1 >= size) json->bad = 1;
        else if (out) out[length] = (char)(c > 0 && c < 0x80 ? c : '?');
    }
    if (out && size > 0) out[json->bad ? 0 : length] = 0;
    return length;
}

int rc_json_word(rc_json *json, const char *const *words)
{
    char word[32];
    rc_json_string(json, word, sizeof word);
    for (int i = 0; !json->bad && words[i]; i++)
        if (!strcmp(word, words[i])) return i;
    json->bad = 1;
    return -1;
}

static int digits(rc_json *json)
{
    int count = 0;
    for (; json->at < json->end && *json->at >= '0' && *json->at <= '9'; count++) json->at++;
    return count;
}

static int skip_one(rc_json *json, const char *of)
{
    if (json->at == json->end || !*json->at || !strchr(of, *json->at)) return 0;
    json->at++;
    return 1;
}

double rc_json_number(rc_json *json)
{
    char text[64];
    if (json->bad) return 0;
    skip_space(json);
    const char *start = json->at;
    skip_one(json, "-");
    const int leading_zero = json->at < json->end && *json->at == '0', whole = digits(json);
    if (!whole || (leading_zero && whole > 1)) json->bad = 1;
    if (skip_one(json, ".") && !digits(json)) json->bad = 1;
    if (skip_one(json, "eE")) {
        skip_one(json, "+-");
        if (!digits(json)) json->bad = 1;
    }
    const size_t length = (size_t)(json->at - start);
    if (length >= sizeof text) json->bad = 1;
    if (json->bad) return 0;
    memcpy(text, start, length);
    text[length] = 0;
    char *point = strchr(text, '.');
    if (point) *point = *localeconv()->decimal_point; /* what strtod looks for */
    const double value = strtod(text, NULL);
    if (!isfinite(value)) json->bad = 1;
    return json->bad ? 0 : value;
}

int64_t rc_json_count(rc_json *json)
{
    int64_t value = 0;
    if (json->bad) return 0;
    skip_space(json);
    const char *start = json->at;
    const int count = digits(json);
    if (count < 1 || count > 16 || (*start == '0' && count > 1)) json->bad = 1;
    if (json->at < json->end && strchr(".eE", *json->at) && *json->at) json->bad = 1;
    for (const char *c = start; !json->bad && c < json->at; c++) value = 10 * value + (*c - '0');
    if (value > (int64_t)1 << 53) json->bad = 1;
    return json->bad ? 0 : value;
}

static int accept_name(rc_json *json, const char *name)
{
    const size_t length = strlen(name);
    if (json->bad) return 0;
    skip_space(json);
    if ((size_t)(json->end - json->at) < length || memcmp(json->at, name, length)) return 0;
    json->at += length;
    return 1;
}

int rc_json_bool(rc_json *json)
{
    if (accept_name(json, "true")) return 1;
    if (!accept_name(json, "false")) json->bad = 1;
    return 0;
}

int rc_json_accept_null(rc_json *json) { return accept_name(json, "null"); }
