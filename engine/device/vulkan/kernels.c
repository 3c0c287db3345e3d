/* Maps and reductions as passes of GLSL.
 * In: a kernel. Out: one pass, or for long reductions a pass of partial results and one or two that join them in fixed order.
 * Results depend on the kernel's sizes and the device, never on timing. */
#include <stdlib.h>
#include <string.h>

#include "device/vulkan/writer.h"

enum { JOIN = 64 }; /* partial results joined by one invocation */

vk_pass *vk_pass_add(anl_arena *arena, vk_lowering *lowering)
{
    vk_pass empty;
    memset(&empty, 0, sizeof empty);
    ANL_PUSH(arena, lowering->passes, lowering->pass_count, lowering->pass_capacity, empty);
    return &lowering->passes[lowering->pass_count - 1];
}

int vk_pass_local(const vk_device *device, int64_t invocations)
{
    int local = invocations >= 4096 ? 128 : 32;
    return local < device->max_invocations ? local : device->max_invocations;
}

/* The head of main: id = the invocation's number, below `count`. */
static void write_head(vk_writer *w, int local, int64_t count)
{
    anl_text_add(
        &w->body,
        "uint group = gl_WorkGroupID.x + gl_NumWorkGroups.x * (gl_WorkGroupID.y + gl_NumWorkGroups.y * gl_WorkGroupID.z);\n");
    anl_text_printf(&w->body, "uint id = group * %du + gl_LocalInvocationID.x;\nif (id >= uint(%s))\n    return;\n", local,
                    vk_param(w, count));
    w->pass->groups = (count + local - 1) / local;
}

static int64_t axes_size(const vk_axis *axes, int count)
{
    int64_t size = 1;
    for (int i = 0; i < count; i++)
        size *= axes[i].size;
    return size;
}

static int kernel_axes(const anl_kernel *kernel, vk_axis *axes)
{
    for (int d = 0; d < kernel->dim_count; d++)
        axes[d] = (vk_axis){.dim = d, .size = kernel->dims[d], .step = 1, .segment = d >= kernel->kept_count};
    return kernel->dim_count;
}

static void lower_map(vk_device *device, const anl_program *program, const anl_kernel *kernel, anl_arena *arena, vk_lowering *out)
{
    vk_axis axes[VK_MAX_AXES];
    int count = kernel_axes(kernel, axes);
    vk_pass *pass = vk_pass_add(arena, out);
    vk_writer w;
    vk_writer_begin(&w, device, program, kernel, arena, pass);
    vk_writer_axes(&w, axes, count, NULL, 0, true);
    int last = w.axis_count - 1;
    int64_t points = axes_size(axes, count);
    if (vk_vector_score(&w, last, true) > 0) {
        vk_set_vector(&w, last);
        points /= 4;
    }
    int local = vk_pass_local(device, points);
    write_head(&w, local, points);
    vk_write_split(&w, &w.body, "id", 0);
    vk_write_instrs(&w, &w.body, 0, kernel->instr_count);
    vk_write_stores(&w, &w.body);
    vk_writer_end(&w, local);
}

/* ---- reductions ---- */
typedef struct component {
    const char *start; /* value before the first element */
    bool is_int;
} component;

static int components(const anl_accumulator *a, component out[3])
{
    bool is_int = a->dtype == ANL_I32;
    switch (a->combine) {
    case ANL_SUM:
        out[0] = (component){is_int ? "0" : "0.0", is_int};
        return 1;
    case ANL_MAX:
        out[0] = (component){is_int ? "(-2147483647 - 1)" : "intBitsToFloat(-8388608)", is_int};
        return 1;
    case ANL_ARGMAX:
        out[0] = (component){is_int ? "(-2147483647 - 1)" : "intBitsToFloat(-8388608)", is_int};
        out[1] = (component){"2147483647", true};
        return 2;
    case ANL_LOGSUMEXP:
        out[0] = (component){"intBitsToFloat(-8388608)", false};
        out[1] = (component){"0.0", false};
        return 2;
    case ANL_MOMENTS:
        out[0] = (component){"0.0", false};
        out[1] = (component){"0.0", false};
        out[2] = (component){"0.0", false};
        return 3;
    }
    return 0;
}

