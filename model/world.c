#include "model/world.h"

#include <string.h>

#include "base/str.h"
#include "model/read.h"

static bool has_tag(const struct site *site, const char *key, size_t key_bytes, const char *value);

int world_parse(const char *file, const char *text, size_t bytes, struct arena *arena,
                struct world *ret_world, struct error *err)
{
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_parse(file, text, bytes, &doc, err);
    return rc < 0 ? rc : world_from_doc(doc, arena, ret_world, err);
}

int world_site(const struct world *world, const char *name)
{
    for (int i = 0; i < world->site_count; i++) {
        if (str_equal(world->sites[i].name, name)) {
            return i;
        }
    }
    return -1;
}

bool site_has_tag(const struct site *site, const char *key, const char *value)
{
    const char *own = tags_get(&site->tags, key);
    if (own == NULL) {
        own = str_equal(key, "cloud")    ? site->provider
              : str_equal(key, "region") ? site->region
              : str_equal(key, "tier")   ? tier_words[site->tier]
                                         : NULL;
    }
    return own != NULL && str_equal(own, value);
}

int world_selects(const char *selector, const struct site *site)
{
    size_t length = strlen(selector);
    if (str_equal(selector, "*")) {
        return 0;
    }
    if (str_starts(selector, "tier:")) {
        return str_equal(selector + strlen("tier:"), tier_words[site->tier]) ? 2 : -1;
    }
    if (str_starts(selector, "tag:")) {
        const char *key = selector + strlen("tag:");
        const char *equals = strchr(key, '=');
        return equals != NULL && has_tag(site, key, (size_t)(equals - key), equals + 1) ? 5 : -1;
    }
    if (length > 2 && str_equal(selector + length - 2, "/*")) {
        return strlen(site->provider) == length - 2 &&
                       strncmp(selector, site->provider, length - 2) == 0
                   ? 4
                   : -1;
    }
    return str_equal(selector, site->name) ? 6 : -1;
}

/* As site_has_tag, without a copy of the key: every pair of sites asks every rule. */
static bool has_tag(const struct site *site, const char *key, size_t key_bytes, const char *value)
{
    for (int i = 0; i < site->tags.count; i++) {
        const struct tag *tag = &site->tags.list[i];
        if (strncmp(tag->key, key, key_bytes) == 0 && tag->key[key_bytes] == '\0') {
            return str_equal(tag->value, value);
        }
    }
    char word[LIMIT_NAME_BYTES];
    if (key_bytes >= sizeof(word)) {
        return false; /* no key is that long */
    }
    str_format(word, sizeof(word), "%.*s", (int)key_bytes, key);
    return site_has_tag(site, word, value);
}
