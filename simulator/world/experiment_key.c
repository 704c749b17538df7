/*
 * What a run is known by: a hash over everything that its result depends on, and nothing else. What
 * an experiment's file says besides (more seeds, other policies, comments, the order of its lines)
 * leaves the runs that are there already what they are.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "simulator/world/experiment.h"

static int hash_files(uint64_t *hash, const struct scenario *scenario,
                      const struct scenario_cell *cell, struct error *err);
static int hash_file(uint64_t *hash, const char *path, bool whole, struct error *err);

int experiment_key(const struct scenario *scenario, const struct scenario_cell *cell,
                   char out[STORE_KEY_BYTES], struct error *err)
{
    const struct scenario_policy *policy = &scenario->policies[cell->policy];
    uint64_t hash = hash_str(HASH_SEED, BERTH_VERSION);
    hash = hash_u64(hash, scenario->digest);
    hash = hash_str(hash_str(hash, policy->name), policy->arguments);
    hash = hash_u64(hash, (uint64_t)cell->seed);
    int rc = hash_files(&hash, scenario, cell, err);
    if (rc == 0)
        str_format(out, STORE_KEY_BYTES, "%016" PRIx64, hash);
    return rc;
}

/* Those that this cell reads. */
static int hash_files(uint64_t *hash, const struct scenario *scenario,
                      const struct scenario_cell *cell, struct error *err)
{
    const struct scenario_files *apps = &scenario->apps[cell->apps];
    const struct scenario_policy *policy = &scenario->policies[cell->policy];
    char path[LIMIT_PATH_BYTES];
    int rc = scenario_path(scenario, scenario->worlds[cell->world], path, err);
    if (rc == 0)
        rc = hash_file(hash, path, true, err);
    for (int i = 0; i < apps->count && rc == 0; i++) {
        rc = scenario_path(scenario, apps->list[i], path, err);
        if (rc == 0)
            rc = hash_file(hash, path, true, err);
    }
    for (int i = -1; i < scenario->load_count && rc == 0; i++) {
        const struct scenario_trace *trace = i < 0 ? NULL : scenario->loads[i].trace;
        int count = i < 0 ? cell->trace >= 0 : trace == NULL ? 0 : trace->file_count;
        for (int k = 0; k < count && rc == 0; k++) {
            rc = scenario_path(scenario, i < 0 ? scenario->traces[cell->trace] : trace->files[k],
                               path, err);
            if (rc == 0)
                rc = hash_file(hash, path, false, err);
        }
    }
    if (rc == 0 && policy->program[0] != 0) {
        rc = scenario_path(scenario, policy->program, path, err);
        if (rc == 0)
            rc = hash_file(hash, path, false, err);
    }
    return rc;
}

/* A document by its bytes; what may be large, by its size and its last change. */
static int hash_file(uint64_t *hash, const char *path, bool whole, struct error *err)
{
    struct stat stat_of;
    if (stat(path, &stat_of) < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s", path);
    *hash = hash_str(*hash, path);
    if (!whole) {
        *hash = hash_u64(*hash, (uint64_t)stat_of.st_size);
        *hash = hash_u64(*hash, (uint64_t)stat_of.st_mtim.tv_sec);
        *hash = hash_u64(*hash, (uint64_t)stat_of.st_mtim.tv_nsec);
        return 0;
    }
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set(err, ERR_IO, errno, "%s", path);
    char chunk[16384];
    size_t bytes;
    while ((bytes = fread(chunk, 1, sizeof(chunk), file)) > 0)
        *hash = hash_bytes(*hash, chunk, bytes);
    bool failed = ferror(file) != 0;
    (void)fclose(file);
    return failed ? error_set(err, ERR_IO, errno, "reading %s", path) : 0;
}
