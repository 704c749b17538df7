#include "simulator/world/fleet.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "model/app.h"
#include "model/world.h"
#include "simulator/world/chance.h"

#define BOOT_BEFORE_US (500 * US_PER_S) /* every machine was started then, before the run */
#define HELLO_MAX      LIMIT_INSTANCES
#define HINTS          (2 * LIMIT_INSTANCES)

struct fleet_node {
    char name[LIMIT_NAME_BYTES];
    int site;
    int boot; /* how often it was started anew */
    int64_t boot_at_us;
    uint64_t seq;
    bool down;
    uint64_t downs; /* how often it went down: what was to be said before is not */
    int64_t mcpu;
    int64_t memory_bytes;
};

struct fleet_instance {
    char id[LIMIT_ID_BYTES]; /* "": free */
    uint64_t id_hash;
    int node;
    int part; /* -1: of an app that is not the run's */
    enum instance_state state;
    struct epoch epoch;
    int class_;
    int round;
    int64_t checkpoint;
    struct message_object object;
    struct message_object saved;
    uint64_t told; /* commands taken: a later one cancels what an earlier one leads to */
    int doing;     /* 1 + the verb of the last, while what it leads to is still to come; 0 */
    int doing_round;
    int64_t doing_checkpoint;
};

/* What is due at an instant. */
struct due {
    int64_t at_us;
    uint64_t order;
    enum core_event_kind kind;
    int node; /* -1: the hub */
    uint64_t downs;
    char id[LIMIT_ID_BYTES]; /* the command's, the handoff's */
    char instance[LIMIT_ID_BYTES];
    struct epoch epoch;
    enum instance_state state;
    uint64_t told;
    uint64_t judge;
    int count;
    int code;
};

struct fleet {
    const struct world *world;
    const struct app *apps;
    int app_count;
    int part_count;
    int *first; /* [app] */
    int *serving;
    int64_t *state_bytes; /* [part] */
    struct scenario_timing timing;
    uint64_t seed;
    uint64_t starts;
    uint64_t changes;
    uint64_t reports;
    struct fleet_node *nodes;
    int node_count;
    struct fleet_instance *instances;
    int instance_count;
    int instance_capacity;
    int *hints; /* [hash of an id % HINTS]: a row where one of them was found */
    struct due *heap;
    int due_count;
    int due_capacity;
    uint64_t order;
    struct message_instance *said;
    int64_t enough[RESOURCE_COUNT]; /* for everything at once, twice */
};

static int enough_nodes(const struct fleet *fleet);
static void find_enough(struct fleet *fleet);
static int node_of(const struct fleet *fleet, const char *name);
static int add_nodes(struct fleet *fleet, const struct scenario *scenario, struct error *err);
static void add_site_nodes(struct fleet *fleet, int site, int count, int64_t mcpu,
                           int64_t memory_bytes);
static int add(struct fleet *fleet, struct due due, struct error *err);
static void take_first(struct fleet *fleet, struct due *ret_due);
static bool before(const struct due *a, const struct due *b);
static bool fill(struct fleet *fleet, const struct due *due, int64_t now_us,
                 struct core_event *event);
static void fill_hello(struct fleet *fleet, int index, int64_t now_us, struct core_event *event);
static bool fill_report(struct fleet *fleet, const struct due *due, int64_t now_us,
                        struct core_event *event);
static int carry_out(struct fleet *fleet, int64_t now_us, int node,
                     const struct message_command *command, struct error *err);
static bool is_under_way(struct fleet_instance *instance, const struct message_command *command);
static int64_t round_bytes(const struct fleet *fleet, int part, int round);
static int64_t ship_us(const struct fleet *fleet, int part, int round);
static struct fleet_instance *find(struct fleet *fleet, int node, const char *id);
static struct fleet_instance *known(struct fleet *fleet, int node, const char *id);
static int part_of(const struct fleet *fleet, const struct message_spec *spec);
static void set_state(struct fleet *fleet, struct fleet_instance *instance,
                      enum instance_state state);
static int no_memory(struct error *err);

