#include "tests/live/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "tests/live/cluster_internal.h"

static pid_t spawn(const struct cluster *cluster, const char *log, const char *const *argv,
                   bool far);
static void go_apart(struct cluster *cluster);
static int enter_far(void *context);
static void guard_start(struct cluster *cluster);
static void disks_mount(const struct cluster *cluster);
static void disks_unmount(const struct cluster *cluster);
static void users_make(struct cluster *cluster);
static void world_write(const struct cluster *cluster);
static void server_write(const struct cluster *cluster, bool leaf, char **ret_text);
static void proxy_start(struct cluster *cluster);

static const struct cluster_options defaults = {
    .delay_ms = 40, .healthy_min_ms = 500, .node_timeout_ms = 10000};

bool cluster_start_apart(struct cluster *cluster, const struct cluster_options *options)
{
    struct netns netns;
    if (!netns_open(&netns))
        return false;
    struct cluster_options apart = *options;
    apart.apart = true;
    cluster->netns = netns;
    cluster_start(cluster, &apart);
    return true;
}

void cluster_start(struct cluster *cluster, const struct cluster_options *options)
{
    struct error err = {0};
    *cluster = (struct cluster){.options = options != NULL ? *options : defaults,
                                .netns = options != NULL && options->apart ? cluster->netns
                                                                           : (struct netns){0},
                                .nodes = {{.name = "gcp", .site = "gcp/us-central1"},
                                          {.name = "aws", .site = "aws/us-east-1"}}};
    if (cluster->options.delay_ms == 0)
        cluster->options.delay_ms = defaults.delay_ms;
    if (cluster->options.healthy_min_ms == 0)
        cluster->options.healthy_min_ms = defaults.healthy_min_ms;
    if (cluster->options.delay_ms < 0)
        cluster->options.delay_ms = 0;
    if (cluster->options.back_delay_ms == 0)
        cluster->options.back_delay_ms = cluster->options.delay_ms;
    if (cluster->options.node_timeout_ms == 0)
        cluster->options.node_timeout_ms = defaults.node_timeout_ms;
    if (keys_init(&err) < 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < CLUSTER_NODES; i++) {
        bool tls = cluster->options.ingress[i] && cluster->options.tls;
        cluster->nodes[i].http_port = cluster->options.ingress[i] ? test_port_free() : 0;
        cluster->nodes[i].https_port = tls ? test_port_free() : 0;
    }
    if (cluster->options.ingress[0] || cluster->options.ingress[1])
        test_haproxy_find();
    test_server_init(&cluster->hub);
    test_server_init(&cluster->leaf);
    if (cluster->netns.pid > 0)
        go_apart(cluster);
    char unique[LIMIT_ID_BYTES];
    id_random(unique);
    str_format(cluster->cgroup, sizeof(cluster->cgroup), "berth-test-%.8s", unique);
    guard_start(cluster); /* before any thread of NATS */
    if (cluster->options.scheduler_dir != NULL)
        str_format(cluster->scheduler_dir, sizeof(cluster->scheduler_dir), "%s",
                   cluster->options.scheduler_dir);
    else
        str_format(cluster->scheduler_dir, sizeof(cluster->scheduler_dir), "%s/scheduler",
                   cluster->hub.folder);
    (void)mkdir(cluster->scheduler_dir, 0700);
    users_make(cluster);
    if (cluster->options.tls)
        cluster_certificate(cluster, "ingress", cluster->ca);
    world_write(cluster);
    cluster_servers_start(cluster);
    cluster->operator_bus = cluster_connect(cluster, CLUSTER_USER_OPERATOR, cluster->hub.url);
    if (!cluster->options.no_scheduler)
        cluster_scheduler_start(cluster);
    if (cluster->options.node_disk_mib > 0)
        disks_mount(cluster);
    for (int i = 0; i < CLUSTER_NODES; i++)
        cluster_node_start(cluster, i);
    if (!cluster->options.no_scheduler)
        cluster_nodes_wait(cluster, CLUSTER_NODES);
}

