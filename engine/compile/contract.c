/* Contractions: from named axes to the dims of a sum of products.
 * In: a CONTRACT node whose operands are views of stored values, and where its result is stored. Out: anl_contract and the
 * kernel's dims. A window of one tap without padding is a plain dim, so that a 1x1 convolution is a matrix product. */
#include <string.h>

#include "compile/work.h"

static int axis_at(const anl_node *n, int32_t axis)
{
    for (int i = 0; i < n->rank; i++)
        if (n->axes[i].id == axis)
            return i;
    return -1;
}

typedef struct side {
    const anl_node *n;
    int64_t stride[ANL_MAX_AXES];
} side;

static int64_t stride_of(const side *s, int32_t axis)
{
    int at = axis_at(s->n, axis);
    return at >= 0 ? s->stride[at] : 0;
}

typedef struct list {
    anl_contract_dim dim[ANL_MAX_AXES * 2];
    int32_t axis[ANL_MAX_AXES * 2];
    int count;
} list;

static void add(list *l, int32_t axis, int32_t size, int64_t a, int64_t b, int64_t c)
{
    if (size == 1)
        return;
    l->dim[l->count] = (anl_contract_dim){size, a, b, c};
    l->axis[l->count++] = axis;
}

/* Outermost first: by the stride in the result, else in A, else in B. */
static bool before(const anl_contract_dim *p, const anl_contract_dim *q)
{
    if (p->c != q->c)
        return p->c > q->c;
    if (p->a != q->a)
        return p->a > q->a;
    return p->b > q->b;
}

static void sort(list *l)
{
    for (int i = 1; i < l->count; i++)
        for (int j = i; j > 0 && before(&l->dim[j], &l->dim[j - 1]); j--) {
            anl_contract_dim d = l->dim[j];
            int32_t x = l->axis[j];
            l->dim[j] = l->dim[j - 1];
            l->axis[j] = l->axis[j - 1];
            l->dim[j - 1] = d;
            l->axis[j - 1] = x;
        }
}

static bool nests(const anl_contract_dim *p, const anl_contract_dim *q)
{
    return p->a == q->a * q->size && p->b == q->b * q->size && p->c == q->c * q->size;
}

static void merge_into(anl_contract_dim *p, const anl_contract_dim *q)
{
    p->size *= q->size;
    p->a = q->a;
    p->b = q->b;
    p->c = q->c;
}

static void remove_at(anl_contract_dim *dims, int *count, int at)
{
    memmove(&dims[at], &dims[at + 1], sizeof dims[0] * (size_t)(*count - at - 1));
    (*count)--;
}

/* Which group kernel dim p belongs to; *local: its place there. */
static anl_contract_dim *group_of(anl_contract *c, int p, int **count, int *local)
{
    if (p < c->batch_count) {
        *count = &c->batch_count;
        *local = p;
        return c->batch;
    }
    p -= c->batch_count;
    if (p < c->m_count) {
        *count = &c->m_count;
        *local = p;
        return c->m;
    }
    p -= c->m_count + c->window_count;
    if (p < 0 || p >= c->n_count)
        return NULL;
    *count = &c->n_count;
    *local = p;
    return c->n;
}

bool anl_contract_can_merge(const anl_contract *c, int p)
{
    int *count, local;
    anl_contract_dim *dims = group_of((anl_contract *)c, p, &count, &local);
    return dims && local + 1 < *count && (int64_t)dims[local].size * dims[local + 1].size < INT32_MAX &&
           nests(&dims[local], &dims[local + 1]);
}

void anl_contract_merge(anl_contract *c, int p)
{
    int *count, local;
    anl_contract_dim *dims = group_of(c, p, &count, &local);
    if (!dims)
        return;
    merge_into(&dims[local], &dims[local + 1]);
    remove_at(dims, count, local + 1);
}

void anl_contract_merge_k(anl_contract *c)
{
    for (int i = 0; i + 1 < c->k_count;) {
        if ((int64_t)c->k[i].size * c->k[i + 1].size < INT32_MAX && nests(&c->k[i], &c->k[i + 1])) {
            merge_into(&c->k[i], &c->k[i + 1]);
            remove_at(c->k, &c->k_count, i + 1);
        } else {
            i++;
        }
    }
}

static bool put(anl_contract_dim *to, int *count, const list *l, anl_wdim *dims, int *dim_count, int group)
{
    if (l->count > ANL_MAX_CONTRACT_DIMS)
        return false;
    for (int i = 0; i < l->count; i++) {
        to[(*count)++] = l->dim[i];
        if (dims)
            dims[(*dim_count)++] = (anl_wdim){l->axis[i], l->dim[i].size, group};
    }
    return true;
}

