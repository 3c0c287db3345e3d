/* Programs of a group on one device; see run.h.
 * In: graphs, devices. Out: doubles, or why there are none. */
#include "run.h"

enum { GUARD = 512 };

/* As a float NaN, which spreads to whatever reads it; another one at each place, since a NaN that was read at one may be stored
 * at another. */
static uint32_t guard_word(int64_t i) { return 0x7fc00000u | ((uint32_t)i * 2654435761u >> 11); }

struct loaded {
    anl_arena *arena;
    maker *m;
    anl_device *device;
    anl_diagnostics *diagnostics;
    anl_state_layout *layout;
    anl_program *program;
    anl_memory *memory;
    anl_exec *exec;
    double *scalars;
    bool guarded;
    char *image;  /* guarded: the memory as it must be where nothing writes */
    char *actual; /* as it is after the last step */
    int64_t bytes;
    const double **replaced; /* by input */
};

static const char *text(loaded *l, const char *format, ...) ANL_PRINTF(2, 3);
static const char *text(loaded *l, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return anl_arena_text(l->arena, line);
}

static const char *said(loaded *l, const char *what)
{
    anl_text all = {0};
    anl_text_printf(&all, "%s", what);
    for (int i = 0; i < anl_diagnostics_count(l->diagnostics); i++) {
        const anl_diagnostic *d = anl_diagnostics_get(l->diagnostics, i);
        anl_text_printf(&all, "; A%04d %s", d->code, d->message);
        for (int n = 0; n < d->note_count; n++)
            anl_text_printf(&all, " (%s)", d->notes[n]);
    }
    for (size_t i = 0; i < all.length; i++)
        if (all.data[i] == '\n')
            all.data[i] = ' ';
    const char *copy = anl_arena_copy(l->arena, all.data, all.length < 3000 ? all.length : 3000);
    anl_text_free(&all);
    return copy;
}

static int64_t element_bytes(const loaded *l, anl_dtype dtype) { return l->program->f64 && dtype == ANL_F32 ? 8 : 4; }

const char *loaded_new(anl_device *device, maker *m, bool f64, bool no_fusion, loaded **out)
{
    anl_arena *arena = anl_arena_new();
    loaded *l = ANL_NEW(arena, loaded);
    *out = l;
    l->arena = arena;
    l->m = m;
    l->device = device;
    l->diagnostics = anl_diagnostics_new();
    anl_compile_options options = {.f64 = f64, .no_fusion = no_fusion};
    if (anl_state_layout_new(&m->g, 1, f64, l->diagnostics, &l->layout) != ANL_OK)
        return said(l, "no state layout");
    if (anl_compile(m->g, l->layout, &options, l->diagnostics, &l->program) != ANL_OK)
        return said(l, "does not compile");
    if (anl_program_check(l->program, l->diagnostics) != ANL_OK)
        return said(l, "the program checker refuses it");
    l->scalars = ANL_NEW_ARRAY(arena, double, l->program->scalar_count + 1);
    l->replaced = ANL_NEW_ARRAY(arena, const double *, l->program->input_count + 1);
    return NULL;
}

static void unload(loaded *l)
{
    if (l->exec)
        anl_exec_free(&l->exec);
    if (l->memory)
        anl_memory_free(&l->memory);
    free(l->image);
    free(l->actual);
    l->image = l->actual = NULL;
}

void loaded_free(loaded **pointer)
{
    loaded *l = *pointer;
    if (!l)
        return;
    unload(l);
    if (l->program)
        anl_program_free(&l->program);
    anl_state_layout_free(&l->layout);
    anl_diagnostics_free(&l->diagnostics);
    anl_arena *arena = l->arena;
    anl_arena_free(&arena);
    *pointer = NULL;
}

int loaded_kernels(const loaded *l) { return l->program ? l->program->kernel_count : 0; }

void loaded_plant(loaded *l, fault what)
{
    for (int k = 0; k < l->program->kernel_count; k++) {
        if (what == NO_BARRIERS)
            l->program->kernels[k].barrier_before = false;
        else
            l->program->kernels[k].dims[0]++;
    }
}

/* ---- guards ---- */

/* Tensors that share bytes on purpose (a value and the parts it is made of) stay together; those that merely follow one another
 * in the same bytes are taken apart. They are told apart by who reads what whom wrote. */
typedef struct written {
    int64_t low, high;
    int32_t buffer;
    bool read;
} written;

