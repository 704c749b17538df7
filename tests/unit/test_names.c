#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "metrics/names.h"

#define LABELS_MAX 8

/* "name{a=b,c=d}" as a sample; the text is cut to pieces. */
static struct metric_sample sample_of(char *text, struct metric_label *labels)
{
    struct metric_sample sample = {.name = text, .labels = labels, .value = 1};
    char *at = strchr(text, '{');
    while (at != NULL && at[1] != '}') {
        *at++ = 0;
        char *equals = strchr(at, '=');
        *equals = 0;
        labels[sample.label_count++] = (struct metric_label){.name = at, .value = equals + 1};
        at = strpbrk(equals + 1, ",}");
        if (*at == '}') {
            *at = 0;
            at = NULL;
        }
    }
    sample.name_bytes = strlen(text);
    return sample;
}

/* "requests errors", in the order of the table. */
static void assert_meaning(int kind, const char *series, const char *expected)
{
    char text[512];
    char meaning[256] = "";
    struct metric_label labels[LABELS_MAX];
    struct names_reading readings[NAMES_READINGS_MAX];
    struct names_config config = {.kind = kind};
    str_format(text, sizeof(text), "%s", series);
    struct metric_sample sample = sample_of(text, labels);
    int count = names_map(&config, &sample, readings);
    for (int i = 0; i < count; i++)
        str_format(meaning + strlen(meaning), sizeof(meaning) - strlen(meaning), "%s%s*%g",
                   i == 0 ? "" : " ", sample_kind_words[readings[i].kind], readings[i].scale);
    if (strcmp(meaning, expected) != 0)
        fail_msg("%s: '%s', wanted '%s'", series, meaning, expected);
}

/* "ns/app/workload@site#instance+segment", or the error's text. */
static void assert_identity(const struct names_config *config, const char *series,
                            const char *expected)
{
    char text[512];
    char found[1024];
    struct metric_label labels[LABELS_MAX];
    struct names_reading readings[NAMES_READINGS_MAX];
    struct names_identity id;
    struct error err;
    str_format(text, sizeof(text), "%s", series);
    struct metric_sample sample = sample_of(text, labels);
    assert_true(names_map(config, &sample, readings) > 0);
    if (names_identify(config, &sample, &readings[0], &id, &err) < 0)
        str_format(found, sizeof(found), "%s", err.text);
    else
        str_format(found, sizeof(found), "%s/%s/%s@%s#%s+%s", id.namespace_, id.app, id.workload,
                   id.site, id.instance, id.segment);
    if (strstr(found, expected) == NULL ||
        (strchr(expected, '#') != NULL && !str_equal(found, expected)))
        fail_msg("%s: '%s', wanted '%s'", series, found, expected);
}

static void the_table_is_sorted_and_whole(void **state)
{
    (void)state;
    for (int i = 0; i < names_table_count; i++) {
        const struct names_row *row = &names_table[i];
        if (i > 0 && strcmp(names_table[i - 1].name, row->name) > 0)
            fail_msg("%s stands before %s", names_table[i - 1].name, row->name);
        assert_true(row->source > NAMES_CONFIGURED && row->source < NAMES_SOURCES);
        assert_true(row->scale > 0 || row->parts != 0);
        assert_true((row->condition == NAMES_IS || row->condition == NAMES_IS_NOT) ==
                    (row->label != NULL));
        assert_true(strlen(row->name) < LIMIT_METRIC_NAME_BYTES);
        if (row->kind == SAMPLE_LATENCY_US)
            assert_true(strstr(row->name, "_bucket") != NULL);
    }
    assert_null(names_source_words[NAMES_SOURCES]);
    assert_string_equal(names_source_words[NAMES_NODE], "node");
}

static void cadvisor(void **state)
{
    (void)state;
    int kind = NAMES_KIND_CADVISOR;
    assert_meaning(kind, "container_cpu_usage_seconds_total{container=web,pod=web-1,namespace=x}",
                   "cpu_ns*1e+09");
    /* The pod's and the machine's sums, and the pause container, would count twice. */
    assert_meaning(kind, "container_cpu_usage_seconds_total{pod=web-1,namespace=x}", "");
    assert_meaning(kind, "container_cpu_usage_seconds_total{id=/}", "");
    assert_meaning(kind, "container_cpu_usage_seconds_total{container=POD,pod=web-1}", "");
    assert_meaning(kind, "container_cpu_usage_seconds_total{id=/docker/1,name=web}",
                   "cpu_ns*1e+09");
    assert_meaning(kind, "container_memory_working_set_bytes{container=web,pod=web-1}",
                   "memory_bytes*1");
    assert_meaning(kind, "container_memory_rss{container=web,pod=web-1}", "");
    assert_meaning(kind, "container_network_receive_bytes_total{interface=eth0,pod=web-1}",
                   "bytes_in*1");
    assert_meaning(kind, "container_network_receive_bytes_total{interface=lo,pod=web-1}", "");
    assert_meaning(kind, "container_network_transmit_bytes_total{interface=eth0,id=/}", "");
    /* A page of cAdvisor's is about containers, not about cAdvisor itself. */
    assert_meaning(kind, "process_cpu_seconds_total", "");
}

