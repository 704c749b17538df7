/* berth-node: the agent. See agent.h for how it is built, docs/berth-node.8 for how it is used. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/keys/keys.h"
#include "base/log.h"
#include "base/str.h"
#include "executors/node/agent.h"
#include "executors/node/fetch.h"

static int fetch_child(char **argv);

int main(int argc, char **argv)
{
    static struct agent agent; /* large: not on the stack */
    static struct node_options options;
    struct error err;
    if (argc == 8 && strcmp(argv[1], "--fetch") == 0)
        return fetch_child(argv);
    log_set_program("berth-node");
    if (node_options_parse(argc, argv, &options, &err) < 0) {
        (void)fprintf(stderr, "berth-node: %s\n", err.text);
        return 1;
    }
    if (options.help || options.version) {
        (void)fputs(options.help ? node_usage : "berth-node " BERTH_VERSION "\n", stdout);
        return 0;
    }
    char self[LIMIT_PATH_BYTES];
    ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (bytes < 0) {
        (void)fprintf(stderr, "berth-node: /proc is not there: it is needed\n");
        return 1;
    }
    self[bytes] = 0;
    int rc = agent_open(&options, self, &agent, &err);
    if (rc < 0)
        (void)fprintf(stderr, "berth-node: %s\n", err.text);
    else
        rc = agent_run(&agent);
    agent_close(&agent);
    return rc == 0 ? 0 : 1;
}

/* --fetch ARTIFACT DIGEST TARGET URL SEED INBOX, started by the agent itself. */
static int fetch_child(char **argv)
{
    static struct node_options options;
    struct error err;
    if (keys_init(&err) < 0 || str_copy(options.url, sizeof(options.url), argv[5]) < 0 ||
        str_copy(options.seed, sizeof(options.seed), argv[6]) < 0 ||
        str_copy(options.inbox, sizeof(options.inbox), argv[7]) < 0)
        return 1;
    return fetch_main(&options, argv[2], argv[3], argv[4]);
}
