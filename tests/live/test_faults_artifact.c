/* Artifacts that are not what they should be: a new version of a running workload with another
 * digest, or built for another machine, goes back with the reason, and the old one serves on. */
#include <elf.h>
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
#include "base/str.h"
#include "tests/live/cluster.h"

#define ZEROS "00000000000000000000000000000000" /* half a digest */

static struct cluster cluster;

static int setup(void **state)
{
    (void)state;
    cluster_start(&cluster, NULL);
    cluster_apply(&cluster, &(struct cluster_app){.program = "test-workload", .cloud = "gcp"});
    cluster_settled(&cluster, "gcp/us-central1");
    cluster_load_start(&cluster, 300);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_done(&cluster);
    return 0;
}

static void goes_back(const struct cluster_app *app, const char *because)
{
    char before[LIMIT_ID_BYTES];
    cluster_handoff_newest(&cluster, before);
    cluster_apply(&cluster, app);
    json_t *handoff = cluster_handoff_ended(&cluster, before);
    const char *text = json_string_value(json_object_get(handoff, "text"));
    print_message("back: %s\n", text);
    assert_string_equal(json_string_value(json_object_get(handoff, "state")), "back");
    if (strstr(text, because) == NULL)
        fail_msg("'%s' does not say '%s'", text, because);
    json_decref(handoff);
    cluster_apply(&cluster, &(struct cluster_app){.program = "test-workload", .cloud = "gcp"});
    cluster_settled(&cluster, "gcp/us-central1");
    cluster_load_judge(&cluster);
    cluster_delete(&cluster);
    cluster_no_orphans(&cluster);
}

static void test_other_digest(void **state)
{
    (void)state;
    goes_back(&(struct cluster_app){.program = "test-workload",
                                    .cloud = "gcp",
                                    .digest = "sha256:" ZEROS ZEROS},
              "sha256:");
}

/* The same program with another machine in its ELF header. */
static void test_other_machine(void **state)
{
    (void)state;
    char from[700], path[700];
    str_format(path, sizeof(path), "%s/foreign", cluster.hub.folder);
    FILE *in = fopen(cluster_program("test-workload", from), "re");
    FILE *out = fopen(path, "we");
    assert_non_null(in);
    assert_non_null(out);
    static char data[65536];
    size_t bytes;
    for (bool first = true; (bytes = fread(data, 1, sizeof(data), in)) > 0; first = false) {
        if (first) {
            Elf64_Ehdr header;
            assert_true(bytes >= sizeof(header));
            memcpy(&header, data, sizeof(header));
            header.e_machine = header.e_machine == EM_AARCH64 ? EM_X86_64 : EM_AARCH64;
            memcpy(data, &header, sizeof(header));
        }
        assert_int_equal(fwrite(data, 1, bytes, out), bytes);
    }
    fclose(in);
    assert_int_equal(fchmod(fileno(out), 0755), 0);
    assert_int_equal(fclose(out), 0);
#ifdef __aarch64__
    const char *machine = "x86_64";
#else
    const char *machine = "aarch64";
#endif
    goes_back(&(struct cluster_app){.program = path, .cloud = "gcp"}, machine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_other_digest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_machine, setup, teardown),
    };
    return cmocka_run_group_tests_name("faults: artifact", tests, NULL, NULL);
}
