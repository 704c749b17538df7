/*
 * Feeds every file of a corpus to a fuzz target in builds without libFuzzer: what fuzzing found
 * once stays found under every compiler and sanitizer. Arguments are files and folders; an empty or
 * missing corpus fails, since a test that reads nothing proves nothing.
 *
 * Each input is also fed cut after every byte of its first KiB and with single bytes changed, in a
 * fixed order: cheap neighbours of the inputs that mattered.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX ((size_t)8 << 20)
#define NEIGHBOURS      1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replay_path(const char *path);
static size_t replay_folder(const char *path);
static bool replay_file(const char *path);
static void replay_bytes(const uint8_t *bytes, size_t count);

int main(int argc, char **argv)
{
    size_t inputs = 0;
    for (int i = 1; i < argc; i++) {
        inputs += replay_path(argv[i]);
    }
    if (inputs == 0) {
        (void)fprintf(stderr, "no input was replayed; usage: %s FILE-OR-FOLDER...\n", argv[0]);
        return 1;
    }
    (void)printf("%zu inputs replayed\n", inputs);
    return 0;
}

static size_t replay_path(const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0) {
        perror(path);
        exit(1);
    }
    if (S_ISDIR(status.st_mode)) {
        return replay_folder(path);
    }
    return replay_file(path) ? 1 : 0;
}

static size_t replay_folder(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort); /* sorted: the same order everywhere */
    if (count < 0) {
        perror(path);
        exit(1);
    }
    size_t inputs = 0;
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            char child[4096];
            int bytes = snprintf(child, sizeof(child), "%s/%s", path, entries[i]->d_name);
            if (bytes < 0 || (size_t)bytes >= sizeof(child)) {
                (void)fprintf(stderr, "%s: the path is too long\n", path);
                exit(1);
            }
            inputs += replay_path(child);
        }
        free(entries[i]);
    }
    free(entries);
    return inputs;
}

static bool replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_BYTES_MAX);
    if (file == NULL || bytes == NULL) {
        perror(path);
        exit(1);
    }
    size_t count = fread(bytes, 1, INPUT_BYTES_MAX, file);
    if (ferror(file) != 0 || count == INPUT_BYTES_MAX) {
        (void)fprintf(stderr, "%s: cannot be read whole\n", path);
        exit(1);
    }
    (void)fclose(file);
    replay_bytes(bytes, count);
    size_t span = count < NEIGHBOURS ? count : NEIGHBOURS;
    for (size_t i = 0; i < span; i++) {
        replay_bytes(bytes, i);
        uint8_t kept = bytes[i];
        bytes[i] = (uint8_t)(kept ^ (1U << (i % 8)));
        replay_bytes(bytes, count);
        bytes[i] = kept;
    }
    free(bytes);
    return true;
}

/* From a copy of exactly that size, so that a sanitizer sees a read past the end. */
static void replay_bytes(const uint8_t *bytes, size_t count)
{
    uint8_t *copy = malloc(count > 0 ? count : 1);
    if (copy == NULL) {
        perror("replay");
        exit(1);
    }
    memcpy(copy, bytes, count);
    (void)LLVMFuzzerTestOneInput(copy, count);
    free(copy);
}
