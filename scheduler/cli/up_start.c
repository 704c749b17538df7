#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "scheduler/cli/client.h"
#include "scheduler/cli/document.h"
#include "scheduler/cli/find_dir.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/up.h"

#define LISTEN_US                                                                   \
    (20 * US_PER_S) /* a server that repairs its store after a crash takes its time \
                     */
#define READY_US      (60 * US_PER_S)
#define POLL_US       (50 * US_PER_MS)
#define NODE_STOP_US  (90 * US_PER_S) /* its workloads' drain and stop deadlines are within */
#define WHAT_BYTES    (LIMIT_PATH_BYTES * 2)
#define TAIL_BYTES    1500
#define UP_PEERS      15 /* a node measures the way to that many others at most */
#define WORKLOAD_STOP "--stop-workloads-on-exit"

static int start_server(struct up *up, struct error *err);
static int start_leafs(struct up *up, struct error *err);
static int start_scheduler(struct up *up, struct error *err);
static int start_nodes(struct up *up, struct error *err);
static struct child *add_child(struct up *up, const char *name, const char *log, struct error *err);
static void node_arguments(const struct up *up, const struct node_argument *node, const char *state,
                           struct child *child);
static int wait_listening(struct up *up, const struct child *child, int port, struct error *err);
static bool listens(int port);
static int wait_scheduler(struct up *up, struct client **ret_client, struct error *err);
static int apply_world(struct up *up, struct client *client, struct error *err);
static int wait_nodes(struct up *up, struct client *client, struct error *err);
static int step(struct up *up, struct mono began, int64_t limit_us, const char *what,
                struct error *err);
static int failed_child(const struct child *child, struct error *err);
static void ignore_told(void *context, const struct child *child, const char *text);
static json_t *users_json(const struct up *up);
static json_t *processes_json(const struct up *up);
static pid_t child_pid(const struct up *up, int index);

int up_start(struct up *up, struct error *err)
{
    int rc = start_server(up, err);
    if (rc == 0)
        rc = start_leafs(up, err);
    if (rc == 0)
        rc = start_scheduler(up, err);
    if (rc == 0)
        rc = up_record(up, err);
    CLEANUP(cleanup_client) struct client *client = NULL;
    if (rc == 0)
        rc = wait_scheduler(up, &client, err);
    if (rc == 0 && !up->fresh && up->world_path[0] != 0)
        rc = apply_world(up, client, err);
    if (rc == 0)
        rc = start_nodes(up, err);
    if (rc == 0)
        rc = wait_nodes(up, client, err);
    if (rc == 0)
        rc = up_record(up, err);
    return rc;
}

void up_stop(struct up *up)
{
    int count = up->children.count;
    int first_node = up->first_node > 0 ? up->first_node : count;
    int scheduler = up->scheduler_child > 0 ? up->scheduler_child : count;
    int first_leaf = up->first_leaf > 0 ? up->first_leaf : count;
    /* The scheduler first: it would start again elsewhere what the nodes are about to stop. */
    children_stop_together(&up->children, scheduler, first_node);
    children_stop_together(&up->children, first_node, count);
    children_stop_together(&up->children, first_leaf, scheduler);
    children_stop_together(&up->children, 0, first_leaf);
    children_done(&up->children);
}

