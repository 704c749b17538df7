/*
 * slots: the agent's side of the shims: starting them, finding them again, talking, clearing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bus/subjects.h"
#include "base/log.h"
#include "base/str.h"
#include "executors/contract/contract_line.h"
#include "executors/drivers/process/start.h"
#include "executors/node/agent.h"

#define WORKLOAD_PATH "PATH=/usr/local/bin:/usr/bin:/bin"
#define SHIM_LOG      "shim.log"

static struct slot *slot_make(struct agent *agent, const char *instance);
static int prepare(struct agent *agent, struct slot *slot, const struct message_spec *spec,
                   int folder_fd, struct error *err);
static int fill_environment(struct agent *agent, const struct slot *slot,
                            const struct message_spec *spec, struct start *start,
                            struct arena *arena);
static int launch(struct agent *agent, struct slot *slot, int folder_fd, struct error *err);
static int spawn(const char *path, char *const argv[], int fd_as_3, int out, int errors,
                 pid_t *ret_pid);
static int shim_log_open(int folder_fd, struct error *err);
static bool shim_lives(struct agent *agent, const char *instance);
static int kill_shim(struct agent *agent, const char *instance);
static int reach(struct agent *agent, const char *instance);
static int reach_soon(struct agent *agent, const char *instance);
static void shim_line(void *context, const char *text, size_t bytes, bool end);
static void take_line(struct agent *agent, struct slot *slot, char *line, size_t bytes);
static void take_adopt(struct slot *slot, const char *rest);
static void said(struct agent *agent, struct slot *slot, const struct contract_line *line);
static void shim_gone(struct agent *agent, struct slot *slot);
static void hang_up(struct slot *slot);
static bool clear_step(struct agent *agent, struct slot *slot, int64_t now);
static int kill_by_environment(const char *instance);
static bool process_has(int64_t pid, const char *name, const char *wanted);
static void fetch_end(struct agent *agent, struct slot *slot);

struct line_context {
    struct agent *agent;
    struct slot *slot;
};

struct slot *slot_find(struct agent *agent, const char *instance)
{
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++)
        if (agent->slots[i].used && str_equal(agent->slots[i].instance, instance))
            return &agent->slots[i];
    return NULL;
}

int slot_index(const struct agent *agent, const struct slot *slot)
{
    return (int)(slot - agent->slots);
}

void slot_describe(struct slot *slot, const char *instance, const struct message_spec *spec)
{
    str_format(slot->instance, sizeof(slot->instance), "%s", instance);
    memcpy(slot->namespace_, spec->namespace_, sizeof(slot->namespace_));
    memcpy(slot->app, spec->app, sizeof(slot->app));
    memcpy(slot->workload, spec->workload, sizeof(slot->workload));
    slot->replica = spec->replica;
}

void slot_spawn(struct agent *agent, const char *instance, const struct message_spec *spec)
{
    struct error err;
    struct slot *slot = slot_make(agent, instance);
    slot_describe(slot, instance, spec);
    hang_up(slot);
    slot->started = slot->ended = slot->clearing = false;
    slot->exit_code = 0;
    memset(slot->counted, 0, sizeof(slot->counted));
    str_format(slot->last_word, sizeof(slot->last_word), "none");
    slot->life = clock_boot_now().us;
    CLEANUP(cleanup_close) int folder_fd = store_instance_fd(&agent->store, instance, &err);
    int rc = folder_fd;
    slot->endpoint[0] = 0;
    if (rc >= 0 && spec->http)
        rc = port_choose(agent, slot, &err);
    if (rc >= 0)
        rc = prepare(agent, slot, spec, folder_fd, &err);
    if (rc >= 0)
        rc = launch(agent, slot, folder_fd, &err);
    if (rc < 0)
        agent_result(agent, NODE_EV_SPAWNED, instance, rc, err.text);
}

void slot_fetch(struct agent *agent, const char *instance, const struct message_spec *spec)
{
    struct error err;
    char target[LIMIT_PATH_BYTES];
    struct slot *slot = slot_make(agent, instance);
    slot_describe(slot, instance, spec);
    int rc = 0;
    if (!str_equal(spec->driver, "process"))
        rc = error_set(&err, ERR_UNSUPPORTED, 0, "driver '%s': this node offers process",
                       spec->driver);
    if (rc == 0)
        rc = store_artifact_path(&agent->store, spec->digest, target, &err);
    if (rc < 0 || access(target, X_OK) == 0) {
        /* What has its name has been verified, and the shim verifies what it executes. */
        agent_result(agent, NODE_EV_FETCHED, instance, rc, rc < 0 ? err.text : "");
        return;
    }
    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0) {
        agent_result(agent, NODE_EV_FETCHED, instance, ERR_IO, "no pipe for the fetch");
        return;
    }
    char artifact[LIMIT_PATH_BYTES];
    char digest[LIMIT_DIGEST_BYTES];
    str_format(artifact, sizeof(artifact), "%s", spec->artifact);
    str_format(digest, sizeof(digest), "%s", spec->digest);
    char word[] = "--fetch";
    struct node_options *options = &agent->options;
    char *argv[] = {agent->self_path, word,          artifact,       digest, target,
                    options->url,     options->seed, options->inbox, NULL};
    int why = spawn(agent->self_path, argv, -1, out[1], -1, &slot->fetch_pid);
    (void)close(out[1]);
    slot->fetch_fd = out[0];
    slot->fetch_bytes = 0;
    if (why == 0 &&
        agent_watch(agent, slot->fetch_fd, WATCH_FETCH, slot_index(agent, slot), EPOLLIN) == 0)
        return;
    (void)close(slot->fetch_fd);
    slot->fetch_fd = -1;
    slot->fetch_pid = 0;
    agent_result(agent, NODE_EV_FETCHED, instance, ERR_IO, "the fetch could not be started");
}

