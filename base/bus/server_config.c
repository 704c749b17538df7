#include "base/bus/server_config.h"

#include <stdbool.h>
#include <string.h>

#include "base/bus/subjects.h"

#define EVENTS "." STREAM_EVENTS
#define OBJECT ".OBJ_" BUCKET_ARTIFACTS
#define STATE  ".OBJ_" BUCKET_STATE
#define OWNERS ".KV_" BUCKET_OWNERS

/* Patterns in which "%n" is the user's name and "%s" the namespace that it belongs to. */
struct grant {
    const char *const *publish;
    const char *const *subscribe;
};

static const char *const scheduler_publish[] = {
    "berth.v1.node.*.cmd",
    "berth.v1.event.>",
    "berth.v1.at.>", /* probes from the hub's side of the traffic */
    "_INBOX.>",      /* it answers everyone */
    "$JS.API.INFO",
    "$JS.API.STREAM.CREATE" EVENTS,
    "$JS.API.STREAM.UPDATE" EVENTS,
    "$JS.API.STREAM.INFO" EVENTS,
    "$JS.API.STREAM.MSG.GET" EVENTS,
    "$JS.API.DIRECT.GET" EVENTS,
    "$JS.API.STREAM.CREATE" OBJECT,
    "$JS.API.STREAM.UPDATE" OBJECT,
    "$JS.API.STREAM.INFO" OBJECT,
    "$JS.API.STREAM.CREATE" STATE,
    "$JS.API.STREAM.UPDATE" STATE,
    "$JS.API.STREAM.INFO" STATE,
    "$JS.API.STREAM.CREATE" OWNERS,
    "$JS.API.STREAM.INFO" OWNERS,
    "$JS.API.STREAM.MSG.GET" OWNERS,
    "$KV." BUCKET_OWNERS ".>",
    NULL,
};
static const char *const scheduler_subscribe[] = {
    SUBJECT_CTL_ALL,
    SUBJECT_NODE_HELLO,
    SUBJECT_NODE_BEAT,
    SUBJECT_NODE_REPORT,
    SUBJECT_NODE_PROBED,
    SUBJECT_METRICS_ALL,
    SUBJECT_METRICS_PROBES,
    SUBJECT_OWNER_ALL,
    "$SRV.>",
    "_INBOX.s.%n.>",
    NULL,
};

static const char *const node_publish[] = {
    "berth.v1.node.%n.hello",
    "berth.v1.node.%n.beat",
    "berth.v1.node.%n.report",
    "berth.v1.node.%n.probed",
    "berth.v1.node.*.echo",
    "berth.v1.metrics.%n",
    "berth.v1.log.>",
    "berth.v1.at.>", /* probes */
    "_INBOX.s.>",    /* answers to commands */
    "_INBOX.n.>",    /* and to echoes */
    "_INBOX.p.>",    /* of probes too */
    "$JS.API.STREAM.MSG.GET" OBJECT,
    "$JS.API.DIRECT.GET" OBJECT,
    "$JS.hub.API.STREAM.MSG.GET" OBJECT, /* what a leaf makes of the two above */
    "$JS.hub.API.DIRECT.GET" OBJECT,
    "$JS.API.STREAM.MSG.GET" STATE, /* the state of workloads: read, written, removed */
    "$JS.API.DIRECT.GET" STATE,
    "$JS.API.STREAM.PURGE" STATE,
    "$JS.hub.API.STREAM.MSG.GET" STATE,
    "$JS.hub.API.DIRECT.GET" STATE,
    "$JS.hub.API.STREAM.PURGE" STATE,
    "$O." BUCKET_STATE ".>",
    NULL,
};
static const char *const node_subscribe[] = {
    "berth.v1.node.%n.cmd",
    "berth.v1.node.%n.echo",
    "_INBOX.n.%n.>",
    NULL,
};

/* The inboxes of the namespace's clients are added one by one. */
static const char *const workloads_publish[] = {
    "svc.%n.>",
    "_INBOX.w.%n.>",
    "_INBOX.n.>",          /* answers to the probes of nodes */
    "_INBOX.s.>",          /* and of the scheduler */
    "berth.v1.owner.%n.>", /* who owns? Not of the bucket itself: JetStream answers to any subject,
                            * also to another namespace's key, where it would be kept */
    NULL,
};
static const char *const workloads_subscribe[] = {
    "svc.%n.>",
    "berth.v1.at.%n.>",
    "_INBOX.w.%n.>",
    "$KV." BUCKET_OWNERS ".%n.>", /* written by the scheduler alone: a resource may watch it */
    NULL,
};

