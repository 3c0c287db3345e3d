/* Cases of state: updates in place, exchanges, queues, arenas with parts that are weights of their own.
 * In: states with values, fields that differ from step to step. Out: groups of cases, each over several steps.
 * All updates take effect together at the end of a step; what a step reads is the old value. */
#include "suite.h"

static anl_node *value(maker *m, anl_state *s) { return anl_graph_state_value(m->g, s); }

static void build_updates(maker *m)
{
    anl_graph *g = m->g;
    m->step_count = 3;
    m->steps[2] = 5;
    begin(m, "running mean in place");
    anl_state *s = state(m, "s", ANL_F32, "a 13 b 7", -1, 1, 0);
    anl_node *x = FLOATS(m, "x", "a 13 b 7");
    s->update = op2(m, ANL_S_ADD, op2(m, ANL_S_MUL, value(m, s), number(m, 0.9)), op2(m, ANL_S_MUL, x, number(m, 0.1)));
    check_state(m, s, 2e-6);
    check_close(m, value(m, s), 2e-6);
    begin(m, "in fours, read by another");
    anl_state *t = state(m, "t", ANL_F32, "a 5 b 64", -1, 1, 0), *total = state(m, "total", ANL_F32, "b 64", -1, 1, 0);
    t->update = op2(m, ANL_S_MUL, value(m, t), number(m, 0.5));
    total->update = op2(m, ANL_S_ADD, value(m, total), reduce(m, ANL_OP_SUM, value(m, t), "a"));
    check_state(m, t, 0);
    check_state(m, total, 4e-6);
    begin(m, "two states exchanged");
    anl_state *a = state(m, "a", ANL_F32, "n 257", -9, 9, 0), *b = state(m, "b", ANL_F32, "n 257", -9, 9, 0);
    a->update = value(m, b);
    b->update = value(m, a);
    check_state(m, a, 0);
    check_state(m, b, 0);
    begin(m, "three states in a ring, changed");
    anl_state *ring[3];
    for (int i = 0; i < 3; i++)
        ring[i] = state(m, i == 0 ? "r0" : i == 1 ? "r1" : "r2", ANL_F32, "n 9 k 4", -9, 9, 1);
    for (int i = 0; i < 3; i++)
        ring[i]->update = op2(m, ANL_S_ADD, value(m, ring[(i + 1) % 3]), op2(m, ANL_S_MUL, value(m, ring[i]), number(m, 0.5)));
    for (int i = 0; i < 3; i++)
        check_state(m, ring[i], 0);
    begin(m, "transposed in place");
    anl_state *square = state(m, "q", ANL_F32, "i 9 j 9", -9, 9, 0);
    anl_node *turned = anl_g_rename(g, value(m, square), axis_id(m, "i"), axis_id(m, "h"));
    turned = anl_g_rename(g, anl_g_rename(g, turned, axis_id(m, "j"), axis_id(m, "i")), axis_id(m, "h"), axis_id(m, "j"));
    square->update = turned;
    check_state(m, square, 0);
    begin(m, "update in another order");
    anl_state *o = state(m, "o", ANL_F32, "out 5 channel 3 y 3 x 2", -1, 1, 0);
    o->update = transpose(m, op2(m, ANL_S_MUL, value(m, o), FLOATS(m, "w", "x 2 channel 3 out 5 y 3")), "channel x out y");
    check_state(m, o, 1e-6);
    begin(m, "queue");
    anl_state *queue = state(m, "queue", ANL_F32, "memory 40 f 12", -1, 1, 0);
    anl_node *keys = FLOATS(m, "keys", "memory 7 f 12");
    anl_node *parts[2] = {op2(m, ANL_S_MUL, keys, number(m, 2)), anl_g_slice(g, value(m, queue), axis_id(m, "memory"), 0, 33, 1)};
    queue->update = anl_g_concat(g, parts, 2, axis_id(m, "memory"));
    check_state(m, queue, 0);
    int32_t f = axis_id(m, "f");
    anl_axis axes[2] = {axis(m, "n", 7), axis(m, "memory", 40)};
    check_close(m,
                anl_g_contract(g, anl_g_rename(g, keys, axis_id(m, "memory"), axis_id(m, "n")), value(m, queue), &f, 1,
                               ANL_ROLE_FORWARD, NULL, 0, axes, 2),
                1e-5);
    begin(m, "whole numbers and bools");
    anl_state *count = state(m, "count", ANL_I32, "a 31", -9, 9, 1), *seen = state(m, "seen", ANL_BOOL, "a 31", 0, 1, 1);
    anl_node *now = field(m, "now", ANL_BOOL, "a 31", 0, 1, 1);
    count->update = op2(m, ANL_S_ADD, value(m, count), anl_g_cast(g, ANL_I32, now));
    seen->update = op2(m, ANL_S_OR, value(m, seen), now);
    check_state(m, count, 0);
    check_state(m, seen, 0);
    begin(m, "one number");
    anl_state *one = state(m, "one", ANL_F32, "", 1, 2, 0);
    one->update = op2(m, ANL_S_ADD, value(m, one), reduce(m, ANL_OP_MEAN, x, "a b"));
    check_state(m, one, 4e-6);
    begin(m, "new value of another");
    anl_state *velocity = state(m, "velocity", ANL_F32, "a 31 b 4", -1, 1, 0),
              *weight = state(m, "weight", ANL_F32, "a 31 b 4", -1, 1, 0);
    velocity->update =
        op2(m, ANL_S_ADD, op2(m, ANL_S_MUL, value(m, velocity), number(m, 0.9)), FLOATS(m, "gradient", "b 4 a 31"));
    weight->update = op2(m, ANL_S_SUB, value(m, weight), op2(m, ANL_S_MUL, velocity->update, number(m, 0.1)));
    check_state(m, velocity, 2e-6);
    check_state(m, weight, 2e-6);
    begin(m, "drawn anew");
    anl_state *noise = state(m, "noise", ANL_F32, "batch 5 f 4", -1, 1, 0);
    noise->update = anl_g_draw(g, ANL_OP_UNIFORM, 4242, noise->axes, 2, axis_id(m, "batch"));
    check_state(m, noise, 0);
    begin(m, "set to a constant, to a field, left alone");
    anl_state *zeroed = state(m, "zeroed", ANL_F32, "a 13", -1, 1, 0), *taken = state(m, "taken", ANL_F32, "a 13", -1, 1, 0),
              *alone = state(m, "alone", ANL_F32, "a 13", -1, 1, 0);
    zeroed->update = anl_g_replicate(g, number(m, 0), axis_id(m, "a"), 13);
    taken->update = FLOATS(m, "f", "a 13");
    alone->update = value(m, alone);
    check_state(m, zeroed, 0);
    check_state(m, taken, 0);
    check_state(m, alone, 0);
}