void slot_say(struct agent *agent, const char *instance, const char *line)
{
    struct slot *slot = slot_find(agent, instance);
    if (slot == NULL || slot->fd < 0)
        return; /* its end has been, or will be, told */
    size_t bytes = strlen(line);
    /* The shim reads all the time; these few words always fit its socket. */
    if (send(slot->fd, line, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
        log_event(LOG_WARN, "shim.deaf", "instance=%s", instance);
}

void slot_clear(struct agent *agent, const char *instance)
{
    struct slot *slot = slot_make(agent, instance);
    if (slot->cgroup[0] == 0)
        str_format(slot->cgroup, sizeof(slot->cgroup), "%s/%s/%s", agent->options.cgroup,
                   agent->options.name, instance);
    judge_end(agent, slot);
    slot->clearing = true;
    slot->clear_from = clock_boot_now().us;
    slot->clear_next = slot->clear_from;
    if (slot->fd < 0) {
        /* A shim may be there that was not heard: it must not outlive this. */
        slot->fd = reach(agent, instance);
        if (slot->fd >= 0)
            (void)agent_watch(agent, slot->fd, WATCH_SHIM, slot_index(agent, slot), EPOLLIN);
    }
    if (slot->fd >= 0 && !slot->ended)
        slot_say(agent, instance, "kill\n");
}

void slot_forget(struct agent *agent, const char *instance)
{
    struct slot *slot = slot_find(agent, instance);
    if (slot == NULL)
        return;
    judge_cancel(agent, slot);
    hang_up(slot);
    if (slot->fetch_fd >= 0)
        (void)close(slot->fetch_fd);
    free(slot->buffer);
    memset(slot, 0, sizeof(*slot));
}

void slot_read_shim(struct agent *agent, int index)
{
    struct slot *slot = &agent->slots[index];
    if (!slot->used || slot->fd < 0)
        return;
    size_t room;
    char *at = lines_room(&slot->lines, &room);
    ssize_t got = recv(slot->fd, at, room, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        shim_gone(agent, slot);
        return;
    }
    struct line_context context = {agent, slot};
    lines_take(&slot->lines, (size_t)got, shim_line, &context);
}

void slot_read_fetch(struct agent *agent, int index)
{
    struct slot *slot = &agent->slots[index];
    if (!slot->used || slot->fetch_fd < 0)
        return;
    ssize_t got = read(slot->fetch_fd, slot->fetch_text + slot->fetch_bytes,
                       sizeof(slot->fetch_text) - 1 - slot->fetch_bytes);
    if (got > 0) {
        slot->fetch_bytes += (size_t)got;
        if (slot->fetch_bytes < sizeof(slot->fetch_text) - 1)
            return;
    }
    fetch_end(agent, slot);
}

void slot_child_ended(struct agent *agent, pid_t pid, int status)
{
    if (judge_child_ended(agent, pid, status))
        return;
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        struct slot *slot = &agent->slots[i];
        if (slot->used && slot->shim_pid == pid)
            slot->shim_pid = 0; /* its connection's end says the rest */
    }
}

void slots_adopt(struct agent *agent, const struct node_record *records, int count)
{
    struct pollfd one;
    for (int i = 0; i < count; i++) {
        const struct node_record *record = &records[i];
        struct node_event event;
        agent_event(&event, NODE_EV_ADOPTED, record->instance);
        int fd = reach_soon(agent, record->instance);
        if (fd < 0) {
            struct error err;
            int64_t life;
            if (record->state < INSTANCE_STARTING || record->state > INSTANCE_STOPPING)
                continue;
            CLEANUP(cleanup_close)
            int folder = store_instance_fd(&agent->store, record->instance, &err);
            if (folder >= 0 && start_exit_read(folder, &event.adopted.exit_code, &life, &err) == 0)
                agent_feed(agent, &event);
            continue;
        }
        struct slot *slot = slot_make(agent, record->instance);
        slot_describe(slot, record->instance, &record->spec);
        str_format(slot->cgroup, sizeof(slot->cgroup), "%s/%s/%s", agent->options.cgroup,
                   agent->options.name, record->instance);
        slot->fd = fd;
        slot->adopting = true;
        (void)agent_watch(agent, fd, WATCH_SHIM, slot_index(agent, slot), EPOLLIN);
        one = (struct pollfd){.fd = fd, .events = POLLIN};
        while (slot->adopting && slot->fd >= 0 && poll(&one, 1, AGENT_ADOPT_MS) > 0)
            slot_read_shim(agent, slot_index(agent, slot));
        if (slot->adopting || slot->fd < 0) {
            slot->adopting = false;
            hang_up(slot); /* a shim that does not speak: the machine has it cleared */
            continue;
        }
        event.adopted.running = slot->adopted_running;
        event.adopted.exit_code = slot->exit_code;
        event.adopted.said_ready = str_equal(slot->last_word, "ready");
        event.adopted.said_drained = str_equal(slot->last_word, "drained");
        event.adopted.lease_us = slot->lease_us;
        if (record->spec.http)
            port_recall(agent, slot);
        memcpy(event.endpoint, slot->endpoint, sizeof(event.endpoint));
        log_event(LOG_INFO, "instance.adopted", "instance=%s running=%d", record->instance,
                  event.adopted.running ? 1 : 0);
        agent_feed(agent, &event);
    }
}

void slots_tick(struct agent *agent, int64_t now)
{
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        struct slot *slot = &agent->slots[i];
        if (slot->used && slot->clearing && slot->clear_next <= now && clear_step(agent, slot, now))
            slot->clearing = false;
    }
}

