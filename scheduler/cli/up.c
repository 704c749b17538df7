#include "scheduler/cli/up.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "scheduler/cli/find_dir.h"
#include "scheduler/cli/table.h"

#define DETACH_READY '+'

static int run_up(struct cli *cli, void *options, const struct option_words *words,
                  struct error *err);
static int run_here(struct cli *cli, struct up *up, int ready_fd, struct error *err);
static int run_detached(struct cli *cli, struct up *up, struct error *err);
static int go_quiet(const struct up *up, int ready_fd, struct error *err);
static int block_signals(struct error *err);
static int watch(struct up *up, struct error *err);
static void tell(void *context, const struct child *child, const char *text);
static int print_status(const struct cli *cli, const struct up *up, struct error *err);
static void status_rows(const struct up *up, struct table *table);

static const struct option_row rows[] = {
    {"world", 0, OPTION_TEXT, "FILE",
     "the world: sites, prices, latencies (needed at the first start)",
     offsetof(struct up_options, world), 0, 0},
    {"node", 0, OPTION_LIST,
     "NAME=SITE[,leaf=LEAF][,mcpu=N][,memory=SIZE][,ingress=PORT][,https=PORT,cert=FILE]",
     "run an executor node on this machine that stands at SITE, with an HTTP ingress if told so; "
     "may be repeated",
     offsetof(struct up_options, nodes), 0, 0},
    {"leaf", 0, OPTION_LIST, "NAME[,via=HOST:PORT][,port=N]",
     "run a leaf server, which joins the hub (through HOST:PORT) and serves nodes at a distance; "
     "may be repeated",
     offsetof(struct up_options, leafs), 0, 0},
    {"probe", 0, OPTION_LIST, "NAME",
     "a key for the berth-probe of that name (keys/probe-NAME); may be repeated",
     offsetof(struct up_options, probes), 0, 0},
    {"namespace", 0, OPTION_LIST, "NS",
     "a namespace besides \"default\": keys for its workloads and clients; may be repeated",
     offsetof(struct up_options, namespaces), 0, 0},
    {"port", 0, OPTION_INT, "N", "port of the NATS server (default: 4222)",
     offsetof(struct up_options, port), 1, 65535},
    {"leaf-port", 0, OPTION_INT, "N", "port where leaf servers join (default: 7422)",
     offsetof(struct up_options, leaf_port), 1, 65535},
    {"metrics", 0, OPTION_TEXT, "ADDRESS:PORT",
     "the scheduler serves its own metrics there for Prometheus, as in 127.0.0.1:9464",
     offsetof(struct up_options, metrics), 0, 0},
    {"free-ports", 0, OPTION_FLAG, NULL, "take any free port where none is given",
     offsetof(struct up_options, free_ports), 0, 0},
    {"keep-workloads", 0, OPTION_FLAG, NULL,
     "leave the workloads running at the end; the next `up` here finds them again",
     offsetof(struct up_options, keep_workloads), 0, 0},
    {"detach", 'd', OPTION_FLAG, NULL, "return when everything runs; `berth down` stops it",
     offsetof(struct up_options, detach), 0, 0},
};

const struct command command_up = {
    .name = "up",
    .synopsis = "--world FILE [--node NAME=SITE]... [options]",
    .summary = "Start Berth on this machine: a private NATS server, the scheduler, nodes",
    .text =
        "Everything lives in one folder (.berth, or --dir): keys, configurations, journal, logs.\n"
        "Keys that are there are used again. What dies is started again, with back-off. Ctrl-C\n"
        "stops all of it in order, workloads included, and leaves nothing running.\n",
    .examples =
        "  berth up --world examples/worlds/demo.yaml --node n1=gcp/us-central1\n"
        "  berth up --world w.yaml --node e1=edge/nyc --node a1=aws/us-east-1,leaf=far --leaf far\n"
        "  berth up --world w.yaml --node n1=edge/nyc,mcpu=2000,memory=1GiB --free-ports "
        "--detach\n"
        "  berth up --world w.yaml --node n1=edge/nyc,ingress=8080 --node a1=aws/us-east-1\n",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .options_bytes = sizeof(struct up_options),
    .run = run_up,
};

static int run_up(struct cli *cli, void *options, const struct option_words *words,
                  struct error *err)
{
    (void)words;
    const struct up_options *given = options;
    CLEANUP(cleanup_free) struct up *up = calloc(1, sizeof(*up));
    if (up == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to start");
    int rc = up_arguments(cli, given, up, err);
    if (rc == 0)
        rc = up_find_server(up, err);
    if (rc < 0)
        return rc;
    return given->detach ? run_detached(cli, up, err) : run_here(cli, up, -1, err);
}

bool up_interrupted(void)
{
    sigset_t waiting;
    return sigpending(&waiting) == 0 &&
           (sigismember(&waiting, SIGINT) == 1 || sigismember(&waiting, SIGTERM) == 1);
}

/* `ready_fd` (or -1) is told when everything runs; from then on the output goes to a log. */
static int run_here(struct cli *cli, struct up *up, int ready_fd, struct error *err)
{
    int rc = block_signals(err);
    if (rc == 0)
        rc = up_folder(up, err);
    CLEANUP(cleanup_close) int lock = up->lock_fd;
    if (rc == 0)
        rc = up_configure(up, err);
    if (rc == 0)
        rc = up_start(up, err);
    if (rc == 0)
        rc = print_status(cli, up, err);
    if (rc == 0 && ready_fd >= 0)
        rc = go_quiet(up, ready_fd, err);
    if (rc == 0)
        rc = watch(up, err);
    if (up->children.count > 0 && rc == 0)
        fprintf(stderr, "stopping %s\n",
                up->options->keep_workloads ? "(workloads stay)" : "workloads and all");
    up_stop(up);
    if (lock >= 0 && up->children.count == 0 && rc == 0)
        fprintf(stderr, "stopped; %s keeps keys and journal for the next time\n", up->folder);
    return rc;
}

/* The child does everything, in a session of its own; its parent waits for one byte. */
static int run_detached(struct cli *cli, struct up *up, struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, ERR_IO, errno, "make a pipe");
    pid_t pid = fork();
    if (pid < 0)
        return error_set(err, ERR_IO, errno, "detach");
    if (pid > 0) {
        close(ends[1]);
        char byte = 0;
        ssize_t got;
        do {
            got = read(ends[0], &byte, 1);
        } while (got < 0 && errno == EINTR);
        close(ends[0]);
        return got == 1 && byte == DETACH_READY ? 0 : 1; /* the child has said why */
    }
    close(ends[0]);
    (void)setsid();
    int rc = run_here(cli, up, ends[1], err);
    if (rc < 0)
        fprintf(stderr, "berth up: %s\n", err->text);
    _exit(rc < 0 ? 1 : 0);
}

