#include "model/certificate.h"

#include <endian.h>
#include <string.h>

#define MAGIC       "BERTHC1\n"
#define MAGIC_BYTES (sizeof(MAGIC) - 1)
#define HEAD_BYTES  (MAGIC_BYTES + 8)

void certificate_encode(const struct problem *problem, const struct solution *solution,
                        struct strbuf *out)
{
    static const char zeros[8] = {0};
    strbuf_append(out, MAGIC, MAGIC_BYTES);
    strbuf_append(out, zeros, sizeof(zeros));
    size_t before = out->bytes;
    problem_encode(problem, out);
    uint64_t bytes = htole64(out->bytes - before);
    if (!out->broken) {
        memcpy(out->text + before - sizeof(bytes), &bytes, sizeof(bytes));
    }
    solution_encode(problem, solution, out);
}

int certificate_decode(const void *bytes, size_t count, struct arena *arena,
                       struct problem *ret_problem, struct solution *ret_solution,
                       struct error *err)
{
    const char *at = bytes;
    if (count < HEAD_BYTES || memcmp(at, MAGIC, MAGIC_BYTES) != 0) {
        return error_set(err, ERR_INVALID, 0,
                         "it does not start with \"BERTHC1\": `berth plan --certificate FILE` "
                         "writes what is checked here");
    }
    uint64_t problem_bytes;
    memcpy(&problem_bytes, at + MAGIC_BYTES, sizeof(problem_bytes));
    problem_bytes = le64toh(problem_bytes);
    if (problem_bytes > count - HEAD_BYTES) {
        return error_set(err, ERR_INVALID, 0,
                         "it ends after %zu bytes, within a problem of %llu: it was cut", count,
                         (unsigned long long)problem_bytes);
    }
    struct problem problem;
    struct solution solution;
    size_t end = HEAD_BYTES + (size_t)problem_bytes;
    int rc = problem_decode(at + HEAD_BYTES, (size_t)problem_bytes, arena, &problem, err);
    rc = rc == 0 ? solution_decode(at + end, count - end, &problem, arena, &solution, err) : rc;
    if (rc == 0) {
        *ret_problem = problem;
        *ret_solution = solution;
    }
    return rc;
}
