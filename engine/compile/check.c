/* The second checker: judges a program by itself.
 * In: a program. Out: ANL_OK, or a diagnostic for each fault. It shares no code with the planner: lifetimes, hazards and bounds
 * are found again from what the kernels read and write. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "compile/program.h"

typedef struct checker {
    const anl_program *p;
    anl_diagnostics *diagnostics;
    int faults;
} checker;

static void fault(checker *c, int kernel, const char *format, ...) ANL_PRINTF(3, 4);
static void fault(checker *c, int kernel, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (c->faults++ >= 20)
        return;
    if (kernel >= 0)
        anl_diagnose(c->diagnostics, ANL_A_program_invalid, (anl_span){0}, "kernel %d (%s): %s", kernel,
                     c->p->kernels[kernel].name ? c->p->kernels[kernel].name : "", text);
    else
        anl_diagnose(c->diagnostics, ANL_A_program_invalid, (anl_span){0}, "program: %s", text);
}

static int64_t element_bytes(const checker *c, int dtype) { return c->p->f64 && dtype == ANL_F32 ? 8 : 4; }

/* ---- buffers ---- */
static void check_buffers(checker *c)
{
    const anl_program *p = c->p;
    for (int b = 0; b < p->buffer_count; b++) {
        const anl_buffer *x = &p->buffers[b];
        const char *name = x->name ? x->name : "";
        if ((int)x->space < 0 || x->space > ANL_SPACE_OUTPUT || (int)x->dtype < 0 || x->dtype > ANL_BOOL) {
            fault(c, -1, "buffer %d (%s) has no such space or dtype", b, name);
            continue;
        }
        if (x->count <= 0 || x->bytes != x->count * element_bytes(c, x->dtype))
            fault(c, -1, "buffer %d (%s): %" PRId64 " elements do not take %" PRId64 " bytes", b, name, x->count, x->bytes);
        if (x->offset < 0 || x->offset + x->bytes > p->space_bytes[x->space])
            fault(c, -1, "buffer %d (%s) reaches beyond its space: %" PRId64 " + %" PRId64 " > %" PRId64, b, name, x->offset,
                  x->bytes, p->space_bytes[x->space]);
        if (x->offset % ANL_ALIGNMENT != 0)
            fault(c, -1, "buffer %d (%s) starts at byte %" PRId64 ", which is no multiple of %d", b, name, x->offset,
                  ANL_ALIGNMENT);
        if ((x->space == ANL_SPACE_TABLE) != (x->table != NULL))
            fault(c, -1, "buffer %d (%s): a table has contents and nothing else has", b, name);
    }
}

static void check_port(checker *c, const anl_port *port, const char *what, anl_space space)
{
    if (port->buffer < 0) {
        if (port->scalar < 0 || port->scalar >= c->p->scalar_count)
            fault(c, -1, "%s %s has neither a buffer nor a scalar", what, port->name);
        return;
    }
    if (port->buffer >= c->p->buffer_count || c->p->buffers[port->buffer].space != space) {
        fault(c, -1, "%s %s is bound to a buffer of another space", what, port->name);
        return;
    }
    int64_t low = port->base, high = port->base;
    for (int i = 0; i < port->rank; i++)
        *(port->stride[i] < 0 ? &low : &high) += port->stride[i] * (port->size[i] - 1);
    if (low < 0 || high >= c->p->buffers[port->buffer].count)
        fault(c, -1, "%s %s reaches outside its buffer", what, port->name);
}

/* ---- instructions ---- */
/* arity, and types as in graph/scalar.h */
static const struct {
    int arity;
    char types;
} scalar_rules[] = {
#define X(name, text, arity, types, cost) {arity, types},
    ANL_SCALARS(X)
#undef X
};

static bool type_fits(const anl_instr *i, const anl_instr *a, const anl_instr *b, const anl_instr *c)
{
    switch (scalar_rules[i->op].types) {
    case 'f':
        return i->dtype == ANL_F32 && a->dtype == ANL_F32 && (!b || b->dtype == ANL_F32);
    case 'n':
        return i->dtype != ANL_BOOL && a->dtype == i->dtype && (!b || b->dtype == i->dtype);
    case 'c':
        return i->dtype == ANL_BOOL && a->dtype == b->dtype;
    case 'b':
        return i->dtype == ANL_BOOL && a->dtype == ANL_BOOL && (!b || b->dtype == ANL_BOOL);
    case 'w':
        return a->dtype == ANL_BOOL && b->dtype == i->dtype && c->dtype == i->dtype;
    default:
        return true;
    }
}

static bool check_instr(checker *c, int kernel, const anl_kernel *k, int n)
{
    const anl_instr *i = &k->instrs[n];
    bool tail = n >= k->body_count;
    int first = tail ? k->body_count : 0;
    int dims = tail && k->kind != ANL_KERNEL_MAP ? k->kept_count : k->dim_count;
#define OPERAND(x, type) ((x) >= first && (x) < n && k->instrs[x].dtype == (type))
    bool ok = i->dtype <= ANL_BOOL;
    if (i->op < ANL_SCALAR_COUNT) {
        const int32_t operand[3] = {i->a, i->b, i->c};
        for (int o = 0; o < scalar_rules[i->op].arity && ok; o++)
            ok = operand[o] >= first && operand[o] < n;
        ok = ok && type_fits(i, &k->instrs[i->a], scalar_rules[i->op].arity > 1 ? &k->instrs[i->b] : NULL,
                             scalar_rules[i->op].arity > 2 ? &k->instrs[i->c] : NULL);
    } else if (i->op == ANL_X_CONST) {
        ok = ok &&
             (i->dtype != ANL_I32 || (i->value >= INT32_MIN && i->value <= INT32_MAX && i->value == (double)(int32_t)i->value));
    } else if (i->op == ANL_X_DIM) {
        ok = ok && i->dtype == ANL_I32 && i->slot >= 0 && i->slot < dims;
    } else if (i->op == ANL_X_LOAD) {
        ok = ok && OPERAND(i->a, ANL_I32) && (i->b < 0 || OPERAND(i->b, ANL_BOOL)) && i->slot >= 0 && i->slot < k->arg_count &&
             k->args[i->slot].read && k->args[i->slot].buffer >= 0 && k->args[i->slot].buffer < c->p->buffer_count &&
             c->p->buffers[k->args[i->slot].buffer].dtype == i->dtype;
    } else if (i->op == ANL_X_SCALAR) {
        ok = ok && i->dtype == ANL_F32 && i->slot >= 0 && i->slot < c->p->scalar_count;
    } else if (i->op == ANL_X_ACC) {
        if (k->kind == ANL_KERNEL_CONTRACT) {
            ok = ok && tail && i->slot == 0;
        } else {
            ok = ok && k->kind == ANL_KERNEL_REDUCE && tail && i->slot >= 0 && i->slot < k->accumulator_count &&
                 i->dtype == k->accumulators[i->slot].dtype &&
                 (i->a <= 0 || (i->a == 1 && k->accumulators[i->slot].combine == ANL_MOMENTS));
        }
    } else if (i->op == ANL_X_UNIFORM || i->op == ANL_X_NORMAL) {
        ok = ok && i->dtype == ANL_F32 && OPERAND(i->a, ANL_I32) && (i->b < 0 || OPERAND(i->b, ANL_I32));
    } else {
        ok = false;
    }
#undef OPERAND
    if (!ok)
        fault(c, kernel, "instruction %d (op %d) is malformed", n, i->op);
    return ok;
}

