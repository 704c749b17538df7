#include "base/log.h"
#include "scheduler/cli/cli.h"
#include "scheduler/cli/find_dir.h"
#include "scheduler/service/service.h"

struct scheduler_options {
    const char *state;
    const char *world;
    const char *solver;
    const char *name;
    const char *metrics;
    const char *keys;
    bool log_json;
};

static int run_scheduler(struct cli *cli, void *options, const struct option_words *words,
                         struct error *err);

static const struct option_row rows[] = {
    {"state", 0, OPTION_TEXT, "DIR", "folder of the journal (default: DIR/state with --dir)",
     offsetof(struct scheduler_options, state), 0, 0},
    {"world", 0, OPTION_TEXT, "FILE", "world to begin with when the journal has none yet",
     offsetof(struct scheduler_options, world), 0, 0},
    {"solver", 0, OPTION_TEXT, "FILE", "the solver (default: berth-solve beside this program)",
     offsetof(struct scheduler_options, solver), 0, 0},
    {"name", 0, OPTION_TEXT, "NAME", "name of its user on the bus (default: scheduler)",
     offsetof(struct scheduler_options, name), 0, 0},
    {"keys", 0, OPTION_TEXT, "DIR",
     "folder of the public keys of nodes, probes and operators (default: the seed's)",
     offsetof(struct scheduler_options, keys), 0, 0},
    {"metrics", 0, OPTION_TEXT, "ADDRESS:PORT",
     "serve its own metrics there for Prometheus, as in 127.0.0.1:9464",
     offsetof(struct scheduler_options, metrics), 0, 0},
    {"log-json", 0, OPTION_FLAG, NULL, "log lines as JSON",
     offsetof(struct scheduler_options, log_json), 0, 0},
};

const struct command command_scheduler = {
    .name = "scheduler",
    .synopsis = "--state DIR --url URL --seed FILE [--world FILE]",
    .summary = "Run the scheduler in the foreground (`berth up` does this for you)",
    .text = "Ends on SIGTERM and SIGINT. A second one on the same journal refuses to start.\n",
    .examples = "  berth scheduler --state /var/lib/berth --url nats://hub:4222 \\\n"
                "        --seed /etc/berth/scheduler --world world.yaml\n",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .options_bytes = sizeof(struct scheduler_options),
    .run = run_scheduler,
};

static int run_scheduler(struct cli *cli, void *options, const struct option_words *words,
                         struct error *err)
{
    (void)words;
    const struct scheduler_options *given = options;
    char state[LIMIT_PATH_BYTES];
    char seed[LIMIT_PATH_BYTES];
    struct service_options service_options = {
        .state_dir = given->state,
        .nats_url = cli->common.url,
        .seed_path = cli->common.seed,
        .solver_path = given->solver,
        .world_path = given->world,
        .name = given->name,
        .metrics_address = given->metrics,
        .keys_dir = given->keys,
    };
    int rc = 0;
    if (cli->common.dir != NULL && given->state == NULL) {
        rc = folder_path(cli->common.dir, "state", state, err);
        service_options.state_dir = state;
    }
    if (rc == 0 && cli->common.dir != NULL && cli->common.seed == NULL) {
        rc = folder_path(cli->common.dir, "keys/scheduler", seed, err);
        service_options.seed_path = seed;
    }
    if (rc < 0)
        return rc;
    if (service_options.state_dir == NULL || service_options.nats_url == NULL ||
        service_options.seed_path == NULL)
        return error_set(err, ERR_INVALID, 0,
                         "--state, --url and --seed are needed (or --dir and --url); `berth up` "
                         "starts a scheduler with all of them");
    log_set_program("berth-scheduler");
    log_set_json(given->log_json);
    struct service *service = NULL;
    rc = service_open(&service_options, &service, err);
    if (rc < 0)
        return rc;
    rc = service_run(service, err);
    service_close(service);
    return rc;
}
