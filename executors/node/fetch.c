#include "executors/node/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/bus/bus.h"
#include "base/bus/jetstream.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "executors/drivers/process/elf.h"

#define CONNECT_US (10 * US_PER_S)
#define COPY_BYTES 65536

static int copy_file(const char *path, int fd, struct error *err);
static int copy_object(const struct node_options *options, const char *place, int fd,
                       struct error *err);
static int verify(int fd, const char *digest, struct error *err);

int fetch_main(const struct node_options *options, const char *artifact, const char *digest,
               const char *target)
{
    struct error err;
    int rc = fetch_artifact(options, artifact, digest, target, &err);
    if (rc < 0)
        (void)printf("%d %s\n", rc, err.text);
    else
        (void)printf("0\n");
    return rc < 0 ? 1 : 0;
}

int fetch_artifact(const struct node_options *options, const char *artifact, const char *digest,
                   const char *target, struct error *err)
{
    char beside[LIMIT_PATH_BYTES];
    str_format(beside, sizeof(beside), "%.1000s.XXXXXX", target);
    CLEANUP(cleanup_close) int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "make '%.200s'", beside);
    int rc;
    if (str_starts(artifact, "file:"))
        rc = copy_file(artifact + strlen("file:"), fd, err);
    else if (str_starts(artifact, "object:"))
        rc = copy_object(options, artifact + strlen("object:"), fd, err);
    else
        rc = error_set(err, ERR_UNSUPPORTED, 0,
                       "artifact '%.200s': must be file:/path or object:bucket/name", artifact);
    if (rc == 0)
        rc = verify(fd, digest, err);
    if (rc == 0 && (fchmod(fd, 0555) < 0 || fsync(fd) < 0 || rename(beside, target) < 0))
        rc = error_set(err, ERR_IO, errno, "keep the artifact as '%.200s'", target);
    if (rc < 0)
        (void)unlink(beside);
    return rc;
}

static int copy_file(const char *path, int fd, struct error *err)
{
    CLEANUP(cleanup_close) int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                         "artifact 'file:%.200s'", path);
    struct stat status;
    if (fstat(from, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size > FETCH_BYTES_MAX)
        return error_set(err, ERR_INVALID, 0, "artifact 'file:%.200s': no file of at most 4 GiB",
                         path);
    CLEANUP(cleanup_free) char *buffer = malloc(COPY_BYTES);
    if (buffer == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to copy an artifact");
    for (;;) {
        ssize_t got = read(from, buffer, COPY_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, ERR_IO, errno, "read artifact 'file:%.200s'", path);
        if (got == 0)
            return 0;
        for (ssize_t at = 0; at < got;) {
            ssize_t done = write(fd, buffer + at, (size_t)(got - at));
            if (done < 0 && errno != EINTR)
                return error_set(err, ERR_IO, errno, "write the artifact to the node's store");
            at += done > 0 ? done : 0;
        }
    }
}

static int copy_object(const struct node_options *options, const char *place, int fd,
                       struct error *err)
{
    char bucket[LIMIT_NAME_BYTES];
    const char *slash = strchr(place, '/');
    if (slash == NULL || slash == place || (size_t)(slash - place) >= sizeof(bucket) ||
        slash[1] == 0)
        return error_set(err, ERR_INVALID, 0, "artifact 'object:%.200s': must be bucket/name",
                         place);
    memcpy(bucket, place, (size_t)(slash - place));
    bucket[slash - place] = 0;
    struct bus_options wanted = {.url = options->url,
                                 .name = "berth-node fetch",
                                 .seed_path = options->seed[0] != 0 ? options->seed : NULL,
                                 .inbox_prefix = options->inbox,
                                 .connect_timeout_us = CONNECT_US};
    struct bus *bus;
    int rc = bus_open(&wanted, &bus, err);
    if (rc < 0)
        return rc;
    char digest[LIMIT_DIGEST_BYTES];
    rc = object_get_fd(bus, bucket, slash + 1, fd, FETCH_BYTES_MAX, digest, err);
    bus_close(bus);
    return rc < 0 ? error_prefix(err, "artifact 'object:%.200s'", place) : 0;
}

static int verify(int fd, const char *digest, struct error *err)
{
    char found[LIMIT_DIGEST_BYTES];
    struct utsname machine;
    enum elf_kind kind;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_set(err, ERR_IO, errno, "read the artifact back");
    int rc = digest_fd(fd, found, err);
    if (rc == 0 && !str_equal(found, digest))
        rc = error_set(err, ERR_CORRUPT, 0,
                       "digest mismatch: the artifact is %s, the spec names %s", found, digest);
    if (rc == 0 && uname(&machine) < 0)
        rc = error_set(err, ERR_IO, errno, "uname");
    return rc < 0 ? rc : elf_check_fd(fd, machine.machine, &kind, err);
}
