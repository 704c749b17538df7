#include "metrics/names.h"

#include <stdio.h>
#include <string.h>

#define FIELD_LABELS_MAX 8

/* Where a field is looked for when the configuration names no label: the first that is there. */
static const char *const namespace_labels[] = {"berth_namespace",
                                               "namespace",
                                               "k8s_namespace_name",
                                               "service_namespace",
                                               "container_label_io_kubernetes_pod_namespace",
                                               NULL};
static const char *const app_labels[] = {"berth_app",
                                         "app",
                                         "app_kubernetes_io_part_of",
                                         "container_label_app_kubernetes_io_part_of",
                                         "container_label_com_docker_compose_project",
                                         NULL};
static const char *const workload_labels[] = {"berth_workload",
                                              "workload",
                                              "service_name",
                                              "k8s_deployment_name",
                                              "k8s_statefulset_name",
                                              "k8s_daemonset_name",
                                              "container_label_app_kubernetes_io_name",
                                              "container_label_com_docker_compose_service",
                                              NULL};
static const char *const pod_labels[] = {"pod", "k8s_pod_name",
                                         "container_label_io_kubernetes_pod_name", NULL};
static const char *const segment_labels[] = {"berth_segment", "segment", NULL};
static const char *const site_labels[] = {"berth_site", "site", NULL};
static const char *const instance_labels[] = {
    "berth_instance",      "pod",  "k8s_pod_name", "container_label_io_kubernetes_pod_name",
    "service_instance_id", "name", "instance",     NULL};

static const struct names_row *row_find(const char *name);
static bool condition_holds(const struct names_row *row, const struct metric_sample *sample);
static bool is_in(const char *value, const char *list);
static bool is_server_error(const struct metric_sample *sample);
static bool is_container(const struct metric_sample *sample);
static bool is_outside_interface(const struct metric_sample *sample);
static int map_renames(const struct names_config *config, const struct metric_sample *sample,
                       struct names_reading *out);
static const char *first_label(const struct metric_sample *sample, const char *configured,
                               const char *const *labels);
static int field(const struct metric_sample *sample, const char *fixed, const char *configured,
                 const char *const *labels, const char *what, char out[LIMIT_NAME_BYTES],
                 struct error *err);
static int workload_of(const struct names_config *config, const struct metric_sample *sample,
                       char out[LIMIT_NAME_BYTES], struct error *err);
static int site_of(const struct names_config *config, const struct metric_sample *sample,
                   char out[LIMIT_REF_BYTES], struct error *err);
static bool site_from_text(const char *text, char out[LIMIT_REF_BYTES]);
static bool is_counter(int kind);
static bool cut_suffix(char *pod, size_t least, size_t most);

int names_map(const struct names_config *config, const struct metric_sample *sample,
              struct names_reading out[NAMES_READINGS_MAX])
{
    int count = config->rename_count > 0 ? map_renames(config, sample, out) : 0;
    if (count > 0)
        return count;
    const struct names_row *row = row_find(sample->name);
    const struct names_row *end = names_table + names_table_count;
    for (; row != NULL && row < end && str_equal(row->name, sample->name); row++) {
        bool of_machine = row->source == NAMES_NODE;
        if (of_machine != (config->kind == NAMES_KIND_NODE) || !condition_holds(row, sample) ||
            (config->kind == NAMES_KIND_CADVISOR && row->source != NAMES_CADVISOR))
            continue;
        if (count < NAMES_READINGS_MAX)
            out[count++] = (struct names_reading){
                .kind = row->kind,
                .source = row->source,
                .scale = row->scale,
                .counter = is_counter(row->kind),
                .part = row->part,
                .parts = row->parts,
            };
    }
    return count;
}

