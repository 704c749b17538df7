#include "tests/live/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PORT_FIRST 15000
#define PORT_COUNT 16000

static void spawn(struct test_server *server);
static bool wait_gone(pid_t pid, int tenths);
static bool port_wait(const char *host, int port, pid_t pid);
static void script_ask(const char *name, const char *variable, char *out, size_t capacity);

const char *test_server_program(void)
{
    static char path[1024];
    const char *given = getenv("BERTH_NATS_SERVER");
    if (given != NULL && given[0] != 0)
        return given;
    if (path[0] != 0)
        return path;
    script_ask("nats-server", "BERTH_NATS_SERVER", path, sizeof(path));
    return path;
}

void test_haproxy_find(void)
{
    char path[1024];
    const char *given = getenv("BERTH_HAPROXY");
    if (given != NULL && given[0] != 0)
        return;
    script_ask("haproxy", "BERTH_HAPROXY", path, sizeof(path));
    (void)setenv("BERTH_HAPROXY", path, 1);
}

void test_server_init(struct test_server *server)
{
    *server = (struct test_server){0};
    test_folder_make(server->folder, sizeof(server->folder));
    server->port = test_port_free();
    server->leaf_port = test_port_free();
    snprintf(server->url, sizeof(server->url), "nats://127.0.0.1:%d", server->port);
    snprintf(server->config_path, sizeof(server->config_path), "%s/nats.conf", server->folder);
}

void test_server_start(struct test_server *server, const char *config)
{
    FILE *file = fopen(server->config_path, "w");
    assert_non_null(file);
    if (config != NULL)
        fputs(config, file);
    else
        fprintf(file, "listen: \"127.0.0.1:%d\"\njetstream { store_dir: \"%s/js\" }\n",
                server->port, server->folder);
    assert_int_equal(fclose(file), 0);
    spawn(server);
}

void test_server_restart(struct test_server *server)
{
    test_server_stop(server);
    spawn(server);
}

void test_server_kill(struct test_server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void test_server_stop(struct test_server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGTERM);
    if (wait_gone(server->pid, 100))
        server->pid = 0;
    else
        test_server_kill(server);
}

void test_server_reload(const struct test_server *server)
{
    assert_int_equal(kill(server->pid, SIGHUP), 0);
}

void test_server_done(struct test_server *server)
{
    test_server_stop(server);
    if (server->folder[0] != 0)
        test_folder_remove(server->folder);
    *server = (struct test_server){0};
}

void test_folder_make(char *out, size_t capacity)
{
    int bytes = snprintf(out, capacity, "%s/live-XXXXXX", BERTH_BINARY_DIR);
    assert_true(bytes > 0 && (size_t)bytes < capacity);
    assert_non_null(mkdtemp(out));
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

void test_folder_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Below the range from which the kernel takes the ports of outgoing connections, so that none of
 * those takes the port between this look and the server's own bind; far apart for neighbouring
 * pids, so that tests that run at one time look at different ones. */
int test_port_free(void)
{
    static int next;
    for (int tries = 0; tries < PORT_COUNT; tries++) {
        int port = PORT_FIRST + (getpid() % PORT_COUNT * 1009 + next++) % PORT_COUNT;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)port),
                                      .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
        int rc = bind(fd, (struct sockaddr *)&address, sizeof(address));
        close(fd);
        if (rc == 0)
            return port;
    }
    fail_msg("no port between %d and %d is free", PORT_FIRST, PORT_FIRST + PORT_COUNT - 1);
    return -1;
}

bool test_port_wait(int port, pid_t pid)
{
    return port_wait("127.0.0.1", port, pid);
}

static bool port_wait(const char *host, int port, pid_t pid)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    assert_int_equal(inet_pton(AF_INET, host, &address.sin_addr), 1);
    for (int i = 0; i < 1500; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int rc = connect(fd, (struct sockaddr *)&address, sizeof(address));
        close(fd);
        if (rc == 0)
            return true;
        if (pid > 0 && wait_gone(pid, 0))
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    return false;
}

/* The server dies with the test program, however that ends. */
static void spawn(struct test_server *server)
{
    const char *program = test_server_program();
    char log_path[600];
    snprintf(log_path, sizeof(log_path), "%s/nats.log", server->folder);
    pid_t parent = getpid();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(125);
        int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(log, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
        if (server->enter != NULL && server->enter(server->enter_context) < 0)
            _exit(124);
        execl(program, program, "-c", server->config_path, (char *)NULL);
        _exit(126);
    }
    server->pid = pid;
    if (port_wait(server->enter == NULL ? "127.0.0.1" : server->address, server->port, pid))
        return;
    FILE *log = fopen(log_path, "r");
    char line[512];
    while (log != NULL && fgets(line, sizeof(line), log) != NULL)
        print_error("nats-server: %s", line);
    if (log != NULL)
        fclose(log);
    fail_msg("%s did not listen on port %d", program, server->port);
}

static bool wait_gone(pid_t pid, int tenths)
{
    for (int i = 0;; i++) {
        pid_t got = waitpid(pid, NULL, WNOHANG);
        if (got == pid || (got < 0 && errno == ECHILD))
            return true;
        if (i >= tenths)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}

/* Where a script says that its program is. */
static void script_ask(const char *name, const char *variable, char *out, size_t capacity)
{
    char command[1024];
    snprintf(command, sizeof(command), "%s/script/%s", BERTH_SOURCE_DIR, name);
    FILE *script = popen(command, "re");
    assert_non_null(script);
    if (fgets(out, (int)capacity, script) == NULL)
        out[0] = 0;
    out[strcspn(out, "\n")] = 0;
    int status = pclose(script);
    if (status != 0 || out[0] == 0)
        fail_msg("script/%s gave no program (status %d); set %s", name, status, variable);
}
