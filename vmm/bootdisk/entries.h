/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel that a boot loader starts by default, from its configuration, read as text: an entry
 * of the Boot Loader Specification (uapi-group.org, type 1), or the menuentry that is the default
 * of GRUB's grub.cfg as grub-mkconfig writes it (GRUB's manual, "Simple configuration handling").
 * GRUB's variables are not expanded: a parameter that has one is left out.
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

/*
 * Return true if @text, which has @len bytes, names a kernel, and the whole entry fits. @saved: the
 * entry that GRUB starts where its configuration says that it is the saved one. Where the default
 * is not there, or has no kernel, the first entry that has one is taken.
 */
bool entry_from_bls(const char *text, size_t len, struct boot_entry *entry);
bool entry_from_grub(const char *text, size_t len, const char *saved, struct boot_entry *entry);

/* Fills @saved from GRUB's environment block (grubenv): "" if it has none, or none that fits. */
void entry_saved(const char *text, size_t len, char saved[ENTRY_FILES_SIZE]);

#endif
