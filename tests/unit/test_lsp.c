/* Tests of what the language server builds on: frames out of a stream in any pieces, positions, URIs.
 * In: texts made here. Out: check's report. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lsp_frames.h"
#include "lsp_text.h"

/* The bodies of a stream that comes in pieces of `piece` bytes, joined by |, with ! for what is none. */
static void read_in_pieces(const char *stream, size_t length, size_t piece, char *out)
{
    lsp_frames frames = {0};
    *out = 0;
    for (size_t at = 0; at < length; at += piece) {
        char *body;
        size_t bytes;
        lsp_frames_add(&frames, stream + at, piece < length - at ? piece : length - at);
        for (lsp_frame f; (f = lsp_frames_next(&frames, &body, &bytes)) != LSP_FRAME_NONE;) {
            if (f == LSP_FRAME_BODY)
                ck_assert_uint_eq(strlen(body), bytes);
            strcat(strcat(out, f == LSP_FRAME_BODY ? body : "!"), "|");
        }
    }
    lsp_frames_free(&frames);
}

START_TEST(test_frames)
{
    static const struct {
        const char *stream, *bodies;
    } cases[] = {
        {"Content-Length: 2\r\n\r\n{}Content-Length: 3\r\n\r\n[1]", "{}|[1]|"},
        {"content-length:2\nContent-Type: x\n\n{}", "{}|"},
        {"Content-Length: 0\r\n\r\nContent-Length: 1\r\n\r\n7", "|7|"},
        {"Content-Type: x\r\n\r\nContent-Length: 1\r\n\r\n7", "!|7|"},
        {"Content-Length: x1\r\n\r\nContent-Length: 1\r\n\r\n7", "!|7|"},
        {"Content-Length: 1 2\r\n\r\nContent-Length: 1\r\n\r\n7", "!|7|"},
        {"Content-Length: 99999999999999999999999\r\n\r\n7", "!|"},
        {"Content-Length: 5\r\n\r\n{}", ""},
        {"\r\n\r\nContent-Length: 1\r\n\r\n7", "!|!|7|"},
    };
    char out[200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece < 70; piece++) {
            read_in_pieces(cases[i].stream, strlen(cases[i].stream), piece, out);
            /* rubbish may be passed over in one step or in several */
            bool same = !strcmp(out, cases[i].bodies);
            ck_assert_msg(same || strchr(out, '!'), "case %zu in pieces of %zu: %s", i, piece, out);
            const char *last = strrchr(cases[i].bodies, '!');
            ck_assert_msg(same || strstr(out, last ? last + 1 : cases[i].bodies), "case %zu in pieces of %zu: %s", i, piece, out);
        }
}
END_TEST

/* A body that is too large is passed over without being kept. */
START_TEST(test_large_frame)
{
    lsp_frames frames = {0};
    char *body, header[64];
    size_t bytes, left = (size_t)LSP_BODY_LIMIT + 10;
    snprintf(header, sizeof header, "Content-Length: %zu\r\n\r\n", left);
    lsp_frames_add(&frames, header, strlen(header));
    ck_assert_int_eq(lsp_frames_next(&frames, &body, &bytes), LSP_FRAME_BAD);
    char *filler = calloc(1, 1 << 20);
    while (left) {
        size_t piece = left < 1 << 20 ? left : 1 << 20;
        lsp_frames_add(&frames, filler, piece);
        ck_assert_int_eq(lsp_frames_next(&frames, &body, &bytes), LSP_FRAME_NONE);
        left -= piece;
    }
    ck_assert_uint_lt(frames.capacity, 4 << 20);
    lsp_frames_add(&frames, "Content-Length: 2\r\n\r\n{}", 23);
    ck_assert_int_eq(lsp_frames_next(&frames, &body, &bytes), LSP_FRAME_BODY);
    ck_assert_str_eq(body, "{}");
    /* headers without end */
    for (int i = 0; i < 20; i++)
        lsp_frames_add(&frames, filler, 1000);
    ck_assert_int_eq(lsp_frames_next(&frames, &body, &bytes), LSP_FRAME_BAD);
    free(filler);
    lsp_frames_free(&frames);
}
END_TEST

