/* Tests of the tracer: paths and shapes of weights, ride-along axes, draws, arenas, phases, copies, fetches, diagnostics.
 * In: small specs written here, the stock specs and the accepted corpus (ANL_TEST_ROOT). Out: check's report.
 * Graphs are judged by their structure; their numbers are judged where they are executed. */
#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <anlage/diagnostic_codes.h>

#include "trace/trace.h"

static char folder[64];

static const char *root(void)
{
    const char *path = getenv("ANL_TEST_ROOT");
    return path ? path : ".";
}

typedef struct traced_spec {
    anl_diagnostics *diagnostics;
    anl_recipe *recipe;
    anl_traced *traced;
    anl_status status;
} traced_spec;

static traced_spec trace_file(const char *path, const anl_trace_options *options, const anl_override *overrides,
                              int override_count)
{
    char library[512];
    snprintf(library, sizeof library, "%s/specs", root());
    traced_spec s = {.diagnostics = anl_diagnostics_new()};
    s.status = anl_recipe_read(path, overrides, override_count, library, s.diagnostics, &s.recipe);
    if (s.recipe) {
        anl_status status = anl_trace(s.recipe, options, s.diagnostics, &s.traced);
        if (!s.status)
            s.status = status;
    }
    return s;
}

static traced_spec trace_text(const char *text, const anl_trace_options *options)
{
    char path[128];
    snprintf(path, sizeof path, "%s/spec.yaml", folder);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
    return trace_file(path, options, NULL, 0);
}

static void finish(traced_spec *s)
{
    anl_traced_free(&s->traced);
    anl_recipe_free(&s->recipe);
    anl_diagnostics_free(&s->diagnostics);
}

static void expect_good(traced_spec *s)
{
    if (s->status)
        anl_diagnostics_print(s->diagnostics, stderr, false);
    ck_assert_int_eq(s->status, ANL_OK);
    anl_status verified = anl_graph_verify(s->traced->graph, s->diagnostics);
    if (verified)
        anl_diagnostics_print(s->diagnostics, stderr, false);
    ck_assert_int_eq(verified, ANL_OK);
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/anlage-trace-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/spec.yaml", folder);
    unlink(path);
    rmdir(folder);
}

static const anl_trace_options train = {.mode = ANL_TRACE_TRAIN, .epoch_steps = 10, .seed = -1};

#define DATA "data: {train: {shards: none, fields: {image: {axes: {channel: 1, y: 16, x: 16}}}}}\n"
#define RULES "train: {length: 100it, optimizer: [{weights: \"*\", rule: \"sgd(lr=0.1)\"}], checkpoint: {every: 10it}}\n"

/* ---- weights ---- */
static void expect_state(const anl_graph *g, const char *path, const char *axes)
{
    const anl_state *s = anl_graph_find_state(g, path);
    ck_assert_msg(s != NULL, "no state %s", path);
    const char *text = anl_axes_text(g, g->arena, s->axes, s->rank);
    ck_assert_msg(!strcmp(text, axes), "%s has axes %s, not %s", path, text, axes);
}

static void expect_norm(const anl_graph *g, const char *path, int channels)
{
    static const char *const names[4] = {"weight", "bias", "running_mean", "running_var"};
    char full[256], axes[64];
    snprintf(axes, sizeof axes, "[channel %d]", channels);
    for (int i = 0; i < 4; i++) {
        snprintf(full, sizeof full, "%s.%s", path, names[i]);
        expect_state(g, full, axes);
    }
}

static void expect_conv(const anl_graph *g, const char *path, int out, int in, int kernel)
{
    char full[256], axes[128];
    snprintf(full, sizeof full, "%s.weight", path);
    snprintf(axes, sizeof axes, "[out %d, channel %d, y %d, x %d]", out, in, kernel, kernel);
    expect_state(g, full, axes);
}

static int weight_tensors(const anl_graph *g, int64_t *elements)
{
    int count = 0;
    *elements = 0;
    for (int i = 0; i < g->state_count; i++) {
        if (g->states[i]->kind == ANL_STATE_OTHER)
            continue;
        int64_t n = 1;
        for (int k = 0; k < g->states[i]->rank; k++)
            n *= g->states[i]->axes[k].size;
        *elements += n;
        count++;
    }
    return count;
}

static traced_spec trace_network(const char *call)
{
    char text[1024];
    snprintf(text, sizeof text,
             "anlage: 1\nimport: [resnet.yaml, optimize.yaml]\nparams: {batch: 2}\n"
             "data: {train: {shards: none, fields: {image: {axes: {channel: 3, y: 64, x: 64}}}}}\nmodules: {encoder: %s}\n"
             "losses: {l: {value: \"mean(encoder(image), over=all)\"}}\n" RULES,
             call);
    char library[1024];
    snprintf(library, sizeof library, "%s", text);
    /* imports are found in the library's folder lib/ */
    char *at = strstr(library, "[resnet.yaml, optimize.yaml]");
    char with[1200];
    snprintf(with, sizeof with, "%.*s[lib/resnet.yaml, lib/optimize.yaml]%s", (int)(at - library), library,
             at + strlen("[resnet.yaml, optimize.yaml]"));
    return trace_text(with, &train);
}

