/* Proofs: what the other end wrote is taken, and nothing that differs from it in one byte, its
 * subject, its direction or the user that it is of. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/keys/proof.h"

#define CMD    "berth.v1.node.n1.cmd"
#define CMD2   "berth.v1.node.n2.cmd"
#define BODY   "{\"v\":1,\"type\":\"node.command\"}"
#define ROUNDS 20000

static char folder[400];
static struct proof_link scheduler_n1, scheduler_n2, n1, n2;

static const char *at(const char *name)
{
    static char path[2][512];
    static int turn;
    turn = !turn;
    (void)snprintf(path[turn], sizeof(path[0]), "%s/%s", folder, name);
    return path[turn];
}

static void open_link(enum proof_end end, const char *kind, const char *name, const char *seed,
                      const char *peer, struct proof_link *ret_link)
{
    char public_key[NKEY_TEXT_BYTES];
    struct error err = {0};
    if (proof_public_read(at(peer), public_key, &err) < 0 ||
        proof_link_open(&(struct proof_options){end, kind, name, at(seed), public_key}, ret_link,
                        &err) < 0)
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    (void)state;
    static const char *const names[] = {"scheduler", "node-n1", "node-n2"};
    struct error err = {0};
    (void)snprintf(folder, sizeof(folder), "%s/proof-XXXXXX", BERTH_BINARY_DIR);
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < 3; i++) {
        char public_key[NKEY_TEXT_BYTES], name[64];
        (void)snprintf(name, sizeof(name), "%s.pub", names[i]);
        assert_int_equal(nkey_file_ensure(at(names[i]), public_key, &err), 0);
        assert_int_equal(proof_publish(at(names[i]), at(name), &err), 0);
    }
    open_link(PROOF_AT_SCHEDULER, "node", "n1", "scheduler", "node-n1.pub", &scheduler_n1);
    open_link(PROOF_AT_SCHEDULER, "node", "n2", "scheduler", "node-n2.pub", &scheduler_n2);
    open_link(PROOF_AT_USER, "node", "n1", "node-n1", "scheduler.pub", &n1);
    open_link(PROOF_AT_USER, "node", "n2", "node-n2", "scheduler.pub", &n2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"scheduler", "node-n1", "node-n2"};
    for (size_t i = 0; i < 3; i++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "%s.pub", names[i]);
        (void)unlink(at(names[i]));
        (void)unlink(at(name));
    }
    return rmdir(folder); /* fails when a test left something behind */
}

static void seal(struct proof_link *link, const char *subject, const char *body,
                 struct strbuf *text)
{
    strbuf_init(text, 4096);
    proof_begin(link, text);
    strbuf_puts(text, body);
    proof_end(link, subject, proof_next(link), text);
    assert_int_equal(strbuf_error(text, NULL), 0);
}

static bool takes(const struct proof_link *link, const char *subject, const struct strbuf *text)
{
    uint64_t stamp = 0;
    return proof_check(link, subject, text->text, text->bytes, &stamp);
}

static void test_taken(void **state)
{
    (void)state;
    struct strbuf text;
    uint64_t first = 0, second = 0;
    seal(&scheduler_n1, CMD, BODY, &text);
    assert_int_equal(text.bytes, PROOF_BYTES + strlen(BODY));
    assert_memory_equal(text.text + PROOF_BYTES, BODY, strlen(BODY));
    assert_true(proof_check(&n1, CMD, text.text, text.bytes, &first));
    assert_int_equal(first, scheduler_n1.sent);
    strbuf_done(&text);
    seal(&scheduler_n1, CMD, "", &text);
    assert_true(proof_check(&n1, CMD, text.text, text.bytes, &second));
    assert_true(second > first);
    strbuf_done(&text);
    seal(&n1, "berth.v1.node.n1.beat", BODY, &text);
    assert_true(takes(&scheduler_n1, "berth.v1.node.n1.beat", &text));
    strbuf_done(&text);
}

