// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/bootdisk.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/bootdisk/reader.h"
#include "vmm/lib/confined.h"
#include "vmm/lib/image_format.h"
#include "vmm/lib/log.h"

#define CANNOT	 "cannot boot from the disk '%s': "
#define NAME_ONE "; name a kernel with -k FILE"

static int open_image(const char *file, uint64_t *size)
{
	struct stat st;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) != 0) {
		int error = errno;
		log_error("cannot open the disk '%s': %s", file, strerror(error));
		if (fd >= 0)
			close(fd);
		return -error;
	}
	off_t end = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ? lseek(fd, 0, SEEK_END) : -1;
	if (end < 0) {
		log_error(
			"the disk '%s' is neither a regular file nor a block device: name a raw image or a device",
			file);
		close(fd);
		return -EINVAL;
	}
	*size = (uint64_t)end;
	return fd;
}

/* In another format no file system would be found: the advice to name a kernel would not help. */
static int check_format(int fd, const char *file, uint64_t size)
{
	uint8_t first[IMAGE_FORMAT_SECTOR] = {0}, last[IMAGE_FORMAT_SECTOR] = {0};
	uint64_t end = size < IMAGE_FORMAT_SECTOR ? 0 : size - IMAGE_FORMAT_SECTOR;

	if (pread(fd, first, sizeof(first), 0) < 0 || pread(fd, last, sizeof(last), (off_t)end) < 0)
		return 0; /* the child gives the reason */
	const char *format = image_format_name(first, last);
	if (!format)
		return 0;
	log_error(
		"the disk '%s' is an image in the format %s, but ebb supports only raw and qcow2 disks: "
		"convert it with qemu-img convert -O raw",
		file, format);
	return -EINVAL;
}

struct request {
	struct reader_fds fds;
	uint64_t size;
};

static void read_image(void *ctx, void *reply)
{
	const struct request *request = ctx;
	reader_find(&request->fds, request->size, reply);
}

/* Nor is the child trusted with text that is printed or passed to a kernel. */
static void make_plain(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (; *text; text++)
		if (!isprint((unsigned char)*text))
			*text = '?';
}

static int take_reply(struct bootdisk *boot, const char *file, struct reader_reply *reply)
{
	make_plain(reply->reason, sizeof(reply->reason));
	make_plain(reply->params, sizeof(reply->params));
	make_plain(reply->kernel, sizeof(reply->kernel));
	make_plain(reply->initrd, sizeof(reply->initrd));
	if (reply->reason[0]) {
		log_error(CANNOT "%s" NAME_ONE, file, reply->reason);
		return -ENOENT;
	}
	snprintf(boot->kernel_file, sizeof(boot->kernel_file), "/proc/self/fd/%d", boot->kernel);
	if (reply->has_initrd)
		snprintf(boot->initrd_file, sizeof(boot->initrd_file), "/proc/self/fd/%d",
			 boot->initrd);
	snprintf(boot->kernel_name, sizeof(boot->kernel_name), "%s:%s", file, reply->kernel);
	snprintf(boot->initrd_name, sizeof(boot->initrd_name), "%s:%s", file, reply->initrd);
	memcpy(boot->params, reply->params, sizeof(boot->params));
	return 0;
}

static int read_in_child(struct bootdisk *boot, const char *file, int image, bool served,
			 uint64_t size)
{
	struct request request = {{image, served, boot->kernel, boot->initrd}, size};
	const struct confined confined = {.work = read_image,
					  .ctx = &request,
					  .size = sizeof(struct reader_reply),
					  .fd = {image, boot->kernel, boot->initrd},
					  .fds = 3,
					  .cpu_s = READER_CPU_S,
					  .file_max = READER_INITRD_MAX,
					  .limit_ms = BOOTDISK_WAIT_S * 1000};
	struct reader_reply reply;

	int error = confined_run(&confined, &reply);
	if (!error)
		return take_reply(boot, file, &reply);
	if (error == -EINTR)
		log_error("a signal came while the disk '%s' was read", file);
	else
		log_error(CANNOT "the process that reads it %s" NAME_ONE, file,
			  confined_error(error));
	return error;
}

static int copy_from(struct bootdisk *boot, const char *file, int image, bool served, uint64_t size)
{
	*boot = (struct bootdisk)BOOTDISK_NONE;
	boot->kernel = memfd_create("kernel", MFD_CLOEXEC);
	boot->initrd = memfd_create("initrd", MFD_CLOEXEC);
	if (boot->kernel < 0 || boot->initrd < 0) {
		int error = errno;
		log_error(CANNOT "%s", file, strerror(error));
		return -error;
	}
	return read_in_child(boot, file, image, served, size);
}

int bootdisk_find(struct bootdisk *boot, const char *file, bool raw)
{
	uint64_t size = 0;

	*boot = (struct bootdisk)BOOTDISK_NONE;
	int image = open_image(file, &size);
	if (image < 0)
		return image;
	int error = raw ? 0 : check_format(image, file, size);
	if (!error)
		error = copy_from(boot, file, image, false, size);
	close(image);
	return error;
}

int bootdisk_find_served(struct bootdisk *boot, const char *file, int server)
{
	/* The child has nothing else to do than to wait, and its time is limited. */
	fcntl(server, F_SETFL, 0);
	return copy_from(boot, file, server, true, 0);
}

void bootdisk_release(struct bootdisk *boot)
{
	if (boot->kernel >= 0)
		close(boot->kernel);
	if (boot->initrd >= 0)
		close(boot->initrd);
	boot->kernel = boot->initrd = -1;
}
