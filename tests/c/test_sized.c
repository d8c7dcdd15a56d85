/* SPDX-License-Identifier: MIT
 *
 * Structs of callers with an older or newer header: what is taken from them, what they get, and what is refused. */
#include <stddef.h>
#include <string.h>

#include "rnncore.h"

#include "../../csrc/base/sized.h"
#include "check.h"
#include "model.h"

/* A struct ends where its last field does: what an old caller leaves behind it is never read as a field of a later version. */
#define ENDS_WITH(type, field) \
    _Static_assert(sizeof(type) == offsetof(type, field) + sizeof(((type *)0)->field), "there is room behind " #field)
ENDS_WITH(rnncore_config, model_lanes);
ENDS_WITH(rnncore_forward_args, row_keys);
ENDS_WITH(rnncore_backward_args, row_keys);
ENDS_WITH(rnncore_update_args, team);
ENDS_WITH(rnncore_multiply_args, b_next);
ENDS_WITH(rnncore_rows_args, isa);
ENDS_WITH(rnncore_fleet, team);
ENDS_WITH(rnncore_fleet_rates, step);

typedef struct version_1 {
    size_t struct_size;
    int64_t a, b;
} version_1;

typedef struct version_2 {
    size_t struct_size;
    int64_t a, b, c;
} version_2;

static void test_taking(void)
{
    const version_1 old = {sizeof old, 1, 2};
    const version_2 new = {sizeof new, 1, 2, 3}, careful = {sizeof careful, 1, 2, 0};
    version_2 mine = {0, 7, 7, 7};
    check_subject = "taking";
    CHECK_STATUS(RC_TAKE(&mine, (const void *)&old, b), RNNCORE_OK);
    CHECK(mine.struct_size == sizeof mine && mine.a == 1 && mine.b == 2 && mine.c == 0);
    CHECK_STATUS(RC_TAKE(&mine, &new, b), RNNCORE_OK);
    CHECK(mine.c == 3);
    version_1 ours = {0, 7, 7};
    CHECK_STATUS(RC_TAKE(&ours, (const void *)&new, b), RNNCORE_ERROR_UNSUPPORTED);
    CHECK(ours.a == 7);
    CHECK_STATUS(RC_TAKE(&ours, (const void *)&careful, b), RNNCORE_OK);
    CHECK(ours.struct_size == sizeof ours && ours.a == 1 && ours.b == 2);
    for (int i = 0; i < 3; i++) {
        const version_1 wrong = {(size_t[]){0, sizeof wrong - 1, 4097}[i], 1, 2};
        CHECK_STATUS(RC_TAKE(&ours, &wrong, b), RNNCORE_ERROR_ARGUMENT);
    }
    CHECK_STATUS(RC_TAKE(&ours, (const version_1 *)NULL, b), RNNCORE_ERROR_ARGUMENT);
}

static void test_giving(void)
{
    const version_2 new = {sizeof new, 1, 2, 3}, careful = {sizeof careful, 1, 2, 0};
    version_1 old = {sizeof old, 7, 7};
    check_subject = "giving";
    CHECK_STATUS(RC_GIVE((void *)&old, &new, b), RNNCORE_ERROR_UNSUPPORTED);
    CHECK(old.a == 7);
    CHECK_STATUS(RC_GIVE((void *)&old, &careful, b), RNNCORE_OK);
    CHECK(old.struct_size == sizeof old && old.a == 1 && old.b == 2);
    const version_1 ours = {sizeof ours, 4, 5};
    version_2 theirs = {sizeof theirs, 7, 7, 7};
    CHECK_STATUS(RC_GIVE((void *)&theirs, &ours, b), RNNCORE_OK);
    CHECK(theirs.struct_size == sizeof theirs && theirs.a == 4 && theirs.b == 5 && theirs.c == 0);
    theirs.struct_size = 0;
    CHECK_STATUS(RC_GIVE((void *)&theirs, &ours, b), RNNCORE_ERROR_ARGUMENT);
}

/* Every function that takes or gives such a struct looks at its size. */
static void test_doors(void)
{
    model m;
    double norm = 0;
    model_init(&m, RNNCORE_GRU, RNNCORE_FLOAT32, NULL, 2, 1, 3, 4, 0, 1, 0);
    rnncore_config config = m.config;
    rnncore_plan *plan = NULL;
    rnncore_param param = {.struct_size = 0};
    rnncore_forward_args forward = model_forward_args(&m);
    rnncore_backward_args backward = model_backward_args(&m);
    rnncore_update_args update = {.method = RNNCORE_SGD, .step = 1, .grad_scale = 1, .threads = 1};
    config.struct_size = forward.struct_size = backward.struct_size = 8;
    check_subject = "doors";
    model_reset(&m);
    CHECK_STATUS(rnncore_plan_create(&config, &plan), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_param_get(m.plan, 0, 0, &param), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_param_get(m.plan, 0, 0, NULL), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &forward), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_forward_naive(m.plan, m.params, &forward), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_backward(m.plan, m.weights, &backward), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_update(&update, &norm), RNNCORE_ERROR_ARGUMENT);
    CHECK(model_untouched(&m));
    forward.struct_size = offsetof(rnncore_forward_args, cancel); /* the first version's */
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &forward), RNNCORE_OK);
    update.struct_size = sizeof update;
    CHECK_STATUS(rnncore_update(&update, &norm), RNNCORE_OK);
    model_free(&m);
}

int main(void)
{
    test_taking();
    test_giving();
    test_doors();
    return check_result("test_sized");
}