START_TEST(basic_networks_have_the_usual_names_and_shapes)
{
    traced_spec s = trace_network("resnet18(width=64)");
    expect_good(&s);
    const anl_graph *g = s.traced->graph;
    expect_conv(g, "encoder.conv1", 64, 3, 7);
    expect_norm(g, "encoder.bn1", 64);
    int in = 64;
    for (int layer = 1; layer <= 4; layer++) {
        int out = 64 << (layer - 1);
        for (int block = 0; block < 2; block++) {
            char path[64], part[128];
            snprintf(path, sizeof path, "encoder.layer%d.%d", layer, block);
            snprintf(part, sizeof part, "%s.conv1", path);
            expect_conv(g, part, out, in, 3);
            snprintf(part, sizeof part, "%s.bn1", path);
            expect_norm(g, part, out);
            snprintf(part, sizeof part, "%s.conv2", path);
            expect_conv(g, part, out, out, 3);
            snprintf(part, sizeof part, "%s.bn2", path);
            expect_norm(g, part, out);
            snprintf(part, sizeof part, "%s.downsample.0", path);
            if (layer > 1 && block == 0) {
                expect_conv(g, part, out, in, 1);
                snprintf(part, sizeof part, "%s.downsample.1", path);
                expect_norm(g, part, out);
            } else {
                snprintf(part, sizeof part, "%s.downsample.0.weight", path);
                ck_assert_ptr_null(anl_graph_find_state(g, part));
            }
            in = out;
        }
    }
    int64_t elements;
    ck_assert_int_eq(weight_tensors(g, &elements), 60); /* torchvision: 62 with the classifier, which has 513000 elements */
    ck_assert_int_eq(elements, 11689512 - 513000);
    finish(&s);
}
END_TEST

START_TEST(deeper_networks_have_the_usual_sizes)
{
    static const struct {
        const char *call;
        int tensors;
        int64_t elements;
    } cases[] = {{"resnet34(width=64)", 108, 21797672 - 513000}, {"resnet50(width=64)", 159, 25557032 - 2049000}};
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        traced_spec s = trace_network(cases[i].call);
        expect_good(&s);
        int64_t elements;
        ck_assert_int_eq(weight_tensors(s.traced->graph, &elements), cases[i].tensors);
        ck_assert_int_eq(elements, cases[i].elements);
        if (i == 1) {
            expect_conv(s.traced->graph, "encoder.layer1.0.downsample.0", 256, 64, 1);
            expect_conv(s.traced->graph, "encoder.layer4.2.conv3", 2048, 512, 1);
            expect_conv(s.traced->graph, "encoder.layer3.0.conv2", 256, 256, 3);
        }
        finish(&s);
    }
}
END_TEST

START_TEST(the_same_network_works_on_volumes)
{
    traced_spec s =
        trace_text("anlage: 1\nimport: [lib/resnet.yaml, lib/optimize.yaml]\nparams: {batch: 2}\n"
                   "data: {train: {shards: none, fields: {image: {axes: {channel: 1, z: 32, y: 32, x: 32}}}}}\n"
                   "modules: {encoder: resnet18(width=8)}\nlosses: {l: {value: \"mean(encoder(image), over=all)\"}}\n" RULES,
                   &train);
    expect_good(&s);
    expect_state(s.traced->graph, "encoder.layer2.0.conv1.weight", "[out 16, channel 8, z 3, y 3, x 3]");
    finish(&s);
}
END_TEST

