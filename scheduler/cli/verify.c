/* berth verify-plan: whether a plan is what it says, by code that shares nothing with the solver.
 */
#include "scheduler/cli/verify.h"

#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/certificate.h"
#include "model/verify.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/table.h"

#define FILE_BYTES   SOLVE_REQUEST_BYTES_MAX
#define MEMORY_BYTES ((size_t)8 << 30)

static int run_verify(struct cli *cli, void *options, const struct option_words *words,
                      struct error *err);
static int read_file(const char *path, struct strbuf *out, struct error *err);
static bool states_right(const struct solution *solution, const struct verdict *verdict);
static void write_text(const struct problem *problem, const struct solution *solution,
                       const struct verdict *verdict, bool color, struct strbuf *out);
static void write_json(const struct problem *problem, const struct solution *solution,
                       const struct verdict *verdict, struct strbuf *out);

const struct command command_verify_plan = {
    .name = "verify-plan",
    .synopsis = "FILE",
    .summary = "Check a plan's certificate: its rules, its cost, and how good it is",
    .text =
        "FILE is what `berth plan --certificate FILE` wrote; no scheduler is asked. The check is\n"
        "code of its own: it looks at every rule, adds up the cost, and puts the certificate's\n"
        "prices of capacity and of traffic into the problem, which proves that no placement costs\n"
        "less than a bound (docs/solver.md). Ends with 0 when the plan keeps every rule, costs\n"
        "what it says and claims no bound that its proof contradicts, else with 1.\n",
    .examples = "  berth plan --certificate plan.cert\n"
                "  berth verify-plan plan.cert\n"
                "  berth verify-plan plan.cert --json | jq .gap\n",
    .words_min = 1,
    .words_max = 1,
    .words = {WORD_FILE},
    .run = run_verify,
};

int verify_fetch(struct client *client, const char *request_id, const char *path, struct error *err)
{
    char fresh[LIMIT_PATH_BYTES];
    if (strlen(path) + 8 > sizeof(fresh))
        return error_set(err, ERR_INVALID, 0, "the path of the certificate is too long");
    str_format(fresh, sizeof(fresh), "%s.part", path);
    FILE *file = fopen(fresh, "we");
    if (file == NULL)
        return error_set(err, ERR_IO, errno, "%s", fresh);
    int rc = verify_fetch_into(client, request_id, file, err);
    bool written = fflush(file) == 0 && fsync(fileno(file)) == 0;
    int why = errno;
    written = fclose(file) == 0 && written;
    if (rc == 0 && !written)
        rc = error_set(err, ERR_IO, why, "%s", fresh);
    if (rc == 0 && rename(fresh, path) < 0)
        rc = error_set(err, ERR_IO, errno, "%s", path);
    if (rc < 0)
        (void)unlink(fresh);
    return rc;
}

int verify_fetch_into(struct client *client, const char *request_id, FILE *file, struct error *err)
{
    uint64_t at = 0;
    uint64_t bytes = 1;
    while (at < bytes) {
        struct message_request request = {.since = at};
        struct client_reply reply;
        str_format(request.value, sizeof(request.value), "%s", request_id);
        int rc = client_call(client, "certificate", &request, &reply, err);
        if (rc < 0)
            return rc;
        const char *data = json_text(reply.json, "data");
        size_t room = strlen(data) + 1;
        unsigned char *piece CLEANUP(cleanup_free) = malloc(room);
        size_t got = 0;
        bytes = (uint64_t)json_integer_value(json_object_get(reply.json, "bytes"));
        bool right = piece != NULL && sodium_base642bin(piece, room, data, room - 1, NULL, &got,
                                                        NULL, sodium_base64_VARIANT_ORIGINAL) == 0;
        client_reply_done(&reply);
        if (!right || got == 0 || at + got > bytes)
            return error_set(err, ERR_CORRUPT, 0,
                             "the scheduler's piece of the certificate at byte %llu is not one",
                             (unsigned long long)at);
        if (fwrite(piece, 1, got, file) != got)
            return error_set(err, ERR_IO, errno, "the certificate's file");
        at += got;
    }
    return 0;
}

static int run_verify(struct cli *cli, void *options, const struct option_words *words,
                      struct error *err)
{
    (void)options;
    struct strbuf file;
    struct strbuf out;
    struct arena arena;
    struct problem problem;
    struct solution solution;
    struct verdict verdict = {.broken = -1};
    strbuf_init(&file, FILE_BYTES);
    strbuf_init(&out, CLI_TEXT_BYTES);
    arena_init(&arena, MEMORY_BYTES);
    int rc = read_file(words->items[0], &file, err);
    if (rc == 0)
        rc = certificate_decode(file.text, file.bytes, &arena, &problem, &solution, err);
    if (rc == 0 && solution.choice == NULL)
        rc = error_set(err, ERR_INVALID, 0, "it holds no placement (%s)",
                       solve_status_words[solution.status]);
    if (rc == 0)
        rc = verify_plan(&problem, solution.choice, solution.price, solution.meter_price, &arena,
                         &verdict, err);
    if (rc < 0)
        rc = error_prefix(err, "%.200s", words->items[0]);
    if (rc == 0) {
        if (cli->common.json)
            write_json(&problem, &solution, &verdict, &out);
        else
            write_text(&problem, &solution, &verdict, cli->color, &out);
        rc = cli_print(&out, err);
    }
    bool right = rc == 0 && states_right(&solution, &verdict);
    arena_done(&arena);
    strbuf_done(&out);
    strbuf_done(&file);
    return rc < 0 ? rc : right ? 0 : 1;
}

