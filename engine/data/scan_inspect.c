/* What a scan is, for people and for comparing with other programs.
 * In: a file. Out: lines of text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "data/scan.h"

typedef struct values {
    double least, most, mean; /* as stored; not counting those that are no numbers */
    int64_t not_finite;
} values;

static void survey(const anl_scan *scan, values *v)
{
    enum { AT_ONCE = 4096 };
    double some[AT_ONCE], sum = 0;
    const int64_t count = anl_scan_count(scan);
    *v = (values){.least = INFINITY, .most = -INFINITY};
    for (int64_t first = 0; first < count; first += AT_ONCE) {
        int64_t n = count - first < AT_ONCE ? count - first : AT_ONCE;
        anl_scan_stored(scan, first, n, some);
        for (int64_t i = 0; i < n; i++) {
            if (!isfinite(some[i])) {
                v->not_finite++;
                continue;
            }
            v->least = some[i] < v->least ? some[i] : v->least;
            v->most = some[i] > v->most ? some[i] : v->most;
            sum += some[i];
        }
    }
    v->mean = count > v->not_finite ? sum / (double)(count - v->not_finite) : 0;
}

static void show_values(const anl_scan *scan, FILE *out)
{
    values v;
    survey(scan, &v);
    fprintf(out, "  type       %s of %d bits\n", anl_voxel_name(scan->type), scan->bits);
    if (v.least <= v.most) {
        fprintf(out, "  stored     %.9g to %.9g, mean %.9g\n", v.least, v.most, v.mean);
        if (scan->slope != 1 || scan->intercept != 0 || scan->unit[0]) {
            const double a = v.least * scan->slope + scan->intercept, b = v.most * scan->slope + scan->intercept;
            fprintf(out, "  values     %.9g to %.9g%s%s (stored * %.9g %c %.9g)\n", a < b ? a : b, a < b ? b : a, scan->unit[0] ? " " : "",
                    scan->unit, scan->slope, scan->intercept < 0 ? '-' : '+', fabs(scan->intercept));
        }
    }
    if (v.not_finite > 0)
        fprintf(out, "  not finite %lld\n", (long long)v.not_finite);
    if (scan->inverted)
        fprintf(out, "  inverted   the file has white at its least value; turned round\n");
    if (scan->window[1] > 0)
        fprintf(out, "  window     %.9g, %.9g\n", scan->window[0], scan->window[1]);
}

static void show_place(const anl_scan *scan, FILE *out)
{
    if (scan->spacing[0] > 0 || scan->spacing[2] > 0)
        fprintf(out, "  spacing    %.6g x %.6g x %.6g mm (x, y, z)\n", scan->spacing[0], scan->spacing[1], scan->spacing[2]);
    for (int i = 0; i < 3 && scan->oriented; i++) {
        fprintf(out, "  %-11s", i ? "" : "affine");
        for (int a = 0; a < 4; a++) /* what rounding has left of 0 is 0 */
            fprintf(out, a < 3 ? "%11.6g" : "%13.7g\n", fabs(scan->affine[i][a]) < 1e-9 ? 0 : scan->affine[i][a]);
    }
    if (!isnan(scan->position))
        fprintf(out, "  position   %.6g mm along its normal\n", scan->position);
    if (scan->place >= 0)
        fprintf(out, "  instance   %lld\n", (long long)scan->place);
}

static const char *kind_of(const char *path)
{
    unsigned char first[ANL_SNIFF_BYTES] = {0};
    FILE *file = fopen(path, "rb");
    const size_t length = file ? fread(first, 1, sizeof first, file) : 0;
    if (file)
        fclose(file);
    const anl_scan_reader *reader = anl_scan_sniff(first, length);
    return reader ? reader->name : "";
}

anl_status anl_scan_inspect(const char *path, FILE *out, anl_diagnostics *diagnostics)
{
    anl_scan scan;
    anl_status status = anl_scan_read(path, &scan, diagnostics);
    if (status != ANL_OK)
        return status;
    fprintf(out, "%s\n  kind       %s\n  size       ", path, kind_of(path));
    if (scan.frames > 1)
        fprintf(out, "%d frames of ", scan.frames);
    if (scan.depth > 1)
        fprintf(out, "%d x ", scan.depth);
    fprintf(out, "%d x %d, %d channel%s\n", scan.height, scan.width, scan.channels, scan.channels == 1 ? "" : "s");
    show_values(&scan, out);
    show_place(&scan, out);
    if (scan.modality[0])
        fprintf(out, "  modality   %s\n", scan.modality);
    if (scan.segmentation)
        fprintf(out, "  labels     a segmentation, not an image\n");
    if (scan.laterality)
        fprintf(out, "  laterality %c\n", scan.laterality);
    fprintf(out, "  ids       %s%s%s%s\n", scan.patient[0] ? " patient" : "", scan.study[0] ? " study" : "", scan.series[0] ? " series" : "",
            scan.patient[0] || scan.study[0] || scan.series[0] ? "" : " none");
    const size_t count = (size_t)anl_scan_count(&scan), bytes = (size_t)anl_voxel_bytes(scan.type);
    anl_voxels_little(scan.voxels, count, bytes);
    uint8_t digest[32];
    anl_sha256(scan.voxels, count * bytes, digest);
    fprintf(out, "  sha256     ");
    for (size_t i = 0; i < sizeof digest; i++)
        fprintf(out, "%02x", digest[i]);
    fprintf(out, "\n");
    anl_scan_free(&scan);
    return ANL_OK;
}
