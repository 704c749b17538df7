/* An artifact's first bytes, whatever they are: a verdict, never a crash. */
#include <stddef.h>
#include <stdint.h>

#include "executors/drivers/process/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum elf_kind kind = ELF_PROGRAM;
    struct error err = {0};
    int rc = elf_check(data, size, "x86_64", &kind, &err);
    BERTH_ASSERT(rc == 0 || (rc == err.code && err.text[0] != 0), "a refusal without a reason");
    BERTH_ASSERT(rc < 0 || kind == ELF_PROGRAM || kind == ELF_SCRIPT, "no such kind");
    return 0;
}