static const char *const operator_publish[] = {
    SUBJECT_CTL_ALL,
    "$SRV.>",
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES", /* how nats.js finds the stream of a subject */
    "$JS.API.STREAM.INFO" EVENTS,
    "$JS.API.STREAM.MSG.GET" EVENTS,
    "$JS.API.DIRECT.GET" EVENTS,
    "$JS.API.CONSUMER.CREATE" EVENTS, /* without a name: nats.js 2 */
    "$JS.API.CONSUMER.CREATE" EVENTS ".>",
    "$JS.API.CONSUMER.MSG.NEXT" EVENTS ".>",
    "$JS.API.STREAM.INFO" OBJECT,
    "$JS.API.STREAM.MSG.GET" OBJECT,
    "$JS.API.DIRECT.GET" OBJECT,
    "$JS.API.DIRECT.GET" OBJECT ".>",
    "$JS.API.STREAM.PURGE" OBJECT,
    "$JS.API.CONSUMER.CREATE" OBJECT,
    "$JS.API.CONSUMER.CREATE" OBJECT ".>",
    "$JS.API.CONSUMER.DELETE" OBJECT ".>",
    "$JS.FC" OBJECT ".>",
    "$O." BUCKET_ARTIFACTS ".>",
    NULL,
};
static const char *const operator_subscribe[] = {
    SUBJECT_EVENT_ALL,
    SUBJECT_LOG_ALL,
    "_INBOX.o.%n.>",
    NULL,
};

static const char *const client_publish[] = {"svc.%s.>", NULL};
static const char *const client_subscribe[] = {"_INBOX.c.%n.>", NULL};

static const char *const probe_publish[] = {
    "berth.v1.probe.%n.metrics",
    "berth.v1.node.*.echo",
    NULL,
};
static const char *const probe_subscribe[] = {"_INBOX.p.%n.>", NULL};

/* In its own account. No API that deletes or purges: what the log has said stays said. */
#define LOG "." SERVER_LOG_STREAM "%n"
static const char *const log_publish[] = {
    "svclog.%n.>",
    "$JS.API.STREAM.CREATE" LOG,
    "$JS.API.STREAM.INFO" LOG,
    "$JS.API.STREAM.MSG.GET" LOG,
    "$JS.API.CONSUMER.CREATE" LOG,
    "$JS.API.CONSUMER.CREATE" LOG ".>",
    "$JS.API.CONSUMER.MSG.NEXT" LOG ".*",
    "$JS.API.CONSUMER.DELETE" LOG ".*",
    "$JS.hub.API.STREAM.CREATE" LOG, /* what a leaf makes of them */
    "$JS.hub.API.STREAM.INFO" LOG,
    "$JS.hub.API.STREAM.MSG.GET" LOG,
    "$JS.hub.API.CONSUMER.CREATE" LOG,
    "$JS.hub.API.CONSUMER.CREATE" LOG ".>",
    "$JS.hub.API.CONSUMER.MSG.NEXT" LOG ".*",
    "$JS.hub.API.CONSUMER.DELETE" LOG ".*",
    NULL,
};
static const char *const log_subscribe[] = {"_INBOX.l.%n.>", NULL};

/* What the users behind a leaf may say to the hub, and hear from it. */
static const char *const leaf_publish[] = {
    "berth.v1.node.*.hello",
    "berth.v1.node.*.beat",
    "berth.v1.node.*.report",
    "berth.v1.node.*.probed",
    "berth.v1.node.*.echo",
    "berth.v1.metrics.*",
    SUBJECT_METRICS_PROBES,
    "berth.v1.log.>",
    "berth.v1.at.>",
    "svc.>",
    "_INBOX.>",
    "$JS.hub.API.STREAM.MSG.GET" OBJECT,
    "$JS.hub.API.DIRECT.GET" OBJECT,
    "$JS.hub.API.STREAM.MSG.GET" STATE,
    "$JS.hub.API.DIRECT.GET" STATE,
    "$JS.hub.API.STREAM.PURGE" STATE,
    "$O." BUCKET_STATE ".>",
    NULL,
};
static const char *const leaf_subscribe[] = {
    "berth.v1.node.*.cmd", "berth.v1.node.*.echo", "berth.v1.at.>", "svc.>", "_INBOX.n.>",
    "_INBOX.w.>",          "_INBOX.c.>",           "_INBOX.p.>",    NULL,
};

static const struct grant grants[] = {
    [SERVER_SCHEDULER] = {scheduler_publish, scheduler_subscribe},
    [SERVER_NODE] = {node_publish, node_subscribe},
    [SERVER_WORKLOADS] = {workloads_publish, workloads_subscribe},
    [SERVER_OPERATOR] = {operator_publish, operator_subscribe},
    [SERVER_CLIENT] = {client_publish, client_subscribe},
    [SERVER_PROBE] = {probe_publish, probe_subscribe},
    [SERVER_LEAF] = {leaf_publish, leaf_subscribe},
    [SERVER_LOG] = {log_publish, log_subscribe},
};

