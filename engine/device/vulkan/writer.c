/* Writes a kernel's instructions, loads and stores as GLSL, in one lane or in four.
 * In: a kernel and the axes of a pass. Out: text of main and its bindings and parameters.
 * Constants that are sizes, strides or offsets become parameters; what a person would call the formula stays text. */
#include "device/vulkan/writer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shaders.h"

void vk_writer_begin(vk_writer *w, vk_device *device, const anl_program *program, const anl_kernel *kernel, anl_arena *arena,
                     vk_pass *pass)
{
    memset(w, 0, sizeof *w);
    w->device = device;
    w->program = program;
    w->kernel = kernel;
    w->arena = arena;
    w->pass = pass;
    w->vector = -1;
    w->prefix = "v";
    w->live = ANL_NEW_ARRAY(arena, bool, kernel->instr_count + 1);
    w->vary = ANL_NEW_ARRAY(arena, bool, kernel->instr_count + 1);
    anl_text_add(&w->declarations, "");
    anl_text_add(&w->functions, "");
    anl_text_add(&w->body, "");
}

/* Includes a text of functions once per width. */
static void add_widths(anl_text *out, const char *text)
{
    anl_text_add(out, "#define F float\n#define I int\n#define U uint\n#define B bool\n#define LT(a, b) ((a) < (b))\n"
                      "#define EQ(a, b) ((a) == (b))\n#define NE(a, b) ((a) != (b))\n#define AND(a, b) a_and(a, b)\n#define "
                      "OR(a, b) a_or(a, b)\n");
    anl_text_add(out, text);
    anl_text_add(out, "#undef F\n#undef I\n#undef U\n#undef B\n#undef LT\n#undef EQ\n#undef NE\n");
    anl_text_add(out, "#define F vec4\n#define I ivec4\n#define U uvec4\n#define B bvec4\n#define LT(a, b) lessThan(a, b)\n"
                      "#define EQ(a, b) equal(a, b)\n#define NE(a, b) notEqual(a, b)\n");
    anl_text_add(out, text);
    anl_text_add(out, "#undef F\n#undef I\n#undef U\n#undef B\n#undef LT\n#undef EQ\n#undef NE\n#undef AND\n#undef OR\n");
}

void vk_writer_end(vk_writer *w, int local)
{
    anl_text text = {0};
    vk_pass *pass = w->pass;
    anl_text_add(&text, "#version 450\n");
    if (w->uses_shuffle)
        anl_text_add(&text,
                     "#extension GL_KHR_shader_subgroup_basic : require\n#extension GL_KHR_shader_subgroup_shuffle : require\n");
    anl_text_printf(&text, "layout(local_size_x = %d) in;\n", local);
    anl_text_add(&text, w->declarations.data);
    if (pass->param_count > 0) {
        int binding = vk_bind(w, VK_BIND_PARAMS, -1, false);
        anl_text_printf(&text, "layout(std140, binding = %d) uniform Params { ivec4 P[%d]; };\n", binding,
                        (pass->param_count + 3) / 4);
        for (int i = 0; i < pass->param_count; i++)
            anl_text_printf(&text, "%sq%d%s", i % 16 == 0 ? "int " : ", ", i,
                            i % 16 == 15 || i + 1 == pass->param_count ? ";\n" : "");
    }
    anl_text_add(&text, anl_shader_common);
    if (w->uses_math || w->uses_philox || w->uses_reduce)
        add_widths(&text, anl_shader_math);
    if (w->uses_reduce)
        add_widths(&text, anl_shader_reduce);
    if (w->uses_philox)
        add_widths(&text, anl_shader_philox);
    anl_text_add(&text, w->functions.data);
    anl_text_add(&text, "void main()\n{\n");
    for (int i = 0; i < pass->param_count; i++)
        anl_text_printf(&text, "q%d = P[%d].%c;%s", i, i / 4, "xyzw"[i % 4],
                        i % 4 == 3 || i + 1 == pass->param_count ? "\n" : " ");
    anl_text_add(&text, w->body.data);
    anl_text_add(&text, "}\n");
    pass->source = anl_arena_copy(w->arena, text.data, text.length);
    anl_text_free(&text);
    anl_text_free(&w->declarations);
    anl_text_free(&w->functions);
    anl_text_free(&w->body);
}

const char *vk_param(vk_writer *w, int64_t value)
{
    vk_pass *pass = w->pass;
    if (pass->param_count == w->param_capacity) {
        int capacity = w->param_capacity ? 2 * w->param_capacity : 32;
        int32_t *params = ANL_NEW_ARRAY(w->arena, int32_t, capacity);
        if (pass->param_count > 0)
            memcpy(params, pass->params, sizeof(int32_t) * (size_t)pass->param_count);
        pass->params = params;
        w->param_capacity = capacity;
    }
    pass->params[pass->param_count] = (int32_t)value;
    return anl_arena_printf(w->arena, "q%d", pass->param_count++);
}

