#include "scheduler/cli/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

#define TRIES_MAX 8 /* who tidies up may take a folder before it is locked */

static const char *above(void);
static void remove_left(const char *kind);
static int make(const char *kind, struct scratch *scratch);
static int lock(const char *folder);
static void remove_folder(const char *folder, int fd);

int scratch_open(const char *kind, struct scratch *ret_scratch, struct error *err)
{
    struct scratch scratch = {.fd = -1};
    remove_left(kind);
    for (int i = 0; i < TRIES_MAX && scratch.fd < 0; i++)
        if (make(kind, &scratch) < 0)
            break;
    if (scratch.fd < 0)
        return error_set(err, ERR_IO, errno,
                         "no folder of its own can be made in %.900s; TMPDIR says where", above());
    *ret_scratch = scratch;
    return 0;
}

void scratch_close(struct scratch *scratch)
{
    if (scratch->folder[0] == 0)
        return;
    remove_folder(scratch->folder, scratch->fd);
    (void)close(scratch->fd);
    scratch->folder[0] = 0;
}

static const char *above(void)
{
    const char *folder = getenv("TMPDIR");
    return folder == NULL || folder[0] == 0 ? "/tmp" : folder;
}

static void remove_left(const char *kind)
{
    char prefix[LIMIT_NAME_BYTES];
    DIR *list = opendir(above());
    const struct dirent *entry;
    str_format(prefix, sizeof(prefix), "berth-%s-", kind);
    while (list != NULL && (entry = readdir(list)) != NULL) {
        char folder[LIMIT_PATH_BYTES];
        size_t bytes = strlen(prefix);
        if (strncmp(entry->d_name, prefix, bytes) != 0 || strlen(entry->d_name) != bytes + 6)
            continue;
        str_format(folder, sizeof(folder), "%.700s/%s", above(), entry->d_name);
        int fd = lock(folder);
        if (fd < 0)
            continue;
        remove_folder(folder, fd);
        (void)close(fd);
    }
    if (list != NULL)
        (void)closedir(list);
}

/* scratch->fd stays -1 where somebody took it for one that was left. */
static int make(const char *kind, struct scratch *scratch)
{
    str_format(scratch->folder, sizeof(scratch->folder), "%.700s/berth-%s-XXXXXX", above(), kind);
    if (mkdtemp(scratch->folder) == NULL)
        return ERR_IO;
    scratch->fd = lock(scratch->folder);
    return 0;
}

/* Its descriptor; -1 for what is in use, gone, or somebody else's. */
static int lock(const char *folder)
{
    struct stat about;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &about) == 0 && about.st_uid == geteuid() &&
        flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &about) == 0 && about.st_nlink > 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

static void remove_folder(const char *folder, int fd)
{
    int again = dup(fd);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    const struct dirent *entry;
    while (list != NULL && (entry = readdir(list)) != NULL)
        (void)unlinkat(fd, entry->d_name, 0); /* "." and ".." are no files */
    if (list != NULL)
        (void)closedir(list);
    else if (again >= 0)
        (void)close(again);
    (void)rmdir(folder);
}
