// SPDX-License-Identifier: Apache-2.0
/*
 * From an image to its backing files.
 *
 * An image may be a stranger's, and what it names may be any file that the user can read. So a backing
 * file is opened only if it lies in the image's folder or below it, or in one that the user named, and
 * only with the format that the header tells. And a disk that is raw may have been made to look like an
 * image by its guest: then the header names what the guest likes. So names are followed only if the
 * user says that the file is an image: by format=qcow2, or by how it is called.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/image_lock.h"
#include "vmm/lib/log.h"
#include "vmm/storage/storage.h"

/* Opens @layer's file and reads its beginning. Returns the descriptor, or -errno after an error message. */
static int open_layer(struct storage_layer *layer, bool read_only, uint8_t *data, ssize_t *len)
{
	struct stat st = {0};
	int fd = -1;

	/* Before opening: to open a pipe or another kind of device can have side effects. */
	if (stat(layer->file, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		log_error("the disk '%s' is neither a regular file nor a block device",
			  layer->file);
		return -EINVAL;
	}
	layer->device = S_ISBLK(st.st_mode);
	fd = open(layer->file, (read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_CLOEXEC);
	*len = fd >= 0 ? pread(fd, data, STORAGE_HEADER_MAX, 0) : -1;
	if (*len >= 0)
		return fd;
	int error = errno;
	log_error("cannot open the disk '%s': %s%s", layer->file, strerror(error),
		  !read_only && (error == EACCES || error == EROFS || error == EPERM)
			  ? "; for a read-only disk, write FILE,ro"
			  : "");
	if (fd >= 0)
		close(fd);
	return -error;
}

/*
 * The program itself locks the image, and this only says in ebb's words who is in the way. A backing
 * file that is raw it does not lock against those that write: so ebb keeps these locks.
 */
static int check_lock(const struct storage_layer *layer, int fd, bool read_only)
{
	int error = image_lock(fd, read_only);

	if (error == -EAGAIN)
		log_error("the disk '%s' is in use already, by another guest or as another disk: "
			  "give each its own%s",
			  layer->file, read_only ? "" : ", or FILE,ro to both");
	else if (error)
		log_error("cannot lock the disk '%s': %s", layer->file, strerror(-error));
	return error;
}

static int check_header(const struct storage_layer *layer, const struct storage_header *header)
{
	const char *why = NULL;

	if (header->encrypted)
		why = "is encrypted";
	else if (header->data_file)
		why = "keeps its data in another file";
	else if (header->size == 0)
		why = "has a disk of no bytes";
	if (!why)
		return 0;
	log_error("the qcow2 image '%s' %s, which ebb does not support: convert it with qemu-img "
		  "convert -O qcow2",
		  layer->file, why);
	return -EINVAL;
}

static int read_layer(struct storage_layer *layer, bool read_only, struct storage_locks *locks,
		      struct storage_header *header)
{
	uint8_t *data = malloc(STORAGE_HEADER_MAX);
	ssize_t len = 0;

	*header = (struct storage_header){0};
	if (!data) {
		log_error("cannot read the disk '%s': %s", layer->file, strerror(ENOMEM));
		return -ENOMEM;
	}
	int fd = open_layer(layer, read_only, data, &len);
	int error = fd < 0 ? fd : check_lock(layer, fd, read_only);
	if (!error && layer->qcow2) {
		error = storage_parse(data, (size_t)len, header);
		if (error)
			log_error("the disk '%s' is no qcow2 image, or a broken one: \"qemu-img "
				  "check\" tells more; for a raw disk write FILE,format=raw",
				  layer->file);
		else
			error = check_header(layer, header);
	}
	free(data);
	if (fd >= 0 && locks && !error)
		locks->fd[locks->count++] = fd;
	else if (fd >= 0)
		close(fd);
	return error;
}

void storage_locks_release(struct storage_locks *locks)
{
	while (locks->count > 0)
		close(locks->fd[--locks->count]);
}

/* Returns whether the absolute name @file is @dir's or lies below it. */
static bool is_below(const char *file, const char *dir)
{
	size_t len = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return true;
	return strncmp(file, dir, len) == 0 && (file[len] == '/' || !file[len]);
}

/* Sets @dir (PATH_MAX bytes) to the folder of @file, without links. Returns 0 or -errno. */
static int folder_of(const char *file, char *dir)
{
	char name[PATH_MAX];
	const char *slash = strrchr(file, '/');

	snprintf(name, sizeof(name), "%.*s", slash ? (int)(slash - file) + 1 : 1,
		 slash ? file : ".");
	return realpath(name, dir) ? 0 : -errno;
}

static bool is_allowed(const struct storage_image *image, const char *file)
{
	char dir[PATH_MAX];

	if (folder_of(image->file, dir) == 0 && is_below(file, dir))
		return true;
	return image->backing && realpath(image->backing, dir) && is_below(file, dir);
}

/* Finds what the header of @upper names. Returns 0, or -errno after an error message. */
static int find_backing(const struct storage_image *image, const struct storage_layer *upper,
			const struct storage_header *header, struct storage_layer *layer)
{
	char name[2 * PATH_MAX + 2], dir[PATH_MAX];

	/* A relative name counts from the folder of the image that has it. */
	int error = folder_of(upper->file, dir);
	snprintf(name, sizeof(name), "%s/%s", header->backing[0] == '/' || error ? "" : dir,
		 header->backing);
	if (!error && !realpath(name, layer->file))
		error = -errno;
	if (error) {
		log_error("cannot open '%s', the backing file of the disk '%s': %s",
			  header->backing, upper->file, strerror(-error));
		return error;
	}
	if (is_allowed(image, layer->file))
		return 0;
	log_error("the disk '%s' has its backing file outside of its folder, at '%s': if you trust "
		  "the image, write backing=DIR behind it with that file's folder",
		  image->file, layer->file);
	return -EACCES;
}

static bool is_called_qcow2(const char *file)
{
	size_t len = strlen(file);
	return len >= 6 && strcmp(file + len - 6, ".qcow2") == 0;
}

/* Checks that the user and the header of @upper say enough to follow it. */
static int check_backing(const struct storage_image *image, const struct storage_layer *upper,
			 const struct storage_header *header)
{
	if (!image->said && !is_called_qcow2(image->file)) {
		log_error("the disk '%s' looks like a qcow2 image with the backing file '%s': "
			  "write format=qcow2 behind it if that is right",
			  image->file, header->backing);
		return -EINVAL;
	}
	if (strcmp(header->format, "qcow2") == 0 || strcmp(header->format, "raw") == 0)
		return 0;
	if (header->format[0])
		log_error("the backing file of the disk '%s' has the format %s, but ebb supports "
			  "only qcow2 and raw there: convert it with qemu-img convert",
			  upper->file, header->format);
	else
		log_error("the disk '%s' does not tell its backing file's format: \"qemu-img "
			  "rebase -u -F FORMAT -b '%s' IMAGE\" adds it",
			  upper->file, header->backing);
	return -EINVAL;
}

int storage_follow(const struct storage_image *image, struct storage_config *config,
		   struct storage_locks *locks, uint64_t *size)
{
	struct storage_layer *layer = &config->layer[0];
	struct storage_header header;

	layer->qcow2 = true;
	if (!realpath(image->file, layer->file)) {
		int error = errno;
		log_error("cannot open the disk '%s': %s", image->file, strerror(error));
		return -error;
	}
	int error = read_layer(layer, image->read_only, NULL, &header);
	*size = header.size;
	for (config->layers = 1; !error && header.backing[0]; config->layers++) {
		struct storage_layer *next = &config->layer[config->layers];
		if (config->layers == STORAGE_LAYERS_MAX) {
			log_error("the disk '%s' has more than %d backing files: make one of them "
				  "with qemu-img convert",
				  image->file, STORAGE_LAYERS_MAX - 1);
			return -ELOOP;
		}
		error = check_backing(image, &next[-1], &header);
		if (!error)
			error = find_backing(image, &next[-1], &header, next);
		next->qcow2 = strcmp(header.format, "qcow2") == 0;
		if (!error)
			error = read_layer(next, true, locks, &header);
	}
	return error;
}

int storage_find(const struct storage_image *image, struct storage_config *config,
		 struct storage_nbd *nbd, struct storage_locks *locks)
{
	uint64_t size;

	config->read_only = image->read_only;
	if (!image->is_nbd)
		return storage_follow(image, config, locks, &size);
	config->nbd = nbd;
	int error = storage_parse_nbd(image->file, nbd);
	if (error)
		log_error("'%s' names no disk: write nbd://HOST[:PORT][/NAME] or "
			  "nbd+unix:///[NAME]?socket=PATH",
			  image->file);
	return error;
}