static const anl_buffer *buffer_of(const vk_writer *w, int arg) { return &w->program->buffers[w->kernel->args[arg].buffer]; }

int64_t vk_arg_delta(const vk_writer *w, int arg) { return buffer_of(w, arg)->offset % w->device->align / 4; }

bool vk_texel_fits(const vk_writer *w, int arg, int components)
{
    const anl_buffer *b = buffer_of(w, arg);
    int64_t words = (vk_arg_delta(w, arg) + b->count + 3) / 4 * 4;
    if (b->dtype != ANL_F32 || w->device->plain || words / components > w->device->texel_elements)
        return false;
    vk_binding_type type = components == 4 ? VK_BIND_TEXEL4 : VK_BIND_TEXEL1;
    int bound = 0;
    for (int i = 0; i < w->pass->binding_count; i++) {
        const vk_binding *other = &w->pass->bindings[i];
        if (other->type == type && other->arg == arg)
            return true;
        bound += other->type == VK_BIND_TEXEL4 || other->type == VK_BIND_TEXEL1;
    }
    return bound < w->device->texel_bindings;
}

int vk_bind(vk_writer *w, vk_binding_type type, int arg, bool written)
{
    vk_pass *pass = w->pass;
    for (int i = 0; i < pass->binding_count; i++)
        if (pass->bindings[i].type == type && pass->bindings[i].arg == arg)
            return i;
    int i = pass->binding_count++;
    pass->bindings[i] = (vk_binding){type, arg, written};
    if (type == VK_BIND_STORAGE) {
        const char *scalar = buffer_of(w, arg)->dtype == ANL_F32 ? "float" : "int";
        const char *vec = buffer_of(w, arg)->dtype == ANL_F32 ? "vec4" : "ivec4";
        const char *access = w->kernel->args[arg].written ? "" : "readonly ";
        anl_text_printf(&w->declarations, "layout(std430, binding = %d) %sbuffer S%d { %s s%d[]; };\n", i, access, i, scalar, i);
        anl_text_printf(&w->declarations, "layout(std430, binding = %d) %sbuffer V%d { %s w%d[]; };\n", i, access, i, vec, i);
    } else if (type == VK_BIND_TEXEL4 || type == VK_BIND_TEXEL1) {
        anl_text_printf(&w->declarations, "layout(binding = %d) uniform samplerBuffer tex%d;\n", i, i);
    } else if (type == VK_BIND_SCRATCH) {
        anl_text_printf(&w->declarations, "layout(std430, binding = %d) buffer S%d { int s%d[]; };\n", i, i, i);
        anl_text_printf(&w->declarations, "layout(std430, binding = %d) buffer V%d { ivec4 w%d[]; };\n", i, i, i);
    } else if (type == VK_BIND_STEP) {
        anl_text_printf(&w->declarations, "layout(std140, binding = %d) uniform Step { uvec4 u%d[%d]; };\n", i, i,
                        (w->program->scalar_count + 2 + 3) / 4);
    }
    return i;
}

const char *vk_load4(vk_writer *w, int arg, const char *quad)
{
    if (vk_texel_fits(w, arg, 4))
        return anl_arena_printf(w->arena, "texelFetch(tex%d, %s)", vk_bind(w, VK_BIND_TEXEL4, arg, false), quad);
    return anl_arena_printf(w->arena, "w%d[%s]", vk_bind(w, VK_BIND_STORAGE, arg, w->kernel->args[arg].written), quad);
}

const char *vk_load1(vk_writer *w, int arg, const char *index)
{
    if (vk_texel_fits(w, arg, 1))
        return anl_arena_printf(w->arena, "texelFetch(tex%d, %s).x", vk_bind(w, VK_BIND_TEXEL1, arg, false), index);
    return anl_arena_printf(w->arena, "s%d[%s]", vk_bind(w, VK_BIND_STORAGE, arg, w->kernel->args[arg].written), index);
}

/* ---- axes ---- */
static bool operands(const anl_instr *in, int32_t out[3], int *count)
{
    static const int arity[] = {
#define X(name, text, arity, types, cost) arity,
        ANL_SCALARS(X)
#undef X
    };
    *count = 0;
    if (in->op < ANL_SCALAR_COUNT) {
        *count = arity[in->op];
        out[0] = in->a;
        out[1] = in->b;
        out[2] = in->c;
    } else if (in->op == ANL_X_LOAD || in->op == ANL_X_UNIFORM || in->op == ANL_X_NORMAL) {
        *count = in->b >= 0 ? 2 : 1;
        out[0] = in->a;
        out[1] = in->b;
    }
    return *count > 0;
}

