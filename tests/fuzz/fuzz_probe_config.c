/* Any text as a probe's configuration: what is taken holds what the reader promises. */
#include <stdlib.h>
#include <string.h>

#include "metrics/probe/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct doc *doc = NULL;
    struct arena arena;
    struct probe_config config;
    struct error err;
    if (doc_parse("p.yaml", (const char *)data, size, &doc, &err) < 0)
        return 0;
    arena_init(&arena, 64 << 20);
    if (probe_config_read(doc, &arena, &config, &err) == 0 && doc_check(doc, &err) == 0) {
        BERTH_ASSERT(name_is_valid(config.name), "name '%s'", config.name);
        for (int i = 0; i < config.target_count; i++) {
            const struct probe_target *target = &config.targets[i];
            char address[PROBE_ADDRESS_BYTES];
            BERTH_ASSERT(probe_url_problem(target->url) == NULL, "url '%s'", target->url);
            probe_url_address(target->url, address);
            BERTH_ASSERT(target->timeout_us > 0 && target->timeout_us <= target->interval_us,
                         "timeout");
        }
        for (int i = 0; i < config.path_count; i++)
            BERTH_ASSERT(config.paths[i].kind == PROBE_PATH_NATS ||
                             probe_url_problem(config.paths[i].url) == NULL,
                         "path '%s'", config.paths[i].url);
    }
    arena_done(&arena);
    doc_destroy(doc);
    return 0;
}
