/* Contractions as passes of GLSL: matrix products, convolutions and their gradients, all as one implicit matrix product.
 * In: an anl_contract. Out: one pass, or partial sums and the passes that join them; one set per stride phase for a gradient by
 * the input. Every role becomes C[batch, row, col] = sum over red of A[batch, row, red] * B[batch, col, red], where rows, cols
 * and reds are numbers whose digits are the contraction's dims and windows. A's address is affine in all digits; a window adds a
 * bounds check on row digit * p + red digit * q + r. */
#include <stdlib.h>
#include <string.h>

#include "device/vulkan/writer.h"

typedef struct digit {
    int32_t size;
    int64_t a, b;
    int window;   /* guarded window that it moves, or -1 */
    int64_t move; /* by so much per step */
    vk_axis axis; /* of the kernel, for batch, rows and cols */
} digit;

enum { MAX_DIGITS = ANL_MAX_CONTRACT_DIMS + 3 };

typedef struct product {
    digit batch[MAX_DIGITS], rows[MAX_DIGITS], cols[MAX_DIGITS], reds[MAX_DIGITS];
    int batch_count, row_count, col_count, red_count;
    int64_t batch_size, m, n, k;
    int window_count;
    struct {
        int64_t start; /* r */
        int32_t size;
    } window[3]; /* those that need a check */
    int a_arg, b_arg;
    int64_t a_base, b_base;
    /* A and B as they lie */
    bool a_k4, a_m4, b_n4, b_k4; /* aligned fours along k, rows, cols */
    bool inner4;                 /* the innermost red digit counts in fours */
    bool b_linear;               /* B's address is red * b_step */
    int64_t b_step;
    bool n4;         /* cols count in fours within their innermost digit */
    int64_t scratch; /* word of scratch where its partial sums begin, a multiple of four: stride phases run side by side */
} product;

static void add_digit(digit *list, int *count, int32_t size, int64_t a, int64_t b, int window, int64_t move, vk_axis axis)
{
    list[(*count)++] = (digit){size, a, b, window, move, axis};
}