int names_identify(const struct names_config *config, const struct metric_sample *sample,
                   const struct names_reading *reading, struct names_identity *ret_identity,
                   struct error *err)
{
    static const char *const none[] = {NULL};
    static const char *const istio_namespace[] = {"destination_workload_namespace", NULL};
    static const char *const istio_app[] = {"destination_app", NULL};
    const struct names_fields *fixed = &config->fixed;
    const struct names_fields *labels = &config->labels;
    bool istio = reading->source == NAMES_ISTIO;
    bool machine = reading->source == NAMES_NODE;
    struct names_identity identity = {.namespace_ = ""};
    int rc = 0;
    if (!machine) {
        rc = workload_of(config, sample, identity.workload, err);
        if (rc == 0)
            rc = field(sample, fixed->namespace_, labels->namespace_,
                       istio ? istio_namespace : namespace_labels, "namespace", identity.namespace_,
                       err);
        if (rc == 0)
            rc = field(sample, fixed->app, labels->app, istio ? istio_app : app_labels, "app",
                       identity.app, err);
        if (rc == 0)
            rc = field(sample, fixed->segment, labels->segment, segment_labels, "segment",
                       identity.segment, err);
        if (rc < 0)
            return rc;
        if (identity.namespace_[0] == 0)
            str_format(identity.namespace_, sizeof(identity.namespace_), "default");
        if (identity.app[0] == 0)
            memcpy(identity.app, identity.workload, sizeof(identity.app));
    }
    rc = site_of(config, sample, identity.site, err);
    if (rc < 0)
        return rc;
    const char *instance =
        fixed->instance[0] != 0
            ? fixed->instance
            : first_label(sample, labels->instance, istio || machine ? none : instance_labels);
    if (instance != NULL)
        names_instance(instance, identity.instance);
    *ret_identity = identity;
    return 0;
}

void names_strip_pod(char *pod)
{
    char *dash = strrchr(pod, '-');
    if (dash == NULL || dash == pod)
        return;
    if (dash[1] != 0 && strspn(dash + 1, "0123456789") == strlen(dash + 1) &&
        strlen(dash + 1) <= 4) {
        *dash = 0; /* a StatefulSet's ordinal */
        return;
    }
    if (cut_suffix(pod, 5, 5))
        (void)cut_suffix(pod, 8, 10); /* a Deployment's ReplicaSet has a hash of its own */
}

