/*
 * berth-solve: the exact solver as a worker. Reads requests on standard input, writes an answer for
 * each on standard output, until end of file; see problem.h for the frames and docs/solver.md.
 *
 * Licence: this program's own sources are Apache-2.0 like the rest of Berth. As a whole it is
 * GPL-3.0-or-later, because it links GLPK; it is the only program of Berth that does.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/sanitize.h"
#include "base/str.h"
#include "model/problem.h"
#include "model/problem_delta.h"
#include "model/solve/mip.h"
#include "model/solve/reduce.h"
#include "model/solve/solve.h"
#include "model/solve/warm.h"
#include "model/solve/watch.h"

#define WORK_BYTES_MAX ((size_t)4 << 30)
/* Of the memory of one problem, for the next. */
#define KEPT_BYTES ((size_t)256 << 20)
/* A request begins so far behind a multiple of 8: its length stands before it, where that is sent,
 * and what is aligned there is so here. */
#define LENGTH_BYTES 4

/* The session that is open; docs/solver.md. */
struct session {
    uint64_t id; /* 0: none */
    struct arena arena;
    struct problem base;
    struct warm *warm; /* NULL: the base could not be read */
    struct error why;
};

struct server {
    int output;
    int64_t began_us; /* monotonic: when the request at hand began to come */
    struct session session;
    struct arena arena; /* of the request at hand */
};

static int serve(int output);
static int answer(struct server *server, const char *request, size_t bytes);
static int solve(struct server *server, const char *request, size_t bytes, struct arena *arena,
                 struct problem *problem, struct solution *solution, bool *ret_silent,
                 struct error *err);
static int in_session(struct session *session, const struct solve_limits *limits, const char *frame,
                      size_t bytes, struct watch *watch, struct arena *arena,
                      struct problem *problem, struct solution *solution, bool *ret_silent,
                      struct error *err);
static void session_open(struct session *session, const struct solve_session *head,
                         const struct solve_limits *limits, const char *frame, size_t bytes);
static void session_done(struct session *session);
static void limit_memory(int64_t bytes);
static bool is_wanted(void *context);
static void tell(void *context, const struct solve_news *news);
static int export_mps(const char *path);
static int read_request(char **ret_request, size_t *ret_bytes, int64_t *ret_began_us,
                        struct error *err);
static int read_exactly(void *bytes, size_t count, size_t *ret_done);
static int write_exactly(int fd, const char *bytes, size_t count);
static uint64_t little_endian(const char *bytes, size_t count);

static const char usage[] =
    "Usage: berth-solve [--export-mps FILE | --help | --version]\n"
    "\n"
    "The exact solver of Berth, run as a worker: reads placement problems on standard input and\n"
    "writes the proven optimum, or an irreducible set of conflicting rules, on standard output.\n"
    "It is started by berth; on its own it is of use for measurements.\n"
    "\n"
    "  --export-mps FILE  read one problem and write it as a mixed integer programme (free MPS)\n"
    "  --help             this text\n"
    "  --version          versions of berth-solve and of GLPK\n"
    "\n"
    "Examples:\n"
    "  berth-solve <requests >answers\n"
    "  berth-solve --export-mps shop.mps <request && glpsol --freemps shop.mps\n"
    "\n"
    "See docs/solver.md. Links GLPK: GPL-3.0-or-later as a whole; own sources Apache-2.0.\n";

int main(int argc, char **argv)
{
    if (argc == 2 && str_equal(argv[1], "--help")) {
        return fputs(usage, stdout) < 0;
    }
    if (argc == 2 && str_equal(argv[1], "--version")) {
        return printf("berth-solve %s (GLPK %s)\n", BERTH_VERSION, mip_engine()) < 0;
    }
    mip_quiet();
    if (argc == 3 && str_equal(argv[1], "--export-mps")) {
        return export_mps(argv[2]);
    }
    if (argc != 1) {
        fprintf(stderr, "berth-solve: unknown arguments; see berth-solve --help\n");
        return 1;
    }
    /* No worker outlives its parent, and nothing but answers reaches its standard output. */
    pid_t parent = getppid();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() != parent) {
        return 0;
    }
    /* Memory of one problem serves the next: fetching it anew takes a tenth of a large solve. */
    (void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
    int output = dup(STDOUT_FILENO);
    if (output < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        fprintf(stderr, "berth-solve: standard output: %s\n", strerror(errno));
        return 1;
    }
    int rc = serve(output);
    mip_release();
    return rc < 0;
}