static int32_t leader(int32_t *parent, int32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

/* All parts of the list that a read of [low, high) sees are one with the reader. */
static void note_read(written *list, int count, int64_t low, int64_t high, int32_t reader, int32_t *parent)
{
    for (int i = 0; i < count; i++)
        if (list[i].low < high && low < list[i].high) {
            list[i].read = true;
            parent[leader(parent, list[i].buffer)] = leader(parent, reader);
        }
}

/* A write covers what was there; what was there and nobody has read yet is meant to stay in part, so both are one. */
static int note_write(written *list, int count, int64_t low, int64_t high, int32_t writer, int32_t *parent, written *next)
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        written w = list[i];
        if (w.high <= low || high <= w.low) {
            next[n++] = w;
            continue;
        }
        if (!w.read)
            parent[leader(parent, w.buffer)] = leader(parent, writer);
        if (w.low < low)
            next[n++] = (written){w.low, low, w.buffer, w.read};
        if (w.high > high)
            next[n++] = (written){high, w.high, w.buffer, w.read};
    }
    next[n++] = (written){low, high, writer, false};
    return n;
}

static void join_overlapping(const anl_program *p, int32_t *parent)
{
    /* INPUT, OUTPUT: no byte is used twice, so what overlaps belongs together */
    for (int i = 0; i < p->buffer_count; i++)
        for (int j = 0; j < i; j++) {
            const anl_buffer *a = &p->buffers[i], *b = &p->buffers[j];
            if ((a->space == ANL_SPACE_INPUT || a->space == ANL_SPACE_OUTPUT) && a->space == b->space &&
                a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes)
                parent[leader(parent, i)] = leader(parent, j);
        }
    int writes = 0, count = 0;
    for (int k = 0; k < p->kernel_count; k++)
        writes += p->kernels[k].arg_count;
    /* a write adds at most two parts */
    written *list = anl_malloc(sizeof *list * (size_t)(2 * writes + 2)),
            *next = anl_malloc(sizeof *list * (size_t)(2 * writes + 2));
    for (int k = 0; k < p->kernel_count; k++)
        for (int pass = 0; pass < 2; pass++)
            for (int a = 0; a < p->kernels[k].arg_count; a++) {
                const anl_kernel_arg *arg = &p->kernels[k].args[a];
                const anl_buffer *b = &p->buffers[arg->buffer];
                if (b->space != ANL_SPACE_TEMP)
                    continue;
                if (pass == 0 && arg->read)
                    note_read(list, count, b->offset, b->offset + b->bytes, arg->buffer, parent);
                if (pass == 1 && arg->written) {
                    count = note_write(list, count, b->offset, b->offset + b->bytes, arg->buffer, parent, next);
                    written *swap = list;
                    list = next;
                    next = swap;
                }
            }
    free(list);
    free(next);
}

static void set_apart(loaded *l)
{
    anl_program *p = l->program;
    int32_t *parent = anl_malloc(sizeof *parent * (size_t)(p->buffer_count + 1));
    int64_t *low = anl_malloc(sizeof *low * (size_t)(p->buffer_count + 1)),
            *high = anl_malloc(sizeof *high * (size_t)(p->buffer_count + 1));
    for (int i = 0; i < p->buffer_count; i++) {
        parent[i] = i;
        low[i] = INT64_MAX;
        high[i] = 0;
    }
    join_overlapping(p, parent);
    for (int i = 0; i < p->buffer_count; i++) {
        const anl_buffer *b = &p->buffers[i];
        int32_t at = leader(parent, i);
        low[at] = b->offset < low[at] ? b->offset : low[at];
        high[at] = b->offset + b->bytes > high[at] ? b->offset + b->bytes : high[at];
    }
    int64_t end = (l->layout->bytes + 255) / 256 * 256 + GUARD;
    for (int i = 0; i < p->buffer_count; i++) {
        if (leader(parent, i) != i || p->buffers[i].space == ANL_SPACE_STATE || p->buffers[i].space == ANL_SPACE_TABLE)
            continue;
        int64_t to = end + low[i] % ANL_ALIGNMENT;
        end = (to + high[i] - low[i] + 255) / 256 * 256 + GUARD;
        high[i] = to - low[i]; /* by how far it moves */
    }
    for (int i = 0; i < p->buffer_count; i++) {
        anl_buffer *b = &p->buffers[i];
        if (b->space == ANL_SPACE_STATE || b->space == ANL_SPACE_TABLE)
            continue;
        b->space = ANL_SPACE_STATE;
        b->offset += high[leader(parent, i)];
    }
    p->space_bytes[ANL_SPACE_STATE] = end;
    p->space_bytes[ANL_SPACE_TEMP] = p->space_bytes[ANL_SPACE_INPUT] = p->space_bytes[ANL_SPACE_OUTPUT] = 0;
    free(parent);
    free(low);
    free(high);
}

