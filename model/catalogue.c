#include "model/catalogue.h"

#include <string.h>

#include "base/str.h"
#include "model/world.h"

/* The worlds' accounts bear the names of their providers. */
static const char whole[] = "world: catalogue\n"
                            "accounts:\n"
                            "  - {name: aws, provider: aws}\n"
                            "  - {name: azure, provider: azure}\n"
                            "  - {name: gcp, provider: gcp}\n"
                            "  - {name: edge, provider: edge}\n"
                            "use: [\"*\"]\n";

int catalogue_part_of(const char *provider)
{
    static const struct {
        const char *provider;
        int part;
    } providers[] = {
        {"aws", CATALOGUE_AWS},      {"azure", CATALOGUE_AZURE},    {"gcp", CATALOGUE_GCP},
        {"edge", CATALOGUE_GENERIC}, {"client", CATALOGUE_GENERIC},
    };
    for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++) {
        if (str_equal(providers[i].provider, provider)) {
            return providers[i].part;
        }
    }
    return -1;
}

int catalogue_read(int part, struct arena *arena, struct world *ret_world, struct error *err)
{
    return world_parse(catalogue_parts[part].name, catalogue_parts[part].text,
                       catalogue_parts[part].bytes, arena, ret_world, err);
}

int catalogue_world(struct arena *arena, struct world *ret_world, struct error *err)
{
    return world_parse("catalogue", whole, sizeof(whole) - 1, arena, ret_world, err);
}