/* ---- ride-along axes ---- */
START_TEST(hidden_axes_ride_along)
{
    const char *fetches[] = {"plan", "normed", "flat"};
    anl_trace_options options = {
        .mode = ANL_TRACE_TRAIN, .epoch_steps = 10, .seed = -1, .fetches = fetches, .fetch_count = 3, .fetch_only = true};
    traced_spec s = trace_text(
        "anlage: 1\nimport: [lib/clustering.yaml]\nparams: {batch: 4}\n"
        "data: {train: {shards: none, fields: {scores: {axes: {view: 3, cluster: 5}}, features: {axes: {channel: 6}}}}}\n"
        "functions:\n"
        "  whole: {inputs: {x: [...axes]}, returns: \"sum(x, over=axes)\"}\n"
        "  block: {inputs: {x: [channel]}, returns: batch_norm(x)}\n"
        "graph: {plan: sinkhorn(scores), normed: block(features), flat: whole(features)}\n",
        &options);
    expect_good(&s);
    const anl_graph *g = s.traced->graph;
    const anl_node *plan = g->outputs[0].node;
    ck_assert_int_eq(plan->rank, 3);
    ck_assert_int_eq(anl_node_size(plan, anl_graph_find_axis(g, "view")), 3);
    ck_assert_int_eq(anl_node_size(plan, anl_graph_find_axis(g, "batch")), 4);
    /* the maximum of each view: over batch and cluster, the view's hidden stand-in stays */
    int found = 0, statistics = 0;
    for (int i = 0; i < g->node_count; i++) {
        const anl_node *n = g->nodes[i];
        if (n->op == ANL_OP_MAX) {
            ck_assert_int_eq(n->attrs.over_count, 2);
            ck_assert_int_eq(n->rank, 1);
            ck_assert_int_eq(n->axes[0].size, 3);
            ck_assert(g->axis_names[n->axes[0].id].hidden);
            found++;
        }
        /* ...rest reaches what the function around it hides: the statistics of batch normalisation are those of the batch */
        if (n->op == ANL_OP_MEAN) {
            ck_assert_int_eq(n->rank, 1);
            ck_assert_int_eq(n->axes[0].size, 6);
            statistics++;
        }
    }
    ck_assert_int_eq(found, 1);
    ck_assert_int_eq(statistics, 1);
    ck_assert_int_eq(g->outputs[2].node->rank, 0);
    finish(&s);
}
END_TEST

/* ---- draws ---- */
static int draws_of(const anl_graph *g, const anl_node **out, int limit)
{
    int count = 0;
    for (int i = 0; i < g->node_count && count < limit; i++)
        if (g->nodes[i]->op == ANL_OP_UNIFORM || g->nodes[i]->op == ANL_OP_NORMAL)
            out[count++] = g->nodes[i];
    return count;
}

static int64_t draw_size(const anl_node *n) { return anl_node_count(n); }

START_TEST(draws_follow_the_axes_that_ride_along)
{
    const char *fetches[] = {"out"};
    anl_trace_options options = {
        .mode = ANL_TRACE_TRAIN, .epoch_steps = 10, .seed = -1, .fetches = fetches, .fetch_count = 1, .fetch_only = true};
    const char *head = "anlage: 1\nparams: {batch: 4}\n" DATA "functions:\n"
                       "  gained: {inputs: {x: [channel, ~space]}, returns: \"x * uniform(0.5, 1.5)\"}\n"
                       "  noisy: {inputs: {x: [channel, ~space]}, returns: \"x + normal(like=x)\"}\n"
                       "  banded: {inputs: {x: [channel, ~space]}, nodes: {gain: \"uniform(0, 1, band=7)\"}, returns: \"x * "
                       "sum(gain, over=band)\"}\n";
    char text[2048];
    snprintf(text, sizeof text,
             "%sviews: {out: [image, {gained: {as: before}}, {replicate: {view: 2}}, {gained: {as: after}}, noisy, banded]}\n",
             head);
    traced_spec s = trace_text(text, &options);
    expect_good(&s);
    const anl_node *draws[8];
    ck_assert_int_eq(draws_of(s.traced->graph, draws, 8), 4);
    int64_t sizes[4] = {4, 8, 2 * 4 * 256, 2 * 4 * 7};
    uint64_t keys[4];
    for (int i = 0; i < 4; i++) {
        bool found = false;
        for (int k = 0; k < 4; k++)
            if (draw_size(draws[k]) == sizes[i]) {
                found = true;
                keys[i] = draws[k]->attrs.key;
                /* the sample is counted along batch, whatever stands for it */
                ck_assert_int_ge(draws[k]->attrs.axis[0], 0);
                ck_assert_int_eq(anl_node_size(draws[k], draws[k]->attrs.axis[0]), 4);
            }
        ck_assert_msg(found, "no draw of %lld elements", (long long)sizes[i]);
    }
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            ck_assert_uint_ne(keys[i], keys[k]);
    finish(&s);

    /* something before and beside it changes nothing; another seed changes all */
    snprintf(text, sizeof text,
             "%sviews: {other: [image, noisy], out: [image, {gained: {as: new}}, {gained: {as: before}}, {replicate: {view: 2}}, "
             "{gained: {as: after}}, noisy, banded]}\n",
             head);
    s = trace_text(text, &options);
    expect_good(&s);
    ck_assert_int_eq(draws_of(s.traced->graph, draws, 8), 5);
    int kept = 0;
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 4; k++)
            kept += draws[i]->attrs.key == keys[k];
    ck_assert_int_eq(kept, 4);
    finish(&s);
    options.seed = 5;
    s = trace_text(text, &options);
    expect_good(&s);
    ck_assert_int_eq(draws_of(s.traced->graph, draws, 8), 5);
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 4; k++)
            ck_assert_uint_ne(draws[i]->attrs.key, keys[k]);
    finish(&s);
}
END_TEST