/* ---- data in and out ---- */
static void put(const loaded *l, anl_dtype dtype, char *bytes, int64_t i, double v)
{
    if (dtype == ANL_F32 && l->program->f64)
        ((double *)bytes)[i] = v;
    else if (dtype == ANL_F32)
        ((float *)bytes)[i] = (float)v;
    else
        ((int32_t *)bytes)[i] = (int32_t)v;
}

static double take(const loaded *l, anl_dtype dtype, const char *bytes, int64_t i)
{
    if (dtype == ANL_F32)
        return l->program->f64 ? ((const double *)bytes)[i] : (double)((const float *)bytes)[i];
    return ((const int32_t *)bytes)[i];
}

static int64_t port_count(const anl_port *port)
{
    int64_t count = 1;
    for (int i = 0; i < port->rank; i++)
        count *= port->size[i];
    return count;
}

/* Row-major in the port's axes: the buffer's element. Called for one after the other. */
static int64_t advance(const anl_port *port, int32_t *at, int64_t place)
{
    for (int i = port->rank - 1; i >= 0; i--) {
        place += port->stride[i];
        if (++at[i] < port->size[i])
            return place;
        place -= port->stride[i] * port->size[i];
        at[i] = 0;
    }
    return place;
}

static void scatter(const loaded *l, const anl_port *port, const double *data, char *bytes)
{
    int32_t at[ANL_MAX_DIMS] = {0};
    int64_t count = port_count(port), place = port->base;
    for (int64_t n = 0; n < count; n++, place = advance(port, at, place))
        put(l, port->dtype, bytes, place, data[n]);
}

static double *collect(const loaded *l, const anl_port *port, const char *bytes, int64_t *count)
{
    int32_t at[ANL_MAX_DIMS] = {0};
    int64_t place = port->base;
    *count = port_count(port);
    double *out = anl_malloc(sizeof *out * (size_t)*count);
    for (int64_t n = 0; n < *count; n++, place = advance(port, at, place))
        out[n] = take(l, port->dtype, bytes, place);
    return out;
}

static const values *find_values(const loaded *l, const char *name)
{
    for (int i = 0; i < l->m->value_count; i++)
        if (strcmp(l->m->values[i].name, name) == 0)
            return &l->m->values[i];
    return NULL;
}

static const char *write_port(loaded *l, const anl_port *port, int input, int64_t step)
{
    const anl_buffer *b = &l->program->buffers[port->buffer];
    const values *v = find_values(l, port->name);
    if (!v)
        return text(l, "nothing is known of %s", port->name);
    int64_t size = element_bytes(l, b->dtype) * b->count;
    char *bytes = anl_malloc((size_t)size);
    memset(bytes, 0, (size_t)size);
    if (input >= 0 && l->replaced[input]) {
        scatter(l, port, l->replaced[input], bytes);
    } else {
        double *data = anl_malloc(sizeof *data * (size_t)port_count(port));
        fill_values(v, step, data);
        scatter(l, port, data, bytes);
        free(data);
    }
    anl_status status = input >= 0 && !l->guarded ? anl_exec_feed(l->exec, input, bytes, size, l->diagnostics)
                                                  : anl_memory_write(l->memory, b->offset, bytes, size, l->diagnostics);
    if (l->guarded)
        memcpy(l->image + b->offset, bytes, (size_t)size);
    free(bytes);
    return status == ANL_OK ? NULL : said(l, "cannot be fed");
}

const char *loaded_start(loaded *l, bool guarded)
{
    unload(l);
    if (guarded && !l->guarded)
        set_apart(l);
    l->guarded = l->guarded || guarded;
    l->bytes = (l->program->space_bytes[ANL_SPACE_STATE] + 255) / 256 * 256 + GUARD;
    if (anl_memory_new(l->device, l->bytes, l->diagnostics, &l->memory) != ANL_OK)
        return said(l, "no memory");
    if (l->guarded) {
        l->image = anl_malloc((size_t)l->bytes);
        l->actual = anl_malloc((size_t)l->bytes);
        for (int64_t i = 0; i < l->bytes / 4; i++)
            ((uint32_t *)l->image)[i] = guard_word(i);
        if (anl_memory_write(l->memory, 0, l->image, l->bytes, l->diagnostics) != ANL_OK)
            return said(l, "memory cannot be written");
    }
    for (int i = 0; i < l->program->state_count; i++) {
        const char *why = write_port(l, &l->program->states[i], -1, 0);
        if (why)
            return why;
    }
    if (anl_exec_new(l->device, l->program, l->memory, l->diagnostics, &l->exec) != ANL_OK)
        return said(l, "cannot be made ready");
    return NULL;
}

