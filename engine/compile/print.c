/* Programs as text.
 * In: a program. Out: one line a kernel: kind, dims, arguments, barrier, costs, name; totals at the end. */
#include <inttypes.h>

#include "compile/program.h"

static void print_size(FILE *out, double bytes)
{
    char text[32];
    anl_bytes_text(bytes, text);
    fputs(text, out);
}

static const char *const space_names[] = {"state", "temp", "input", "table", "output"};

static void print_contract(const anl_contract *c, FILE *out)
{
    static const char *const roles[] = {"forward", "data", "weight"};
    const struct {
        const char *name;
        const anl_contract_dim *dim;
        int count;
    } groups[] = {{"b", c->batch, c->batch_count}, {"m", c->m, c->m_count}, {"n", c->n, c->n_count}, {"k", c->k, c->k_count}};
    fprintf(out, " {");
    for (int g = 0; g < 4; g++) {
        if (groups[g].count == 0)
            continue;
        fprintf(out, " %s", groups[g].name);
        for (int i = 0; i < groups[g].count; i++)
            fprintf(out, "%s%d", i ? "x" : " ", groups[g].dim[i].size);
    }
    for (int i = 0; i < c->window_count; i++)
        fprintf(out, " %s %d/%d->%d s%d", i == 0 ? roles[c->role] : "", c->window[i].in_size, c->window[i].tap_size,
                c->window[i].out_size, c->window[i].stride);
    fprintf(out, " }");
}

void anl_program_print(const anl_program *program, FILE *out)
{
    double flops = 0, bytes = 0;
    int barriers = 0;
    for (int i = 0; i < program->kernel_count; i++) {
        const anl_kernel *k = &program->kernels[i];
        static const char *const kinds[] = {"map", "reduce", "contract"};
        fprintf(out, "%4d %c %-8s [", i, k->barrier_before ? '|' : ' ', kinds[k->kind]);
        for (int d = 0; d < k->dim_count; d++)
            fprintf(out, "%s%d", d == 0 ? "" : d == k->kept_count ? " ; " : " ", k->dims[d]);
        fprintf(out, "%s]", k->kind == ANL_KERNEL_REDUCE && k->kept_count == 0 ? " ;" : "");
        if (k->kind == ANL_KERNEL_CONTRACT)
            print_contract(&k->contract, out);
        for (int a = 0; a < k->arg_count; a++) {
            const anl_buffer *b = &program->buffers[k->args[a].buffer];
            fprintf(out, " %s%s%d%s", k->args[a].written ? (k->args[a].read ? "<>" : ">") : "", space_names[b->space],
                    k->args[a].buffer, "");
        }
        fprintf(out, "  %d+%d instr  %.3g Mflop  ", k->body_count, k->instr_count - k->body_count, k->flops * 1e-6);
        print_size(out, k->bytes);
        fprintf(out, "%s  %s\n", k->in_place ? "  in place" : "", k->name ? k->name : "");
        flops += k->flops;
        bytes += k->bytes;
        barriers += k->barrier_before;
    }
    fprintf(out, "%d kernels, %d barriers, %.4g Gflop, ", program->kernel_count, barriers, flops * 1e-9);
    print_size(out, bytes);
    fprintf(out, " moved; temporary memory ");
    print_size(out, (double)program->space_bytes[ANL_SPACE_TEMP]);
    fprintf(out, " (lower bound ");
    print_size(out, (double)program->temp_lower_bound);
    fprintf(out, "), state ");
    print_size(out, (double)program->space_bytes[ANL_SPACE_STATE]);
    fprintf(out, "\n");
}

/* One kernel's instructions, for studying a program. */
void anl_kernel_print(const anl_program *program, int kernel, FILE *out)
{
    static const char *const names[] = {
#define X(name, text, arity, types, cost) text,
        ANL_SCALARS(X)
#undef X
    };
    static const char *const own[] = {"const", "dim", "load", "scalar", "acc", "uniform", "normal"};
    static const char *const types[] = {"f", "i", "b"};
    const anl_kernel *k = &program->kernels[kernel];
    for (int n = 0; n < k->instr_count; n++) {
        const anl_instr *i = &k->instrs[n];
        fprintf(out, "%s%%%d:%s = %s", n == k->body_count && n > 0 ? "  --\n  " : "  ", n, types[i->dtype],
                i->op < ANL_SCALAR_COUNT                        ? names[i->op]
                : i->op >= ANL_X_CONST && i->op <= ANL_X_NORMAL ? own[i->op - ANL_X_CONST]
                                                                : "?");
        if (i->op == ANL_X_CONST)
            fprintf(out, " %g", i->value);
        if (i->op == ANL_X_DIM || i->op == ANL_X_LOAD || i->op == ANL_X_SCALAR || i->op == ANL_X_ACC)
            fprintf(out, " #%d", i->slot);
        const int32_t operand[3] = {i->a, i->b, i->c};
        for (int o = 0; o < 3; o++)
            if (operand[o] >= 0)
                fprintf(out, i->op == ANL_X_ACC ? " .%d" : " %%%d", operand[o]);
        fprintf(out, "\n");
    }
    for (int a = 0; a < k->accumulator_count; a++)
        fprintf(out, "  accumulator %d: combine %d of %%%d\n", a, k->accumulators[a].combine, k->accumulators[a].instr);
    for (int s = 0; s < k->store_count; s++)
        fprintf(out, "  store #%d [%%%d] = %%%d\n", k->stores[s].arg, k->stores[s].index, k->stores[s].value);
}
