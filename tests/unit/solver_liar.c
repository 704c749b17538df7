/* Stands where berth-solve stands and answers every request with the bytes of a wrong answer: an
 * optimum whose cost is not the cost of its placement. For problems of one part. */
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "model/problem.h"

int main(void)
{
    unsigned char head[4];
    while (read(STDIN_FILENO, head, sizeof(head)) == (ssize_t)sizeof(head)) {
        size_t left = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16;
        while (left > 0) {
            char text[512];
            ssize_t n = read(STDIN_FILENO, text, left < sizeof(text) ? left : sizeof(text));
            if (n <= 0) {
                return 1;
            }
            left -= (size_t)n;
        }
        int choice = 0;
        struct solution lie = {
            .status = SOLVE_OPTIMAL, .choice = &choice, .cost_nusd = -12345, .bound_nusd = -12345};
        struct strbuf out;
        strbuf_init(&out, 1 << 16);
        strbuf_append(&out, "\0\0\0\0", 4);
        const struct problem problem = {.part_count = 1};
        solution_encode(&problem, &lie, &out);
        out.text[0] = (char)(out.bytes - 4);
        if (write(STDOUT_FILENO, out.text, out.bytes) != (ssize_t)out.bytes) {
            return 1;
        }
        strbuf_done(&out);
    }
    return 0;
}