static const char *component_type(const component *c, bool vec)
{
    return c->is_int ? (vec ? "ivec4" : "int") : (vec ? "vec4" : "float");
}

/* An accumulator as the reduction sees it: ARGMAX compares values of the body's type though its result is an index. */
static anl_accumulator working(const anl_kernel *kernel, const anl_accumulator *a)
{
    anl_accumulator copy = *a;
    if (a->combine == ANL_ARGMAX && a->instr >= 0)
        copy.dtype = (anl_dtype)kernel->instrs[a->instr].dtype;
    return copy;
}

/* Is anything but sums accumulated? */
static bool needs_joins(const anl_accumulator *list, int count)
{
    for (int j = 0; j < count; j++)
        if (list[j].combine != ANL_SUM)
            return true;
    return false;
}

/* Joins the partial result b into a. */
static void write_join(vk_writer *w, anl_text *out, const anl_accumulator *a, int j, const char *left, const char *right)
{
    (void)w;
    switch (a->combine) {
    case ANL_SUM:
        anl_text_printf(out, "%s%d_0 += %s%d_0;\n", left, j, right, j);
        break;
    case ANL_MAX:
        anl_text_printf(out, "r_max(%s%d_0, %s%d_0);\n", left, j, right, j);
        break;
    case ANL_ARGMAX:
        anl_text_printf(out, "r_argmax(%s%d_0, %s%d_1, %s%d_0, %s%d_1);\n", left, j, left, j, right, j, right, j);
        break;
    case ANL_LOGSUMEXP:
        anl_text_printf(out, "r_logsumexp(%s%d_0, %s%d_1, %s%d_0, %s%d_1);\n", left, j, left, j, right, j, right, j);
        break;
    case ANL_MOMENTS:
        anl_text_printf(out, "r_moments(%s%d_0, %s%d_1, %s%d_2, %s%d_0, %s%d_1, %s%d_2);\n", left, j, left, j, left, j, right, j,
                        right, j, right, j);
        break;
    }
}

/* From the joined partial result a to what ANL_X_ACC means. */
static void write_results(vk_writer *w, anl_text *out, const anl_accumulator *accumulators, int count, bool vec)
{
    for (int j = 0; j < count; j++) {
        anl_accumulator a = working(w->kernel, &accumulators[j]);
        component c[3];
        components(&a, c);
        const char *f = vec ? "vec4" : "float";
        switch (a.combine) {
        case ANL_SUM:
        case ANL_MAX:
            anl_text_printf(out, "%s acc%d_0 = a%d_0;\n", component_type(&c[0], vec), j, j);
            break;
        case ANL_ARGMAX: /* nothing but NaN: no index won */
            if (vec)
                anl_text_printf(out, "ivec4 acc%d_0 = mix(a%d_1, ivec4(0), equal(a%d_1, ivec4(2147483647)));\n", j, j, j);
            else
                anl_text_printf(out, "int acc%d_0 = a%d_1 == 2147483647 ? 0 : a%d_1;\n", j, j, j);
            break;
        case ANL_LOGSUMEXP:
            anl_text_printf(out, "%s acc%d_0 = a%d_0 + a_log(a%d_1);\n", f, j, j, j);
            break;
        case ANL_MOMENTS:
            anl_text_printf(out, "%s acc%d_0 = a%d_0, acc%d_1 = a%d_1 / a%d_2;\n", f, j, j, j, j, j);
            break;
        }
    }
}