/* ---- optimizer ---- */
static const char *const two_layers =
    "anlage: 1\nimport: [lib/layers.yaml, lib/optimize.yaml, lib/clustering.yaml]\nparams: {batch: 4}\n"
    "data: {train: {shards: none, fields: {features: {axes: {channel: 5}}}}}\n"
    "modules:\n"
    "  first: linear(from=channel, to=channel, size=7)\n"
    "  second: linear(from=channel, to=class, size=3)\n"
    "  prototypes: unit_vectors(cluster=6, feature=3)\n"
    "graph:\n"
    "  hidden: relu(first(features))\n"
    "  scores: dot(rename(second(hidden), class=feature), prototypes(), over=feature)\n"
    "losses: {l: {value: \"mean(scores ** 2, over=all)\"}}\n";

static traced_spec trace_rules(const char *rules, const anl_trace_options *options)
{
    char text[4096];
    snprintf(text, sizeof text, "%strain:\n  length: 100it\n  checkpoint: {every: 10it}\n  optimizer:\n%s", two_layers, rules);
    return trace_text(text, options);
}

START_TEST(weights_of_one_kind_share_an_arena)
{
    traced_spec s = trace_rules("    - {weights: \"*\", rule: \"lars(lr=0.1)\"}\n", &train);
    expect_good(&s);
    const anl_graph *g = s.traced->graph;
    const anl_state *a = anl_graph_find_state(g, "first.weight"), *b = anl_graph_find_state(g, "second.weight"),
                    *c = anl_graph_find_state(g, "first.bias"), *p = anl_graph_find_state(g, "prototypes.weight");
    ck_assert_ptr_nonnull(a->arena);
    ck_assert_ptr_eq(a->arena, b->arena);
    ck_assert_ptr_ne(a->arena, c->arena);
    ck_assert_ptr_null(p->arena); /* projected: on its own */
    ck_assert_ptr_nonnull(p->update);
    ck_assert_int_eq(a->arena_offset, 0);
    ck_assert_int_eq(b->arena_offset, 64); /* 35 elements, padded */
    ck_assert_ptr_nonnull(a->arena->update);
    ck_assert_int_eq(anl_node_count(a->arena->update), 128);
    ck_assert_int_eq(a->arena->order[0], 0); /* chunk by chunk, so that a weight is one range */
    ck_assert_int_eq(a->arena->value->axes[0].size, 2);
    ck_assert_int_eq(a->arena->value->axes[1].size, 64);
    const anl_state *velocity = anl_graph_find_state(g, "second.weight:velocity");
    ck_assert_ptr_nonnull(velocity);
    ck_assert_int_eq(velocity->arena_offset, b->arena_offset);
    ck_assert_ptr_nonnull(velocity->arena->update);
    /* one sum for each weight, given back to all its chunks */
    int segments = 0;
    for (int i = 0; i < g->node_count; i++)
        segments += g->nodes[i]->op == ANL_OP_SEGMENT_SUM;
    ck_assert_int_eq(segments, 2);
    int output = 0;
    for (int i = 0; i < g->output_count; i++)
        output +=
            !strcmp(g->outputs[i].name, "lr") || !strcmp(g->outputs[i].name, "loss") || !strcmp(g->outputs[i].name, "loss.l");
    ck_assert_int_eq(output, 3);
    finish(&s);
}
END_TEST

START_TEST(phases_keep_arenas)
{
    const char *rules = "    - {weights: \"*\", rule: \"sgd(lr=0.1)\"}\n    - {weights: \"first.*\", rule: frozen, until: 2ep}\n "
                        "   - {weights: \"*.bias\", rule: \"adamw(lr=0.01)\", from: 35it}\n";
    static const int64_t steps[3] = {0, 20, 35};
    char layout[3][2048];
    for (int i = 0; i < 3; i++) {
        anl_trace_options options = train;
        options.phase_step = steps[i];
        traced_spec s = trace_rules(rules, &options);
        expect_good(&s);
        ck_assert_int_eq(s.traced->boundary_count, 2);
        ck_assert_double_eq(s.traced->boundaries[0], 20);
        ck_assert_double_eq(s.traced->boundaries[1], 35);
        const anl_graph *g = s.traced->graph;
        layout[i][0] = '\0';
        for (int k = 0; k < g->state_count; k++) {
            size_t used = strlen(layout[i]);
            snprintf(layout[i] + used, sizeof layout[i] - used, "%s@%s+%d\n", g->states[k]->path,
                     g->states[k]->arena ? g->states[k]->arena->path : "", (int)g->states[k]->arena_offset);
        }
        ck_assert_str_eq(layout[i], layout[0]);
        const anl_state *first = anl_graph_find_state(g, "first.weight"), *second = anl_graph_find_state(g, "second.weight"),
                        *bias = anl_graph_find_state(g, "second.bias");
        ck_assert_int_eq(first->arena->update != NULL, steps[i] >= 20);
        ck_assert_ptr_nonnull(second->arena->update);
        ck_assert_ptr_nonnull(bias->arena->update);
        const anl_state *mean = anl_graph_find_state(g, "second.bias:adamw.mean");
        ck_assert_ptr_nonnull(mean);
        ck_assert_int_eq(mean->arena->update != NULL, steps[i] >= 35);
        finish(&s);
    }
}
END_TEST