void cluster_done(struct cluster *cluster)
{
    bus_close(cluster->operator_bus);
    cluster->operator_bus = NULL;
    cluster_kill(&cluster->load_pid);
    cluster_kill(&cluster->scheduler_pid);
    for (int i = 0; i < CLUSTER_NODES; i++)
        cluster_kill(&cluster->nodes[i].pid);
    cluster_kill(&cluster->proxy_pid);
    if (cluster->netns.pid > 0)
        netns_cut(&cluster->netns, NETNS_WHOLE);
    if (cluster->hub.folder[0] != 0)
        cluster_sweep(cluster->hub.folder, cluster->cgroup);
    if (cluster->options.node_disk_mib > 0 && cluster->hub.folder[0] != 0)
        disks_unmount(cluster);
    const char *keep = getenv("BERTH_TEST_KEEP");
    if (keep != NULL && cluster->hub.folder[0] != 0) {
        print_message("kept: %s\n", cluster->hub.folder);
        test_server_stop(&cluster->hub);
        cluster->hub.folder[0] = 0;
    }
    test_server_done(&cluster->leaf);
    test_server_done(&cluster->hub);
    netns_close(&cluster->netns);
    if (cluster->guard_pid > 0) {
        (void)!write(cluster->guard_fd, "q", 1);
        close(cluster->guard_fd);
        waitpid(cluster->guard_pid, NULL, 0);
    }
    *cluster = (struct cluster){0};
}

static void disks_mount(const struct cluster *cluster)
{
    char path[700], options[64];
    str_format(options, sizeof(options), "size=%dm,mode=0700", cluster->options.node_disk_mib);
    for (int i = 0; i < CLUSTER_NODES; i++) {
        str_format(path, sizeof(path), "%s/%s", cluster->hub.folder, cluster->nodes[i].name);
        if (mkdir(path, 0700) < 0 || mount("berth-test", path, "tmpfs", 0, options) < 0)
            fail_msg("a disk for %s: %s", cluster->nodes[i].name, strerror(errno));
    }
}

static void disks_unmount(const struct cluster *cluster)
{
    char path[700];
    for (int i = 0; i < CLUSTER_NODES; i++) {
        str_format(path, sizeof(path), "%s/%s", cluster->hub.folder, cluster->nodes[i].name);
        (void)umount2(path, MNT_DETACH);
    }
}

/* ---- programs ---- */

const char *cluster_program(const char *name, char out[700])
{
    str_format(out, 700, "%s%s", name[0] == '/' ? "" : BERTH_BINARY_DIR "/bin/", name);
    if (access(out, X_OK) != 0)
        fail_msg("%s is not there: build it first (%s)", out, strerror(errno));
    return out;
}

pid_t cluster_spawn(const struct cluster *cluster, const char *log, const char *const *argv)
{
    return spawn(cluster, log, argv, false);
}

pid_t cluster_spawn_far(const struct cluster *cluster, const char *log, const char *const *argv)
{
    return spawn(cluster, log, argv, cluster->netns.pid > 0);
}

static pid_t spawn(const struct cluster *cluster, const char *log, const char *const *argv,
                   bool far)
{
    char path[700];
    str_format(path, sizeof(path), "%s/%s.log", cluster->hub.folder, log);
    pid_t parent = getpid();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(125);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    /* By this, what it starts is found again: whoever has the folder in its environment. */
    setenv("BERTH_TEST_FOLDER", cluster->hub.folder, 1);
    if (far && netns_enter(&cluster->netns) < 0)
        _exit(124);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(126);
}