int fleet_create(const struct fleet_options *options, int64_t now_us, struct fleet **ret_fleet,
                 struct error *err)
{
    struct fleet *fleet = calloc(1, sizeof(*fleet));
    if (fleet == NULL)
        return no_memory(err);
    fleet->world = options->world;
    fleet->apps = options->apps;
    fleet->app_count = options->app_count;
    fleet->timing = options->scenario->timing;
    fleet->seed = options->seed;
    for (int i = 0; i < fleet->app_count; i++)
        fleet->part_count += fleet->apps[i].workload_count;
    fleet->first = calloc((size_t)fleet->app_count + 1, sizeof(*fleet->first));
    fleet->serving = calloc((size_t)fleet->part_count + 1, sizeof(*fleet->serving));
    fleet->state_bytes = calloc((size_t)fleet->part_count + 1, sizeof(*fleet->state_bytes));
    fleet->said = calloc(HELLO_MAX, sizeof(*fleet->said));
    fleet->hints = calloc(HINTS, sizeof(*fleet->hints));
    int rc = fleet->first == NULL || fleet->serving == NULL || fleet->state_bytes == NULL ||
                     fleet->said == NULL || fleet->hints == NULL
                 ? no_memory(err)
                 : add_nodes(fleet, options->scenario, err);
    for (int i = 0, part = 0; i < fleet->app_count && rc == 0; i++) {
        fleet->first[i] = part;
        for (int k = 0; k < fleet->apps[i].workload_count; k++)
            fleet->state_bytes[part++] = fleet->apps[i].workloads[k].state_bytes;
    }
    for (int i = 0; i < fleet->node_count && rc == 0; i++) {
        fleet->nodes[i].boot_at_us = now_us - BOOT_BEFORE_US;
        rc = add(fleet, (struct due){.at_us = now_us, .kind = CORE_HELLO, .node = i}, err);
    }
    if (rc < 0) {
        fleet_destroy(fleet);
        return rc;
    }
    *ret_fleet = fleet;
    return 0;
}

void fleet_destroy(struct fleet *fleet)
{
    if (fleet == NULL)
        return;
    free(fleet->first);
    free(fleet->serving);
    free(fleet->state_bytes);
    free(fleet->said);
    free(fleet->hints);
    free(fleet->nodes);
    free(fleet->instances);
    free(fleet->heap);
    free(fleet);
}

/* Sites that the scenario gives no machines have one with the capacity that the world declares, or
 * as many as are more than enough, since no node runs more than LIMIT_NODE_INSTANCES. Users'
 * devices are client sites; they run things as any other. */
static int add_nodes(struct fleet *fleet, const struct scenario *scenario, struct error *err)
{
    int sites = fleet->world->site_count;
    int count = 0;
    for (int i = 0; i < scenario->node_count; i++)
        count += scenario->nodes[i].count;
    int enough = enough_nodes(fleet);
    int room = sites > 0 && count < LIMIT_NODES ? (LIMIT_NODES - count) / sites : 1;
    enough = enough < room ? enough : room > 1 ? room : 1;
    count += sites * enough;
    if (count > LIMIT_NODES)
        return error_set(err, ERR_LIMIT, 0, "%d nodes; a scheduler has at most %d", count,
                         LIMIT_NODES);
    fleet->nodes = calloc((size_t)count + 1, sizeof(*fleet->nodes));
    if (fleet->nodes == NULL)
        return no_memory(err);
    find_enough(fleet);
    for (int site = 0; site < fleet->world->site_count; site++) {
        const struct site *what = &fleet->world->sites[site];
        bool given = false;
        for (int i = 0; i < scenario->node_count; i++) {
            const struct scenario_nodes *nodes = &scenario->nodes[i];
            if (!str_equal(nodes->site, what->name))
                continue;
            given = true;
            add_site_nodes(fleet, site, nodes->count, nodes->mcpu, nodes->memory_bytes);
        }
        int64_t mcpu = what->capacity[RESOURCE_CPU];
        int64_t bytes = what->capacity[RESOURCE_MEMORY];
        if (!given)
            add_site_nodes(fleet, site, mcpu < 0 && bytes < 0 ? enough : 1,
                           mcpu >= 0 ? mcpu : fleet->enough[RESOURCE_CPU],
                           bytes >= 0 ? bytes : fleet->enough[RESOURCE_MEMORY]);
    }
    return 0;
}