static int read_file(const char *path, struct strbuf *out, struct error *err)
{
    FILE *file = str_equal(path, "-") ? stdin : fopen(path, "re");
    if (file == NULL)
        return error_set(err, ERR_IO, errno, "%s", path);
    char piece[65536];
    size_t got;
    while ((got = fread(piece, 1, sizeof(piece), file)) > 0)
        strbuf_append(out, piece, got);
    int failed = ferror(file) != 0 ? errno : 0;
    if (file != stdin)
        (void)fclose(file);
    return failed != 0 ? error_set(err, ERR_IO, failed, "%s", path) : strbuf_error(out, err);
}

/* A double's sum of meters may be off by its last digits. */
static bool states_right(const struct solution *solution, const struct verdict *verdict)
{
    double cost = (double)solution->cost_nusd;
    double slack = 1000 + 1e-9 * fabs(cost);
    return verdict->broken < 0 && fabs(verdict->cost - cost) <= slack &&
           verdict->bound <= cost + slack && solution->bound_nusd <= solution->cost_nusd;
}

static void write_text(const struct problem *problem, const struct solution *solution,
                       const struct verdict *verdict, bool color, struct strbuf *out)
{
    double cost = (double)solution->cost_nusd;
    bool right = states_right(solution, verdict);
    text_styled(out, color, right ? STYLE_GREEN : STYLE_RED, "%s",
                right ? "The plan is what it says." : "The plan is NOT what it says.");
    strbuf_printf(out, "\n\nparts     %d at %d sites, under %d rules\n", problem->part_count,
                  problem->site_count, problem->rule_count);
    strbuf_printf(out, "feasible  %s%s\n", verdict->broken < 0 ? "yes" : "NO, it breaks: ",
                  verdict->broken < 0 ? "" : problem->rules[verdict->broken].text);
    strbuf_printf(out, "score     %.6f a month (stated: %.6f)\n", verdict->cost / 1e9, cost / 1e9);
    if (isfinite(verdict->bound))
        strbuf_printf(out,
                      "proven    no placement scores below %.6f: this one is at most %.4f %% above "
                      "the best%s\n",
                      verdict->bound / 1e9, 100 * fmax(verdict->gap, 0),
                      verdict->divided ? " (parts are linked too densely for the exact least)"
                                       : "");
    else
        strbuf_puts(out, "proven    nothing: its prices give no bound\n");
    strbuf_printf(out, "claimed   %s, no placement below %.6f%s\n",
                  solve_status_words[solution->status], (double)solution->bound_nusd / 1e9,
                  (double)solution->bound_nusd > verdict->bound
                      ? ": beyond the proof, the solver's word (branch and bound)"
                      : "");
}

static void write_json(const struct problem *problem, const struct solution *solution,
                       const struct verdict *verdict, struct strbuf *out)
{
    CLEANUP(cleanup_json) json_t *json = json_object();
    bool kept = verdict->broken < 0;
    bool proven = isfinite(verdict->bound);
    json_object_set_new(json, "right", json_boolean(states_right(solution, verdict)));
    json_object_set_new(json, "feasible", json_boolean(kept));
    json_object_set_new(json, "broken",
                        json_string(kept ? "" : problem->rules[verdict->broken].text));
    json_object_set_new(json, "parts", json_integer(problem->part_count));
    json_object_set_new(json, "sites", json_integer(problem->site_count));
    json_object_set_new(json, "rules", json_integer(problem->rule_count));
    json_object_set_new(json, "status", json_string(solve_status_words[solution->status]));
    json_object_set_new(json, "cost_nusd", json_integer((json_int_t)verdict->cost));
    json_object_set_new(json, "stated_cost_nusd", json_integer(solution->cost_nusd));
    json_object_set_new(json, "bound_nusd",
                        proven ? json_integer((json_int_t)verdict->bound) : json_null());
    json_object_set_new(json, "claimed_bound_nusd", json_integer(solution->bound_nusd));
    json_object_set_new(json, "gap", proven ? json_real(fmax(verdict->gap, 0)) : json_null());
    json_object_set_new(json, "divided", json_boolean(verdict->divided));
    char *text CLEANUP(cleanup_free) = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9));
    strbuf_puts(out, text != NULL ? text : "{}");
    strbuf_puts(out, "\n");
}
