/* The ingress's pure parts: its options, what it reads of HAProxy and of a probe's answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "executors/ingress/answers.h"
#include "executors/ingress/ingress.h"
#include "executors/ingress/response.h"

static void test_options(void **state)
{
    static const char *const wrong[] = {
        "",
        "http",
        "http=",
        "http=localhost:80",
        "http=127.0.0.1",
        "http=127.0.0.1:0",
        "http=127.0.0.1:65536",
        "http=127.0.0.1:+80",
        "http=::1:80",
        "http=[127.0.0.1]:80",
        "https=0.0.0.0:443",
        "cert=/a.pem,http=0.0.0.0:80",
        "https=0.0.0.0:443,cert=relative.pem",
        "https=0.0.0.0:443,cert=/a b.pem",
        "http=0.0.0.0:80,slots=0",
        "http=0.0.0.0:80,slots=1025",
        "http=0.0.0.0:80,threads=65",
        "http=0.0.0.0:80,hold=61",
        "http=0.0.0.0:80,hold=-1",
        "http=0.0.0.0:80,hold=5s",
        "http=0.0.0.0:80,waiting=0",
        "http=0.0.0.0:80,waiting=20001",
        "http=0.0.0.0:80,what=1",
    };
    struct ingress_options options;
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        err.text[0] = 0;
        assert_int_equal(ingress_options_parse(wrong[i], &options, &err), ERR_INVALID);
        assert_true(err.text[0] != 0);
    }
    assert_int_equal(ingress_options_parse("http=0.0.0.0:80", &options, &err), 0);
    assert_string_equal(options.http, "0.0.0.0:80");
    assert_string_equal(options.https, "");
    assert_int_equal(options.slots, INGRESS_SLOTS);
    assert_int_equal(options.threads, 0);
    assert_int_equal(options.hold_us, 5000000);
    assert_int_equal(options.waiting, 10000);
    assert_int_equal(ingress_options_parse("http=0.0.0.0:80,hold=0", &options, &err), 0);
    assert_int_equal(options.hold_us, 0);
    assert_int_equal(ingress_options_parse("http=0.0.0.0:80,hold=60,waiting=20000", &options, &err),
                     0);
    assert_int_equal(options.hold_us, 60000000);
    assert_int_equal(options.waiting, 20000);
    assert_int_equal(ingress_options_parse("https=[0:0::1]:443,cert=/etc/site.pem,slots=1024,"
                                           "threads=2,haproxy=/opt/haproxy",
                                           &options, &err),
                     0);
    assert_string_equal(options.https, "[::1]:443");
    assert_string_equal(options.cert, "/etc/site.pem");
    assert_string_equal(options.haproxy, "/opt/haproxy");
    assert_int_equal(options.slots, 1024);
    assert_int_equal(options.threads, 2);
}

/* Lines as HAProxy 2.6 and 3.0 write them. */
static void test_answers(void **state)
{
    struct answer_server server;
    struct answer_entry entry;
    struct answer_log log;
    int64_t pid;
    int held;
    (void)state;
    assert_int_equal(answer_server("4 r12 1 web-1 127.0.0.1 2 4 200 200 0 1 0 0 0 0 0 0 - 9001 - 0 "
                                   "0 - - 0",
                                   &server),
                     1);
    assert_int_equal(server.lane, 0);
    assert_int_equal(server.slot, 12);
    assert_string_equal(server.name, "web-1");
    assert_string_equal(server.host, "127.0.0.1");
    assert_int_equal(server.port, 9001);
    assert_int_equal(server.admin, 4);
    assert_int_equal(server.weight, 200);
    assert_int_equal(answer_server("9 w0 1 b ::1 2 0 0 0 1 1 0 2 0 0 0 0 - 1 - 0 0 - - 0", &server),
                     1);
    assert_int_equal(server.lane, 1);
    assert_int_equal(answer_server("1", &server), 0);
    assert_int_equal(answer_server("# be_id be_name", &server), 0);
    assert_int_equal(
        answer_server("9 other 1 b ::1 2 0 0 0 1 1 0 2 0 0 0 0 - 1 - 0 0 - - 0", &server), 0);
    assert_int_equal(
        answer_server("9 w1 1 b name 2 0 0 0 1 1 0 2 0 0 0 0 - 1 - 0 0 - - 0", &server), 0);
    assert_int_equal(answer_entry("0x562b39e11440 shop.test/api/ 7", &entry), 1);
    assert_string_equal(entry.key, "shop.test/api/");
    assert_int_equal(entry.slot, 7);
    assert_int_equal(answer_entry("0x562b39e11440 shop.test/api/ 1024", &entry), 0);
    assert_int_equal(answer_entry("Unknown map identifier.", &entry), 0);
    assert_int_equal(answer_held("0x562b39e11440 7 1", &held), 1);
    assert_int_equal(held, 7);
    assert_int_equal(answer_held("0x562b39e11440 1024 1", &held), 0);
    assert_int_equal(answer_held("0x562b39e11440 -1 1", &held), 0);
    assert_int_equal(answer_held("7 1", &held), 0);
    assert_int_equal(answer_pid("Pid: 9230", &pid), 1);
    assert_int_equal(pid, 9230);
    assert_int_equal(answer_pid("Pid: 1", &pid), 0);
    assert_int_equal(answer_pid("Process_num: 1", &pid), 0);
    assert_int_equal(answer_log("w3 web-1 200 922", &log), 1);
    assert_int_equal(log.lane, 1);
    assert_int_equal(log.latency_us, 922);
    assert_int_equal(answer_log("none <NOSRV> 404 -", &log), 0);
}

