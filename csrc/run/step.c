/* SPDX-License-Identifier: MIT
 *
 * One step forward: products whose finished tiles the cell's gate math turns into the new state, and what the plan has put
 * around them. What differs between cells is in their tables; see cells/cell.h. */
#include "step.h"

#include <string.h>

#include "../base/blas.h"
#include "../base/compiler.h"
#include "../base/tuning.h"

/* Where a step leaves what it makes: in the record, or in the workspace. */
typedef struct places {
    char *h, *c, *raw_c, *mid;
    const void **in_mid;
} places;

/* -- The input --------------------------------------------------------------------------------------------------------- */

static void input_by_blas(const rnncore_plan *plan, const rc_packed *term, int64_t tokens, const void *x, char *gates,
                          int64_t ldg)
{
    const rc_mat *mat = &term->forward;
    rc_gemm_run(&plan->config, &(rc_gemm){.transpose_b = 1,
                                          .m = tokens,
                                          .n = mat->planes * mat->units,
                                          .k = mat->k,
                                          .a = x,
                                          .lda = mat->k,
                                          .b = term->rows,
                                          .ldb = mat->k,
                                          .c = gates,
                                          .ldc = ldg,
                                          .beta = 1});
}

void rc_input_product(const rnncore_plan *plan, const rc_weights *weights, rnncore_backend backend, int64_t tokens,
                      const void *const *in, char *gates, int64_t ldg, const rc_slice *slice)
{
    const rc_mat *mat = &weights->term[RC_TERM_X].forward;
    rc_product p = {
        .mat = mat,
        .rows = tokens,
        .block_begin = rc_slice_begin(slice, plan->blocks),
        .block_end = rc_slice_end(slice, plan->blocks),
        .large = rc_mat_bytes(mat, mat->k + plan->out, plan->elem) > plan->l2_bytes / RC_STAYING_WEIGHTS,
        .in = in,
        .init = weights->start,
        .out = gates,
        .least = rc_term_least(plan, RC_TERM_X),
        .out_row = ldg,
        .plane = plan->ld,
    };
    const rc_mat nothing = {.w = mat->w, .planes = mat->planes}; /* without rows */
    if (backend == RNNCORE_BLAS) p.mat = &nothing;
    plan->kernels->product[p.mat->store](&p);
    if (plan->fill) { /* planes without W_ih x start from their bias alone */
        const int64_t first = mat->planes * plan->ld * plan->elem;
        const rc_mat rest = {.w = mat->w, .planes = plan->fill};
        p.mat = &rest;
        p.init = weights->start + first;
        p.out = gates + first;
        plan->kernels->product[rest.store](&p);
    }
    if (backend == RNNCORE_BLAS) input_by_blas(plan, &weights->term[RC_TERM_X], tokens, in[0], gates, ldg);
}

/* -- Products ---------------------------------------------------------------------------------------------------------- */

/* out[rows] (+)= in . W: packed chains that end in the tail, or one BLAS product and the tail over everything. */
static void multiply(const rc_step *s, const rc_product *p, const char *w_rows, int64_t in_row)
{
    if (s->backend == RNNCORE_FUSED) {
        s->plan->kernels->product[p->mat->store](p);
        return;
    }
    if (p->init != p->out) { /* BLAS adds to what is there */
        const rc_mat nothing = {.w = p->mat->w, .planes = p->mat->planes};
        rc_product start = *p;
        start.mat = &nothing;
        start.tail = NULL;
        s->plan->kernels->product[nothing.store](&start);
    }
    rc_gemm_run(&s->plan->config, &(rc_gemm){.transpose_b = 1,
                                             .m = p->rows,
                                             .n = p->mat->planes * p->mat->units,
                                             .k = p->mat->k,
                                             .a = p->in[0],
                                             .lda = in_row,
                                             .b = w_rows,
                                             .ldb = p->mat->k,
                                             .c = p->out,
                                             .ldc = p->out_row,
                                             .beta = 1});
    if (p->tail) p->tail(p->tail_args, 0, p->rows, 0, p->block_end);
}