int cluster_wait(pid_t *pid, int64_t limit_us)
{
    int64_t until_us = clock_mono_now().us + limit_us;
    int status = 0;
    for (;;) {
        pid_t got = waitpid(*pid, &status, WNOHANG);
        assert_true(got >= 0);
        if (got == *pid)
            break;
        if (clock_mono_now().us > until_us) {
            cluster_kill(pid);
            fail_msg("a program did not end within %" PRId64 " s", limit_us / US_PER_S);
        }
        cluster_pause(5 * US_PER_MS);
    }
    *pid = 0;
    return status;
}

int cluster_stop(pid_t *pid)
{
    if (*pid <= 0)
        return 0;
    kill(*pid, SIGTERM);
    return cluster_wait(pid, CLUSTER_WAIT_US);
}

void cluster_kill(pid_t *pid)
{
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

void cluster_scheduler_argv(struct cluster *cluster, const char **argv)
{
    static char program[700], seed[700], world[700];
    cluster_user_seed(cluster, CLUSTER_USER_SCHEDULER, seed);
    str_format(world, sizeof(world), "%s/world.yaml", cluster->hub.folder);
    const char *const words[] = {cluster_program("berth", program),
                                 "scheduler",
                                 "--state",
                                 cluster->scheduler_dir,
                                 "--url",
                                 cluster->hub.url,
                                 "--seed",
                                 seed,
                                 "--world",
                                 world,
                                 NULL};
    memcpy(argv, words, sizeof(words));
}

void cluster_scheduler_start(struct cluster *cluster)
{
    const char *argv[CLUSTER_ARGS_MAX];
    cluster_scheduler_argv(cluster, argv);
    cluster->scheduler_pid = cluster_spawn(cluster, "scheduler", argv);
}

void cluster_node_start(struct cluster *cluster, int node)
{
    struct cluster_node *self = &cluster->nodes[node];
    char program[700], seed[700], workloads[700], workload_seed[720], state[700], ingress[900],
        https[820] = "";
    cluster_user_seed(cluster, CLUSTER_USER_GCP + node, seed);
    cluster_user_seed(cluster, CLUSTER_USER_WORKLOADS, workloads);
    str_format(workload_seed, sizeof(workload_seed), "default=%s", workloads);
    str_format(state, sizeof(state), "%s/%s", cluster->hub.folder, self->name);
    const char *apart = NULL;
    if (cluster->netns.pid > 0)
        apart = node == CLUSTER_AWS ? cluster->netns.far : cluster->netns.near;
    if (self->https_port != 0)
        str_format(https, sizeof(https), ",https=%s:%d,cert=%s/ingress.pem",
                   apart == NULL ? "127.0.0.1" : apart, self->https_port, cluster->hub.folder);
    str_format(ingress, sizeof(ingress), "http=%s:%d,threads=1%s",
               apart == NULL ? "127.0.0.1" : apart, self->http_port, https);
    const char *const argv[] = {cluster_program("berth-node", program),
                                "--name",
                                self->name,
                                "--site",
                                self->site,
                                "--url",
                                node == CLUSTER_AWS ? cluster->leaf.url : cluster->hub.url,
                                "--state",
                                state,
                                "--seed",
                                seed,
                                "--workload-seed",
                                workload_seed,
                                "--mcpu",
                                "4000",
                                "--memory",
                                "8GiB",
                                "--cgroup",
                                cluster->cgroup,
                                "--address",
                                apart == NULL ? "127.0.0.1" : apart,
                                self->http_port != 0 ? "--ingress" : NULL,
                                ingress,
                                NULL};
    self->pid = node == CLUSTER_AWS ? cluster_spawn_far(cluster, self->name, argv)
                                    : cluster_spawn(cluster, self->name, argv);
}

void cluster_servers_start(struct cluster *cluster)
{
    CLEANUP(cleanup_free) char *hub = NULL;
    CLEANUP(cleanup_free) char *leaf = NULL;
    test_server_stop(&cluster->leaf);
    test_server_stop(&cluster->hub);
    server_write(cluster, false, &hub);
    test_server_start(&cluster->hub, hub);
    if (cluster->proxy_pid == 0 && cluster->netns.pid == 0)
        proxy_start(cluster);
    server_write(cluster, true, &leaf);
    test_server_start(&cluster->leaf, leaf);
}

void cluster_user_seed(const struct cluster *cluster, int user, char out[700])
{
    str_format(out, 700, "%s/user-%d.seed", cluster->hub.folder, user);
}

struct bus *cluster_connect(const struct cluster *cluster, int user, const char *url)
{
    struct error err = {0};
    struct bus *bus = NULL;
    char seed[700], inbox[LIMIT_SUBJECT_BYTES];
    cluster_user_seed(cluster, user, seed);
    server_user_inbox(&cluster->users[user], inbox);
    struct bus_options options = {
        .url = url, .name = "test", .seed_path = seed, .inbox_prefix = inbox};
    if (bus_open(&options, &bus, &err) < 0)
        fail_msg("connect as user %d to %s: %s", user, url, err.text);
    return bus;
}

void cluster_log_print(const struct cluster *cluster, const char *log)
{
    char path[700], line[1024];
    str_format(path, sizeof(path), "%s/%s.log", cluster->hub.folder, log);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fseek(file, -6000, SEEK_END) == 0)
        (void)!fgets(line, sizeof(line), file);
    while (fgets(line, sizeof(line), file) != NULL)
        print_error("%s: %s", log, line);
    fclose(file);
}

