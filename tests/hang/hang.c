// SPDX-License-Identifier: Apache-2.0
/*
 * ebb on a host that hangs: linked with -Wl,--wrap, so that the calls below wait as long as the file that
 * EBB_HANG names is there (a minute at most). It is for tests of who waits with them, and of what they use
 * meanwhile: nobody may take the balloon's hooks away then. A file EBB_HANG.hung says that one hangs.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/virtio-balloon/balloon.h"
#include "devices/virtio-blk/ring.h"
#include "vmm/lib/clock.h"
#include "vmm/mem/discard.h"
#include "vmm/mem/usage.h"

int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t offset);
bool __real_ring_take(struct ring *ring, unsigned int *tag, int *result);
bool __wrap_ring_take(struct ring *ring, unsigned int *tag, int *result);
int __real_ram_usage(const struct ram *ram, struct ram_usage *usage);
int __wrap_ram_usage(const struct ram *ram, struct ram_usage *usage);
size_t __real_ram_discard(const struct ram *ram, const struct gpa_range *range, size_t n,
			  struct discard_step *step, struct discard_result *result);
size_t __wrap_ram_discard(const struct ram *ram, const struct gpa_range *range, size_t n,
			  struct discard_step *step, struct discard_result *result);
void __real_balloon_on_reclaimed(struct balloon *balloon, void (*reclaimed)(void *ctx), void *ctx);
void __wrap_balloon_on_reclaimed(struct balloon *balloon, void (*reclaimed)(void *ctx), void *ctx);

static atomic_uint hung;

static void tell(const char *file)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s.hung", file);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
}

static bool hangs(void)
{
	const char *file = getenv("EBB_HANG");
	return file && access(file, F_OK) == 0;
}

static void hang(void)
{
	if (!hangs())
		return;
	atomic_fetch_add(&hung, 1);
	tell(getenv("EBB_HANG"));
	for (int i = 0; hangs() && i < 6000; i++)
		clock_sleep_ms(10);
	atomic_fetch_sub(&hung, 1);
}

int __wrap_fstat(int fd, struct stat *st)
{
	hang();
	return __real_fstat(fd, st);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	hang();
	return __real_pwritev(fd, iov, n, offset);
}

/* Of an io_uring nothing comes back. In truth it has: ring_wait() returns at once, and without the sleep who waits spins. */
bool __wrap_ring_take(struct ring *ring, unsigned int *tag, int *result)
{
	if (!hangs())
		return __real_ring_take(ring, tag, result);
	clock_sleep_ms(10);
	return false;
}

int __wrap_ram_usage(const struct ram *ram, struct ram_usage *usage)
{
	hang();
	return __real_ram_usage(ram, usage);
}

size_t __wrap_ram_discard(const struct ram *ram, const struct gpa_range *range, size_t n,
			  struct discard_step *step, struct discard_result *result)
{
	hang();
	return __real_ram_discard(ram, range, n, step, result);
}

void __wrap_balloon_on_reclaimed(struct balloon *balloon, void (*reclaimed)(void *ctx), void *ctx)
{
	if (!reclaimed && atomic_load(&hung)) {
		fputs("hang: a hook was taken away though its balloon's worker may call it\n",
		      stderr);
		abort();
	}
	__real_balloon_on_reclaimed(balloon, reclaimed, ctx);
}
