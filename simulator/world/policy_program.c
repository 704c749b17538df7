#include "simulator/world/policy_program.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "model/app.h"
#include "model/world.h"

#define ARGUMENTS_MAX 32
#define ASK_BYTES     ((size_t)64 << 20)
#define ANSWER_BYTES  ((size_t)16 << 20)

struct policy_program {
    char name[LIMIT_NAME_BYTES];
    pid_t pid;
    int fd;
    int64_t timeout_us;
    struct strbuf answer; /* what was read after the last line's end, and before */
    bool failed;
    struct error why;
};

static int start(struct policy_program *program, const char *path, const char *arguments,
                 struct error *err);
static int split(char *text, char **list);
static int send_all(struct policy_program *program, const struct strbuf *text, int64_t until_us,
                    struct error *err);
static int read_line(struct policy_program *program, int64_t until_us, char **ret_line,
                     struct error *err);
static int wait_for(struct policy_program *program, short events, int64_t until_us,
                    struct error *err);
static int ended(struct policy_program *program, struct error *err);
static bool may_run(const struct world *world, const struct workload *workload, int site);
static void put(json_t *object, const char *key, json_t *value);

int policy_program_open(const struct scenario *scenario, const struct scenario_policy *what,
                        struct policy_program **ret_program, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    int rc = scenario_path(scenario, what->program, path, err);
    if (rc < 0)
        return rc;
    struct policy_program *program = calloc(1, sizeof(*program));
    if (program == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the policy %s", what->name);
    program->fd = -1;
    program->timeout_us = scenario->program_timeout_us;
    str_format(program->name, sizeof(program->name), "%s", what->name);
    strbuf_init(&program->answer, ANSWER_BYTES);
    rc = start(program, path, what->arguments, err);
    if (rc < 0) {
        policy_program_close(program);
        return error_prefix(err, "policy %s", what->name);
    }
    *ret_program = program;
    return 0;
}

void policy_program_close(struct policy_program *program)
{
    if (program == NULL)
        return;
    if (program->fd >= 0)
        (void)close(program->fd);
    if (program->pid > 0) {
        (void)kill(program->pid, SIGKILL);
        (void)waitpid(program->pid, NULL, 0);
    }
    strbuf_done(&program->answer);
    free(program);
}

static int start(struct policy_program *program, const char *path, const char *arguments,
                 struct error *err)
{
    char text[LIMIT_PATH_BYTES];
    char file[LIMIT_PATH_BYTES];
    char *list[ARGUMENTS_MAX + 2] = {file};
    int ends[2];
    str_format(text, sizeof(text), "%s", arguments);
    str_format(file, sizeof(file), "%s", path);
    if (split(text, list + 1) < 0)
        return error_set(err, ERR_LIMIT, 0, "more than %d arguments", ARGUMENTS_MAX);
    if (access(path, X_OK) < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s cannot be run",
                         path);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(err, ERR_IO, errno, "a socket for %s", path);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (dup2(ends[1], STDIN_FILENO) < 0 || dup2(ends[1], STDOUT_FILENO) < 0)
            _exit(126);
        (void)execv(path, list);
        _exit(127);
    }
    int why = errno;
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return error_set(err, ERR_IO, why, "%s cannot be started", path);
    }
    program->pid = pid;
    program->fd = ends[0];
    (void)fcntl(program->fd, F_SETFL, O_NONBLOCK);
    return 0;
}

static int split(char *text, char **list)
{
    int count = 0;
    char *at = text + strspn(text, " ");
    while (*at != 0) {
        if (count == ARGUMENTS_MAX)
            return -1;
        list[count++] = at;
        at += strcspn(at, " ");
        if (*at == ' ')
            *at++ = 0;
        at += strspn(at, " ");
    }
    list[count] = NULL;
    return 0;
}

int policy_program_place(struct policy_program *program, const struct cost_input *input,
                         struct arena *arena, struct placement *to, struct error *err)
{
    (void)arena;
    struct strbuf ask;
    if (program->failed) {
        if (err != NULL)
            *err = program->why;
        return program->why.code;
    }
    strbuf_init(&ask, ASK_BYTES);
    int64_t until_us = clock_mono_now().us + program->timeout_us;
    char *line = NULL;
    struct error why = {0};
    int rc = policy_program_ask(input, &ask, &why);
    if (rc == 0)
        rc = send_all(program, &ask, until_us, &why);
    if (rc == 0)
        rc = read_line(program, until_us, &line, &why);
    if (rc == 0)
        rc = policy_program_read(line, input, to, &why);
    strbuf_done(&ask);
    if (rc == 0) {
        /* What came after the line's end is of the next answer. */
        size_t used = strlen(line) + 1;
        size_t left = program->answer.bytes - used;
        memmove(program->answer.text, program->answer.text + used, left);
        program->answer.bytes = left;
        program->answer.text[left] = 0;
        return 0;
    }
    program->failed = true;
    program->why = why;
    (void)error_prefix(&program->why, "policy %s (its placement stays)", program->name);
    if (err != NULL)
        *err = program->why;
    return rc;
}

