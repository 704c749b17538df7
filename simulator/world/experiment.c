#include "simulator/world/experiment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "simulator/engine/stats.h"

#define JOBS_MAX    64
#define FIRST_ROUND 3
#define NEWS_US     (200 * US_PER_MS)

/* What a run's process says: fits into one write of a pipe. */
struct said {
    int64_t done;
    int64_t steps;
    char failure[ERROR_TEXT_BYTES];
};

struct job {
    pid_t pid; /* 0: free */
    int fd;
    int cell;
    struct said said;
};

struct cell_state {
    struct scenario_cell cell;
    int group; /* of world, apps and trace */
    int round;
    bool wanted;
    bool done;
    char key[STORE_KEY_BYTES];
};

struct experiment {
    const struct scenario *scenario;
    const struct experiment_options *options;
    struct store *store;
    struct arena arena;
    struct cell_state *cells;
    int cell_count;
    struct job jobs[JOBS_MAX];
    int job_count;
    struct experiment_news news;
    struct experiment_outcome *outcome;
};

static int64_t cell_count(const struct scenario *scenario);
static struct scenario_cell cell_at(const struct scenario *scenario, int64_t index);
static int begin(struct experiment *experiment, struct error *err);
static int run_round(struct experiment *experiment, int round, struct error *err);
static int start(struct experiment *experiment, int cell, struct error *err);
static void child(const struct experiment *experiment, int index, int fd) __attribute__((noreturn));
static int simulate(const struct experiment *experiment, int index, int fd, struct error *err);
static void on_progress(void *context, int64_t done, int64_t steps);
static void fill_run(const struct scenario *scenario, const struct scenario_cell *cell,
                     const char *key, struct store_run *run);
static int await(struct experiment *experiment, struct error *err);
static int ended(struct experiment *experiment, struct job *job, struct error *err);
static void tell(struct experiment *experiment, int cell, const char *failure);
static int stop_tight(struct experiment *experiment, int round, struct error *err);
static int read_score(void *context, const struct store_run *run, struct error *err);

int experiment_run(const struct scenario *scenario, const struct experiment_options *options,
                   struct experiment_outcome *ret_outcome, struct error *err)
{
    struct experiment_outcome outcome = {.runs = 0};
    struct experiment experiment = {.scenario = scenario, .options = options, .outcome = &outcome};
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    experiment.job_count = options->jobs > 0 ? options->jobs : processors > 0 ? (int)processors : 1;
    if (experiment.job_count > JOBS_MAX)
        experiment.job_count = JOBS_MAX;
    arena_init(&experiment.arena, (size_t)256 << 20);
    int rc = store_open(options->out, options->resume, &experiment.store, err);
    if (rc == 0)
        rc = store_lock(experiment.store, err);
    if (rc == 0)
        rc = begin(&experiment, err);
    int first = scenario->precision_ppm > 0 ? FIRST_ROUND : scenario->seed_count;
    for (int round = 0; rc == 0 && round <= scenario->seed_count - first; round++) {
        rc = run_round(&experiment, round, err);
        if (rc == 0 && scenario->precision_ppm > 0)
            rc = stop_tight(&experiment, round, err);
    }
    for (int i = 0; i < experiment.job_count; i++)
        if (experiment.jobs[i].pid > 0) {
            (void)kill(experiment.jobs[i].pid, SIGKILL);
            (void)waitpid(experiment.jobs[i].pid, NULL, 0);
            (void)close(experiment.jobs[i].fd);
            store_part_remove(options->out, experiment.cells[experiment.jobs[i].cell].key);
        }
    store_close(experiment.store);
    arena_done(&experiment.arena);
    if (rc == 0)
        *ret_outcome = outcome;
    return rc;
}

int experiment_choose(const struct scenario *scenario, struct store *store, struct error *err)
{
    int64_t count = cell_count(scenario);
    int rc = 0;
    for (int64_t i = 0; i < count && rc == 0; i++) {
        struct scenario_cell cell = cell_at(scenario, i);
        char key[STORE_KEY_BYTES];
        rc = experiment_key(scenario, &cell, key, err);
        if (rc == ERR_NOT_FOUND)
            rc = 0; /* of another policy, whose program is gone: it cannot have been run */
        else if (rc == 0)
            rc = store_choose(store, key, err);
    }
    return rc;
}

