#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/doc.h"
#include "base/keys/proof.h"
#include "model/world.h"
#include "scheduler/cli/document.h"
#include "scheduler/cli/find_dir.h"
#include "scheduler/cli/up.h"

#define WORLD_BYTES  ((size_t)256 << 20)
#define CONFIG_BYTES ((size_t)16 << 20)

static int read_nodes(struct up *up, struct error *err);
static int read_leafs(struct up *up, struct error *err);
static int read_namespaces(struct up *up, struct error *err);
static int read_world(struct up *up, struct error *err);
static int sites_are_known(const struct up *up, const struct world *world, struct error *err);
static int is_ours_or_empty(const char *folder, struct error *err);
static int make_folders(struct up *up, struct error *err);
static int make_folder(const char *path, struct error *err);
static int choose_ports(struct up *up, struct error *err);
static int port_take(int64_t wanted, int fallback, bool any, const char *what, const char *option,
                     int *ret_port, struct error *err);
static int port_try(int port);
static int make_users(struct up *up, struct error *err);
static int probe_name_check(const struct up *up, int index, struct error *err);
static int add_user(struct up *up, enum server_role role, const char *name, const char *ns,
                    const char *key_name, struct error *err);
static int write_hub(struct up *up, struct error *err);
static int write_leaf(struct up *up, int index, struct error *err);
static int write_config(const struct server_config *config, const char *path, struct error *err);
static int read_seed(const char *path, char seed[NKEY_TEXT_BYTES], struct error *err);

int up_arguments(const struct cli *cli, const struct up_options *options, struct up *up,
                 struct error *err)
{
    up->options = options;
    up->lock_fd = -1;
    int rc = folder_place(cli->common.dir, up->folder, err);
    if (rc == 0)
        rc = read_leafs(up, err);
    if (rc == 0)
        rc = read_nodes(up, err);
    if (rc == 0)
        rc = read_namespaces(up, err);
    if (rc == 0)
        rc = read_world(up, err);
    if (rc < 0)
        return rc;
    ssize_t bytes = readlink("/proc/self/exe", up->programs, sizeof(up->programs) - 1);
    char *slash = bytes <= 0 ? NULL : strrchr(up->programs, '/');
    if (slash == NULL)
        return error_set(err, ERR_IO, errno, "find the folder of this program");
    *slash = 0;
    char path[LIMIT_PATH_BYTES];
    rc = folder_path(up->programs, "berth-node", path, err);
    if (rc == 0 && up->node_count > 0 && access(path, X_OK) < 0)
        return error_set(err, ERR_NOT_FOUND, errno,
                         "%s is needed for --node; build it with script/build", path);
    return rc;
}

int up_folder(struct up *up, struct error *err)
{
    char journal[LIMIT_PATH_BYTES];
    int rc = is_ours_or_empty(up->folder, err);
    if (rc == 0)
        rc = folder_path(up->folder, "state/journal.db", journal, err);
    if (rc < 0)
        return rc;
    up->fresh = access(journal, F_OK) < 0;
    if (up->fresh && up->world_path[0] == 0)
        return error_set(err, ERR_INVALID, 0,
                         "a first start in %s needs --world FILE: sites, prices and latencies, as "
                         "in examples/worlds/demo.yaml",
                         up->folder);
    /* What is refused leaves no folder behind. Where another `up` is, its ports are taken, of
     * course: then the lock's refusal says more. */
    if (folder_holder(up->folder) == 0)
        rc = choose_ports(up, err);
    if (rc == 0)
        rc = make_folder(up->folder, err);
    if (rc == 0)
        rc = folder_lock(up->folder, &up->lock_fd, err);
    return rc < 0 ? rc : make_folders(up, err);
}

int up_configure(struct up *up, struct error *err)
{
    int rc = make_users(up, err);
    if (rc == 0)
        rc = write_hub(up, err);
    for (int i = 0; rc == 0 && i < up->leaf_count; i++)
        rc = write_leaf(up, i, err);
    return rc;
}