int policy_program_ask(const struct cost_input *input, struct strbuf *out, struct error *err)
{
    const struct world *world = input->world;
    char at[WALL_TEXT_BYTES];
    json_t *root = json_object();
    json_t *sites = json_array();
    json_t *workloads = json_array();
    put(root, "at", json_string(wall_format((struct wall){input->now_us}, at)));
    for (int i = 0; i < world->site_count; i++) {
        json_t *site = json_object();
        bool up = input->capacity == NULL || input->capacity[i][RESOURCE_CPU] >= 0;
        put(site, "name", json_string(world->sites[i].name));
        put(site, "tier", json_string(tier_words[world->sites[i].tier]));
        put(site, "provider", json_string(world->sites[i].provider));
        put(site, "up", json_boolean(up));
        if (up && input->capacity != NULL) {
            put(site, "cpu", json_real((double)input->capacity[i][RESOURCE_CPU] / 1000));
            put(site, "memory", json_integer(input->capacity[i][RESOURCE_MEMORY]));
        }
        (void)json_array_append_new(sites, site);
    }
    for (int i = 0; i < input->app_count; i++)
        for (int k = 0; k < input->apps[i].app->workload_count; k++) {
            const struct app *app = input->apps[i].app;
            const struct workload *workload = &app->workloads[k];
            int site = input->apps[i].states[k].now.site;
            char name[LIMIT_REF_BYTES + LIMIT_NAME_BYTES];
            bool measured;
            json_t *one = json_object();
            json_t *allowed = json_array();
            str_format(name, sizeof(name), "%s/%s/%s", app->namespace_, app->name, workload->name);
            put(one, "name", json_string(name));
            put(one, "site", site < 0 ? json_null() : json_string(world->sites[site].name));
            put(one, "calls", json_real((double)cost_calls_mhz(input, i, k, &measured) / 1000));
            put(one, "cpu", json_real((double)workload->reserve[RESOURCE_CPU] / 1000));
            put(one, "memory", json_integer(workload->reserve[RESOURCE_MEMORY]));
            put(one, "replicas", json_integer(workload->replicas));
            for (int s = 0; s < world->site_count; s++)
                if (may_run(world, workload, s))
                    (void)json_array_append_new(allowed, json_string(world->sites[s].name));
            put(one, "sites", allowed);
            (void)json_array_append_new(workloads, one);
        }
    put(root, "sites", sites);
    put(root, "workloads", workloads);
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (text == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the state");
    strbuf_puts(out, text);
    strbuf_puts(out, "\n");
    free(text);
    return strbuf_error(out, err);
}

static void put(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new(object, key, value);
}

static bool may_run(const struct world *world, const struct workload *workload, int site)
{
    const struct site *what = &world->sites[site];
    bool may = (workload->tiers == 0 || (workload->tiers & (1U << what->tier)) != 0) &&
               (workload->pin[0] == 0 || str_equal(workload->pin, what->name));
    for (int i = 0; i < workload->require.count && may; i++)
        may = site_has_tag(what, workload->require.list[i].key, workload->require.list[i].value);
    return may;
}

int policy_program_read(const char *line, const struct cost_input *input, struct placement *to,
                        struct error *err)
{
    json_error_t why;
    json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, &why);
    json_t *place = json_object_get(root, "place");
    if (!json_is_object(place)) {
        json_decref(root);
        return error_set(err, ERR_INVALID, 0,
                         "its answer is not {\"place\": {\"NAMESPACE/APP/WORKLOAD\": \"SITE\"}}: "
                         "%.60s%s",
                         line, strlen(line) > 60 ? "..." : "");
    }
    size_t taken = 0;
    int rc = 0;
    for (int i = 0, part = 0; i < input->app_count; i++)
        for (int k = 0; k < input->apps[i].app->workload_count; k++, part++) {
            const struct app *app = input->apps[i].app;
            char name[LIMIT_REF_BYTES + LIMIT_NAME_BYTES];
            str_format(name, sizeof(name), "%s/%s/%s", app->namespace_, app->name,
                       app->workloads[k].name);
            to[part] = input->apps[i].states[k].now;
            json_t *site = json_object_get(place, name);
            if (site == NULL)
                continue;
            taken++;
            int index =
                json_is_string(site) ? world_site(input->world, json_string_value(site)) : -1;
            if (index < 0 && rc == 0)
                rc =
                    error_set(err, ERR_INVALID, 0, "it places %s at %.100s, which is no site", name,
                              json_is_string(site) ? json_string_value(site)
                                                   : "something that is not a text");
            to[part] = (struct placement){.site = index, .variant = 0, .lead = k};
        }
    if (rc == 0 && taken != json_object_size(place)) {
        const char *key;
        json_t *value;
        const char *unknown = "";
        json_object_foreach(place, key, value)
        {
            bool there = false;
            for (int i = 0; i < input->app_count && !there; i++)
                for (int k = 0; k < input->apps[i].app->workload_count && !there; k++) {
                    const struct app *app = input->apps[i].app;
                    char name[LIMIT_REF_BYTES + LIMIT_NAME_BYTES];
                    str_format(name, sizeof(name), "%s/%s/%s", app->namespace_, app->name,
                               app->workloads[k].name);
                    there = str_equal(name, key);
                }
            if (!there)
                unknown = key;
        }
        rc = error_set(err, ERR_INVALID, 0, "it places \"%.100s\", which is no workload", unknown);
    }
    json_decref(root);
    return rc;
}

