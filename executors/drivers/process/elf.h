/*
 * elf: what an artifact is, from its first bytes, before anything runs it: a program for this
 * machine, one for another, or a script. Reads outside bytes; believes no offset. Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define ELF_HEAD_BYTES 64

enum elf_kind { ELF_PROGRAM, ELF_SCRIPT };

/* The kernel's name ("x86_64", "aarch64") of an ELF machine number; NULL when not known. */
const char *elf_machine_name(uint16_t machine, int bits);

/* `head` are the file's first bytes (at least ELF_HEAD_BYTES unless the file is shorter); `machine`
 * is this node's, as uname -m says it. ERR_UNSUPPORTED: "built for aarch64, this node is x86_64";
 * ERR_INVALID for what is neither an ELF program nor a script ("#!"). */
int elf_check(const uint8_t *head, size_t bytes, const char *machine, enum elf_kind *ret_kind,
              struct error *err) WARN_UNUSED;
/* The same on an open file; keeps its offset. */
int elf_check_fd(int fd, const char *machine, enum elf_kind *ret_kind,
                 struct error *err) WARN_UNUSED;