static int serve(int output)
{
    struct server server = {.output = output};
    int rc = 0;
    arena_init(&server.arena, WORK_BYTES_MAX);
    arena_keep(&server.arena, KEPT_BYTES);
    for (bool more = true; more && rc == 0;) {
        char *request CLEANUP(cleanup_free) = NULL;
        size_t bytes = 0;
        struct error err = {0};
        rc = read_request(&request, &bytes, &server.began_us, &err);
        if (rc < 0) {
            fprintf(stderr, "berth-solve: %s\n", err.text);
        }
        more = request != NULL;
        if (rc < 0 || bytes == 0) {
            continue; /* the end, or the work that it was to end has ended */
        }
        rc = answer(&server, request + LENGTH_BYTES, bytes);
        if (rc < 0) {
            fprintf(stderr, "berth-solve: the answer cannot be written\n");
        }
    }
    session_done(&server.session);
    arena_done(&server.arena);
    return rc;
}

/* What cannot be read is answered too, with SOLVE_NONE: the stream's frames stay in step. */
static int answer(struct server *server, const char *request, size_t bytes)
{
    struct arena *arena = &server->arena;
    struct problem problem = {0};
    struct solution solution = {.status = SOLVE_NONE};
    struct error err = {0};
    bool is_silent = false;
    arena_reset(arena);
    if (solve(server, request, bytes, arena, &problem, &solution, &is_silent, &err) < 0) {
        err.text[LIMIT_TEXT_BYTES - 1] = '\0';
        str_format(solution.text, sizeof(solution.text), "%s", err.text);
    }
    struct strbuf out;
    strbuf_init(&out, SOLVE_REQUEST_BYTES_MAX);
    strbuf_append(&out, "\0\0\0\0", 4);
    solution_encode(&problem, &solution, &out);
    int rc = strbuf_error(&out, &err);
    for (size_t i = 0; i < 4 && rc == 0; i++) {
        out.text[i] = (char)(unsigned char)((out.bytes - 4) >> (8 * i));
    }
    if (rc == 0 && !is_silent) {
        rc = write_exactly(server->output, out.text, out.bytes);
    }
    strbuf_done(&out);
    return rc;
}

static int solve(struct server *server, const char *request, size_t bytes, struct arena *arena,
                 struct problem *problem, struct solution *solution, bool *ret_silent,
                 struct error *err)
{
    struct solve_limits limits;
    int rc = solve_limits_decode(request, bytes, &limits, err);
    if (rc < 0) {
        return rc;
    }
    const char *frame = request + SOLVE_LIMITS_BYTES;
    bytes -= SOLVE_LIMITS_BYTES;
    struct watch watch;
    watch_begin(&watch, limits.time_max_us);
    watch.began_us = server->began_us;
    watch.wanted = is_wanted;
    watch.tell = tell;
    watch.context = &server->output;
    if (limits.memory_max_bytes > 0) {
        arena_done(arena); /* what is kept of earlier work counts too */
    }
    limit_memory(limits.memory_max_bytes);
    if (limits.memory_max_bytes > 0 && (size_t)limits.memory_max_bytes < arena->bytes_max) {
        arena->bytes_max = (size_t)limits.memory_max_bytes;
    }
    if (solve_session_is(frame, bytes)) {
        rc = in_session(&server->session, &limits, frame, bytes, &watch, arena, problem, solution,
                        ret_silent, err);
    } else {
        rc = problem_decode(frame, bytes, arena, problem, err);
        struct solve_options options = {
            .nodes_max = limits.nodes_max, .gap = limits.gap, .watch = &watch};
        if (rc == 0) {
            solve_problem(problem, &options, arena, solution);
        }
    }
    if (rc == ERR_NO_MEMORY) {
        (void)error_set(err, rc, 0, SOLVE_MEMORY_TEXT, "the problem");
    }
    limit_memory(0); /* the answer is still to be written */
    arena->bytes_max = WORK_BYTES_MAX;
    return rc;
}

