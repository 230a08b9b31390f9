/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel that a boot loader starts by default, from its configuration, read as text: an entry
 * of the Boot Loader Specification (uapi-group.org, type 1), or the first menuentry of GRUB's
 * grub.cfg as grub-mkconfig writes it. GRUB's variables are not expanded: a parameter that has one
 * is left out.
 *
 * Thread: any; nothing is kept. The text is untrusted: it may hold any bytes.
 */
#ifndef EBB_BOOTDISK_ENTRIES_H
#define EBB_BOOTDISK_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>

#define ENTRY_FILES_SIZE  1024
#define ENTRY_PARAMS_SIZE 2048

struct boot_entry {
	char kernel[ENTRY_FILES_SIZE];
	char initrds[ENTRY_FILES_SIZE]; /* each ended by a zero, an empty one after the last */
	char params[ENTRY_PARAMS_SIZE];
};

/* Return true if @text, which has @len bytes, names a kernel, and the whole entry fits. */
bool entry_from_bls(const char *text, size_t len, struct boot_entry *entry);
bool entry_from_grub(const char *text, size_t len, struct boot_entry *entry);

#endif