typedef struct affine {
    bool known;
    int64_t coefficient[ANL_MAX_DIMS], base;
} affine;

static affine affine_of(const vk_writer *w, int32_t instr)
{
    affine f = {0};
    f.known = anl_kernel_affine(w->kernel, instr, f.coefficient, &f.base);
    return f;
}

static void mark(vk_writer *w, int32_t instr)
{
    if (instr < 0 || w->live[instr])
        return;
    w->live[instr] = true;
    const anl_instr *in = &w->kernel->instrs[instr];
    if (in->op == ANL_X_LOAD) { /* an affine index is written from its coefficients */
        if (!affine_of(w, in->a).known)
            mark(w, in->a);
        mark(w, in->b);
        return;
    }
    int32_t list[3];
    int count;
    operands(in, list, &count);
    for (int i = 0; i < count; i++)
        mark(w, list[i]);
}

static void merge_test(const vk_writer *w, affine f, const vk_axis *outer, const vk_axis *inner, int64_t inner_size, bool *ok)
{
    (void)w;
    if (f.known && f.coefficient[outer->dim] * outer->step != f.coefficient[inner->dim] * inner->step * inner_size)
        *ok = false;
}

/* May axis `outer` be merged with `inner`, the innermost of a merged run of inner_size points? */
static bool may_merge(vk_writer *w, const vk_axis *outer, const vk_axis *inner, int64_t inner_size, bool stores)
{
    const anl_kernel *k = w->kernel;
    if (outer->segment != inner->segment || inner_size * outer->size > INT32_MAX)
        return false;
    bool ok = true;
    for (int i = 0; i < k->instr_count && ok; i++) {
        if (!w->live[i])
            continue;
        const anl_instr *in = &k->instrs[i];
        if (in->op == ANL_X_DIM && (in->slot == outer->dim || in->slot == inner->dim))
            return false;
        if (in->op == ANL_X_LOAD)
            merge_test(w, affine_of(w, in->a), outer, inner, inner_size, &ok);
    }
    for (int s = 0; stores && s < k->store_count && ok; s++)
        merge_test(w, affine_of(w, k->stores[s].index), outer, inner, inner_size, &ok);
    return ok;
}

void vk_writer_axes(vk_writer *w, const vk_axis *axes, int count, const int32_t *roots, int root_count, bool stores)
{
    const anl_kernel *k = w->kernel;
    memset(w->live, 0, sizeof(bool) * (size_t)k->instr_count);
    memset(w->vary, 0, sizeof(bool) * (size_t)k->instr_count);
    w->vector = -1;
    for (int i = 0; i < root_count; i++)
        mark(w, roots[i]);
    for (int s = 0; stores && s < k->store_count; s++) {
        mark(w, k->stores[s].value);
        if (!affine_of(w, k->stores[s].index).known)
            mark(w, k->stores[s].index);
    }
    /* DIMs of merged inner runs: a live DIM of any dim in the run forbids merging, and may_merge sees only the two ends; so
     * runs grow outward one axis at a time and every axis is an end once. */
    w->axis_count = 0;
    memset(w->first, 0, sizeof w->first);
    vk_axis reversed[VK_MAX_AXES];
    int n = 0;
    for (int i = count - 1; i >= 0; i--) {
        w->first[axes[i].dim] = axes[i].first;
        if (axes[i].size == 1)
            continue;
        if (n > 0 && may_merge(w, &axes[i], &reversed[n - 1], reversed[n - 1].size, stores)) {
            reversed[n - 1].size *= axes[i].size;
            continue;
        }
        reversed[n++] = axes[i];
    }
    for (int i = 0; i < n; i++) {
        w->axes[i] = reversed[n - 1 - i];
        snprintf(w->axes[i].name, sizeof w->axes[i].name, "%sx%d", w->prefix, i);
    }
    w->axis_count = n;
}

static int64_t axis_coefficient(const vk_writer *w, const affine *f, int axis)
{
    return f->coefficient[w->axes[axis].dim] * w->axes[axis].step;
}

static int64_t full_base(const vk_writer *w, const affine *f, int arg)
{
    int64_t base = f->base + vk_arg_delta(w, arg);
    for (int d = 0; d < w->kernel->dim_count; d++)
        base += f->coefficient[d] * w->first[d];
    return base;
}