/* Continues the chains of a term's planes, or begins them where x has none. */
static void add_term(const rc_step *s, const rc_op *op, const places *at, const rc_cell_args *args,
                     const rc_slice *slice)
{
    const rnncore_plan *plan = s->plan;
    const rc_packed *packed = &s->weights->term[op->index];
    const rc_mat *mat = &packed->forward;
    const rc_term *term = &plan->term[op->index];
    const int reads_h = term->operand == RC_OPERAND_H, fresh = term->first >= plan->term[RC_TERM_X].planes;
    const int64_t first = term->first * plan->ld * plan->elem;
    const rc_product p = {
        .mat = mat,
        .rows = s->rows,
        .block_begin = rc_slice_begin(slice, plan->blocks),
        .block_end = rc_slice_end(slice, plan->blocks),
        .least = rc_term_least(plan, op->index),
        .reverse = s->reverse,
        .large = rc_mat_bytes(mat, mat->k, plan->elem) > plan->l2_bytes * slice->count,
        .in = reads_h ? s->ws->in_h[s->current] : at->in_mid,
        .init = fresh ? s->weights->start + first : s->to.gates + first,
        .out = s->to.gates + first,
        .init_row = fresh ? 0 : s->ldg,
        .out_row = s->ldg,
        .plane = plan->ld,
        .tail = op->math,
        .tail_args = args,
    };
    multiply(s, &p, packed->rows, reads_h ? plan->out_ld : plan->ld);
}

/* h = mid . W_hr^T */
static void project(const rc_step *s, const rc_op *op, const places *at, const rc_slice *slice)
{
    const rnncore_plan *plan = s->plan;
    const rc_packed *packed = &s->weights->term[op->index];
    const int64_t lanes = plan->kernels->lanes;
    const rc_product p = {
        .mat = &packed->forward,
        .rows = s->rows,
        .block_begin = rc_slice_begin(slice, plan->out_blocks),
        .block_end = rc_slice_end(slice, plan->out_blocks),
        .least = rc_term_least(plan, op->index),
        .in = at->in_mid,
        .init = at->h,
        .out = at->h,
        .init_row = plan->out_ld,
        .out_row = plan->out_ld,
    };
    const int64_t begin = p.block_begin * lanes, units = (p.block_end - p.block_begin) * lanes;
    for (int64_t r = 0; r < s->rows; r++)
        memset(at->h + (r * plan->out_ld + begin) * plan->elem, 0, (size_t)(units * plan->elem));
    multiply(s, &p, packed->rows, plan->ld);
}

/* Before a step that threads share: asks for all lines of the state, half of which come from other cores, the first ones
 * needed first; and for this slice's lines of the next state, which other cores have read, so that they are here when the
 * new values are stored. */
static void ask_for_states(const rc_step *s, const rc_slice *slice)
{
    const rnncore_plan *plan = s->plan;
    const int64_t row = plan->out_ld * plan->elem, bytes = s->rows * row;
    const int64_t begin = rc_slice_begin(slice, plan->out_ld) * plan->elem,
                  end = rc_slice_end(slice, plan->out_ld) * plan->elem;
    const char *h = s->ws->h[s->current], *next = s->ws->h[1 - s->current];
    if (bytes > RC_ASK_BYTES) return;
    for (int64_t i = 0; i < bytes; i += RC_ALIGN) rc_ask_to_read(h + i);
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t i = begin; i < end; i += RC_ALIGN) rc_ask_to_write(next + r * row + i);
}

/* -- What the plan puts around the cell -------------------------------------------------------------------------------- */