bool names_from_text(const char *text, char out[LIMIT_NAME_BYTES])
{
    char name[LIMIT_NAME_BYTES];
    size_t bytes = 0;
    for (; *text != 0; text++) {
        char letter = *text;
        if (letter >= 'A' && letter <= 'Z')
            letter = (char)(letter - 'A' + 'a');
        if (!((letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9')))
            letter = '-';
        if (bytes == 0 && letter == '-')
            continue;
        if (bytes + 1 == sizeof(name))
            return false;
        name[bytes++] = letter;
    }
    while (bytes > 0 && name[bytes - 1] == '-')
        bytes--;
    if (bytes == 0)
        return false;
    name[bytes] = 0;
    memcpy(out, name, bytes + 1);
    return true;
}

void names_instance(const char *text, char out[LIMIT_ID_BYTES])
{
    if (str_copy(out, LIMIT_ID_BYTES, text) == 0)
        return;
    int keep = LIMIT_ID_BYTES - 1 - 17;
    while (keep > 0 && ((unsigned char)text[keep] & 0xc0) == 0x80)
        keep--; /* not within a character */
    str_format(out, LIMIT_ID_BYTES, "%.*s~%016llx", keep, text,
               (unsigned long long)hash_str(HASH_SEED, text));
}

bool names_from_otel(const char *name, const char *unit, enum metric_type type,
                     char out[LIMIT_METRIC_NAME_BYTES])
{
    static const struct {
        const char *unit;
        const char *word;
    } units[] = {{"s", "seconds"},      {"ms", "milliseconds"}, {"us", "microseconds"},
                 {"ns", "nanoseconds"}, {"min", "minutes"},     {"h", "hours"},
                 {"By", "bytes"},       {"KiBy", "kibibytes"},  {"MiBy", "mebibytes"},
                 {"kBy", "kilobytes"},  {"MBy", "megabytes"}};
    char text[LIMIT_METRIC_NAME_BYTES];
    size_t bytes = 0;
    for (; *name != 0; name++) {
        bool plain = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                     (*name >= '0' && *name <= '9') || *name == ':';
        if (!plain && bytes > 0 && text[bytes - 1] == '_')
            continue; /* several such characters are one underscore */
        if (bytes + 1 == sizeof(text))
            return false;
        text[bytes++] = plain ? *name : '_';
    }
    text[bytes] = 0;
    const char *word = "";
    for (size_t i = 0; unit != NULL && i < sizeof(units) / sizeof(units[0]); i++)
        if (str_equal(units[i].unit, unit))
            word = units[i].word;
    const char *total = type == METRIC_COUNTER ? "_total" : "";
    if (type == METRIC_COUNTER && bytes > 6 && str_equal(text + bytes - 6, "_total"))
        text[bytes -= 6] = 0;
    size_t word_bytes = strlen(word);
    bool has_word =
        word_bytes == 0 || (bytes >= word_bytes && str_equal(text + bytes - word_bytes, word));
    if (bytes + word_bytes + 8 > LIMIT_METRIC_NAME_BYTES)
        return false;
    str_format(out, LIMIT_METRIC_NAME_BYTES, "%s%s%s%s", text, has_word ? "" : "_",
               has_word ? "" : word, total);
    return true;
}

/* The first row of that name. */
static const struct names_row *row_find(const char *name)
{
    int low = 0;
    int high = names_table_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (strcmp(names_table[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < names_table_count && str_equal(names_table[low].name, name) ? &names_table[low]
                                                                             : NULL;
}

static bool condition_holds(const struct names_row *row, const struct metric_sample *sample)
{
    const char *value = row->label == NULL ? NULL : metric_label_of(sample, row->label);
    switch (row->condition) {
    case NAMES_IS:
        return value != NULL && is_in(value, row->values);
    case NAMES_IS_NOT:
        return value == NULL || !is_in(value, row->values);
    case NAMES_SERVER_ERROR:
        return is_server_error(sample);
    case NAMES_CONTAINER:
        return is_container(sample);
    case NAMES_POD_INTERFACE:
        return is_outside_interface(sample);
    case NAMES_ALWAYS:
        break;
    }
    return true;
}

static bool is_in(const char *value, const char *list)
{
    size_t bytes = strlen(value);
    for (const char *at = list; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, value, bytes) == 0 && (at[bytes] == 0 || at[bytes] == '|'))
            return true;
    }
    return false;
}

/* Of the gRPC codes those that the server is to blame for, as OpenTelemetry counts them. */
static bool is_server_error(const struct metric_sample *sample)
{
    static const char *const statuses[] = {"http_response_status_code",
                                           "http_status_code",
                                           "status_code",
                                           "code",
                                           "status",
                                           "response_code",
                                           NULL};
    static const char *const codes[] = {"rpc_grpc_status_code", "rpc_response_status_code",
                                        "grpc_code", "grpc_response_status", NULL};
    static const char blamed[] = "2|4|12|13|14|15|Unknown|DeadlineExceeded|Unimplemented|Internal|"
                                 "Unavailable|DataLoss|UNKNOWN|DEADLINE_EXCEEDED|UNIMPLEMENTED|"
                                 "INTERNAL|UNAVAILABLE|DATA_LOSS";
    const char *reporter = metric_label_of(sample, "reporter");
    if (reporter != NULL && !str_equal(reporter, "destination"))
        return false;
    const char *code = first_label(sample, "", codes);
    const char *status = first_label(sample, "", statuses);
    if (status != NULL && status[0] == '5' && strlen(status) == 3)
        return true;
    return code != NULL && is_in(code, blamed);
}

/* cAdvisor gives the sum of each pod and of the whole machine beside the containers themselves. */
static bool is_container(const struct metric_sample *sample)
{
    static const char *const pause[] = {"container", "k8s_container_name",
                                        "container_label_io_kubernetes_container_name", NULL};
    const char *container = first_label(sample, "", pause);
    if (container != NULL)
        return !str_equal(container, "POD");
    if (first_label(sample, "", pod_labels) != NULL)
        return false;
    return metric_label_of(sample, "name") != NULL;
}

/* A pod's interfaces belong to the pod (or to its pause container); a container's outside of
 * Kubernetes to itself. */
static bool is_outside_interface(const struct metric_sample *sample)
{
    const char *interface = metric_label_of(sample, "interface");
    if (interface != NULL && str_equal(interface, "lo"))
        return false;
    return first_label(sample, "", pod_labels) != NULL || metric_label_of(sample, "name") != NULL;
}

static int map_renames(const struct names_config *config, const struct metric_sample *sample,
                       struct names_reading *out)
{
    int count = 0;
    for (int i = 0; i < config->rename_count && count < NAMES_READINGS_MAX; i++) {
        const struct names_rename *rename = &config->renames[i];
        if (!str_equal(rename->name, sample->name))
            continue;
        const char *value = rename->label[0] == 0 ? "" : metric_label_of(sample, rename->label);
        if (value == NULL || !str_equal(value, rename->value))
            continue;
        out[count++] = (struct names_reading){
            .kind = rename->kind,
            .source = NAMES_CONFIGURED,
            .scale = rename->scale,
            .counter = is_counter(rename->kind),
        };
    }
    return count;
}

static const char *first_label(const struct metric_sample *sample, const char *configured,
                               const char *const *labels)
{
    if (configured[0] != 0)
        return metric_label_of(sample, configured);
    for (; *labels != NULL; labels++) {
        const char *value = metric_label_of(sample, *labels);
        if (value != NULL && value[0] != 0)
            return value;
    }
    return NULL;
}

static int field(const struct metric_sample *sample, const char *fixed, const char *configured,
                 const char *const *labels, const char *what, char out[LIMIT_NAME_BYTES],
                 struct error *err)
{
    const char *text = fixed[0] != 0 ? fixed : first_label(sample, configured, labels);
    if (text != NULL && !names_from_text(text, out))
        return error_set(err, ERR_INVALID, 0,
                         "%s: the %s '%.80s' is no name, nor can it be made one", sample->name,
                         what, text);
    return 0;
}

static int workload_of(const struct names_config *config, const struct metric_sample *sample,
                       char out[LIMIT_NAME_BYTES], struct error *err)
{
    static const char *const istio[] = {"destination_workload", NULL};
    static const char *const names[] = {"name", NULL};
    bool is_istio = str_starts(sample->name, "istio_");
    out[0] = 0;
    int rc = field(sample, config->fixed.workload, config->labels.workload,
                   is_istio ? istio : workload_labels, "workload", out, err);
    if (rc < 0 || out[0] != 0)
        return rc;
    if (config->labels.workload[0] == 0 && !is_istio) {
        const char *pod = first_label(sample, "", pod_labels);
        bool cadvisor = str_starts(sample->name, "container_");
        char stripped[LIMIT_TEXT_BYTES];
        if (pod != NULL && str_copy(stripped, sizeof(stripped), pod) == 0) {
            names_strip_pod(stripped);
            if (names_from_text(stripped, out))
                return 0;
        } else if (cadvisor && (pod = first_label(sample, "", names)) != NULL &&
                   names_from_text(pod, out)) {
            return 0; /* a container of plain Docker */
        }
    }
    return error_set(err, ERR_NOT_FOUND, 0,
                     "%s: no label says whose it is; give the target a workload, or the label that "
                     "has it",
                     sample->name);
}

static int site_of(const struct names_config *config, const struct metric_sample *sample,
                   char out[LIMIT_REF_BYTES], struct error *err)
{
    const char *text = config->fixed.site[0] != 0
                           ? config->fixed.site
                           : first_label(sample, config->labels.site, site_labels);
    out[0] = 0;
    if (text != NULL && !site_from_text(text, out))
        return error_set(err, ERR_INVALID, 0,
                         "%s: the site '%.80s' is none: it is written provider/region",
                         sample->name, text);
    if (text != NULL || config->labels.site[0] != 0)
        return 0;
    /* OpenTelemetry's resource attributes, where the SDK found out its cloud. */
    char provider[LIMIT_NAME_BYTES];
    char region[LIMIT_NAME_BYTES];
    const char *cloud = metric_label_of(sample, "cloud_provider");
    const char *where = metric_label_of(sample, "cloud_region");
    if (cloud != NULL && where != NULL && names_from_text(cloud, provider) &&
        names_from_text(where, region))
        str_format(out, LIMIT_REF_BYTES, "%s/%s", provider, region);
    return 0;
}

static bool site_from_text(const char *text, char out[LIMIT_REF_BYTES])
{
    char provider[LIMIT_NAME_BYTES];
    const char *slash = strchr(text, '/');
    if (slash == NULL || (size_t)(slash - text) >= sizeof(provider))
        return false;
    memcpy(provider, text, (size_t)(slash - text));
    provider[slash - text] = 0;
    if (!name_is_valid(provider) || !name_is_valid(slash + 1))
        return false;
    str_format(out, LIMIT_REF_BYTES, "%s/%s", provider, slash + 1);
    return true;
}

static bool is_counter(int kind)
{
    return kind != SAMPLE_MEMORY_BYTES && kind != SAMPLE_RTT_US;
}

/* Cuts "-" and `least` to `most` of the letters that Kubernetes makes random names of, which have
 * no vowels, so that no word is taken for one. */
static bool cut_suffix(char *pod, size_t least, size_t most)
{
    char *dash = strrchr(pod, '-');
    if (dash == NULL || dash == pod)
        return false;
    size_t bytes = strlen(dash + 1);
    if (bytes < least || bytes > most || strspn(dash + 1, "bcdfghjklmnpqrstvwxz2456789") != bytes)
        return false;
    *dash = 0;
    return true;
}