static void test_every_byte_counts(void **state)
{
    (void)state;
    struct strbuf text;
    seal(&scheduler_n1, CMD, BODY, &text);
    for (size_t i = 0; i < text.bytes; i++)
        for (int bit = 0; bit < 8; bit++) {
            text.text[i] = (char)(text.text[i] ^ (1 << bit));
            assert_false(takes(&n1, CMD, &text));
            text.text[i] = (char)(text.text[i] ^ (1 << bit));
        }
    size_t whole = text.bytes;
    for (text.bytes = 0; text.bytes < whole; text.bytes++)
        assert_false(takes(&n1, CMD, &text));
    assert_true(takes(&n1, CMD, &text));
    strbuf_puts(&text, "x");
    assert_false(takes(&n1, CMD, &text));
    strbuf_done(&text);
    strbuf_init(&text, 4096);
    strbuf_puts(&text, BODY); /* without any frame */
    assert_false(takes(&n1, CMD, &text));
    strbuf_done(&text);
}

static void test_where_it_holds(void **state)
{
    (void)state;
    struct strbuf text;
    seal(&scheduler_n1, CMD, BODY, &text);
    assert_false(takes(&n1, "berth.v1.node.n1.echo", &text)); /* another kind of subject */
    assert_false(takes(&n1, CMD2, &text));                    /* another node's */
    assert_false(takes(&n1, "berth.v1.node.n1.cm", &text));   /* nor does a part of it flow ... */
    assert_false(takes(&n2, CMD, &text));                     /* another node */
    assert_false(takes(&n2, CMD2, &text));
    assert_false(takes(&scheduler_n1, CMD, &text)); /* the other direction, at its own sender */
    strbuf_done(&text);
    seal(&n2, CMD, BODY, &text); /* a node that writes a command for another one */
    assert_false(takes(&n1, CMD, &text));
    strbuf_done(&text);
    seal(&n1, CMD, BODY, &text); /* or for itself */
    assert_false(takes(&n1, CMD, &text));
    strbuf_done(&text);
    seal(&n2, "berth.v1.node.n1.report", BODY, &text); /* or reports as another one */
    assert_false(takes(&scheduler_n1, "berth.v1.node.n1.report", &text));
    assert_true(takes(&scheduler_n2, "berth.v1.node.n1.report", &text));
    strbuf_done(&text);
}

/* The same two keys are not the same link for another name or kind. */
static void test_whose_link(void **state)
{
    (void)state;
    struct proof_link other;
    struct strbuf text;
    seal(&scheduler_n1, CMD, BODY, &text);
    open_link(PROOF_AT_USER, "node", "n3", "node-n1", "scheduler.pub", &other);
    assert_false(takes(&other, CMD, &text));
    open_link(PROOF_AT_USER, "probe", "n1", "node-n1", "scheduler.pub", &other);
    assert_false(takes(&other, CMD, &text));
    open_link(PROOF_AT_USER, "node", "n1", "node-n1", "node-n2.pub", &other);
    assert_false(takes(&other, CMD, &text));
    open_link(PROOF_AT_USER, "node", "n1", "node-n1", "scheduler.pub", &other);
    assert_true(takes(&other, CMD, &text));
    strbuf_done(&text);
}

static void test_stamps(void **state)
{
    (void)state;
    struct proof_link link = n1;
    uint64_t before = proof_next(&link);
    for (int i = 0; i < 1000; i++) {
        uint64_t next = proof_next(&link);
        assert_true(next > before);
        before = next;
    }
    proof_catch_up(&link, before - 1);
    assert_true(proof_next(&link) > before);
    uint64_t far = before + (uint64_t)1000000 * 86400;
    proof_catch_up(&link, far); /* the clock was set back by a day */
    assert_int_equal(proof_next(&link), far + 1);
}