static int check_user(const struct server_config *config, int index, struct error *err);
static int check_text(const char *what, const char *text, struct error *err);
static void write_head(const struct server_config *config, struct strbuf *out);
static void write_leaf(const struct server_config *config, struct strbuf *out);
static void write_log(const struct server_config *config, const struct server_user *user,
                      struct strbuf *out);
static void write_user(const struct server_config *config, const struct server_user *user,
                       struct strbuf *out);
static void write_patterns(const struct server_user *user, const char *const *patterns,
                           struct strbuf *out);

int server_config_write(const struct server_config *config, struct strbuf *out, struct error *err)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < config->user_count; i++)
        rc = check_user(config, i, err);
    if (rc == 0)
        rc = check_text("server_name", config->server_name, err);
    if (rc == 0)
        rc = check_text("host", config->host, err);
    if (rc == 0)
        rc = check_text("store_dir", config->store_dir, err);
    if (rc == 0)
        rc = check_text("remote_url", config->remote_url, err);
    if (rc == 0)
        rc = check_text("remote_seed", config->remote_seed, err);
    for (int i = 0; rc == 0 && i < config->log_count; i++)
        rc = check_text("logs", config->logs[i].seed, err);
    if (rc == 0 && (config->port < 1 || config->port > 65535))
        rc = error_set(err, ERR_INVALID, 0, "port is %d, must be 1 to 65535", config->port);
    if (rc < 0)
        return rc;
    write_head(config, out);
    write_leaf(config, out);
    strbuf_puts(out, "accounts {\n  BERTH {\n");
    if (config->store_dir != NULL)
        strbuf_puts(out, "    jetstream: enabled\n");
    if (config->remote_url != NULL) /* a leaf without streams asks the hub's, by its domain */
        strbuf_puts(out, "    mappings: { \"$JS.API.>\": \"$JS.hub.API.>\" }\n");
    strbuf_puts(out, "    users: [\n");
    for (int i = 0; i < config->user_count; i++)
        if (config->users[i].role != SERVER_SYSTEM && config->users[i].role != SERVER_LOG)
            write_user(config, &config->users[i], out);
    strbuf_puts(out, "    ]\n  }\n");
    for (int i = 0; i < config->user_count; i++)
        if (config->users[i].role == SERVER_LOG)
            write_log(config, &config->users[i], out);
    strbuf_puts(out, "  SYS {\n    users: [\n");
    for (int i = 0; i < config->user_count; i++)
        if (config->users[i].role == SERVER_SYSTEM)
            strbuf_printf(out, "      # %s\n      { nkey: %s }\n", config->users[i].name,
                          config->users[i].public_key);
    strbuf_puts(out, "    ]\n  }\n}\nsystem_account: SYS\n");
    return strbuf_error(out, err);
}

void server_user_inbox(const struct server_user *user, char out[LIMIT_SUBJECT_BYTES])
{
    static const char *const kinds[] = {
        [SERVER_SCHEDULER] = "s", [SERVER_NODE] = "n",   [SERVER_WORKLOADS] = "w",
        [SERVER_OPERATOR] = "o",  [SERVER_CLIENT] = "c", [SERVER_PROBE] = "p",
        [SERVER_LOG] = "l",
    };
    BERTH_ASSERT(user->role >= SERVER_SCHEDULER && user->role <= SERVER_LOG &&
                     kinds[user->role] != NULL,
                 "role %d has no inbox", user->role);
    subject_inbox(kinds[user->role], user->name, out);
}

/* Names go into subjects and keys into the text as they are, so both are checked letter by letter.
 */
static int check_user(const struct server_config *config, int index, struct error *err)
{
    const struct server_user *user = &config->users[index];
    const char *key = user->public_key;
    if (user->role < SERVER_SCHEDULER || user->role > SERVER_SYSTEM)
        return error_set(err, ERR_INVALID, 0, "users[%d]: role %d is not known", index, user->role);
    if (!name_is_valid(user->name))
        return error_set(
            err, ERR_INVALID, 0,
            "users[%d]: name '%s' must be 1 to 63 of [a-z0-9-], not starting or ending "
            "with '-'",
            index, user->name);
    if (user->role == SERVER_CLIENT && !name_is_valid(user->namespace_))
        return error_set(err, ERR_INVALID, 0, "users[%d] %s: namespace '%s' is not a name", index,
                         user->name, user->namespace_);
    if (key[0] != 'U' || strlen(key) != 56 || strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != 56)
        return error_set(err, ERR_INVALID, 0,
                         "users[%d] %s: '%s' is not a public user nkey (U and 55 letters)", index,
                         user->name, key);
    for (int i = 0; i < index; i++)
        if (str_equal(config->users[i].public_key, key))
            return error_set(err, ERR_INVALID, 0, "users[%d] %s has the same key as users[%d] %s",
                             index, user->name, i, config->users[i].name);
    return 0;
}