static void write_tail(vk_writer *w, const vk_axis *kept, int kept_count, const char *linear, bool vec)
{
    w->prefix = "t";
    vk_writer_axes(w, kept, kept_count, NULL, 0, true);
    if (vec) {
        w->vector_accumulators = true;
        vk_set_vector(w, w->axis_count - 1);
    }
    vk_write_split(w, &w->body, linear, 0);
    vk_write_instrs(w, &w->body, 0, w->kernel->instr_count);
    vk_write_stores(w, &w->body);
}

/* Scratch word (or quad) where component g of partial result s of kept point kid lies. */
static const char *slot_text(vk_writer *w, int64_t base, int g, const char *splits, const char *s, const char *kept)
{
    const char *plus = base ? anl_arena_printf(w->arena, "uint(%s) + ", vk_param(w, base)) : "";
    return anl_arena_printf(w->arena, "%s(%du * uint(%s) + %s) * uint(%s) + kid", plus, g, splits, s, kept);
}

/* Passes that join `splits` partial results at scratch word (quad) `base` and evaluate the tail. */
static void lower_joins(vk_device *device, const anl_program *program, const anl_kernel *kernel, anl_arena *arena,
                        const anl_accumulator *list, int list_count, const vk_axis *kept, int kept_count, int64_t splits,
                        int phase, bool vec, int64_t base, vk_lowering *out)
{
    int width = vec ? 4 : 1;
    int64_t points = axes_size(kept, kept_count) / width;
    int total = 0;
    for (int j = 0; j < list_count; j++) {
        anl_accumulator a = working(kernel, &list[j]);
        component c[3];
        total += components(&a, c);
    }
    for (;;) {
        bool final = splits <= JOIN;
        int64_t outputs = final ? 1 : (splits + JOIN - 1) / JOIN;
        vk_pass *pass = vk_pass_add(arena, out);
        vk_writer w;
        vk_writer_begin(&w, device, program, kernel, arena, pass);
        w.uses_reduce = needs_joins(list, list_count);
        pass->phase = phase++;
        int scratch = vk_bind(&w, VK_BIND_SCRATCH, -1, !final);
        int local = vk_pass_local(device, points * outputs);
        write_head(&w, local, points * outputs);
        const char *kept_text = vk_param(&w, points), *splits_text = vk_param(&w, splits);
        if (final) {
            anl_text_add(&w.body, "uint kid = id;\nuint first = 0u, last = ");
            anl_text_printf(&w.body, "uint(%s);\n", splits_text);
        } else {
            anl_text_printf(&w.body, "uint part = id / uint(%s);\nuint kid = id - part * uint(%s);\n", kept_text, kept_text);
            anl_text_printf(&w.body, "uint first = part * %du, last = min(first + %du, uint(%s));\n", JOIN, JOIN, splits_text);
        }
        for (int stage = 0; stage < 2; stage++) { /* the first partial result, then a loop over the rest */
            if (stage == 1)
                anl_text_add(&w.body, "for (uint s = first + 1u; s < last; s++) {\n");
            int g = 0;
            for (int j = 0; j < list_count; j++) {
                anl_accumulator a = working(kernel, &list[j]);
                component c[3];
                int n = components(&a, c);
                for (int i = 0; i < n; i++, g++) {
                    const char *slot = slot_text(&w, base, g, splits_text, stage ? "s" : "first", kept_text);
                    const char *word = anl_arena_printf(arena, "%s%d[%s]", vec ? "w" : "s", scratch, slot);
                    anl_text_printf(&w.body, c[i].is_int ? "%s %s%d_%d = %s;\n" : "%s %s%d_%d = intBitsToFloat(%s);\n",
                                    component_type(&c[i], vec), stage ? "b" : "a", j, i, word);
                }
                if (stage == 1)
                    write_join(&w, &w.body, &a, j, "a", "b");
            }
            if (stage == 1)
                anl_text_add(&w.body, "}\n");
        }
        if (final) {
            write_results(&w, &w.body, list, list_count, vec);
            write_tail(&w, kept, kept_count, "kid", vec);
            vk_writer_end(&w, local);
            return;
        }
        int64_t next = base + total * splits * points;
        int g = 0;
        const char *outputs_text = vk_param(&w, outputs);
        for (int j = 0; j < list_count; j++) {
            anl_accumulator a = working(kernel, &list[j]);
            component c[3];
            int n = components(&a, c);
            for (int i = 0; i < n; i++, g++)
                anl_text_printf(&w.body, c[i].is_int ? "%s%d[%s] = a%d_%d;\n" : "%s%d[%s] = floatBitsToInt(a%d_%d);\n",
                                vec ? "w" : "s", scratch, slot_text(&w, next, g, outputs_text, "part", kept_text), j, i);
        }
        vk_writer_end(&w, local);
        base = next;
        splits = outputs;
        int64_t bytes = (base + total * splits * points) * width * 4;
        if (bytes > out->scratch_bytes)
            out->scratch_bytes = bytes;
    }
}