/* What is known of an int32 instruction in the first of four lanes along a dim: how much it grows by per lane, and whether it is
 * a multiple of four. */
typedef struct lanes {
    bool known; /* growth */
    int64_t growth;
    bool fours;
} lanes;

static lanes lanes_of(const vk_writer *w, int32_t instr, int dim)
{
    const anl_instr *in = &w->kernel->instrs[instr];
    if (in->op == ANL_X_CONST)
        return (lanes){true, 0, in->dtype == ANL_I32 && (int64_t)in->value % 4 == 0};
    if (in->op == ANL_X_DIM)
        return (lanes){true, in->slot == dim, in->slot == dim};
    int32_t list[3];
    int count;
    operands(in, list, &count);
    if (in->op == ANL_X_LOAD && affine_of(w, in->a).known) {
        affine f = affine_of(w, in->a);
        return (lanes){f.coefficient[dim] == 0 &&
                           (in->b < 0 || (lanes_of(w, in->b, dim).known && lanes_of(w, in->b, dim).growth == 0)),
                       0, false};
    }
    lanes x[3];
    bool still = true; /* no operand changes from lane to lane */
    for (int i = 0; i < count; i++) {
        x[i] = lanes_of(w, list[i], dim);
        still &= x[i].known && x[i].growth == 0;
    }
    if (in->op == ANL_S_ADD || in->op == ANL_S_SUB)
        return (lanes){x[0].known && x[1].known, x[0].growth + (in->op == ANL_S_ADD ? x[1].growth : -x[1].growth),
                       x[0].fours && x[1].fours};
    if (in->op == ANL_S_MUL) {
        bool fours = x[0].fours || x[1].fours;
        for (int i = 0; i < 2; i++) {
            const anl_instr *factor = &w->kernel->instrs[list[i]];
            if (factor->op == ANL_X_CONST && x[1 - i].known)
                return (lanes){true, x[1 - i].growth * (int64_t)factor->value, fours};
        }
        return (lanes){still, 0, fours};
    }
    return (lanes){still, 0, false};
}

/* Do four lanes along `axis` touch four neighbouring elements, the first on a multiple of four? */
static bool contiguous(const vk_writer *w, const affine *f, int32_t instr, int arg, int axis)
{
    if (!f->known) { /* its dims are live, so the axis is one dim */
        if (w->axes[axis].step != 1 || w->axes[axis].first != 0 || vk_arg_delta(w, arg) % 4 != 0)
            return false;
        lanes l = lanes_of(w, instr, w->axes[axis].dim);
        return l.known && l.growth == 1 && l.fours;
    }
    if (axis_coefficient(w, f, axis) != 1 || full_base(w, f, arg) % 4 != 0)
        return false;
    for (int a = 0; a < w->axis_count; a++)
        if (a != axis && axis_coefficient(w, f, a) % 4 != 0)
            return false;
    return true;
}

int vk_vector_score(vk_writer *w, int axis, bool stores)
{
    const anl_kernel *k = w->kernel;
    if (axis < 0 || axis >= w->axis_count || w->axes[axis].size % 4 != 0)
        return -1;
    int score = 0;
    for (int i = 0; i < k->instr_count; i++) {
        const anl_instr *in = &k->instrs[i];
        if (!w->live[i] || in->op != ANL_X_LOAD)
            continue;
        affine f = affine_of(w, in->a);
        score += contiguous(w, &f, in->a, in->slot, axis);
    }
    for (int s = 0; stores && s < k->store_count; s++) {
        affine f = affine_of(w, k->stores[s].index);
        score += contiguous(w, &f, k->stores[s].index, k->stores[s].arg, axis);
    }
    return score;
}

void vk_set_vector(vk_writer *w, int axis)
{
    const anl_kernel *k = w->kernel;
    w->vector = axis;
    for (int i = 0; i < k->instr_count; i++) {
        const anl_instr *in = &k->instrs[i];
        w->vary[i] = false;
        if (axis < 0 || !w->live[i])
            continue;
        if (in->op == ANL_X_DIM) {
            w->vary[i] = w->axes[axis].dim == in->slot;
        } else if (in->op == ANL_X_ACC) {
            w->vary[i] = w->vector_accumulators;
        } else if (in->op == ANL_X_LOAD) {
            affine f = affine_of(w, in->a);
            w->vary[i] = f.known ? axis_coefficient(w, &f, axis) != 0 : w->vary[in->a];
            if (in->b >= 0 && w->vary[in->b])
                w->vary[i] = true;
        } else {
            int32_t list[3];
            int count;
            operands(in, list, &count);
            for (int o = 0; o < count; o++)
                if (w->vary[list[o]])
                    w->vary[i] = true;
        }
    }
}