int64_t slots_deadline(const struct agent *agent)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        const struct slot *slot = &agent->slots[i];
        if (slot->used && slot->clearing && slot->clear_next < first)
            first = slot->clear_next;
    }
    return first;
}

void slots_close(struct agent *agent)
{
    for (int i = 0; agent->slots != NULL && i < LIMIT_NODE_INSTANCES; i++)
        if (agent->slots[i].used)
            slot_forget(agent, agent->slots[i].instance);
    free(agent->slots);
    agent->slots = NULL;
}

static struct slot *slot_make(struct agent *agent, const char *instance)
{
    struct slot *slot = slot_find(agent, instance);
    for (int i = 0; slot == NULL && i < LIMIT_NODE_INSTANCES; i++) {
        if (agent->slots[i].used)
            continue;
        slot = &agent->slots[i];
        *slot = (struct slot){.used = true, .fd = -1, .fetch_fd = -1};
        slot->judges[0].fd = slot->judges[1].fd = -1;
        str_format(slot->instance, sizeof(slot->instance), "%s", instance);
    }
    BERTH_ASSERT(slot != NULL, "no slot for %s: the machine has as many instances", instance);
    if (slot->buffer == NULL) {
        slot->buffer = malloc(SLOT_LINE_BYTES);
        BERTH_ASSERT(slot->buffer != NULL, "no memory for the lines of %s", instance);
        lines_init(&slot->lines, slot->buffer, SLOT_LINE_BYTES);
    }
    return slot;
}

