/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot and those that it is based on. An increment has only what differs from another snapshot, its base, which may be
 * an increment itself. A folder with an increment has all of its bases, too, in files whose names say which snapshots they
 * are: "base-", then the base's last 16 bytes in hexadecimal. So nothing in a snapshot names a file.
 *
 * What a page of the guest holds is in the first snapshot of the chain that has it, or has it among its zeros; if none
 * has, it is zero.
 *
 * Thread: its owner's.
 */
#ifndef EBB_SNAPSHOT_CHAIN_H
#define EBB_SNAPSHOT_CHAIN_H

#include <stdbool.h>

#include "vmm/snapshot/files.h"
#include "vmm/snapshot/pages.h"

/*
 * The whole snapshot, and increments. Each costs a restored guest up to two mappings for each of its runs, of 65,530 that a
 * process may have: those with thousands of runs use them up before there are so many, and are to be merged.
 */
#define SNAPSHOT_CHAIN_MAX 8

/* One of them; about 128 KiB. */
struct snapshot_layer {
	int fd; /* its file */
	struct snapshot_id id;
	bool is_increment; /* else @base and @zeros are empty */
	bool is_paused;	   /* its guest was, when it was saved */
	struct snapshot_id base;
	struct snapshot_memory memory, zeros;
	uint64_t offset;	   /* of the first page in the file */
	uint32_t before, checksum; /* of the pages: what it begins with, and what it has to be */
};

/* For a snapshot_reader whose ctx is an int, a descriptor of snapshot_open_plain(). A signal that is held ends it: -EINTR. */
int snapshot_read_plain(void *fd, void *data, size_t len);

/*
 * Reads into @layer which memory it has: @section, the base's or that of the list of memory, and all up to the first page. Runs
 * are checked as by snapshot_memory_read(). Returns 0, or -errno with reader->why set.
 */
int snapshot_layer_take(struct snapshot_layer *layer, struct snapshot_reader *reader,
			const struct snapshot_section *section, const struct ram *ram);

struct snapshot_chain {
	unsigned int count;
	struct snapshot_layer *layer[SNAPSHOT_CHAIN_MAX]; /* the whole one last */
	char why[256]; /* after an error: what is wrong with the snapshot, "it …" */
};

/*
 * Opens the files of the snapshot in the folder @folder, and reads none. Returns 0, or -errno with chain->why set. Call
 * snapshot_files_close() in both cases.
 */
int snapshot_chain_files(struct snapshot_chain *chain, struct snapshot_files *files, int folder);
/*
 * Takes from @files the snapshot, and all that it is based on. Reads and checks them, but for the pages;
 * those with runs out of @ram are refused, unless it is NULL. Returns 0, or -errno with chain->why set. Call
 * snapshot_chain_release() in both cases. Opens no file.
 */
int snapshot_chain_open(struct snapshot_chain *chain, struct snapshot_files *files,
			const struct ram *ram);
/* Likewise, one more, whose file is @fd, at its beginning; the chain's from now on. */
int snapshot_chain_add(struct snapshot_chain *chain, int fd, const struct ram *ram);
/*
 * Likewise, all of @files that @chain->layer[0] is based on, the one of @chain, which the caller has read. It is free()d with
 * the others. Opens no file.
 */
int snapshot_chain_add_bases(struct snapshot_chain *chain, struct snapshot_files *files,
			     const struct ram *ram);
/* @chain may be all zero. Closes all files. */
void snapshot_chain_release(struct snapshot_chain *chain);

/*
 * Sets *@piece to the next part of @run, one of layer @n, that is the guest's memory, since no layer before @n has it. It is
 * all zero before the first call. Returns false when there is no more. Pure.
 */
bool snapshot_chain_next(const struct snapshot_chain *chain, unsigned int n,
			 const struct gpa_range *run, struct gpa_range *piece);

/*
 * Reads all pages of layer @n, and checks them. Copies those that are the guest's memory into @ram, if that is not NULL; it
 * reads as zero before. Returns 0, or -errno with chain->why set.
 */
int snapshot_chain_read(struct snapshot_chain *chain, unsigned int n, const struct ram *ram);

#endif
