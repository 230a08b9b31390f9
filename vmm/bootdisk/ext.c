// SPDX-License-Identifier: Apache-2.0
/* libext2fs reads blocks through an I/O manager: this one reads a part of a source. */
#include "vmm/bootdisk/ext.h"

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/lib/write_all.h"

#define CHUNK 65536

struct window {
	struct source *source;
	uint64_t offset, size;
};

struct ext {
	ext2_filsys fs;
	char chunk[CHUNK];
};

static errcode_t window_close(io_channel channel)
{
	if (--channel->refcount > 0)
		return 0;
	free(channel->private_data);
	free(channel->name);
	free(channel);
	return 0;
}

static errcode_t window_set_blksize(io_channel channel, int size)
{
	channel->block_size = size;
	return 0;
}

/* A negative count is in bytes. */
static errcode_t window_read64(io_channel channel, unsigned long long block, int count, void *data)
{
	const struct window *window = channel->private_data;
	uint64_t size =
		count < 0 ? -(uint64_t)count : (uint64_t)count * (uint64_t)channel->block_size;
	uint64_t offset;

	if (__builtin_mul_overflow(block, (uint64_t)channel->block_size, &offset) ||
	    offset > window->size || size > window->size - offset)
		return EXT2_ET_SHORT_READ;
	return source_read(window->source, window->offset + offset, data, size) == 0
		       ? 0
		       : EXT2_ET_SHORT_READ;
}

static errcode_t window_read(io_channel channel, unsigned long block, int count, void *data)
{
	return window_read64(channel, block, count, data);
}

static errcode_t window_write64(io_channel channel, unsigned long long block, int count,
				const void *data)
{
	(void)channel, (void)block, (void)count, (void)data;
	return EXT2_ET_RO_FILSYS;
}

static errcode_t window_write(io_channel channel, unsigned long block, int count, const void *data)
{
	return window_write64(channel, block, count, data);
}

static errcode_t window_flush(io_channel channel)
{
	(void)channel;
	return 0;
}

static errcode_t window_open(const char *name, int flags, io_channel *channel);

static const struct struct_io_manager window_manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "a part of an image",
	.open = window_open,
	.close = window_close,
	.set_blksize = window_set_blksize,
	.read_blk = window_read,
	.write_blk = window_write,
	.flush = window_flush,
	.read_blk64 = window_read64,
	.write_blk64 = window_write64,
};

/* libext2fs passes on only the name: it tells where a window is, of which this keeps a copy. */
static errcode_t window_open(const char *name, int flags, io_channel *channel)
{
	struct window *window = calloc(1, sizeof(*window));
	io_channel io = calloc(1, sizeof(*io));
	void *at;

	(void)flags;
	if (!window || !io || sscanf(name, "%p", &at) != 1) {
		free(window);
		free(io);
		return EXT2_ET_NO_MEMORY;
	}
	*window = *(const struct window *)at;
	io->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	io->manager = (io_manager)&window_manager; /* never written */
	io->name = strdup(name);
	io->block_size = 1024;
	io->refcount = 1;
	io->private_data = window;
	*channel = io;
	return 0;
}

struct ext *ext_open(struct source *source, const struct partition *part)
{
	struct ext *ext = calloc(1, sizeof(*ext));
	struct window window = {source, part->offset, part->size};
	char name[32];

	if (!ext)
		return NULL;
	snprintf(name, sizeof(name), "%p", (void *)&window);
	if (ext2fs_open2(name, NULL, EXT2_FLAG_64BITS, 0, 0, (io_manager)&window_manager,
			 &ext->fs) == 0)
		return ext;
	free(ext);
	return NULL;
}

void ext_close(struct ext *ext)
{
	ext2fs_free(ext->fs);
	free(ext);
}

/* Returns 0 and the inode number of @path, which must be of type @type, or -errno. */
static int look_up(struct ext *ext, const char *path, unsigned int type, ext2_ino_t *ino)
{
	struct ext2_inode inode;

	if (ext2fs_namei_follow(ext->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, ino) != 0 ||
	    ext2fs_read_inode(ext->fs, *ino, &inode) != 0)
		return -ENOENT;
	return (inode.i_mode & S_IFMT) == type ? 0 : -EINVAL;
}

static int open_file(struct ext *ext, const char *path, ext2_file_t *file)
{
	ext2_ino_t ino;
	int error = look_up(ext, path, S_IFREG, &ino);
	if (error)
		return error;
	return ext2fs_file_open(ext->fs, ino, 0, file) == 0 ? 0 : -EIO;
}

long ext_read(struct ext *ext, const char *path, char *buffer, size_t size)
{
	ext2_file_t file;
	size_t done = 0;
	unsigned int got = 1;

	int error = open_file(ext, path, &file);
	if (error)
		return error;
	while (!error && done < size && got > 0) {
		unsigned int wanted = size - done < CHUNK ? (unsigned int)(size - done) : CHUNK;
		if (ext2fs_file_read(file, buffer + done, wanted, &got) != 0)
			error = -EIO;
		else
			done += got;
	}
	ext2fs_file_close(file);
	return error ? error : (long)done;
}

int ext_copy(struct ext *ext, const char *path, int to, uint64_t *left)
{
	ext2_file_t file;
	unsigned int got;

	int error = open_file(ext, path, &file);
	if (error)
		return error;
	do {
		if (ext2fs_file_read(file, ext->chunk, CHUNK, &got) != 0)
			error = -EIO;
		else if (got > *left)
			error = -EFBIG;
		else
			error = write_all(to, ext->chunk, got);
		*left -= error ? 0 : got;
	} while (!error && got > 0);
	ext2fs_file_close(file);
	return error;
}

struct listing {
	void (*found)(void *ctx, const char *name);
	void *ctx;
};

static int one_name(ext2_ino_t dir, int entry, struct ext2_dir_entry *dirent, int offset,
		    int block_size, char *block, void *ctx)
{
	const struct listing *listing = ctx;
	char name[EXT2_NAME_LEN + 1];
	size_t len = (size_t)ext2fs_dirent_name_len(dirent);

	(void)dir, (void)entry, (void)offset, (void)block_size, (void)block;
	memcpy(name, dirent->name, len);
	name[len] = '\0';
	listing->found(listing->ctx, name);
	return 0;
}

int ext_list(struct ext *ext, const char *path, void (*found)(void *ctx, const char *name),
	     void *ctx)
{
	struct listing listing = {found, ctx};
	ext2_ino_t ino;

	int error = look_up(ext, path, S_IFDIR, &ino);
	if (error)
		return error;
	return ext2fs_dir_iterate2(ext->fs, ino, 0, NULL, one_name, &listing) == 0 ? 0 : -EIO;
}