static int prepare(struct agent *agent, struct slot *slot, const struct message_spec *spec,
                   int folder_fd, struct error *err)
{
    struct start start = {.limits = {spec->mcpu, spec->memory_bytes, spec->pids_max},
                          .life = slot->life,
                          .log_bytes = agent->options.log_bytes,
                          .log_files = agent->options.log_files};
    int rc = store_artifact_path(&agent->store, spec->digest, start.artifact, err);
    if (rc < 0)
        return rc;
    str_format(slot->cgroup, sizeof(slot->cgroup), "%s/%s/%s", agent->options.cgroup,
               agent->options.name, slot->instance);
    if (agent->host.mode != CGROUP_NONE)
        str_format(start.cgroup, sizeof(start.cgroup), "%s", slot->cgroup);
    str_format(start.cgroup_root, sizeof(start.cgroup_root), "%s", agent->options.cgroup);
    str_format(start.instance, sizeof(start.instance), "%s", slot->instance);
    str_format(start.name, sizeof(start.name), "%s", slot->workload);
    str_format(start.digest, sizeof(start.digest), "%s", spec->digest);
    for (int i = 0; i < spec->arg_count; i++)
        start.args[start.arg_count++] = spec->args[i].value;
    struct arena arena;
    arena_init(&arena, START_BYTES_MAX);
    rc = fill_environment(agent, slot, spec, &start, &arena);
    if (rc < 0)
        rc = error_set(err, rc, 0,
                       "the environment of '%s' is not acceptable: names have no '=', "
                       "none starts with BERTH_",
                       slot->workload);
    if (rc == 0 && unlinkat(folder_fd, START_EXIT, 0) < 0 && errno != ENOENT)
        rc = error_set(err, ERR_IO, errno, "remove the earlier status of %s", slot->instance);
    if (rc == 0)
        rc = start_write(folder_fd, &start, err);
    arena_done(&arena);
    return rc;
}