/* For everything at once, twice. */
static int enough_nodes(const struct fleet *fleet)
{
    int64_t instances = 0;
    for (int i = 0; i < fleet->app_count; i++)
        for (int k = 0; k < fleet->apps[i].workload_count; k++)
            instances += 2 * fleet->apps[i].workloads[k].replicas;
    instances = instances < LIMIT_INSTANCES ? instances : LIMIT_INSTANCES;
    return instances == 0 ? 1
                          : (int)((instances + LIMIT_NODE_INSTANCES - 1) / LIMIT_NODE_INSTANCES);
}

static void find_enough(struct fleet *fleet)
{
    for (int i = 0; i < fleet->app_count; i++)
        for (int k = 0; k < fleet->apps[i].workload_count; k++) {
            const struct workload *workload = &fleet->apps[i].workloads[k];
            for (int r = 0; r < RESOURCE_COUNT; r++) {
                int64_t most = workload->reserve[r];
                for (int v = 0; v < workload->variant_count; v++)
                    if (workload->variants[v].reserve[r] > most)
                        most = workload->variants[v].reserve[r];
                fleet->enough[r] += 2 * most * workload->replicas;
            }
        }
    for (int r = 0; r < RESOURCE_COUNT; r++)
        fleet->enough[r]++;
}

static void add_site_nodes(struct fleet *fleet, int site, int count, int64_t mcpu,
                           int64_t memory_bytes)
{
    for (int i = 0; i < count; i++) {
        struct fleet_node *node = &fleet->nodes[fleet->node_count];
        str_format(node->name, sizeof(node->name), "n%d", fleet->node_count);
        node->site = site;
        node->mcpu = mcpu;
        node->memory_bytes = memory_bytes;
        fleet->node_count++;
    }
}

int64_t fleet_deadline_us(const struct fleet *fleet)
{
    return fleet->due_count == 0 ? INT64_MAX : fleet->heap[0].at_us;
}

bool fleet_next(struct fleet *fleet, int64_t now_us, struct core_event *ret_event)
{
    while (fleet->due_count > 0 && fleet->heap[0].at_us <= now_us) {
        struct due due;
        take_first(fleet, &due);
        memset(ret_event, 0, sizeof(*ret_event));
        ret_event->kind = due.kind;
        if (fill(fleet, &due, now_us, ret_event)) {
            fleet->reports += due.kind != CORE_ANSWER && due.kind != CORE_PROBED;
            return true;
        }
    }
    return false;
}

const int *fleet_serving(const struct fleet *fleet)
{
    return fleet->serving;
}

int fleet_part_count(const struct fleet *fleet)
{
    return fleet->part_count;
}

uint64_t fleet_changes(const struct fleet *fleet)
{
    return fleet->changes;
}

uint64_t fleet_reports(const struct fleet *fleet)
{
    return fleet->reports;
}

void fleet_capacity(const struct fleet *fleet, int site, int64_t ret_capacity[RESOURCE_COUNT])
{
    ret_capacity[RESOURCE_CPU] = -1;
    ret_capacity[RESOURCE_MEMORY] = -1;
    for (int i = 0; i < fleet->node_count; i++) {
        const struct fleet_node *node = &fleet->nodes[i];
        if (node->site != site || node->down)
            continue;
        int64_t more[] = {node->mcpu, node->memory_bytes};
        for (int r = 0; r < RESOURCE_COUNT; r++)
            ret_capacity[r] = (ret_capacity[r] < 0 ? 0 : ret_capacity[r]) + more[r];
    }
}

bool fleet_site_up(const struct fleet *fleet, int site)
{
    for (int i = 0; i < fleet->node_count; i++)
        if (fleet->nodes[i].site == site && !fleet->nodes[i].down)
            return true;
    return false;
}

/* ---- what the core sends ---- */

