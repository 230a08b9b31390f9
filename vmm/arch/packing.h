/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels that are compressed, told by their first bytes, as distributions and kernel builds make them:
 * which of the usual ways it is, and which command unpacks it.
 *
 * Sources: the magic numbers of scripts/extract-vmlinux and lib/decompress.c; of EFI's
 * drivers/firmware/efi/libstub/zboot-header.S.
 */
#ifndef EBB_ARCH_PACKING_H
#define EBB_ARCH_PACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/arch/boot_file.h"

/*
 * Pure. Writes what is to be said of a compressed file after its name, such as "is compressed with xz:
 * unpack it first: xz -dc FILE >vmlinux", into @text. @head: its first @size bytes. Returns false where
 * it is none that is known.
 */
bool packing_advice(char *text, size_t text_size, const uint8_t *head, size_t size);

/* Logs that of @source. Returns whether it is compressed. */
bool packing_told(const struct boot_file *source, const uint8_t *head, size_t size);

#endif