void vk_lower_partials(vk_device *device, const anl_program *program, const anl_kernel *kernel, anl_arena *arena,
                       const vk_axis *axes, int axis_count, int64_t splits, int phase, bool vec, int64_t base, vk_lowering *out)
{
    anl_accumulator sum = {.combine = ANL_SUM, .dtype = ANL_F32, .instr = -1};
    lower_joins(device, program, kernel, arena, &sum, 1, axes, axis_count, splits, phase, vec, base, out);
}

/* How many invocations share the reduction of one kept point. */
static int64_t choose_splits(const vk_device *device, int64_t kept, int64_t reduced)
{
    int64_t target = device->is_cpu ? 1024 : 32768;
    if (reduced <= 128 || kept >= target || (device->is_cpu && kept * reduced <= 8192))
        return 1;
    int64_t splits = (target + kept - 1) / kept;
    if (splits > reduced / 16)
        splits = reduced / 16;
    return splits < 2 ? 1 : splits;
}

static void lower_reduce(vk_device *device, const anl_program *program, const anl_kernel *kernel, anl_arena *arena,
                         vk_lowering *out)
{
    vk_axis axes[VK_MAX_AXES];
    int count = kernel_axes(kernel, axes), kept_count = kernel->kept_count;
    int32_t roots[64];
    int root_count = 0;
    for (int j = 0; j < kernel->accumulator_count; j++)
        roots[root_count++] = kernel->accumulators[j].instr;
    vk_pass *pass = vk_pass_add(arena, out);
    vk_writer w;
    vk_writer_begin(&w, device, program, kernel, arena, pass);
    vk_writer_axes(&w, axes, count, roots, root_count, false);
    int last_kept = -1, last_reduced = -1;
    for (int a = 0; a < w.axis_count; a++)
        *(w.axes[a].segment ? &last_reduced : &last_kept) = a;
    int kept_score = vk_vector_score(&w, last_kept, false), reduced_score = vk_vector_score(&w, last_reduced, false);
    /* Four lanes need the innermost kept dim in fours for the tail as well. */
    int inner = kept_count - 1;
    while (inner >= 0 && kernel->dims[inner] == 1)
        inner--;
    if (inner < 0 || kernel->dims[inner] % 4 != 0)
        kept_score = -1;
    bool along_kept = kept_score > 0 && kept_score >= reduced_score, along_reduced = !along_kept && reduced_score > 0;
    vk_set_vector(&w, along_kept ? last_kept : along_reduced ? last_reduced : -1);
    w.uses_reduce = needs_joins(kernel->accumulators, kernel->accumulator_count);
    bool vec = along_kept || along_reduced;
    int64_t points = axes_size(axes, kept_count) / (along_kept ? 4 : 1);
    int64_t reduced = axes_size(axes + kept_count, count - kept_count) / (along_reduced ? 4 : 1);
    int64_t splits = choose_splits(device, points, reduced);
    int local = vk_pass_local(device, points * splits);
    write_head(&w, local, points * splits);
    const char *reduced_text = vk_param(&w, reduced), *points_text = NULL, *splits_text = NULL;
    if (splits == 1) {
        anl_text_add(&w.body, "uint kid = id, part = 0u;\n");
    } else {
        points_text = vk_param(&w, points);
        splits_text = vk_param(&w, splits);
        if (along_kept) /* neighbours in memory are neighbours among invocations */
            anl_text_printf(&w.body, "uint part = id / uint(%s);\nuint kid = id - part * uint(%s);\n", points_text, points_text);
        else
            anl_text_printf(&w.body, "uint kid = id / uint(%s);\nuint part = id - kid * uint(%s);\n", splits_text, splits_text);
    }
    vk_write_split(&w, &w.body, "kid", 0);
    for (int j = 0; j < kernel->accumulator_count; j++) {
        anl_accumulator a = working(kernel, &kernel->accumulators[j]);
        component c[3];
        int n = components(&a, c);
        for (int i = 0; i < n; i++)
            anl_text_printf(&w.body, "%s a%d_%d = %s(%s);\n", component_type(&c[i], vec), j, i, component_type(&c[i], vec),
                            c[i].start);
        if (a.combine == ANL_MOMENTS)
            anl_text_printf(&w.body, "%s shift%d = %s(0.0);\n", vec ? "vec4" : "float", j, vec ? "vec4" : "float");
    }
    const char *stride = splits == 1 ? "1u" : anl_arena_printf(arena, "uint(%s)", splits_text);
    anl_text_printf(&w.body, "for (uint r = part; r < uint(%s); r += %s) {\n", reduced_text, stride);
    vk_write_split(&w, &w.body, "r", 1);
    vk_write_instrs(&w, &w.body, 0, kernel->body_count);
    for (int j = 0; j < kernel->accumulator_count; j++) {
        anl_accumulator a = working(kernel, &kernel->accumulators[j]);
        const char *value = vk_value(&w, a.instr, vec);
        const char *wide = vec ? "ivec4" : "int";
        switch (a.combine) {
        case ANL_SUM:
            anl_text_printf(&w.body, "a%d_0 += %s;\n", j, value);
            break;
        case ANL_MAX:
            anl_text_printf(&w.body, "r_max(a%d_0, %s);\n", j, value);
            break;
        case ANL_ARGMAX:
            anl_text_printf(&w.body, "r_argmax(a%d_0, a%d_1, %s, %s(r)%s);\n", j, j, value, wide,
                            along_reduced ? " * 4 + ivec4(0, 1, 2, 3)" : "");
            break;
        case ANL_LOGSUMEXP:
            anl_text_printf(&w.body, "r_logsumexp(a%d_0, a%d_1, %s, %s(1.0));\n", j, j, value, vec ? "vec4" : "float");
            break;
        case ANL_MOMENTS: /* sums shifted by the first element */
            anl_text_printf(
                &w.body,
                "if (r == part)\n    shift%d = %s;\n%s d%d = %s - shift%d;\na%d_0 += d%d;\na%d_1 += d%d * d%d;\na%d_2 += 1.0;\n",
                j, value, vec ? "vec4" : "float", j, value, j, j, j, j, j, j, j);
            break;
        }
    }
    anl_text_add(&w.body, "}\n");
    for (int j = 0; j < kernel->accumulator_count; j++) {
        anl_accumulator a = working(kernel, &kernel->accumulators[j]);
        if (a.combine == ANL_MOMENTS)
            anl_text_printf(&w.body, "%s e%d = a%d_0 / a%d_2;\na%d_1 = max(a%d_1 - e%d * a%d_0, 0.0);\na%d_0 = shift%d + e%d;\n",
                            vec ? "vec4" : "float", j, j, j, j, j, j, j, j, j, j);
        if (!along_reduced)
            continue;
        component c[3];
        int n = components(&a, c);
        for (int lane = 0; lane < 4; lane++) { /* x takes in y, z and w, in that order */
            const char *name = lane == 0 ? "c" : "b";
            if (lane == 1)
                anl_text_add(&w.body, "{\n");
            for (int i = 0; i < n; i++)
                anl_text_printf(&w.body, "%s%s%d_%d = a%d_%d.%c;\n", lane < 2 ? (c[i].is_int ? "int " : "float ") : "", name, j,
                                i, j, i, "xyzw"[lane]);
            if (lane > 0)
                write_join(&w, &w.body, &a, j, "c", "b");
        }
        anl_text_add(&w.body, "}\n");
    }
    if (along_reduced) { /* from here on one lane: the name a is taken by four, so open a scope */
        anl_text_add(&w.body, "{\n");
        for (int j = 0; j < kernel->accumulator_count; j++) {
            anl_accumulator a = working(kernel, &kernel->accumulators[j]);
            component c[3];
            int n = components(&a, c);
            for (int i = 0; i < n; i++)
                anl_text_printf(&w.body, "%s a%d_%d = c%d_%d;\n", c[i].is_int ? "int" : "float", j, i, j, i);
        }
    }
    if (splits == 1) {
        write_results(&w, &w.body, kernel->accumulators, kernel->accumulator_count, along_kept);
        write_tail(&w, axes, kept_count, "kid", along_kept);
    } else {
        int scratch = vk_bind(&w, VK_BIND_SCRATCH, -1, true);
        int g = 0;
        for (int j = 0; j < kernel->accumulator_count; j++) {
            anl_accumulator a = working(kernel, &kernel->accumulators[j]);
            component c[3];
            int n = components(&a, c);
            for (int i = 0; i < n; i++, g++)
                anl_text_printf(&w.body, c[i].is_int ? "%s%d[%s] = a%d_%d;\n" : "%s%d[%s] = floatBitsToInt(a%d_%d);\n",
                                along_kept ? "w" : "s", scratch, slot_text(&w, 0, g, splits_text, "part", points_text), j, i);
        }
        out->scratch_bytes = g * splits * points * (along_kept ? 16 : 4);
    }
    if (along_reduced)
        anl_text_add(&w.body, "}\n");
    vk_writer_end(&w, local);
    if (splits > 1)
        lower_joins(device, program, kernel, arena, kernel->accumulators, kernel->accumulator_count, axes, kept_count, splits, 1,
                    along_kept, 0, out);
}

