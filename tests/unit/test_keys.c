/* Keys: known nkeys and digests, files that only their owner may read, ids that do not repeat. */
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

#include "base/keys/keys.h"
#include "base/str.h"

/* The pair that NATS's own documentation prints. */
#define DOC_SEED   "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
#define DOC_PUBLIC "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"

static char folder[512];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "%s/keys-XXXXXX", BERTH_BINARY_DIR);
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(folder); /* fails when a test left something behind */
}

static void test_known_pair(void **state)
{
    (void)state;
    char public_key[NKEY_TEXT_BYTES];
    struct error err = {0};
    assert_int_equal(nkey_public_of(DOC_SEED, public_key, &err), 0);
    assert_string_equal(public_key, DOC_PUBLIC);
    static const char *const wrong[] = {
        "",
        "SUAC",
        DOC_PUBLIC,
        DOC_SEED "A",
        "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VA", /* checksum */
        "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3V1", /* no such letter */
        "suacssl3uahudxkfsnvuzrf5uhpmwz6bfdtj7m6usdxiednppqyyycu3vy",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(nkey_public_of(wrong[i], public_key, &err), ERR_INVALID);
        assert_null(wrong[i][0] == 0 ? NULL : strstr(err.text, wrong[i])); /* never shown */
    }
    assert_string_equal(public_key, DOC_PUBLIC);
}

static void test_new_pairs(void **state)
{
    (void)state;
    char seeds[2][NKEY_TEXT_BYTES], public_keys[2][NKEY_TEXT_BYTES], again[NKEY_TEXT_BYTES];
    struct error err = {0};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(nkey_create_user(seeds[i], public_keys[i], &err), 0);
        assert_int_equal(strlen(seeds[i]), 58);
        assert_int_equal(strlen(public_keys[i]), 56);
        assert_true(str_starts(seeds[i], "SU") && public_keys[i][0] == 'U');
        assert_int_equal(nkey_public_of(seeds[i], again, &err), 0);
        assert_string_equal(again, public_keys[i]);
    }
    assert_string_not_equal(seeds[0], seeds[1]);
}

static void test_files(void **state)
{
    (void)state;
    char path[600], first[NKEY_TEXT_BYTES], second[NKEY_TEXT_BYTES];
    struct error err = {0};
    struct stat status;
    snprintf(path, sizeof(path), "%s/me.seed", folder);
    assert_int_equal(nkey_file_public(path, first, &err), ERR_NOT_FOUND);
    assert_int_equal(nkey_file_ensure(path, first, &err), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status.st_nlink, 1);
    assert_int_equal(nkey_file_ensure(path, second, &err), 0);
    assert_string_equal(first, second);
    assert_int_equal(nkey_file_public(path, second, &err), 0);
    assert_string_equal(first, second);

    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(nkey_file_ensure(path, second, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "640"));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(nkey_file_ensure(path, second, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof(path), "%s/none/me.seed", folder);
    assert_int_equal(nkey_file_ensure(path, second, &err), ERR_IO);
}

static void test_digests(void **state)
{
    (void)state;
    char path[600], digest[LIMIT_DIGEST_BYTES], again[LIMIT_DIGEST_BYTES];
    struct error err = {0};
    snprintf(path, sizeof(path), "%s/data", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs("abc", file) < 0, 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(digest_file(path, digest, &err), 0);
    assert_string_equal(digest,
                        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
    assert_int_equal(digest_fd(fd, again, &err), 0); /* from the start, wherever the offset is */
    assert_string_equal(again, digest);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 2);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(pwrite(fd, "0123456789012345678901234567890123456789", 40, i * 40), 40);
    struct digest_state *whole;
    assert_int_equal(digest_begin(&whole, &err), 0);
    for (int i = 0; i < 3000; i++)
        digest_add(whole, "0123456789012345678901234567890123456789", 40);
    digest_end(whole, digest);
    assert_int_equal(digest_fd(fd, again, &err), 0);
    assert_string_equal(again, digest);
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(digest_file(path, digest, &err), ERR_NOT_FOUND);
    assert_int_equal(digest_file(folder, digest, &err), ERR_IO);
}

static void test_ids(void **state)
{
    (void)state;
    char ids[100][LIMIT_ID_BYTES];
    for (int i = 0; i < 100; i++) {
        id_random(ids[i]);
        assert_int_equal(strlen(ids[i]), 26);
        assert_true(name_is_valid(ids[i]));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(ids[i], ids[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_pair), cmocka_unit_test(test_new_pairs),
        cmocka_unit_test(test_files),      cmocka_unit_test(test_digests),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests_name("keys", tests, setup, teardown);
}
