/* What the writers of reports share.
 * In: nothing. Out: declarations.
 * Internal to base/. */
#ifndef ANL_BASE_REPORT_H
#define ANL_BASE_REPORT_H

#include <anlage/diagnostic.h>

const char *anl_severity_word(anl_severity severity); /* "error" */
/* The diagnostics in the order of every report: by file as first seen, line, column. The array is to be freed. */
const anl_diagnostic **anl_diagnostics_sorted(const anl_diagnostics *list);
/* One of the list to be given further labels, where its cause is known only outside of what reported it. */
anl_diagnostic *anl_diagnostics_added(anl_diagnostics *list, int index);

#endif
