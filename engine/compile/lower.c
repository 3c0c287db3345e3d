/* Lowering: each kernel's stores become instruction lists over its dims.
 * In: groups of roots, storage decisions. Out: finished kernels (args hold planner buffer numbers).
 * Index arithmetic is kept as linear forms (base + sum of coefficient * atom) until the end: by then every load and store shows
 * how it depends on the dims, so that adjacent dims which all of them walk alike are merged into one, and a [batch, y, x,
 * channel] kernel runs over one dim. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile/work.h"

enum { L_LINEAR = 300, LIMIT_INSTRS = 60000 };

typedef struct term {
    int32_t atom;
    int64_t coefficient;
} term;
typedef struct form {
    int64_t base;
    int count;
    term *terms;
} form;

typedef struct lir {
    anl_instr i;       /* L_LINEAR: slot = form */
    int64_t low, high; /* int32: bounds */
} lir;

typedef struct memo {
    int32_t node, guard, value;
    int32_t *coordinates;
} memo;

typedef struct lowerer {
    anl_lowering call; /* first: what operations call */
    anl_work *w;
    anl_group *g;
    int32_t group;
    bool tail;
    struct lowerer *body; /* of a tail */
    anl_wdim dims[ANL_MAX_DIMS * 2];
    int dim_count;
    int32_t dim_atom[ANL_MAX_DIMS * 2]; /* -1: not used */
    lir *list;
    int count, capacity;
    int32_t *hash;
    int hash_size;
    form *forms;
    int form_count, form_capacity;
    memo *memos;
    int memo_count, memo_capacity;
    int32_t *memo_hash;
    int memo_hash_size;
    int32_t guards[64];
    int guard_count, guard_lost;
    anl_accumulator *accumulators; /* of the body: instr is a body instruction before finishing */
    int accumulator_count;
    bool *loaded; /* by node */
} lowerer;

typedef struct pending {
    lowerer *body, *tail;               /* body NULL: CONTRACT; tail NULL: MAP */
    int32_t *store_index, *store_value; /* by root of the group */
} pending;

/* ---- linear forms ---- */
static int64_t clamp32(int64_t v) { return v < -(1ll << 40) ? -(1ll << 40) : v > 1ll << 40 ? 1ll << 40 : v; }

static uint64_t instr_hash(const anl_instr *i)
{
    struct {
        int32_t op, dtype, a, b, c, slot;
        double value;
        uint64_t key;
    } h = {i->op, i->dtype, i->a, i->b, i->c, i->slot, i->value, i->key};
    return anl_hash(&h, sizeof h, 11);
}

static bool instr_equal(const anl_instr *p, const anl_instr *q)
{
    return p->op == q->op && p->dtype == q->dtype && p->a == q->a && p->b == q->b && p->c == q->c && p->slot == q->slot &&
           p->key == q->key && memcmp(&p->value, &q->value, sizeof p->value) == 0;
}

static form form_of(lowerer *l, int32_t n, term *single)
{
    const anl_instr *i = &l->list[n].i;
    if (i->op == L_LINEAR)
        return l->forms[i->slot];
    if (i->op == ANL_X_CONST)
        return (form){.base = (int64_t)i->value};
    *single = (term){n, 1};
    return (form){.count = 1, .terms = single};
}

static int32_t append(lowerer *l, anl_instr i, int64_t low, int64_t high)
{
    if (l->count * 2 >= l->hash_size) {
        int size = l->hash_size ? l->hash_size * 2 : 256;
        int32_t *table = ANL_NEW_ARRAY(l->w->arena, int32_t, size);
        memset(table, -1, sizeof(int32_t) * (size_t)size);
        for (int n = 0; n < l->count; n++) {
            if (l->list[n].i.op == L_LINEAR)
                continue;
            uint64_t h = instr_hash(&l->list[n].i);
            while (table[h & (uint64_t)(size - 1)] >= 0)
                h++;
            table[h & (uint64_t)(size - 1)] = n;
        }
        l->hash = table;
        l->hash_size = size;
        for (int n = 0; n < l->count; n++) { /* linear forms hash by their content */
            if (l->list[n].i.op != L_LINEAR)
                continue;
            uint64_t h = l->list[n].i.key;
            while (table[h & (uint64_t)(size - 1)] >= 0)
                h++;
            table[h & (uint64_t)(size - 1)] = n;
        }
    }
    uint64_t mask = (uint64_t)l->hash_size - 1, h = i.op == L_LINEAR ? i.key : instr_hash(&i);
    for (; l->hash[h & mask] >= 0; h++) {
        const anl_instr *o = &l->list[l->hash[h & mask]].i;
        if (i.op == L_LINEAR && o->op == L_LINEAR) {
            const form *p = &l->forms[i.slot], *q = &l->forms[o->slot];
            if (p->base == q->base && p->count == q->count && memcmp(p->terms, q->terms, sizeof(term) * (size_t)p->count) == 0)
                return l->hash[h & mask];
        } else if (i.op != L_LINEAR && instr_equal(o, &i)) {
            return l->hash[h & mask];
        }
    }
    l->hash[h & mask] = l->count;
    lir item = {i, clamp32(low), clamp32(high)};
    ANL_PUSH(l->w->arena, l->list, l->count, l->capacity, item);
    return l->count - 1;
}

static int32_t constant(lowerer *l, anl_dtype dtype, double value)
{
    int64_t bound = dtype == ANL_I32 ? (int64_t)value : 0;
    return append(
        l, (anl_instr){.op = ANL_X_CONST, .dtype = (uint8_t)dtype, .a = -1, .b = -1, .c = -1, .value = value == 0 ? 0 : value},
        bound, bound);
}

static bool const_of(lowerer *l, int32_t n, double *value)
{
    if (n < 0 || l->list[n].i.op != ANL_X_CONST)
        return false;
    *value = l->list[n].i.value;
    return true;
}

static void form_range(lowerer *l, const form *f, int64_t *low, int64_t *high)
{
    *low = *high = f->base;
    for (int i = 0; i < f->count; i++) {
        int64_t c = f->terms[i].coefficient, a = l->list[f->terms[i].atom].low, b = l->list[f->terms[i].atom].high;
        *low += c > 0 ? c * a : c * b;
        *high += c > 0 ? c * b : c * a;
    }
    *low = clamp32(*low);
    *high = clamp32(*high);
}

/* x / s and x mod s of one x side by side are x again: finds the quotient that belongs to remainder m. */
static int quotient_of(lowerer *l, const form *f, int m)
{
    const anl_instr *mod = &l->list[f->terms[m].atom].i;
    double s;
    if (mod->op != ANL_S_MOD || !const_of(l, mod->b, &s))
        return -1;
    int32_t x = mod->a;
    double through = s;
    const anl_instr *xi = &l->list[x].i;
    double outer;
    int32_t under = -1;
    if ((xi->op == ANL_S_DIV || xi->op == ANL_S_FLOORDIV) && const_of(l, xi->b, &outer)) {
        under = xi->a;
        through = outer * s;
    }
    for (int i = 0; i < f->count; i++) {
        const anl_instr *div = &l->list[f->terms[i].atom].i;
        double by;
        if ((div->op != ANL_S_DIV && div->op != ANL_S_FLOORDIV) || !const_of(l, div->b, &by))
            continue;
        bool match = (div->a == x && by == s) || (under >= 0 && div->a == under && by == through);
        if (match && f->terms[i].coefficient == f->terms[m].coefficient * (int64_t)s)
            return i;
    }
    return -1;
}

static void add_term(form *f, int32_t atom, int64_t coefficient)
{
    for (int i = 0; i < f->count; i++)
        if (f->terms[i].atom == atom) {
            f->terms[i].coefficient += coefficient;
            return;
        }
    f->terms[f->count++] = (term){atom, coefficient};
}

static void add_form(lowerer *l, form *f, int32_t n, int64_t by)
{
    term single;
    form x = form_of(l, n, &single);
    f->base += x.base * by;
    for (int i = 0; i < x.count; i++)
        add_term(f, x.terms[i].atom, x.terms[i].coefficient * by);
}

