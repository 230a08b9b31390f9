/* SPDX-License-Identifier: Apache-2.0 */
/* What the targets that load kernels share: RAM, and files in memory (in place of vmm/arch/boot_file.c). */
#ifndef EBB_FUZZ_BOOT_H
#define EBB_FUZZ_BOOT_H

#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/host.h"
#include "vmm/arch/arch.h"
#include "vmm/arch/boot_file.h"

/* RAM of one region, always of the same @size in a program; its contents are not reset. */
struct ram boot_ram(uint64_t gpa, size_t size);

/* The kernel: @bytes, and zeros up to @length, which is cut at 8 MiB; the initrd: @initrd zeros. */
void boot_files(const uint8_t *bytes, size_t size, size_t length, size_t initrd);
uint64_t boot_file_length(void);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
