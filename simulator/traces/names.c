#include "simulator/traces/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static int grow(struct names *names);
static uint32_t place_of(const struct names *names, const char *text);

void names_done(struct names *names)
{
    for (int i = 0; i < names->count; i++)
        free(names->texts[i]);
    free(names->texts);
    free(names->slots);
    *names = (struct names){.count = 0};
}

int names_find(const struct names *names, const char *text)
{
    return names->capacity == 0 ? -1 : (int)names->slots[place_of(names, text)] - 1;
}

int names_add(struct names *names, const char *text)
{
    if ((uint32_t)names->count * 2 >= names->capacity && grow(names) < 0)
        return -1;
    uint32_t place = place_of(names, text);
    if (names->slots[place] != 0)
        return (int)names->slots[place] - 1;
    char *copy = strdup(text);
    if (copy == NULL)
        return -1;
    names->texts[names->count] = copy;
    names->slots[place] = (uint32_t)++names->count;
    return names->count - 1;
}

/* Where the text is, or would be; the table is never full. */
static uint32_t place_of(const struct names *names, const char *text)
{
    uint32_t place = (uint32_t)hash_str(HASH_SEED, text) & (names->capacity - 1);
    while (names->slots[place] != 0 && !str_equal(names->texts[names->slots[place] - 1], text))
        place = (place + 1) & (names->capacity - 1);
    return place;
}

static int grow(struct names *names)
{
    uint32_t capacity = names->capacity == 0 ? 64 : names->capacity * 2;
    char **texts = realloc(names->texts, capacity * sizeof(*texts));
    if (texts == NULL)
        return -1;
    names->texts = texts;
    uint32_t *slots = calloc(capacity, sizeof(*slots));
    if (slots == NULL)
        return -1;
    free(names->slots);
    names->slots = slots;
    names->capacity = capacity;
    for (int i = 0; i < names->count; i++)
        names->slots[place_of(names, names->texts[i])] = (uint32_t)i + 1;
    return 0;
}