START_TEST(test_positions)
{
    const char *text = "a\xC3\xA4\xF0\x9F\xA7\xA0z\r\nsecond\rthird\n\xFFq";
    size_t length = strlen(text);
    static const struct {
        size_t offset;
        int line, utf16, utf8;
    } cases[] = {{0, 0, 0, 0},  {1, 0, 1, 1},  {3, 0, 2, 3},  {7, 0, 4, 7},  {8, 0, 5, 8}, {10, 1, 0, 0},
                 {16, 1, 6, 6}, {17, 2, 0, 0}, {23, 3, 0, 0}, {24, 3, 1, 1}, {25, 3, 2, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int e = 0; e < 2; e++) {
            lsp_position p = lsp_position_of(text, length, cases[i].offset, e ? LSP_UTF8 : LSP_UTF16);
            ck_assert_int_eq(p.line, cases[i].line);
            ck_assert_int_eq(p.character, e ? cases[i].utf8 : cases[i].utf16);
            ck_assert_uint_eq(lsp_offset(text, length, p, e ? LSP_UTF8 : LSP_UTF16), cases[i].offset);
        }
    ck_assert_uint_eq(lsp_offset(text, length, (lsp_position){0, 3}, LSP_UTF16), 3); /* in the middle of a pair */
    ck_assert_uint_eq(lsp_offset(text, length, (lsp_position){0, 99}, LSP_UTF16), 8);
    ck_assert_uint_eq(lsp_offset(text, length, (lsp_position){99, 0}, LSP_UTF16), length);
    for (size_t i = 0; i <= length + 3; i++) { /* any offset has a position, which is at most it */
        lsp_position p = lsp_position_of(text, length, i, LSP_UTF16);
        ck_assert_uint_le(lsp_offset(text, length, p, LSP_UTF16), i);
    }
    lsp_range r = lsp_range_of(text, length, (anl_span){"x", 1, 4, 4}, LSP_UTF16);
    ck_assert_int_eq(r.start.character, 2);
    ck_assert_int_eq(r.end.character, 4);
    r = lsp_range_of(text, length, (anl_span){"x", 9, 4, 4}, LSP_UTF16);
    ck_assert_int_eq(r.start.line, 3);
}
END_TEST

START_TEST(test_uris)
{
    static const char *const both[][2] = {{"file:///a/b.yaml", "/a/b.yaml"},
                                          {"file:///a%20b/%C3%A4%25.yaml", "/a b/\xC3\xA4%.yaml"},
                                          {"untitled:Untitled-1", "untitled:Untitled-1"}};
    for (size_t i = 0; i < sizeof both / sizeof *both; i++) {
        char *path = lsp_path_of(both[i][0]), *uri = lsp_uri_of(path);
        ck_assert_str_eq(path, both[i][1]);
        ck_assert_str_eq(uri, both[i][0]);
        free(path);
        free(uri);
    }
    static const char *const odd[][2] = {{"file://host/a", "/a"}, {"file://", ""},           {"file:///%", "/%"},
                                         {"file:///%0", "/%0"},   {"file:///%00a", "/%00a"}, {"", ""}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char *path = lsp_path_of(odd[i][0]);
        ck_assert_str_eq(path, odd[i][1]);
        free(path);
    }
}
END_TEST

START_TEST(test_clean)
{
    static const char *const cases[][2] = {{"a\xC3\xA4\xF0\x9F\xA7\xA0", "a\xC3\xA4\xF0\x9F\xA7\xA0"},
                                           {"\xC3", "\xEF\xBF\xBD"},
                                           {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
                                           {"\xC0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},
                                           {"\xF5\x80\x80\x80z", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *clean = lsp_clean(cases[i][0]);
        ck_assert_str_eq(clean, cases[i][1]);
        free(clean);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lsp");
    TCase *all = tcase_create("lsp");
    tcase_add_test(all, test_frames);
    tcase_add_test(all, test_large_frame);
    tcase_add_test(all, test_positions);
    tcase_add_test(all, test_uris);
    tcase_add_test(all, test_clean);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
