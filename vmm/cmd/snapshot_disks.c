// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/snapshot_disks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/copy_file.h"
#include "vmm/lib/log.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/lib/text.h"

/* How often the guest's ebb is told that we are busy: it waits for much longer. */
#define TELL_MS 1000

/* --- what comes ---------------------------------------------------------------------------------- */

static bool can_be_copied(const struct snapshot_disks *disks, unsigned int number, int fd)
{
	struct stat st;

	for (unsigned int i = 0; i < disks->count; i++)
		if (disks->disk[i].number == number)
			return false;
	return number < SAVED_DISKS_MAX && fstat(fd, &st) == 0 &&
	       (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
}

int snapshot_disks_take(struct snapshot_disks *disks, int socket, uint8_t *first)
{
	int fd;
	ssize_t got = pass_fd_receive(socket, first, sizeof(*first), &fd);

	if (got == 1 && fd < 0)
		return 0;
	if (got == 1 && can_be_copied(disks, *first, fd)) {
		disks->disk[disks->count].number = *first;
		disks->disk[disks->count++].fd = fd;
		return 1;
	}
	int error = got < 0 ? -errno : got == 0 ? -EAGAIN : -EPROTO;
	if (fd >= 0)
		close(fd);
	return error;
}

/* --- copied -------------------------------------------------------------------------------------- */

struct telling {
	int socket;
	int64_t last;
};

/* Returns whether it still waits. */
static bool tell(void *ctx)
{
	struct telling *telling = ctx;
	struct pollfd ebb = {.fd = telling->socket};
	int64_t now = clock_ms();

	if (poll(&ebb, 1, 0) != 0)
		return false;
	if (now - telling->last >= TELL_MS)
		send(telling->socket, "b", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (now - telling->last >= TELL_MS)
		telling->last = now;
	return true;
}

int snapshot_disks_copy(struct snapshot_disks *disks, struct snapshot_file *file, int socket)
{
	struct telling telling = {socket, clock_ms()};
	int error = tell(&telling) ? 0 : -ECANCELED;

	for (unsigned int i = 0; i < disks->count && !error; i++) {
		struct copy_file copy = {
			.from = disks->disk[i].fd, .goes_on = tell, .ctx = &telling};
		copy.to = snapshot_file_add_disk(file, disks->disk[i].number);
		error = copy.to < 0 ? copy.to : copy_file(&copy);
		disks->sharing += copy.shares;
		disks->bytes += copy.bytes;
	}
	return error;
}

void snapshot_disks_say(const struct snapshot_disks *disks, const struct snapshot_file *file,
			const char *guest)
{
	char size[TEXT_SIZE_MAX];

	text_size(size, disks->bytes);
	if (disks->count == 0)
		printf("%s: it has no disk that it can write to\n", guest);
	else if (disks->sharing == disks->count)
		printf("%s: saved %u of its disks in %s, too: they share their blocks with the originals\n",
		       guest, disks->count, file->folder);
	else
		printf("%s: saved %u of its disks in %s, too: copied %s, since the file system shares no "
		       "blocks\n",
		       guest, disks->count, file->folder, size);
}

void snapshot_disks_release(struct snapshot_disks *disks)
{
	for (unsigned int i = 0; i < disks->count; i++)
		close(disks->disk[i].fd);
	disks->count = 0;
}

/* --- merged -------------------------------------------------------------------------------------- */

static bool go_on(void *ctx)
{
	(void)ctx;
	return true;
}

static int take_over(struct snapshot_file *file, const struct saved_disks *saved)
{
	int error = 0;

	for (unsigned int i = 0; i < SAVED_DISKS_MAX && !error; i++) {
		struct copy_file copy = {.from = saved->fd[i], .goes_on = go_on};
		if (copy.from < 0)
			continue;
		copy.to = snapshot_file_add_disk(file, i);
		error = copy.to < 0 ? copy.to : copy_file(&copy);
		if (error)
			log_error("disk %u cannot be copied to '%s': %s", i, file->folder,
				  strerror(-error));
	}
	return error;
}

int snapshot_disks_take_over(struct snapshot_file *file, const char *folder, int snapshot)
{
	struct saved_disks saved;

	int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int error = saved_disks_open(&saved, dir, snapshot);
	if (dir >= 0)
		close(dir);
	if (error)
		log_error("the disks in '%s' cannot be opened: %s", folder, strerror(-error));
	else
		error = take_over(file, &saved);
	saved_disks_close(&saved);
	return error;
}
