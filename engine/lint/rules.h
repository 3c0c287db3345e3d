/* What the rules see, and the families they stand in.
 * In: nothing. Out: the pass that every family is given; declarations of the families.
 * A rule is its line in diagnostic_codes.h, its page frontend/rules/A<number>.md with examples, and the place where it is found:
 * while reading (spec/), while tracing (trace/), or here, where it needs the whole recipe or the graph. */
#ifndef ANL_LINT_RULES_H
#define ANL_LINT_RULES_H

#include <anlage/lint.h>

#include "spec/recipe.h"
#include "trace/trace.h"

typedef struct anl_lint_pass {
    anl_arena *arena; /* for what lives as long as the pass */
    anl_diagnostics *diagnostics;
    const anl_lint_options *options; /* never NULL */
    const anl_recipe *recipe;        /* as far as it could be read */
    bool sound;                      /* nothing has been found wrong so far but warnings: what follows may rely on it */
    const anl_static_recipe *facts;  /* NULL where params of data or train could not be evaluated, and for libraries */
    /* What the spec becomes; each NULL where tracing failed or where there is nothing of the kind. */
    const anl_traced *train; /* the first phase of training */
    const anl_traced *last;  /* its last phase; the same where there is but one */
    const anl_traced *evaluate;
    const anl_witness *witness; /* NULL: nobody asks for values */
    struct anl_facts *facts_found[2]; /* of the phases for which somebody has asked: anl_facts_shared */
} anl_lint_pass;

/* Who hears of a check besides its diagnostics: an editor. */
typedef struct anl_lint_listener {
    anl_witness witness;                                          /* of the values of the first phase */
    void (*read)(void *context, const anl_recipe *recipe);        /* as far as it could be read */
    void (*traced)(void *context, const anl_lint_pass *pass);     /* while the traces are still there */
    void *context;
} anl_lint_listener;

/* A family looks for its problems in the order of its file. Families of text and names run even where the spec is unsound. */
typedef void anl_lint_family(anl_lint_pass *pass);
anl_lint_family anl_lint_untaken;
anl_lint_family anl_lint_modality; /* 11: images and what is done to them; shards */
anl_lint_family anl_lint_boxes;    /* 11: boxes in images */
anl_lint_family anl_lint_structure; /* 04: what the graph shows of axes */
anl_lint_family anl_lint_numerics; /* 10: what cannot learn, or leaves float32 */
anl_lint_family anl_lint_rates;    /* 10: schedules, optimizer rules, teachers */

/* Every rule over a recipe that was read: traces it in all its phases. ANL_OK: no errors. */
anl_status anl_lint_recipe(const anl_recipe *recipe, const anl_lint_options *options, const anl_lint_listener *listener,
                           anl_diagnostics *diagnostics);
/* anl_lint, heard by a listener; NULL: by none. */
anl_status anl_lint_heard(const char *path, const anl_lint_options *options, const anl_lint_listener *listener,
                          anl_diagnostics *diagnostics);
anl_status anl_spec_judge_heard(const anl_spec *spec, const anl_lint_options *options, const anl_lint_listener *listener,
                                anl_diagnostics *diagnostics);
/* Takes away what `# lint: allow` comments allow; reports those that allow nothing, or have no reason (A0113, A0114). main: the file
 * whose unused comments are reported. */
void anl_lint_allow(const char *main, anl_diagnostics *diagnostics);

#endif