int fleet_obey(struct fleet *fleet, int64_t now_us, const char *node,
               const struct message_command *command, struct error *err)
{
    int index = node_of(fleet, node);
    if (index < 0 || fleet->nodes[index].down)
        return 0;
    struct due answer = {.at_us = now_us + fleet->timing.answer_us,
                         .kind = CORE_ANSWER,
                         .node = index,
                         .downs = fleet->nodes[index].downs,
                         .epoch = command->epoch};
    memcpy(answer.id, command->id, sizeof(answer.id));
    if (command->verb == NODE_PROBE) {
        struct due probed = answer;
        probed.kind = CORE_PROBED;
        probed.count = command->probe_count;
        memcpy(probed.instance, command->instance, sizeof(probed.instance));
        int rc = add(fleet, answer, err);
        return rc < 0 ? rc : add(fleet, probed, err);
    }
    if (command->verb != NODE_ROUTE) {
        const struct fleet_instance *there = find(fleet, index, command->instance);
        if (there != NULL && epoch_compare(command->epoch, there->epoch) < 0) {
            answer.code = ERR_DENIED;
            answer.epoch = there->epoch;
        }
    }
    int rc = add(fleet, answer, err);
    if (rc < 0 || answer.code != 0 || command->verb == NODE_ROUTE)
        return rc;
    return carry_out(fleet, now_us, index, command, err);
}

/* By the number in its name (add_site_nodes). */
static int node_of(const struct fleet *fleet, const char *name)
{
    int64_t index;
    bool known = name[0] == 'n' && str_to_i64(name + 1, &index) == 0 && index >= 0 &&
                 index < fleet->node_count && str_equal(fleet->nodes[index].name, name);
    return known ? (int)index : -1;
}

int fleet_probe(struct fleet *fleet, int64_t now_us, const char *id, const char *instance,
                int count, struct error *err)
{
    struct due due = {
        .at_us = now_us + fleet->timing.answer_us, .kind = CORE_PROBED, .node = -1, .count = count};
    str_format(due.id, sizeof(due.id), "%s", id);
    str_format(due.instance, sizeof(due.instance), "%s", instance);
    return add(fleet, due, err);
}

int fleet_fence(struct fleet *fleet, int64_t now_us, const char *handoff, const struct epoch *owner,
                struct error *err)
{
    struct due due = {.at_us = now_us + fleet->timing.answer_us,
                      .kind = CORE_FENCED,
                      .node = -1,
                      .epoch = *owner};
    str_format(due.id, sizeof(due.id), "%s", handoff);
    return add(fleet, due, err);
}

int fleet_judge(struct fleet *fleet, int64_t now_us, uint64_t judge, const char *handoff,
                struct error *err)
{
    struct due due = {
        .at_us = now_us + fleet->timing.answer_us, .kind = CORE_JUDGED, .node = -1, .judge = judge};
    str_format(due.id, sizeof(due.id), "%s", handoff);
    return add(fleet, due, err);
}

/* What a command leads to, when its time is over. */
static int carry_out(struct fleet *fleet, int64_t now_us, int node,
                     const struct message_command *command, struct error *err)
{
    const struct scenario_timing *timing = &fleet->timing;
    struct fleet_instance *instance = known(fleet, node, command->instance);
    if (instance == NULL)
        return no_memory(err);
    instance->epoch = command->epoch;
    if (is_under_way(instance, command))
        return 0;
    struct due due = {.at_us = now_us + timing->answer_us,
                      .kind = CORE_REPORT,
                      .node = node,
                      .downs = fleet->nodes[node].downs,
                      .told = ++instance->told,
                      .state = instance->state};
    memcpy(due.instance, command->instance, sizeof(due.instance));
    switch ((enum node_verb)command->verb) {
    case NODE_STAGE:
        due.state = INSTANCE_STAGED;
        due.at_us += timing->stage_us;
        break;
    case NODE_START:
        instance->part = part_of(fleet, &command->spec);
        instance->class_ = command->spec.handoff;
        due.state = instance->class_ == SPEC_OVERLAP ? INSTANCE_READY : INSTANCE_HELD;
        if (chance_ppm(fleet->seed, CHANCE_START, ++fleet->starts) < timing->fail_ppm)
            due.state = INSTANCE_FAILED;
        struct due starting = due;
        starting.state = INSTANCE_STARTING;
        if (add(fleet, starting, err) < 0)
            return ERR_NO_MEMORY;
        due.at_us += timing->start_us;
        break;
    case NODE_DRAIN:
        set_state(fleet, instance, INSTANCE_DRAINING);
        due.state = INSTANCE_HELD;
        due.at_us += timing->drain_us;
        if (command->round > 0 && instance->class_ == SPEC_STATEFUL)
            due.at_us += ship_us(fleet, instance->part, command->round);
        due.count = command->round;
        break;
    case NODE_RESUME:
        due.state = INSTANCE_READY;
        due.at_us += timing->resume_us;
        break;
    case NODE_STOP:
        set_state(fleet, instance, INSTANCE_STOPPING);
        due.state = INSTANCE_STOPPED;
        due.at_us += timing->stop_us;
        break;
    case NODE_SNAPSHOT:
    case NODE_RESTORE:
        due.at_us += ship_us(fleet, instance->part, command->round);
        due.count = command->checkpoint != 0 ? 0 : command->round;
        if (command->checkpoint != 0) {
            instance->checkpoint = command->checkpoint;
            instance->saved.bytes = instance->part < 0 ? 0 : fleet->state_bytes[instance->part];
            str_format(instance->saved.digest, LIMIT_DIGEST_BYTES, "sha256:1");
        }
        break;
    case NODE_FORGET:
        set_state(fleet, instance, INSTANCE_STOPPED);
        instance->id[0] = 0;
        return 0;
    case NODE_PROBE:
    case NODE_ROUTE:
        return 0;
    }
    return add(fleet, due, err);
}