void vk_write_split(vk_writer *w, anl_text *out, const char *linear, int segment)
{
    int first = w->axis_count, last = -1;
    for (int a = 0; a < w->axis_count; a++)
        if (w->axes[a].segment == segment) {
            if (a < first)
                first = a;
            last = a;
        }
    if (last < 0)
        return;
    const char *rest = linear;
    for (int a = last; a >= first; a--) {
        const vk_axis *axis = &w->axes[a];
        int32_t size = a == w->vector ? axis->size / 4 : axis->size;
        const char *times = a == w->vector ? " * 4" : "";
        if (a == first) {
            anl_text_printf(out, "int %s = int(%s)%s;\n", axis->name, rest, times);
        } else if (size == 1) {
            anl_text_printf(out, "int %s = 0;\n", axis->name);
        } else {
            const char *quotient = anl_arena_printf(w->arena, "%s_q", axis->name);
            const char *d = vk_param(w, size);
            anl_text_printf(out, "uint %s = %s;\n", quotient, vk_divide(w, rest, size));
            anl_text_printf(out, "int %s = int(%s - %s * uint(%s))%s;\n", axis->name, rest, quotient, d, times);
            rest = quotient;
        }
    }
}

/* The magic number and shift of a divisor of at least 2, as parameters. */
static const char *divide_by(vk_writer *w, int64_t divisor)
{
    int l = 0;
    while ((int64_t)1 << l < divisor)
        l++;
    /* floor(2^(31 + l) / d) + 1 */
    unsigned __int128 power = (unsigned __int128)1 << (31 + l);
    uint32_t magic = (uint32_t)(power / (unsigned __int128)divisor + 1);
    const char *m = vk_param(w, (int32_t)magic);
    return anl_arena_printf(w->arena, "%s, %s", m, vk_param(w, l - 1));
}

const char *vk_divide(vk_writer *w, const char *n, int32_t divisor)
{
    return anl_arena_printf(w->arena, "a_div(%s, %s)", n, divide_by(w, divisor));
}

/* ---- instructions ---- */
static const char *type_name(anl_dtype dtype, bool vec)
{
    if (dtype == ANL_F32)
        return vec ? "vec4" : "float";
    if (dtype == ANL_I32)
        return vec ? "ivec4" : "int";
    return vec ? "bvec4" : "bool";
}

const char *vk_value(vk_writer *w, int32_t instr, bool as_vector)
{
    if (as_vector && !w->vary[instr])
        return anl_arena_printf(w->arena, "%s(%s%d)", type_name(w->kernel->instrs[instr].dtype, true), w->prefix, instr);
    return anl_arena_printf(w->arena, "%s%d", w->prefix, instr);
}

static const char *float_text(vk_writer *w, double value)
{
    if (value == 0.0 && !signbit(value))
        return "0.0";
    if (value == 1.0 || value == -1.0 || value == 0.5 || value == 2.0)
        return anl_arena_printf(w->arena, value < 0 ? "(%.1f)" : "%.1f", value);
    float f = (float)value;
    int32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return anl_arena_printf(w->arena, "intBitsToFloat(%s)", vk_param(w, bits));
}

static const char *constant_text(vk_writer *w, anl_dtype dtype, double value)
{
    if (dtype == ANL_F32)
        return float_text(w, value);
    if (dtype == ANL_BOOL)
        return value != 0 ? "true" : "false";
    if (value == 0 || value == 1)
        return value == 0 ? "0" : "1";
    return vk_param(w, (int64_t)value);
}

/* Text of an affine element index, or of that index / 4 (quads; everything divides), of lane `lane` of the vector axis. */
static const char *affine_text(vk_writer *w, const affine *f, int arg, bool quads, int lane)
{
    anl_text t = {0};
    int64_t base = full_base(w, f, arg);
    if (lane > 0)
        base += lane * axis_coefficient(w, f, w->vector);
    if (base != 0)
        anl_text_add(&t, vk_param(w, quads ? base / 4 : base));
    for (int a = 0; a < w->axis_count; a++) {
        int64_t c = axis_coefficient(w, f, a);
        if (c == 0)
            continue;
        if (t.length > 0)
            anl_text_add(&t, " + ");
        if (quads && a == w->vector)
            anl_text_printf(&t, "(%s >> 2)", w->axes[a].name);
        else if (c == (quads ? 4 : 1))
            anl_text_add(&t, w->axes[a].name);
        else
            anl_text_printf(&t, "%s * %s", w->axes[a].name, vk_param(w, quads ? c / 4 : c));
    }
    if (t.length == 0)
        anl_text_add(&t, "0");
    char *text = anl_arena_copy(w->arena, t.data, t.length);
    anl_text_free(&t);
    return text;
}