int up_record(const struct up *up, struct error *err)
{
    json_t *leafs = json_array();
    for (int i = 0; i < up->leaf_count; i++) {
        char url[LIMIT_PATH_BYTES];
        up_leaf_url(up, i, url);
        json_array_append_new(leafs, json_pack("{s:s,s:s,s:s}", "name", up->leafs[i].name, "url",
                                               url, "via", up->leafs[i].via));
    }
    json_t *nodes = json_array();
    for (int i = 0; i < up->node_count; i++) {
        const struct node_argument *node = &up->nodes[i];
        json_array_append_new(nodes, json_pack("{s:s,s:s,s:s,s:i}", "name", node->name, "site",
                                               node->site, "leaf", node->leaf, "pid",
                                               (int)child_pid(up, up->first_node + i)));
    }
    json_t *json =
        json_pack("{s:i,s:s,s:i,s:s,s:i,s:s,s:s,s:o,s:o,s:o,s:o}", "format", 1, "version",
                  BERTH_VERSION, "pid", (int)getpid(), "url", up->url, "leaf_port", up->leaf_port,
                  "nats_server", up->server_version, "world", up->world_path, "users",
                  users_json(up), "leafs", leafs, "nodes", nodes, "processes", processes_json(up));
    if (json == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for berth.json");
    int rc = folder_write(up->folder, json, err);
    json_decref(json);
    return rc;
}

static int start_server(struct up *up, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    int rc = folder_path(up->folder, "nats.conf", path, err);
    if (rc < 0)
        return rc;
    up->server_child = up->children.count;
    struct child *child = add_child(up, "nats-server", "log/nats-server.log", err);
    if (child == NULL)
        return err->code;
    child_argument(child, "%s", up->server_path);
    child_argument(child, "-c");
    child_argument(child, "%s", path);
    rc = child_start(child, err);
    return rc < 0 ? rc : wait_listening(up, child, up->port, err);
}

static int start_leafs(struct up *up, struct error *err)
{
    up->first_leaf = up->children.count;
    for (int i = 0; i < up->leaf_count; i++) {
        const struct leaf_argument *leaf = &up->leafs[i];
        char name[LIMIT_NAME_BYTES * 2];
        char file[LIMIT_NAME_BYTES * 2];
        char path[LIMIT_PATH_BYTES];
        str_format(file, sizeof(file), "leaf-%s.conf", leaf->name);
        int rc = folder_path(up->folder, file, path, err);
        if (rc < 0)
            return rc;
        str_format(name, sizeof(name), "leaf %s", leaf->name);
        str_format(file, sizeof(file), "log/leaf-%s.log", leaf->name);
        struct child *child = add_child(up, name, file, err);
        if (child == NULL)
            return err->code;
        child_argument(child, "%s", up->server_path);
        child_argument(child, "-c");
        child_argument(child, "%s", path);
        rc = child_start(child, err);
        if (rc == 0)
            rc = wait_listening(up, child, leaf->port, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int start_scheduler(struct up *up, struct error *err)
{
    char state[LIMIT_PATH_BYTES];
    int rc = folder_path(up->folder, "state", state, err);
    if (rc < 0)
        return rc;
    up->scheduler_child = up->children.count;
    struct child *child = add_child(up, "scheduler", "log/scheduler.log", err);
    if (child == NULL)
        return err->code;
    child_argument(child, "%s/berth", up->programs);
    child_argument(child, "scheduler");
    child_argument(child, "--state=%s", state);
    child_argument(child, "--url=%s", up->url);
    child_argument(child, "--seed=%s", up_key(up, SERVER_SCHEDULER, NULL));
    if (up->world_path[0] != 0)
        child_argument(child, "--world=%s", up->world_path);
    if (up->options->metrics != NULL)
        child_argument(child, "--metrics=%s", up->options->metrics);
    return child_start(child, err);
}

static int start_nodes(struct up *up, struct error *err)
{
    up->first_node = up->children.count;
    for (int i = 0; i < up->node_count; i++) {
        const struct node_argument *node = &up->nodes[i];
        char name[LIMIT_NAME_BYTES * 2];
        char file[LIMIT_NAME_BYTES * 2];
        char state[LIMIT_PATH_BYTES];
        str_format(file, sizeof(file), "nodes/%s", node->name);
        int rc = folder_path(up->folder, file, state, err);
        if (rc < 0)
            return rc;
        str_format(name, sizeof(name), "node %s", node->name);
        str_format(file, sizeof(file), "log/node-%s.log", node->name);
        struct child *child = add_child(up, name, file, err);
        if (child == NULL)
            return err->code;
        child->stop_timeout_us = NODE_STOP_US;
        node_arguments(up, node, state, child);
        rc = child_start(child, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static struct child *add_child(struct up *up, const char *name, const char *log, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    if (folder_path(up->folder, log, path, err) < 0)
        return NULL;
    struct child *child = children_add(&up->children, name, path);
    if (child == NULL)
        (void)error_set(err, ERR_LIMIT, 0, "more than %d programs", CHILDREN_MAX);
    return child;
}

static void node_arguments(const struct up *up, const struct node_argument *node, const char *state,
                           struct child *child)
{
    char url[LIMIT_PATH_BYTES];
    str_format(url, sizeof(url), "%s", up->url);
    for (int i = 0; i < up->leaf_count; i++)
        if (str_equal(up->leafs[i].name, node->leaf))
            up_leaf_url(up, i, url);
    const char *options[][2] = {
        {"--name", node->name},
        {"--site", node->site},
        {"--url", url},
        {"--state", state},
        {"--seed", up_key(up, SERVER_NODE, node->name)},
    };
    child_argument(child, "%s/berth-node", up->programs);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        child_argument(child, "%s", options[i][0]);
        child_argument(child, "%s", options[i][1]);
    }
    for (int i = 0; i < up->namespace_count; i++) {
        const char *ns = up->namespaces[i];
        child_argument(child, "--workload-seed");
        child_argument(child, "%s=%s", ns, up_key(up, SERVER_WORKLOADS, ns));
    }
    if (node->mcpu > 0) {
        child_argument(child, "--mcpu");
        child_argument(child, "%lld", (long long)node->mcpu);
    }
    if (node->memory_bytes > 0) {
        child_argument(child, "--memory");
        child_argument(child, "%lldB", (long long)node->memory_bytes);
    }
    if (node->http[0] != 0 || node->https[0] != 0) {
        child_argument(child, "--ingress");
        child_argument(child, "%s%s%s%s%s%s%s", node->http[0] != 0 ? "http=" : "", node->http,
                       node->http[0] != 0 && node->https[0] != 0 ? "," : "",
                       node->https[0] != 0 ? "https=" : "", node->https,
                       node->cert[0] != 0 ? ",cert=" : "", node->cert);
    }
    /* The round trips between sites, for worlds that measure their latency. */
    for (int i = 0; i < up->node_count && i <= UP_PEERS; i++) {
        if (str_equal(up->nodes[i].name, node->name))
            continue;
        child_argument(child, "--peer");
        child_argument(child, "%s", up->nodes[i].name);
    }
    /* Two `up` on one machine do not share the top group of their workloads. */
    child_argument(child, "--cgroup");
    child_argument(child, "berth-%016llx", (unsigned long long)hash_str(HASH_SEED, up->folder));
    if (!up->options->keep_workloads)
        child_argument(child, WORKLOAD_STOP);
}

static int wait_listening(struct up *up, const struct child *child, int port, struct error *err)
{
    struct mono began = clock_mono_now();
    while (!listens(port)) {
        char what[WHAT_BYTES];
        snprintf(what, sizeof(what), "%s does not listen on port %d; its log is %s", child->name,
                 port, child->log_path);
        int rc = step(up, began, LISTEN_US, what, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool listens(int port)
{
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    return fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

static int wait_scheduler(struct up *up, struct client **ret_client, struct error *err)
{
    struct mono began = clock_mono_now();
    struct client *client = NULL;
    int rc = client_open_at(up->url, up_key(up, SERVER_OPERATOR, NULL), "operator", US_PER_S,
                            &client, err);
    if (rc < 0)
        return rc;
    for (;;) {
        struct message_request request;
        struct client_reply reply;
        struct error told;
        client_request_init(&request, NULL);
        if (client_call(client, "info", &request, &reply, &told) == 0) {
            const char *world = json_text(reply.json, "world");
            str_format(up->world_name, sizeof(up->world_name), "%.63s", world);
            client_reply_done(&reply);
            *ret_client = client;
            return 0;
        }
        char what[WHAT_BYTES];
        snprintf(what, sizeof(what), "the scheduler does not answer (%s)", told.text);
        rc = step(up, began, READY_US, what, err);
        if (rc < 0) {
            client_close(client);
            return rc;
        }
    }
}

/* A world that was changed since the last start: the journal keeps the one it has. */
static int apply_world(struct up *up, struct client *client, struct error *err)
{
    struct document document;
    int rc = document_read(up->world_path, NULL, &document, err);
    if (rc < 0)
        return rc;
    struct message_request request;
    struct client_reply reply;
    client_request_init(&request, NULL);
    request.document = strbuf_text(&document.text);
    rc = client_call(client, "apply", &request, &reply, err);
    if (rc == 0) {
        str_format(up->world_name, sizeof(up->world_name), "%s", document.name);
        client_reply_done(&reply);
    }
    document_done(&document);
    return rc;
}

static int wait_nodes(struct up *up, struct client *client, struct error *err)
{
    struct mono began = clock_mono_now();
    for (;;) {
        struct message_request request;
        struct client_reply reply;
        struct error told;
        char missing[LIMIT_NAME_BYTES] = "";
        client_request_init(&request, NULL);
        str_format(request.kind, sizeof(request.kind), "nodes");
        bool answered = client_call(client, "get", &request, &reply, &told) == 0;
        for (int i = 0; i < up->node_count; i++) {
            bool here = false;
            size_t index;
            json_t *each;
            json_array_foreach(answered ? json_object_get(reply.json, "items") : NULL, index, each)
            {
                here = here || (str_equal(json_text(each, "name"), up->nodes[i].name) &&
                                json_truth(each, "up"));
            }
            if (!here)
                str_format(missing, sizeof(missing), "%s", up->nodes[i].name);
        }
        if (answered)
            client_reply_done(&reply);
        if (missing[0] == 0)
            return 0;
        char what[WHAT_BYTES];
        snprintf(what, sizeof(what),
                 "node %s has not reported to the scheduler; its log is %s/log/node-%s.log",
                 missing, up->folder, missing);
        int rc = step(up, began, READY_US, what, err);
        if (rc < 0)
            return rc;
    }
}

/* A moment of waiting for the start; an end of a child, an interrupt or the limit ends it. */
static int step(struct up *up, struct mono began, int64_t limit_us, const char *what,
                struct error *err)
{
    if (up_interrupted())
        return error_set(err, ERR_UNAVAILABLE, EINTR, "stopped before everything ran");
    if (children_reap(&up->children, ignore_told, NULL) > 0)
        for (int i = 0; i < up->children.count; i++)
            if (up->children.list[i].ends > 0)
                return failed_child(&up->children.list[i], err);
    if (clock_mono_now().us - began.us > limit_us)
        return error_set(err, ERR_TIMEOUT, 0, "%s", what);
    nanosleep(&(struct timespec){.tv_nsec = POLL_US * 1000}, NULL);
    return 0;
}

/* What a program said last is why it ended. */
static int failed_child(const struct child *child, struct error *err)
{
    char end[LIMIT_TEXT_BYTES];
    char tail[TAIL_BYTES + 1] = "";
    CLEANUP(cleanup_close) int log = open(child->log_path, O_RDONLY | O_CLOEXEC);
    off_t size = log < 0 ? 0 : lseek(log, 0, SEEK_END);
    off_t from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    ssize_t bytes = log < 0 ? 0 : pread(log, tail, TAIL_BYTES, from);
    tail[bytes > 0 ? bytes : 0] = 0;
    const char *begin = from > 0 && strchr(tail, '\n') != NULL ? strchr(tail, '\n') + 1 : tail;
    if (begin[0] != 0)
        fprintf(stderr, "the last lines of %s:\n%s%s", child->log_path, begin,
                begin[strlen(begin) - 1] == '\n' ? "" : "\n");
    return error_set(err, ERR_UNAVAILABLE, 0, "%s %s right after its start; its log is %s",
                     child->name, child_end_text(child->status, end), child->log_path);
}

static void ignore_told(void *context, const struct child *child, const char *text)
{
    (void)context;
    (void)child;
    (void)text;
}

static json_t *users_json(const struct up *up)
{
    static const char *const roles[] = {
        [SERVER_SCHEDULER] = "scheduler",
        [SERVER_NODE] = "node",
        [SERVER_WORKLOADS] = "workloads",
        [SERVER_OPERATOR] = "operator",
        [SERVER_CLIENT] = "client",
        [SERVER_LEAF] = "leaf",
        [SERVER_SYSTEM] = "system",
        [SERVER_PROBE] = "probe",
        [SERVER_LOG] = "log",
    };
    json_t *users = json_array();
    for (int i = 0; i < up->user_count; i++) {
        const struct server_user *user = &up->users[i];
        char inbox[LIMIT_SUBJECT_BYTES] = "";
        if (user->role != SERVER_LEAF && user->role != SERVER_SYSTEM)
            server_user_inbox(user, inbox);
        json_array_append_new(users, json_pack("{s:s,s:s,s:s,s:s,s:s}", "role", roles[user->role],
                                               "name", user->name, "seed", up->key_paths[i],
                                               "inbox", inbox, "public_key", user->public_key));
    }
    return users;
}

static json_t *processes_json(const struct up *up)
{
    json_t *processes = json_array();
    for (int i = 0; i < up->children.count; i++)
        json_array_append_new(processes,
                              json_pack("{s:s,s:i,s:s}", "name", up->children.list[i].name, "pid",
                                        (int)up->children.list[i].pid, "log",
                                        up->children.list[i].log_path));
    return processes;
}

static pid_t child_pid(const struct up *up, int index)
{
    return up->first_node > 0 && index < up->children.count ? up->children.list[index].pid : 0;
}