/* ---- values of index instructions: bounds by intervals, and points ---- */
typedef struct interval {
    int64_t low, high;
} interval;

static int64_t floor_quotient(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

static interval table_range(const anl_buffer *b)
{
    interval r = {INT32_MIN, INT32_MAX};
    if (b->space != ANL_SPACE_TABLE || b->dtype != ANL_I32 || b->count <= 0)
        return r;
    const int32_t *t = b->table;
    r.low = r.high = t[0];
    for (int64_t i = 1; i < b->count; i++) {
        r.low = t[i] < r.low ? t[i] : r.low;
        r.high = t[i] > r.high ? t[i] : r.high;
    }
    return r;
}

static void intervals_of(const checker *c, const anl_kernel *k, interval *out)
{
    const interval any = {INT32_MIN, INT32_MAX};
    for (int n = 0; n < k->instr_count; n++) {
        const anl_instr *i = &k->instrs[n];
        out[n] = any;
        if (i->dtype != ANL_I32)
            continue;
        interval a = i->op < ANL_SCALAR_COUNT && i->a >= 0 ? out[i->a] : any,
                 b = i->op < ANL_SCALAR_COUNT && i->b >= 0 ? out[i->b] : any;
        interval *r = &out[n];
        switch (i->op) {
        case ANL_X_CONST:
            *r = (interval){(int64_t)i->value, (int64_t)i->value};
            break;
        case ANL_X_DIM:
            *r = (interval){0, k->dims[i->slot] - 1};
            break;
        case ANL_X_LOAD:
            *r = table_range(&c->p->buffers[k->args[i->slot].buffer]);
            break;
        case ANL_S_ADD:
            *r = (interval){a.low + b.low, a.high + b.high};
            break;
        case ANL_S_SUB:
            *r = (interval){a.low - b.high, a.high - b.low};
            break;
        case ANL_S_NEGATE:
            *r = (interval){-a.high, -a.low};
            break;
        case ANL_S_MUL: {
            int64_t v[4] = {a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high};
            *r = (interval){v[0], v[0]};
            for (int x = 1; x < 4; x++) {
                r->low = v[x] < r->low ? v[x] : r->low;
                r->high = v[x] > r->high ? v[x] : r->high;
            }
            break;
        }
        case ANL_S_DIV:
        case ANL_S_FLOORDIV:
            if (b.low == b.high && b.low > 0)
                *r = (interval){floor_quotient(a.low, b.low), floor_quotient(a.high, b.low)};
            break;
        case ANL_S_MOD:
            if (b.low == b.high && b.low > 0)
                *r = (interval){0, b.low - 1};
            break;
        case ANL_S_MINIMUM:
            *r = (interval){a.low < b.low ? a.low : b.low, a.high < b.high ? a.high : b.high};
            break;
        case ANL_S_MAXIMUM:
            *r = (interval){a.low > b.low ? a.low : b.low, a.high > b.high ? a.high : b.high};
            break;
        case ANL_S_SELECT: {
            interval x = out[i->b], y = out[i->c];
            *r = (interval){x.low < y.low ? x.low : y.low, x.high > y.high ? x.high : y.high};
            break;
        }
        default:
            break;
        }
        if (r->low < -(1ll << 40) || r->high > 1ll << 40)
            *r = any;
    }
}

/* Evaluates the index and guard instructions at one point. known[n] is false where a value depends on data. */
static void evaluate(const checker *c, const anl_kernel *k, const int32_t *point, int64_t *value, bool *known)
{
    for (int n = 0; n < k->instr_count; n++) {
        const anl_instr *i = &k->instrs[n];
        known[n] = false;
        value[n] = 0;
        if (i->op == ANL_X_CONST) {
            known[n] = i->dtype != ANL_F32;
            value[n] = known[n] ? (int64_t)i->value : 0;
            continue;
        }
        if (i->op == ANL_X_DIM) {
            known[n] = true;
            value[n] = point[i->slot];
            continue;
        }
        if (i->op == ANL_X_LOAD) {
            const anl_buffer *b = &c->p->buffers[k->args[i->slot].buffer];
            bool read = i->b < 0 || (known[i->b] && value[i->b]);
            if (b->space == ANL_SPACE_TABLE && b->dtype == ANL_I32 && known[i->a] && read && value[i->a] >= 0 &&
                value[i->a] < b->count) {
                known[n] = true;
                value[n] = ((const int32_t *)b->table)[value[i->a]];
            } else if (i->b >= 0 && known[i->b] && !value[i->b]) {
                known[n] = true;
                value[n] = (int64_t)i->value;
            }
            continue;
        }
        if (i->op >= ANL_SCALAR_COUNT)
            continue;
        int arity = scalar_rules[i->op].arity;
        int64_t a = value[i->a], b = arity > 1 ? value[i->b] : 0;
        bool ka = known[i->a], kb = arity < 2 || known[i->b];
        if (i->op == ANL_S_AND && ((ka && !a) || (kb && !b))) {
            known[n] = true;
            continue;
        }
        if (i->op == ANL_S_OR && ((ka && a) || (kb && b))) {
            known[n] = true;
            value[n] = 1;
            continue;
        }
        if (i->op == ANL_S_SELECT) {
            if (ka) {
                int32_t side = a ? i->b : i->c;
                known[n] = known[side];
                value[n] = value[side];
            }
            continue;
        }
        if (!ka || !kb || i->dtype == ANL_F32 || k->instrs[i->a].dtype == ANL_F32)
            continue;
        known[n] = true;
        switch (i->op) {
        case ANL_S_NEGATE:
            value[n] = -a;
            break;
        case ANL_S_ABS:
            value[n] = a < 0 ? -a : a;
            break;
        case ANL_S_NOT:
            value[n] = !a;
            break;
        case ANL_S_CAST:
            value[n] = i->dtype == ANL_BOOL ? a != 0 : a;
            break;
        case ANL_S_ADD:
            value[n] = a + b;
            break;
        case ANL_S_SUB:
            value[n] = a - b;
            break;
        case ANL_S_MUL:
            value[n] = a * b;
            break;
        case ANL_S_DIV:
            known[n] = b > 0;
            value[n] = b > 0 ? a / b : 0;
            break;
        case ANL_S_FLOORDIV:
            known[n] = b > 0;
            value[n] = b > 0 ? floor_quotient(a, b) : 0;
            break;
        case ANL_S_MOD:
            known[n] = b > 0;
            value[n] = b > 0 ? a - b * floor_quotient(a, b) : 0;
            break;
        case ANL_S_MINIMUM:
            value[n] = a < b ? a : b;
            break;
        case ANL_S_MAXIMUM:
            value[n] = a > b ? a : b;
            break;
        case ANL_S_LT:
            value[n] = a < b;
            break;
        case ANL_S_LE:
            value[n] = a <= b;
            break;
        case ANL_S_EQ:
            value[n] = a == b;
            break;
        case ANL_S_NE:
            value[n] = a != b;
            break;
        case ANL_S_AND:
            value[n] = a && b;
            break;
        case ANL_S_OR:
            value[n] = a || b;
            break;
        default:
            known[n] = false;
            break;
        }
    }
}

/* Points to try: all of a small domain, else the corners and a spread of others. */
static int64_t point_count(const anl_kernel *k, int64_t all)
{
    return all <= 2048 ? all : 256 + (1ll << (k->dim_count < 6 ? k->dim_count : 6));
}

static void point_at(const anl_kernel *k, int64_t all, int64_t which, uint64_t *seed, int32_t *point)
{
    int64_t corners = 1ll << (k->dim_count < 6 ? k->dim_count : 6);
    for (int d = k->dim_count - 1; d >= 0; d--) {
        if (all <= 2048) {
            point[d] = (int32_t)(which % k->dims[d]);
            which /= k->dims[d];
        } else if (which < corners) {
            point[d] = d < 6 && which >> d & 1 ? k->dims[d] - 1 : 0;
        } else {
            *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
            point[d] = (int32_t)((*seed >> 33) % (uint64_t)k->dims[d]);
        }
    }
}

static void check_bounds(checker *c, int kernel)
{
    const anl_kernel *k = &c->p->kernels[kernel];
    interval *bounds = anl_malloc(sizeof(interval) * (size_t)(k->instr_count + 1));
    intervals_of(c, k, bounds);
    bool *unproved = anl_malloc((size_t)k->instr_count + 1);
    memset(unproved, 0, (size_t)k->instr_count + 1);
    int open = 0;
    for (int n = 0; n < k->instr_count; n++) {
        const anl_instr *i = &k->instrs[n];
        if (i->op != ANL_X_LOAD)
            continue;
        int64_t count = c->p->buffers[k->args[i->slot].buffer].count;
        unproved[n] = bounds[i->a].low < 0 || bounds[i->a].high >= count;
        open += unproved[n];
    }
    bool store_open[64] = {false};
    for (int s = 0; s < k->store_count && s < 64; s++) {
        int64_t count = c->p->buffers[k->args[k->stores[s].arg].buffer].count;
        store_open[s] = bounds[k->stores[s].index].low < 0 || bounds[k->stores[s].index].high >= count;
        open += store_open[s];
    }
    if (open > 0) {
        int64_t all = 1;
        for (int d = 0; d < k->dim_count; d++)
            all = all > 1ll << 40 ? all : all * k->dims[d];
        int64_t *value = anl_malloc(sizeof(int64_t) * (size_t)(k->instr_count + 1));
        bool *known = anl_malloc((size_t)k->instr_count + 1);
        uint64_t seed = (uint64_t)kernel + 1;
        int32_t point[ANL_MAX_DIMS] = {0};
        int64_t points = point_count(k, all);
        bool stop = false;
        for (int64_t t = 0; t < points && !stop; t++) {
            point_at(k, all, t, &seed, point);
            evaluate(c, k, point, value, known);
            for (int n = 0; n < k->instr_count && !stop; n++) {
                const anl_instr *i = &k->instrs[n];
                if (!unproved[n] || !known[i->a] || (i->b >= 0 && (!known[i->b] || !value[i->b])))
                    continue;
                const anl_buffer *b = &c->p->buffers[k->args[i->slot].buffer];
                if (value[i->a] < 0 || value[i->a] >= b->count) {
                    fault(c, kernel, "reads element %" PRId64 " of %s, which has %" PRId64, value[i->a],
                          b->name ? b->name : "a buffer", b->count);
                    stop = true;
                }
            }
            for (int s = 0; s < k->store_count && s < 64 && !stop; s++) {
                const anl_buffer *b = &c->p->buffers[k->args[k->stores[s].arg].buffer];
                int32_t n = k->stores[s].index;
                if (store_open[s] && known[n] && (value[n] < 0 || value[n] >= b->count)) {
                    fault(c, kernel, "stores element %" PRId64 " of %s, which has %" PRId64, value[n],
                          b->name ? b->name : "a buffer", b->count);
                    stop = true;
                }
            }
        }
        free(value);
        free(known);
    }
    free(bounds);
    free(unproved);
}

static int by_value(const void *a, const void *b)
{
    const int64_t *p = a, *q = b;
    return (*p > *q) - (*p < *q);
}

/* Points store to distinct elements: for affine stores each dim steps over all that the smaller ones reach; else small domains
 * are tried. */
static void check_distinct(checker *c, int kernel)
{
    const anl_kernel *k = &c->p->kernels[kernel];
    for (int s = 0; s < k->store_count; s++) {
        int64_t coefficient[ANL_MAX_DIMS], base = 0;
        if (anl_kernel_affine(k, k->stores[s].index, coefficient, &base)) {
            int order[ANL_MAX_DIMS], count = 0;
            for (int d = 0; d < k->kept_count; d++) {
                if (k->dims[d] == 1)
                    continue;
                int at = count++;
                for (; at > 0 && llabs(coefficient[order[at - 1]]) > llabs(coefficient[d]); at--)
                    order[at] = order[at - 1];
                order[at] = d;
            }
            int64_t reach = 0;
            for (int i = 0; i < count; i++) {
                int64_t step = llabs(coefficient[order[i]]);
                if (step <= reach) {
                    fault(c, kernel,
                          "store %d writes an element from two points (dim %d steps by %" PRId64 ", but %" PRId64 " lie within)",
                          s, order[i], step, reach + 1);
                    break;
                }
                reach += step * (k->dims[order[i]] - 1);
            }
            continue;
        }
        int64_t points = 1;
        for (int d = 0; d < k->kept_count; d++)
            points = points > 1 << 20 ? points : points * k->dims[d];
        if (points > 65536)
            continue;
        int64_t *value = anl_malloc(sizeof(int64_t) * (size_t)(k->instr_count + 1)),
                *seen = anl_malloc(sizeof(int64_t) * (size_t)points), count = 0;
        bool *known = anl_malloc((size_t)k->instr_count + 1);
        int32_t point[ANL_MAX_DIMS] = {0};
        for (int64_t t = 0; t < points; t++) {
            int64_t rest = t;
            for (int d = k->kept_count - 1; d >= 0; d--) {
                point[d] = (int32_t)(rest % k->dims[d]);
                rest /= k->dims[d];
            }
            evaluate(c, k, point, value, known);
            if (known[k->stores[s].index])
                seen[count++] = value[k->stores[s].index];
        }
        if (count > 1)
            qsort(seen, (size_t)count, sizeof seen[0], by_value);
        for (int64_t t = 1; t < count; t++)
            if (seen[t] == seen[t - 1]) {
                fault(c, kernel, "store %d writes element %" PRId64 " from two points", s, seen[t]);
                break;
            }
        free(value);
        free(seen);
        free(known);
    }
}

/* ---- contractions ---- */
static void check_reach(checker *c, int kernel, const char *what, int32_t arg, int64_t low, int64_t high)
{
    const anl_kernel *k = &c->p->kernels[kernel];
    if (low < 0 || high >= c->p->buffers[k->args[arg].buffer].count)
        fault(c, kernel, "operand %s reaches elements %" PRId64 " to %" PRId64 " of %" PRId64, what, low, high,
              c->p->buffers[k->args[arg].buffer].count);
}

static void check_contract(checker *c, int kernel)
{
    const anl_kernel *k = &c->p->kernels[kernel];
    const anl_contract *t = &k->contract;
    if (t->a_arg < 0 || t->a_arg >= k->arg_count || t->b_arg < 0 || t->b_arg >= k->arg_count || !k->args[t->a_arg].read ||
        !k->args[t->b_arg].read) {
        fault(c, kernel, "an operand of the contraction is not read");
        return;
    }
    int d = 0;
    bool fits = k->dim_count == t->batch_count + t->m_count + t->window_count + t->n_count && k->body_count == 0;
    for (int i = 0; fits && i < t->batch_count; i++)
        fits = k->dims[d++] == t->batch[i].size;
    for (int i = 0; fits && i < t->m_count; i++)
        fits = k->dims[d++] == t->m[i].size;
    for (int i = 0; fits && i < t->window_count; i++)
        fits = k->dims[d++] == (t->role == ANL_CONTRACT_FORWARD ? t->window[i].out_size
                                : t->role == ANL_CONTRACT_DATA  ? t->window[i].in_size
                                                                : t->window[i].tap_size);
    for (int i = 0; fits && i < t->n_count; i++)
        fits = k->dims[d++] == t->n[i].size;
    if (!fits)
        fault(c, kernel, "dims are not those of the contraction");
    if (t->window_count == 0 && t->role != ANL_CONTRACT_FORWARD)
        fault(c, kernel, "a matrix product has role forward");
    int64_t reach[2][2] = {{t->a_base, t->a_base}, {t->b_base, t->b_base}};
    const struct {
        const anl_contract_dim *list;
        int count;
        bool a, b;
    } groups[] = {{t->batch, t->batch_count, true, true},
                  {t->m, t->m_count, true, false},
                  {t->n, t->n_count, false, true},
                  {t->k, t->k_count, true, true}};
    for (int g = 0; g < 4; g++)
        for (int i = 0; i < groups[g].count; i++) {
            const anl_contract_dim *x = &groups[g].list[i];
            if (x->size < 1 || (!groups[g].a && x->a != 0) || (!groups[g].b && x->b != 0))
                fault(c, kernel, "a dim of the contraction has a stride in a tensor that lacks it");
            int64_t step[2] = {x->a, x->b};
            for (int o = 0; o < 2; o++)
                reach[o][step[o] < 0 ? 0 : 1] += step[o] * (x->size - 1);
        }
    for (int i = 0; i < t->window_count; i++) {
        const anl_window *x = &t->window[i];
        if (x->in_size < 1 || x->tap_size < 1 || x->out_size < 1 || x->stride < 1 || x->dilation < 1 || x->padding < 0)
            fault(c, kernel, "a window is malformed");
        int64_t in = x->x * (x->in_size - 1), tap = x->w * (x->tap_size - 1), out = x->y * (x->out_size - 1);
        int64_t span[2] = {t->role == ANL_CONTRACT_DATA ? out : in, t->role == ANL_CONTRACT_WEIGHT ? out : tap};
        for (int o = 0; o < 2; o++)
            reach[o][span[o] < 0 ? 0 : 1] += span[o];
    }
    check_reach(c, kernel, "A", t->a_arg, reach[0][0], reach[0][1]);
    check_reach(c, kernel, "B", t->b_arg, reach[1][0], reach[1][1]);
}

static bool check_kernel(checker *c, int kernel)
{
    const anl_program *p = c->p;
    const anl_kernel *k = &p->kernels[kernel];
    int before = c->faults;
    if (k->dim_count < 0 || k->dim_count > ANL_MAX_DIMS || k->kept_count < 0 || k->kept_count > k->dim_count ||
        (k->kind != ANL_KERNEL_REDUCE && k->kept_count != k->dim_count) || k->body_count < 0 || k->body_count > k->instr_count ||
        k->arg_count < 1 || k->arg_count > ANL_MAX_ARGS || k->store_count < 1 ||
        (k->kind == ANL_KERNEL_MAP && k->body_count != k->instr_count) ||
        (k->kind == ANL_KERNEL_REDUCE && k->accumulator_count < 1)) {
        fault(c, kernel, "counts are out of range");
        return false;
    }
    for (int d = 0; d < k->dim_count; d++)
        if (k->dims[d] < 1)
            fault(c, kernel, "dim %d has size %d", d, k->dims[d]);
    for (int a = 0; a < k->arg_count; a++) {
        if (k->args[a].buffer < 0 || k->args[a].buffer >= p->buffer_count) {
            fault(c, kernel, "argument %d is no buffer", a);
            return false;
        }
        anl_space space = p->buffers[k->args[a].buffer].space;
        if (k->args[a].written && (space == ANL_SPACE_INPUT || space == ANL_SPACE_TABLE))
            fault(c, kernel, "argument %d is written, but inputs and tables are constant", a);
        for (int b = 0; b < a; b++)
            if (k->args[b].buffer == k->args[a].buffer)
                fault(c, kernel, "arguments %d and %d are one buffer", b, a);
    }
    for (int n = 0; n < k->instr_count; n++)
        if (!check_instr(c, kernel, k, n))
            return false;
    for (int a = 0; a < k->accumulator_count; a++) {
        const anl_accumulator *x = &k->accumulators[a];
        if (x->instr < 0 || x->instr >= k->body_count) {
            fault(c, kernel, "accumulator %d takes no body instruction", a);
            return false;
        }
        anl_dtype in = (anl_dtype)k->instrs[x->instr].dtype;
        bool fits = x->combine == ANL_ARGMAX                                   ? x->dtype == ANL_I32 && in != ANL_BOOL
                    : x->combine == ANL_LOGSUMEXP || x->combine == ANL_MOMENTS ? x->dtype == ANL_F32 && in == ANL_F32
                                                                               : x->dtype == in && in != ANL_BOOL;
        if (!fits)
            fault(c, kernel, "accumulator %d has another dtype than what it combines", a);
    }
    for (int s = 0; s < k->store_count; s++) {
        const anl_store *x = &k->stores[s];
        int first = k->kind == ANL_KERNEL_MAP ? 0 : k->body_count;
        if (x->arg < 0 || x->arg >= k->arg_count || !k->args[x->arg].written || x->index < first || x->index >= k->instr_count ||
            x->value < first || x->value >= k->instr_count || k->instrs[x->index].dtype != ANL_I32 ||
            k->instrs[x->value].dtype != p->buffers[k->args[x->arg].buffer].dtype) {
            fault(c, kernel, "store %d is malformed", s);
            return false;
        }
    }
    for (int a = 0; a < k->arg_count; a++) {
        bool loaded = k->kind == ANL_KERNEL_CONTRACT && (k->contract.a_arg == a || k->contract.b_arg == a), stored = false;
        for (int n = 0; n < k->instr_count; n++)
            loaded = loaded || (k->instrs[n].op == ANL_X_LOAD && k->instrs[n].slot == a);
        for (int s = 0; s < k->store_count; s++)
            stored = stored || k->stores[s].arg == a;
        if (loaded != k->args[a].read || stored != k->args[a].written)
            fault(c, kernel, "argument %d is marked %s%s, but the kernel does otherwise", a, k->args[a].read ? "read" : "",
                  k->args[a].written ? " written" : "");
    }
    if (k->kind == ANL_KERNEL_CONTRACT)
        check_contract(c, kernel);
    if (c->faults == before) {
        check_bounds(c, kernel);
        check_distinct(c, kernel);
    }
    return c->faults == before;
}

/* ---- memory over time ---- */
typedef struct extent {
    int64_t low, high; /* bytes */
} extent;

typedef struct extents { /* sorted, disjoint */
    extent *list;
    int count, capacity;
} extents;

static void cover(extents *e, int64_t low, int64_t high)
{
    int at = 0;
    while (at < e->count && e->list[at].high < low)
        at++;
    int end = at;
    while (end < e->count && e->list[end].low <= high) {
        low = e->list[end].low < low ? e->list[end].low : low;
        high = e->list[end].high > high ? e->list[end].high : high;
        end++;
    }
    if (end == at) {
        if (e->count == e->capacity) {
            e->capacity = e->capacity ? e->capacity * 2 : 64;
            e->list = anl_realloc(e->list, sizeof(extent) * (size_t)e->capacity);
        }
        memmove(&e->list[at + 1], &e->list[at], sizeof(extent) * (size_t)(e->count - at));
        e->count++;
    } else {
        memmove(&e->list[at + 1], &e->list[end], sizeof(extent) * (size_t)(e->count - end));
        e->count -= end - at - 1;
    }
    e->list[at] = (extent){low, high};
}

static bool covered(const extents *e, int64_t low, int64_t high)
{
    for (int i = 0; i < e->count; i++)
        if (e->list[i].low <= low && high <= e->list[i].high)
            return true;
    return false;
}

static void uncover(extents *e, int64_t low, int64_t high)
{
    for (int i = 0; i < e->count; i++) {
        extent x = e->list[i];
        if (x.high <= low || x.low >= high)
            continue;
        memmove(&e->list[i], &e->list[i + 1], sizeof(extent) * (size_t)(e->count - i - 1));
        e->count--;
        i--;
        if (x.low < low)
            cover(e, x.low, low);
        if (x.high > high)
            cover(e, high, x.high);
        i = -1; /* few pieces: start again */
    }
}

/* Calls `each` with the runs of consecutive elements that an index reaches over the first `dims` dims. False: too many to follow
 * one by one (low and high are then the first and last element), or not known. */
typedef bool run_fn(void *context, int64_t first, int64_t count);

static bool each_run(const checker *c, const anl_kernel *k, int32_t index, int dims, run_fn *each, void *context, int64_t *low,
                     int64_t *high)
{
    int64_t coefficient[ANL_MAX_DIMS], base = 0, run = 1, points = 1;
    if (!anl_kernel_affine(k, index, coefficient, &base)) {
        for (int d = 0; d < dims; d++)
            points = points > 1 << 20 ? points : points * k->dims[d];
        *low = 0;
        *high = -1;
        if (points > 65536)
            return false;
        int64_t *value = anl_malloc(sizeof(int64_t) * (size_t)(k->instr_count + 1));
        bool *known = anl_malloc((size_t)k->instr_count + 1), all = true;
        int32_t point[ANL_MAX_DIMS] = {0};
        for (int64_t t = 0; t < points && all; t++) {
            int64_t rest = t;
            for (int d = dims - 1; d >= 0; d--) {
                point[d] = (int32_t)(rest % k->dims[d]);
                rest /= k->dims[d];
            }
            evaluate(c, k, point, value, known);
            all = known[index] && each(context, value[index], 1);
        }
        free(value);
        free(known);
        return all;
    }
    /* the dims that make a run, smallest step first; the others repeat it */
    bool used[ANL_MAX_DIMS] = {false};
    for (bool again = true; again;) {
        again = false;
        for (int d = 0; d < dims; d++)
            if (!used[d] && (k->dims[d] == 1 || coefficient[d] == 0 || coefficient[d] == run)) {
                used[d] = true;
                run *= coefficient[d] == 0 ? 1 : k->dims[d];
                again = true;
            }
    }
    int rest[ANL_MAX_DIMS], rest_count = 0;
    int64_t repeats = 1;
    *low = base;
    *high = base + run - 1;
    for (int d = 0; d < dims; d++)
        if (!used[d]) {
            rest[rest_count++] = d;
            repeats *= k->dims[d];
            *(coefficient[d] < 0 ? low : high) += coefficient[d] * (k->dims[d] - 1);
        }
    if (repeats > 1 << 14)
        return false;
    for (int64_t t = 0; t < repeats; t++) {
        int64_t at = base, left = t;
        for (int i = 0; i < rest_count; i++) {
            at += left % k->dims[rest[i]] * coefficient[rest[i]];
            left /= k->dims[rest[i]];
        }
        if (!each(context, at, run))
            return true;
    }
    return true;
}

typedef struct run_context {
    const anl_buffer *b;
    int64_t size;
    extents *e;
    bool missing;
} run_context;

static bool cover_run(void *context, int64_t first, int64_t count)
{
    run_context *r = context;
    cover(r->e, r->b->offset + first * r->size, r->b->offset + (first + count) * r->size);
    return true;
}

static bool find_run(void *context, int64_t first, int64_t count)
{
    run_context *r = context;
    r->missing = !covered(r->e, r->b->offset + first * r->size, r->b->offset + (first + count) * r->size);
    return !r->missing;
}

/* Bytes that a store writes. Where there are too many runs: from the first to the last. */
static void cover_store(const checker *c, int kernel, const anl_store *s, extents *e)
{
    const anl_kernel *k = &c->p->kernels[kernel];
    const anl_buffer *b = &c->p->buffers[k->args[s->arg].buffer];
    run_context r = {b, element_bytes(c, b->dtype), e, false};
    int64_t low, high;
    if (each_run(c, k, s->index, k->kept_count, cover_run, &r, &low, &high))
        return;
    if (low <= high)
        cover(e, b->offset + low * r.size, b->offset + (high + 1) * r.size);
    else
        cover(e, b->offset, b->offset + b->bytes);
}

/* True if all that a kernel reads of an argument lies in e. Guarded and computed reads may go anywhere in the buffer. */
static bool reads_covered(const checker *c, const anl_kernel *k, int arg, extents *e)
{
    const anl_buffer *b = &c->p->buffers[k->args[arg].buffer];
    run_context r = {b, element_bytes(c, b->dtype), e, false};
    if (k->kind == ANL_KERNEL_CONTRACT && (k->contract.a_arg == arg || k->contract.b_arg == arg))
        return covered(e, b->offset, b->offset + b->bytes);
    for (int n = 0; n < k->instr_count; n++) {
        const anl_instr *i = &k->instrs[n];
        int64_t low, high, coefficient[ANL_MAX_DIMS], base;
        if (i->op != ANL_X_LOAD || i->slot != arg)
            continue;
        if (i->b >= 0 || !anl_kernel_affine(k, i->a, coefficient, &base)) {
            if (!covered(e, b->offset, b->offset + b->bytes))
                return false;
            continue;
        }
        if (!each_run(c, k, i->a, k->dim_count, find_run, &r, &low, &high) && low <= high) {
            find_run(&r, low, 1);
            if (!r.missing)
                find_run(&r, high, 1);
        }
        if (r.missing)
            return false;
    }
    return true;
}

/* Bytes that a kernel may read of a buffer: from the lowest to the highest element where that is known. */
static extent read_extent(const checker *c, const anl_kernel *k, int arg)
{
    const anl_buffer *b = &c->p->buffers[k->args[arg].buffer];
    int64_t size = element_bytes(c, b->dtype), low = INT64_MAX, high = INT64_MIN;
    bool contract = k->kind == ANL_KERNEL_CONTRACT && (k->contract.a_arg == arg || k->contract.b_arg == arg);
    for (int n = 0; n < k->instr_count && !contract; n++) {
        const anl_instr *i = &k->instrs[n];
        if (i->op != ANL_X_LOAD || i->slot != arg)
            continue;
        int64_t coefficient[ANL_MAX_DIMS], base;
        if (i->b >= 0 || !anl_kernel_affine(k, i->a, coefficient, &base)) {
            contract = true; /* anywhere */
            break;
        }
        int64_t l = base, h = base;
        for (int d = 0; d < k->dim_count; d++)
            *(coefficient[d] < 0 ? &l : &h) += coefficient[d] * (k->dims[d] - 1);
        low = l < low ? l : low;
        high = h > high ? h : high;
    }
    if (contract || low > high)
        return (extent){b->offset, b->offset + b->bytes};
    return (extent){b->offset + low * size, b->offset + (high + 1) * size};
}

typedef struct access {
    int kernel;
    anl_space space;
    int64_t low, high;
    bool write;
} access;

/* Two kernels with no barrier between them must not touch the same bytes unless both only read. */
static void check_hazards(checker *c)
{
    const anl_program *p = c->p;
    access *open = NULL;
    int count = 0, capacity = 0;
    for (int i = 0; i < p->kernel_count; i++) {
        const anl_kernel *k = &p->kernels[i];
        if (k->barrier_before)
            count = 0;
        int before = count;
        for (int a = 0; a < k->arg_count; a++) {
            const anl_buffer *b = &p->buffers[k->args[a].buffer];
            bool write = k->args[a].written;
            for (int o = 0; o < before; o++)
                if (open[o].space == b->space && open[o].low < b->offset + b->bytes && b->offset < open[o].high &&
                    (write || open[o].write)) {
                    fault(c, i, "needs a barrier: kernel %d %s bytes of %s that it %s", open[o].kernel,
                          open[o].write ? "writes" : "reads", b->name ? b->name : "a buffer", write ? "writes" : "reads");
                    break;
                }
            if (b->space == ANL_SPACE_TABLE)
                continue;
            if (count == capacity) {
                capacity = capacity ? capacity * 2 : 64;
                open = anl_realloc(open, sizeof(access) * (size_t)capacity);
            }
            open[count++] = (access){i, b->space, b->offset, b->offset + b->bytes, write};
        }
        /* within one kernel */
        for (int a = 0; a < k->arg_count; a++)
            for (int d = 0; d < a; d++) {
                const anl_buffer *x = &p->buffers[k->args[a].buffer], *y = &p->buffers[k->args[d].buffer];
                if (x->space == y->space && x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes &&
                    (k->args[a].written || k->args[d].written))
                    fault(c, i, "arguments %d and %d overlap, and one is written", d, a);
            }
        for (int a = 0; a < k->arg_count; a++) {
            if (!k->args[a].read || !k->args[a].written)
                continue;
            if (!k->in_place)
                fault(c, i, "reads and writes %s, but is not marked in place", p->buffers[k->args[a].buffer].name);
            for (int n = 0; n < k->instr_count; n++) {
                if (k->instrs[n].op != ANL_X_LOAD || k->instrs[n].slot != a)
                    continue;
                bool same = false;
                for (int s = 0; s < k->store_count; s++)
                    same = same || (k->stores[s].arg == a && k->stores[s].index == k->instrs[n].a);
                if (!same)
                    fault(c, i, "reads other elements of %s than each point writes", p->buffers[k->args[a].buffer].name);
            }
        }
    }
    free(open);
}

/* Temporary memory: what is read was written since, by the buffer that reads it; two buffers never share live bytes. */
typedef struct life {
    int32_t buffer;
    int first, last;
} life;

static int by_first(const void *a, const void *b)
{
    const life *p = a, *q = b;
    return p->first != q->first ? (p->first > q->first) - (p->first < q->first)
                                : (p->buffer > q->buffer) - (p->buffer < q->buffer);
}

static bool inside(const anl_buffer *a, const anl_buffer *b)
{
    return b->offset <= a->offset && a->offset + a->bytes <= b->offset + b->bytes;
}

static void check_lives(checker *c)
{
    const anl_program *p = c->p;
    life *lives = anl_malloc(sizeof(life) * (size_t)(p->buffer_count + 1));
    for (int b = 0; b < p->buffer_count; b++)
        lives[b] = (life){b, -1, -1};
    for (int i = 0; i < p->kernel_count; i++)
        for (int a = 0; a < p->kernels[i].arg_count; a++) {
            life *l = &lives[p->kernels[i].args[a].buffer];
            if (l->first < 0 && p->kernels[i].args[a].written)
                l->first = i;
            if (l->first < 0 && p->buffers[l->buffer].space == ANL_SPACE_TEMP)
                l->first = i; /* read first: a part of another that is written, or a fault that check_written finds */
            l->last = i;
        }
    int count = 0;
    for (int b = 0; b < p->buffer_count; b++)
        if (p->buffers[b].space == ANL_SPACE_TEMP && lives[b].first >= 0)
            lives[count++] = lives[b];
    if (count > 1)
        qsort(lives, (size_t)count, sizeof lives[0], by_first);
    life *now = anl_malloc(sizeof(life) * (size_t)(count + 1));
    int now_count = 0;
    for (int i = 0; i < count; i++) {
        int kept = 0;
        const anl_buffer *x = &p->buffers[lives[i].buffer];
        for (int n = 0; n < now_count; n++)
            if (now[n].last >= lives[i].first)
                now[kept++] = now[n];
        now_count = kept;
        for (int n = 0; n < now_count; n++) {
            const anl_buffer *y = &p->buffers[now[n].buffer];
            bool overlap = x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes;
            if (overlap && !inside(x, y) && !inside(y, x))
                fault(c, lives[i].first, "%s shares bytes with %s, which is still in use", x->name, y->name);
        }
        now[now_count++] = lives[i];
    }
    free(now);
    free(lives);
}

/* Follows the bytes: each written byte of temporary memory remembers the value that owns it by the buffers through which it may
 * be read. A read through a buffer whose bytes were last written through an unrelated buffer (neither contains the other) is a
 * read of something else. */
static void check_written(checker *c)
{
    const anl_program *p = c->p;
    /* by buffer: bytes that hold this buffer's contents; a write through any other overlapping buffer that is no part of it, nor
     * it of that, ends them */
    extents *valid = anl_malloc(sizeof(extents) * (size_t)(p->buffer_count + 1));
    memset(valid, 0, sizeof(extents) * (size_t)(p->buffer_count + 1));
    int32_t *temp = anl_malloc(sizeof(int32_t) * (size_t)(p->buffer_count + 1));
    int temp_count = 0;
    for (int b = 0; b < p->buffer_count; b++)
        if (p->buffers[b].space == ANL_SPACE_TEMP || p->buffers[b].space == ANL_SPACE_OUTPUT)
            temp[temp_count++] = b;
    for (int i = 0; i < p->kernel_count; i++) {
        const anl_kernel *k = &p->kernels[i];
        for (int a = 0; a < k->arg_count; a++) {
            const anl_buffer *b = &p->buffers[k->args[a].buffer];
            if (!k->args[a].read || (b->space != ANL_SPACE_TEMP && b->space != ANL_SPACE_OUTPUT))
                continue;
            if (!reads_covered(c, k, a, &valid[k->args[a].buffer]))
                fault(c, i, "reads %s before all of it is written", b->name ? b->name : "a buffer");
        }
        for (int s = 0; s < k->store_count; s++) {
            int32_t buffer = k->args[k->stores[s].arg].buffer;
            const anl_buffer *b = &p->buffers[buffer];
            if (b->space != ANL_SPACE_TEMP && b->space != ANL_SPACE_OUTPUT)
                continue;
            extents written = {0};
            cover_store(c, i, &k->stores[s], &written);
            for (int t = 0; t < temp_count; t++) {
                const anl_buffer *o = &p->buffers[temp[t]];
                if (o->space != b->space || o->offset >= b->offset + b->bytes || b->offset >= o->offset + o->bytes)
                    continue;
                bool related = inside(o, b) || inside(b, o);
                for (int e = 0; e < written.count; e++) {
                    int64_t low = written.list[e].low > o->offset ? written.list[e].low : o->offset;
                    int64_t high = written.list[e].high < o->offset + o->bytes ? written.list[e].high : o->offset + o->bytes;
                    if (low >= high)
                        continue;
                    if (related)
                        cover(&valid[temp[t]], low, high);
                    else
                        uncover(&valid[temp[t]], low, high);
                }
            }
            free(written.list);
        }
    }
    for (int o = 0; o < p->output_count; o++) {
        const anl_port *port = &p->outputs[o];
        if (port->buffer < 0)
            continue;
        const anl_buffer *b = &p->buffers[port->buffer];
        if (!covered(&valid[port->buffer], b->offset, b->offset + b->bytes))
            fault(c, -1, "output %s is not written entirely", port->name);
    }
    for (int b = 0; b < p->buffer_count; b++)
        free(valid[b].list);
    free(valid);
    free(temp);
}

/* State is read as it was at the start: no kernel reads state bytes that an earlier one wrote. */
static void check_state_order(checker *c)
{
    const anl_program *p = c->p;
    extents written = {0};
    for (int i = 0; i < p->kernel_count; i++) {
        const anl_kernel *k = &p->kernels[i];
        for (int a = 0; a < k->arg_count; a++) {
            const anl_buffer *b = &p->buffers[k->args[a].buffer];
            if (b->space != ANL_SPACE_STATE || !k->args[a].read)
                continue;
            extent r = read_extent(c, k, a);
            for (int e = 0; e < written.count; e++)
                if (written.list[e].low < r.high && r.low < written.list[e].high) {
                    fault(c, i, "reads %s after it got its new value", b->name ? b->name : "a state");
                    break;
                }
        }
        for (int s = 0; s < k->store_count; s++)
            if (p->buffers[k->args[k->stores[s].arg].buffer].space == ANL_SPACE_STATE)
                cover_store(c, i, &k->stores[s], &written);
    }
    free(written.list);
}

static void check_scalars(checker *c)
{
    const anl_program *p = c->p;
    for (int n = 0; n < p->scalar_instr_count; n++) {
        const anl_instr *i = &p->scalar_instrs[n];
        bool ok = i->op == ANL_X_CONST || i->op == ANL_X_STEP || i->op == ANL_X_STEPS_PER_EPOCH || i->op == ANL_X_TOTAL_STEPS;
        if (i->op < ANL_SCALAR_COUNT) {
            const int32_t operand[3] = {i->a, i->b, i->c};
            ok = true;
            for (int o = 0; o < scalar_rules[i->op].arity; o++)
                ok = ok && operand[o] >= 0 && operand[o] < n;
        }
        if (!ok)
            fault(c, -1, "scalar instruction %d is malformed", n);
    }
    for (int s = 0; s < p->scalar_count; s++)
        if (p->scalars[s] < 0 || p->scalars[s] >= p->scalar_instr_count)
            fault(c, -1, "scalar %d has no instruction", s);
}

anl_status anl_program_check(const anl_program *program, anl_diagnostics *diagnostics)
{
    checker c = {.p = program, .diagnostics = diagnostics};
    check_buffers(&c);
    check_scalars(&c);
    for (int i = 0; i < program->input_count; i++)
        check_port(&c, &program->inputs[i], "input", ANL_SPACE_INPUT);
    for (int i = 0; i < program->output_count; i++)
        check_port(&c, &program->outputs[i], "output", ANL_SPACE_OUTPUT);
    for (int i = 0; i < program->state_count; i++)
        check_port(&c, &program->states[i], "state", ANL_SPACE_STATE);
    bool kernels = c.faults == 0;
    for (int k = 0; k < program->kernel_count && c.faults < 20; k++)
        kernels = check_kernel(&c, k) && kernels;
    if (kernels) {
        check_hazards(&c);
        check_lives(&c);
        check_written(&c);
        check_state_order(&c);
    }
    return c.faults == 0 ? ANL_OK : ANL_ERROR_FORMAT;
}