/* A base that cannot be read is told with the first problem of its session. */
static int in_session(struct session *session, const struct solve_limits *limits, const char *frame,
                      size_t bytes, struct watch *watch, struct arena *arena,
                      struct problem *problem, struct solution *solution, bool *ret_silent,
                      struct error *err)
{
    struct solve_session head;
    int rc = solve_session_decode(frame, bytes, &head, err);
    if (rc < 0) {
        return rc;
    }
    frame += SOLVE_SESSION_BYTES;
    bytes -= SOLVE_SESSION_BYTES;
    *ret_silent = head.kind == SESSION_OPEN || head.kind == SESSION_CLOSE;
    if (head.kind == SESSION_OPEN) {
        session_open(session, &head, limits, frame, bytes);
        return 0;
    }
    if (head.kind == SESSION_CLOSE) {
        if (head.id == session->id) {
            session_done(session);
        }
        return 0;
    }
    if (head.id != session->id || session->warm == NULL) {
        return error_set(err, ERR_NOT_FOUND, 0, "session %llu is not open here: %.160s",
                         (unsigned long long)head.id, session->why.text);
    }
    bool is_alike = head.kind == SESSION_DELTA;
    rc = is_alike ? problem_delta_decode(frame, bytes, &session->base, arena, problem, err)
                  : problem_decode(frame, bytes, arena, problem, err);
    if (rc == 0) {
        warm_solve(session->warm, problem, is_alike, watch, arena, solution);
    }
    return rc;
}

static void session_open(struct session *session, const struct solve_session *head,
                         const struct solve_limits *limits, const char *frame, size_t bytes)
{
    struct warm_options options = {.gap = limits->gap,
                                   .gap_poor = head->gap_poor,
                                   .threads = head->threads,
                                   .seed = head->seed,
                                   .nodes_max = limits->nodes_max,
                                   .time_max_us = limits->time_max_us};
    session_done(session);
    session->id = head->id;
    arena_init(&session->arena, WORK_BYTES_MAX);
    /* The base lives longer than its request. */
    const char *own = arena_copy(&session->arena, frame, bytes);
    int rc = own == NULL
                 ? error_set(&session->why, ERR_NO_MEMORY, 0, SOLVE_MEMORY_TEXT, "the problem")
                 : problem_decode(own, bytes, &session->arena, &session->base, &session->why);
    if (rc == 0 && warm_create(&session->base, &options, &session->warm, &session->why) < 0) {
        session->warm = NULL; /* the problems of the session say why */
    }
}

static void session_done(struct session *session)
{
    warm_destroy(session->warm);
    arena_done(&session->arena);
    *session = (struct session){0};
}

/* The soft limit; 0: back to the hard one, which is the client's. Memory that earlier work left is
 * given back first, so that it does not count. */
static void limit_memory(int64_t bytes)
{
    struct rlimit limit;
    if (SANITIZE_SHADOW || getrlimit(RLIMIT_AS, &limit) < 0) {
        return;
    }
    bool less = bytes > 0 && (limit.rlim_max == RLIM_INFINITY || (rlim_t)bytes < limit.rlim_max);
    if (less) {
        (void)malloc_trim(0);
    }
    limit.rlim_cur = less ? (rlim_t)bytes : limit.rlim_max;
    (void)setrlimit(RLIMIT_AS, &limit);
}

/* No more when a request of length 0 has come, or the client is gone. What follows in a file or a
 * pipe is for later: only a socket can be looked into without taking it out. */