const char *up_key(const struct up *up, enum server_role role, const char *name)
{
    for (int i = 0; i < up->user_count; i++)
        if (up->users[i].role == (int)role && (name == NULL || str_equal(up->users[i].name, name)))
            return up->key_paths[i];
    return NULL;
}

void up_leaf_url(const struct up *up, int leaf, char out[LIMIT_PATH_BYTES])
{
    str_format(out, LIMIT_PATH_BYTES, "nats://127.0.0.1:%d", up->leafs[leaf].port);
}

static int read_nodes(struct up *up, struct error *err)
{
    const struct option_list *list = &up->options->nodes;
    for (int i = 0; i < list->count; i++) {
        struct node_argument *node = &up->nodes[i];
        int rc = node_argument(list->items[i], node, err);
        if (rc < 0)
            return rc;
        for (int k = 0; k < i; k++)
            if (str_equal(up->nodes[k].name, node->name))
                return error_set(err, ERR_INVALID, 0, "--node %s is given twice; names are unique",
                                 node->name);
        bool found = node->leaf[0] == 0;
        for (int k = 0; k < up->leaf_count; k++)
            found = found || str_equal(up->leafs[k].name, node->leaf);
        if (!found)
            return error_set(err, ERR_INVALID, 0,
                             "--node %s: there is no leaf server %s; add --leaf %s", node->name,
                             node->leaf, node->leaf);
        up->node_count = i + 1;
    }
    return 0;
}

static int read_leafs(struct up *up, struct error *err)
{
    const struct option_list *list = &up->options->leafs;
    for (int i = 0; i < list->count; i++) {
        int rc = leaf_argument(list->items[i], &up->leafs[i], err);
        if (rc < 0)
            return rc;
        for (int k = 0; k < i; k++)
            if (str_equal(up->leafs[k].name, up->leafs[i].name))
                return error_set(err, ERR_INVALID, 0, "--leaf %s is given twice; names are unique",
                                 up->leafs[i].name);
        up->leaf_count = i + 1;
    }
    return 0;
}

static int read_namespaces(struct up *up, struct error *err)
{
    const struct option_list *list = &up->options->namespaces;
    str_format(up->namespaces[0], LIMIT_NAME_BYTES, "default");
    up->namespace_count = 1;
    for (int i = 0; i < list->count; i++) {
        const char *name = list->items[i];
        if (!name_is_valid(name))
            return error_set(err, ERR_INVALID, 0,
                             "--namespace \"%.64s\": a name has 1 to 63 of a-z, 0-9 and '-'", name);
        bool known = false;
        for (int k = 0; k < up->namespace_count; k++)
            known = known || str_equal(up->namespaces[k], name);
        if (known)
            continue;
        if (up->namespace_count == UP_NAMESPACES_MAX)
            return error_set(err, ERR_LIMIT, 0, "at most %d namespaces", UP_NAMESPACES_MAX);
        str_format(up->namespaces[up->namespace_count++], LIMIT_NAME_BYTES, "%s", name);
    }
    return 0;
}

/* Read here as well as by the scheduler: what is wrong is told before anything starts. */
static int read_world(struct up *up, struct error *err)
{
    if (up->options->world == NULL)
        return 0;
    char real[PATH_MAX];
    if (realpath(up->options->world, real) == NULL)
        return error_set(err, ERR_NOT_FOUND, errno, "--world %s", up->options->world);
    if (str_copy(up->world_path, sizeof(up->world_path), real) < 0)
        return error_set(err, ERR_LIMIT, 0, "--world: the path is longer than %d bytes",
                         LIMIT_PATH_BYTES - 1);
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_read_file(up->options->world, &doc, err);
    if (rc < 0)
        return rc;
    struct arena arena;
    struct world world;
    arena_init(&arena, WORLD_BYTES);
    rc = world_from_doc(doc, &arena, &world, err);
    if (rc < 0)
        rc = document_problems(doc, rc, err);
    if (rc == 0)
        rc = sites_are_known(up, &world, err);
    if (rc == 0)
        str_format(up->world_name, sizeof(up->world_name), "%s", world.name);
    arena_done(&arena);
    return rc;
}