const char *loaded_step(loaded *l, int64_t step)
{
    for (int i = 0; i < l->program->input_count; i++) {
        const char *why = write_port(l, &l->program->inputs[i], i, step);
        if (why)
            return why;
    }
    anl_program_scalars(l->program, step, 10, 100, l->scalars);
    if (anl_exec_run(l->exec, step, l->scalars, l->diagnostics) != ANL_OK)
        return said(l, "does not run");
    if (l->guarded && anl_memory_read(l->memory, 0, l->actual, l->bytes, l->diagnostics) != ANL_OK)
        return said(l, "memory cannot be read");
    return NULL;
}

void loaded_replace(loaded *l, const char *field, const double *data)
{
    for (int i = 0; i < l->program->input_count; i++)
        if (strcmp(l->program->inputs[i].name, field) == 0)
            l->replaced[i] = data;
}

const char *loaded_guards(loaded *l)
{
    const anl_program *p = l->program;
    if (!l->guarded)
        return "there are no guards";
    char *may = anl_malloc((size_t)l->bytes);
    memset(may, 0, (size_t)l->bytes);
    for (int k = 0; k < p->kernel_count; k++)
        for (int a = 0; a < p->kernels[k].arg_count; a++)
            if (p->kernels[k].args[a].written) {
                const anl_buffer *b = &p->buffers[p->kernels[k].args[a].buffer];
                memset(may + b->offset, 1, (size_t)(b->count * element_bytes(l, b->dtype)));
            }
    const char *why = NULL;
    for (int64_t i = 0; i < l->bytes && !why; i++) {
        if (may[i] || l->image[i] == l->actual[i])
            continue;
        const anl_buffer *before = NULL, *after = NULL;
        for (int n = 0; n < p->buffer_count; n++) {
            const anl_buffer *b = &p->buffers[n];
            if (b->space != ANL_SPACE_STATE)
                continue;
            if (b->offset <= i && (!before || b->offset >= before->offset))
                before = b;
            if (b->offset > i && (!after || b->offset < after->offset))
                after = b;
        }
        why = text(l, "byte %lld changed: %lld bytes after the start of `%s` (%lld bytes), %lld before `%s`", (long long)i,
                   (long long)(before ? i - before->offset : i), before ? before->name : "",
                   (long long)(before ? before->bytes : 0), (long long)(after ? after->offset - i : l->bytes - i),
                   after ? after->name : "the end");
    }
    free(may);
    return why;
}

const char *loaded_output(loaded *l, const char *name, double **out, int64_t *count)
{
    for (int i = 0; i < l->program->output_count; i++) {
        const anl_port *port = &l->program->outputs[i];
        if (strcmp(port->name, name))
            continue;
        if (port->buffer < 0) {
            *out = anl_malloc(sizeof **out);
            **out = l->scalars[port->scalar];
            *count = 1;
            return NULL;
        }
        const anl_buffer *b = &l->program->buffers[port->buffer];
        if (l->guarded) {
            *out = collect(l, port, l->actual + b->offset, count);
            return NULL;
        }
        int64_t size = b->count * element_bytes(l, b->dtype);
        char *bytes = anl_malloc((size_t)size);
        anl_status status = anl_exec_fetch(l->exec, i, bytes, size, l->diagnostics);
        if (status == ANL_OK)
            *out = collect(l, port, bytes, count);
        free(bytes);
        return status == ANL_OK ? NULL : said(l, "cannot be fetched");
    }
    return text(l, "the program has no output %s", name);
}

const char *loaded_state(loaded *l, const char *path, double **out, int64_t *count)
{
    for (int i = 0; i < l->program->state_count; i++) {
        const anl_port *port = &l->program->states[i];
        if (strcmp(port->name, path))
            continue;
        const anl_buffer *b = &l->program->buffers[port->buffer];
        int64_t size = b->count * element_bytes(l, b->dtype);
        char *bytes = anl_malloc((size_t)size);
        anl_status status = anl_memory_read(l->memory, b->offset, bytes, size, l->diagnostics);
        if (status == ANL_OK)
            *out = collect(l, port, bytes, count);
        free(bytes);
        return status == ANL_OK ? NULL : said(l, "cannot be read");
    }
    return text(l, "the program has no state %s", path);
}