bool cluster_log_has(const struct cluster *cluster, const char *log, const char *text)
{
    char path[700], line[4096];
    bool found = false;
    str_format(path, sizeof(path), "%s/%s.log", cluster->hub.folder, log);
    FILE *file = fopen(path, "re");
    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
        found = strstr(line, text) != NULL;
    if (file != NULL)
        fclose(file);
    return found;
}

void cluster_pause(int64_t us)
{
    struct timespec pause = {.tv_sec = us / US_PER_S, .tv_nsec = us % US_PER_S * 1000};
    nanosleep(&pause, NULL);
}

/* ---- set-up ---- */

static void go_apart(struct cluster *cluster)
{
    const struct cluster_options *options = &cluster->options;
    netns_delay(&cluster->netns, options->back_delay_ms * US_PER_MS, options->delay_ms * US_PER_MS,
                options->jitter_ms * US_PER_MS);
    cluster->leaf.enter = enter_far;
    cluster->leaf.enter_context = &cluster->netns;
    str_format(cluster->leaf.address, sizeof(cluster->leaf.address), "%s", cluster->netns.far);
    str_format(cluster->leaf.url, sizeof(cluster->leaf.url), "nats://%s:%d", cluster->netns.far,
               cluster->leaf.port);
}

static int enter_far(void *context)
{
    return netns_enter(context);
}

/* A process that outlives this one if it must: when the pipe closes without a word, it sweeps. */
static void guard_start(struct cluster *cluster)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char word = 0;
        (void)setsid();
        for (int i = 1; i < NSIG; i++)
            (void)signal(i, SIG_IGN);
        close(fds[1]);
        ssize_t got;
        do {
            got = read(fds[0], &word, 1);
        } while (got < 0 && errno == EINTR);
        if (got <= 0) {
            cluster_sweep(cluster->hub.folder, cluster->cgroup);
            test_folder_remove(cluster->leaf.folder);
            test_folder_remove(cluster->hub.folder);
        }
        _exit(0);
    }
    close(fds[0]);
    cluster->guard_pid = pid;
    cluster->guard_fd = fds[1];
}

void cluster_certificate(const struct cluster *cluster, const char *name, char ret_path[700])
{
    char command[2048];
    const char *folder = cluster->hub.folder;
    str_format(command, sizeof(command),
               "cd '%s' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
               "-nodes -days 2 -subj /CN=web.test -addext subjectAltName=DNS:web.test "
               "-keyout %s.key -out %s.crt 2>%s.log && cat %s.crt %s.key >%s.pem",
               folder, name, name, name, name, name, name);
    if (system(command) != 0)
        fail_msg("openssl made no certificate: see %s/%s.log", folder, name);
    str_format(ret_path, 700, "%s/%s.crt", folder, name);
}