static void test_stat(void **state)
{
    struct stat_columns columns;
    struct answer_stat stat;
    (void)state;
    assert_int_equal(answer_stat_header("# pxname,svname,bin,econ", &columns), 0);
    assert_int_equal(
        answer_stat_header("# pxname,svname,qcur,bin,bout,econ,eresp,hrsp_1xx,hrsp_2xx,"
                           "hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,more,",
                           &columns),
        1);
    assert_int_equal(answer_stat("r1,web-1,0,100,200,2,3,1,50,4,5,6,,9,", &columns, &stat), 1);
    assert_int_equal(stat.requests, 2 + 3 + 1 + 50 + 4 + 5 + 6);
    assert_int_equal(stat.errors, 2 + 3 + 6);
    assert_int_equal(stat.bytes_in, 100);
    assert_int_equal(stat.bytes_out, 200);
    assert_string_equal(stat.name, "web-1");
    assert_int_equal(answer_stat("r1,BACKEND,0,100,200,2,3,1,50,4,5,6,,9,", &columns, &stat), 0);
    assert_int_equal(answer_stat("r1,web-1,0,100", &columns, &stat), 0);
    assert_int_equal(answer_stat("r1,web-1,0,-1,200,2,3,1,50,4,5,6,,9,", &columns, &stat), 0);
}

static int parse(const char *text, struct response *response)
{
    return response_parse(text, strlen(text), response);
}

static void test_response(void **state)
{
    struct response response;
    static char endless[RESPONSE_BYTES_MAX];
    (void)state;
    assert_int_equal(parse("HTTP/1.1 200 OK\r\nberth-instance:  web-1 \r\nBERTH-SERVER: web-2\r\n"
                           "Content-Length: 5\r\n\r\nbody",
                           &response),
                     1);
    assert_int_equal(response.status, 200);
    assert_string_equal(response.instance, "web-1");
    assert_string_equal(response.server, "web-2");
    assert_int_equal(
        parse("HTTP/1.1 103 Early Hints\r\nBerth-Instance: x\r\n\r\nHTTP/1.1 404\r\n\r\n",
              &response),
        1);
    assert_int_equal(response.status, 404);
    assert_string_equal(response.instance, "");
    assert_int_equal(parse("HTTP/1.1 200 OK\r\nBerth-Inst", &response), 0);
    assert_int_equal(parse("", &response), 0);
    assert_int_equal(parse("HTTP/2 200\r\n\r\n", &response), ERR_INVALID);
    assert_int_equal(parse("SSH-2.0", &response), ERR_INVALID);
    assert_int_equal(parse("HTTP/1.1 2x0 OK\r\n\r\n", &response), ERR_INVALID);
    assert_int_equal(parse("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", &response), ERR_INVALID);
    /* Two words for one identity is none. */
    assert_int_equal(
        parse("HTTP/1.1 200 OK\r\nBerth-Instance: a\r\nBerth-Instance: b\r\n\r\n", &response),
        ERR_INVALID);
    assert_int_equal(parse("HTTP/1.1 200 OK\r\nBerth-Instance: "
                           "0123456789012345678901234567890123456789\r\n\r\n",
                           &response),
                     ERR_INVALID);
    memset(endless, 'a', sizeof(endless));
    memcpy(endless, "HTTP/1.1 200 OK\r\n", 17);
    assert_int_equal(response_parse(endless, sizeof(endless), &response), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_stat),
        cmocka_unit_test(test_response),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
