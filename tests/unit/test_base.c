/* Tests of layer base: known answers, edge cases, and the exact text of a report.
 * In: nothing but a temporary folder. Out: check's verdicts.
 * Published vectors: Random123's kat_vectors (Philox), FIPS 180-4 examples (SHA-256). */
#include <check.h>

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <anlage/diagnostic.h>
#include <anlage/diagnostic_codes.h>

#include "base/base.h"
#include "base/config.h"
#include "base/folders.h"
#include "base/json.h"
#include "base/philox.h"
#include "base/threads.h"

static char folder[64]; /* emptied and removed after each test that uses it */

static void make_folder(void)
{
    strcpy(folder, "/tmp/anlage-test-base-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

/* ---- memory ---- */

START_TEST(arena_gives_zeroed_aligned_separate_memory)
{
    anl_arena *arena = anl_arena_new();
    unsigned char *pieces[2000];
    size_t sizes[2000], other = 0; /* one assertion for all bytes: each of them is written to a file */
    for (int i = 0; i < 2000; i++) {
        sizes[i] = (size_t)(i * 37 % 911) + (i % 500 == 499 ? 200000 : 0); /* small ones, large ones, empty ones */
        pieces[i] = anl_arena_alloc(arena, sizes[i]);
        ck_assert_uint_eq((uintptr_t)pieces[i] % 16, 0);
        for (size_t k = 0; k < sizes[i]; k++)
            other += pieces[i][k] != 0;
        memset(pieces[i], i % 255 + 1, sizes[i]);
    }
    for (int i = 0; i < 2000; i++)
        for (size_t k = 0; k < sizes[i]; k++)
            other += pieces[i][k] != i % 255 + 1;
    ck_assert_uint_eq(other, 0);
    anl_arena_free(&arena);
    ck_assert_ptr_null(arena);
    anl_arena_free(&arena);
}
END_TEST

START_TEST(arena_texts)
{
    anl_arena *arena = anl_arena_new();
    ck_assert_str_eq(anl_arena_printf(arena, "%s-%d", "axis", 7), "axis-7");
    ck_assert_str_eq(anl_arena_copy(arena, "abcdef", 3), "abc");
    ck_assert_str_eq(anl_arena_copy(arena, NULL, 0), "");
    char long_text[100001];
    memset(long_text, 'x', 100000);
    long_text[100000] = 0;
    ck_assert_str_eq(anl_arena_printf(arena, "%s", long_text), long_text);
    anl_arena_free(&arena);
}
END_TEST

START_TEST(push_keeps_the_items)
{
    anl_arena *arena = anl_arena_new();
    int *list = NULL, count = 0, capacity = 0;
    for (int i = 0; i < 100000; i++)
        ANL_PUSH(arena, list, count, capacity, 3 * i);
    ck_assert_int_eq(count, 100000);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(list[i], 3 * i);
    anl_arena_free(&arena);
}
END_TEST

START_TEST(text_builder)
{
    anl_text text = {0};
    for (int i = 0; i < 1000; i++)
        anl_text_printf(&text, "%d,", i % 10);
    anl_text_addn(&text, "a\0b", 3);
    ck_assert_uint_eq(text.length, 2003);
    ck_assert_int_eq(memcmp(text.data + 1998, "9,a\0b", 6), 0); /* and the NUL at the end */
    anl_text_free(&text);
    ck_assert_ptr_null(text.data);
}
END_TEST

/* ---- text ---- */

START_TEST(edit_distances)
{
    static const struct {
        const char *a, *b;
        int distance;
    } cases[] = {{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"kitten", "sitting", 3},
                 {"momentun", "momentum", 1}, {"ab", "ba", 1}, {"ca", "abc", 3}, {"wieght", "weight", 1}, {"abcd", "badc", 2}};
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        ck_assert_int_eq(anl_edit_distance(cases[i].a, cases[i].b), cases[i].distance);
        ck_assert_int_eq(anl_edit_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}
END_TEST

START_TEST(nearest_words)
{
    static const char *const words[] = {"momentum", "weight_decay", "epochs", "batch", "lr", NULL};
    ck_assert_str_eq(anl_nearest("momentun", words, 6), "momentum");
    ck_assert_str_eq(anl_nearest("epoch", words, 6), "epochs");
    ck_assert_str_eq(anl_nearest("bathc", words, 6), "batch");
    ck_assert_str_eq(anl_nearest("LR", words, 6), "lr");
    ck_assert_str_eq(anl_nearest("weight-decay", words, 6), "weight_decay");
    ck_assert_ptr_null(anl_nearest("temperature", words, 6));
    ck_assert_ptr_null(anl_nearest("x", words, 6));
    ck_assert_ptr_null(anl_nearest("", words, 6));
    ck_assert_ptr_null(anl_nearest("epochs", words, 0));
    char *huge = anl_malloc(2000001);
    memset(huge, 'e', 2000000);
    huge[2000000] = 0;
    ck_assert_ptr_null(anl_nearest(huge, words, 6));
    free(huge);
}
END_TEST

START_TEST(globs)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {{"", "", true},
                 {"*", "", true},
                 {"*", "a.b", true},
                 {"?", "", false},
                 {"?", "a", true},
                 {"*.bias", "encoder.layer1.bias", true},
                 {"*.bias", "encoder.bias.scale", false},
                 {"encoder.*", "encoder.conv1.weight", true},
                 {"encoder.*", "encoder", false},
                 {"*norm*.scale", "e.batch_norm2.scale", true},
                 {"a*b*c", "aXbXbXc", true},
                 {"a*b*c", "aXbXbX", false},
                 {"abc", "abcd", false},
                 {"abc*", "abc", true},
                 {"**a**", "bab", true},
                 {"a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false}};
    for (size_t i = 0; i < ANL_COUNT(cases); i++)
        ck_assert_msg(anl_glob_match(cases[i].pattern, cases[i].text) == cases[i].match, "%s on %s", cases[i].pattern, cases[i].text);
}
END_TEST

START_TEST(utf8)
{
    static const struct {
        const char *text;
        int bad; /* offset, -1: valid */
    } cases[] = {{"", -1},
                 {"plain", -1},
                 {"gr\xC3\xB6\xC3\x9F" "e", -1},
                 {"\xE2\x82\xAC", -1},
                 {"\xF0\x9F\x98\x80", -1},
                 {"\xF4\x8F\xBF\xBF", -1},
                 {"ab\xFF", 2},
                 {"\xC0\x80", 0},             /* overlong */
                 {"\xC1\xBF", 0},
                 {"\xE0\x9F\xBF", 0},
                 {"\xF0\x8F\xBF\xBF", 0},
                 {"x\xED\xA0\x80", 1},        /* surrogate */
                 {"\xF4\x90\x80\x80", 0},     /* beyond U+10FFFF */
                 {"\xF5\x80\x80\x80", 0},
                 {"a\xE2\x82", 1},            /* cut off */
                 {"a\x80", 1},
                 {"\xC3(", 0}};
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        size_t bad = 12345;
        bool valid = anl_utf8_valid(cases[i].text, strlen(cases[i].text), &bad);
        ck_assert_int_eq(valid, cases[i].bad < 0);
        ck_assert_int_eq((int)bad, cases[i].bad < 0 ? 12345 : cases[i].bad);
    }
    ck_assert(anl_utf8_valid("a\0b", 3, NULL));
    ck_assert(!anl_utf8_valid("\xFF", 1, NULL));
}
END_TEST

/* ---- hashes, random ---- */

START_TEST(sha256_known_answers)
{
    char *million = anl_malloc(1000000);
    memset(million, 'a', 1000000);
    const struct {
        const char *text;
        size_t length;
        const char *digest;
    } cases[] = {
        {"", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu", 112,
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
        {million, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        uint8_t digest[32];
        char hex[65];
        anl_sha256(cases[i].text, cases[i].length, digest);
        for (int k = 0; k < 32; k++)
            snprintf(hex + 2 * k, 3, "%02x", digest[k]);
        ck_assert_str_eq(hex, cases[i].digest);
    }
    free(million);
}
END_TEST

START_TEST(sha256_of_files_and_keys)
{
    char path[] = "/tmp/anlage-base-XXXXXX";
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq((int)write(file, "abc", 3), 3);
    close(file);
    uint8_t digest[32];
    char hex[65];
    ck_assert_int_eq(anl_sha256_file(path, digest), ANL_OK);
    anl_hex(digest, 32, hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    unlink(path);
    ck_assert_int_eq(anl_sha256_file(path, digest), ANL_ERROR_FILE);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(anl_sha256_file("/", digest), ANL_ERROR_FILE); /* opens, but cannot be read */
    ck_assert_int_eq(errno, EISDIR);
    anl_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, digest); /* RFC 4231, test case 2 */
    anl_hex(digest, 32, hex);
    ck_assert_str_eq(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}
END_TEST

START_TEST(hash_is_stable_and_spreads)
{
    /* Every length from 0 to 20 and every single-bit change gives another value; unaligned input the same value. */
    unsigned char bytes[24] = "0123456789abcdefghijklm";
    for (size_t length = 1; length <= 20; length++) {
        uint64_t whole = anl_hash(bytes, length, 1);
        ck_assert_uint_ne(whole, anl_hash(bytes, length - 1, 1));
        ck_assert_uint_ne(whole, anl_hash(bytes, length, 2));
        for (size_t bit = 0; bit < 8 * length; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
            ck_assert_uint_ne(whole, anl_hash(bytes, length, 1));
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        unsigned char moved[32];
        memcpy(moved + 3, bytes, length);
        ck_assert_uint_eq(whole, anl_hash(moved + 3, length, 1));
    }
    /* caches and shards of other machines must be found again: the value may never change */
    ck_assert_uint_eq(anl_hash("anlage", 6, 0), anl_hash_text("anlage", 0));
    ck_assert_uint_eq(anl_hash_text("a text of more than eight bytes", 42), UINT64_C(0x52c7340d9ce276e9));
}
END_TEST

START_TEST(philox_known_answers)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        uint32_t out[4];
        anl_philox(cases[i].counter, cases[i].key, out);
        for (int k = 0; k < 4; k++)
            ck_assert_uint_eq(out[k], cases[i].out[k]);
    }
    ck_assert(anl_philox_unit(0) == 0);
    ck_assert(anl_philox_unit(0xffffffff) < 1);
    ck_assert((float)anl_philox_unit(0xffffffff) == anl_philox_unit(0xffffffff));
}
END_TEST

/* ---- JSON ---- */

START_TEST(json_text)
{
    anl_text text = {0};
    anl_json json = {.text = &text};
    anl_json_object(&json, NULL);
    anl_json_string(&json, "s", "a\"\\\n\t\r\x01\x7F" "\xC3\xB6");
    anl_json_string(&json, "bad", "x\xFFy\xE2\x82");
    anl_json_string(&json, "none", NULL);
    anl_json_array(&json, "numbers");
    anl_json_number(&json, NULL, 0.1);
    anl_json_number(&json, NULL, -0.0);
    anl_json_number(&json, NULL, NAN);
    anl_json_number(&json, NULL, -INFINITY);
    anl_json_integer(&json, NULL, INT64_MIN);
    anl_json_array_end(&json);
    anl_json_object(&json, "empty");
    anl_json_object_end(&json);
    anl_json_bool(&json, "yes", true);
    anl_json_null(&json, "null");
    anl_json_object_end(&json);
    ck_assert_str_eq(text.data, "{\"s\": \"a\\\"\\\\\\n\\t\\r\\u0001\\u007f\xC3\xB6\", \"bad\": \"x\\ufffdy\\ufffd\\ufffd\", \"none\": null, "
                                "\"numbers\": [0.1, -0, null, null, -9223372036854775808], \"empty\": {}, \"yes\": true, \"null\": null}");
    anl_text_free(&text);

    json = (anl_json){.text = &text, .pretty = true};
    anl_json_object(&json, NULL);
    anl_json_array(&json, "a");
    anl_json_integer(&json, NULL, 1);
    anl_json_integer(&json, NULL, 2);
    anl_json_array_end(&json);
    anl_json_array(&json, "b");
    anl_json_array_end(&json);
    anl_json_object_end(&json);
    ck_assert_str_eq(text.data, "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": []\n}");
    anl_text_free(&text);
}
END_TEST

START_TEST(numbers_read_back)
{
    static const double values[] = {0, 1, 0.1, 1.0 / 3, 1e300, 5e-324, 2.2250738585072014e-308, 123456789012345680.0, -1e-7, 0.30000000000000004};
    char digits[32];
    for (size_t i = 0; i < ANL_COUNT(values); i++) {
        anl_number_text(values[i], digits);
        ck_assert(strtod(digits, NULL) == values[i]);
    }
    for (uint32_t i = 0; i < 20000; i++) { /* random bits: every exponent */
        uint32_t counter[4] = {i}, key[2] = {7, 7}, out[4];
        anl_philox(counter, key, out);
        uint64_t bits = (uint64_t)out[0] << 32 | out[1];
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        anl_number_text(value, digits);
        ck_assert(strtod(digits, NULL) == value);
    }
    anl_number_text(0.1, digits);
    ck_assert_str_eq(digits, "0.1");
}
END_TEST

/* ---- diagnostics ---- */

static char *printed(const anl_diagnostics *list, bool colour)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    ck_assert_ptr_nonnull(out);
    anl_diagnostics_print(list, out, colour);
    fclose(out);
    return text;
}

static anl_span at(const char *file, int line, int column, int length)
{
    return (anl_span){.file = file, .line = line, .column = column, .length = length};
}

static const char recipe[] = "train:\n  momentun: 0.9\n\tgr\xC3\xB6\xC3\x9F" "e: x\r\nlast";

START_TEST(diagnostics_report)
{
    anl_diagnostics *list = anl_diagnostics_new();
    anl_diagnostics_source(list, "a.yaml", recipe, strlen(recipe));
    anl_diagnostics_source(list, "lib/b.yaml", "weights:\n", 9);

    anl_diagnose(list, ANL_A_device_missing, (anl_span){0}, "no device");
    anl_diagnose(list, ANL_A_unused_name, at("lib/b.yaml", 1, 1, 7), "`weights` is never used");
    anl_diagnose(list, ANL_A_type_mismatch, at("a.yaml", 3, 2, 7), "not a number:\nsecond line");
    char name[] = "a.yaml"; /* the file's name need not outlive the call */
    anl_diagnostic *d = anl_diagnose(list, ANL_A_unknown_key, at(name, 2, 3, 8), "unknown key `%s`", "momentun");
    memset(name, 'z', sizeof name - 1);
    anl_diagnostic_label(list, d, at("lib/b.yaml", 1, 1, 7), "declared here");
    anl_diagnostic_note(list, d, "keys of `train`: momentum, epochs");
    anl_diagnostic_suggest(list, d, "did you mean `momentum`?");
    anl_diagnose(list, ANL_A_unknown_name, at("a.yaml", 4, 6, 1), "beyond the end");
    anl_diagnose(list, ANL_A_file_unreadable, at("missing.yaml", 0, 0, 0), "No such file or directory");

    char *text = printed(list, false);
    ck_assert_str_eq(text, "a.yaml:2:3: error[A0201]: unknown key `momentun`\n"
                           "    2 |   momentun: 0.9\n"
                           "      |   ^^^^^^^^\n"
                           "  --> lib/b.yaml:1:1: declared here\n"
                           "    1 | weights:\n"
                           "      | -------\n"
                           "  note: keys of `train`: momentum, epochs\n"
                           "  help: did you mean `momentum`?\n"
                           "a.yaml:3:2: error[A0301]: not a number:\n"
                           "    second line\n"
                           "    3 | \tgr\xC3\xB6\xC3\x9F" "e: x\n"
                           "      | \t^^^^^\n"
                           "a.yaml:4:6: error[A0202]: beyond the end\n"
                           "    4 | last\n"
                           "      |     ^\n"
                           "lib/b.yaml:1:1: warning[A0213]: `weights` is never used\n"
                           "    1 | weights:\n"
                           "      | ^^^^^^^\n"
                           "missing.yaml: error[A0109]: No such file or directory\n"
                           "error[A0701]: no device\n");
    free(text);
    ck_assert_int_eq(anl_diagnostics_errors(list), 5);
    ck_assert_int_eq(anl_diagnostics_warnings(list), 1);
    ck_assert_int_eq(anl_diagnostics_count(list), 6);
    anl_diagnostics_free(&list);
    ck_assert_ptr_null(list);
}
END_TEST

START_TEST(diagnostics_are_added_once)
{
    anl_diagnostics *list = anl_diagnostics_new();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i++) {
            anl_diagnostic *d = anl_diagnose(list, ANL_A_cycle, at("f", i / 10 + 1, i % 10 + 1, 1), "cycle %d", i % 3);
            ck_assert_ptr_nonnull(d);
            anl_diagnostic_note(list, d, "once");
            anl_diagnostic_label(list, d, at("f", 1, 1, 1), "once");
        }
    }
    ck_assert_int_eq(anl_diagnostics_count(list), 1000);
    ck_assert_int_eq(anl_diagnostics_errors(list), 1000);
    ck_assert_int_eq(anl_diagnostics_get(list, 999)->note_count, 1);
    ck_assert_int_eq(anl_diagnostics_get(list, 999)->label_count, 1);
    ck_assert_ptr_null(anl_diagnostics_get(list, 1000));
    ck_assert_ptr_null(anl_diagnostics_get(list, -1));
    /* another place, code or message is another problem */
    anl_diagnose(list, ANL_A_cycle, at("g", 1, 1, 1), "cycle 0");
    anl_diagnose(list, ANL_A_recursion, at("f", 1, 1, 1), "cycle 0");
    anl_diagnose(list, ANL_A_cycle, at("f", 1, 1, 1), "cycle 1");
    ck_assert_int_eq(anl_diagnostics_count(list), 1003);
    anl_diagnostics_free(&list);
}
END_TEST

START_TEST(diagnostics_are_safe_for_a_terminal)
{
    anl_diagnostics *list = anl_diagnostics_new();
    static const char hostile[] = "a: \033[31m\xFF\xC2\x9B";
    anl_diagnostics_source(list, "h", hostile, strlen(hostile));
    anl_diagnose(list, ANL_A_invalid_utf8, at("h", 1, 9, 1), "bad \033 byte \xFF");
    char *text = printed(list, false);
    ck_assert_str_eq(text, "h:1:9: error[A0103]: bad ? byte ?\n    1 | a: ?[31m??\n      |         ^\n");
    free(text);
    text = printed(list, true);
    ck_assert_ptr_nonnull(strstr(text, "\033[1;31merror[A0103]\033[0m"));
    free(text);
    anl_diagnostics_free(&list);
}
END_TEST

START_TEST(diagnostics_cut_long_lines)
{
    anl_diagnostics *list = anl_diagnostics_new();
    char line[1001];
    memset(line, '.', 1000);
    memcpy(line + 500, "HERE", 4);
    anl_diagnostics_source(list, "f", line, 1000);
    anl_diagnose(list, ANL_A_expression_syntax, at("f", 1, 501, 4), "here");
    anl_diagnose(list, ANL_A_expression_syntax, at("f", 1, 1000, 5000), "long span");
    anl_diagnose(list, ANL_A_expression_syntax, at("f", 1, 2000000000, 2000000000), "far out");
    anl_diagnose(list, ANL_A_expression_syntax, at("f", 2000000000, 1, 1), "no such line");
    char *text = printed(list, false);
    char *mark = strchr(strchr(text, '\n') + 1, '\n') + 1;
    char *shown = strchr(text, '\n') + 1;
    ck_assert_int_eq(strncmp(shown + (strstr(mark, "^^^^") - mark), "HERE", 4), 0);
    ck_assert_uint_lt(strlen(text), 2000);
    free(text);
    anl_diagnostics_free(&list);
}
END_TEST

START_TEST(diagnostics_without_a_list_are_dropped)
{
    ck_assert_ptr_null(anl_diagnose(NULL, ANL_A_cycle, (anl_span){0}, "x"));
    anl_diagnostic_note(NULL, NULL, "x");
    ck_assert_int_eq(anl_diagnostics_count(NULL), 0);
    anl_diagnostics_print(NULL, stderr, false);
}
END_TEST

START_TEST(codes_are_unique_and_named)
{
    static const int numbers[] = {
#define X(number, severity, name) number,
        ANL_DIAGNOSTIC_CODES(X)
#undef X
    };
    for (size_t i = 0; i < ANL_COUNT(numbers); i++) {
        ck_assert_int_gt(numbers[i], 100);
        ck_assert_int_lt(numbers[i], 10000);
        for (size_t k = 0; k < i; k++)
            ck_assert_int_ne(numbers[i], numbers[k]);
    }
    ck_assert_str_eq(anl_code_name(ANL_A_unknown_key), "unknown_key");
    ck_assert_str_eq(anl_code_name(9999), "unknown_code");
}
END_TEST

/* ---- files ---- */

START_TEST(files_are_written_whole_or_not_at_all)
{
    anl_arena *arena = anl_arena_new();
    const char *path = anl_path_join(arena, folder, "file.txt");
    char *text;
    size_t length;
    ck_assert_int_eq(anl_file_read(arena, path, 0, &text, &length), ANL_ERROR_FILE);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_ptr_null(text);

    ck_assert_int_eq(anl_file_write_atomic(path, "one", 3), ANL_OK);
    ck_assert_int_eq(anl_file_write_atomic(path, "t\0wo", 4), ANL_OK);
    ck_assert_int_eq(anl_file_read(arena, path, 0, &text, &length), ANL_OK);
    ck_assert_uint_eq(length, 4);
    ck_assert_int_eq(memcmp(text, "t\0wo", 5), 0);
    ck_assert_int_eq(anl_file_read(arena, path, 4, &text, &length), ANL_OK);
    ck_assert_int_eq(anl_file_read(arena, path, 3, &text, &length), ANL_ERROR_LIMIT);
    ck_assert_int_eq(anl_file_read(arena, folder, 0, &text, &length), ANL_ERROR_FILE);
    ck_assert_int_eq(errno, EISDIR);
    ck_assert_int_eq(anl_file_write_atomic(path, "", 0), ANL_OK);
    ck_assert_int_eq(anl_file_read(arena, path, 0, &text, &length), ANL_OK);
    ck_assert_uint_eq(length, 0);
    ck_assert_str_eq(text, "");

    /* onto a folder that is not empty: fails, and leaves no temporary file behind */
    const char *taken = anl_path_join(arena, folder, "taken");
    ck_assert_int_eq(anl_folder_make(anl_path_join(arena, taken, "inside")), ANL_OK);
    ck_assert_int_eq(anl_file_write_atomic(taken, "x", 1), ANL_ERROR_FILE);
    ck_assert_int_eq(access(anl_arena_printf(arena, "%s.tmp-%ld", taken, (long)getpid()), F_OK), -1);
    ck_assert_int_eq(anl_file_write_atomic(anl_path_join(arena, folder, "no/such/file"), "x", 1), ANL_ERROR_FILE);
    ck_assert_int_eq(errno, ENOENT);

    ck_assert_int_eq(anl_file_write_atomic(anl_path_join(arena, folder, "new"), "data", 4), ANL_OK);
    ck_assert_int_eq(anl_file_commit(anl_path_join(arena, folder, "new"), path), ANL_OK);
    ck_assert_int_eq(anl_file_read(arena, path, 0, &text, &length), ANL_OK);
    ck_assert_str_eq(text, "data");
    ck_assert_int_eq(anl_file_commit(anl_path_join(arena, folder, "new"), path), ANL_ERROR_FILE);
    anl_arena_free(&arena);
}
END_TEST

START_TEST(large_files_are_read_whole)
{
    anl_arena *arena = anl_arena_new();
    const char *path = anl_path_join(arena, folder, "large");
    size_t size = 3000001;
    char *bytes = anl_malloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7 % 251);
    ck_assert_int_eq(anl_file_write_atomic(path, bytes, size), ANL_OK);
    char *text;
    size_t length;
    ck_assert_int_eq(anl_file_read(arena, path, 0, &text, &length), ANL_OK);
    ck_assert_uint_eq(length, size);
    ck_assert_int_eq(memcmp(text, bytes, size), 0);
    free(bytes);
    anl_arena_free(&arena);
}
END_TEST

START_TEST(folders_are_made_with_their_parents)
{
    anl_arena *arena = anl_arena_new();
    const char *deep = anl_path_join(arena, folder, "a//b/c/");
    struct stat about;
    ck_assert_int_eq(anl_folder_make(deep), ANL_OK);
    ck_assert_int_eq(stat(deep, &about), 0);
    ck_assert(S_ISDIR(about.st_mode));
    ck_assert_int_eq(anl_folder_make(deep), ANL_OK);
    ck_assert_int_eq(anl_folder_make("/"), ANL_OK);
    ck_assert_int_eq(anl_folder_make(""), ANL_ERROR_FILE);
    const char *file = anl_path_join(arena, folder, "plain");
    ck_assert_int_eq(anl_file_write_atomic(file, "x", 1), ANL_OK);
    ck_assert_int_eq(anl_folder_make(file), ANL_ERROR_FILE);
    ck_assert_int_eq(errno, ENOTDIR);
    ck_assert_int_eq(anl_folder_make(anl_path_join(arena, file, "below")), ANL_ERROR_FILE);
    anl_arena_free(&arena);
}
END_TEST

START_TEST(places)
{
    anl_arena *arena = anl_arena_new();
    setenv("ANLAGE_SPECS", "/somewhere/specs", 1);
    ck_assert_str_eq(anl_folder_specs(arena), "/somewhere/specs");
    unsetenv("ANLAGE_SPECS");
    ck_assert_str_eq(anl_folder_specs(arena), ANL_SOURCE_ROOT "/specs");
    setenv("XDG_CACHE_HOME", "/c", 1);
    ck_assert_str_eq(anl_folder_cache(arena), "/c/anlage");
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", "/h", 1);
    ck_assert_str_eq(anl_folder_cache(arena), "/h/.cache/anlage");
    unsetenv("HOME");
    ck_assert_ptr_null(anl_folder_cache(arena));
    ck_assert_str_eq(anl_path_join(arena, "a/", "b"), "a/b");
    ck_assert_str_eq(anl_path_join(arena, "a", "/b"), "/b");
    ck_assert_str_eq(anl_path_join(arena, NULL, "b"), "b");
    ck_assert_str_eq(anl_path_folder(arena, "a/b/c.yaml"), "a/b");
    ck_assert_str_eq(anl_path_folder(arena, "c.yaml"), ".");
    ck_assert_str_eq(anl_path_folder(arena, "/c.yaml"), "/");
    anl_arena_free(&arena);
}
END_TEST

/* ---- threads ---- */

typedef struct tally {
    atomic_int calls[1000];
    atomic_int wrong;
    int threads;
    int chunks_by_thread[64]; /* written without atomics: each by its own thread alone */
} tally;

static void count_chunk(void *context, int chunk, int thread)
{
    tally *t = context;
    t->calls[chunk]++;
    if (thread < 0 || thread >= t->threads)
        t->wrong++;
    else
        t->chunks_by_thread[thread]++;
}

START_TEST(every_chunk_runs_once)
{
    static const int counts[] = {0, 1, 2, 3, 7, 1000};
    for (int threads = 1; threads <= 5; threads++) {
        anl_pool *pool = anl_pool_new(threads);
        ck_assert_int_eq(anl_pool_threads(pool), threads);
        for (int round = 0; round < 300; round++) {
            int count = counts[round % (int)ANL_COUNT(counts)];
            tally t = {.threads = threads};
            anl_parallel(pool, count, count_chunk, &t);
            int other = 0; /* one assertion: each of them is written to a file */
            for (int i = 0; i < 1000; i++)
                other += t.calls[i] != (i < count);
            ck_assert_int_eq(other, 0);
            ck_assert_int_eq(t.wrong, 0);
            int sum = 0;
            for (int i = 0; i < threads; i++)
                sum += t.chunks_by_thread[i];
            ck_assert_int_eq(sum, count);
        }
        anl_pool_free(&pool);
        ck_assert_ptr_null(pool);
    }
    tally t = {.threads = 1};
    anl_parallel(NULL, 3, count_chunk, &t);
    ck_assert_int_eq(t.calls[2], 1);
    ck_assert_int_eq(anl_pool_threads(NULL), 1);
    anl_pool *pool = anl_pool_new(0);
    ck_assert_int_ge(anl_pool_threads(pool), 1);
    anl_pool_free(&pool);
}
END_TEST

static void meet(void *context, int chunk, int thread)
{
    (void)chunk, (void)thread;
    pthread_barrier_wait(context);
}

START_TEST(chunks_run_side_by_side)
{
    /* Each of three chunks waits for the others: it ends only when three threads are inside at once, asleep before or not. */
    anl_pool *pool = anl_pool_new(3);
    for (int round = 0; round < 20; round++) {
        pthread_barrier_t barrier;
        pthread_barrier_init(&barrier, NULL, 3);
        anl_parallel(pool, 3, meet, &barrier);
        pthread_barrier_destroy(&barrier);
        if (round % 5 == 0)
            usleep(2000);
    }
    anl_pool_free(&pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *plain = tcase_create("plain");
    tcase_set_timeout(plain, 60);
    tcase_add_test(plain, arena_gives_zeroed_aligned_separate_memory);
    tcase_add_test(plain, arena_texts);
    tcase_add_test(plain, push_keeps_the_items);
    tcase_add_test(plain, text_builder);
    tcase_add_test(plain, edit_distances);
    tcase_add_test(plain, nearest_words);
    tcase_add_test(plain, globs);
    tcase_add_test(plain, utf8);
    tcase_add_test(plain, sha256_known_answers);
    tcase_add_test(plain, sha256_of_files_and_keys);
    tcase_add_test(plain, hash_is_stable_and_spreads);
    tcase_add_test(plain, philox_known_answers);
    tcase_add_test(plain, json_text);
    tcase_add_test(plain, numbers_read_back);
    tcase_add_test(plain, diagnostics_report);
    tcase_add_test(plain, diagnostics_are_added_once);
    tcase_add_test(plain, diagnostics_are_safe_for_a_terminal);
    tcase_add_test(plain, diagnostics_cut_long_lines);
    tcase_add_test(plain, diagnostics_without_a_list_are_dropped);
    tcase_add_test(plain, codes_are_unique_and_named);
    tcase_add_test(plain, places);
    tcase_add_test(plain, every_chunk_runs_once);
    tcase_add_test(plain, chunks_run_side_by_side);
    suite_add_tcase(suite, plain);
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, make_folder, remove_folder);
    tcase_add_test(files, files_are_written_whole_or_not_at_all);
    tcase_add_test(files, large_files_are_read_whole);
    tcase_add_test(files, folders_are_made_with_their_parents);
    suite_add_tcase(suite, files);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
