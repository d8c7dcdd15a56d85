/* SPDX-License-Identifier: MIT
 *
 * What XLA's foreign functions are handed, in our own words: the C structs of versions 0.0 (jaxlib 0.4.31) to 0.3, as far as the
 * handlers read them. Later versions append fields and types; nothing of XLA is included or linked. Every struct
 * starts with its size and a list of extensions, which version 0.0 leaves NULL. */
#ifndef RNNCORE_XLA_H
#define RNNCORE_XLA_H

#include <stddef.h>
#include <stdint.h>

#include "rnncore.h"

enum { XLA_MAJOR = 0, XLA_MINOR = 3 }; /* the newest version that these declarations were compared with */

/* The one extension that there is: a call that has it asks what the handler is, and runs nothing. */
enum { XLA_EXTENSION_METADATA = 1 };

typedef struct xla_extension {
    size_t struct_size;
    int kind;
    struct xla_extension *next;
} xla_extension;

typedef struct xla_version {
    size_t struct_size;
    xla_extension *extensions;
    int major, minor;
} xla_version;

typedef struct xla_metadata {
    size_t struct_size;
    xla_version version; /* written by the handler: what it was made for */
    uint32_t traits;
} xla_metadata;

typedef struct xla_metadata_extension {
    xla_extension base;
    xla_metadata *metadata;
} xla_metadata_extension;

/* Errors are made by the runtime and belong to it. */
enum { XLA_INVALID_ARGUMENT = 3, XLA_RESOURCE_EXHAUSTED = 8, XLA_INTERNAL = 13 };

typedef struct xla_error xla_error;

typedef struct xla_error_args {
    size_t struct_size;
    xla_extension *extensions;
    const char *message; /* copied */
    int code;
} xla_error_args;

/* The runtime's functions; those behind the first are not called. */
typedef struct xla_api {
    size_t struct_size;
    xla_extension *extensions;
    xla_version version;
    const void *own;
    xla_error *(*create_error)(xla_error_args *args);
} xla_api;

enum { XLA_S32 = 4, XLA_S64 = 5 };

/* Dense, row-major. */
typedef struct xla_buffer {
    size_t struct_size;
    xla_extension *extensions;
    int dtype;
    void *data;
    int64_t rank;
    const int64_t *dims;
} xla_buffer;

/* Operands or results: all of them are buffers. */
typedef struct xla_buffers {
    size_t struct_size;
    xla_extension *extensions;
    int64_t count;
    const int *kinds;
    xla_buffer **items;
} xla_buffers;

typedef struct xla_text { /* no zero at its end */
    const char *data;
    size_t size;
} xla_text;

typedef struct xla_scalar {
    int dtype;
    const void *value;
} xla_scalar;

enum { XLA_ATTRIBUTE_SCALAR = 3, XLA_ATTRIBUTE_TEXT = 4 };

typedef struct xla_attributes {
    size_t struct_size;
    xla_extension *extensions;
    int64_t count;
    const int *kinds;
    xla_text **names;
    void **items; /* xla_scalar or xla_text */
} xla_attributes;

typedef struct xla_call {
    size_t struct_size;
    xla_extension *extensions;
    const xla_api *api;
    void *context;
    int stage;
    xla_buffers operands, results;
    xla_attributes attributes;
} xla_call;

/* Bytes that an array of packed weights or a tape has beyond those of the core. */
enum { RNNCORE_XLA_ALIGN = 64 };

/* The handlers; NULL: all went well. See xla.c for operands, results and attributes. */
xla_error *rnncore_xla_forward(xla_call *call);
xla_error *rnncore_xla_backward(xla_call *call);

/* The team of all calls that come, which must live as long as the process. */
void rnncore_xla_set_team(rnncore_team *team);

#endif
