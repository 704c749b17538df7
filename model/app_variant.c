/* Reading how a workload is run: its variants. */
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "model/app_read.h"

static void read_variant(struct reader *reader, const struct doc_node *node,
                         struct variant *variant);
static void read_artifact(struct reader *reader, const struct doc_node *node,
                          struct variant *variant);
static void read_args(struct reader *reader, const struct doc_node *node, struct variant *variant);
static void read_env(struct reader *reader, const struct doc_node *node, struct variant *variant);
static void read_cpu_per_call(struct reader *reader, const struct doc_node *node,
                              struct variant *variant);

/* `run` is the short form for one variant, named "default". */
void app_read_variants(struct reader *reader, const struct doc_node *node,
                       struct workload *workload)
{
    struct doc *doc = reader->doc;
    const struct doc_node *run = doc_map(doc, node, "run", 0);
    int count = 0;
    const struct doc_node *list = read_list(reader, node, "variants", 0, LIMIT_VARIANTS, &count);
    if (run != NULL && list != NULL) {
        doc_problem(doc, list, "run and variants exclude each other; run is the only variant");
    } else if (run == NULL && (list == NULL || doc_count(list) == 0)) {
        doc_problem(doc, node,
                    "a workload needs run (or variants): what to start, with which driver");
    }
    if (run != NULL) {
        count = 1;
    }
    workload->variants = read_array(reader, count, sizeof(struct variant));
    for (int i = 0; workload->variants != NULL && i < count; i++) {
        const struct doc_node *item = run != NULL ? run : doc_item(list, (size_t)i);
        struct variant *variant = &workload->variants[i];
        str_format(variant->name, sizeof(variant->name), "default");
        doc_name(doc, item, "name", 0, variant->name);
        read_variant(reader, item, variant);
        for (int k = 0; k < i; k++) {
            if (str_equal(workload->variants[k].name, variant->name)) {
                doc_problem(doc, item, "variant \"%s\" is declared twice; names are unique",
                            variant->name);
            }
        }
        workload->variant_count = i + 1;
    }
}

static void read_variant(struct reader *reader, const struct doc_node *node,
                         struct variant *variant)
{
    struct doc *doc = reader->doc;
    doc_name(doc, node, "driver", DOC_REQUIRED, variant->driver);
    doc_string(doc, node, "arch", 0, variant->arch, sizeof(variant->arch));
    read_artifact(reader, node, variant);
    read_args(reader, node, variant);
    read_env(reader, node, variant);
    read_cpu_per_call(reader, node, variant);
    variant->reserve[RESOURCE_CPU] = -1;
    variant->reserve[RESOURCE_MEMORY] = -1;
    doc_cpu(doc, node, "cpu", 0, &variant->reserve[RESOURCE_CPU]);
    doc_bytes(doc, node, "memory", 0, &variant->reserve[RESOURCE_MEMORY]);
    variant->tiers = app_read_tiers(reader, node);
    variant->request_bytes = -1;
    variant->response_bytes = -1;
    doc_bytes(doc, node, "request", 0, &variant->request_bytes);
    doc_bytes(doc, node, "response", 0, &variant->response_bytes);
    doc_close(doc, node);
}

static void read_artifact(struct reader *reader, const struct doc_node *node,
                          struct variant *variant)
{
    struct doc *doc = reader->doc;
    if (doc_string(doc, node, "artifact", DOC_REQUIRED, variant->artifact,
                   sizeof(variant->artifact))) {
        const char *artifact = variant->artifact;
        const char *object = str_starts(artifact, "object:") ? artifact + strlen("object:") : NULL;
        const char *slash = object == NULL ? NULL : strchr(object, '/');
        bool file = str_starts(artifact, "file:") && artifact[strlen("file:")] != '\0';
        if (!file && (slash == NULL || slash == object || slash[1] == '\0')) {
            doc_problem(doc, doc_get(doc, node, "artifact", 0),
                        "\"%.128s\" is no artifact; write file:/path/to/program or "
                        "object:bucket/name",
                        artifact);
        }
    }
    char digest[LIMIT_DIGEST_BYTES] = "";
    if (doc_string(doc, node, "digest", 0, digest, sizeof(digest))) {
        size_t prefix = strlen("sha256:");
        if (!str_starts(digest, "sha256:") || strlen(digest) != prefix + 64 ||
            strspn(digest + prefix, "0123456789abcdef") != 64) {
            doc_problem(doc, doc_get(doc, node, "digest", 0),
                        "\"%s\" is no digest: sha256: and 64 digits of 0-9, a-f, as sha256sum "
                        "prints them",
                        digest);
        } else {
            str_format(variant->digest, sizeof(variant->digest), "%s", digest);
        }
    }
}

static void read_args(struct reader *reader, const struct doc_node *node, struct variant *variant)
{
    int count = 0;
    const struct doc_node *list = read_list(reader, node, "args", 0, LIMIT_ARGS, &count);
    variant->args = read_array(reader, count, sizeof(variant->args[0]));
    for (int i = 0; variant->args != NULL && i < count; i++) {
        doc_node_string(reader->doc, doc_item(list, (size_t)i), variant->args[i],
                        sizeof(variant->args[i]));
        variant->arg_count = i + 1;
    }
}

static void read_env(struct reader *reader, const struct doc_node *node, struct variant *variant)
{
    struct doc *doc = reader->doc;
    const struct doc_node *map = doc_map(doc, node, "env", 0);
    size_t count = doc_kind(map) == DOC_MAP ? doc_count(map) : 0;
    if (count > LIMIT_ENV) {
        doc_problem(doc, map, "%zu entries; at most %d are allowed here", count, LIMIT_ENV);
        count = LIMIT_ENV;
    }
    variant->env = read_array(reader, (int)count, sizeof(variant->env[0]));
    for (size_t i = 0; variant->env != NULL && i < count; i++) {
        const char *name = doc_key(map, i);
        const struct doc_node *item = doc_item(map, i);
        struct env_entry *entry = &variant->env[variant->env_count];
        size_t length = strlen(name);
        if (length == 0 || length >= sizeof(entry->name) || (name[0] >= '0' && name[0] <= '9') ||
            strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") !=
                length) {
            doc_problem(doc, item,
                        "\"%.80s\" is no environment name: letters, digits and '_', no digit first",
                        name);
            continue;
        }
        str_format(entry->name, sizeof(entry->name), "%s", name);
        doc_node_string(doc, item, entry->value, sizeof(entry->value));
        variant->env_count++;
    }
}

/* A duration that may be finer than durations are elsewhere: "800ns" or "2ms". */
static void read_cpu_per_call(struct reader *reader, const struct doc_node *node,
                              struct variant *variant)
{
    char text[UNITS_TEXT_BYTES] = "";
    if (!doc_string(reader->doc, node, "cpu_per_call", 0, text, sizeof(text))) {
        return;
    }
    size_t length = strlen(text);
    int64_t value = 0;
    int rc = ERR_INVALID;
    if (length > 2 && str_equal(text + length - 2, "ns")) {
        text[length - 2] = '\0';
        rc = str_to_i64(text, &value);
        text[length - 2] = 'n';
    } else if (units_duration(text, &value, NULL) == 0) {
        rc = __builtin_mul_overflow(value, 1000, &value) ? ERR_OVERFLOW : 0;
    }
    if (rc < 0 || value < 0) {
        doc_problem(reader->doc, doc_get(reader->doc, node, "cpu_per_call", 0),
                    "\"%s\" is no CPU time of a call; write 800ns, 250us or 2ms", text);
        return;
    }
    variant->cpu_ns_per_call = value;
}