static int go_quiet(const struct up *up, int ready_fd, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    int rc = folder_path(up->folder, "log/up.log", path, err);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_close)
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    CLEANUP(cleanup_close) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (log < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0)
        return error_set(err, ERR_IO, errno, "open %s", path);
    char byte = DETACH_READY;
    if (write(ready_fd, &byte, 1) != 1)
        return error_set(err, ERR_IO, errno, "say that everything runs");
    close(ready_fd);
    return 0;
}

static int block_signals(struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP); /* the terminal went away: as SIGTERM */
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return error_set(err, ERR_IO, errno, "block signals");
    return 0;
}

/* Until a signal ends it. */
static int watch(struct up *up, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    CLEANUP(cleanup_close) int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "watch signals");
    for (;;) {
        struct signalfd_siginfo info;
        bool changed = false;
        while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
            if (info.ssi_signo != SIGCHLD)
                return 0;
        changed = children_reap(&up->children, tell, up) > 0;
        int64_t before_us = children_timeout_us(&up->children);
        children_restart(&up->children, tell, up);
        changed = changed || (before_us == 0);
        struct error told;
        if (changed && up_record(up, &told) < 0)
            fprintf(stderr, "berth.json could not be written: %s\n", told.text);
        int64_t wait_us = children_timeout_us(&up->children);
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        (void)poll(&poll_fd, 1, wait_us < 0 ? -1 : (int)((wait_us + 999) / 1000));
    }
}

static void tell(void *context, const struct child *child, const char *text)
{
    (void)context;
    (void)child;
    fprintf(stderr, "%s (log: %s)\n", text, child->log_path);
}

static int print_status(const struct cli *cli, const struct up *up, struct error *err)
{
    struct strbuf out;
    struct table table;
    char here[LIMIT_PATH_BYTES];
    strbuf_init(&out, CLI_TEXT_BYTES);
    text_styled(&out, cli->color, STYLE_BOLD, "Berth is up");
    strbuf_printf(&out, " in %s\n\n", up->folder);
    table_init_plain(&table, 4);
    table.indent = 2;
    status_rows(up, &table);
    int rc = table_write(&table, cli->color, &out, err);
    table_done(&table);
    /* Commands given here find the folder by themselves when it is ./.berth. */
    bool found = folder_find(NULL, here, NULL) == 0 && str_equal(here, up->folder);
    strbuf_puts(&out, "\nnext:\n");
    if (!found)
        strbuf_printf(&out, "  export BERTH_DIR=%s\n", up->folder);
    strbuf_puts(&out, "  berth apply -f APP.yaml --wait   run an app\n"
                      "  berth get nodes                  what there is; also: sites, apps, "
                      "handoffs, prices\n"
                      "  berth events -f                  what happens\n");
    strbuf_puts(&out, up->options->detach ? "  berth down                       stop everything\n"
                                          : "Ctrl-C here stops everything.\n");
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static void status_rows(const struct up *up, struct table *table)
{
    const struct child *list = up->children.list;
    table_cell(table, STYLE_PLAIN, "nats-server");
    table_cell(table, STYLE_CYAN, "%s", up->url);
    table_cell(table, STYLE_PLAIN, "%s", up->server_version);
    table_cell(table, STYLE_DIM, "pid %d", (int)list[up->server_child].pid);
    for (int i = 0; i < up->leaf_count; i++) {
        char url[LIMIT_PATH_BYTES];
        up_leaf_url(up, i, url);
        table_cell(table, STYLE_PLAIN, "leaf %s", up->leafs[i].name);
        table_cell(table, STYLE_CYAN, "%s", url);
        table_cell(table, STYLE_PLAIN, "%s%s", up->leafs[i].via[0] == 0 ? "" : "via ",
                   up->leafs[i].via);
        table_cell(table, STYLE_DIM, "pid %d", (int)list[up->first_leaf + i].pid);
    }
    table_cell(table, STYLE_PLAIN, "scheduler");
    table_cell(table, STYLE_PLAIN, "world %s", up->world_name);
    table_cell(table, STYLE_PLAIN, "%s", BERTH_VERSION);
    table_cell(table, STYLE_DIM, "pid %d", (int)list[up->scheduler_child].pid);
    for (int i = 0; i < up->node_count; i++) {
        table_cell(table, STYLE_PLAIN, "node %s", up->nodes[i].name);
        table_cell(table, STYLE_GREEN, "%s", up->nodes[i].site);
        table_cell(table, STYLE_PLAIN, "%s%s", up->nodes[i].leaf[0] == 0 ? "" : "leaf ",
                   up->nodes[i].leaf);
        table_cell(table, STYLE_DIM, "pid %d", (int)list[up->first_node + i].pid);
    }
}