static void users_make(struct cluster *cluster)
{
    static const struct server_user users[CLUSTER_USERS] = {
        [CLUSTER_USER_SCHEDULER] = {.role = SERVER_SCHEDULER, .name = "scheduler"},
        [CLUSTER_USER_GCP] = {.role = SERVER_NODE, .name = "gcp"},
        [CLUSTER_USER_AWS] = {.role = SERVER_NODE, .name = "aws"},
        [CLUSTER_USER_WORKLOADS] = {.role = SERVER_WORKLOADS, .name = "default"},
        [CLUSTER_USER_OPERATOR] = {.role = SERVER_OPERATOR, .name = "me"},
        [CLUSTER_USER_CLIENT] = {.role = SERVER_CLIENT, .name = "load", .namespace_ = "default"},
        [CLUSTER_USER_LEAF] = {.role = SERVER_LEAF, .name = "leaf"},
        [CLUSTER_USER_LOG] = {.role = SERVER_LOG, .name = "default"},
    };
    memcpy(cluster->users, users, sizeof(users));
    for (int i = 0; i < CLUSTER_USERS; i++) {
        struct error err = {0};
        char seed[700];
        cluster_user_seed(cluster, i, seed);
        if (nkey_file_ensure(seed, cluster->users[i].public_key, &err) < 0)
            fail_msg("%s", err.text);
        static const char *const prefixes[CLUSTER_USERS] = {[CLUSTER_USER_SCHEDULER] = "",
                                                            [CLUSTER_USER_GCP] = "node-",
                                                            [CLUSTER_USER_AWS] = "node-",
                                                            [CLUSTER_USER_OPERATOR] = "operator-"};
        char public_path[800];
        if (prefixes[i] == NULL)
            continue;
        str_format(public_path, sizeof(public_path), "%s/%s%s.pub", cluster->hub.folder,
                   prefixes[i], cluster->users[i].name);
        if (proof_publish(seed, public_path, &err) < 0)
            fail_msg("%s", err.text);
    }
    struct error err = {0};
    char seed[700];
    cluster_user_seed(cluster, CLUSTER_USER_OPERATOR, seed);
    if (proof_link_open_user("operator", cluster->users[CLUSTER_USER_OPERATOR].name, seed, "",
                             &cluster->operator_link, &err) < 0)
        fail_msg("%s", err.text);
}

/* Two sites of one price, so that only rules move anything; distances are as the proxy makes them.
 */
static void world_write(const struct cluster *cluster)
{
    char path[700];
    str_format(path, sizeof(path), "%s/world.yaml", cluster->hub.folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file,
            "world: test\n"
            "currency: USD\n"
            "accounts:\n"
            "  - {name: gcp-main, provider: gcp}\n"
            "  - {name: aws-main, provider: aws}\n"
            "sites:\n"
            "  - {name: gcp/us-central1, tier: cloud, account: gcp-main,\n"
            "     price: {cpu: 0.03, memory: 0.004}}\n"
            "  - {name: aws/us-east-1, tier: cloud, account: aws-main,\n"
            "     price: {cpu: 0.03, memory: 0.004}}\n"
            "latency:\n"
            "  mode: declared\n"
            "  pairs:\n"
            "    - {between: [gcp/us-central1, aws/us-east-1], rtt: %" PRId64 "ms}\n"
            "policy: {horizon: 1h, dwell: 1s, settle: 100ms, healthy_min: %" PRId64
            "ms, node_timeout: %" PRId64 "ms}\n",
            cluster->options.delay_ms + cluster->options.back_delay_ms,
            cluster->options.healthy_min_ms, cluster->options.node_timeout_ms);
    assert_int_equal(fclose(file), 0);
}