bool anl_work_contract(anl_work *w, anl_node *c, const anl_root *root, anl_contract *out, anl_wdim *dims, int *dim_count)
{
    const anl_attrs *attrs = &c->attrs;
    side a = {.n = c->inputs[0]}, b = {.n = c->inputs[1]}, r = {.n = c};
    anl_node *leaf_a = NULL, *leaf_b = NULL;
    memset(out, 0, sizeof *out);
    if (!anl_work_view(w, c->inputs[0], &leaf_a, &out->a_base, a.stride) ||
        !anl_work_view(w, c->inputs[1], &leaf_b, &out->b_base, b.stride))
        return false;
    out->a_arg = w->info[leaf_a->id].at.buffer;
    out->b_arg = w->info[leaf_b->id].at.buffer;
    for (int i = 0; i < c->rank; i++)
        for (int j = 0; j < root->rank; j++)
            if (root->axes[j].id == c->axes[i].id)
                r.stride[i] = root->to.stride[j];
    list batch = {0}, m = {0}, n = {0}, k = {0};
    anl_window windows[3];
    int32_t window_axis[3];
    for (int s = 0; s < attrs->slide_count; s++) {
        const anl_slide *sl = &attrs->slide[s];
        const side *x = attrs->role == ANL_ROLE_DATA ? &r : &a;
        const side *wt = attrs->role == ANL_ROLE_WEIGHT ? &r : &b;
        const side *y = attrs->role == ANL_ROLE_FORWARD ? &r : attrs->role == ANL_ROLE_DATA ? &a : &b;
        int64_t xs = stride_of(x, sl->axis), ws = stride_of(wt, sl->axis), ys = stride_of(y, sl->axis);
        bool single = sl->tap_size == 1 && sl->padding == 0 && (int64_t)(sl->out_size - 1) * sl->stride < sl->in_size;
        if (single && attrs->role == ANL_ROLE_FORWARD)
            add(&m, sl->axis, sl->out_size, xs * sl->stride, 0, ys);
        else if (single && attrs->role == ANL_ROLE_WEIGHT)
            add(&k, sl->axis, sl->out_size, xs * sl->stride, ys, 0);
        else if (single && sl->stride == 1 && sl->in_size == sl->out_size)
            add(&m, sl->axis, sl->in_size, ys, 0, xs);
        else {
            window_axis[out->window_count] = sl->axis;
            windows[out->window_count++] =
                (anl_window){sl->in_size, sl->tap_size, sl->out_size, sl->stride, sl->dilation, sl->padding, xs, ws, ys};
        }
    }
    for (int i = 0; i < c->rank; i++) {
        int32_t axis = c->axes[i].id, size = c->axes[i].size;
        bool slid = false;
        for (int s = 0; s < attrs->slide_count; s++)
            slid = slid || attrs->slide[s].axis == axis;
        if (slid)
            continue;
        bool in_a = axis_at(a.n, axis) >= 0, in_b = axis_at(b.n, axis) >= 0;
        add(in_a && in_b ? &batch : in_b ? &n : &m, axis, size, stride_of(&a, axis), stride_of(&b, axis), r.stride[i]);
    }
    for (int i = 0; i < attrs->over_count; i++) {
        int32_t axis = attrs->over[i], size = anl_node_size(axis_at(a.n, axis) >= 0 ? a.n : b.n, axis);
        bool slid = false;
        for (int s = 0; s < attrs->slide_count; s++)
            slid = slid || attrs->slide[s].axis == axis;
        if (!slid)
            add(&k, axis, size, stride_of(&a, axis), stride_of(&b, axis), 0);
    }
    sort(&batch);
    sort(&m);
    sort(&n);
    sort(&k);
    *dim_count = 0;
    bool fits = batch.count + m.count + out->window_count + n.count <= ANL_MAX_DIMS &&
                put(out->batch, &out->batch_count, &batch, dims, dim_count, 0) &&
                put(out->m, &out->m_count, &m, dims, dim_count, 1);
    for (int s = 0; fits && s < out->window_count; s++) {
        int32_t own = attrs->role == ANL_ROLE_FORWARD ? windows[s].out_size
                      : attrs->role == ANL_ROLE_DATA  ? windows[s].in_size
                                                      : windows[s].tap_size;
        dims[(*dim_count)++] = (anl_wdim){window_axis[s], own, 10 + s};
        out->window[s] = windows[s];
    }
    fits = fits && put(out->n, &out->n_count, &n, dims, dim_count, 2) && put(out->k, &out->k_count, &k, NULL, NULL, 3);
    out->role = out->window_count == 0            ? ANL_CONTRACT_FORWARD
                : attrs->role == ANL_ROLE_FORWARD ? ANL_CONTRACT_FORWARD
                : attrs->role == ANL_ROLE_DATA    ? ANL_CONTRACT_DATA
                                                  : ANL_CONTRACT_WEIGHT;
    if (!fits)
        anl_work_fail(w, ANL_A_program_limit, c, "a contraction has more than %d separate axes of one kind; merge() some of them first",
                      ANL_MAX_CONTRACT_DIMS);
    return fits;
}