static bool is_wanted(void *context)
{
    (void)context;
    char head[4];
    ssize_t n = recv(STDIN_FILENO, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
    if (n < (ssize_t)sizeof(head)) {
        return n != 0;
    }
    if (little_endian(head, sizeof(head)) != 0) {
        return true;
    }
    (void)recv(STDIN_FILENO, head, sizeof(head), MSG_DONTWAIT);
    return false;
}

/* A client that does not read is found out when the answer is written. */
static void tell(void *context, const struct solve_news *news)
{
    const int *output = context;
    char frame[4 + SOLVE_NEWS_BYTES] = {SOLVE_NEWS_BYTES};
    solve_news_encode(news, frame + 4);
    (void)write_exactly(*output, frame, sizeof(frame));
}

static int export_mps(const char *path)
{
    char *request CLEANUP(cleanup_free) = NULL;
    size_t bytes = 0;
    struct error err = {0};
    struct arena arena;
    arena_init(&arena, WORK_BYTES_MAX);
    struct problem problem;
    struct reduced reduced;
    int64_t began_us;
    int rc = read_request(&request, &bytes, &began_us, &err);
    struct solve_limits limits;
    if (rc == 0 && request == NULL) {
        rc = error_set(&err, ERR_INVALID, 0, "standard input: no request");
    }
    if (rc == 0) {
        rc = solve_limits_decode(request + LENGTH_BYTES, bytes, &limits, &err);
    }
    if (rc == 0) {
        rc = problem_decode(request + LENGTH_BYTES + SOLVE_LIMITS_BYTES, bytes - SOLVE_LIMITS_BYTES,
                            &arena, &problem, &err);
    }
    if (rc == 0) {
        rc = reduce_build(&problem, &arena, &reduced, &err);
    }
    if (rc == 0 && reduced.empty) {
        rc = error_set(&err, ERR_INVALID, 0,
                       "the rules leave a part without a choice: no programme");
    }
    if (rc == 0) {
        rc = mip_export(&reduced, &arena, path, &err);
    }
    if (rc < 0) {
        fprintf(stderr, "berth-solve: %s\n", err.text);
    }
    arena_done(&arena);
    mip_release();
    return rc < 0;
}

/* LENGTH_BYTES before it are nobody's. NULL and 0 at the end of the input. */
static int read_request(char **ret_request, size_t *ret_bytes, int64_t *ret_began_us,
                        struct error *err)
{
    char head[4];
    size_t done;
    int rc = read_exactly(head, sizeof(head), &done);
    if (rc == 0 && done == 0) {
        return 0;
    }
    if (rc < 0 || done < sizeof(head)) {
        return error_set(err, ERR_IO, rc < 0 ? errno : 0, "standard input ends within a length");
    }
    *ret_began_us = clock_mono_now().us;
    size_t bytes = (size_t)little_endian(head, sizeof(head));
    if (bytes > SOLVE_REQUEST_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, 0, "a request of %zu bytes; the limit is %zu", bytes,
                         SOLVE_REQUEST_BYTES_MAX);
    }
    char *request = malloc(LENGTH_BYTES + bytes + 1);
    if (request == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a request of %zu bytes", bytes);
    }
    rc = read_exactly(request + LENGTH_BYTES, bytes, &done);
    if (rc < 0 || done < bytes) {
        free(request);
        return error_set(err, ERR_IO, rc < 0 ? errno : 0, "standard input ends within a request");
    }
    *ret_request = request;
    *ret_bytes = bytes;
    return 0;
}

static int read_exactly(void *bytes, size_t count, size_t *ret_done)
{
    size_t done = 0;
    while (done < count) {
        ssize_t n = read(STDIN_FILENO, (char *)bytes + done, count - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return ERR_IO;
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
    }
    *ret_done = done;
    return 0;
}

static int write_exactly(int fd, const char *bytes, size_t count)
{
    size_t done = 0;
    while (done < count) {
        ssize_t n = write(fd, bytes + done, count - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return ERR_IO;
        }
        done += (size_t)n;
    }
    return 0;
}

static uint64_t little_endian(const char *bytes, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        value |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    }
    return value;
}