anl_status vk_lower_kernel(vk_device *device, const anl_program *program, const anl_kernel *kernel, anl_arena *arena,
                           anl_diagnostics *diagnostics, vk_lowering *out)
{
    memset(out, 0, sizeof *out);
    double points = 1;
    for (int d = 0; d < kernel->dim_count; d++)
        points *= kernel->dims[d];
    double kept = 1;
    for (int d = 0; d < kernel->kept_count; d++)
        kept *= kernel->dims[d];
    /* Index arithmetic is 32-bit. */
    if ((kernel->kind == ANL_KERNEL_REDUCE ? (kept > points / kept ? kept : points / kept) : points) >= 2147483648.0 ||
        kept >= 2147483648.0) {
        anl_diagnose(diagnostics, ANL_A_program_limit, vk_nowhere,
                     "kernel `%s` has %.0f points, more than the 2147483647 that one kernel can number: a smaller batch or smaller images "
                     "make it fit",
                     kernel->name ? kernel->name : "?", points);
        return ANL_ERROR_LIMIT;
    }
    if (points == 0 && kernel->kind == ANL_KERNEL_MAP)
        return ANL_OK;
    if (kernel->kind == ANL_KERNEL_MAP)
        lower_map(device, program, kernel, arena, out);
    else if (kernel->kind == ANL_KERNEL_REDUCE)
        lower_reduce(device, program, kernel, arena, out);
    else
        return vk_lower_contract(device, program, kernel, arena, diagnostics, out);
    return ANL_OK;
}