static int64_t cell_count(const struct scenario *scenario)
{
    int traces = scenario->trace_count > 0 ? scenario->trace_count : 1;
    return (int64_t)scenario->world_count * scenario->apps_count * traces * scenario->policy_count *
           scenario->seed_count;
}

/* Seeds outermost, so that what is compared is done together. */
static struct scenario_cell cell_at(const struct scenario *scenario, int64_t index)
{
    int traces = scenario->trace_count > 0 ? scenario->trace_count : 1;
    struct scenario_cell cell = {.policy = (int)(index % scenario->policy_count)};
    index /= scenario->policy_count;
    cell.trace = scenario->trace_count > 0 ? (int)(index % traces) : -1;
    index /= traces;
    cell.apps = (int)(index % scenario->apps_count);
    index /= scenario->apps_count;
    cell.world = (int)(index % scenario->world_count);
    cell.seed = scenario->seed + index / scenario->world_count;
    return cell;
}

static int begin(struct experiment *experiment, struct error *err)
{
    const struct scenario *scenario = experiment->scenario;
    int64_t count = cell_count(scenario);
    if (count > 1000000)
        return error_set(err, ERR_LIMIT, 0, "%" PRId64 " runs; an experiment has at most 1000000",
                         count);
    experiment->cells =
        arena_array(&experiment->arena, (size_t)count + 1, sizeof(*experiment->cells));
    if (experiment->cells == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %" PRId64 " runs", count);
    int64_t groups = count / scenario->policy_count / scenario->seed_count;
    int rc = 0;
    for (int64_t i = 0; i < count && rc == 0; i++) {
        struct cell_state *state = &experiment->cells[experiment->cell_count];
        state->cell = cell_at(scenario, i);
        state->group = (int)(i / scenario->policy_count % groups);
        int64_t seed = state->cell.seed - scenario->seed;
        state->round =
            scenario->precision_ppm == 0 || seed < FIRST_ROUND ? 0 : (int)(seed - FIRST_ROUND + 1);
        const char *name = scenario->policies[state->cell.policy].name;
        if (experiment->options->policy != NULL && !str_equal(experiment->options->policy, name))
            continue;
        state->wanted = true;
        rc = experiment_key(scenario, &state->cell, state->key, err);
        if (rc == 0)
            rc = store_has(experiment->store, state->key, &state->done, err);
        if (state->done)
            store_part_remove(experiment->options->out, state->key);
        experiment->cell_count++;
    }
    if (rc == 0 && experiment->cell_count == 0)
        return error_set(err, ERR_NOT_FOUND, 0, "the scenario has no policy \"%s\"",
                         experiment->options->policy);
    experiment->news.runs = experiment->cell_count;
    for (int i = 0; i < experiment->cell_count; i++) {
        experiment->news.done += experiment->cells[i].done;
        experiment->news.kept += experiment->cells[i].done;
    }
    experiment->outcome->runs = experiment->cell_count;
    return rc;
}

static int run_round(struct experiment *experiment, int round, struct error *err)
{
    int rc = 0;
    for (int i = 0; i < experiment->cell_count && rc == 0; i++) {
        const struct cell_state *state = &experiment->cells[i];
        if (state->round != round || state->done || !state->wanted)
            continue;
        while (rc == 0 && experiment->news.running == experiment->job_count)
            rc = await(experiment, err);
        if (rc == 0)
            rc = start(experiment, i, err);
    }
    while (rc == 0 && experiment->news.running > 0)
        rc = await(experiment, err);
    return rc;
}

/* ---- one run in its process ---- */

static int start(struct experiment *experiment, int cell, struct error *err)
{
    int ends[2];
    struct job *job = experiment->jobs;
    while (job->pid > 0)
        job++;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, ERR_IO, errno, "a pipe for a run");
    pid_t parent = getpid();
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ends[0]);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        child(experiment, cell, ends[1]);
    }
    int why = errno;
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return error_set(err, ERR_IO, why, "a process for a run");
    }
    *job = (struct job){.pid = pid, .fd = ends[0], .cell = cell};
    (void)fcntl(job->fd, F_SETFL, O_NONBLOCK);
    experiment->news.running++;
    tell(experiment, -1, NULL);
    return 0;
}

static void child(const struct experiment *experiment, int index, int fd)
{
    struct error err = {0};
    int rc = simulate(experiment, index, fd, &err);
    if (rc < 0) {
        struct said said = {.done = 0};
        memcpy(said.failure, err.text, sizeof(said.failure));
        ssize_t bytes = write(fd, &said, sizeof(said));
        (void)bytes;
    }
    _exit(rc < 0 ? 1 : 0);
}