START_TEST(since_makes_phases)
{
    const char *text =
        "anlage: 1\nimport: [lib/layers.yaml, lib/optimize.yaml]\nparams: {batch: 4, start: 3ep}\n"
        "data: {train: {shards: none, fields: {features: {axes: {channel: 5}}}}}\n"
        "modules: {first: \"linear(from=channel, to=channel, size=7)\", late: \"linear(from=channel, to=channel, size=7)\"}\n"
        "graph: {hidden: first(features), out: \"if(since(start), late(hidden), hidden)\"}\n"
        "losses: {l: {value: \"mean(out ** 2, over=all)\"}}\n" RULES;
    anl_trace_options options = train;
    traced_spec s = trace_text(text, &options);
    expect_good(&s);
    ck_assert_int_eq(s.traced->boundary_count, 1);
    ck_assert_double_eq(s.traced->boundaries[0], 30);
    const anl_state *late = anl_graph_find_state(s.traced->graph, "late.weight");
    ck_assert_ptr_nonnull(late);
    ck_assert_ptr_nonnull(late->arena);
    ck_assert_ptr_null(late->arena->update); /* not used yet, so neither decayed nor moved */
    finish(&s);
    options.phase_step = 30;
    s = trace_text(text, &options);
    expect_good(&s);
    ck_assert_ptr_nonnull(anl_graph_find_state(s.traced->graph, "late.weight")->arena->update);
    finish(&s);
    options.phase_step = 0;
    options.mode = ANL_TRACE_INITIALIZE;
    s = trace_text(text, &options);
    expect_good(&s);
    ck_assert_ptr_nonnull(anl_graph_find_state(s.traced->graph, "late.weight")->update); /* has a first value from the start */
    finish(&s);
}
END_TEST

START_TEST(every_state_has_a_first_value)
{
    anl_trace_options options = train;
    options.mode = ANL_TRACE_INITIALIZE;
    char path[512];
    snprintf(path, sizeof path, "%s/specs/pretrain/bench.yaml", root());
    traced_spec s = trace_file(path, &options, NULL, 0);
    expect_good(&s);
    const anl_graph *g = s.traced->graph;
    for (int i = 0; i < g->state_count; i++) {
        const anl_state *state = g->states[i];
        bool holds_others = !strncmp(state->path, "arena.", 6);
        bool covered = state->update || (state->arena && state->arena->update);
        ck_assert_msg(covered || holds_others, "%s has no first value", state->path);
    }
    /* all draws of first values differ in key */
    const anl_node *draws[256];
    int count = draws_of(g, draws, 256);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < i; k++)
            ck_assert_uint_ne(draws[i]->attrs.key, draws[k]->attrs.key);
    finish(&s);
}
END_TEST

START_TEST(copies_follow_their_source)
{
    const char *text =
        "anlage: 1\nimport: [lib/layers.yaml, lib/optimize.yaml, lib/momentum.yaml]\nparams: {batch: 4}\n"
        "data: {train: {shards: none, fields: {features: {axes: {channel: 5}}}}}\n"
        "modules:\n  student: projection_head(hidden=8, features=4)\n  teacher: {copy: student, update: \"ema(momentum=0.9)\"}\n"
        "losses: {l: {value: \"mean((student(features) - teacher(features)) ** 2, over=all)\"}}\n" RULES;
    anl_trace_options options = train;
    traced_spec s = trace_text(text, &options);
    expect_good(&s);
    const anl_graph *g = s.traced->graph;
    const anl_state *of = anl_graph_find_state(g, "student.linear1.weight"),
                    *copy = anl_graph_find_state(g, "teacher.linear1.weight");
    ck_assert_ptr_nonnull(of->arena->update);
    ck_assert_ptr_nonnull(copy->arena);
    ck_assert_ptr_ne(copy->arena, of->arena);
    ck_assert_ptr_nonnull(copy->arena->update);
    ck_assert_ptr_nonnull(anl_graph_find_state(g, "teacher.bn1.running_mean")->update); /* its own statistics */
    ck_assert_ptr_null(anl_graph_find_state(g, "teacher.linear1.weight:velocity"));
    finish(&s);
    options.mode = ANL_TRACE_INITIALIZE;
    s = trace_text(text, &options);
    expect_good(&s);
    g = s.traced->graph;
    ck_assert_ptr_eq(anl_graph_find_state(g, "teacher.linear1.weight")->update,
                     anl_graph_find_state(g, "student.linear1.weight")->update);
    finish(&s);
}
END_TEST