static int64_t floor_mod(int64_t a, int64_t b) { return ((a % b) + b) % b; }

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int64_t greatest_common(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static bool outer_first(const digit *x, const digit *y)
{
    int64_t a = x->a < 0 ? -x->a : x->a, b = y->a < 0 ? -y->a : y->a;
    return a >= b;
}

static void sort_digits(digit *list, int count)
{
    for (int i = 1; i < count; i++)
        for (int j = i; j > 0 && !outer_first(&list[j - 1], &list[j]); j--) {
            digit t = list[j];
            list[j] = list[j - 1];
            list[j - 1] = t;
        }
}

/* Reds: drops digits of size 1 and merges neighbours that A and B both see as one. */
static void merge_reds(product *p)
{
    int count = 0;
    for (int i = 0; i < p->red_count; i++) {
        digit d = p->reds[i];
        if (d.size == 1)
            continue;
        digit *last = count > 0 ? &p->reds[count - 1] : NULL;
        if (last && last->window < 0 && d.window < 0 && last->a == d.a * d.size && last->b == d.b * d.size) {
            d.size *= last->size;
            *last = d;
        } else {
            p->reds[count++] = d;
        }
    }
    p->red_count = count;
}

static bool fours(int64_t value) { return value % 4 == 0; }

/* Looks at strides: are there aligned runs of four? */
static void find_fours(product *p, int64_t a_delta, int64_t b_delta)
{
    const digit *red = p->red_count > 0 ? &p->reds[p->red_count - 1] : NULL;
    int last_row = p->row_count - 1, last_col = p->col_count - 1;
    while (last_row >= 0 && p->rows[last_row].size == 1)
        last_row--;
    while (last_col >= 0 && p->cols[last_col].size == 1)
        last_col--;
    bool a_rest = fours(p->a_base + a_delta), b_rest = fours(p->b_base + b_delta);
    bool a_reds = true, a_rows = true, b_reds = true, b_cols = true;
    for (int i = 0; i < p->batch_count; i++) {
        a_rest &= fours(p->batch[i].a) || p->batch[i].size == 1;
        b_rest &= fours(p->batch[i].b) || p->batch[i].size == 1;
    }
    for (int i = 0; i < p->red_count - 1; i++) {
        a_reds &= fours(p->reds[i].a);
        b_reds &= fours(p->reds[i].b);
    }
    for (int i = 0; i < last_row; i++)
        a_rows &= fours(p->rows[i].a) || p->rows[i].size == 1;
    for (int i = 0; i < last_col; i++)
        b_cols &= fours(p->cols[i].b) || p->cols[i].size == 1;
    p->inner4 = red && fours(red->size);
    p->n4 = last_col >= 0 && fours(p->cols[last_col].size);
    p->a_k4 =
        p->inner4 && red->a == 1 && red->window < 0 && a_rest && a_reds && a_rows && (last_row < 0 || fours(p->rows[last_row].a));
    p->a_m4 = last_row >= 0 && fours(p->rows[last_row].size) && p->rows[last_row].a == 1 && p->rows[last_row].window < 0 &&
              a_rest && a_rows && a_reds && (!red || fours(red->a));
    p->b_n4 = p->n4 && p->cols[last_col].b == 1 && b_rest && b_reds && b_cols && (!red || fours(red->b));
    p->b_k4 = p->inner4 && red->b == 1 && b_rest && b_reds && b_cols && (last_col < 0 || fours(p->cols[last_col].b));
    p->b_linear = red != NULL;
    int64_t inner = red ? red->size : 1;
    p->b_step = red ? red->b : 0;
    for (int i = p->red_count - 2; i >= 0; i--) {
        p->b_linear &= p->reds[i].b == p->b_step * inner;
        inner *= p->reds[i].size;
    }
}

/* A contraction as a product; phase: position modulo stride of each window (role DATA). */
static void make_product(const vk_device *device, const anl_program *program, const anl_kernel *kernel, const int32_t phase[3],
                         product *p)
{
    const anl_contract *c = &kernel->contract;
    memset(p, 0, sizeof *p);
    p->a_arg = c->a_arg;
    p->b_arg = c->b_arg;
    p->a_base = c->a_base;
    p->b_base = c->b_base;
    p->k = 1;
    int dim = 0;
    for (int i = 0; i < c->batch_count; i++, dim++)
        add_digit(p->batch, &p->batch_count, c->batch[i].size, c->batch[i].a, c->batch[i].b, -1, 0,
                  (vk_axis){.dim = dim, .size = c->batch[i].size, .step = 1, .segment = 0});
    for (int i = 0; i < c->m_count; i++, dim++)
        add_digit(p->rows, &p->row_count, c->m[i].size, c->m[i].a, 0, -1, 0,
                  (vk_axis){.dim = dim, .size = c->m[i].size, .step = 1, .segment = 1});
    for (int i = 0; i < c->window_count; i++, dim++) {
        const anl_window *w = &c->window[i];
        /* position in A = row * p + red * q + r, 0 <= position < size */
        int64_t row_move, red_move, start, row_size, red_size, size, stride, red_b;
        int32_t step = 1, first = 0;
        if (c->role == ANL_CONTRACT_FORWARD) {
            row_move = w->stride, red_move = w->dilation, start = -w->padding;
            row_size = w->out_size, red_size = w->tap_size, size = w->in_size, stride = w->x, red_b = w->w;
        } else if (c->role == ANL_CONTRACT_WEIGHT) {
            row_move = w->dilation, red_move = w->stride, start = -w->padding;
            row_size = w->tap_size, red_size = w->out_size, size = w->in_size, stride = w->x, red_b = w->y;
        } else {
            /* input = stride * j + f takes only taps t with t * dilation = f + padding (mod stride): t = t0 + u * apart;
             * the output is then j - u * (dilation / g) + (f + padding - t0 * dilation) / stride. */
            int64_t g = greatest_common(w->dilation, w->stride), apart = w->stride / g, t0 = -1, f = phase[i];
            for (int64_t t = 0; t < apart && t < w->tap_size && t0 < 0; t++)
                if (floor_mod(f + w->padding - t * w->dilation, w->stride) == 0)
                    t0 = t;
            step = w->stride;
            first = (int32_t)f;
            row_size = f < w->in_size ? ceil_div(w->in_size - f, w->stride) : 0;
            red_size = t0 < 0 ? 0 : ceil_div(w->tap_size - t0, apart);
            row_move = 1, red_move = -(w->dilation / g);
            start = t0 < 0 ? 0 : (f + w->padding - t0 * w->dilation) / w->stride;
            size = w->out_size, stride = w->y, red_b = apart * w->w;
            p->b_base += t0 < 0 ? 0 : t0 * w->w;
        }
        int64_t low = start + (red_move < 0 ? red_move * (red_size - 1) : 0);
        int64_t high = start + row_move * (row_size - 1) + (red_move > 0 ? red_move * (red_size - 1) : 0);
        int window = -1;
        if (low < 0 || high >= size) {
            window = p->window_count++;
            p->window[window].start = start;
            p->window[window].size = (int32_t)size;
        }
        p->a_base += start * stride;
        add_digit(p->rows, &p->row_count, (int32_t)row_size, row_move * stride, 0, window, row_move,
                  (vk_axis){.dim = dim, .size = (int32_t)row_size, .step = step, .first = first, .segment = 1});
        add_digit(p->reds, &p->red_count, (int32_t)red_size, red_move * stride, red_b, window, red_move, (vk_axis){0});
    }
    for (int i = 0; i < c->n_count; i++, dim++)
        add_digit(p->cols, &p->col_count, c->n[i].size, 0, c->n[i].b, -1, 0,
                  (vk_axis){.dim = dim, .size = c->n[i].size, .step = 1, .segment = 2});
    for (int i = 0; i < c->k_count; i++)
        add_digit(p->reds, &p->red_count, c->k[i].size, c->k[i].a, c->k[i].b, -1, 0, (vk_axis){0});
    p->batch_size = p->m = p->n = 1;
    for (int i = 0; i < p->batch_count; i++)
        p->batch_size *= p->batch[i].size;
    for (int i = 0; i < p->row_count; i++)
        p->m *= p->rows[i].size;
    for (int i = 0; i < p->col_count; i++)
        p->n *= p->cols[i].size;
    for (int i = 0; i < p->red_count; i++)
        p->k *= p->reds[i].size;
    if (p->k == 0) {
        p->red_count = 0;
        p->window_count = 0;
        for (int i = 0; i < p->row_count; i++)
            p->rows[i].window = -1;
    }
    sort_digits(p->rows, p->row_count);
    sort_digits(p->reds, p->red_count);
    merge_reds(p);
    const anl_buffer *a = &program->buffers[kernel->args[p->a_arg].buffer], *b = &program->buffers[kernel->args[p->b_arg].buffer];
    find_fours(p, a->offset % device->align / 4, b->offset % device->align / 4);
}

/* ---- text ---- */
/* Splits `linear` into digits named PREFIX0.. and adds what `value` says of each: offset and window positions. */
static void write_digits(vk_writer *w, anl_text *out, const digit *list, int count, const char *linear, const char *prefix)
{
    int last = -1, first = count;
    for (int i = 0; i < count; i++)
        if (list[i].size != 1) {
            last = i;
            if (first == count)
                first = i;
        }
    const char *rest = linear;
    for (int i = last; i >= first; i--) {
        if (list[i].size == 1)
            continue;
        if (i == first) {
            anl_text_printf(out, "int %s%d = int(%s);\n", prefix, i, rest);
        } else {
            const char *quotient = anl_arena_printf(w->arena, "%s%d_q", prefix, i);
            anl_text_printf(out, "uint %s = %s;\n", quotient, vk_divide(w, rest, list[i].size));
            anl_text_printf(out, "int %s%d = int(%s - %s * uint(%s));\n", prefix, i, rest, quotient, vk_param(w, list[i].size));
            rest = quotient;
        }
    }
}

/* Sum of digit * stride (b: of B, else of A) + base; strides in quads where asked. */
static const char *digits_sum(vk_writer *w, const digit *list, int count, const char *prefix, bool b, int64_t base)
{
    anl_text t = {0};
    if (base != 0)
        anl_text_add(&t, vk_param(w, base));
    for (int i = 0; i < count; i++) {
        int64_t stride = b ? list[i].b : list[i].a;
        if (list[i].size == 1 || stride == 0)
            continue;
        anl_text_printf(&t, "%s%s%d", t.length ? " + " : "", prefix, i);
        if (stride != 1)
            anl_text_printf(&t, " * %s", vk_param(w, stride));
    }
    if (t.length == 0)
        anl_text_add(&t, "0");
    const char *text = anl_arena_copy(w->arena, t.data, t.length);
    anl_text_free(&t);
    return text;
}

/* Position of a guarded window that a row or red moves to. */
static const char *window_sum(vk_writer *w, const digit *list, int count, const char *prefix, int window, int64_t base)
{
    const char *text = base != 0 ? vk_param(w, base) : "0";
    for (int i = 0; i < count; i++)
        if (list[i].window == window && list[i].size != 1)
            text = anl_arena_printf(w->arena, "%s + %s%d * %s", text, prefix, i, vk_param(w, list[i].move));
    return text;
}

static void write_functions(vk_writer *w, const product *p)
{
    anl_text *f = &w->functions;
    anl_text_add(f, "void row_of(uint row, out int at, out ivec3 pos)\n{\n");
    write_digits(w, f, p->rows, p->row_count, "row", "d");
    anl_text_printf(f, "at = %s;\npos = ivec3(0);\n",
                    digits_sum(w, p->rows, p->row_count, "d", false, p->a_base + vk_arg_delta(w, p->a_arg)));
    for (int i = 0; i < p->window_count; i++)
        anl_text_printf(f, "pos.%c = %s;\n", "xyz"[i], window_sum(w, p->rows, p->row_count, "d", i, p->window[i].start));
    anl_text_add(f, "}\nint col_of(uint col)\n{\n");
    write_digits(w, f, p->cols, p->col_count, "col", "d");
    anl_text_printf(f, "return %s;\n}\n", digits_sum(w, p->cols, p->col_count, "d", true, p->b_base + vk_arg_delta(w, p->b_arg)));
    anl_text_add(f, "void red_of(uint red, out int at, out int b, out ivec3 pos)\n{\n");
    write_digits(w, f, p->reds, p->red_count, "red", "d");
    anl_text_printf(f, "at = %s;\nb = %s;\npos = ivec3(0);\n", digits_sum(w, p->reds, p->red_count, "d", false, 0),
                    p->b_linear ? anl_arena_printf(w->arena, "int(red) * %s", vk_param(w, p->b_step))
                                : digits_sum(w, p->reds, p->red_count, "d", true, 0));
    for (int i = 0; i < p->window_count; i++)
        anl_text_printf(f, "pos.%c = %s;\n", "xyz"[i], window_sum(w, p->reds, p->red_count, "d", i, 0));
    anl_text_add(f, "}\nbool inside(ivec3 row, ivec3 red)\n{\nreturn true");
    for (int i = 0; i < p->window_count; i++)
        anl_text_printf(f, " && uint(row.%c + red.%c) < uint(%s)", "xyz"[i], "xyz"[i], vk_param(w, p->window[i].size));
    anl_text_add(f, ";\n}\nvoid batch_of(uint batch, out int a, out int b)\n{\n");
    write_digits(w, f, p->batch, p->batch_count, "batch", "d");
    anl_text_printf(f, "a = %s;\nb = %s;\n}\n", digits_sum(w, p->batch, p->batch_count, "d", false, 0),
                    digits_sum(w, p->batch, p->batch_count, "d", true, 0));
}

/* How an invocation's sums c0..c(rows-1) (vec4: cols col..col+3, or x alone where cols is 1; rows row..) leave: to scratch, or
 * through the tail. */
static void write_epilogue(vk_writer *w, const product *p, int rows, int cols, int64_t splits, const vk_axis *axes,
                           int axis_count)
{
    anl_text *out = &w->body;
    const char *m = vk_param(w, p->m), *n = vk_param(w, p->n);
    if (splits > 1) {
        int scratch = vk_bind(w, VK_BIND_SCRATCH, -1, true);
        anl_text_printf(out, "uint place = (split * uint(%s) + batch) * uint(%s), begin = uint(%s);\n",
                        vk_param(w, p->batch_size), m, vk_param(w, p->scratch));
        for (int r = 0; r < rows; r++) {
            anl_text_printf(out, "if (row + %du < uint(%s) && col < uint(%s)) {\n", r, m, n);
            if (p->n4) {
                anl_text_printf(out, "w%d[(begin + (place + row + %du) * uint(%s) + col) >> 2] = floatBitsToInt(c%d);\n", scratch,
                                r, n, r);
            } else {
                for (int j = 0; j < cols; j++)
                    anl_text_printf(out, "%ss%d[begin + (place + row + %du) * uint(%s) + col%s] = floatBitsToInt(c%d.%c);\n",
                                    j ? anl_arena_printf(w->arena, "if (col + %du < uint(%s)) ", j, n) : "", scratch, r, n,
                                    j ? anl_arena_printf(w->arena, " + %du", j) : "", r, "xyzw"[j]);
            }
            anl_text_add(out, "}\n");
        }
        return;
    }
    /* A loop, not straight text: the tail may be long. The sums stay named variables (an indexed array would live in memory). */
    anl_text_printf(out, "for (uint r = 0u; r < %du; r++) {\nvec4 sum = c0;\n", rows);
    for (int r = 1; r < rows; r++)
        anl_text_printf(out, "sum = mix(sum, c%d, bvec4(r == %du));\n", r, r);
    anl_text_printf(out, "if (row + r < uint(%s) && col < uint(%s)) {\nuint row_number = row + r;\n", m, n);
    w->prefix = "t";
    vk_writer_axes(w, axes, axis_count, NULL, 0, true);
    int last_col = -1;
    for (int a = 0; a < w->axis_count; a++)
        if (w->axes[a].segment == 2)
            last_col = a;
    if (p->n4) {
        w->vector_accumulators = true;
        vk_set_vector(w, last_col);
        anl_text_add(out, "uint col_number = col >> 2;\nvec4 acc0_0 = sum;\n");
    } else {
        anl_text_printf(out, "for (uint j = 0u; j < %du && col + j < uint(%s); j++) {\n", cols, n);
        anl_text_add(out,
                     "uint col_number = col + j;\nfloat acc0_0 = j == 0u ? sum.x : j == 1u ? sum.y : j == 2u ? sum.z : sum.w;\n");
    }
    vk_write_split(w, out, "batch", 0);
    vk_write_split(w, out, "row_number", 1);
    vk_write_split(w, out, "col_number", 2);
    vk_write_instrs(w, out, 0, w->kernel->instr_count);
    vk_write_stores(w, out);
    anl_text_add(out, p->n4 ? "}\n}\n" : "}\n}\n}\n");
}

/* tile, in row-major order [split][batch][row tile][col tile], from the running number `number`. */
static void write_tiles(vk_writer *w, const product *p, int64_t row_tiles, int64_t col_tiles, int64_t splits, int64_t chunk)
{
    anl_text *out = &w->body;
    const char *cols = vk_param(w, col_tiles), *rows = vk_param(w, row_tiles), *batches = vk_param(w, p->batch_size);
    anl_text_printf(out, "if (number >= uint(%s))\n    return;\n", vk_param(w, row_tiles * col_tiles * p->batch_size * splits));
    anl_text_printf(out, "uint col_tile = number %% uint(%s);\nnumber /= uint(%s);\n", cols, cols);
    anl_text_printf(out, "uint row_tile = number %% uint(%s);\nnumber /= uint(%s);\n", rows, rows);
    anl_text_printf(out, "uint batch = number %% uint(%s);\nuint split = number / uint(%s);\n", batches, batches);
    anl_text_printf(out, "uint red_first = split * uint(%s), red_last = min(red_first + uint(%s), uint(%s));\n",
                    vk_param(w, chunk), vk_param(w, chunk), vk_param(w, p->k));
    anl_text_add(out, "int batch_a, batch_b;\nbatch_of(batch, batch_a, batch_b);\n");
}

/* ---- baseline: tiles of 64 x 64 in shared memory ---- */
enum { TILE = 64, DEPTH = 16, TILE_LOCAL = 128 };

static void write_tile_variant(vk_writer *w, const product *p, int64_t splits, int64_t chunk, const vk_axis *axes, int axis_count)
{
    anl_text *out = &w->body;
    int64_t row_tiles = ceil_div(p->m, TILE), col_tiles = ceil_div(p->n, TILE);
    w->pass->groups = row_tiles * col_tiles * p->batch_size * splits;
    anl_text_printf(&w->functions, "shared float tile_a[%d * %d], tile_b[%d * %d];\n", DEPTH, TILE + 1, DEPTH, TILE + 4);
    anl_text_add(
        out,
        "uint number = gl_WorkGroupID.x + gl_NumWorkGroups.x * (gl_WorkGroupID.y + gl_NumWorkGroups.y * gl_WorkGroupID.z);\n");
    write_tiles(w, p, row_tiles, col_tiles, splits, chunk);
    const char *m = vk_param(w, p->m), *n = vk_param(w, p->n);
    anl_text_add(out, "uint me = gl_LocalInvocationID.x;\nuint load_k = me & 15u, load_line = me >> 4;\n");
    for (int i = 0; i < 8; i++) {
        anl_text_printf(out,
                        "int ra%d; ivec3 rp%d;\nrow_of(min(row_tile * %du + load_line + %du, uint(%s) - 1u), ra%d, rp%d);\nra%d "
                        "+= batch_a;\n",
                        i, i, TILE, i * 8, m, i, i, i);
        if (!p->b_linear)
            anl_text_printf(out, "int cb%d = batch_b + col_of(min(col_tile * %du + load_line + %du, uint(%s) - 1u));\n", i, TILE,
                            i * 8, n);
    }
    if (p->b_linear) /* neighbours along cols */
        anl_text_printf(out,
                        "uint load_col = me & 63u, load_row = me >> 6;\nint cb = batch_b + col_of(min(col_tile * %du + load_col, "
                        "uint(%s) - 1u));\n",
                        TILE, n);
    anl_text_add(out, "vec4 c0 = vec4(0.0), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0;\n");
    anl_text_add(out, "uint my_row = (me >> 4) * 8u, my_col = (me & 15u) * 4u;\n");
    anl_text_printf(out, "for (uint red = red_first; red < red_last; red += %du) {\n", DEPTH);
    anl_text_add(out, "int ka, kb; ivec3 kp;\nuint my_red = red + load_k;\nbool have = my_red < red_last;\nred_of(min(my_red, "
                      "red_last - 1u), ka, kb, kp);\n");
    for (int i = 0; i < 8; i++) {
        anl_text_printf(out, "bool ok%d = have && inside(rp%d, kp);\nint ia%d = ok%d ? ra%d + ka : 0;\n", i, i, i, i, i);
        anl_text_printf(out, "float va%d = mix(0.0, s%d[ia%d], ok%d);\n", i, vk_bind(w, VK_BIND_STORAGE, p->a_arg, false), i, i);
    }
    int b = vk_bind(w, VK_BIND_STORAGE, p->b_arg, false);
    for (int i = 0; i < 8; i++) {
        if (p->b_linear)
            anl_text_printf(out, "float vb%d = s%d[cb + int(min(red + load_row + %du, red_last - 1u)) * %s];\n", i, b, i * 2,
                            vk_param(w, p->b_step));
        else
            anl_text_printf(out, "float vb%d = s%d[cb%d + kb];\n", i, b, i);
    }
    anl_text_add(out, "barrier();\n");
    for (int i = 0; i < 8; i++) {
        anl_text_printf(out, "tile_a[load_k * %du + load_line + %du] = va%d;\n", TILE + 1, i * 8, i);
        if (p->b_linear)
            anl_text_printf(out, "tile_b[(load_row + %du) * %du + load_col] = vb%d;\n", i * 2, TILE + 4, i);
        else
            anl_text_printf(out, "tile_b[load_k * %du + load_line + %du] = vb%d;\n", TILE + 4, i * 8, i);
    }
    anl_text_printf(out, "barrier();\nfor (uint k = 0u; k < %du; k++) {\n", DEPTH);
    anl_text_printf(out, "uint ia = k * %du + my_row, ib = k * %du + my_col;\n", TILE + 1, TILE + 4);
    anl_text_add(out, "vec4 vb = vec4(tile_b[ib], tile_b[ib + 1u], tile_b[ib + 2u], tile_b[ib + 3u]);\n");
    for (int i = 0; i < 8; i++)
        anl_text_printf(out, "c%d += tile_a[ia + %du] * vb;\n", i, i);
    anl_text_add(out, "}\n}\n");
    anl_text_printf(out, "uint row = row_tile * %du + my_row, col = col_tile * %du + my_col;\n", TILE, TILE);
    write_epilogue(w, p, 8, 4, splits, axes, axis_count);
}

/* ---- 16 x 4 per invocation, A spread by shuffles; A and B through texel buffers ---- */
enum { SPREAD_ROWS = 16 };

static int spread_lanes(const vk_device *device) { return device->subgroup < 8 ? device->subgroup : 8; }

static int spread_local(const vk_device *device)
{
    int groups = device->is_cpu ? 1 : 4;
    while (groups > 1 && groups * device->subgroup > device->max_invocations)
        groups--;
    return groups * device->subgroup;
}

static bool spread_fits(const vk_writer *w, const product *p)
{
    const vk_device *d = w->device;
    return !d->plain && d->subgroup >= 4 && d->subgroup <= d->max_invocations && p->n4 && (p->b_n4 || p->b_k4) && p->k > 0 &&
           vk_texel_fits(w, p->b_arg, 4) && vk_texel_fits(w, p->a_arg, p->a_k4 || p->a_m4 ? 4 : 1);
}

static void write_spread_variant(vk_writer *w, const product *p, int64_t splits, int64_t chunk, const vk_axis *axes,
                                 int axis_count)
{
    anl_text *out = &w->body;
    int subgroup = w->device->subgroup, lanes = spread_lanes(w->device), bands = subgroup / lanes, slots = SPREAD_ROWS / lanes;
    int per_group = spread_local(w->device) / subgroup;
    int64_t row_tiles = ceil_div(p->m, SPREAD_ROWS * bands), col_tiles = ceil_div(p->n, 4 * lanes);
    int64_t tiles = row_tiles * col_tiles * p->batch_size * splits;
    w->pass->groups = ceil_div(tiles, per_group);
    w->uses_shuffle = true;
    anl_text_add(
        out,
        "uint number = gl_WorkGroupID.x + gl_NumWorkGroups.x * (gl_WorkGroupID.y + gl_NumWorkGroups.y * gl_WorkGroupID.z);\n");
    if (per_group > 1)
        anl_text_printf(out, "number = number * %du + gl_SubgroupID;\n", per_group);
    write_tiles(w, p, row_tiles, col_tiles, splits, chunk);
    const char *m = vk_param(w, p->m), *n = vk_param(w, p->n);
    anl_text_printf(out, "uint lane = gl_SubgroupInvocationID %% %du, band = gl_SubgroupInvocationID / %du;\n", lanes, lanes);
    anl_text_printf(out, "uint row = (row_tile * %du + band) * %du, col = (col_tile * %du + lane) * 4u;\n", bands, SPREAD_ROWS,
                    lanes);
    anl_text_printf(out, "int cb = batch_b + col_of(min(col, uint(%s) - 4u));\n", n);
    bool a_m4 = p->a_m4 && !p->a_k4; /* A's fours along k where both would do */
    for (int s = 0; s < slots; s++) {
        anl_text_printf(out, "int ra%d; ivec3 rp%d;\n", s, s);
        if (a_m4) /* texel t = lane + slot * lanes holds rows 4 (t % 4).. at red t / 4 */
            anl_text_printf(out, "row_of(min(row + ((lane + %du) & 3u) * 4u, uint(%s) - 4u), ra%d, rp%d);\n", s * lanes, m, s, s);
        else
            anl_text_printf(out, "row_of(min(row + lane + %du, uint(%s) - 1u), ra%d, rp%d);\n", s * lanes, m, s, s);
        anl_text_printf(out, "ra%d += batch_a;\n", s);
    }
    for (int r = 0; r < SPREAD_ROWS; r++)
        anl_text_printf(out, "vec4 c%d = vec4(0.0);\n", r);
    int64_t b_quad = p->b_k4 && !p->b_n4 ? p->cols[p->col_count - 1].b : 0;
    for (int i = p->col_count - 1; b_quad == 0 && i >= 0; i--)
        if (p->cols[i].size != 1) {
            b_quad = p->cols[i].b;
            break;
        }
    anl_text_add(out, "for (uint red = red_first; red < red_last; red += 4u) {\n");
    bool shared_red = p->inner4; /* four neighbouring reds have one outer position */
    if (shared_red)
        anl_text_add(out, "int ka, kb; ivec3 kp;\nred_of(red, ka, kb, kp);\n");
    /* A */
    const char *red_a = p->red_count > 0 ? vk_param(w, p->reds[p->red_count - 1].a) : "0";
    const char *red_b = p->red_count > 0 ? vk_param(w, p->reds[p->red_count - 1].b) : "0";
    int red_window = p->red_count > 0 ? p->reds[p->red_count - 1].window : -1;
    const char *red_move = red_window >= 0 ? vk_param(w, p->reds[p->red_count - 1].move) : NULL;
    for (int s = 0; s < slots; s++) {
        if (p->a_k4) {
            anl_text_printf(out, "bool ok%d = inside(rp%d, kp);\n", s, s);
            anl_text_printf(out, "vec4 a%d = %s;\n", s,
                            vk_load4(w, p->a_arg, anl_arena_printf(w->arena, "ok%d ? (ra%d + ka) >> 2 : 0", s, s)));
            anl_text_printf(out, "a%d = mix(vec4(0.0), a%d, bvec4(ok%d));\n", s, s, s);
        } else if (a_m4) {
            anl_text_printf(out, "uint my_red%d = red + ((lane + %du) >> 2);\nbool ok%d = my_red%d < red_last;\n", s, s * lanes,
                            s, s);
            anl_text_printf(out, "int ka%d, kb%d; ivec3 kp%d;\nred_of(min(my_red%d, red_last - 1u), ka%d, kb%d, kp%d);\n", s, s,
                            s, s, s, s, s);
            anl_text_printf(out, "ok%d = ok%d && inside(rp%d, kp%d);\n", s, s, s, s);
            anl_text_printf(out, "vec4 a%d = %s;\n", s,
                            vk_load4(w, p->a_arg, anl_arena_printf(w->arena, "ok%d ? (ra%d + ka%d) >> 2 : 0", s, s, s)));
            anl_text_printf(out, "a%d = mix(vec4(0.0), a%d, bvec4(ok%d));\n", s, s, s);
        } else {
            anl_text_printf(out, "vec4 a%d;\n", s);
        }
    }
    if (!p->a_k4 && !a_m4)
        for (int kk = 0; kk < 4; kk++) {
            if (shared_red) {
                anl_text_printf(out, "bool have%d = true;\nint ka%d = ka + %d * %s; ivec3 kp%d = kp;\n", kk, kk, kk, red_a, kk);
                if (red_window >= 0)
                    anl_text_printf(out, "kp%d.%c += %d * %s;\n", kk, "xyz"[red_window], kk, red_move);
            } else {
                anl_text_printf(out, "bool have%d = red + %du < red_last;\nint ka%d, kb%d; ivec3 kp%d;\n", kk, kk, kk, kk, kk);
                anl_text_printf(out, "red_of(min(red + %du, red_last - 1u), ka%d, kb%d, kp%d);\n", kk, kk, kk, kk);
            }
            for (int s = 0; s < slots; s++) {
                anl_text_printf(out, "bool ok%d_%d = have%d && inside(rp%d, kp%d);\n", s, kk, kk, s, kk);
                anl_text_printf(out, "a%d.%c = mix(0.0, %s, ok%d_%d);\n", s, "xyzw"[kk],
                                vk_load1(w, p->a_arg, anl_arena_printf(w->arena, "ok%d_%d ? ra%d + ka%d : 0", s, kk, s, kk)), s,
                                kk);
            }
        }
    /* B */
    if (p->b_n4) {
        for (int kk = 0; kk < 4; kk++) {
            const char *at;
            if (p->b_linear)
                at = shared_red ? anl_arena_printf(w->arena, "cb + int(red + %du) * %s", kk, red_b)
                                : anl_arena_printf(w->arena, "cb + int(min(red + %du, red_last - 1u)) * %s", kk, red_b);
            else if (shared_red)
                at = anl_arena_printf(w->arena, "cb + kb + %d * %s", kk, red_b);
            else {
                anl_text_printf(out, "int xa%d, xb%d; ivec3 xp%d;\nred_of(min(red + %du, red_last - 1u), xa%d, xb%d, xp%d);\n",
                                kk, kk, kk, kk, kk, kk, kk);
                at = anl_arena_printf(w->arena, "cb + xb%d", kk);
            }
            anl_text_printf(out, "vec4 b%d = %s;\n", kk, vk_load4(w, p->b_arg, anl_arena_printf(w->arena, "(%s) >> 2", at)));
        }
    } else {
        const char *quad = vk_param(w, b_quad);
        for (int j = 0; j < 4; j++)
            anl_text_printf(out, "vec4 y%d = %s;\n", j,
                            vk_load4(w, p->b_arg, anl_arena_printf(w->arena, "(cb + kb + %d * %s) >> 2", j, quad)));
        for (int kk = 0; kk < 4; kk++)
            anl_text_printf(out, "vec4 b%d = vec4(y0.%c, y1.%c, y2.%c, y3.%c);\n", kk, "xyzw"[kk], "xyzw"[kk], "xyzw"[kk],
                            "xyzw"[kk]);
    }
    for (int kk = 0; kk < 4; kk++)
        for (int r = 0; r < SPREAD_ROWS; r++) {
            int texel = a_m4 ? r / 4 + 4 * kk : r, component = a_m4 ? r % 4 : kk;
            const char *from = bands > 1 ? anl_arena_printf(w->arena, "band * %du + %du", lanes, texel % lanes)
                                         : anl_arena_printf(w->arena, "%du", texel % lanes);
            anl_text_printf(out, "c%d += subgroupShuffle(a%d.%c, %s) * b%d;\n", r, texel / lanes, "xyzw"[component], from, kk);
        }
    anl_text_add(out, "}\n");
    write_epilogue(w, p, SPREAD_ROWS, 4, splits, axes, axis_count);
}

/* ---- direct: one output, or four neighbours, per invocation; for products too narrow for tiles ---- */
static void write_direct_variant(vk_writer *w, const product *p, int local, int64_t splits, int64_t chunk, const vk_axis *axes,
                                 int axis_count)
{
    anl_text *out = &w->body;
    int cols = p->n4 ? 4 : 1;
    int64_t col_tiles = p->n / cols;
    w->pass->groups = ceil_div(p->batch_size * p->m * col_tiles * splits, local);
    anl_text_add(
        out,
        "uint number = gl_WorkGroupID.x + gl_NumWorkGroups.x * (gl_WorkGroupID.y + gl_NumWorkGroups.y * gl_WorkGroupID.z);\n");
    anl_text_printf(out, "number = number * %du + gl_LocalInvocationID.x;\n", local);
    write_tiles(w, p, p->m, col_tiles, splits, chunk);
    anl_text_printf(out, "uint row = row_tile, col = col_tile * %du;\nvec4 c0 = vec4(0.0);\n", cols);
    if (p->k > 0) {
        bool along = p->a_k4 && p->b_k4 && cols == 1, near = cols == 4 && p->b_n4;
        anl_text_add(out, "int ra; ivec3 rp;\nrow_of(row, ra, rp);\nra += batch_a;\n");
        for (int j = 0; j < (near ? 1 : cols); j++)
            anl_text_printf(out, "int cb%d = batch_b + col_of(col + %du);\n", j, j);
        anl_text_printf(
            out, "for (uint red = red_first; red < red_last; red += %du) {\nint ka, kb; ivec3 kp;\nred_of(red, ka, kb, kp);\n",
            along ? 4 : 1);
        anl_text_add(out, "bool ok = inside(rp, kp);\n");
        if (along) {
            anl_text_printf(out, "vec4 va = mix(vec4(0.0), %s, bvec4(ok));\n", vk_load4(w, p->a_arg, "ok ? (ra + ka) >> 2 : 0"));
            anl_text_printf(out, "vec4 vb = %s;\nc0.x += va.x * vb.x + va.y * vb.y + va.z * vb.z + va.w * vb.w;\n",
                            vk_load4(w, p->b_arg, "(cb0 + kb) >> 2"));
        } else {
            anl_text_printf(out, "float va = mix(0.0, %s, ok);\n", vk_load1(w, p->a_arg, "ok ? ra + ka : 0"));
            if (near)
                anl_text_printf(out, "c0 += va * %s;\n", vk_load4(w, p->b_arg, "(cb0 + kb) >> 2"));
            else
                for (int j = 0; j < cols; j++)
                    anl_text_printf(out, "c0.%c += va * %s;\n", "xyzw"[j],
                                    vk_load1(w, p->b_arg, anl_arena_printf(w->arena, "cb%d + kb", j)));
        }
        anl_text_add(out, "}\n");
    }
    write_epilogue(w, p, 1, cols, splits, axes, axis_count);
}

static bool is_narrow(const product *p) { return p->m < 8 || p->n < 4 || p->k < 4; }

/* ---- choosing and putting together ---- */
static int product_axes(const product *p, vk_axis *axes)
{
    int count = 0;
    for (int i = 0; i < p->batch_count; i++)
        axes[count++] = p->batch[i].axis;
    for (int i = 0; i < p->row_count; i++)
        axes[count++] = p->rows[i].axis;
    for (int i = 0; i < p->col_count; i++)
        axes[count++] = p->cols[i].axis;
    return count;
}

/* Partial sums: enough tiles to fill the device, and no sum of more than 1024 terms in one run (rounding). */
static int64_t contract_splits(const vk_device *device, const product *p, int64_t tiles, int64_t wanted)
{
    int64_t splits = 1;
    if (tiles < wanted && p->k >= 512) {
        splits = ceil_div(wanted, tiles);
        if (splits > p->k / 256)
            splits = p->k / 256;
    }
    if (splits < ceil_div(p->k, 1024))
        splits = ceil_div(p->k, 1024);
    int64_t bytes = p->batch_size * p->m * p->n * 4, limit = ANL_PARTIAL_LIMIT;
    if (limit > device->base.info.limits.storage_range)
        limit = device->base.info.limits.storage_range;
    limit -= 4 * p->scratch;
    while (splits > 1 && splits * bytes > limit)
        splits--;
    return splits;
}

static void lower_product(vk_device *device, const anl_program *program, const anl_kernel *kernel, anl_arena *arena, product *p,
                          vk_lowering *out)
{
    p->scratch = (out->scratch_bytes + 15) / 16 * 4;
    vk_axis axes[VK_MAX_AXES];
    int axis_count = product_axes(p, axes);
    vk_pass *pass = vk_pass_add(arena, out);
    vk_writer w;
    vk_writer_begin(&w, device, program, kernel, arena, pass);
    vk_variant variant = is_narrow(p)         ? VK_VARIANT_DIRECT
                         : spread_fits(&w, p) ? vk_choose(device,
                                                          p->a_k4   ? 'k'
                                                          : p->a_m4 ? 'm'
                                                                    : 'x',
                                                          p->b_n4 ? 'n' : 'k')
                                              : VK_VARIANT_TILE;
    int64_t tiles, wanted;
    int direct_local = vk_pass_local(device, p->batch_size * p->m * p->n);
    if (variant == VK_VARIANT_DIRECT) {
        tiles = ceil_div(p->batch_size * p->m * p->n, 32);
        wanted = device->is_cpu ? 16 : 1024;
    } else if (variant == VK_VARIANT_SHUFFLE) {
        int lanes = spread_lanes(device);
        tiles = ceil_div(p->m, SPREAD_ROWS * (device->subgroup / lanes)) * ceil_div(p->n, 4 * lanes) * p->batch_size;
        wanted = device->is_cpu ? 16 : 1024;
    } else {
        tiles = ceil_div(p->m, TILE) * ceil_div(p->n, TILE) * p->batch_size;
        wanted = device->is_cpu ? 16 : 512;
    }
    int64_t splits = contract_splits(device, p, tiles, wanted);
    int64_t chunk = ceil_div(ceil_div(p->k, splits), DEPTH) * DEPTH;
    splits = chunk > 0 ? ceil_div(p->k, chunk) : 1;
    if (splits < 1)
        splits = 1;
    write_functions(&w, p);
    if (variant == VK_VARIANT_DIRECT)
        write_direct_variant(&w, p, direct_local, splits, chunk, axes, axis_count);
    else if (variant == VK_VARIANT_SHUFFLE)
        write_spread_variant(&w, p, splits, chunk, axes, axis_count);
    else
        write_tile_variant(&w, p, splits, chunk, axes, axis_count);
    vk_writer_end(&w, variant == VK_VARIANT_DIRECT    ? direct_local
                      : variant == VK_VARIANT_SHUFFLE ? spread_local(device)
                                                      : TILE_LOCAL);
    if (splits > 1) {
        out->scratch_bytes = (p->scratch + splits * p->batch_size * p->m * p->n) * 4;
        vk_axis kept[VK_MAX_AXES];
        for (int i = 0; i < axis_count; i++) {
            kept[i] = axes[i];
            kept[i].segment = 0;
        }
        vk_lower_partials(device, program, kernel, arena, kept, axis_count, splits, 1, p->n4, p->n4 ? p->scratch / 4 : p->scratch,
                          out);
    }
}

anl_status vk_lower_contract(vk_device *device, const anl_program *program, const anl_kernel *kernel, anl_arena *arena,
                             anl_diagnostics *diagnostics, vk_lowering *out)
{
    (void)diagnostics;
    const anl_contract *c = &kernel->contract;
    int32_t strides[3] = {1, 1, 1}, phase[3];
    if (c->role == ANL_CONTRACT_DATA)
        for (int i = 0; i < c->window_count; i++)
            strides[i] = c->window[i].stride;
    for (phase[0] = 0; phase[0] < strides[0]; phase[0]++)
        for (phase[1] = 0; phase[1] < strides[1]; phase[1]++)
            for (phase[2] = 0; phase[2] < strides[2]; phase[2]++) {
                product p;
                make_product(device, program, kernel, phase, &p);
                if (p.m * p.n * p.batch_size > 0)
                    lower_product(device, program, kernel, arena, &p, out);
            }
    return ANL_OK;
}