static int sites_are_known(const struct up *up, const struct world *world, struct error *err)
{
    const char *names[LIMIT_SITES];
    for (int i = 0; i < world->site_count; i++)
        names[i] = world->sites[i].name;
    for (int i = 0; i < up->node_count; i++) {
        if (world_site(world, up->nodes[i].site) >= 0)
            continue;
        const char *nearest = str_nearest(up->nodes[i].site, names, (size_t)world->site_count);
        return error_set(err, ERR_NOT_FOUND, 0, "--node %s: the world %s has no site %s%s%s%s",
                         up->nodes[i].name, world->name, up->nodes[i].site,
                         nearest == NULL ? "" : "; did you mean ", nearest == NULL ? "" : nearest,
                         nearest == NULL ? "" : "?");
    }
    return 0;
}

/* Somebody else's folder is left alone, also when it was named by mistake. */
static int is_ours_or_empty(const char *folder, struct error *err)
{
    DIR *listing = opendir(folder);
    if (listing == NULL && errno == ENOENT)
        return 0;
    if (listing == NULL)
        return error_set(err, ERR_IO, errno, "look into %s", folder);
    bool ours = false;
    bool others = false;
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        ours = ours || str_equal(entry->d_name, "up.lock");
        others = others || (!str_equal(entry->d_name, ".") && !str_equal(entry->d_name, ".."));
    }
    closedir(listing);
    if (ours || !others)
        return 0;
    return error_set(err, ERR_EXISTS, 0,
                     "%s holds other things than Berth's; give --dir a folder that is empty or not "
                     "there",
                     folder);
}

static int make_folders(struct up *up, struct error *err)
{
    static const char *const names[] = {"keys", "state", "nodes", "log", "jetstream"};
    char path[LIMIT_PATH_BYTES];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int rc = folder_path(up->folder, names[i], path, err);
        if (rc == 0)
            rc = make_folder(path, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int make_folder(const char *path, struct error *err)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "make the folder %s", path);
    struct stat status;
    if (stat(path, &status) < 0 || !S_ISDIR(status.st_mode))
        return error_set(err, ERR_IO, 0, "%s is no folder; remove it, or choose another with --dir",
                         path);
    /* The keys are in here: others have no business in it. */
    if ((status.st_mode & 077) != 0 && chmod(path, 0700) < 0)
        return error_set(err, ERR_IO, errno, "keep others out of %s (mode 0700)", path);
    return 0;
}

static int choose_ports(struct up *up, struct error *err)
{
    const struct up_options *options = up->options;
    int rc = port_take(options->port, UP_PORT_DEFAULT, options->free_ports, "nats-server", "--port",
                       &up->port, err);
    if (rc == 0 && (up->leaf_count > 0 || options->leaf_port > 0))
        rc = port_take(options->leaf_port, UP_LEAF_DEFAULT, options->free_ports,
                       "the leaf servers' door", "--leaf-port", &up->leaf_port, err);
    for (int i = 0; rc == 0 && i < up->leaf_count; i++) {
        char option[LIMIT_TEXT_BYTES];
        str_format(option, sizeof(option), "--leaf %s,port=", up->leafs[i].name);
        rc = port_take(up->leafs[i].port, up->port + 1 + i, options->free_ports, up->leafs[i].name,
                       option, &up->leafs[i].port, err);
    }
    if (rc == 0)
        str_format(up->url, sizeof(up->url), "nats://127.0.0.1:%d", up->port);
    return rc;
}

/* A port that nobody listens on: told here, rather than found in a server's log. */
static int port_take(int64_t wanted, int fallback, bool any, const char *what, const char *option,
                     int *ret_port, struct error *err)
{
    int port = wanted > 0 ? (int)wanted : any ? 0 : fallback;
    int got = port_try(port);
    if (got > 0) {
        *ret_port = got;
        return 0;
    }
    return error_set(err, ERR_EXISTS, 0,
                     "port %d, for %s, is taken by another program; choose another with %s%sN, or "
                     "let free ones be chosen with --free-ports",
                     port, what, option, option[strlen(option) - 1] == '=' ? "" : " ");
}