/* Clean: a path, a home, what the spec names, what Berth tells. */
static int fill_environment(struct agent *agent, const struct slot *slot,
                            const struct message_spec *spec, struct start *start,
                            struct arena *arena)
{
    char folder[LIMIT_PATH_BYTES];
    char at_subject[LIMIT_SUBJECT_BYTES];
    char inbox[LIMIT_SUBJECT_BYTES];
    const char *seed = NULL;
    store_instance_path(&agent->store, slot->instance, folder);
    subject_at(slot->namespace_, slot->workload, slot->instance, at_subject);
    subject_inbox("w", slot->namespace_, inbox);
    for (int i = 0; i < agent->options.seed_count; i++)
        if (str_equal(agent->options.seeds[i].namespace_, slot->namespace_))
            seed = agent->options.seeds[i].path;
    /* A socket's address is at most 107 bytes; the workload starts in this folder. */
    bool fits =
        strlen(folder) + sizeof("/" START_WORK_SOCK) <= sizeof(((struct sockaddr_un *)0)->sun_path);
    int count = 0;
    start->env[count++] = WORKLOAD_PATH;
    start->env[count++] = arena_printf(arena, "HOME=%s", folder);
    for (int i = 0; i < spec->env_count; i++) {
        const struct message_env *env = &spec->env[i];
        if (env->name[0] == 0 || strchr(env->name, '=') != NULL || str_starts(env->name, "BERTH_"))
            return ERR_INVALID;
        if (str_equal(env->name, "PATH"))
            start->env[0] = arena_printf(arena, "PATH=%s", env->value);
        else
            start->env[count++] = arena_printf(arena, "%s=%s", env->name, env->value);
    }
    start->env[count++] =
        arena_printf(arena, "BERTH_SOCKET=%s/" START_WORK_SOCK, fits ? folder : ".");
    start->env[count++] = arena_printf(arena, "BERTH_INSTANCE=%s", slot->instance);
    start->env[count++] = arena_printf(arena, "BERTH_NAMESPACE=%s", slot->namespace_);
    start->env[count++] = arena_printf(arena, "BERTH_APP=%s", slot->app);
    start->env[count++] = arena_printf(arena, "BERTH_WORKLOAD=%s", slot->workload);
    start->env[count++] = arena_printf(arena, "BERTH_REPLICA=%d", slot->replica);
    start->env[count++] = arena_printf(arena, "BERTH_SITE=%s", agent->options.site);
    start->env[count++] = arena_printf(arena, "BERTH_NATS_URL=%s", agent->options.url);
    start->env[count++] = arena_printf(arena, "BERTH_INBOX_PREFIX=%s", inbox);
    start->env[count++] = arena_printf(arena, "BERTH_AT_SUBJECT=%s", at_subject);
    if (slot->endpoint[0] != 0)
        start->env[count++] = arena_printf(arena, "BERTH_ADDRESS=%s", slot->endpoint);
    if (seed != NULL)
        start->env[count++] = arena_printf(arena, "BERTH_NATS_SEED_FILE=%s", seed);
    start->env_count = count;
    for (int i = 0; i < count; i++)
        if (start->env[i] == NULL)
            return ERR_NO_MEMORY;
    return 0;
}

static int launch(struct agent *agent, struct slot *slot, int folder_fd, struct error *err)
{
    char folder[LIMIT_PATH_BYTES];
    int pair[2];
    store_instance_path(&agent->store, slot->instance, folder);
    CLEANUP(cleanup_close) int errors = shim_log_open(folder_fd, err);
    if (errors < 0)
        return errors;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(err, ERR_IO, errno, "make a socket for the shim");
    char *argv[] = {agent->shim_path, folder, NULL};
    int why = spawn(agent->shim_path, argv, pair[1], -1, errors, &slot->shim_pid);
    (void)close(pair[1]);
    if (why != 0) {
        (void)close(pair[0]);
        return error_set(err, ERR_IO, why, "start berth-shim '%.200s'", agent->shim_path);
    }
    slot->fd = pair[0];
    lines_init(&slot->lines, slot->buffer, SLOT_LINE_BYTES);
    if (agent_watch(agent, slot->fd, WATCH_SHIM, slot_index(agent, slot), EPOLLIN) < 0)
        return error_set(err, ERR_IO, errno, "watch the shim of %s", slot->instance);
    return 0;
}

/* A child with an empty environment and nothing open but what is named; -1: /dev/null. */
static int spawn(const char *path, char *const argv[], int fd_as_3, int out, int errors,
                 pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t nothing;
    sigset_t all;
    (void)sigemptyset(&nothing);
    (void)sigfillset(&all);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawnattr_init(&attributes);
    int why = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (why == 0)
        why = out >= 0 ? posix_spawn_file_actions_adddup2(&files, out, 1)
                       : posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    if (why == 0 && errors >= 0)
        why = posix_spawn_file_actions_adddup2(&files, errors, 2);
    if (why == 0 && fd_as_3 >= 0)
        why = posix_spawn_file_actions_adddup2(&files, fd_as_3, START_AGENT_FD);
    if (why == 0)
        why = posix_spawn_file_actions_addclosefrom_np(&files, fd_as_3 >= 0 ? START_AGENT_FD + 1
                                                                            : START_AGENT_FD);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETSID);
    (void)posix_spawnattr_setsigmask(&attributes, &nothing);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    char *envp[] = {NULL};
    pid_t pid = 0;
    if (why == 0)
        why = posix_spawn(&pid, path, &files, &attributes, argv, envp);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&files);
    if (why == 0)
        *ret_pid = pid;
    return why;
}