/* Weights that lie in one arena, each at an offset that can be bound, with a rule over the whole and sums over the parts. */
static void build_arena(maker *m)
{
    enum { WEIGHTS = 5 };
    anl_graph *g = m->g;
    static const int ins[] = {5, 6, 8, 12, 7}, outs[] = {6, 8, 12, 7, 4};
    m->step_count = 3;
    m->steps[2] = 5;
    for (int gap = 64; gap <= 192; gap += 128) {
        begin(m, "parts at multiples of %d", gap);
        int32_t *at = ANL_NEW_ARRAY(g->arena, int32_t, WEIGHTS + 1);
        for (int i = 0; i < WEIGHTS; i++)
            at[i + 1] = at[i] + (ins[i] * outs[i] + gap - 1) / gap * gap;
        char shape[32];
        snprintf(shape, sizeof shape, "flat %d", at[WEIGHTS]);
        anl_state *arena = state(m, "arena", ANL_F32, shape, -0.5, 0.5, 0),
                  *velocity = state(m, "velocity", ANL_F32, shape, 0, 0, 0);
        anl_node *wrt[WEIGHTS], *gradients[WEIGHTS], *pieces[WEIGHTS], *x = FLOATS(m, "x", "batch 7 a0 5");
        for (int i = 0; i < WEIGHTS; i++) {
            char name[8], in[8], out[8];
            snprintf(name, sizeof name, "w%d", i);
            snprintf(in, sizeof in, "a%d", i);
            snprintf(out, sizeof out, "a%d", i + 1);
            snprintf(shape, sizeof shape, "%s %d %s %d", out, outs[i], in, ins[i]);
            anl_state *w = state(m, name, ANL_F32, shape, -0.5, 0.5, 0);
            w->arena = arena;
            w->arena_offset = at[i];
            wrt[i] = value(m, w);
            int32_t over = axis_id(m, in);
            anl_axis axes[2] = {axis(m, "batch", 7), axis(m, out, outs[i])};
            x = anl_g_unary(g, ANL_S_TANH, anl_g_contract(g, x, wrt[i], &over, 1, ANL_ROLE_FORWARD, NULL, 0, axes, 2));
        }
        anl_node *loss = reduce(m, ANL_OP_SUM, op2(m, ANL_S_MUL, x, x), "batch a5");
        check_close(m, loss, 2e-5);
        ck_assert_msg(anl_gradient(g, loss, wrt, WEIGHTS, gradients, m->diagnostics) == ANL_OK, "no gradient through the arena");
        for (int i = 0; i < WEIGHTS; i++) {
            int32_t both[2] = {gradients[i]->axes[0].id, gradients[i]->axes[1].id};
            pieces[i] = anl_g_merge(g, gradients[i], both, 2, axis_id(m, "flat"));
            pieces[i] = anl_g_place(g, pieces[i], axis_id(m, "flat"), 0, 1, at[i + 1] - at[i], 0);
        }
        anl_node *gradient = anl_g_concat(g, pieces, WEIGHTS, axis_id(m, "flat"));
        anl_node *squares =
            anl_g_segment_sum(g, op2(m, ANL_S_MUL, gradient, gradient), axis_id(m, "flat"), at, WEIGHTS, axis_id(m, "part"));
        int32_t *owner = ANL_NEW_ARRAY(g->arena, int32_t, at[WEIGHTS]);
        for (int i = 0; i < WEIGHTS; i++)
            for (int32_t k = at[i]; k < at[i + 1]; k++)
                owner[k] = i;
        anl_axis flat = axis(m, "flat", at[WEIGHTS]);
        int32_t part = axis_id(m, "part");
        anl_node *index = anl_g_table(g, ANL_I32, owner, &flat, 1);
        anl_node *norm = anl_g_gather(g, anl_g_unary(g, ANL_S_SQRT, squares), &part, &index, 1, 0);
        anl_node *direction = op2(m, ANL_S_DIV, gradient, op2(m, ANL_S_ADD, norm, number(m, 1e-3)));
        velocity->update = op2(m, ANL_S_ADD, op2(m, ANL_S_MUL, value(m, velocity), number(m, 0.9)), direction);
        arena->update = op2(m, ANL_S_SUB, value(m, arena), op2(m, ANL_S_MUL, velocity->update, number(m, 0.05)));
        check_state(m, arena, 2e-4);
        check_state(m, velocity, 2e-4);
        check_close(m, gradient, 1e-4);
    }
}

const group state_groups[] = {{"states", build_updates, 0}, {"arenas", build_arena, 0}};
const int state_group_count = ANL_COUNT(state_groups);