/* The port (0: a free one), or negative when it is taken. */
static int port_try(int port)
{
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    int on = 1; /* a port in TIME_WAIT is free to a server, which sets this too */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) < 0)
        return -1;
    return ntohs(address.sin_port);
}

static int make_users(struct up *up, struct error *err)
{
    char key_name[LIMIT_NAME_BYTES * 2];
    int rc = keys_init(err);
    if (rc == 0)
        rc = add_user(up, SERVER_SCHEDULER, "scheduler", "", "scheduler", err);
    if (rc == 0)
        rc = add_user(up, SERVER_OPERATOR, "operator", "", "operator", err);
    if (rc == 0)
        rc = add_user(up, SERVER_SYSTEM, "system", "", "system", err);
    for (int i = 0; rc == 0 && i < up->namespace_count; i++) {
        const char *name = up->namespaces[i];
        str_format(key_name, sizeof(key_name), "workloads-%s", name);
        rc = add_user(up, SERVER_WORKLOADS, name, "", key_name, err);
        str_format(key_name, sizeof(key_name), "client-%s", name);
        if (rc == 0)
            rc = add_user(up, SERVER_CLIENT, name, name, key_name, err);
        str_format(key_name, sizeof(key_name), "log-%s", name);
        if (rc == 0)
            rc = add_user(up, SERVER_LOG, name, "", key_name, err);
    }
    for (int i = 0; rc == 0 && i < up->node_count; i++) {
        str_format(key_name, sizeof(key_name), "node-%s", up->nodes[i].name);
        rc = add_user(up, SERVER_NODE, up->nodes[i].name, "", key_name, err);
    }
    const struct option_list *probes = &up->options->probes;
    for (int i = 0; rc == 0 && i < probes->count; i++) {
        rc = probe_name_check(up, i, err);
        if (rc < 0)
            break;
        str_format(key_name, sizeof(key_name), "probe-%s", probes->items[i]);
        rc = add_user(up, SERVER_PROBE, probes->items[i], "", key_name, err);
    }
    for (int i = 0; rc == 0 && i < up->leaf_count; i++) {
        str_format(key_name, sizeof(key_name), "leaf-%s", up->leafs[i].name);
        rc = add_user(up, SERVER_LEAF, up->leafs[i].name, "", key_name, err);
    }
    return rc;
}

/* A probe and a node of one name would be one to whoever reads their metrics. */
static int probe_name_check(const struct up *up, int index, struct error *err)
{
    const struct option_list *probes = &up->options->probes;
    const char *name = probes->items[index];
    if (!name_is_valid(name))
        return error_set(err, ERR_INVALID, 0,
                         "--probe \"%.64s\": a name has 1 to 63 of a-z, 0-9 and '-'", name);
    for (int i = 0; i < index; i++)
        if (str_equal(probes->items[i], name))
            return error_set(err, ERR_INVALID, 0, "--probe %s is given twice; names are unique",
                             name);
    for (int i = 0; i < up->node_count; i++)
        if (str_equal(up->nodes[i].name, name))
            return error_set(err, ERR_INVALID, 0,
                             "--probe %s: a node has that name; choose another for the probe",
                             name);
    return 0;
}

/* Keys that are there are used again: nodes and clients elsewhere may hold them. */
static int add_user(struct up *up, enum server_role role, const char *name, const char *ns,
                    const char *key_name, struct error *err)
{
    BERTH_ASSERT(up->user_count < UP_USERS_MAX, "%d users", up->user_count);
    struct server_user *user = &up->users[up->user_count];
    *user = (struct server_user){.role = (int)role};
    str_format(user->name, sizeof(user->name), "%s", name);
    str_format(user->namespace_, sizeof(user->namespace_), "%s", ns);
    char file[LIMIT_NAME_BYTES * 3];
    str_format(file, sizeof(file), "keys/%s", key_name);
    int rc = folder_path(up->folder, file, up->key_paths[up->user_count], err);
    if (rc == 0)
        rc = nkey_file_ensure(up->key_paths[up->user_count], user->public_key, err);
    /* Between the scheduler and these, messages prove who wrote them (base/keys/proof.h). */
    bool proves = role == SERVER_SCHEDULER || role == SERVER_NODE || role == SERVER_PROBE ||
                  role == SERVER_OPERATOR;
    char public_path[LIMIT_PATH_BYTES];
    str_format(file, sizeof(file), "keys/%s.pub", key_name);
    if (rc == 0 && proves)
        rc = folder_path(up->folder, file, public_path, err);
    if (rc == 0 && proves)
        rc = proof_publish(up->key_paths[up->user_count], public_path, err);
    if (rc == 0)
        up->user_count++;
    return rc;
}