/* Text of element index `instr` in lane `lane`, whether affine or computed. */
static const char *index_text(vk_writer *w, const affine *f, int32_t instr, int arg, int lane)
{
    if (f->known)
        return affine_text(w, f, arg, false, lane);
    int64_t delta = vk_arg_delta(w, arg);
    const char *plus = delta ? anl_arena_printf(w->arena, " + %s", vk_param(w, delta)) : "";
    if (w->vary[instr])
        return anl_arena_printf(w->arena, "%s%d.%c%s", w->prefix, instr, "xyzw"[lane], plus);
    return anl_arena_printf(w->arena, "%s%d%s", w->prefix, instr, plus);
}

/* Text of a contiguous index / 4. */
static const char *quad_text(vk_writer *w, const affine *f, int32_t instr, int arg)
{
    if (f->known)
        return affine_text(w, f, arg, true, 0);
    return anl_arena_printf(w->arena, "(%s) >> 2", index_text(w, f, instr, arg, 0));
}

static void write_load(vk_writer *w, anl_text *out, int i)
{
    const anl_instr *in = &w->kernel->instrs[i];
    affine f = affine_of(w, in->a);
    bool vec = w->vary[i];
    anl_dtype dtype = in->dtype;
    bool is_float = dtype == ANL_F32;
    const char *id = anl_arena_printf(w->arena, "%s%d", w->prefix, i);
    const char *guard = in->b >= 0 ? vk_value(w, in->b, false) : NULL;
    bool guard_varies = in->b >= 0 && w->vary[in->b];
    const char *other = guard ? constant_text(w, dtype, in->value) : NULL;
    /* As it lies: bool as int. */
    const char *raw = is_float ? (vec ? "vec4" : "float") : (vec ? "ivec4" : "int");
    if (vec && contiguous(w, &f, in->a, in->slot, w->vector)) {
        const char *quad = quad_text(w, &f, in->a, in->slot);
        if (guard) {
            anl_text_printf(out, "int %s_i = %s ? %s : 0;\n", id,
                            guard_varies ? anl_arena_printf(w->arena, "any(%s)", guard) : guard, quad);
            quad = anl_arena_printf(w->arena, "%s_i", id);
        }
        const char *load = is_float ? vk_load4(w, in->slot, quad)
                                    : anl_arena_printf(w->arena, "w%d[%s]", vk_bind(w, VK_BIND_STORAGE, in->slot, false), quad);
        anl_text_printf(out, "%s %s_r = %s;\n", raw, id, load);
    } else {
        bool known_same = f.known ? (w->vector < 0 || axis_coefficient(w, &f, w->vector) == 0) : !w->vary[in->a];
        int lanes = vec && (!known_same || guard_varies) ? 4 : 1;
        for (int l = 0; l < lanes; l++) {
            const char *index = index_text(w, &f, in->a, in->slot, l);
            if (guard)
                index = anl_arena_printf(w->arena, "%s%s ? %s : 0", guard,
                                         guard_varies ? anl_arena_printf(w->arena, ".%c", "xyzw"[l]) : "", index);
            const char *name = anl_arena_printf(w->arena, "%s_i%d", id, l);
            anl_text_printf(out, "int %s = %s;\n", name, index);
            anl_text_printf(out, "%s %s_r%d = %s;\n", is_float ? "float" : "int", id, l, vk_load1(w, in->slot, name));
        }
        if (lanes == 4)
            anl_text_printf(out, "%s %s_r = %s(%s_r0, %s_r1, %s_r2, %s_r3);\n", raw, id, raw, id, id, id, id);
        else
            anl_text_printf(out, "%s %s_r = %s(%s_r0);\n", raw, id, raw, id);
    }
    const char *value = anl_arena_printf(w->arena, "%s_r", id);
    if (dtype == ANL_BOOL)
        value =
            vec ? anl_arena_printf(w->arena, "notEqual(%s, ivec4(0))", value) : anl_arena_printf(w->arena, "(%s != 0)", value);
    const char *type = type_name(dtype, vec);
    if (!guard)
        anl_text_printf(out, "%s %s = %s;\n", type, id, value);
    else if (vec)
        anl_text_printf(out, "%s %s = mix(%s(%s), %s, %s);\n", type, id, type, other, value, vk_value(w, in->b, true));
    else
        anl_text_printf(out, "%s %s = mix(%s, %s, %s);\n", type, id, other, value, guard);
}