/* This slice's units of a part of the state through zoneout, before the others read them. */
static void zone(const rc_step *s, const rc_op *op, const places *at, const rc_slice *slice)
{
    const rnncore_plan *plan = s->plan;
    const int of_h = op->index == RC_ZONE_H;
    const int64_t lanes = plan->kernels->lanes, blocks = of_h ? plan->out_blocks : plan->blocks;
    rc_zone_step(plan, s->zoneout, op->index, s->step, s->rows, rc_slice_begin(slice, blocks) * lanes,
                 rc_slice_end(slice, blocks) * lanes, of_h ? at->h : at->c, of_h ? s->ws->h[s->current] : s->c_prev,
                 of_h ? at->h : at->raw_c);
}

/* This slice's units of what the next product reads, of the new h or of mid, before the others read them. */
static void drop(const rc_step *s, const rc_op *op, const places *at, const rc_slice *slice)
{
    if (!s->ws->mask) return;
    const int64_t lanes = s->plan->kernels->lanes, blocks = s->plan->out_blocks;
    const int of_h = op->index == RC_DROP_H;
    rc_drop_units(s->plan, s->ws, of_h ? s->ws->dropped[1 - s->current] : at->mid, of_h ? at->h : at->mid, s->rows,
                  rc_slice_begin(slice, blocks) * lanes, rc_slice_end(slice, blocks) * lanes);
}

/* The cell's math on this slice's units of all rows. */
static void run_math(const rc_step *s, const rc_op *op, const rc_cell_args *args, const rc_slice *slice)
{
    const int64_t begin = rc_slice_begin(slice, s->plan->blocks);
    op->math(args, 0, s->rows, begin, rc_slice_end(slice, s->plan->blocks) - begin);
}

/* -- The step ---------------------------------------------------------------------------------------------------------- */

static places find_places(const rc_step *s, const rc_slice *slice)
{
    const rc_workspace *ws = s->ws;
    places at = {
        .h = ws->h[1 - s->current],
        .c = s->to.c ? s->to.c : ws->c,
        .mid = s->to.mid ? s->to.mid : ws->mid,
        .in_mid = ws->in_mid + slice->index * s->rows,
    };
    at.raw_c = !ws->raw_c ? at.c : s->to.raw_c ? s->to.raw_c : ws->raw_c; /* what the cell writes */
    return at;
}

int rc_forward_step(const rc_step *s, rc_slice *slice)
{
    const rnncore_plan *plan = s->plan;
    const places at = find_places(s, slice);
    if (slice->count > 1) ask_for_states(s, slice);
    if (plan->has_mid) rc_point_rows(at.in_mid, at.mid, s->rows, plan->ld * plan->elem);
    const rc_cell_args args = {
        .ld = plan->ld * plan->kernels->models,
        .ldg = s->ldg * plan->kernels->models,
        .gates = s->to.gates,
        .h_prev = s->ws->h[s->current],
        .c_prev = s->c_prev,
        .h = plan->config.proj_size ? at.mid : at.h,
        .c = at.raw_c,
        .mid = at.mid,
        .save = s->save,
        .options = s->weights->options,
        .vector = s->weights->vector,
        .numbers = s->ws->numbers ? s->ws->numbers + slice->index * s->rows * RC_NORM_NUMBERS * plan->elem : NULL,
    };
    for (const rc_op *op = plan->forward; op->kind; op++) {
        switch (op->kind) {
        case RC_OP_PRODUCT: add_term(s, op, &at, &args, slice); break;
        case RC_OP_MATH: run_math(s, op, &args, slice); break;
        case RC_OP_NORM: rc_norm_rows(plan, op->index, &args, s->rows); break;
        case RC_OP_PROJECT: project(s, op, &at, slice); break;
        case RC_OP_ZONE: zone(s, op, &at, slice); break;
        case RC_OP_DROP: drop(s, op, &at, slice); break;
        default: break; /* of backward */
        }
        if (op->meet && !rc_slice_sync(slice)) return 0;
    }
    return 1;
}