struct progress {
    int fd;
    int64_t last_us;
};

static int simulate(const struct experiment *experiment, int index, int fd, struct error *err)
{
    const struct scenario *scenario = experiment->scenario;
    const struct cell_state *state = &experiment->cells[index];
    const char *out = experiment->options->out;
    struct store *part = NULL;
    struct run_sink sink;
    struct solver *solver = NULL;
    struct store_run *run = calloc(1, sizeof(*run));
    struct progress progress = {.fd = fd};
    int64_t begun_us = clock_mono_now().us;
    int rc = run == NULL ? error_set(err, ERR_NO_MEMORY, 0, "no memory for a run's results") : 0;
    if (rc == 0)
        rc = store_part_open(out, state->key, &part, &sink, err);
    if (rc == 0)
        rc = solver_open(&(struct solver_options){.program = experiment->options->solver}, &solver,
                         err);
    if (rc == 0) {
        struct run_sink both = sink;
        (void)progress;
        both.progress = on_progress;
        both.progress_context = &progress;
        fill_run(scenario, &state->cell, state->key, run);
        rc = run_simulate(scenario, &state->cell, solver, &both, &run->result, err);
    }
    solver_close(solver);
    if (rc == 0) {
        struct rusage own;
        struct rusage children;
        (void)getrusage(RUSAGE_SELF, &own);
        (void)getrusage(RUSAGE_CHILDREN, &children);
        run->wall_us = clock_mono_now().us - begun_us;
        run->cpu_us = (own.ru_utime.tv_sec + own.ru_stime.tv_sec + children.ru_utime.tv_sec +
                       children.ru_stime.tv_sec) *
                          US_PER_S +
                      own.ru_utime.tv_usec + own.ru_stime.tv_usec + children.ru_utime.tv_usec +
                      children.ru_stime.tv_usec;
        rc = store_part_finish(part, run, err);
    }
    store_close(part);
    if (rc < 0)
        store_part_remove(out, state->key);
    free(run);
    return rc;
}

static void on_progress(void *context, int64_t done, int64_t steps)
{
    struct progress *progress = context;
    int64_t now_us = clock_mono_now().us;
    if (now_us - progress->last_us < NEWS_US && done < steps)
        return;
    progress->last_us = now_us;
    struct said said = {.done = done, .steps = steps};
    ssize_t bytes = write(progress->fd, &said, sizeof(said));
    (void)bytes;
}

static void fill_run(const struct scenario *scenario, const struct scenario_cell *cell,
                     const char *key, struct store_run *run)
{
    const struct scenario_files *apps = &scenario->apps[cell->apps];
    str_format(run->key, sizeof(run->key), "%s", key);
    str_format(run->scenario, sizeof(run->scenario), "%s", scenario->name);
    str_format(run->world, sizeof(run->world), "%s", scenario->worlds[cell->world]);
    str_format(run->policy, sizeof(run->policy), "%s", scenario->policies[cell->policy].name);
    if (cell->trace >= 0)
        str_format(run->trace, sizeof(run->trace), "%s", scenario->traces[cell->trace]);
    for (int i = 0; i < apps->count; i++) {
        size_t used = strlen(run->apps);
        if (used + strlen(apps->list[i]) + 8 > sizeof(run->apps)) {
            str_format(run->apps + used, sizeof(run->apps) - used, ",...");
            break;
        }
        str_format(run->apps + used, sizeof(run->apps) - used, "%s%s", i > 0 ? "," : "",
                   apps->list[i]);
    }
    run->seed = cell->seed;
    run->from_us = scenario->from_us;
    run->to_us = scenario->from_us + scenario->for_us;
    run->step_us = scenario->step_us;
}

/* ---- waiting ---- */

static int await(struct experiment *experiment, struct error *err)
{
    struct pollfd fds[JOBS_MAX];
    struct job *jobs[JOBS_MAX];
    nfds_t count = 0;
    for (int i = 0; i < experiment->job_count; i++)
        if (experiment->jobs[i].pid > 0) {
            jobs[count] = &experiment->jobs[i];
            fds[count++] = (struct pollfd){.fd = experiment->jobs[i].fd, .events = POLLIN};
        }
    if (poll(fds, count, -1) < 0 && errno != EINTR)
        return error_set(err, ERR_IO, errno, "waiting for runs");
    int rc = 0;
    for (nfds_t i = 0; i < count && rc == 0; i++) {
        struct said said;
        ssize_t bytes = 0;
        if (fds[i].revents == 0)
            continue;
        while ((bytes = read(jobs[i]->fd, &said, sizeof(said))) == (ssize_t)sizeof(said))
            jobs[i]->said = said;
        if (bytes == 0)
            rc = ended(experiment, jobs[i], err);
    }
    tell(experiment, -1, NULL);
    return rc;
}