/* Asked again, because what it leads to takes its time: it goes on. */
static bool is_under_way(struct fleet_instance *instance, const struct message_command *command)
{
    bool same = instance->doing == command->verb + 1 && instance->doing_round == command->round &&
                instance->doing_checkpoint == command->checkpoint;
    instance->doing = command->verb + 1;
    instance->doing_round = command->round;
    instance->doing_checkpoint = command->checkpoint;
    return same;
}

/* The whole state in the first round, a hundredth of it in each later one. */
static int64_t round_bytes(const struct fleet *fleet, int part, int round)
{
    int64_t bytes = part < 0 ? 0 : fleet->state_bytes[part];
    return round > 1 ? bytes / 100 : bytes;
}

static int64_t ship_us(const struct fleet *fleet, int part, int round)
{
    return (int64_t)((__int128)round_bytes(fleet, part, round) * US_PER_S / fleet->timing.bytes_s);
}

/* ---- what they say ---- */

static bool fill(struct fleet *fleet, const struct due *due, int64_t now_us,
                 struct core_event *event)
{
    const struct fleet_node *node = due->node < 0 ? NULL : &fleet->nodes[due->node];
    if (due->kind == CORE_NODE_LOST) {
        memcpy(event->node, node->name, sizeof(event->node));
        return node->down && node->downs == due->downs;
    }
    if (node != NULL && (node->down || node->downs != due->downs))
        return false;
    switch (due->kind) {
    case CORE_HELLO:
        fill_hello(fleet, due->node, now_us, event);
        return true;
    case CORE_ANSWER:
        memcpy(event->answer.id, due->id, sizeof(due->id));
        memcpy(event->answer.node, node->name, sizeof(node->name));
        str_format(event->answer.boot_id, BOOT_ID_BYTES, "%s-%d", node->name, node->boot);
        event->answer.boot_us = now_us - node->boot_at_us;
        event->answer.epoch = due->epoch;
        event->answer.code = due->code;
        return true;
    case CORE_PROBED: {
        memcpy(event->probed.id, due->id, sizeof(due->id));
        memcpy(event->probed.instance, due->instance, sizeof(due->instance));
        if (node != NULL)
            memcpy(event->probed.node, node->name, sizeof(node->name));
        const struct fleet_instance *there = find(fleet, -1, due->instance);
        bool answers = there != NULL && there->state == INSTANCE_READY;
        /* An owner to be is asked while it is held. */
        answers |= there != NULL && there->state == INSTANCE_HELD && there->class_ != SPEC_OVERLAP;
        event->probed.sent = due->count;
        event->probed.answered = answers ? due->count : 0;
        event->probed.rtt_us = fleet->timing.answer_us;
        return true;
    }
    case CORE_FENCED:
        memcpy(event->fenced.handoff, due->id, sizeof(due->id));
        event->fenced.owner = due->epoch;
        event->fenced.stored = due->epoch;
        return true;
    case CORE_JUDGED:
        event->judged.judge = due->judge;
        memcpy(event->judged.handoff, due->id, sizeof(due->id));
        event->judged.from = (struct core_judged_side){true, 1000000, 0, 1000};
        event->judged.to = event->judged.from;
        return true;
    default:
        return fill_report(fleet, due, now_us, event);
    }
}

