#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"

static int64_t now_us(clockid_t id);

struct mono clock_mono_now(void)
{
    return (struct mono){now_us(CLOCK_MONOTONIC)};
}

struct boot clock_boot_now(void)
{
    return (struct boot){now_us(CLOCK_BOOTTIME)};
}

struct wall clock_wall_now(void)
{
    return (struct wall){now_us(CLOCK_REALTIME)};
}

int clock_boot_id(char out[BOOT_ID_BYTES])
{
    CLEANUP(cleanup_close)
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return ERR_IO;
    }
    char text[BOOT_ID_BYTES];
    ssize_t bytes;
    do {
        bytes = read(fd, text, sizeof(text) - 1);
    } while (bytes < 0 && errno == EINTR);
    if (bytes <= 0) {
        return ERR_IO;
    }
    text[bytes] = '\0';
    text[strcspn(text, "\n")] = '\0';
    /* 8-4-4-4-12 hex digits; anything else would be compared as an id of some other boot. */
    if (strlen(text) != 36 || strspn(text, "0123456789abcdef-") != 36) {
        return ERR_CORRUPT;
    }
    memcpy(out, text, 37);
    return 0;
}

const char *wall_format(struct wall at, char out[WALL_TEXT_BYTES])
{
    int64_t seconds = at.us / US_PER_S;
    int64_t us = at.us % US_PER_S;
    if (us < 0) {
        us += US_PER_S;
        seconds--;
    }
    time_t when = (time_t)seconds;
    struct tm tm;
    BERTH_ASSERT(gmtime_r(&when, &tm) != NULL, "64-bit microseconds always have a year");
    str_format(out, WALL_TEXT_BYTES, "%04lld-%02d-%02dT%02d:%02d:%02d.%06dZ",
               (long long)tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
               tm.tm_sec, (int)us);
    return out;
}

static int64_t now_us(clockid_t id)
{
    struct timespec now;
    BERTH_ASSERT(clock_gettime(id, &now) == 0, "clock %d is missing", (int)id);
    return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}