static int write_hub(struct up *up, struct error *err)
{
    char store[LIMIT_PATH_BYTES];
    char path[LIMIT_PATH_BYTES];
    int rc = folder_path(up->folder, "jetstream", store, err);
    if (rc == 0)
        rc = folder_path(up->folder, "nats.conf", path, err);
    if (rc < 0)
        return rc;
    struct server_config config = {
        .server_name = "berth",
        .port = up->port,
        .leaf_port = up->leaf_port,
        .store_dir = store,
        .users = up->users,
        .user_count = up->user_count,
    };
    return write_config(&config, path, err);
}

static int write_leaf(struct up *up, int index, struct error *err)
{
    const struct leaf_argument *leaf = &up->leafs[index];
    char name[LIMIT_NAME_BYTES * 2];
    char path[LIMIT_PATH_BYTES];
    char remote[LIMIT_PATH_BYTES];
    char seed[NKEY_TEXT_BYTES];
    str_format(name, sizeof(name), "leaf-%s.conf", leaf->name);
    int rc = folder_path(up->folder, name, path, err);
    if (rc < 0)
        return rc;
    if (leaf->via[0] != 0)
        str_format(remote, sizeof(remote), "nats://%s", leaf->via);
    else
        str_format(remote, sizeof(remote), "nats://127.0.0.1:%d", up->leaf_port);
    rc = read_seed(up_key(up, SERVER_LEAF, leaf->name), seed, err);
    char log_seeds[UP_NAMESPACES_MAX][NKEY_TEXT_BYTES];
    struct server_log_remote logs[UP_NAMESPACES_MAX];
    for (int i = 0; rc == 0 && i < up->namespace_count; i++) {
        logs[i] = (struct server_log_remote){up->namespaces[i], log_seeds[i]};
        rc = read_seed(up_key(up, SERVER_LOG, up->namespaces[i]), log_seeds[i], err);
    }
    if (rc < 0)
        return rc;
    str_format(name, sizeof(name), "berth-leaf-%s", leaf->name);
    struct server_config config = {
        .server_name = name,
        .port = leaf->port,
        .remote_url = remote,
        .remote_seed = seed,
        .logs = logs,
        .log_count = up->namespace_count,
        .users = up->users,
        .user_count = up->user_count,
    };
    rc = write_config(&config, path, err);
    explicit_bzero(seed, sizeof(seed));
    explicit_bzero(log_seeds, sizeof(log_seeds));
    return rc;
}

static int write_config(const struct server_config *config, const char *path, struct error *err)
{
    struct strbuf text;
    strbuf_init(&text, CONFIG_BYTES);
    int rc = server_config_write(config, &text, err);
    CLEANUP(cleanup_close) int fd = -1;
    if (rc == 0)
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (rc == 0 && fd < 0)
        rc = error_set(err, ERR_IO, errno, "write %s", path);
    else if (rc == 0 && write(fd, strbuf_text(&text), text.bytes) != (ssize_t)text.bytes)
        rc = error_set(err, ERR_IO, errno, "write %s", path);
    if (text.bytes > 0)
        explicit_bzero(text.text, text.bytes); /* a leaf's text holds its seed */
    strbuf_done(&text);
    return rc;
}

static int read_seed(const char *path, char seed[NKEY_TEXT_BYTES], struct error *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : read(fd, seed, NKEY_TEXT_BYTES - 1);
    if (bytes <= 0)
        return error_set(err, ERR_IO, errno, "read the key %s", path);
    seed[bytes] = 0;
    seed[strcspn(seed, "\r\n")] = 0;
    return 0;
}
