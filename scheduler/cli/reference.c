#include "scheduler/cli/reference.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"

#define PARTS_MAX 4

struct parts {
    char text[PARTS_MAX][LIMIT_NAME_BYTES];
    int count;
};

static int split(const char *text, char separator, struct parts *parts);
static int take_name(const char *what, const char *name, struct error *err);
static int node_extra(const char *text, size_t bytes, struct node_argument *node,
                      struct error *err);
static int node_listen(const struct node_argument *node, const char *extra, const char *text,
                       char out[LIMIT_NAME_BYTES], struct error *err);
static int leaf_extra(const char *text, size_t bytes, struct leaf_argument *leaf,
                      struct error *err);
static bool site_is_valid(const char *site);

int reference_app(const char *text, struct reference *ret_reference, struct error *err)
{
    struct parts parts;
    if (split(text, '/', &parts) < 0 || parts.count > 2)
        return error_set(err, ERR_INVALID, 0,
                         "\"%.140s\" is no app; write APP or NAMESPACE/APP, as in shop", text);
    struct reference reference = {.namespace_ = "default"};
    if (parts.count == 2)
        memcpy(reference.namespace_, parts.text[0], LIMIT_NAME_BYTES);
    memcpy(reference.app, parts.text[parts.count - 1], LIMIT_NAME_BYTES);
    int rc = take_name("namespace", reference.namespace_, err);
    if (rc == 0)
        rc = take_name("app", reference.app, err);
    if (rc == 0)
        *ret_reference = reference;
    return rc;
}

int reference_workload(const char *text, struct reference *ret_reference, struct error *err)
{
    struct parts parts;
    if (split(text, '/', &parts) < 0 || parts.count < 2 || parts.count > 3)
        return error_set(err, ERR_INVALID, 0,
                         "\"%.140s\" is no workload; write APP/WORKLOAD or NAMESPACE/APP/WORKLOAD, "
                         "as in shop/source (berth get apps lists them)",
                         text);
    struct reference reference = {.namespace_ = "default"};
    if (parts.count == 3)
        memcpy(reference.namespace_, parts.text[0], LIMIT_NAME_BYTES);
    memcpy(reference.app, parts.text[parts.count - 2], LIMIT_NAME_BYTES);
    memcpy(reference.workload, parts.text[parts.count - 1], LIMIT_NAME_BYTES);
    int rc = take_name("namespace", reference.namespace_, err);
    if (rc == 0)
        rc = take_name("app", reference.app, err);
    if (rc == 0)
        rc = take_name("workload", reference.workload, err);
    if (rc == 0)
        *ret_reference = reference;
    return rc;
}

int reference_tag(const char *text, struct reference_tag *ret_tag, struct error *err)
{
    struct reference_tag tag = {.key = ""};
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return error_set(
            err, ERR_INVALID, 0,
            "\"%.140s\" is no tag; write KEY=VALUE, as in cloud=aws, or KEY= to remove "
            "it",
            text);
    size_t bytes = (size_t)(equals - text);
    if (bytes >= sizeof(tag.key) || str_copy(tag.value, sizeof(tag.value), equals + 1) < 0)
        return error_set(err, ERR_LIMIT, 0,
                         "\"%.140s\": a tag's key and value have at most %d characters each", text,
                         LIMIT_NAME_BYTES - 1);
    memcpy(tag.key, text, bytes);
    *ret_tag = tag;
    return 0;
}

int node_argument(const char *text, struct node_argument *ret_node, struct error *err)
{
    struct node_argument node = {.name = ""};
    const char *equals = strchr(text, '=');
    size_t name_bytes = equals == NULL ? 0 : (size_t)(equals - text);
    const char *site = equals == NULL ? text : equals + 1;
    size_t site_bytes = strcspn(site, ",");
    if (name_bytes == 0 || name_bytes >= sizeof(node.name) || site_bytes >= sizeof(node.site))
        return error_set(err, ERR_INVALID, 0,
                         "--node \"%.140s\": write NAME=SITE, as in n1=gcp/us-central1", text);
    memcpy(node.name, text, name_bytes);
    memcpy(node.site, site, site_bytes);
    int rc = take_name("--node", node.name, err);
    if (rc < 0)
        return rc;
    if (!site_is_valid(node.site))
        return error_set(err, ERR_INVALID, 0,
                         "--node %s: \"%.140s\" is no site; a site is PROVIDER/REGION, as in "
                         "gcp/us-central1",
                         node.name, node.site);
    const char *at = site + site_bytes;
    while (rc == 0 && *at == ',') {
        size_t bytes = strcspn(at + 1, ",");
        rc = node_extra(at + 1, bytes, &node, err);
        at += 1 + bytes;
    }
    if (rc == 0)
        *ret_node = node;
    return rc;
}

int leaf_argument(const char *text, struct leaf_argument *ret_leaf, struct error *err)
{
    struct leaf_argument leaf = {.name = ""};
    size_t name_bytes = strcspn(text, ",");
    if (name_bytes == 0 || name_bytes >= sizeof(leaf.name))
        return error_set(err, ERR_INVALID, 0,
                         "--leaf \"%.140s\": write NAME[,via=HOST:PORT][,port=N], as in far", text);
    memcpy(leaf.name, text, name_bytes);
    int rc = take_name("--leaf", leaf.name, err);
    const char *at = text + name_bytes;
    while (rc == 0 && *at == ',') {
        size_t bytes = strcspn(at + 1, ",");
        rc = leaf_extra(at + 1, bytes, &leaf, err);
        at += 1 + bytes;
    }
    if (rc == 0)
        *ret_leaf = leaf;
    return rc;
}

