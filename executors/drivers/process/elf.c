#include "executors/drivers/process/elf.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

static uint16_t read_half(const uint8_t *at, bool little);

const char *elf_machine_name(uint16_t machine, int bits)
{
    switch (machine) {
    case EM_X86_64:
        return bits == 64 ? "x86_64" : "x32";
    case EM_AARCH64:
        return "aarch64";
    case EM_386:
        return "i686";
    case EM_ARM:
        return "armv7l";
    case EM_RISCV:
        return bits == 64 ? "riscv64" : "riscv32";
    case EM_PPC64:
        return "ppc64le";
    case EM_S390:
        return "s390x";
    default:
        return NULL;
    }
}

int elf_check(const uint8_t *head, size_t bytes, const char *machine, enum elf_kind *ret_kind,
              struct error *err)
{
    if (bytes >= 2 && head[0] == '#' && head[1] == '!') {
        *ret_kind = ELF_SCRIPT;
        return 0;
    }
    if (bytes < sizeof(Elf32_Ehdr) || memcmp(head, ELFMAG, SELFMAG) != 0)
        return error_set(err, ERR_INVALID, 0,
                         "the artifact is no program: it starts neither with an ELF header nor "
                         "with \"#!\"");
    uint8_t class = head[EI_CLASS];
    uint8_t data = head[EI_DATA];
    if ((class != ELFCLASS32 && class != ELFCLASS64) ||
        (data != ELFDATA2LSB && data != ELFDATA2MSB) || head[EI_VERSION] != EV_CURRENT)
        return error_set(err, ERR_INVALID, 0,
                         "the artifact's ELF header is damaged: class %u, byte order %u, "
                         "version %u",
                         class, data, head[EI_VERSION]);
    bool little = data == ELFDATA2LSB;
    uint16_t type = read_half(head + 16, little);
    uint16_t number = read_half(head + 18, little);
    if (type != ET_EXEC && type != ET_DYN)
        return error_set(err, ERR_INVALID, 0,
                         "the artifact is an ELF file of type %u, not a program that can run",
                         type);
    const char *name = elf_machine_name(number, class == ELFCLASS64 ? 64 : 32);
    if (name == NULL)
        return error_set(err, ERR_UNSUPPORTED, 0,
                         "the artifact is built for ELF machine %u, this node is %s", number,
                         machine);
    if (!str_equal(name, machine))
        return error_set(err, ERR_UNSUPPORTED, 0, "the artifact is built for %s, this node is %s",
                         name, machine);
    *ret_kind = ELF_PROGRAM;
    return 0;
}

int elf_check_fd(int fd, const char *machine, enum elf_kind *ret_kind, struct error *err)
{
    uint8_t head[ELF_HEAD_BYTES];
    ssize_t got = pread(fd, head, sizeof(head), 0);
    if (got < 0)
        return error_set(err, ERR_IO, errno, "read the artifact's header");
    return elf_check(head, (size_t)got, machine, ret_kind, err);
}

static uint16_t read_half(const uint8_t *at, bool little)
{
    return (uint16_t)(little ? at[0] | at[1] << 8 : at[1] | at[0] << 8);
}