static void node_exporter(void **state)
{
    (void)state;
    int kind = NAMES_KIND_NODE;
    assert_meaning(kind, "node_cpu_seconds_total{cpu=0,mode=user}", "cpu_ns*1e+09");
    assert_meaning(kind, "node_cpu_seconds_total{cpu=0,mode=idle}", "");
    assert_meaning(kind, "node_cpu_seconds_total{cpu=0,mode=iowait}", "");
    assert_meaning(kind, "node_memory_MemTotal_bytes", "memory_bytes*1");
    assert_meaning(kind, "node_memory_MemAvailable_bytes", "memory_bytes*-1");
    assert_meaning(kind, "node_network_receive_bytes_total{device=lo}", "");
    assert_meaning(kind, "process_cpu_seconds_total", "");
    assert_meaning(NAMES_KIND_OPENMETRICS, "node_cpu_seconds_total{cpu=0,mode=user}", "");
}

static void services(void **state)
{
    (void)state;
    int kind = NAMES_KIND_OPENMETRICS;
    assert_meaning(kind,
                   "http_server_request_duration_seconds_count{http_response_status_code=200}",
                   "requests*1");
    assert_meaning(kind,
                   "http_server_request_duration_seconds_count{http_response_status_code=503}",
                   "errors*1 requests*1");
    assert_meaning(kind, "http_server_request_duration_seconds_sum", "latency_us_sum*1e+06");
    assert_meaning(kind, "http_server_duration_milliseconds_sum", "latency_us_sum*1000");
    assert_meaning(kind, "http_requests_total{code=404}", "requests*1");
    assert_meaning(kind, "http_requests_total{status=500}", "errors*1 requests*1");
    assert_meaning(kind, "http_requests_total{code=50}", "requests*1");
    assert_meaning(kind, "grpc_server_handled_total{grpc_code=NotFound}", "requests*1");
    assert_meaning(kind, "grpc_server_handled_total{grpc_code=Internal}", "errors*1 requests*1");
    assert_meaning(kind, "istio_requests_total{reporter=destination,response_code=500}",
                   "errors*1 requests*1");
    assert_meaning(kind, "istio_requests_total{reporter=source,response_code=500}", "");
    assert_meaning(kind, "nginx_vts_server_cache_total{status=hit}", "hits*1");
    assert_meaning(kind, "nginx_vts_server_cache_total{status=expired}", "misses*1");
    assert_meaning(kind, "nginx_vts_server_cache_total{status=scarce}", "");
    assert_meaning(kind, "nginx_vts_server_cache_total{status=hi}", "");
    assert_meaning(kind, "haproxy_backend_http_cache_hits_total", "hits*1 misses*-1");
    assert_meaning(kind, "envoy_cluster_upstream_rq_xx{envoy_response_code_class=5}", "errors*1");
    assert_meaning(kind, "berth_cache_hits_total", "hits*1");
    assert_meaning(kind, "go_goroutines", "");
    assert_meaning(kind, "aaaa", "");
    assert_meaning(kind, "zzzz", "");
}

static void renames_come_first(void **state)
{
    (void)state;
    const struct names_rename renames[] = {
        {.name = "tiles_total", .label = "from", .value = "disk", .kind = SAMPLE_HITS, .scale = 1},
        {.name = "http_requests_total", .kind = SAMPLE_MISSES, .scale = 1},
    };
    struct names_config config = {.renames = renames, .rename_count = 2};
    struct metric_label labels[LABELS_MAX];
    struct names_reading readings[NAMES_READINGS_MAX];
    char hit[] = "tiles_total{from=disk}";
    char other[] = "tiles_total{from=net}";
    char known[] = "http_requests_total{code=500}";
    struct metric_sample sample = sample_of(hit, labels);
    assert_int_equal(names_map(&config, &sample, readings), 1);
    assert_int_equal(readings[0].kind, SAMPLE_HITS);
    assert_int_equal(readings[0].source, NAMES_CONFIGURED);
    assert_true(readings[0].counter);
    sample = sample_of(other, labels);
    assert_int_equal(names_map(&config, &sample, readings), 0);
    sample = sample_of(known, labels);
    assert_int_equal(names_map(&config, &sample, readings), 1);
    assert_int_equal(readings[0].kind, SAMPLE_MISSES);
}