static void fill_hello(struct fleet *fleet, int index, int64_t now_us, struct core_event *event)
{
    struct fleet_node *node = &fleet->nodes[index];
    struct message_hello *hello = &event->hello;
    memcpy(hello->node, node->name, sizeof(hello->node));
    str_format(hello->site, sizeof(hello->site), "%s", fleet->world->sites[node->site].name);
    str_format(hello->boot_id, BOOT_ID_BYTES, "%s-%d", node->name, node->boot);
    str_format(hello->arch, sizeof(hello->arch), "x86_64");
    str_format(hello->drivers, sizeof(hello->drivers), "process");
    hello->boot_us = now_us - node->boot_at_us;
    hello->mcpu = node->mcpu;
    hello->memory_bytes = node->memory_bytes;
    hello->seq = node->seq;
    hello->instances = fleet->said;
    for (int i = 0; i < fleet->instance_count && hello->instance_count < HELLO_MAX; i++) {
        const struct fleet_instance *instance = &fleet->instances[i];
        if (instance->id[0] == 0 || instance->node != index)
            continue;
        struct message_instance *said = &fleet->said[hello->instance_count++];
        memset(said, 0, sizeof(*said));
        memcpy(said->instance, instance->id, sizeof(instance->id));
        said->state = (int)instance->state;
        said->epoch = instance->epoch;
        said->round = instance->round;
        said->object = instance->object;
        said->checkpoint = instance->checkpoint;
        said->saved = instance->saved;
    }
}

static bool fill_report(struct fleet *fleet, const struct due *due, int64_t now_us,
                        struct core_event *event)
{
    struct fleet_node *node = &fleet->nodes[due->node];
    struct fleet_instance *instance = find(fleet, due->node, due->instance);
    if (instance == NULL || instance->told != due->told)
        return false; /* it was told something else since */
    set_state(fleet, instance, due->state);
    if (due->state != INSTANCE_STARTING)
        instance->doing = 0;
    if (due->count > 0) {
        instance->round = due->count;
        instance->object.bytes = round_bytes(fleet, instance->part, due->count);
        if (instance->object.bytes > 0)
            str_format(instance->object.digest, LIMIT_DIGEST_BYTES, "sha256:%d", due->count);
    }
    struct message_report *report = &event->report;
    memcpy(report->node, node->name, sizeof(report->node));
    str_format(report->boot_id, BOOT_ID_BYTES, "%s-%d", node->name, node->boot);
    report->seq = ++node->seq;
    report->boot_us = now_us - node->boot_at_us;
    memcpy(report->instance.instance, instance->id, sizeof(instance->id));
    report->instance.state = (int)due->state;
    report->instance.epoch = instance->epoch;
    report->instance.round = instance->round;
    report->instance.object = instance->object;
    report->instance.checkpoint = instance->checkpoint;
    report->instance.saved = instance->saved;
    if (due->state == INSTANCE_FAILED) {
        report->instance.error_code = ERR_UNAVAILABLE;
        str_format(report->instance.detail, LIMIT_TEXT_BYTES, "it was made to fail");
    }
    return true;
}

/* ---- machines come and go ---- */

