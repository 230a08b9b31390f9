/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu-storage-daemon for one disk of a guest that is no raw file: a qcow2 image with its backing
 * files, or a disk behind NBD. It serves the disk by vhost-user. It is a backend
 * (vmm/backend/backend.h); README.md tells how it is started, and what it may do.
 *
 * Thread: main.
 */
#ifndef EBB_STORAGE_H
#define EBB_STORAGE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/backend/backend.h"

/* An image, its backing file, the backing file of that … */
#define STORAGE_LAYERS_MAX 8

struct storage_layer {
	char file[PATH_MAX];
	bool qcow2;  /* otherwise raw */
	bool device; /* a block device */
};

/* A disk behind NBD: at a host's port, or at a Unix socket. */
struct storage_nbd {
	char host[256], port[8];
	char path[108];	 /* empty: host and port count */
	char name[1024]; /* of the export; may be empty */
};

/* The config of backend_start(). */
struct storage_config {
	bool read_only, direct;
	bool by_nbd; /* serves it by NBD, to be read by ebb; otherwise by vhost-user */
	const struct storage_nbd *nbd; /* NULL: layers */
	unsigned int layers;
	struct storage_layer layer[STORAGE_LAYERS_MAX]; /* the image itself first */
};

extern const struct backend_program storage_program;

/* How the user named a disk. */
struct storage_image {
	const char *file; /* or a URI */
	bool is_nbd;
	bool read_only;
	bool said; /* to be qcow2 */
	const char
		*backing; /* a folder where backing files may be, beside the image's own; or NULL */
};

/* Keeps others from writing to the backing files, as long as these are open. Zeroed: none. */
struct storage_locks {
	unsigned int count;
	int fd[STORAGE_LAYERS_MAX];
};
void storage_locks_release(struct storage_locks *locks);

/*
 * Follows the headers of the qcow2 image @image, and fills in the layers of @config, and @size: the
 * disk's bytes. What the image names is opened only where the user means it to be: see README.md.
 * Another program that uses the image is found here. Returns 0, or -errno after an error message.
 * Call storage_locks_release() in either case.
 */
int storage_follow(const struct storage_image *image, struct storage_config *config,
		   struct storage_locks *locks, uint64_t *size);
/* The same for an image or a URI, which fills in @nbd: keep it as long as @config. */
int storage_find(const struct storage_image *image, struct storage_config *config,
		 struct storage_nbd *nbd, struct storage_locks *locks);

/* --- pure ------------------------------------------------------------------------------------ */

/* What the beginning of a qcow2 image says. */
struct storage_header {
	uint64_t size; /* of the disk, in bytes */
	bool encrypted, data_file;
	char backing[1024]; /* the name of its backing file; empty: none */
	char format[16];    /* of that, or empty if it is not told */
};
/* Bytes of a file to read: more than any header of QEMU's. */
#define STORAGE_HEADER_MAX 65536

/* Returns 0 with *@header filled in from the file's first @len bytes, or -EINVAL if they are no qcow2 header. */
int storage_parse(const uint8_t *data, size_t len, struct storage_header *header);

/* Returns 0 with *@nbd set from "nbd://HOST[:PORT][/EXPORT]" or "nbd+unix:///[EXPORT]?socket=PATH", or -EINVAL. */
int storage_parse_nbd(const char *uri, struct storage_nbd *nbd);

#define STORAGE_ARGUMENTS_MAX (2 * (2 * STORAGE_LAYERS_MAX + 1) + 2)
struct storage_arguments {
	char *argv[STORAGE_ARGUMENTS_MAX]; /* ends with NULL; but the first, each is allocated */
};
/* Fills in the command line for the listening socket @fd. Returns 0 or -ENOMEM. */
int storage_arguments(struct storage_arguments *arguments, const struct storage_config *config,
		      int fd);
void storage_arguments_release(struct storage_arguments *arguments);

/* Gives up, in the child, what the program does not need. Ends the child if that fails. */
void storage_confine(const struct storage_config *config);

#endif
