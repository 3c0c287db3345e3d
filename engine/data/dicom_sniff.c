/* Which files are DICOM, in builds with DCMTK and without.
 * In: the first bytes of a file. Out: a verdict.
 * With its preamble a file says so; one without is taken for DICOM only if it begins with several data elements in a row. */
#include <string.h>

#include "base/base.h"
#include "data/scan.h"

static unsigned word(const unsigned char *b, bool big) { return big ? (unsigned)b[0] << 8 | b[1] : (unsigned)b[1] << 8 | b[0]; }

static bool short_form(const unsigned char *vr)
{
    static const char names[] = "AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US";
    for (size_t i = 0; i + 1 < sizeof names; i += 3)
        if (vr[0] == (unsigned char)names[i] && vr[1] == (unsigned char)names[i + 1])
            return true;
    return false;
}

/* Data elements that begin a data set (groups 0002 to 0028) follow each other in ascending order, each as long as it says. */
static bool elements(const unsigned char *b, size_t length, bool explicit_vr, bool big)
{
    size_t at = 0;
    unsigned long last = 0;
    for (int count = 0; count < 4; count++) {
        if (at + 8 > length)
            return count >= 3; /* the rest is beyond what was looked at */
        const unsigned group = word(b + at, big), element = word(b + at + 2, big);
        const unsigned long tag = (unsigned long)group << 16 | element;
        if (group < 2 || group > 0x28 || group % 2 || (count > 0 ? tag <= last : group != 2 && group != 8))
            return false;
        size_t value;
        if (explicit_vr) {
            if (!short_form(b + at + 4))
                return false;
            value = word(b + at + 6, big);
        } else
            value = (size_t)word(b + at + 4, false) | (size_t)word(b + at + 6, false) << 16;
        if (value % 2 || value > 1024)
            return false;
        last = tag;
        at += 8 + value;
    }
    return true;
}

bool anl_dicom_sniff(const unsigned char *first, size_t length)
{
    return (length >= 132 && !memcmp(first + 128, "DICM", 4)) || elements(first, length, true, false) ||
           elements(first, length, true, true) || elements(first, length, false, false);
}