static void whose_it_is(void **state)
{
    (void)state;
    const struct names_config plain = {.kind = NAMES_KIND_OPENMETRICS};
    const struct names_config cadvisor_page = {.kind = NAMES_KIND_CADVISOR};
    const struct names_config fixed = {
        .fixed = {.namespace_ = "n", .app = "a", .workload = "w", .site = "edge/x"}};
    const struct names_config relabelled = {
        .labels = {.workload = "svc", .segment = "aud", .site = "where", .instance = "host"}};
    const struct names_config machine = {.kind = NAMES_KIND_NODE,
                                         .fixed = {.site = "edge/x", .instance = "m1"}};
    assert_identity(&plain,
                    "berth_requests_total{namespace=n,app=a,workload=w,site=edge/y,segment=s}",
                    "n/a/w@edge/y#+s");
    assert_identity(&plain,
                    "http_requests_total{service_name=Cart_Service,cloud_provider=gcp,cloud_region="
                    "us-central1}",
                    "default/cart-service/cart-service@gcp/us-central1#+");
    assert_identity(&plain, "http_requests_total{code=200}", "no label says whose it is");
    assert_identity(&plain, "http_requests_total{workload=w,site=nowhere}",
                    "is written provider/region");
    assert_identity(&plain, "http_requests_total{workload=...}", "is no name");
    assert_identity(&fixed, "http_requests_total{workload=other,namespace=x}", "n/a/w@edge/x#+");
    assert_identity(&relabelled, "http_requests_total{svc=s,aud=strong,where=aws/eu,host=h:1}",
                    "default/s/s@aws/eu#h:1+strong");
    assert_identity(&relabelled, "http_requests_total{workload=s}", "no label says whose it is");
    assert_identity(
        &cadvisor_page,
        "container_cpu_usage_seconds_total{namespace=shop,pod=web-5d4f8c7b9d-x2x7z,container=web}",
        "shop/web/web@#web-5d4f8c7b9d-x2x7z+");
    assert_identity(&cadvisor_page, "container_cpu_usage_seconds_total{name=web_1}",
                    "default/web-1/web-1@#web_1+");
    assert_identity(&plain,
                    "istio_requests_total{reporter=destination,destination_workload=w,destination_"
                    "workload_namespace=n,destination_app=a}",
                    "n/a/w@#+");
    assert_identity(&machine, "node_memory_MemTotal_bytes", "//@edge/x#m1+");
}

static void pods_without_what_kubernetes_adds(void **state)
{
    (void)state;
    static const char *const pods[][2] = {
        {"web-5d4f8c7b9d-x2x7z", "web"},
        {"web-front-5d4f8c7b9d-x2x7z", "web-front"},
        {"web-x2x7z", "web"},
        {"web-0", "web"},
        {"web-12", "web"},
        {"web", "web"},
        {"web-cache", "web-cache"}, /* vowels: a word */
        {"web-20261122", "web-20261122"},
        {"x2x7z", "x2x7z"},
        {"-x2x7z", "-x2x7z"},
    };
    for (size_t i = 0; i < sizeof(pods) / sizeof(pods[0]); i++) {
        char pod[64];
        str_format(pod, sizeof(pod), "%s", pods[i][0]);
        names_strip_pod(pod);
        assert_string_equal(pod, pods[i][1]);
    }
}

static void names_and_instances_of_texts(void **state)
{
    (void)state;
    char name[LIMIT_NAME_BYTES];
    char id[LIMIT_ID_BYTES];
    char other[LIMIT_ID_BYTES];
    assert_true(names_from_text("Web.API/v2_", name));
    assert_string_equal(name, "web-api-v2");
    assert_false(names_from_text("--", name));
    assert_false(names_from_text("", name));
    assert_false(names_from_text(
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", name));
    names_instance("10.0.0.1:9100", id);
    assert_string_equal(id, "10.0.0.1:9100");
    names_instance("a-very-long-pod-name-of-a-deployment-5d4f8c7b9d-x2x7z", id);
    names_instance("a-very-long-pod-name-of-a-deployment-5d4f8c7b9d-x2x7y", other);
    assert_true(strlen(id) == LIMIT_ID_BYTES - 1);
    assert_string_not_equal(id, other);
}

static void names_of_opentelemetry(void **state)
{
    (void)state;
    char name[LIMIT_METRIC_NAME_BYTES];
    assert_true(names_from_otel("http.server.request.duration", "s", METRIC_HISTOGRAM, name));
    assert_string_equal(name, "http_server_request_duration_seconds");
    assert_true(names_from_otel("container.cpu.time", "s", METRIC_COUNTER, name));
    assert_string_equal(name, "container_cpu_time_seconds_total");
    assert_true(names_from_otel("cpu_seconds_total", "s", METRIC_COUNTER, name));
    assert_string_equal(name, "cpu_seconds_total");
    assert_true(names_from_otel("a..b", "{thing}", METRIC_GAUGE, name));
    assert_string_equal(name, "a_b");
    assert_true(names_from_otel("k8s.pod.network.io", "By", METRIC_COUNTER, name));
    assert_string_equal(name, "k8s_pod_network_io_bytes_total");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sorted_and_whole),
        cmocka_unit_test(cadvisor),
        cmocka_unit_test(node_exporter),
        cmocka_unit_test(services),
        cmocka_unit_test(renames_come_first),
        cmocka_unit_test(whose_it_is),
        cmocka_unit_test(pods_without_what_kubernetes_adds),
        cmocka_unit_test(names_and_instances_of_texts),
        cmocka_unit_test(names_of_opentelemetry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
