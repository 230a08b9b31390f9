/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognizes compressed kernels, as distributions and kernel builds make them, by their first bytes, and
 * names the command to unpack them.
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
 * Pure. Writes into @text the end of a message that begins with the file's name: "is compressed
 * with xz: unpack it first: xz -dc FILE >vmlinux". @head: the file's first @size bytes. Returns
 * false if they show no known compression.
 */
bool packing_advice(char *text, size_t text_size, const uint8_t *head, size_t size);

/* Logs that message if @source is compressed. Returns true if it is. */
bool packing_told(const struct boot_file *source, const uint8_t *head, size_t size);

#endif
