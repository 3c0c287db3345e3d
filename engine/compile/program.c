/* The compiled program as data: freeing it, its per-step scalars, and what executors ask of an instruction list.
 * In: a program or one of its kernels. Out: scalar values; index expressions in affine form.
 * A program lives in its own arena, the struct included. */
#include "compile/program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void anl_program_free(anl_program **program)
{
    if (!program || !*program)
        return;
    anl_arena *arena = (*program)->arena;
    *program = NULL;
    anl_arena_free(&arena);
}

int64_t anl_program_partials(const anl_program *program)
{
    /* Sums are split to give work to a whole device, of no fewer terms than SHORT each, and where they have more than LONG (rounding). */
    enum { SHORT = 256, LONG = 1024, TILE = 64 * 64, WANTED = 1024 };
    int64_t group = 0, most = 0;
    for (int i = 0; i < program->kernel_count; i++) {
        const anl_kernel *k = &program->kernels[i];
        if (k->barrier_before)
            group = 0;
        if (k->kind != ANL_KERNEL_CONTRACT)
            continue;
        double terms = 1, results = 1;
        for (int d = 0; d < k->contract.k_count; d++)
            terms *= k->contract.k[d].size;
        for (int d = 0; d < k->contract.window_count; d++)
            terms *= k->contract.role == ANL_CONTRACT_WEIGHT ? k->contract.window[d].out_size : k->contract.window[d].tap_size;
        for (int d = 0; d < k->dim_count; d++)
            results *= k->dims[d];
        double splits = fmax(fmin(ceil(WANTED / ceil(results / TILE)), floor(terms / SHORT)), ceil(terms / LONG));
        if (splits > 1)
            group += (int64_t)fmin(4 * results * splits, ANL_PARTIAL_LIMIT);
        most = group > most ? group : most;
    }
    return most;
}

/* ---- per-step scalars ---- */
void anl_program_scalars(const anl_program *program, int64_t step, double steps_per_epoch, double total_steps, double *out)
{
    int count = program->scalar_instr_count;
    double *values = anl_malloc(sizeof(double) * (size_t)(count > 0 ? count : 1));
    for (int n = 0; n < count; n++) {
        const anl_instr *i = &program->scalar_instrs[n];
        switch (i->op) {
        case ANL_X_CONST:
            values[n] = i->value;
            break;
        case ANL_X_STEP:
            values[n] = (double)step;
            break;
        case ANL_X_STEPS_PER_EPOCH:
            values[n] = steps_per_epoch;
            break;
        case ANL_X_TOTAL_STEPS:
            values[n] = total_steps;
            break;
        default:
            values[n] = anl_scalar_evaluate((anl_scalar)i->op, (anl_dtype)i->dtype, (anl_dtype)program->scalar_instrs[i->a].dtype, values[i->a],
                                            i->b >= 0 ? values[i->b] : 0, i->c >= 0 ? values[i->c] : 0);
        }
    }
    for (int s = 0; s < program->scalar_count; s++)
        out[s] = values[program->scalars[s]];
    free(values);
}

/* ---- affine forms ---- */
typedef struct affine {
    bool known;
    int64_t base, coefficient[ANL_MAX_DIMS];
} affine;

static bool is_constant(const affine *f, int dims)
{
    for (int d = 0; d < dims; d++)
        if (f->coefficient[d] != 0)
            return false;
    return f->known;
}

/* Smallest and largest value over the kernel's domain. */
static void range_of(const anl_kernel *kernel, const affine *f, int64_t *low, int64_t *high)
{
    *low = *high = f->base;
    for (int d = 0; d < kernel->dim_count; d++) {
        int64_t span = f->coefficient[d] * (kernel->dims[d] - 1);
        *(span < 0 ? low : high) += span;
    }
}

/* floor(f / by) and f mod by, for by > 0: the part of f whose coefficients are multiples of `by` divides exactly; what remains
 * must stay within one period for the quotient to be affine. */
static void divide_affine(const anl_kernel *kernel, const affine *f, int64_t by, affine *quotient, affine *remainder)
{
    affine whole_part = {.known = true}, rest = {.known = true};
    for (int d = 0; d < kernel->dim_count; d++) {
        if (f->coefficient[d] % by == 0)
            whole_part.coefficient[d] = f->coefficient[d] / by;
        else
            rest.coefficient[d] = f->coefficient[d];
    }
    int64_t base = f->base % by;
    if (base < 0)
        base += by;
    whole_part.base = (f->base - base) / by;
    rest.base = base;
    int64_t low, high;
    range_of(kernel, &rest, &low, &high);
    int64_t period = low >= 0 ? low / by : -((-low + by - 1) / by);
    if (high >= (period + 1) * by)
        return;
    whole_part.base += period;
    rest.base -= period * by;
    if (quotient)
        *quotient = whole_part;
    if (remainder)
        *remainder = rest;
}