START_TEST(state_of_two_calls_is_their_mean)
{
    const char *text = "anlage: 1\nimport: [lib/layers.yaml, lib/optimize.yaml]\nparams: {batch: 4}\n"
                       "data: {train: {shards: none, fields: {features: {axes: {channel: 5}}}}}\n"
                       "modules: {norm: batch_norm}\n"
                       "losses: {l: {value: \"mean((norm(features) - norm(2 * features)) ** 2, over=all)\"}}\n" RULES;
    traced_spec s = trace_text(text, &train);
    expect_good(&s);
    const anl_node *update = anl_graph_find_state(s.traced->graph, "norm.running_mean")->update;
    ck_assert_ptr_nonnull(update);
    ck_assert_int_eq(update->op, ANL_OP_SCALAR);
    ck_assert_int_eq(update->attrs.scalar, ANL_S_MUL);
    finish(&s);
}
END_TEST

/* ---- fetches ---- */
START_TEST(fetches_name_nodes_losses_and_gradients)
{
    const char *fetches[] = {"hidden", "loss.l", "gradient(first.weight)", "first.weight", "mean(hidden, over=all)"};
    anl_trace_options options = {
        .mode = ANL_TRACE_TRAIN, .epoch_steps = 10, .seed = -1, .fetches = fetches, .fetch_count = 5, .fetch_only = true};
    traced_spec s = trace_rules("    - {weights: \"*\", rule: \"sgd(lr=0.1)\"}\n", &options);
    expect_good(&s);
    const anl_graph *g = s.traced->graph;
    ck_assert_int_eq(g->output_count, 5);
    for (int i = 0; i < 5; i++)
        ck_assert_str_eq(g->outputs[i].name, fetches[i]);
    ck_assert(anl_node_same_axes(g->outputs[2].node, g->outputs[3].node));
    ck_assert_int_eq(g->outputs[4].node->rank, 0);
    for (int i = 0; i < g->state_count; i++)
        ck_assert_ptr_null(g->states[i]->update);
    finish(&s);
    const char *unknown[] = {"gradient(first.wieght)"};
    options.fetches = unknown;
    options.fetch_count = 1;
    s = trace_rules("    - {weights: \"*\", rule: \"sgd(lr=0.1)\"}\n", &options);
    ck_assert_int_eq(s.status, ANL_ERROR_SPEC);
    ck_assert_int_eq(anl_diagnostics_get(s.diagnostics, 0)->code, ANL_A_fetch_unknown);
    ck_assert_ptr_nonnull(anl_diagnostics_get(s.diagnostics, 0)->suggestion);
    finish(&s);
}
END_TEST

/* ---- diagnostics ---- */
#define HEAD                                                                                                                     \
    "anlage: 1\nimport: [lib/layers.yaml, lib/optimize.yaml, lib/clustering.yaml]\nparams: {batch: 4}\n"                         \
    "data: {train: {shards: none, fields: {features: {axes: {channel: 5}}, label: {axes: {class: 3}, missing: -1, mask: "        \
    "known}}}}\n"