static int check_text(const char *what, const char *text, struct error *err)
{
    for (; text != NULL && *text != 0; text++)
        if ((unsigned char)*text < 0x20 || *text == '"' || *text == '\\' || *text == '$')
            return error_set(err, ERR_INVALID, 0,
                             "%s holds a quote, backslash, dollar or control character, which a "
                             "nats-server configuration cannot take",
                             what);
    return 0;
}

static void write_head(const struct server_config *config, struct strbuf *out)
{
    const char *host = config->host == NULL ? "127.0.0.1" : config->host;
    strbuf_puts(out, "# Written by berth; changes are lost at the next start.\n");
    if (config->server_name != NULL)
        strbuf_printf(out, "server_name: \"%s\"\n", config->server_name);
    strbuf_printf(out, "listen: \"%s:%d\"\n", host, config->port);
    if (config->monitor_port > 0)
        strbuf_printf(out, "http: \"127.0.0.1:%d\"\n", config->monitor_port);
    strbuf_puts(out, "ping_interval: \"2s\"\nping_max: 2\nwrite_deadline: \"5s\"\n");
    if (config->store_dir != NULL)
        strbuf_printf(
            out, "jetstream {\n  store_dir: \"%s\"\n  domain: hub\n  sync_interval: always\n}\n",
            config->store_dir);
}

static void write_leaf(const struct server_config *config, struct strbuf *out)
{
    const char *host = config->host == NULL ? "127.0.0.1" : config->host;
    if (config->remote_url != NULL) {
        strbuf_printf(out,
                      "leafnodes {\n  reconnect: \"1s\"\n  "
                      "remotes: [\n    {\n      url: \"%s\"\n"
                      "      account: BERTH\n      nkey: \"%s\"\n    }\n",
                      config->remote_url, config->remote_seed);
        for (int i = 0; i < config->log_count; i++)
            strbuf_printf(out,
                          "    {\n      url: \"%s\"\n      account: LOG_%s\n"
                          "      nkey: \"%s\"\n    }\n",
                          config->remote_url, config->logs[i].namespace_, config->logs[i].seed);
        strbuf_puts(out, "  ]\n}\n");
    } else if (config->leaf_port > 0)
        strbuf_printf(out, "leafnodes {\n  listen: \"%s:%d\"\n}\n", host, config->leaf_port);
}

/* A log that is full refuses what is written; it drops nothing. */
static void write_log(const struct server_config *config, const struct server_user *user,
                      struct strbuf *out)
{
    strbuf_printf(out, "  LOG_%s {\n", user->name);
    if (config->store_dir != NULL)
        strbuf_puts(out, "    jetstream: { max_mem: 0, max_file: 256MB, max_streams: 1, "
                         "max_consumers: 1000 }\n");
    if (config->remote_url != NULL)
        strbuf_puts(out, "    mappings: { \"$JS.API.>\": \"$JS.hub.API.>\" }\n");
    strbuf_puts(out, "    users: [\n");
    write_user(config, user, out);
    strbuf_puts(out, "    ]\n  }\n");
}

static void write_user(const struct server_config *config, const struct server_user *user,
                       struct strbuf *out)
{
    const struct grant *grant = &grants[user->role];
    strbuf_printf(out, "      # %s\n      { nkey: %s, permissions: {\n", user->name,
                  user->public_key);
    strbuf_puts(out, "        publish: { allow: [\n");
    write_patterns(user, grant->publish, out);
    for (int i = 0; user->role == SERVER_WORKLOADS && i < config->user_count; i++)
        if (config->users[i].role == SERVER_CLIENT &&
            str_equal(config->users[i].namespace_, user->name))
            strbuf_printf(out, "          \"_INBOX.c.%s.>\"\n", config->users[i].name);
    strbuf_puts(out, "        ] }\n        subscribe: { allow: [\n");
    write_patterns(user, grant->subscribe, out);
    strbuf_puts(out, "        ] }\n      } }\n");
}

static void write_patterns(const struct server_user *user, const char *const *patterns,
                           struct strbuf *out)
{
    for (; *patterns != NULL; patterns++) {
        const char *at = *patterns;
        strbuf_puts(out, "          \"");
        for (const char *mark = strchr(at, '%'); mark != NULL; mark = strchr(at, '%')) {
            strbuf_append(out, at, (size_t)(mark - at));
            strbuf_puts(out, mark[1] == 'n' ? user->name : user->namespace_);
            at = mark + 2;
        }
        strbuf_puts(out, at);
        strbuf_puts(out, "\"\n");
    }
}