enum { TERMS = 256 };

/* The instruction for a form; its terms are copied. */
static int32_t linear(lowerer *l, form *f)
{
    for (bool again = true; again;) {
        again = false;
        for (int m = 0; m < f->count && !again; m++) {
            int q = f->terms[m].coefficient != 0 ? quotient_of(l, f, m) : -1;
            if (q < 0 || f->count > TERMS - 40)
                continue;
            int64_t c = f->terms[m].coefficient;
            int32_t x = l->list[f->terms[m].atom].i.a;
            f->terms[m].coefficient = 0;
            f->terms[q].coefficient = 0;
            add_form(l, f, x, c);
            again = true;
        }
        int kept = 0;
        for (int i = 0; i < f->count; i++)
            if (f->terms[i].coefficient != 0)
                f->terms[kept++] = f->terms[i];
        f->count = kept;
    }
    for (int i = 1; i < f->count; i++)
        for (int j = i; j > 0 && f->terms[j - 1].atom > f->terms[j].atom; j--) {
            term t = f->terms[j];
            f->terms[j] = f->terms[j - 1];
            f->terms[j - 1] = t;
        }
    if (f->count == 0)
        return constant(l, ANL_I32, (double)f->base);
    if (f->count == 1 && f->base == 0 && f->terms[0].coefficient == 1)
        return f->terms[0].atom;
    form kept = {.base = f->base, .count = f->count, .terms = ANL_NEW_ARRAY(l->w->arena, term, f->count)};
    for (int i = 0; i < f->count; i++) {
        kept.terms[i].atom = f->terms[i].atom;
        kept.terms[i].coefficient = f->terms[i].coefficient;
    }
    ANL_PUSH(l->w->arena, l->forms, l->form_count, l->form_capacity, kept);
    int64_t low, high;
    form_range(l, &kept, &low, &high);
    uint64_t h = anl_hash(&kept.base, sizeof kept.base, 5);
    for (int i = 0; i < kept.count; i++) {
        int64_t pair[2] = {kept.terms[i].atom, kept.terms[i].coefficient};
        h = anl_hash(pair, sizeof pair, h);
    }
    return append(l,
                  (anl_instr){.op = L_LINEAR, .dtype = ANL_I32, .a = -1, .b = -1, .c = -1, .slot = l->form_count - 1, .key = h},
                  low, high);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

/* floor(x / s) or x mod s, s > 0: what divides exactly is taken out. */
static int32_t divide(lowerer *l, int32_t x, int64_t s, bool remainder)
{
    if (s == 1)
        return remainder ? constant(l, ANL_I32, 0) : x;
    term single, whole_terms[TERMS], rest_terms[TERMS];
    form f = form_of(l, x, &single), whole = {.terms = whole_terms}, rest = {.terms = rest_terms};
    for (int i = 0; i < f.count; i++) {
        if (f.terms[i].coefficient % s == 0)
            add_term(&whole, f.terms[i].atom, f.terms[i].coefficient / s);
        else
            add_term(&rest, f.terms[i].atom, f.terms[i].coefficient);
    }
    whole.base = floor_div(f.base, s);
    rest.base = f.base - whole.base * s;
    int64_t low, high;
    form_range(l, &rest, &low, &high);
    int64_t period = floor_div(low, s);
    if (high < (period + 1) * s && low > -(1ll << 39) && high < 1ll << 39) {
        whole.base += period;
        rest.base -= period * s;
        return linear(l, remainder ? &rest : &whole);
    }
    /* a common factor of what remains */
    int64_t common = s;
    for (int i = 0; i < rest.count; i++) {
        int64_t a = common, b = rest.terms[i].coefficient < 0 ? -rest.terms[i].coefficient : rest.terms[i].coefficient;
        while (b != 0) {
            int64_t t = a % b;
            a = b;
            b = t;
        }
        common = a;
    }
    int64_t odd = 0;
    if (common > 1) {
        for (int i = 0; i < rest.count; i++)
            rest.terms[i].coefficient /= common;
        int64_t q = floor_div(rest.base, common);
        odd = rest.base - q * common;
        rest.base = q;
        s /= common;
    }
    int32_t r = linear(l, &rest);
    low = l->list[r].low;
    high = l->list[r].high;
    if (remainder) {
        int32_t by = constant(l, ANL_I32, (double)s);
        int32_t m = append(l, (anl_instr){.op = ANL_S_MOD, .dtype = ANL_I32, .a = r, .b = by, .c = -1}, 0, s - 1);
        term out[TERMS];
        form o = {.terms = out};
        add_form(l, &o, m, common);
        o.base += odd;
        return linear(l, &o);
    }
    const anl_instr *ri = &l->list[r].i;
    double inner;
    if ((ri->op == ANL_S_DIV || ri->op == ANL_S_FLOORDIV) && const_of(l, ri->b, &inner) && inner * (double)s < 2e9) {
        r = ri->a;
        s *= (int64_t)inner;
        low = l->list[r].low;
        high = l->list[r].high;
    }
    int32_t by = constant(l, ANL_I32, (double)s);
    int32_t d = append(l, (anl_instr){.op = low >= 0 ? ANL_S_DIV : ANL_S_FLOORDIV, .dtype = ANL_I32, .a = r, .b = by, .c = -1},
                       floor_div(low, s), floor_div(high, s));
    add_form(l, &whole, d, 1);
    return linear(l, &whole);
}

/* ---- emitting ---- */
static int32_t emit_int(lowerer *l, anl_scalar op, int32_t a, int32_t b, int32_t c)
{
    term terms[TERMS];
    form f = {.terms = terms};
    double k;
    switch (op) {
    case ANL_S_ADD:
    case ANL_S_SUB:
        add_form(l, &f, a, 1);
        add_form(l, &f, b, op == ANL_S_ADD ? 1 : -1);
        return linear(l, &f);
    case ANL_S_NEGATE:
        add_form(l, &f, a, -1);
        return linear(l, &f);
    case ANL_S_MUL:
        if (const_of(l, a, &k)) {
            add_form(l, &f, b, (int64_t)k);
            return linear(l, &f);
        }
        if (const_of(l, b, &k)) {
            add_form(l, &f, a, (int64_t)k);
            return linear(l, &f);
        }
        break;
    case ANL_S_DIV:
        if (const_of(l, b, &k) && k > 0 && l->list[a].low >= 0)
            return divide(l, a, (int64_t)k, false);
        break;
    case ANL_S_FLOORDIV:
    case ANL_S_MOD:
        if (const_of(l, b, &k) && k > 0)
            return divide(l, a, (int64_t)k, op == ANL_S_MOD);
        break;
    case ANL_S_MINIMUM:
    case ANL_S_MAXIMUM: {
        int64_t low, high;
        add_form(l, &f, a, 1);
        add_form(l, &f, b, -1);
        form_range(l, &f, &low, &high);
        if (high <= 0)
            return op == ANL_S_MINIMUM ? a : b;
        if (low >= 0)
            return op == ANL_S_MINIMUM ? b : a;
        break;
    }
    default:
        break;
    }
    double x = 0, y = 0, z = 0;
    if (const_of(l, a, &x) && (b < 0 || const_of(l, b, &y)) && (c < 0 || const_of(l, c, &z)) &&
        !((op == ANL_S_DIV || op == ANL_S_FLOORDIV || op == ANL_S_MOD) && y == 0))
        return constant(l, ANL_I32, anl_scalar_evaluate(op, ANL_I32, (anl_dtype)l->list[a].i.dtype, x, y, z));
    int64_t low = INT32_MIN, high = INT32_MAX, al = l->list[a].low, ah = l->list[a].high;
    int64_t bl = b >= 0 ? l->list[b].low : 0, bh = b >= 0 ? l->list[b].high : 0;
    if (op == ANL_S_SELECT) {
        int64_t cl = l->list[c].low, ch = l->list[c].high;
        if (const_of(l, a, &x))
            return x != 0 ? b : c;
        if (b == c)
            return b;
        low = bl < cl ? bl : cl;
        high = bh > ch ? bh : ch;
    } else if (op == ANL_S_MINIMUM || op == ANL_S_MAXIMUM) {
        low = (al < bl) == (op == ANL_S_MINIMUM) ? al : bl;
        high = (ah < bh) == (op == ANL_S_MINIMUM) ? ah : bh;
    } else if (op == ANL_S_CAST && l->list[a].i.dtype == ANL_BOOL) {
        low = 0;
        high = 1;
    } else if (op == ANL_S_CAST && l->list[a].i.dtype == ANL_I32) {
        return a;
    } else if (op == ANL_S_ABS && al >= 0) {
        return a;
    }
    return append(l, (anl_instr){.op = (uint16_t)op, .dtype = ANL_I32, .a = a, .b = b, .c = c}, low, high);
}

/* True if `guard` holds only where `condition` does. */
static bool implies(const lowerer *l, int32_t guard, int32_t condition)
{
    if (guard == condition)
        return true;
    const anl_instr *g = &l->list[guard].i, *c = &l->list[condition].i;
    if (c->op == ANL_S_AND)
        return implies(l, guard, c->a) && implies(l, guard, c->b);
    return g->op == ANL_S_AND && (implies(l, g->a, condition) || implies(l, g->b, condition));
}

/* True if v is 0 by itself wherever the condition does not hold: guarded loads give 0 there, and choices between such values too.
 */
static bool zero_outside(const lowerer *l, int32_t v, int32_t condition, int depth)
{
    const anl_instr *i = &l->list[v].i;
    if (i->op == ANL_X_CONST)
        return i->value == 0;
    if (i->op == ANL_X_LOAD)
        return i->b >= 0 && i->value == 0 && implies(l, i->b, condition);
    return i->op == ANL_S_SELECT && depth > 0 && zero_outside(l, i->b, condition, depth - 1) &&
           zero_outside(l, i->c, condition, depth - 1);
}

static int32_t emit(anl_lowering *call, anl_scalar op, anl_dtype dtype, int32_t a, int32_t b, int32_t c)
{
    lowerer *l = (lowerer *)call;
    if (dtype == ANL_I32)
        return emit_int(l, op, a, b, c);
    anl_dtype operand = (anl_dtype)l->list[a].i.dtype;
    double x = 0, y = 0, z = 0;
    bool ca = const_of(l, a, &x), cb = const_of(l, b, &y), cc = const_of(l, c, &z);
    if (ca && (b < 0 || cb) && (c < 0 || cc))
        return constant(l, dtype, anl_scalar_evaluate(op, dtype, operand, x, y, z));
    if (op == ANL_S_CAST && operand == dtype)
        return a;
    if (op == ANL_S_SELECT) {
        if (ca)
            return x != 0 ? b : c;
        if (b == c)
            return b;
        if (cc && z == 0 && zero_outside(l, b, a, 4))
            return b;
    }
    if (dtype == ANL_BOOL && operand == ANL_I32 && (op == ANL_S_LT || op == ANL_S_LE || op == ANL_S_EQ || op == ANL_S_NE)) {
        term terms[TERMS];
        form f = {.terms = terms};
        int64_t low, high;
        add_form(l, &f, a, 1);
        add_form(l, &f, b, -1);
        int kept = 0;
        for (int i = 0; i < f.count; i++)
            if (f.terms[i].coefficient != 0)
                f.terms[kept++] = f.terms[i];
        f.count = kept;
        form_range(l, &f, &low, &high);
        bool yes = op == ANL_S_LT   ? high < 0
                   : op == ANL_S_LE ? high <= 0
                   : op == ANL_S_EQ ? low == 0 && high == 0
                                    : low > 0 || high < 0;
        bool no = op == ANL_S_LT   ? low >= 0
                  : op == ANL_S_LE ? low > 0
                  : op == ANL_S_EQ ? low > 0 || high < 0
                                   : low == 0 && high == 0;
        if (yes || no)
            return constant(l, ANL_BOOL, yes);
    }
    if (op == ANL_S_AND || op == ANL_S_OR) {
        bool neutral = op == ANL_S_AND;
        if (ca)
            return (x != 0) == neutral ? b : a;
        if (cb)
            return (y != 0) == neutral ? a : b;
        if (a == b)
            return a;
    }
    if (dtype == ANL_F32) {
        if (op == ANL_S_ADD && ca && x == 0)
            return b;
        if ((op == ANL_S_ADD || op == ANL_S_SUB) && cb && y == 0)
            return a;
        if (op == ANL_S_MUL && ca && x == 1)
            return b;
        if ((op == ANL_S_MUL || op == ANL_S_DIV) && cb && y == 1)
            return a;
    }
    bool swap =
        (op == ANL_S_ADD || op == ANL_S_MUL || op == ANL_S_AND || op == ANL_S_OR || op == ANL_S_EQ || op == ANL_S_NE) && a > b;
    return append(l, (anl_instr){.op = (uint16_t)op, .dtype = (uint8_t)dtype, .a = swap ? b : a, .b = swap ? a : b, .c = c}, 0,
                  0);
}

static int32_t call_constant(anl_lowering *call, anl_dtype dtype, double value)
{
    return constant((lowerer *)call, dtype, value);
}

static int32_t draw(anl_lowering *call, anl_op op, uint64_t key, int32_t element, int32_t sample)
{
    return append((lowerer *)call,
                  (anl_instr){.op = op == ANL_OP_NORMAL ? ANL_X_NORMAL : ANL_X_UNIFORM,
                              .dtype = ANL_F32,
                              .a = element,
                              .b = sample,
                              .c = -1,
                              .key = key},
                  0, 0);
}

static int32_t current_guard(const lowerer *l) { return l->guard_count > 0 ? l->guards[l->guard_count - 1] : -1; }

static void push_guard(anl_lowering *call, int32_t guard)
{
    lowerer *l = (lowerer *)call;
    int32_t now = current_guard(l);
    double value;
    if (const_of(l, guard, &value) && value != 0)
        guard = now;
    else if (now >= 0)
        guard = emit(call, ANL_S_AND, ANL_BOOL, now, guard, -1);
    if (l->guard_count < (int)ANL_COUNT(l->guards))
        l->guards[l->guard_count++] = guard;
    else
        l->guard_lost++;
}

static void pop_guard(anl_lowering *call)
{
    lowerer *l = (lowerer *)call;
    if (l->guard_lost > 0)
        l->guard_lost--;
    else
        l->guard_count--;
}

static int32_t load(lowerer *l, int32_t buffer, int32_t index, int64_t low, int64_t high)
{
    int32_t guard = current_guard(l);
    double value;
    anl_dtype dtype = l->w->buffers[buffer].b.dtype;
    if (guard >= 0 && const_of(l, guard, &value))
        return constant(l, dtype, 0); /* never read */
    return append(l, (anl_instr){.op = ANL_X_LOAD, .dtype = (uint8_t)dtype, .a = index, .b = guard, .c = -1, .slot = buffer}, low,
                  high);
}

static int32_t place_index(lowerer *l, const anl_place *at, const int32_t *coordinates, int rank)
{
    term terms[TERMS];
    form f = {.terms = terms, .base = at->base};
    for (int i = 0; i < rank; i++)
        if (at->stride[i] != 0)
            add_form(l, &f, coordinates[i], at->stride[i]);
    return linear(l, &f);
}

static int32_t table_buffer(anl_work *w, const anl_node *n)
{
    anl_info *info = &w->info[n->id];
    if (info->at.buffer < 0) {
        info->at.buffer = anl_work_buffer(w, ANL_SPACE_TABLE, ANL_I32, n->attrs.table_count, "table", n);
        w->buffers[info->at.buffer].b.table = n->attrs.table;
    }
    return info->at.buffer;
}

static int32_t load_table(lowerer *l, const anl_node *n, int32_t index)
{
    int32_t buffer = table_buffer(l->w, n);
    int64_t low = INT32_MIN, high = INT32_MAX;
    if (l->w->buffers[buffer].b.dtype == ANL_I32) {
        const int32_t *table = l->w->buffers[buffer].b.table;
        low = high = table[0];
        for (int64_t i = 1; i < l->w->buffers[buffer].b.count; i++) {
            low = table[i] < low ? table[i] : low;
            high = table[i] > high ? table[i] : high;
        }
    }
    return load(l, buffer, index, low, high);
}

static int32_t call_table(anl_lowering *call, const anl_node *n, int32_t index) { return load_table((lowerer *)call, n, index); }

/* ---- per-step scalars ---- */
static int32_t scalar_instr(anl_work *w, anl_node *n)
{
    anl_info *info = &w->info[n->id];
    if (info->scalar >= 0)
        return info->scalar;
    anl_instr i = {.dtype = (uint8_t)n->dtype, .a = -1, .b = -1, .c = -1};
    if (n->op == ANL_OP_CONST) {
        i.op = ANL_X_CONST;
        i.value = n->attrs.value;
    } else if (n->op == ANL_OP_STEP) {
        i.op = (uint16_t)(n->attrs.count == 1 ? ANL_X_STEPS_PER_EPOCH : n->attrs.count == 2 ? ANL_X_TOTAL_STEPS : ANL_X_STEP);
    } else {
        i.op = (uint16_t)n->attrs.scalar;
        for (int k = 0; k < n->input_count; k++)
            *(k == 0 ? &i.a : k == 1 ? &i.b : &i.c) = scalar_instr(w, n->inputs[k]);
    }
    ANL_PUSH(w->arena, w->scalars, w->scalar_count, w->scalar_capacity, i);
    return info->scalar = w->scalar_count - 1;
}

int32_t anl_work_slot(anl_work *w, anl_node *n)
{
    anl_info *info = &w->info[n->id];
    if (info->slot < 0) {
        int32_t instr = scalar_instr(w, n);
        ANL_PUSH(w->arena, w->slots, w->slot_count, w->slot_capacity, instr);
        info->slot = w->slot_count - 1;
    }
    return info->slot;
}

/* ---- values ---- */
static int32_t coordinate(lowerer *l, int32_t axis)
{
    for (int d = 0; d < l->dim_count; d++)
        if (l->dims[d].axis == axis) {
            if (l->dim_atom[d] < 0)
                l->dim_atom[d] = append(l, (anl_instr){.op = ANL_X_DIM, .dtype = ANL_I32, .a = -1, .b = -1, .c = -1, .slot = d},
                                        0, l->dims[d].size - 1);
            return l->dim_atom[d];
        }
    return constant(l, ANL_I32, 0);
}

static void coordinates_of(lowerer *l, const anl_node *n, int32_t *out)
{
    for (int i = 0; i < n->rank; i++)
        out[i] = coordinate(l, n->axes[i].id);
}

static int axis_at(const anl_node *n, int32_t axis)
{
    for (int i = 0; i < n->rank; i++)
        if (n->axes[i].id == axis)
            return i;
    return -1;
}

static int32_t value(anl_lowering *call, const anl_node *n, const int32_t *coordinates);

static int32_t lower_unwin(lowerer *l, const anl_node *n, const int32_t *at)
{
    const anl_slide *s = &n->attrs.slide[0];
    const anl_node *x = n->inputs[0];
    anl_lowering *call = &l->call;
    int32_t in[ANL_MAX_AXES];
    term terms[TERMS];
    form f = {.terms = terms, .base = s->padding};
    int32_t j = at[axis_at(n, n->attrs.axis[1])], o, tap = j, ok;
    add_form(l, &f, at[axis_at(n, s->axis)], 1);
    if (s->dilation == 1) {
        /* input position + padding = o * stride + tap: tap = phase + j * stride */
        int32_t reached = linear(l, &f);
        o = emit_int(l, ANL_S_SUB, divide(l, reached, s->stride, false), j, -1);
        tap = emit_int(l, ANL_S_ADD, divide(l, reached, s->stride, true),
                       emit_int(l, ANL_S_MUL, j, constant(l, ANL_I32, s->stride), -1), -1);
        ok = emit(call, ANL_S_LT, ANL_BOOL, tap, constant(l, ANL_I32, s->tap_size), -1);
    } else {
        add_form(l, &f, j, -s->dilation);
        int32_t offset = linear(l, &f);
        o = divide(l, offset, s->stride, false);
        ok = s->stride > 1 ? emit(call, ANL_S_EQ, ANL_BOOL, divide(l, offset, s->stride, true), constant(l, ANL_I32, 0), -1)
                           : constant(l, ANL_BOOL, 1);
    }
    ok = emit(call, ANL_S_AND, ANL_BOOL, ok, emit(call, ANL_S_LE, ANL_BOOL, constant(l, ANL_I32, 0), o, -1), -1);
    ok = emit(call, ANL_S_AND, ANL_BOOL, ok, emit(call, ANL_S_LT, ANL_BOOL, o, constant(l, ANL_I32, s->out_size), -1), -1);
    for (int i = 0; i < x->rank; i++)
        in[i] = x->axes[i].id == s->axis ? o : x->axes[i].id == n->attrs.axis[1] ? tap : at[axis_at(n, x->axes[i].id)];
    push_guard(call, ok);
    int32_t v = value(call, x, in);
    pop_guard(call);
    return emit(call, ANL_S_SELECT, n->dtype, ok, v, constant(l, n->dtype, 0));
}

static int32_t lower_segment(lowerer *l, const anl_node *n, const int32_t *at)
{
    const anl_node *x = n->inputs[0];
    anl_lowering *call = &l->call;
    int32_t in[ANL_MAX_AXES], segment = at[axis_at(n, n->attrs.axis[1])], within = at[axis_at(n, n->attrs.over[0])];
    term terms[TERMS];
    form f = {.terms = terms, .base = 1};
    add_form(l, &f, segment, 1);
    int32_t start = load_table(l, n, segment), end = load_table(l, n, linear(l, &f));
    int32_t position = emit_int(l, ANL_S_ADD, start, within, -1);
    int32_t ok = emit(call, ANL_S_LT, ANL_BOOL, position, end, -1);
    for (int i = 0; i < x->rank; i++)
        in[i] = x->axes[i].id == n->attrs.axis[0] ? position : at[axis_at(n, x->axes[i].id)];
    push_guard(call, ok);
    int32_t v = value(call, x, in);
    pop_guard(call);
    return emit(call, ANL_S_SELECT, n->dtype, ok, v, constant(l, n->dtype, 0));
}

static int32_t accumulate(lowerer *l, const anl_node *n)
{
    lowerer *body = l->body;
    static const struct {
        anl_op op;
        anl_combine combine;
        int component;
    } kinds[] = {{ANL_OP_SUM, ANL_SUM, 0},       {ANL_OP_MAX, ANL_MAX, 0},
                 {ANL_OP_ARGMAX, ANL_ARGMAX, 0}, {ANL_OP_LOGSUMEXP, ANL_LOGSUMEXP, 0},
                 {ANL_OP_MEAN, ANL_MOMENTS, 0},  {ANL_OP_VARIANCE, ANL_MOMENTS, 1}};
    int k = 0;
    while (kinds[k].op != n->op)
        k++;
    int32_t in[ANL_MAX_AXES];
    coordinates_of(body, n->inputs[0], in);
    int32_t v = value(&body->call, n->inputs[0], in);
    int slot = 0;
    while (slot < body->accumulator_count &&
           !(body->accumulators[slot].combine == kinds[k].combine && body->accumulators[slot].instr == v))
        slot++;
    if (slot == body->accumulator_count)
        body->accumulators[body->accumulator_count++] = (anl_accumulator){kinds[k].combine, n->dtype, v};
    return append(
        l, (anl_instr){.op = ANL_X_ACC, .dtype = (uint8_t)n->dtype, .a = kinds[k].component, .b = -1, .c = -1, .slot = slot},
        INT32_MIN, INT32_MAX);
}

static int32_t remember(lowerer *l, const anl_node *n, const int32_t *coordinates, int32_t guard, bool add, int32_t v)
{
    if (l->memo_count * 2 >= l->memo_hash_size) {
        int size = l->memo_hash_size ? l->memo_hash_size * 2 : 128;
        l->memo_hash = ANL_NEW_ARRAY(l->w->arena, int32_t, size);
        memset(l->memo_hash, -1, sizeof(int32_t) * (size_t)size);
        l->memo_hash_size = size;
        for (int m = 0; m < l->memo_count; m++) {
            const memo *e = &l->memos[m];
            int32_t head[2] = {e->node, e->guard};
            uint64_t h =
                anl_hash(e->coordinates, sizeof(int32_t) * (size_t)l->w->nodes[e->node]->rank, anl_hash(head, sizeof head, 1));
            while (l->memo_hash[h & (uint64_t)(size - 1)] >= 0)
                h++;
            l->memo_hash[h & (uint64_t)(size - 1)] = m;
        }
    }
    int32_t head[2] = {n->id, guard};
    size_t bytes = sizeof(int32_t) * (size_t)n->rank;
    uint64_t mask = (uint64_t)l->memo_hash_size - 1, h = anl_hash(coordinates, bytes, anl_hash(head, sizeof head, 1));
    for (; l->memo_hash[h & mask] >= 0; h++) {
        const memo *e = &l->memos[l->memo_hash[h & mask]];
        if (e->node == n->id && e->guard == guard && memcmp(e->coordinates, coordinates, bytes) == 0)
            return e->value;
    }
    if (!add)
        return -1;
    memo e = {n->id, guard, v, ANL_NEW_ARRAY(l->w->arena, int32_t, n->rank + 1)};
    memcpy(e.coordinates, coordinates, bytes);
    l->memo_hash[h & mask] = l->memo_count;
    ANL_PUSH(l->w->arena, l->memos, l->memo_count, l->memo_capacity, e);
    return v;
}

/* The value computed here, stored or not. */
static int32_t compute(lowerer *l, const anl_node *n, const int32_t *coordinates)
{
    switch ((int)n->op) {
    case ANL_OP_INDEX:
        return coordinates[0];
    case ANL_W_UNWIN:
        return lower_unwin(l, n, coordinates);
    case ANL_W_SEGMENT:
        return lower_segment(l, n, coordinates);
    case ANL_W_SQUEEZE: {
        int32_t in[ANL_MAX_AXES];
        const anl_node *x = n->inputs[0];
        for (int i = 0; i < x->rank; i++) {
            int at = axis_at(n, x->axes[i].id);
            in[i] = at >= 0 ? coordinates[at] : constant(l, ANL_I32, 0);
        }
        return value(&l->call, x, in);
    }
    case ANL_OP_STOP_GRADIENT: {
        int32_t in[ANL_MAX_AXES];
        for (int i = 0; i < n->inputs[0]->rank; i++)
            in[i] = coordinates[axis_at(n, n->inputs[0]->axes[i].id)];
        return value(&l->call, n->inputs[0], in);
    }
    case ANL_OP_CONTRACT:
        return append(l, (anl_instr){.op = ANL_X_ACC, .dtype = (uint8_t)n->dtype, .a = 0, .b = -1, .c = -1, .slot = 0}, INT32_MIN,
                      INT32_MAX);
    default:
        break;
    }
    if (anl_is_reduction(n->op))
        return accumulate(l, n);
    const anl_op_info *op = n->op < ANL_OP_COUNT ? anl_op_describe(n->op) : NULL;
    if (!op || !op->lower) {
        anl_work_fail(l->w, ANL_A_program_invalid, n, "operation %s has no instruction form", op && op->name ? op->name : "?");
        return constant(l, n->dtype, 0);
    }
    return op->lower(&l->call, n, coordinates);
}

static int32_t value(anl_lowering *call, const anl_node *n, const int32_t *coordinates)
{
    lowerer *l = (lowerer *)call;
    anl_work *w = l->w;
    const anl_info *info = &w->info[n->id];
    if (n->op == ANL_OP_CONST && !(info->stored && info->kernel != l->group))
        return constant(l, n->dtype, n->attrs.value);
    if (info->host && !(info->stored && info->kernel != l->group)) {
        int32_t s = append(
            l,
            (anl_instr){.op = ANL_X_SCALAR, .dtype = ANL_F32, .a = -1, .b = -1, .c = -1, .slot = anl_work_slot(w, (anl_node *)n)},
            0, 0);
        return n->dtype == ANL_F32 ? s : emit(call, ANL_S_CAST, n->dtype, s, -1, -1);
    }
    int32_t guard = current_guard(l), known = remember(l, n, coordinates, guard, false, -1);
    if (known >= 0)
        return known;
    if (l->count > LIMIT_INSTRS) {
        anl_work_fail(w, ANL_A_program_limit, n, "a kernel has more than %d instructions", LIMIT_INSTRS);
        return constant(l, n->dtype, 0);
    }
    int32_t v;
    if (info->stored && info->kernel != l->group) {
        l->loaded[n->id] = true;
        v = load(l, info->at.buffer, place_index(l, &info->at, coordinates, n->rank), INT32_MIN, INT32_MAX);
    } else {
        v = compute(l, n, coordinates);
    }
    return remember(l, n, coordinates, guard, true, v);
}

static lowerer *new_lowerer(anl_work *w, int32_t group, bool tail, bool *loaded)
{
    lowerer *l = ANL_NEW(w->arena, lowerer);
    l->call = (anl_lowering){emit, call_constant, draw, value, push_guard, pop_guard, call_table};
    l->w = w;
    l->g = &w->groups[group];
    l->group = group;
    l->tail = tail;
    l->loaded = loaded;
    l->accumulators = ANL_NEW_ARRAY(w->arena, anl_accumulator, 16);
    for (int i = 0; i < (int)ANL_COUNT(l->dim_atom); i++)
        l->dim_atom[i] = -1;
    return l;
}

static void add_dims(lowerer *l, const anl_axis *axes, int rank, int group)
{
    for (int i = 0; i < rank; i++)
        if (axes[i].size > 1 && l->dim_count < (int)ANL_COUNT(l->dims))
            l->dims[l->dim_count++] = (anl_wdim){axes[i].id, axes[i].size, group};
}

/* A root's store: index and value. */
static void lower_root(lowerer *l, const anl_root *r, int32_t *index, int32_t *stored)
{
    int32_t at[ANL_MAX_AXES], in[ANL_MAX_AXES];
    if (r->fill) {
        int32_t element = coordinate(l, -1);
        int64_t count = l->w->buffers[r->to.buffer].b.count;
        *index = load(l, r->fill_table, element, 0, count - 1);
        *stored = constant(l, r->node->dtype, r->fill_value);
        return;
    }
    for (int i = 0; i < r->rank; i++)
        at[i] = coordinate(l, r->axes[i].id);
    *index = place_index(l, &r->to, at, r->rank);
    coordinates_of(l, r->node, in);
    *stored = value(&l->call, r->node, in);
}

static void lower_group(anl_work *w, int32_t group, pending *p, bool *loaded)
{
    anl_group *g = &w->groups[group];
    lowerer *body = NULL, *tail = NULL, *stores;
    if (g->kind == ANL_KERNEL_MAP) {
        stores = body = new_lowerer(w, group, false, loaded);
        add_dims(body, g->kept, g->kept_rank, 0);
    } else {
        stores = tail = new_lowerer(w, group, true, loaded);
        if (g->kind == ANL_KERNEL_REDUCE) {
            body = new_lowerer(w, group, false, loaded);
            add_dims(body, g->kept, g->kept_rank, 0);
            add_dims(tail, g->kept, g->kept_rank, 0);
            add_dims(body, g->reduced, g->reduced_rank, 1);
            tail->body = body;
        } else {
            const anl_root *main = &w->roots[g->roots[0]];
            if (!anl_work_contract(w, g->contract, main, &g->kernel.contract, tail->dims, &tail->dim_count)) {
                anl_work_fail(w, ANL_A_program_invalid, g->contract, "a contraction's operand is not in memory");
                return;
            }
            for (int i = 0; i < 2; i++) {
                anl_node *leaf = NULL;
                int64_t base = 0, stride[ANL_MAX_AXES];
                if (anl_work_view(w, g->contract->inputs[i], &leaf, &base, stride))
                    loaded[leaf->id] = true;
            }
        }
    }
    p->body = body;
    p->tail = tail;
    p->store_index = ANL_NEW_ARRAY(w->arena, int32_t, g->root_count + 1);
    p->store_value = ANL_NEW_ARRAY(w->arena, int32_t, g->root_count + 1);
    if (stores->dim_count > ANL_MAX_DIMS || (body && body->dim_count > ANL_MAX_DIMS))
        anl_work_fail(w, ANL_A_program_limit, w->roots[g->roots[0]].node, "a kernel has more than %d axes", ANL_MAX_DIMS);
    for (int i = 0; i < g->root_count && !w->failed; i++)
        lower_root(stores, &w->roots[g->roots[i]], &p->store_index[i], &p->store_value[i]);
}

/* ---- finishing a kernel ---- */
typedef struct finish {
    anl_work *w;
    lowerer *part[2];
    bool *live[2];
    int32_t *map[2]; /* lowered instruction -> final one */
    int dim_count, kept_count;
    anl_wdim dims[ANL_MAX_DIMS];
    int origin[2][ANL_MAX_DIMS * 2]; /* part's dim -> final dim, or -1: merged into the next (which carries its coefficient) */
    anl_instr *out;
    int out_count, out_capacity, phase_start;
    int32_t *hash;
    int hash_size;
} finish;

static void mark_live(lowerer *l, bool *live, int32_t n)
{
    if (n < 0 || live[n])
        return;
    live[n] = true;
    const anl_instr *i = &l->list[n].i;
    if (i->op == L_LINEAR) {
        for (int t = 0; t < l->forms[i->slot].count; t++)
            mark_live(l, live, l->forms[i->slot].terms[t].atom);
    } else if (i->op != ANL_X_ACC) {
        mark_live(l, live, i->a);
        mark_live(l, live, i->b);
        mark_live(l, live, i->c);
    }
}

static int32_t out_emit(finish *f, anl_instr i)
{
    if ((f->out_count + 1) * 2 >= f->hash_size) {
        int size = f->hash_size ? f->hash_size * 2 : 256;
        f->hash = ANL_NEW_ARRAY(f->w->arena, int32_t, size);
        memset(f->hash, -1, sizeof(int32_t) * (size_t)size);
        f->hash_size = size;
        for (int n = f->phase_start; n < f->out_count; n++) {
            uint64_t h = instr_hash(&f->out[n]);
            while (f->hash[h & (uint64_t)(size - 1)] >= 0)
                h++;
            f->hash[h & (uint64_t)(size - 1)] = n;
        }
    }
    uint64_t mask = (uint64_t)f->hash_size - 1, h = instr_hash(&i);
    for (; f->hash[h & mask] >= 0; h++)
        if (instr_equal(&f->out[f->hash[h & mask]], &i))
            return f->hash[h & mask];
    f->hash[h & mask] = f->out_count;
    ANL_PUSH(f->w->arena, f->out, f->out_count, f->out_capacity, i);
    return f->out_count - 1;
}

static int32_t out_const(finish *f, double v)
{
    return out_emit(f, (anl_instr){.op = ANL_X_CONST, .dtype = ANL_I32, .a = -1, .b = -1, .c = -1, .value = v});
}

static int32_t out_scaled(finish *f, int32_t n, int64_t by)
{
    return by == 1 ? n
                   : out_emit(f, (anl_instr){.op = ANL_S_MUL, .dtype = ANL_I32, .a = n, .b = out_const(f, (double)by), .c = -1});
}

static int32_t out_sum(finish *f, int32_t a, int32_t b)
{
    return a < 0 ? b : out_emit(f, (anl_instr){.op = ANL_S_ADD, .dtype = ANL_I32, .a = a, .b = b, .c = -1});
}

static int32_t out_linear(finish *f, int part, const form *x)
{
    lowerer *l = f->part[part];
    int64_t dims[ANL_MAX_DIMS] = {0};
    int32_t sum = -1;
    for (int t = 0; t < x->count; t++) {
        const anl_instr *i = &l->list[x->terms[t].atom].i;
        if (i->op == ANL_X_DIM && f->origin[part][i->slot] >= 0)
            dims[f->origin[part][i->slot]] += x->terms[t].coefficient;
    }
    for (int d = 0; d < f->dim_count; d++)
        if (dims[d] != 0)
            sum = out_sum(
                f, sum,
                out_scaled(f, out_emit(f, (anl_instr){.op = ANL_X_DIM, .dtype = ANL_I32, .a = -1, .b = -1, .c = -1, .slot = d}),
                           dims[d]));
    for (int t = 0; t < x->count; t++)
        if (l->list[x->terms[t].atom].i.op != ANL_X_DIM)
            sum = out_sum(f, sum, out_scaled(f, f->map[part][x->terms[t].atom], x->terms[t].coefficient));
    if (x->base != 0 || sum < 0)
        sum = out_sum(f, sum, out_const(f, (double)x->base));
    return sum;
}

/* ---- merging dims ---- */
typedef struct rows { /* the forms that matter, as coefficients per dim */
    int64_t (*c)[ANL_MAX_DIMS];
    int count, capacity;
} rows;

static void add_row(finish *f, rows *r, int part, int32_t n)
{
    if (n < 0)
        return;
    lowerer *l = f->part[part];
    if (l->list[n].i.dtype != ANL_I32 || (l->list[n].i.op != L_LINEAR && l->list[n].i.op != ANL_X_DIM))
        return;
    term single;
    form x = form_of(l, n, &single);
    if (r->count == r->capacity)
        r->c = anl_arena_grow(f->w->arena, r->c, r->count, &r->capacity, sizeof r->c[0]);
    int64_t *c = r->c[r->count++];
    memset(c, 0, sizeof r->c[0]);
    for (int t = 0; t < x.count; t++) {
        const anl_instr *i = &l->list[x.terms[t].atom].i;
        if (i->op == ANL_X_DIM)
            c[f->origin[part][i->slot]] += x.terms[t].coefficient;
    }
}

static void drop_column(finish *f, rows *r, int d)
{
    for (int i = 0; i < r->count; i++)
        memmove(&r->c[i][d], &r->c[i][d + 1], sizeof(int64_t) * (size_t)(ANL_MAX_DIMS - d - 1));
    for (int p = 0; p < 2; p++)
        for (int k = 0; f->part[p] && k < f->part[p]->dim_count; k++) {
            if (f->origin[p][k] == d)
                f->origin[p][k] = -1;
            else if (f->origin[p][k] > d)
                f->origin[p][k]--;
        }
    memmove(&f->dims[d], &f->dims[d + 1], sizeof f->dims[0] * (size_t)(f->dim_count - d - 1));
    f->dim_count--;
    if (d < f->kept_count)
        f->kept_count--;
}

/* Order of the dims: as the largest value that is loaded (REDUCE), or as the first store (MAP), lies in memory. */
static void order_dims(finish *f, const anl_group *g, const pending *p, bool keep_reduced)
{
    const lowerer *l = f->part[0];
    int64_t key[ANL_MAX_DIMS] = {0};
    int32_t lead = -1;
    if (g->kind == ANL_KERNEL_MAP) {
        lead = p->store_index[0];
    } else if (g->kind == ANL_KERNEL_REDUCE) {
        int64_t largest = 0;
        for (int n = 0; n < l->count; n++)
            if (f->live[0][n] && l->list[n].i.op == ANL_X_LOAD && f->w->buffers[l->list[n].i.slot].b.count > largest) {
                largest = f->w->buffers[l->list[n].i.slot].b.count;
                lead = l->list[n].i.a;
            }
    }
    if (lead < 0)
        return;
    term single;
    form x = form_of((lowerer *)l, lead, &single);
    for (int t = 0; t < x.count; t++)
        if (l->list[x.terms[t].atom].i.op == ANL_X_DIM)
            key[l->list[x.terms[t].atom].i.slot] = llabs(x.terms[t].coefficient);
    int order[ANL_MAX_DIMS];
    for (int i = 0; i < f->dim_count; i++)
        order[i] = i;
    for (int i = 1; i < f->dim_count; i++)
        for (int j = i; j > 0; j--) {
            int a = order[j - 1], b = order[j];
            if (f->dims[a].group != f->dims[b].group || (keep_reduced && f->dims[a].group == 1) || key[a] >= key[b] ||
                key[a] == 0)
                break;
            order[j - 1] = b;
            order[j] = a;
        }
    anl_wdim dims[ANL_MAX_DIMS];
    int to[ANL_MAX_DIMS];
    for (int i = 0; i < f->dim_count; i++) {
        dims[i] = f->dims[order[i]];
        to[order[i]] = i;
    }
    memcpy(f->dims, dims, sizeof dims);
    for (int k = 0; k < 2; k++)
        for (int d = 0; f->part[k] && d < f->part[k]->dim_count; d++)
            f->origin[k][d] = to[d];
}

static int arg_of(anl_kernel *k, int32_t buffer)
{
    for (int i = 0; i < k->arg_count; i++)
        if (k->args[i].buffer == buffer)
            return i;
    if (k->arg_count == ANL_MAX_ARGS)
        return -1;
    k->args[k->arg_count] = (anl_kernel_arg){.buffer = buffer};
    return k->arg_count++;
}

static double cost_of(const anl_instr *i)
{
    static const double cost[] = {
#define X(name, text, arity, types, flops) flops,
        ANL_SCALARS(X)
#undef X
    };
    if (i->op < ANL_SCALAR_COUNT)
        return cost[i->op];
    return i->op == ANL_X_UNIFORM ? 60 : i->op == ANL_X_NORMAL ? 90 : 0;
}

static const char *kernel_name(anl_work *w, const anl_group *g)
{
    static const char *const scalars[] = {
#define X(name, text, arity, types, cost) text,
        ANL_SCALARS(X)
#undef X
    };
    const anl_node *n = w->roots[g->roots[0]].node;
    anl_text text = {0};
    const char *path = g->contract && g->contract->path && g->contract->path[0] ? g->contract->path : n->path;
    anl_text_add(&text, path ? path : "");
    if (g->contract) {
        bool slid = g->kernel.contract.window_count > 0;
        static const char *const roles[] = {"convolution", "convolution gradient by input", "convolution gradient by kernel"};
        anl_text_printf(&text, "%s%s", text.length ? " " : "", slid ? roles[g->kernel.contract.role] : "matrix product");
    }
    for (int i = 0; i < g->root_count; i++) {
        const anl_root *r = &w->roots[g->roots[i]];
        const anl_op_info *op = r->node->op < ANL_OP_COUNT ? anl_op_describe(r->node->op) : NULL;
        const char *what = r->fill                        ? "pads"
                           : r->node->op == ANL_OP_SCALAR ? scalars[r->node->attrs.scalar]
                           : op && op->name               ? op->name
                                                          : "move";
        if (r->node == g->contract)
            continue;
        anl_text_printf(&text, "%s%s", text.length ? i > 0 ? "+" : " " : "", what);
        if (r->update)
            anl_text_printf(&text, "=>%s", w->buffers[r->to.buffer].b.name);
    }
    char *out = anl_arena_text(w->out, text.data ? text.data : "");
    anl_text_free(&text);
    return out;
}

/* Emits the live instructions of one part. */
static void emit_part(finish *f, int part)
{
    lowerer *l = f->part[part];
    f->phase_start = f->out_count;
    f->hash_size = 0;
    f->hash = NULL;
    f->map[part] = ANL_NEW_ARRAY(f->w->arena, int32_t, l->count + 1);
    for (int n = 0; n < l->count; n++) {
        f->map[part][n] = -1;
        if (!f->live[part][n])
            continue;
        anl_instr i = l->list[n].i;
        if (i.op == ANL_X_DIM)
            continue; /* only in linear forms, or alone: below */
        if (i.op == L_LINEAR) {
            f->map[part][n] = out_linear(f, part, &l->forms[i.slot]);
            continue;
        }
        int32_t *operand[3] = {&i.a, &i.b, &i.c};
        for (int k = 0; k < 3 && i.op != ANL_X_ACC; k++) {
            if (*operand[k] < 0)
                continue;
            int32_t o = *operand[k];
            if (l->list[o].i.op == ANL_X_DIM && f->map[part][o] < 0)
                f->map[part][o] = out_linear(f, part, &(form){.count = 1, .terms = &(term){o, 1}});
            *operand[k] = f->map[part][o];
        }
        f->map[part][n] = out_emit(f, i);
    }
}

static int32_t final_instr(finish *f, int part, int32_t n)
{
    if (f->part[part]->list[n].i.op == ANL_X_DIM && f->map[part][n] < 0)
        f->map[part][n] = out_linear(f, part, &(form){.count = 1, .terms = &(term){n, 1}});
    return f->map[part][n];
}

static void finish_group(anl_work *w, int32_t group, pending *p, const bool *loaded)
{
    anl_group *g = &w->groups[group];
    finish f = {.w = w};
    int stores = g->kind == ANL_KERNEL_MAP ? 0 : 1;
    f.part[0] = p->body;
    f.part[1] = p->tail;
    /* stores that nobody reads go */
    int32_t *kept = ANL_NEW_ARRAY(w->arena, int32_t, g->root_count + 1);
    int kept_count = 0;
    for (int i = 0; i < g->root_count; i++) {
        const anl_root *r = &w->roots[g->roots[i]];
        bool needed = !r->own || r->concat >= 0 || loaded[r->node->id] || w->buffers[r->to.buffer].b.space == ANL_SPACE_OUTPUT;
        if (needed)
            kept[kept_count++] = i;
    }
    if (kept_count == 0) {
        g->merged_into = -2;
        return;
    }
    for (int k = 0; k < 2; k++)
        if (f.part[k])
            f.live[k] = ANL_NEW_ARRAY(w->arena, bool, f.part[k]->count + 1);
    for (int i = 0; i < kept_count; i++) {
        mark_live(f.part[stores], f.live[stores], p->store_index[kept[i]]);
        mark_live(f.part[stores], f.live[stores], p->store_value[kept[i]]);
    }
    bool used[16] = {false}, argmax = false;
    int accumulators = p->body ? p->body->accumulator_count : 0;
    if (p->tail && p->body) {
        for (int n = 0; n < p->tail->count; n++)
            if (f.live[1][n] && p->tail->list[n].i.op == ANL_X_ACC)
                used[p->tail->list[n].i.slot] = true;
        for (int a = 0; a < accumulators; a++)
            if (used[a]) {
                mark_live(p->body, f.live[0], p->body->accumulators[a].instr);
                argmax = argmax || p->body->accumulators[a].combine == ANL_ARGMAX;
            }
    }
    lowerer *main = p->body ? p->body : p->tail;
    f.dim_count = main->dim_count;
    memcpy(f.dims, main->dims, sizeof(anl_wdim) * (size_t)main->dim_count);
    f.kept_count = p->tail ? p->tail->dim_count : main->dim_count;
    for (int k = 0; k < 2; k++)
        for (int d = 0; d < ANL_MAX_DIMS * 2; d++)
            f.origin[k][d] = d;
    if (p->body)
        order_dims(&f, g, p, argmax);
    rows r = {0};
    for (int k = 0; k < 2; k++)
        for (int n = 0; f.part[k] && n < f.part[k]->count; n++) {
            const anl_instr *i = &f.part[k]->list[n].i;
            if (!f.live[k][n])
                continue;
            if (i->op == L_LINEAR || i->op == ANL_X_ACC)
                continue;
            add_row(&f, &r, k, i->a);
            add_row(&f, &r, k, i->b);
            add_row(&f, &r, k, i->c);
        }
    for (int i = 0; i < kept_count; i++) {
        add_row(&f, &r, stores, p->store_index[kept[i]]);
        add_row(&f, &r, stores, p->store_value[kept[i]]);
    }
    for (int a = 0; a < accumulators; a++)
        if (used[a])
            add_row(&f, &r, 0, p->body->accumulators[a].instr);
    anl_kernel *k = &g->kernel;
    bool contract = g->kind == ANL_KERNEL_CONTRACT;
    /* linear forms inside linear forms do not occur: atoms are never linear; forms under divisions are operands and so among the
     * rows */
    for (int d = f.dim_count - 2; d >= 0; d--) {
        if (d + 1 >= f.dim_count || f.dims[d].group != f.dims[d + 1].group ||
            (int64_t)f.dims[d].size * f.dims[d + 1].size >= INT32_MAX)
            continue;
        if (contract && !anl_contract_can_merge(&k->contract, d))
            continue;
        bool can = !w->options.no_fusion;
        for (int i = 0; i < r.count && can; i++)
            can = r.c[i][d] == r.c[i][d + 1] * f.dims[d + 1].size;
        if (!can)
            continue;
        if (contract)
            anl_contract_merge(&k->contract, d);
        f.dims[d + 1].size *= f.dims[d].size;
        drop_column(&f, &r, d);
    }
    if (contract)
        anl_contract_merge_k(&k->contract);
    /* instructions */
    k->kind = g->kind;
    if (p->body)
        emit_part(&f, 0);
    int32_t *acc_slot = ANL_NEW_ARRAY(w->arena, int32_t, accumulators + 1);
    int32_t *acc_instr = ANL_NEW_ARRAY(w->arena, int32_t, accumulators + 1);
    if (p->tail) {
        for (int a = 0; a < accumulators; a++)
            if (used[a])
                acc_instr[a] = final_instr(&f, 0, p->body->accumulators[a].instr);
        k->accumulators = ANL_NEW_ARRAY(w->out, anl_accumulator, accumulators + 1);
        for (int a = 0; a < accumulators; a++)
            if (used[a]) {
                acc_slot[a] = k->accumulator_count;
                k->accumulators[k->accumulator_count] = p->body->accumulators[a];
                k->accumulators[k->accumulator_count++].instr = acc_instr[a];
            }
        k->body_count = f.out_count;
        for (int n = 0; p->body && n < p->tail->count; n++)
            if (p->tail->list[n].i.op == ANL_X_ACC)
                p->tail->list[n].i.slot = acc_slot[p->tail->list[n].i.slot];
        emit_part(&f, 1);
    }
    k->stores = ANL_NEW_ARRAY(w->out, anl_store, kept_count);
    int32_t *roots = ANL_NEW_ARRAY(w->arena, int32_t, kept_count + 1);
    bool fits = true;
    if (contract) {
        k->contract.a_arg = arg_of(k, k->contract.a_arg);
        k->contract.b_arg = arg_of(k, k->contract.b_arg);
        k->args[k->contract.a_arg].read = k->args[k->contract.b_arg].read = true;
    }
    for (int i = 0; i < kept_count; i++) {
        anl_store *s = &k->stores[k->store_count++];
        s->index = final_instr(&f, stores, p->store_index[kept[i]]);
        s->value = final_instr(&f, stores, p->store_value[kept[i]]);
        s->arg = w->roots[g->roots[kept[i]]].to.buffer; /* for now */
        roots[i] = g->roots[kept[i]];
    }
    if (!p->tail)
        k->body_count = f.out_count;
    k->instr_count = f.out_count;
    k->instrs = ANL_NEW_ARRAY(w->out, anl_instr, f.out_count + 1);
    memcpy(k->instrs, f.out, sizeof(anl_instr) * (size_t)f.out_count);
    for (int n = 0; n < k->instr_count; n++)
        if (k->instrs[n].op == ANL_X_LOAD) {
            int arg = arg_of(k, k->instrs[n].slot);
            fits = fits && arg >= 0;
            k->instrs[n].slot = arg;
            if (arg >= 0)
                k->args[arg].read = true;
        }
    for (int i = 0; i < k->store_count; i++) {
        int arg = arg_of(k, k->stores[i].arg);
        fits = fits && arg >= 0;
        k->stores[i].arg = arg;
        if (arg >= 0)
            k->args[arg].written = true;
    }
    if (!fits) {
        anl_work_fail(w, ANL_A_program_limit, w->roots[g->roots[0]].node, "one kernel would use more than %d tensors",
                      ANL_MAX_ARGS);
        return;
    }
    k->dim_count = f.dim_count;
    k->kept_count = g->kind == ANL_KERNEL_REDUCE ? f.kept_count : f.dim_count;
    for (int d = 0; d < f.dim_count; d++)
        k->dims[d] = f.dims[d].size;
    if (k->dim_count == 0 && g->kind == ANL_KERNEL_MAP) {
        k->dim_count = k->kept_count = 1;
        k->dims[0] = 1;
    }
    memcpy(g->roots, roots, sizeof(int32_t) * (size_t)kept_count);
    g->root_count = kept_count;
    k->name = kernel_name(w, g);
    const anl_node *from = g->contract ? g->contract : w->roots[g->roots[0]].node;
    k->owner = anl_arena_text(w->out, from->owner);
    k->stage = from->stage;
    /* estimates */
    double all = 1, points = 1;
    for (int d = 0; d < k->dim_count; d++) {
        all *= k->dims[d];
        points *= d < k->kept_count ? k->dims[d] : 1;
    }
    for (int n = 0; n < k->instr_count; n++)
        if (k->instrs[n].dtype != ANL_I32)
            k->flops += cost_of(&k->instrs[n]) * (n < k->body_count ? all : points);
    k->flops += (double)k->accumulator_count * all;
    if (contract) {
        double sum = points * 2;
        for (int i = 0; i < k->contract.k_count; i++)
            sum *= k->contract.k[i].size;
        for (int i = 0; i < k->contract.window_count; i++)
            sum *= k->contract.role == ANL_CONTRACT_WEIGHT ? k->contract.window[i].out_size : k->contract.window[i].tap_size;
        if (k->contract.role == ANL_CONTRACT_DATA)
            for (int i = 0; i < k->contract.window_count; i++)
                sum /= k->contract.window[i].stride;
        k->flops += sum;
    }
    for (int a = 0; a < k->arg_count; a++) {
        const anl_buffer *b = &w->buffers[k->args[a].buffer].b;
        double esize = anl_work_esize(w, b->dtype);
        if (k->args[a].read)
            k->bytes += fmin((double)b->bytes,
                             contract && (a == k->contract.a_arg || a == k->contract.b_arg) ? (double)b->bytes : all * esize);
        if (k->args[a].written)
            k->bytes += fmin((double)b->bytes, points * esize);
    }
}

void anl_work_lower(anl_work *w)
{
    int count = w->group_count;
    pending *list = ANL_NEW_ARRAY(w->arena, pending, count + 1);
    bool *loaded = ANL_NEW_ARRAY(w->arena, bool, w->node_count + 1);
    for (int i = 0; i < count && !w->failed; i++)
        lower_group(w, i, &list[i], loaded);
    for (int i = 0; i < w->node_count; i++) /* reading a concat is reading what lies in it */
        if (w->info[i].concat >= 0)
            loaded[i] = true;
    for (int i = 0; i < count && !w->failed; i++)
        finish_group(w, i, &list[i], loaded);
}
