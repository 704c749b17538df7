#include "model/feeds/fit.h"

#include <math.h>

/* Below it the shapes are of one ratio, but for rounding: the determinant of the correlation. */
#define TOLD_APART 1e-4

static double residual(const struct fit *fit, double cpu, double memory);
static bool to_decimal(double value, struct decimal *ret_value);

void fit_add(struct fit *fit, int64_t mcpu, int64_t memory_bytes, struct decimal price)
{
    double usd = (double)price.coefficient / pow(10.0, price.scale);
    double c = (double)mcpu / 1000.0 / usd;
    double m = (double)memory_bytes / (double)(INT64_C(1) << 30) / usd;
    fit->count++;
    fit->cc += c * c;
    fit->cm += c * m;
    fit->mm += m * m;
    fit->c += c;
    fit->m += m;
}

bool fit_solve(const struct fit *fit, struct fit_result *ret_result)
{
    struct fit_result result = {.divided = false};
    if (fit->count == 0)
        return false;
    double det = fit->cc * fit->mm - fit->cm * fit->cm;
    double cpu = 0;
    double memory = 0;
    if (det > TOLD_APART * fit->cc * fit->mm) {
        cpu = (fit->c * fit->mm - fit->m * fit->cm) / det;
        memory = (fit->m * fit->cc - fit->c * fit->cm) / det;
    }
    if (!(cpu > 0) || !(memory > 0)) {
        double square = FIT_CPU_USD * FIT_CPU_USD * fit->cc +
                        2 * FIT_CPU_USD * FIT_MEMORY_USD * fit->cm +
                        FIT_MEMORY_USD * FIT_MEMORY_USD * fit->mm;
        double times = (FIT_CPU_USD * fit->c + FIT_MEMORY_USD * fit->m) / square;
        cpu = times * FIT_CPU_USD;
        memory = times * FIT_MEMORY_USD;
        result.divided = true;
    }
    double error = residual(fit, cpu, memory);
    result.residual_ppm = error < 1e6 ? (int64_t)llrint(error * 1e6) : INT64_C(1000000000000);
    if (!to_decimal(cpu, &result.cpu) || !to_decimal(memory, &result.memory))
        return false;
    *ret_result = result;
    return true;
}

static double residual(const struct fit *fit, double cpu, double memory)
{
    double count = (double)fit->count;
    double square = count - 2 * cpu * fit->c - 2 * memory * fit->m + cpu * cpu * fit->cc +
                    2 * cpu * memory * fit->cm + memory * memory * fit->mm;
    return square > 0 ? sqrt(square / count) : 0; /* below 0 only by rounding */
}

static bool to_decimal(double value, struct decimal *ret_value)
{
    if (!(value < 1e9))
        return false;
    *ret_value = decimal_normal((struct decimal){llrint(value * 1e9), 9});
    return true;
}