/* What the shim says before and beside its work; and, as long as the shim has it open, a lock, so
 * that a shim is known to live before it can be reached. It inherits both at its very beginning. */
static int shim_log_open(int folder_fd, struct error *err)
{
    int fd = openat(folder_fd, SHIM_LOG, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open " SHIM_LOG " in the instance's folder");
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        (void)close(fd);
        return error_set(err, ERR_LOCKED, 0, "an earlier berth-shim of it has not ended yet");
    }
    (void)!ftruncate(fd, 0);
    return fd;
}

static bool shim_lives(struct agent *agent, const char *instance)
{
    char path[LIMIT_ID_BYTES + 16];
    str_format(path, sizeof(path), "%s/" SHIM_LOG, instance);
    CLEANUP(cleanup_close)
    int fd = openat(agent->store.instances_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* A shim is known by its folder, its only argument. Returns how many there were. */
static int kill_shim(struct agent *agent, const char *instance)
{
    char folder[LIMIT_PATH_BYTES];
    int count = 0;
    store_instance_path(&agent->store, instance, folder);
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    while (processes != NULL && (entry = readdir(processes)) != NULL) {
        int64_t pid;
        if (str_to_i64(entry->d_name, &pid) < 0 || pid <= 1 || pid == getpid())
            continue;
        if (process_has(pid, "cmdline", folder) && kill((pid_t)pid, SIGKILL) == 0)
            count++;
    }
    if (processes != NULL)
        (void)closedir(processes);
    return count;
}

/* An agent may have died just after it had made a shim: that is waited for. */
static int reach_soon(struct agent *agent, const char *instance)
{
    int fd = reach(agent, instance);
    for (int ms = 0; fd < 0 && ms < AGENT_ADOPT_MS && shim_lives(agent, instance); ms += 5) {
        (void)poll(NULL, 0, 5);
        fd = reach(agent, instance);
    }
    return fd;
}

/* Connects to the shim of an instance; -1 when there is none. The folder's path may be longer than
 * a socket's address: it is named through its descriptor. */
static int reach(struct agent *agent, const char *instance)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP(cleanup_close)
    int folder =
        openat(agent->store.instances_fd, instance, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return -1;
    str_format(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder,
               START_AGENT_SOCK);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static void shim_line(void *context, const char *text, size_t bytes, bool end)
{
    struct line_context *at = context;
    char line[SLOT_LINE_BYTES + 1];
    (void)end;
    if (at->slot->fd < 0 && !at->slot->adopting)
        return;
    memcpy(line, text, bytes);
    line[bytes] = 0;
    take_line(at->agent, at->slot, line, bytes);
}

static void take_line(struct agent *agent, struct slot *slot, char *line, size_t bytes)
{
    struct contract_line word;
    if (str_starts(line, "log ") && bytes >= 6) {
        publish_log(agent, slot, line[4] == '2' ? 2 : 1, line + 6, bytes - 6);
    } else if (str_starts(line, "adopt ")) {
        take_adopt(slot, line + 6);
    } else if (str_starts(line, "running ")) {
        struct node_event event;
        slot->started = true;
        agent_event(&event, NODE_EV_SPAWNED, slot->instance);
        memcpy(event.endpoint, slot->endpoint, sizeof(event.endpoint));
        agent_feed(agent, &event);
    } else if (str_starts(line, "unstarted ")) {
        char *blank = strchr(line + 10, ' ');
        int64_t code = ERR_IO;
        if (blank != NULL)
            *blank = 0;
        if (str_to_i64(line + 10, &code) < 0 || code >= 0 || code < -999)
            code = ERR_IO;
        slot->ended = true;
        agent_result(agent, NODE_EV_SPAWNED, slot->instance, (int)code,
                     blank == NULL ? "the shim failed" : blank + 1);
    } else if (str_starts(line, "exit ")) {
        int64_t code;
        slot->ended = true;
        slot->exit_code = str_to_i64(line + 5, &code) == 0 ? (int)code : -1;
        struct node_event event;
        agent_event(&event, NODE_EV_EXITED, slot->instance);
        event.exit_code = slot->exit_code;
        agent_feed(agent, &event);
        slot->clear_next = clock_boot_now().us; /* what waits for it need not wait longer */
    } else if (str_starts(line, "lost ")) {
        log_event(LOG_WARN, "log.lost", "instance=%s lines=%s", slot->instance, line + 5);
    } else if (contract_line_parse(line, bytes, &word, NULL) == 0) {
        if (word.word == CONTRACT_COUNT) {
            slot->counters[word.counter] = word.total;
            slot->counted[word.counter] = true;
        } else {
            log_event(LOG_DEBUG, "workload.said", "instance=%s word=%.*s", slot->instance,
                      (int)strcspn(line, " "), line);
            said(agent, slot, &word);
        }
    }
}

/* "<running|ended> <exit> <last word> <life> <pid> <lease>"; a shim of before leases says five. */
static void take_adopt(struct slot *slot, const char *rest)
{
    char state[16];
    char word[16];
    int exit_code;
    long long life;
    long long lease_us = 0;
    int pid;
    slot->adopting = false;
    if (sscanf(rest, "%15s %d %15s %lld %d %lld", state, &exit_code, word, &life, &pid, &lease_us) <
        5)
        return;
    slot->lease_us = lease_us;
    slot->adopted_running = str_equal(state, "running");
    slot->started = true;
    slot->ended = !slot->adopted_running;
    slot->exit_code = exit_code;
    slot->life = life;
    str_format(slot->last_word, sizeof(slot->last_word), "%s", word);
}

static void said(struct agent *agent, struct slot *slot, const struct contract_line *line)
{
    static const enum workload_word words[] = {
        [CONTRACT_READY] = SAID_READY,       [CONTRACT_DRAINED] = SAID_DRAINED,
        [CONTRACT_RESUMED] = SAID_RESUMED,   [CONTRACT_FROZEN] = SAID_FROZEN,
        [CONTRACT_OWNED] = SAID_OWNED,       [CONTRACT_SNAPSHOTTED] = SAID_SNAPSHOTTED,
        [CONTRACT_RESTORED] = SAID_RESTORED, [CONTRACT_FAILED] = SAID_FAILED,
    };
    struct node_event event;
    if (line->word <= CONTRACT_RESUMED)
        str_format(slot->last_word, sizeof(slot->last_word), "%s",
                   line->word == CONTRACT_DRAINED ? "drained" : "ready");
    agent_event(&event, NODE_EV_SAID, slot->instance);
    event.said = words[line->word];
    event.round = line->round;
    event.said_text = line->text;
    agent_feed(agent, &event);
}

/* The shim is gone. After "exit" that is its way; before, it was killed, and its workload's main
 * process with it. */
static void shim_gone(struct agent *agent, struct slot *slot)
{
    bool told = slot->ended;
    bool started = slot->started;
    hang_up(slot);
    if (told || slot->adopting)
        return;
    slot->ended = true;
    slot->clear_next = clock_boot_now().us;
    if (!started) {
        agent_result(agent, NODE_EV_SPAWNED, slot->instance, ERR_IO,
                     "berth-shim ended before the workload began: see shim.log in its folder");
        return;
    }
    struct node_event event;
    agent_event(&event, NODE_EV_EXITED, slot->instance);
    event.exit_code = -1;
    agent_feed(agent, &event);
}

static void hang_up(struct slot *slot)
{
    if (slot->fd >= 0)
        (void)close(slot->fd);
    slot->fd = -1;
    slot->lines.bytes = 0;
}

/* One look at an instance that is being cleared; true when that is over, one way or the other. */
static bool clear_step(struct agent *agent, struct slot *slot, int64_t now)
{
    struct error err;
    slot->clear_next = now + SLOT_CLEAR_US;
    bool lost = slot->fd < 0 && shim_lives(agent, slot->instance);
    bool shim_done = !lost && (slot->ended || slot->fd < 0);
    if (lost && kill_shim(agent, slot->instance) > 0)
        log_event(LOG_WARN, "shim.unreachable", "instance=%s killed", slot->instance);
    bool empty = agent->host.mode == CGROUP_NONE
                     ? slot->fd >= 0 || kill_by_environment(slot->instance) == 0
                     : cgroup_is_empty(&agent->host, slot->cgroup);
    if (shim_done && empty) {
        int rc =
            agent->host.mode == CGROUP_NONE ? 0 : cgroup_remove(&agent->host, slot->cgroup, &err);
        if (rc == 0) {
            slot_say(agent, slot->instance, "collected\n");
            hang_up(slot);
            slot->clearing = false;
            slot->started = false;
            agent_result(agent, NODE_EV_CLEARED, slot->instance, 0, "");
            return true;
        }
    } else if (shim_done && agent->host.mode != CGROUP_NONE) {
        cgroup_kill(&agent->host, slot->cgroup);
    }
    if (now - slot->clear_from > SLOT_CLEAR_HARD_US && slot->fd >= 0 && !slot->ended) {
        struct ucred peer;
        socklen_t bytes = sizeof(peer);
        if (getsockopt(slot->fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 && peer.pid > 1 &&
            peer.pid != getpid())
            (void)kill(peer.pid, SIGKILL);
        else if (slot->shim_pid > 1)
            (void)kill(slot->shim_pid, SIGKILL);
    }
    if (now - slot->clear_from < SLOT_CLEAR_MAX_US)
        return false;
    slot->clearing = false;
    agent_result(agent, NODE_EV_CLEARED, slot->instance, ERR_IO,
                 "processes of it do not end although they are killed");
    return true;
}

/* Without cgroups and without a shim: what carries the instance's name in its environment is
 * killed. Returns how many there were. */
static int kill_by_environment(const char *instance)
{
    char wanted[LIMIT_ID_BYTES + 24];
    int count = 0;
    str_format(wanted, sizeof(wanted), "BERTH_INSTANCE=%s", instance);
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    while (processes != NULL && (entry = readdir(processes)) != NULL) {
        int64_t pid;
        if (str_to_i64(entry->d_name, &pid) < 0 || pid <= 1)
            continue;
        if (process_has(pid, "environ", wanted) && kill((pid_t)pid, SIGKILL) == 0)
            count++;
    }
    if (processes != NULL)
        (void)closedir(processes);
    return count;
}

/* Whether one of the words in that file of /proc, each ended by a zero byte, is `wanted`. */
static bool process_has(int64_t pid, const char *name, const char *wanted)
{
    char path[64];
    str_format(path, sizeof(path), "/proc/%" PRId64 "/%s", pid, name);
    CLEANUP(cleanup_file) FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t capacity = 0;
    bool found = false;
    while (!found && file != NULL && getdelim(&text, &capacity, 0, file) > 0)
        found = str_equal(text, wanted);
    free(text);
    return found;
}

static void fetch_end(struct agent *agent, struct slot *slot)
{
    (void)close(slot->fetch_fd);
    slot->fetch_fd = -1;
    slot->fetch_pid = 0;
    slot->fetch_text[slot->fetch_bytes] = 0;
    slot->fetch_text[strcspn(slot->fetch_text, "\n")] = 0;
    char *blank = strchr(slot->fetch_text, ' ');
    int64_t code = ERR_IO;
    if (blank != NULL)
        *blank = 0;
    if (str_to_i64(slot->fetch_text, &code) < 0 || code > 0 || code < -999)
        code = ERR_IO;
    agent_result(agent, NODE_EV_FETCHED, slot->instance, (int)code,
                 blank == NULL ? "the fetch ended without a word" : blank + 1);
}