static void test_without_keys(void **state)
{
    (void)state;
    struct proof_link none = {0};
    struct strbuf text;
    seal(&none, CMD, BODY, &text);
    assert_string_equal(text.text, BODY);
    assert_true(takes(&none, CMD, &text));
    assert_int_equal(proof_bytes(&none), 0);
    assert_false(takes(&n1, CMD, &text)); /* who has keys believes nobody without */
    strbuf_done(&text);
}

static void test_files(void **state)
{
    (void)state;
    char before[NKEY_TEXT_BYTES], after[NKEY_TEXT_BYTES], path[LIMIT_PATH_BYTES];
    struct error err = {0};
    struct proof_link link;
    struct stat first, second;
    assert_int_equal(proof_beside(at("node-n1"), "x.pub", path, &err), 0);
    assert_string_equal(path, at("x.pub"));
    assert_int_equal(proof_beside("seed", "x.pub", path, &err), 0);
    assert_string_equal(path, "x.pub");
    assert_int_equal(proof_public_read(at("x.pub"), before, &err), ERR_NOT_FOUND);
    assert_int_equal(proof_public_read(at("scheduler"), before, &err), ERR_INVALID); /* a seed */
    assert_null(strstr(err.text, "SU")); /* is never shown */
    assert_int_equal(proof_public_read(at("node-n1.pub"), before, &err), 0);
    assert_int_equal(stat(at("node-n1.pub"), &first), 0);
    assert_int_equal(first.st_mode & 0777, 0644);
    assert_int_equal(proof_publish(at("node-n1"), at("node-n1.pub"), &err), 0);
    assert_int_equal(stat(at("node-n1.pub"), &second), 0);
    assert_true(first.st_ino == second.st_ino); /* what is right is left alone */
    assert_int_equal(proof_publish(at("node-n2"), at("node-n1.pub"), &err), 0);
    assert_int_equal(proof_public_read(at("node-n1.pub"), after, &err), 0);
    assert_string_not_equal(before, after);
    assert_int_equal(proof_publish(at("node-n1"), at("node-n1.pub"), &err), 0);
    assert_int_equal(proof_link_open_user("node", "n1", at("node-n1"), "", &link, &err), 0);
    assert_memory_equal(link.in, n1.in, sizeof(link.in));
    assert_int_equal(
        proof_link_open_user("node", "n1", at("node-n1"), at("nobody.pub"), &link, &err),
        ERR_NOT_FOUND);
}

/* Not judged: what a proof costs, for whoever asks. */
static void test_cost(void **state)
{
    (void)state;
    static const size_t sizes[] = {120, 700, 4096};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct strbuf text;
        CLEANUP(cleanup_free) char *body = calloc(1, sizes[i] + 1);
        assert_non_null(body);
        memset(body, 'x', sizes[i]);
        strbuf_init(&text, 8192);
        int64_t spent_us[2] = {0};
        proof_begin(&scheduler_n1, &text);
        strbuf_puts(&text, body);
        int64_t began_us = clock_mono_now().us;
        for (int k = 0; k < ROUNDS; k++)
            proof_end(&scheduler_n1, CMD, proof_next(&scheduler_n1), &text);
        spent_us[0] = clock_mono_now().us - began_us;
        began_us = clock_mono_now().us;
        bool all = true;
        for (int k = 0; k < ROUNDS; k++)
            all = takes(&n1, CMD, &text) && all;
        spent_us[1] = clock_mono_now().us - began_us;
        assert_true(all);
        print_message("a body of %zu bytes: %lld ns to seal, %lld ns to check\n", sizes[i],
                      (long long)(spent_us[0] * 1000 / ROUNDS),
                      (long long)(spent_us[1] * 1000 / ROUNDS));
        strbuf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),          cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_where_it_holds), cmocka_unit_test(test_whose_link),
        cmocka_unit_test(test_stamps),         cmocka_unit_test(test_without_keys),
        cmocka_unit_test(test_files),          cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