/* At most PARTS_MAX parts between separators; ERR_INVALID for more, or for one too long. */
static int split(const char *text, char separator, struct parts *parts)
{
    *parts = (struct parts){.count = 0};
    const char stop[2] = {separator, 0};
    for (;;) {
        size_t bytes = strcspn(text, stop);
        if (parts->count == PARTS_MAX || bytes >= LIMIT_NAME_BYTES)
            return ERR_INVALID;
        memcpy(parts->text[parts->count++], text, bytes);
        if (text[bytes] == 0)
            return 0;
        text += bytes + 1;
    }
}

static int take_name(const char *what, const char *name, struct error *err)
{
    if (name_is_valid(name))
        return 0;
    return error_set(err, ERR_INVALID, 0,
                     "%s \"%.64s\": a name has 1 to 63 of a-z, 0-9 and '-', and begins and ends "
                     "with a letter or a digit",
                     what, name);
}

static int node_extra(const char *text, size_t bytes, struct node_argument *node, struct error *err)
{
    char extra[LIMIT_TEXT_BYTES];
    snprintf(extra, sizeof(extra), "%.*s", (int)bytes, text);
    if (str_starts(extra, "leaf=")) {
        const char *leaf = extra + strlen("leaf=");
        int rc = take_name("leaf", leaf, err);
        if (rc == 0)
            rc = str_copy(node->leaf, sizeof(node->leaf), leaf);
        return rc < 0 ? error_prefix(err, "--node %s", node->name) : 0;
    }
    if (str_starts(extra, "mcpu=")) {
        if (str_to_i64(extra + strlen("mcpu="), &node->mcpu) == 0 && node->mcpu > 0)
            return 0;
        return error_set(err, ERR_INVALID, 0,
                         "--node %s: \"%s\": mcpu is a number of thousandths of a CPU, as in "
                         "mcpu=2000",
                         node->name, extra);
    }
    if (str_starts(extra, "memory=")) {
        int rc = units_bytes(extra + strlen("memory="), &node->memory_bytes, err);
        return rc < 0 ? error_prefix(err, "--node %s: memory", node->name) : 0;
    }
    if (str_starts(extra, "ingress="))
        return node_listen(node, extra, extra + strlen("ingress="), node->http, err);
    if (str_starts(extra, "https="))
        return node_listen(node, extra, extra + strlen("https="), node->https, err);
    if (str_starts(extra, "cert=") &&
        str_copy(node->cert, sizeof(node->cert), extra + strlen("cert=")) == 0 &&
        node->cert[0] != 0)
        return 0;
    return error_set(err, ERR_INVALID, 0,
                     "--node %s: \"%s\" is not known; after the site may follow leaf=NAME, mcpu=N, "
                     "memory=SIZE, ingress=PORT, https=PORT and cert=FILE",
                     node->name, extra);
}

/* "8080" is of this machine only; "0.0.0.0:8080" of everybody. */
static int node_listen(const struct node_argument *node, const char *extra, const char *text,
                       char out[LIMIT_NAME_BYTES], struct error *err)
{
    const char *colon = strrchr(text, ':');
    int64_t port = 0;
    int rc = str_to_i64(colon == NULL ? text : colon + 1, &port);
    if (rc == 0 && (port < 1 || port > 65535 || colon == text))
        rc = ERR_INVALID;
    char address[LIMIT_TEXT_BYTES];
    str_format(address, sizeof(address), "%s%s", colon == NULL ? "127.0.0.1:" : "", text);
    if (rc == 0)
        rc = str_copy(out, LIMIT_NAME_BYTES, address);
    return rc == 0 ? 0
                   : error_set(err, ERR_INVALID, 0,
                               "--node %s: \"%s\": a port of 1 to 65535 is expected there, or "
                               "ADDRESS:PORT, as in ingress=8080",
                               node->name, extra);
}

static int leaf_extra(const char *text, size_t bytes, struct leaf_argument *leaf, struct error *err)
{
    char extra[LIMIT_TEXT_BYTES];
    snprintf(extra, sizeof(extra), "%.*s", (int)bytes, text);
    int64_t port = 0;
    if (str_starts(extra, "via=")) {
        const char *via = extra + strlen("via=");
        const char *colon = strrchr(via, ':');
        if (colon == NULL || colon == via || str_to_i64(colon + 1, &port) < 0 || port < 1 ||
            port > 65535 || str_copy(leaf->via, sizeof(leaf->via), via) < 0)
            return error_set(err, ERR_INVALID, 0,
                             "--leaf %s: \"%s\": write via=HOST:PORT, as in via=127.0.0.1:7423",
                             leaf->name, extra);
        return 0;
    }
    if (str_starts(extra, "port=")) {
        if (str_to_i64(extra + strlen("port="), &port) < 0 || port < 1 || port > 65535)
            return error_set(err, ERR_INVALID, 0, "--leaf %s: \"%s\": a port is 1 to 65535",
                             leaf->name, extra);
        leaf->port = (int)port;
        return 0;
    }
    return error_set(err, ERR_INVALID, 0,
                     "--leaf %s: \"%s\" is not known; after the name may follow via=HOST:PORT and "
                     "port=N",
                     leaf->name, extra);
}

/* "provider/region", two names: model/read.h says the same of a document's sites. */
static bool site_is_valid(const char *site)
{
    struct parts parts;
    return split(site, '/', &parts) == 0 && parts.count == 2 && name_is_valid(parts.text[0]) &&
           name_is_valid(parts.text[1]);
}
