// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/bootdisk/entries.h"
#include "vmm/bootdisk/ext.h"
#include "vmm/bootdisk/partitions.h"
#include "vmm/lib/write_all.h"

#define CONFIG_MAX (256 * 1024) /* bytes of a boot loader's configuration */
#define NAME_MAX_  256

/* In a root file system that has /boot, and in a separate /boot. */
static const char *const entry_folders[] = {"/boot/loader/entries", "/loader/entries"};
static const char *const grub_folders[] = {"/boot/grub", "/grub", "/boot/grub2", "/grub2"};

struct search {
	const struct reader_fds *fds;
	struct source source;
	struct ext *ext;
	char text[CONFIG_MAX];
	char newest[NAME_MAX_];
	char saved[ENTRY_FILES_SIZE];
	struct boot_entry entry;
	unsigned int file_systems;
	bool configured; /* there is a configuration, even if it could not be understood */
};

/*
 * Keeps the newest entry by its name, as boot loaders sort them. Leaves out "rescue" ones, the last
 * resort.
 */
static void consider(void *ctx, const char *name)
{
	struct search *search = ctx;
	size_t len = strlen(name);

	if (len < 5 || len >= NAME_MAX_ || strcmp(name + len - 5, ".conf") != 0 ||
	    strstr(name, "rescue"))
		return;
	if (!search->newest[0] || strverscmp(name, search->newest) > 0)
		memcpy(search->newest, name, len + 1);
}

/* Reads the file @name in @folder. Returns its length or -errno. */
static long read_text(struct search *search, const char *folder, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return ext_read(search->ext, path, search->text, sizeof(search->text));
}

static bool find_bls(struct search *search, const char *folder)
{
	search->newest[0] = '\0';
	if (ext_list(search->ext, folder, consider, search) != 0 || !search->newest[0])
		return false;
	long len = read_text(search, folder, search->newest);
	if (len < 0)
		return false;
	search->configured = true;
	return entry_from_bls(search->text, (size_t)len, &search->entry);
}

static bool find_grub(struct search *search, const char *folder)
{
	long len = read_text(search, folder, "grubenv");
	entry_saved(search->text, len > 0 ? (size_t)len : 0, search->saved);
	len = read_text(search, folder, "grub.cfg");
	if (len < 0)
		return false;
	search->configured = true;
	return entry_from_grub(search->text, (size_t)len, search->saved, &search->entry);
}

/* Returns true if a configuration names a kernel. */
static bool find_entry(struct search *search)
{
	for (unsigned int i = 0; i < sizeof(entry_folders) / sizeof(entry_folders[0]); i++)
		if (find_bls(search, entry_folders[i]))
			return true;
	for (unsigned int i = 0; i < sizeof(grub_folders) / sizeof(grub_folders[0]); i++)
		if (find_grub(search, grub_folders[i]))
			return true;
	return false;
}

static void fail(struct reader_reply *reply, const char *file, int error)
{
	snprintf(reply->reason, sizeof(reply->reason), "its boot loader starts '%.160s', which %s",
		 file,
		 error == -ENOENT  ? "is not there"
		 : error == -EFBIG ? "is too large"
				   : "cannot be read or copied");
}

/* Fills up to a multiple of 4 bytes: the kernel finds a further initrd only at the start of a word. */
static int align_initrd(int initrd, uint64_t *left)
{
	static const char padding[3];
	size_t odd = (READER_INITRD_MAX - *left) % 4;
	size_t more = odd ? 4 - odd : 0;

	*left -= more;
	return write_all(initrd, padding, more);
}

static void copy_files(struct search *search, struct reader_reply *reply)
{
	const struct boot_entry *entry = &search->entry;
	uint64_t left = READER_KERNEL_MAX;

	int error = ext_copy(search->ext, entry->kernel, search->fds->kernel, &left);
	if (error) {
		fail(reply, entry->kernel, error);
		return;
	}
	left = READER_INITRD_MAX;
	for (const char *file = entry->initrds; *file; file += strlen(file) + 1) {
		error = align_initrd(search->fds->initrd, &left);
		if (!error)
			error = ext_copy(search->ext, file, search->fds->initrd, &left);
		if (error) {
			fail(reply, file, error);
			return;
		}
		reply->has_initrd = 1;
	}
	snprintf(reply->params, sizeof(reply->params), "%s", entry->params);
	snprintf(reply->kernel, sizeof(reply->kernel), "%.255s", entry->kernel);
	snprintf(reply->initrd, sizeof(reply->initrd), "%.255s", entry->initrds);
}

/*
 * Returns true if this part of the image decides: its configuration names a kernel, readable or
 * not.
 */
static bool search_part(struct search *search, const struct partition *part,
			struct reader_reply *reply)
{
	search->ext = ext_open(&search->source, part);
	if (!search->ext)
		return false;
	search->file_systems++;
	bool found = find_entry(search);
	if (found)
		copy_files(search, reply);
	ext_close(search->ext);
	return found;
}

/* Returns 0, or -errno with the reason set. */
static int open_source(struct source *source, const struct reader_fds *fds, uint64_t size,
		       struct reader_reply *reply)
{
	int error = 0;

	*source = (struct source){.fd = fds->image, .size = size};
	if (fds->served)
		error = source_connect(source, fds->image);
	if (error)
		snprintf(reply->reason, sizeof(reply->reason),
			 "the program that reads it does not speak NBD as ebb does (%s)",
			 strerror(-error));
	return error;
}

void reader_find(const struct reader_fds *fds, uint64_t size, struct reader_reply *reply)
{
	struct partition part[PARTITIONS_MAX];
	struct search *search = calloc(1, sizeof(*search));

	memset(reply, 0, sizeof(*reply));
	if (!search) {
		snprintf(reply->reason, sizeof(reply->reason), "memory is short");
		return;
	}
	search->fds = fds;
	if (open_source(&search->source, fds, size, reply) != 0)
		goto out;
	unsigned int parts = partitions_find(&search->source, part);
	unsigned int i = 0;
	while (i < parts && !search_part(search, &part[i], reply))
		i++;
	if (i == parts)
		snprintf(
			reply->reason, sizeof(reply->reason), "%s",
			search->configured ? "its boot loader's configuration names no kernel"
			: search->file_systems
				? "it has no boot loader's configuration (/boot/grub/grub.cfg, /boot/loader/entries)"
				: "it has no ext2, ext3 or ext4 file system");
out:
	source_release(&search->source);
	free(search);
}