/* ---- talking ---- */

static int send_all(struct policy_program *program, const struct strbuf *text, int64_t until_us,
                    struct error *err)
{
    size_t sent = 0;
    while (sent < text->bytes) {
        ssize_t bytes = send(program->fd, text->text + sent, text->bytes - sent, MSG_NOSIGNAL);
        if (bytes > 0) {
            sent += (size_t)bytes;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return ended(program, err);
        int rc = wait_for(program, POLLOUT, until_us, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_line(struct policy_program *program, int64_t until_us, char **ret_line,
                     struct error *err)
{
    for (;;) {
        char *end = program->answer.bytes == 0 ? NULL : strchr(program->answer.text, '\n');
        if (end != NULL) {
            *end = 0;
            *ret_line = program->answer.text;
            return 0;
        }
        char chunk[16384];
        ssize_t bytes = recv(program->fd, chunk, sizeof(chunk), 0);
        if (bytes > 0) {
            if (memchr(chunk, 0, (size_t)bytes) != NULL)
                return error_set(err, ERR_INVALID, 0, "its answer has a zero byte");
            strbuf_append(&program->answer, chunk, (size_t)bytes);
            if (strbuf_error(&program->answer, NULL) < 0)
                return error_set(err, ERR_INVALID, 0, "its answer is longer than %zu MiB",
                                 ANSWER_BYTES >> 20);
            continue;
        }
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes == 0 || errno != EAGAIN)
            return ended(program, err);
        int rc = wait_for(program, POLLIN, until_us, err);
        if (rc < 0)
            return rc;
    }
}

static int wait_for(struct policy_program *program, short events, int64_t until_us,
                    struct error *err)
{
    int64_t left_us = until_us - clock_mono_now().us;
    struct pollfd fd = {.fd = program->fd, .events = events};
    if (left_us <= 0 || poll(&fd, 1, (int)(left_us / 1000 + 1)) == 0)
        return error_set(err, ERR_TIMEOUT, 0,
                         "it has not answered within %lld ms; program_timeout allows more",
                         (long long)(program->timeout_us / 1000));
    return 0;
}

static int ended(struct policy_program *program, struct error *err)
{
    int status = 0;
    /* Its end of the socket is closed: it has ended, or is about to. */
    int64_t until_us = clock_mono_now().us + US_PER_S;
    pid_t got = 0;
    while ((got = waitpid(program->pid, &status, WNOHANG)) == 0 && clock_mono_now().us < until_us)
        (void)poll(NULL, 0, 5);
    if (got != program->pid)
        return error_set(err, ERR_UNAVAILABLE, 0, "it has closed its standard output");
    program->pid = 0;
    if (WIFSIGNALED(status))
        return error_set(err, ERR_UNAVAILABLE, 0, "it was killed by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == 127)
        return error_set(err, ERR_UNAVAILABLE, 0, "it could not be run");
    return error_set(err, ERR_UNAVAILABLE, 0, "it has ended with %d", WEXITSTATUS(status));
}
