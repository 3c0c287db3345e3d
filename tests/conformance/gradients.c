/* Gradients: the operations' table of them as compiled programs, by central differences in the oracle and on every device.
 * In: tests/unit/gradient_cases.h. Out: a group of cases (values and gradients), and a verdict on each by differences.
 * All cases lie in one program and are disturbed together: element i of input k of every case in one run. */
#include "suite.h"

#include "../unit/gradient_cases.h"

enum { CASES = ANL_COUNT(gradient_cases), INPUTS = 3 };

typedef struct built {
    maker *m;
    const char *names[CASES];
    anl_node *in[CASES][INPUTS];
    const char *loss[CASES], *gradient[CASES][INPUTS]; /* names of outputs; NULL: none flows */
} built;

bool gradient_has_case(const char *name)
{
    for (size_t i = 0; i < ANL_COUNT(gradient_cases); i++)
        if (strcmp(gradient_cases[i].builtin, name) == 0)
            return true;
    return false;
}

static void build_cases(maker *m, built *b)
{
    b->m = m;
    for (int i = 0; i < CASES; i++) {
        const gradient_case *test = &gradient_cases[i];
        begin(m, "%d %s%s%s", i, test->builtin, test->builtin[0] && test->what[0] ? ", " : "", test->what);
        b->names[i] = m->name;
        m->context.draw_key = 77;
        anl_value in[INPUTS] = {0};
        anl_node *wrt[INPUTS], *gradients[INPUTS];
        int count = 0;
        for (; count < INPUTS && test->inputs[count]; count++) {
            b->in[i][count] = wrt[count] = field(m,
                                                 count == 0   ? "in0"
                                                 : count == 1 ? "in1"
                                                              : "in2",
                                                 ANL_F32, test->inputs[count], test->low, test->high, 0);
            in[count] = v_node(wrt[count]);
        }
        anl_value value = test->build(&m->context, in);
        ck_assert_msg(value.kind == ANL_V_NODE, "gradient case %s: no value", m->name);
        /* a loss that no symmetry can fool: fixed numbers times the value */
        anl_node *y = value.node, *loss = y;
        anl_text shape = {0};
        anl_text_add(&shape, "");
        for (int k = 0; k < y->rank; k++)
            anl_text_printf(&shape, "%s%s %d", k ? " " : "", anl_graph_axis_name(m->g, y->axes[k].id), y->axes[k].size);
        anl_node *weights = field(m, "weights", ANL_F32, shape.data, -1, 1, 0);
        anl_text_free(&shape);
        /* hidden axes print by names of their own: the weights get the value's ids */
        memcpy(weights->axes, y->axes, sizeof weights->axes);
        int32_t over[ANL_MAX_AXES];
        for (int k = 0; k < y->rank; k++)
            over[k] = y->axes[k].id;
        loss = anl_g_reduce(m->g, ANL_OP_SUM, op2(m, ANL_S_MUL, y, weights), over, y->rank);
        check_close(m, y, 1e-5);
        check_close(m, loss, 2e-5);
        b->loss[i] = m->cases[m->case_count - 1].output;
        ck_assert_msg(anl_gradient(m->g, loss, wrt, count, gradients, m->diagnostics) == ANL_OK, "gradient case %s: %s", m->name,
                      anl_diagnostics_count(m->diagnostics) ? anl_diagnostics_get(m->diagnostics, 0)->message : "?");
        for (int k = 0; k < count; k++)
            if (gradients[k]) {
                check_close(m, gradients[k], 2e-5);
                b->gradient[i][k] = m->cases[m->case_count - 1].output;
            }
    }
}

static void build_gradients(maker *m)
{
    built b = {0};
    build_cases(m, &b);
}

void differences(void (*report)(const char *name, const char *why), const char *only)
{
    const double h = 1e-5;
    if (only && !strstr("differences", only))
        return;
    built *b = anl_malloc(sizeof *b);
    memset(b, 0, sizeof *b);
    maker *m = maker_new(false);
    build_cases(m, b);
    static char why[4096], problems[CASES][256];
    oracle *o = oracle_new(m, true, why, sizeof why);
    if (!o) {
        report("program", why);
        maker_free(m);
        free(b);
        return;
    }
    double *data[CASES][INPUTS] = {0}, *analytic[CASES][INPUTS] = {0};
    int64_t most = 0, count;
    for (int i = 0; i < CASES; i++)
        for (int k = 0; k < INPUTS && b->in[i][k]; k++) {
            count = anl_node_count(b->in[i][k]);
            most = count > most ? count : most;
            data[i][k] = anl_malloc(sizeof(double) * (size_t)count);
            for (int v = 0; v < m->value_count; v++)
                if (m->values[v].node == b->in[i][k])
                    fill_values(&m->values[v], 5, data[i][k]);
            oracle_feed(o, b->in[i][k], data[i][k]);
        }
    bool ran = oracle_run(o, 5);
    for (int i = 0; i < CASES && ran; i++)
        for (int k = 0; k < INPUTS && b->in[i][k]; k++) {
            int64_t size = anl_node_count(b->in[i][k]);
            analytic[i][k] = anl_malloc(sizeof(double) * (size_t)size);
            memset(analytic[i][k], 0, sizeof(double) * (size_t)size);
            const double *g = b->gradient[i][k] ? oracle_output(o, b->gradient[i][k], &count) : NULL;
            if (g && count == size)
                memcpy(analytic[i][k], g, sizeof(double) * (size_t)size);
            else if (b->gradient[i][k])
                snprintf(problems[i], sizeof problems[i], "by input %d: the gradient has another size", k);
        }
    for (int k = 0; k < INPUTS && ran; k++)
        for (int64_t e = 0; e < most && ran; e++) {
            double ends[CASES][2];
            for (int side = 0; side < 2 && ran; side++) {
                for (int i = 0; i < CASES; i++)
                    if (b->in[i][k] && e < anl_node_count(b->in[i][k]))
                        data[i][k][e] += side ? 2 * h : -h;
                ran = oracle_run(o, 5);
                for (int i = 0; i < CASES && ran; i++) {
                    const double *loss = oracle_output(o, b->loss[i], &count);
                    ends[i][side] = loss ? loss[0] : NAN;
                }
            }
            for (int i = 0; i < CASES && ran; i++) {
                if (!b->in[i][k] || e >= anl_node_count(b->in[i][k]))
                    continue;
                data[i][k][e] -= h;
                if (gradient_cases[i].held && k == 0)
                    continue; /* held constant on purpose */
                double numeric = (ends[i][1] - ends[i][0]) / (2 * h), got = analytic[i][k][e];
                if (!(fabs(numeric - got) <= 1e-6 * fmax(1, fabs(numeric))) && !problems[i][0])
                    snprintf(problems[i], sizeof problems[i], "by input %d, element %d: %.9g, by differences %.9g", k, (int)e,
                             got, numeric);
            }
        }
    for (int i = 0; i < CASES; i++)
        report(b->names[i], !ran ? "the program does not run" : problems[i][0] ? problems[i] : NULL);
    for (int i = 0; i < CASES; i++)
        for (int k = 0; k < INPUTS; k++) {
            free(data[i][k]);
            free(analytic[i][k]);
        }
    oracle_free(o);
    maker_free(m);
    free(b);
}

const group gradient_groups[] = {{"gradients", build_gradients, 0}};
const int gradient_group_count = ANL_COUNT(gradient_groups);