static const struct {
    const char *text;
    int code, line;
} wrong[] = {
    {HEAD "graph:\n  a: b + 1\n  b: c\n  c: a\nlosses: {l: {value: a}}\n" RULES, ANL_A_cycle, 6},
    {HEAD
     "modules: {m: \"linear(from=chanel, to=class, size=3)\"}\nlosses: {l: {value: \"mean(m(features), over=all)\"}}\n" RULES,
     ANL_A_missing_axis, 6},
    {HEAD
     "modules: {m: \"linear(from=channel, to=batch, size=3)\"}\nlosses: {l: {value: \"mean(m(features), over=all)\"}}\n" RULES,
     ANL_A_duplicate_axis, 6},
    {HEAD "modules: {m: \"linear(from=channel, to=class, size=3)\"}\nlosses: {l: {value: m(features)}}\n" RULES,
     ANL_A_loss_has_axes, 6},
    {HEAD "modules: {m: \"linear(from=channel, to=class, size=3)\"}\nlosses:\n  l: {value: \"mean(m(features), over=all)\"}\n  "
          "n: {value: \"mean(label, over=all)\"}\n" RULES,
     ANL_A_loss_without_weights, 8},
    {HEAD "modules: {m: \"linear(from=channel, to=class, size=3)\", n: \"linear(from=channel, to=class, size=3)\"}\n"
          "losses:\n  l: {value: \"mean(m(features) + stop_gradient(n(features)), over=all)\"}\n" RULES,
     ANL_A_weight_without_gradient, 0},
    {HEAD "functions:\n  f:\n    inputs: {x: [channel]}\n    returns: linear(linear(x, channel, channel, 4), channel, channel, "
          "4)\nmodules: {m: f}\n"
          "losses: {l: {value: \"mean(m(features), over=all)\"}}\n" RULES,
     ANL_A_name_needed, 8},
    {HEAD
     "functions:\n  f: {inputs: {x: [channel]}, returns: f(x)}\nlosses: {l: {value: \"mean(f(features), over=all)\"}}\n" RULES,
     ANL_A_recursion, 6},
    {HEAD "modules: {m: \"linear(from=channel, to=class, size=3)\"}\nlosses: {l: {value: \"mean(m(features), over=all)\"}}\n"
          "train: {length: 100it, checkpoint: {every: 1it}, optimizer: [{weights: \"*\", rule: \"sgd(lr=0.1)\"}, {weights: "
          "\"m.wight\", rule: frozen}]}\n",
     ANL_A_glob_matches_nothing, 7},
    {HEAD "modules: {m: \"linear(from=channel, to=class, size=3)\"}\nlosses: {l: {value: \"mean(m(features), over=all)\"}}\n"
          "train: {length: 100it, checkpoint: {every: 1it}, optimizer: [{weights: \"m.weight\", rule: \"sgd(lr=0.1)\"}]}\n",
     ANL_A_weight_without_rule, 0},
    {HEAD "modules: {m: \"linear(from=channel, to=class, size=3)\"}\nlosses: {l: {value: \"mean(m(features, sise=3), "
          "over=all)\"}}\n" RULES,
     ANL_A_unknown_argument, 6},
    {HEAD "modules: {m: \"linear(from=channel, to=class)\"}\nlosses: {l: {value: \"mean(m(features), over=all)\"}}\n" RULES,
     ANL_A_missing_argument, 6},
    {HEAD
     "modules: {m: \"linear(from=channel, to=class, size=2.5)\"}\nlosses: {l: {value: \"mean(m(features), over=all)\"}}\n" RULES,
     ANL_A_type_mismatch, 5},
    {HEAD
     "modules: {m: \"linear(from=channel, to=class, size=3)\"}\nlosses: {l: {value: \"mean(m(featurs), over=all)\"}}\n" RULES,
     ANL_A_unknown_name, 6},
    {HEAD "modules: {m: \"linear(from=channel, to=class, size=3)\"}\ngraph: {s: \"m(features)[class=2:9]\"}\nlosses: {l: {value: "
          "\"mean(s, over=all)\"}}\n" RULES,
     ANL_A_out_of_range, 6},
    {HEAD "modules: {m: \"linear(from=channel, to=class, size=3)\"}\ngraph: {s: \"if(mean(features, over=all) > 0, m(features), "
          "label)\"}\n"
          "losses: {l: {value: \"mean(s, over=all)\"}}\n" RULES,
     ANL_A_not_static, 6},
    {HEAD "state: {q: {axes: {channel: 5}, init: 0, update: \"mean(features, over=channel)\"}}\nmodules: {m: "
          "\"linear(from=channel, to=class, size=3)\"}\n"
          "losses: {l: {value: \"mean(m(features + q), over=all)\"}}\n" RULES,
     ANL_A_axis_mismatch, 5},
    {HEAD "functions:\n  f:\n    inputs: {x: [channel]}\n    state: {seen: {axes: {channel: 5}, init: 0, update: \"seen + "
          "1\"}}\n    returns: x + seen\n"
          "modules: {g: f, m: \"linear(from=channel, to=class, size=3)\"}\nlosses: {l: {value: \"mean(m(g(features) + g(2 * "
          "features)), over=all)\"}}\n" RULES,
     ANL_A_state_called_twice, 8},
    {HEAD "modules: {m: \"linear(from=channel, to=class, size=3)\"}\ngraph: {s: \"since(3)\"}\nlosses: {l: {value: \"if(s, "
          "mean(m(features), over=all), 0)\"}}\n" RULES,
     ANL_A_bad_unit, 6},
};

START_TEST(problems_have_a_place)
{
    traced_spec s = trace_text(wrong[_i].text, &train);
    ck_assert_int_eq(s.status, ANL_ERROR_SPEC);
    bool found = false;
    for (int i = 0; i < anl_diagnostics_count(s.diagnostics); i++) {
        const anl_diagnostic *d = anl_diagnostics_get(s.diagnostics, i);
        found |= d->code == wrong[_i].code && d->span.line > 0 && (!wrong[_i].line || d->span.line == wrong[_i].line);
        if (d->severity == ANL_ERROR && d->code != wrong[_i].code) /* one mistake, one kind of error */
            anl_diagnostics_print(s.diagnostics, stderr, false);
        ck_assert(d->severity != ANL_ERROR || d->code == wrong[_i].code);
    }
    if (!found)
        anl_diagnostics_print(s.diagnostics, stderr, false);
    ck_assert_msg(found, "case %d: no A%04d in line %d", _i, wrong[_i].code, wrong[_i].line);
    finish(&s);
}
END_TEST

