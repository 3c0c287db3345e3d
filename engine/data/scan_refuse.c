/* Why a file is not read, in words; apart, because the module that reads DICOM has it too.
 * In: a status and a format. Out: the text. */
#include "data/scan.h"

#include <stdarg.h>
#include <stdio.h>

anl_status anl_scan_refuse(char reason[ANL_REASON_SIZE], anl_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reason, ANL_REASON_SIZE, format, args);
    va_end(args);
    return status;
}