static const char *dim_text(vk_writer *w, int dim, bool vec)
{
    for (int a = 0; a < w->axis_count; a++) {
        const vk_axis *axis = &w->axes[a];
        if (axis->dim != dim)
            continue;
        const char *lanes = vec ? anl_arena_printf(w->arena, "(ivec4(%s) + ivec4(0, 1, 2, 3))", axis->name) : axis->name;
        if (axis->step == 1 && axis->first == 0)
            return lanes;
        return anl_arena_printf(w->arena, "(%s * %s + %s)", lanes, vk_param(w, axis->step), vk_param(w, axis->first));
    }
    return w->first[dim] == 0 ? "0" : vk_param(w, w->first[dim]);
}

static const char *scalar_text(vk_writer *w, const anl_instr *in, bool vec)
{
    anl_arena *arena = w->arena;
    int32_t list[3];
    int count;
    operands(in, list, &count);
    const char *a = count > 0 ? vk_value(w, list[0], vec) : "";
    const char *b = count > 1 ? vk_value(w, list[1], vec) : "";
    const char *c = count > 2 ? vk_value(w, list[2], vec) : "";
    anl_dtype from = (anl_dtype)w->kernel->instrs[in->a].dtype;
    bool is_float = from == ANL_F32, is_bool = from == ANL_BOOL;
    const char *type = type_name((anl_dtype)in->dtype, vec);
    /* An int divided by a constant: by its magic number. */
    const anl_instr *second = count > 1 ? &w->kernel->instrs[list[1]] : NULL;
    int64_t divisor = second && from == ANL_I32 && second->op == ANL_X_CONST ? (int64_t)second->value : 0;
#define INFIX(symbol) anl_arena_printf(arena, "%s " symbol " %s", a, b)
#define COMPARE(symbol, function) (vec ? anl_arena_printf(arena, function "(%s, %s)", a, b) : INFIX(symbol))
#define MATH(function) (w->uses_math = true, anl_arena_printf(arena, function "(%s)", a))
#define MATH2(function) (w->uses_math = true, anl_arena_printf(arena, function "(%s, %s)", a, b))
    switch ((anl_scalar)in->op) {
    case ANL_S_NEGATE:
        return anl_arena_printf(arena, "-%s", a);
    case ANL_S_ABS:
        return anl_arena_printf(arena, "abs(%s)", a);
    case ANL_S_FLOOR:
        return anl_arena_printf(arena, "floor(%s)", a);
    case ANL_S_EXP:
        return MATH("a_exp");
    case ANL_S_LOG:
        return MATH("a_log");
    case ANL_S_SQRT:
        return anl_arena_printf(arena, "sqrt(%s)", a);
    case ANL_S_RSQRT:
        return anl_arena_printf(arena, "1.0 / sqrt(%s)", a);
    case ANL_S_TANH:
        return MATH("a_tanh");
    case ANL_S_ERF:
        return MATH("a_erf");
    case ANL_S_SIN:
        return MATH("a_sin");
    case ANL_S_COS:
        return MATH("a_cos");
    case ANL_S_NOT:
        return anl_arena_printf(arena, vec ? "not(%s)" : "!%s", a);
    case ANL_S_CAST:
        return anl_arena_printf(arena, "%s(%s)", type, a);
    case ANL_S_ADD:
        return INFIX("+");
    case ANL_S_SUB:
        return INFIX("-");
    case ANL_S_MUL:
        return INFIX("*");
    case ANL_S_DIV: /* int32: of positive operands only */
        return divisor > 1 ? anl_arena_printf(arena, "a_floor_by(%s, %s)", a, divide_by(w, divisor)) : INFIX("/");
    case ANL_S_FLOORDIV:
        if (divisor > 1)
            return anl_arena_printf(arena, "a_floor_by(%s, %s)", a, divide_by(w, divisor));
        return is_float ? anl_arena_printf(arena, "floor(%s / %s)", a, b) : MATH2("a_floordiv");
    case ANL_S_MOD:
        if (divisor > 1)
            return anl_arena_printf(arena, "%s - a_floor_by(%s, %s) * %s", a, a, divide_by(w, divisor), b);
        return is_float ? anl_arena_printf(arena, "%s - %s * floor(%s / %s)", a, b, a, b) : MATH2("a_mod");
    case ANL_S_POW:
        return MATH2("a_pow");
    case ANL_S_MINIMUM:
        return anl_arena_printf(arena, vec ? "mix(%s, %s, lessThan(%s, %s))" : "mix(%s, %s, %s < %s)", b, a, a, b);
    case ANL_S_MAXIMUM:
        return anl_arena_printf(arena, vec ? "mix(%s, %s, greaterThan(%s, %s))" : "mix(%s, %s, %s > %s)", b, a, a, b);
    case ANL_S_LT:
        return COMPARE("<", "lessThan");
    case ANL_S_LE:
        return COMPARE("<=", "lessThanEqual");
    case ANL_S_EQ:
        return COMPARE("==", "equal");
    case ANL_S_NE:
        return COMPARE("!=", "notEqual");
    case ANL_S_AND:
        return anl_arena_printf(arena, "a_and(%s, %s)", a, b);
    case ANL_S_OR:
        return anl_arena_printf(arena, "a_or(%s, %s)", a, b);
    case ANL_S_SELECT:
        return anl_arena_printf(arena, "mix(%s, %s, %s)", c, b, a);
    case ANL_SCALAR_COUNT:
        break;
    }
    (void)is_bool;
    return "0";
}