START_TEST(all_problems_are_found_in_one_run)
{
    traced_spec s = trace_text(HEAD "modules: {m: \"linear(from=channel, to=class, size=3)\"}\n"
                                    "graph:\n  a: nosuch(features)\n  b: mean(features)\n  c: features * unknown\n"
                                    "losses: {l: {value: \"mean(m(features), over=all)\"}}\n" RULES,
                               &train);
    int codes[3] = {ANL_A_unknown_function, ANL_A_missing_over, ANL_A_unknown_name};
    ck_assert_int_eq(anl_diagnostics_errors(s.diagnostics), 3);
    for (int i = 0; i < 3; i++) {
        bool found = false;
        for (int k = 0; k < anl_diagnostics_count(s.diagnostics); k++)
            found |= anl_diagnostics_get(s.diagnostics, k)->code == codes[i] &&
                     anl_diagnostics_get(s.diagnostics, k)->span.line == 7 + i;
        ck_assert_msg(found, "A%04d is missing", codes[i]);
    }
    finish(&s);
}
END_TEST

START_TEST(unused_names_are_warned_of)
{
    traced_spec s = trace_text(
        HEAD "modules: {m: \"linear(from=channel, to=class, size=3)\", n: \"linear(from=channel, to=class, size=3)\"}\n"
             "graph: {a: 2 * features}\nlosses: {l: {value: \"mean(m(features), over=all)\"}}\n" RULES,
        &train);
    expect_good(&s);
    ck_assert_int_eq(anl_diagnostics_warnings(s.diagnostics), 3);
    finish(&s);
}
END_TEST

/* ---- whole specs ---- */
static void trace_folder(const char *name, int *count)
{
    char path[512], file[1024];
    snprintf(path, sizeof path, "%s/%s", root(), name);
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".yaml"))
            continue;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        for (int mode = 0; mode < 3; mode++) {
            anl_trace_options options = {.mode = (anl_trace_mode)mode, .epoch_steps = 10, .seed = -1};
            traced_spec s = trace_file(file, &options, NULL, 0);
            expect_good(&s);
            for (int i = 0; mode == 0 && i < s.traced->boundary_count; i++) {
                anl_trace_options later = options;
                later.phase_step = (int64_t)s.traced->boundaries[i] + 1;
                traced_spec phase = trace_file(file, &later, NULL, 0);
                expect_good(&phase);
                finish(&phase);
            }
            finish(&s);
        }
        ++*count;
    }
    closedir(d);
}

START_TEST(stock_and_accepted_specs_trace)
{
    int count = 0;
    trace_folder("specs/pretrain", &count);
    trace_folder("specs/finetune", &count);
    trace_folder("specs/hybrid", &count);
    trace_folder("tests/specs/accepted", &count);
    ck_assert_int_ge(count, 6);
}
END_TEST

START_TEST(static_facts)
{
    char path[512];
    snprintf(path, sizeof path, "%s/specs/finetune/classify.yaml", root());
    anl_override overrides[] = {{"batch", "16"}, {"classes", "3"}, {"epochs", "7"}};
    char library[512];
    snprintf(library, sizeof library, "%s/specs", root());
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_recipe *recipe = NULL;
    ck_assert_int_eq(anl_recipe_read(path, overrides, 3, library, diagnostics, &recipe), ANL_OK);
    anl_arena *arena = anl_arena_new();
    anl_static_recipe facts;
    ck_assert_int_eq(anl_trace_static(recipe, arena, diagnostics, &facts), ANL_OK);
    ck_assert_int_eq(facts.batch, 16);
    ck_assert_double_eq(facts.train_length, 7);
    ck_assert(facts.train_length_epochs);
    ck_assert_int_eq(facts.field_count, 2);
    ck_assert_int_eq(facts.fields[1].size[0], 3);
    ck_assert(facts.fields[1].has_missing);
    ck_assert_double_eq(facts.fields[1].missing, -1);
    ck_assert_int_eq(facts.initialization_count, 0); /* no checkpoint is given: from scratch */
    ck_assert_int_eq(facts.metric_count, 1);
    anl_arena_free(&arena);
    anl_recipe_free(&recipe);
    anl_diagnostics_free(&diagnostics);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace");
    TCase *tests = tcase_create("trace");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, basic_networks_have_the_usual_names_and_shapes);
    tcase_add_test(tests, deeper_networks_have_the_usual_sizes);
    tcase_add_test(tests, the_same_network_works_on_volumes);
    tcase_add_test(tests, hidden_axes_ride_along);
    tcase_add_test(tests, draws_follow_the_axes_that_ride_along);
    tcase_add_test(tests, weights_of_one_kind_share_an_arena);
    tcase_add_test(tests, phases_keep_arenas);
    tcase_add_test(tests, since_makes_phases);
    tcase_add_test(tests, every_state_has_a_first_value);
    tcase_add_test(tests, copies_follow_their_source);
    tcase_add_test(tests, state_of_two_calls_is_their_mean);
    tcase_add_test(tests, fetches_name_nodes_losses_and_gradients);
    tcase_add_loop_test(tests, problems_have_a_place, 0, (int)ANL_COUNT(wrong));
    tcase_add_test(tests, all_problems_are_found_in_one_run);
    tcase_add_test(tests, unused_names_are_warned_of);
    tcase_add_test(tests, stock_and_accepted_specs_trace);
    tcase_add_test(tests, static_facts);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