static int ended(struct experiment *experiment, struct job *job, struct error *err)
{
    int status = 0;
    struct cell_state *state = &experiment->cells[job->cell];
    char text[ERROR_TEXT_BYTES] = "";
    (void)close(job->fd);
    (void)waitpid(job->pid, &status, 0);
    job->pid = 0;
    experiment->news.running--;
    if (WIFSIGNALED(status))
        str_format(text, sizeof(text), "its process was killed by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        str_format(text, sizeof(text), "%s",
                   job->said.failure[0] != 0 ? job->said.failure : "its process failed");
    int rc = 0;
    if (text[0] == 0)
        rc = store_add(experiment->store, experiment->options->out, state->key, err);
    else
        store_part_remove(experiment->options->out, state->key);
    if (rc < 0)
        return rc;
    state->done = true;
    experiment->news.done++;
    if (text[0] != 0 && experiment->outcome->failed++ == 0)
        (void)error_set(&experiment->outcome->first, ERR_INVALID, 0, "%s", text);
    tell(experiment, job->cell, text[0] == 0 ? NULL : text);
    return 0;
}

static void tell(struct experiment *experiment, int cell, const char *failure)
{
    struct experiment_news *news = &experiment->news;
    news->steps = 0;
    news->steps_done = 0;
    for (int i = 0; i < experiment->job_count; i++)
        if (experiment->jobs[i].pid > 0) {
            news->steps += experiment->jobs[i].said.steps;
            news->steps_done += experiment->jobs[i].said.done;
        }
    news->ended = cell < 0 ? NULL : &experiment->cells[cell].cell;
    news->failure = failure;
    if (experiment->options->told != NULL)
        experiment->options->told(experiment->options->context, news);
}

/* ---- precision ---- */

struct tight {
    struct experiment *experiment;
    struct stats_mean *means; /* [group * policies + policy] */
};

/* Groups whose policies are all known well enough have no further seeds. */
static int stop_tight(struct experiment *experiment, int round, struct error *err)
{
    const struct scenario *scenario = experiment->scenario;
    int groups = scenario->world_count * scenario->apps_count *
                 (scenario->trace_count > 0 ? scenario->trace_count : 1);
    size_t count = (size_t)groups * (size_t)scenario->policy_count;
    struct stats_mean *means = calloc(count + 1, sizeof(*means));
    bool *wide = calloc((size_t)groups + 1, sizeof(*wide));
    struct tight tight = {experiment, means};
    int rc = means == NULL || wide == NULL ? error_set(err, ERR_NO_MEMORY, 0, "no memory for means")
                                           : store_runs(experiment->store, read_score, &tight, err);
    for (int i = 0; rc == 0 && i < (int)count; i++) {
        if (means[i].count == 0)
            continue;
        struct stats_interval interval = stats_mean_interval(&means[i], 0.95);
        double mean = means[i].mean < 0 ? -means[i].mean : means[i].mean;
        wide[i / scenario->policy_count] |=
            interval.half > mean * (double)scenario->precision_ppm / (double)PPM;
    }
    for (int i = 0; rc == 0 && i < experiment->cell_count; i++) {
        struct cell_state *state = &experiment->cells[i];
        if (state->round > round && !wide[state->group] && state->wanted) {
            state->wanted = false;
            experiment->news.runs -= !state->done;
            experiment->outcome->runs -= !state->done;
        }
    }
    free(means);
    free(wide);
    return rc;
}

static int read_score(void *context, const struct store_run *run, struct error *err)
{
    struct tight *tight = context;
    (void)err;
    for (int i = 0; i < tight->experiment->cell_count; i++) {
        const struct cell_state *state = &tight->experiment->cells[i];
        if (state->done && state->wanted && str_equal(state->key, run->key))
            stats_mean_add(&tight->means[state->group * tight->experiment->scenario->policy_count +
                                         state->cell.policy],
                           (double)run->result.score / 1e9);
    }
    return 0;
}