void vk_write_instrs(vk_writer *w, anl_text *out, int first, int last)
{
    const anl_kernel *k = w->kernel;
    for (int i = first; i < last; i++) {
        if (!w->live[i])
            continue;
        const anl_instr *in = &k->instrs[i];
        bool vec = w->vary[i];
        const char *text = NULL;
        switch (in->op) {
        case ANL_X_CONST:
            text = constant_text(w, (anl_dtype)in->dtype, in->value);
            break;
        case ANL_X_DIM:
            text = dim_text(w, in->slot, vec);
            break;
        case ANL_X_LOAD:
            write_load(w, out, i);
            continue;
        case ANL_X_SCALAR:
            text = anl_arena_printf(w->arena, "uintBitsToFloat(u%d[%d].%c)", vk_bind(w, VK_BIND_STEP, -1, false),
                                    (in->slot + 2) / 4, "xyzw"[(in->slot + 2) % 4]);
            break;
        case ANL_X_ACC:
            text = anl_arena_printf(w->arena, "acc%d_%d", in->slot, in->a > 0 ? in->a : 0);
            break;
        case ANL_X_UNIFORM:
        case ANL_X_NORMAL: {
            int step = vk_bind(w, VK_BIND_STEP, -1, false);
            const char *wide = vec ? "uvec4" : "uint";
            const char *sample = in->b >= 0 ? vk_value(w, in->b, vec) : "0";
            w->uses_philox = true;
            text = anl_arena_printf(w->arena, "%s(%s(%s), %s(%s), u%d[0].x, u%d[0].y, uint(%s), uint(%s))",
                                    in->op == ANL_X_UNIFORM ? "a_uniform" : "a_normal", wide, vk_value(w, in->a, vec), wide,
                                    sample, step, step, vk_param(w, (int32_t)(uint32_t)in->key),
                                    vk_param(w, (int32_t)(uint32_t)(in->key >> 32)));
            break;
        }
        default:
            text = scalar_text(w, in, vec);
            break;
        }
        anl_text_printf(out, "%s %s%d = %s;\n", type_name((anl_dtype)in->dtype, vec), w->prefix, i, text);
    }
}

void vk_write_stores(vk_writer *w, anl_text *out)
{
    const anl_kernel *k = w->kernel;
    for (int s = 0; s < k->store_count; s++) {
        const anl_store *store = &k->stores[s];
        affine f = affine_of(w, store->index);
        int binding = vk_bind(w, VK_BIND_STORAGE, store->arg, true);
        w->pass->bindings[binding].written = true;
        anl_dtype dtype = (anl_dtype)k->instrs[store->value].dtype;
        bool as_int = dtype != ANL_F32;
        if (w->vector < 0) {
            anl_text_printf(out, as_int ? "s%d[%s] = int(%s);\n" : "s%d[%s] = %s;\n", binding,
                            index_text(w, &f, store->index, store->arg, 0), vk_value(w, store->value, false));
        } else if (contiguous(w, &f, store->index, store->arg, w->vector)) {
            anl_text_printf(out, as_int ? "w%d[%s] = ivec4(%s);\n" : "w%d[%s] = %s;\n", binding,
                            quad_text(w, &f, store->index, store->arg), vk_value(w, store->value, true));
        } else {
            const char *value = vk_value(w, store->value, true);
            anl_text_printf(out, "%s o%d = %s(%s);\n", as_int ? "ivec4" : "vec4", s, as_int ? "ivec4" : "vec4", value);
            for (int l = 0; l < 4; l++)
                anl_text_printf(out, "s%d[%s] = o%d.%c;\n", binding, index_text(w, &f, store->index, store->arg, l), s,
                                "xyzw"[l]);
        }
    }
}