static void add_affine(affine *r, const affine *a, const affine *b, int64_t sign, int dims)
{
    r->known = true;
    r->base = a->base + sign * b->base;
    for (int d = 0; d < dims; d++)
        r->coefficient[d] = a->coefficient[d] + sign * b->coefficient[d];
}

static void affine_of(const anl_kernel *kernel, int n, affine *forms)
{
    const anl_instr *i = &kernel->instrs[n];
    affine *r = &forms[n];
    memset(r, 0, sizeof *r);
    if (i->dtype != ANL_I32)
        return;
    int dims = kernel->dim_count;
    const affine *a = i->a >= 0 ? &forms[i->a] : NULL, *b = i->b >= 0 ? &forms[i->b] : NULL;
    switch (i->op) {
    case ANL_X_CONST:
        r->known = true;
        r->base = (int64_t)i->value;
        return;
    case ANL_X_DIM:
        r->known = true;
        if (kernel->dims[i->slot] > 1)
            r->coefficient[i->slot] = 1;
        return;
    case ANL_S_CAST:
        if (a->known)
            *r = *a;
        return;
    case ANL_S_NEGATE:
        if (a->known)
            add_affine(r, &(affine){.known = true}, a, -1, dims);
        return;
    case ANL_S_ADD:
    case ANL_S_SUB:
        if (a->known && b->known)
            add_affine(r, a, b, i->op == ANL_S_ADD ? 1 : -1, dims);
        return;
    case ANL_S_MUL: {
        if (!a->known || !b->known)
            return;
        const affine *f = is_constant(b, dims) ? a : b, *by = f == a ? b : a;
        if (!is_constant(by, dims))
            return;
        r->known = true;
        r->base = f->base * by->base;
        for (int d = 0; d < dims; d++)
            r->coefficient[d] = f->coefficient[d] * by->base;
        return;
    }
    case ANL_S_DIV: {
        int64_t low, high;
        if (!a->known || !b->known || !is_constant(b, dims) || b->base <= 0)
            return;
        range_of(kernel, a, &low, &high);
        if (low >= 0)
            divide_affine(kernel, a, b->base, r, NULL);
        return;
    }
    case ANL_S_FLOORDIV:
        if (a->known && b->known && is_constant(b, dims) && b->base > 0)
            divide_affine(kernel, a, b->base, r, NULL);
        return;
    case ANL_S_MOD:
        if (a->known && b->known && is_constant(b, dims) && b->base > 0)
            divide_affine(kernel, a, b->base, NULL, r);
        return;
    case ANL_S_MINIMUM:
    case ANL_S_MAXIMUM: {
        if (!a->known || !b->known)
            return;
        affine difference = {0};
        int64_t low, high;
        add_affine(&difference, a, b, -1, dims);
        range_of(kernel, &difference, &low, &high);
        if (high <= 0)
            *r = i->op == ANL_S_MINIMUM ? *a : *b;
        else if (low >= 0)
            *r = i->op == ANL_S_MINIMUM ? *b : *a;
        return;
    }
    default:
        return;
    }
}

void anl_kernel_affine_all(const anl_kernel *kernel, int count, bool *known, int64_t (*coefficient)[ANL_MAX_DIMS], int64_t *base)
{
    affine *forms = anl_malloc(sizeof(affine) * (size_t)(count > 0 ? count : 1));
    for (int n = 0; n < count; n++) {
        affine_of(kernel, n, forms);
        known[n] = forms[n].known;
        memcpy(coefficient[n], forms[n].coefficient, sizeof coefficient[n]);
        base[n] = forms[n].base;
    }
    free(forms);
}

bool anl_kernel_affine(const anl_kernel *kernel, int32_t instr, int64_t coefficient[ANL_MAX_DIMS], int64_t *base)
{
    if (instr < 0 || instr >= kernel->instr_count)
        return false;
    affine *forms = anl_malloc(sizeof(affine) * (size_t)(instr + 1));
    for (int n = 0; n <= instr; n++)
        affine_of(kernel, n, forms);
    bool known = forms[instr].known;
    if (known) {
        memset(coefficient, 0, sizeof(int64_t) * ANL_MAX_DIMS);
        memcpy(coefficient, forms[instr].coefficient, sizeof(int64_t) * (size_t)kernel->dim_count);
        *base = forms[instr].base;
    }
    free(forms);
    return known;
}

bool anl_kernel_plain_store(const anl_kernel *kernel, int64_t coefficient[ANL_MAX_DIMS], int64_t *base)
{
    if (kernel->store_count != 1)
        return false;
    const anl_store *store = &kernel->stores[0];
    const anl_instr *value = &kernel->instrs[store->value];
    return value->op == ANL_X_ACC && value->slot == 0 && value->a <= 0 &&
           anl_kernel_affine(kernel, store->index, coefficient, base);
}