int fleet_down(struct fleet *fleet, int64_t now_us, const char *place, bool down,
               int64_t timeout_us, struct error *err)
{
    for (int i = 0; i < fleet->node_count; i++) {
        struct fleet_node *node = &fleet->nodes[i];
        const struct site *site = &fleet->world->sites[node->site];
        if ((!str_equal(site->name, place) && !str_equal(site->provider, place)) ||
            node->down == down)
            continue;
        node->down = down;
        int rc;
        if (down) {
            node->downs++;
            for (int k = 0; k < fleet->instance_count; k++)
                if (fleet->instances[k].id[0] != 0 && fleet->instances[k].node == i) {
                    set_state(fleet, &fleet->instances[k], INSTANCE_STOPPED);
                    fleet->instances[k].id[0] = 0;
                }
            rc = add(fleet,
                     (struct due){.at_us = now_us + timeout_us,
                                  .kind = CORE_NODE_LOST,
                                  .node = i,
                                  .downs = node->downs},
                     err);
        } else {
            node->boot++;
            node->boot_at_us = now_us - US_PER_S;
            rc = add(
                fleet,
                (struct due){.at_us = now_us, .kind = CORE_HELLO, .node = i, .downs = node->downs},
                err);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- tables ---- */

static void set_state(struct fleet *fleet, struct fleet_instance *instance,
                      enum instance_state state)
{
    bool did = instance->state == INSTANCE_READY;
    bool does = state == INSTANCE_READY;
    instance->state = state;
    if (instance->part < 0 || did == does)
        return;
    fleet->serving[instance->part] += does ? 1 : -1;
    fleet->changes++;
}

/* node -1: wherever it is. */
static struct fleet_instance *find(struct fleet *fleet, int node, const char *id)
{
    uint64_t hash = hash_str(HASH_SEED, id);
    int *hint = &fleet->hints[hash % HINTS];
    for (int i = -1; i < fleet->instance_count; i++) {
        int row = i < 0 ? *hint : i; /* ids are borne once */
        struct fleet_instance *instance = &fleet->instances[row];
        if (row < fleet->instance_count && instance->id_hash == hash &&
            (node < 0 || instance->node == node) && str_equal(instance->id, id)) {
            *hint = row;
            return instance;
        }
    }
    return NULL;
}

static struct fleet_instance *known(struct fleet *fleet, int node, const char *id)
{
    struct fleet_instance *instance = find(fleet, node, id);
    if (instance != NULL)
        return instance;
    for (int i = 0; i < fleet->instance_count && instance == NULL; i++)
        if (fleet->instances[i].id[0] == 0)
            instance = &fleet->instances[i];
    if (instance == NULL && fleet->instance_count == fleet->instance_capacity) {
        int capacity = fleet->instance_capacity == 0 ? 256 : 2 * fleet->instance_capacity;
        struct fleet_instance *more = realloc(fleet->instances, (size_t)capacity * sizeof(*more));
        if (more == NULL)
            return NULL;
        fleet->instances = more;
        fleet->instance_capacity = capacity;
    }
    if (instance == NULL)
        instance = &fleet->instances[fleet->instance_count++];
    *instance =
        (struct fleet_instance){.id_hash = hash_str(HASH_SEED, id), .node = node, .part = -1};
    str_format(instance->id, sizeof(instance->id), "%s", id);
    return instance;
}

static int part_of(const struct fleet *fleet, const struct message_spec *spec)
{
    for (int i = 0; i < fleet->app_count; i++)
        if (str_equal(fleet->apps[i].name, spec->app) &&
            str_equal(fleet->apps[i].namespace_, spec->namespace_)) {
            int index = app_workload(&fleet->apps[i], spec->workload);
            return index < 0 ? -1 : fleet->first[i] + index;
        }
    return -1;
}

/* A binary heap, by instant and then by the order in which they were added. */
static int add(struct fleet *fleet, struct due due, struct error *err)
{
    if (fleet->due_count == fleet->due_capacity) {
        int capacity = fleet->due_capacity == 0 ? 256 : 2 * fleet->due_capacity;
        struct due *more = realloc(fleet->heap, (size_t)capacity * sizeof(*more));
        if (more == NULL)
            return no_memory(err);
        fleet->heap = more;
        fleet->due_capacity = capacity;
    }
    due.order = fleet->order++;
    int at = fleet->due_count++;
    for (; at > 0 && before(&due, &fleet->heap[(at - 1) / 2]); at = (at - 1) / 2)
        fleet->heap[at] = fleet->heap[(at - 1) / 2];
    fleet->heap[at] = due;
    return 0;
}

static void take_first(struct fleet *fleet, struct due *ret_due)
{
    *ret_due = fleet->heap[0];
    struct due last = fleet->heap[--fleet->due_count];
    int at = 0;
    for (;;) {
        int child = 2 * at + 1;
        if (child >= fleet->due_count)
            break;
        if (child + 1 < fleet->due_count && before(&fleet->heap[child + 1], &fleet->heap[child]))
            child++;
        if (!before(&fleet->heap[child], &last))
            break;
        fleet->heap[at] = fleet->heap[child];
        at = child;
    }
    if (fleet->due_count > 0)
        fleet->heap[at] = last;
}

static bool before(const struct due *a, const struct due *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the virtual nodes");
}
