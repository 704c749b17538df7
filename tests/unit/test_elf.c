/* What an artifact is, from its first bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "executors/drivers/process/elf.h"

static void head_of(uint8_t out[ELF_HEAD_BYTES], int bits, uint8_t type, uint8_t machine)
{
    static const uint8_t start[] = {0x7f, 'E', 'L', 'F', 0, 1, 1};
    memset(out, 0, ELF_HEAD_BYTES);
    memcpy(out, start, sizeof(start));
    out[4] = bits == 64 ? 2 : 1;
    out[16] = type;
    out[18] = machine;
}

static int check(const uint8_t *head, size_t bytes, const char *machine, enum elf_kind *ret_kind,
                 struct error *err)
{
    memset(err, 0, sizeof(*err));
    return elf_check(head, bytes, machine, ret_kind, err);
}

static void test_own_machine(void **state)
{
    (void)state;
    uint8_t head[ELF_HEAD_BYTES];
    enum elf_kind kind = ELF_SCRIPT;
    struct error err;
    head_of(head, 64, 3, 62);
    assert_int_equal(check(head, sizeof(head), "x86_64", &kind, &err), 0);
    assert_int_equal(kind, ELF_PROGRAM);
    head_of(head, 64, 2, 183);
    assert_int_equal(check(head, sizeof(head), "aarch64", &kind, &err), 0);
}

static void test_other_machine(void **state)
{
    (void)state;
    uint8_t head[ELF_HEAD_BYTES];
    enum elf_kind kind;
    struct error err;
    head_of(head, 64, 2, 183);
    assert_int_equal(check(head, sizeof(head), "x86_64", &kind, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "built for aarch64, this node is x86_64"));
    head_of(head, 64, 2, 250);
    assert_int_equal(check(head, sizeof(head), "x86_64", &kind, &err), ERR_UNSUPPORTED);
    /* x32: the machine's number, another class. */
    head_of(head, 32, 2, 62);
    assert_int_equal(check(head, sizeof(head), "x86_64", &kind, &err), ERR_UNSUPPORTED);
    /* Big-endian fields are read as such. */
    head_of(head, 64, 0, 0);
    head[5] = 2;
    head[17] = 2;
    head[19] = 22;
    assert_int_equal(check(head, sizeof(head), "s390x", &kind, &err), 0);
}

static void test_no_program(void **state)
{
    (void)state;
    uint8_t head[ELF_HEAD_BYTES];
    enum elf_kind kind;
    struct error err;
    head_of(head, 64, 1, 62); /* an object file */
    assert_int_equal(check(head, sizeof(head), "x86_64", &kind, &err), ERR_INVALID);
    head_of(head, 64, 2, 62);
    head[4] = 7;
    assert_int_equal(check(head, sizeof(head), "x86_64", &kind, &err), ERR_INVALID);
    head_of(head, 64, 2, 62);
    assert_int_equal(check(head, 20, "x86_64", &kind, &err), ERR_INVALID); /* cut */
    assert_int_equal(check((const uint8_t *)"hello", 5, "x86_64", &kind, &err), ERR_INVALID);
    assert_int_equal(check(head, 0, "x86_64", &kind, &err), ERR_INVALID);
}

static void test_script(void **state)
{
    (void)state;
    enum elf_kind kind = ELF_PROGRAM;
    struct error err;
    assert_int_equal(check((const uint8_t *)"#!/bin/sh\n", 10, "x86_64", &kind, &err), 0);
    assert_int_equal(kind, ELF_SCRIPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_machine),
        cmocka_unit_test(test_other_machine),
        cmocka_unit_test(test_no_program),
        cmocka_unit_test(test_script),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
