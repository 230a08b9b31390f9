// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/bootdisk.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/bootdisk/reader.h"
#include "vmm/lib/image_format.h"
#include "vmm/lib/log.h"
#include "vmm/lib/read_all.h"

#define FIRST_FD 3 /* the child's first descriptor; the standard ones are closed */
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

/* Leaves the child only @fds, from FIRST_FD on. */
static _Noreturn void child(const struct reader_fds *fds, uint64_t size)
{
	int from[] = {fds->image, fds->kernel, fds->initrd, fds->reply};
	const struct reader_fds own = {FIRST_FD, fds->served, FIRST_FD + 1, FIRST_FD + 2,
				       FIRST_FD + 3};

	/* First move them out of each other's way. */
	for (int i = 0; i < 4; i++)
		if ((from[i] = fcntl(from[i], F_DUPFD, FIRST_FD + 4)) < 0)
			_exit(1);
	for (int i = 0; i < 4; i++)
		if (dup2(from[i], FIRST_FD + i) < 0)
			_exit(1);
	if (close_range(0, FIRST_FD - 1, 0) != 0 || close_range(FIRST_FD + 4, ~0U, 0) != 0)
		_exit(1);
	reader_main(&own, size);
}

/* Nor is the child trusted with text that is printed or passed to a kernel. */
static void make_plain(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (; *text; text++)
		if (!isprint((unsigned char)*text))
			*text = '?';
}

static int take_reply(struct bootdisk *boot, const char *file, int fd, struct reader_reply *reply)
{
	ssize_t got = read_all(fd, reply, sizeof(*reply), BOOTDISK_WAIT_S * 1000);
	if (got == -EINTR) {
		log_error("a signal came while the disk '%s' was read", file);
		return -EINTR;
	}
	if (got != (ssize_t)sizeof(*reply)) {
		log_error(CANNOT "the process that reads it %s" NAME_ONE, file,
			  got == -ETIMEDOUT ? "took too long" : "failed");
		return got < 0 ? (int)got : -EIO;
	}
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
	struct reader_reply reply;
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC) != 0) {
		int error = errno;
		log_error(CANNOT "%s", file, strerror(error));
		return -error;
	}
	const struct reader_fds fds = {image, served, boot->kernel, boot->initrd, pipes[1]};
	pid_t pid = fork();
	if (pid == 0)
		child(&fds, size);
	int error = pid < 0 ? -errno : 0;
	close(pipes[1]);
	if (error)
		log_error(CANNOT "%s", file, strerror(-error));
	else
		error = take_reply(boot, file, pipes[0], &reply);
	close(pipes[0]);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
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