static void seed_read(const struct cluster *cluster, int user, char seed[NKEY_TEXT_BYTES + 2])
{
    char path[700];
    cluster_user_seed(cluster, user, path);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(seed, NKEY_TEXT_BYTES + 2, file));
    fclose(file);
    seed[strcspn(seed, "\r\n")] = 0;
}

static void server_write(const struct cluster *cluster, bool leaf, char **ret_text)
{
    struct error err = {0};
    char remote[64], seed[NKEY_TEXT_BYTES + 2] = "", log_seed[NKEY_TEXT_BYTES + 2] = "", store[600];
    const struct server_log_remote log = {"default", log_seed};
    bool apart = cluster->netns.pid > 0;
    str_format(remote, sizeof(remote), "nats://%s:%d", apart ? cluster->netns.near : "127.0.0.1",
               apart ? cluster->hub.leaf_port : cluster->proxy_port);
    str_format(store, sizeof(store), "%s/js", cluster->hub.folder);
    seed_read(cluster, CLUSTER_USER_LEAF, seed);
    seed_read(cluster, CLUSTER_USER_LOG, log_seed);
    struct server_config config = {.server_name = "hub",
                                   .host = apart ? "0.0.0.0" : NULL,
                                   .port = cluster->hub.port,
                                   .leaf_port = cluster->hub.leaf_port,
                                   .store_dir = store,
                                   .users = cluster->users,
                                   .user_count = CLUSTER_USERS};
    if (leaf)
        config = (struct server_config){.server_name = "leaf",
                                        .host = apart ? "0.0.0.0" : NULL,
                                        .port = cluster->leaf.port,
                                        .remote_url = remote,
                                        .remote_seed = seed,
                                        .logs = &log,
                                        .log_count = 1,
                                        .users = cluster->users,
                                        .user_count = CLUSTER_USERS};
    struct strbuf text;
    strbuf_init(&text, 1 << 20);
    if (server_config_write(&config, &text, &err) < 0)
        fail_msg("%s", err.text);
    *ret_text = strdup(strbuf_text(&text));
    strbuf_done(&text);
    assert_non_null(*ret_text);
}

static void proxy_start(struct cluster *cluster)
{
    char program[700], delay[24], back[24], jitter[24], to[64], path[700], line[64] = "";
    str_format(delay, sizeof(delay), "%" PRId64, cluster->options.delay_ms);
    str_format(back, sizeof(back), "%" PRId64, cluster->options.back_delay_ms);
    str_format(jitter, sizeof(jitter), "%" PRId64, cluster->options.jitter_ms);
    str_format(to, sizeof(to), "127.0.0.1:%d", cluster->hub.leaf_port);
    const char *const argv[] = {cluster_program("delay-proxy", program),
                                "--listen",
                                "127.0.0.1:0",
                                "--to",
                                to,
                                "--delay-ms",
                                delay,
                                "--back-delay-ms",
                                back,
                                "--jitter-ms",
                                jitter,
                                NULL};
    cluster->proxy_pid = cluster_spawn(cluster, "proxy", argv);
    str_format(path, sizeof(path), "%s/proxy.log", cluster->hub.folder);
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    int64_t port = 0;
    while (port == 0 && clock_mono_now().us < until_us) {
        FILE *file = fopen(path, "re");
        if (file != NULL && fgets(line, sizeof(line), file) != NULL &&
            str_starts(line, "listening ") && line[strcspn(line, "\n")] == '\n') {
            line[strcspn(line, "\n")] = 0;
            assert_int_equal(str_to_i64(line + strlen("listening "), &port), 0);
        }
        if (file != NULL)
            fclose(file);
        cluster_pause(5 * US_PER_MS);
    }
    if (port == 0)
        fail_msg("delay-proxy did not listen: '%s'", line);
    cluster->proxy_port = (int)port;
}
