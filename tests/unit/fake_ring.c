// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_ring.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio-blk/ring.h"
#include "tests/unit/fake_disk.h"
#include "vmm/lib/wake.h"

struct fake_ring fake_ring;

struct fake {
	unsigned int depth;
	int bell;
	bool quiet;
	unsigned int out;
	struct {
		unsigned int tag;
		int result;
	} done[256];
};

static struct fake *last; /* tests have one at a time */

int __real_ring_open(struct ring **ring, unsigned int depth);
int __wrap_ring_open(struct ring **ring, unsigned int depth);
void __real_ring_close(struct ring *ring);
void __wrap_ring_close(struct ring *ring);
int __real_ring_set_bell(struct ring *ring, int fd);
int __wrap_ring_set_bell(struct ring *ring, int fd);
void __real_ring_quiet(struct ring *ring, bool quiet);
void __wrap_ring_quiet(struct ring *ring, bool quiet);
void __real_ring_add(struct ring *ring, const struct ring_job *job);
void __wrap_ring_add(struct ring *ring, const struct ring_job *job);
int __real_ring_submit(struct ring *ring);
int __wrap_ring_submit(struct ring *ring);
bool __real_ring_take(struct ring *ring, unsigned int *tag, int *result);
bool __wrap_ring_take(struct ring *ring, unsigned int *tag, int *result);
void __real_ring_wait(struct ring *ring);
void __wrap_ring_wait(struct ring *ring);

int __wrap_ring_open(struct ring **ring, unsigned int depth)
{
	if (!fake_ring.on)
		return __real_ring_open(ring, depth);
	if (fake_ring.refused)
		return -EPERM;
	last = calloc(1, sizeof(*last));
	ck_assert_ptr_nonnull(last);
	*last = (struct fake){.depth = depth, .bell = -1};
	*ring = (struct ring *)last;
	return 0;
}

void __wrap_ring_close(struct ring *ring)
{
	if (!fake_ring.on) {
		__real_ring_close(ring);
		return;
	}
	if (ring)
		ck_assert_uint_eq(((struct fake *)ring)->out, 0);
	free(ring);
	last = NULL;
}

int __wrap_ring_set_bell(struct ring *ring, int fd)
{
	if (!fake_ring.on)
		return __real_ring_set_bell(ring, fd);
	((struct fake *)ring)->bell = fd;
	return 0;
}

void __wrap_ring_quiet(struct ring *ring, bool quiet)
{
	if (!fake_ring.on) {
		__real_ring_quiet(ring, quiet);
		return;
	}
	if (fake_ring.late && !quiet)
		fake_ring.holds = false;
	((struct fake *)ring)->quiet = quiet;
}

static int carry_out(const struct ring_job *job)
{
	const struct image_calls *calls = disk.image.calls;
	ssize_t result;
	if (job->kind == RING_READ)
		result = calls->preadv(job->fd, job->iov, (int)job->n, (off_t)job->offset);
	else if (job->kind == RING_WRITE)
		result = calls->pwritev(job->fd, job->iov, (int)job->n, (off_t)job->offset);
	else
		result = calls->fdatasync(job->fd);
	return result < 0 ? -errno : (int)result;
}

void __wrap_ring_add(struct ring *ring, const struct ring_job *job)
{
	struct fake *fake = (struct fake *)ring;
	if (!fake_ring.on) {
		__real_ring_add(ring, job);
		return;
	}
	ck_assert_uint_lt(fake->out, fake->depth);
	fake->done[fake->out].tag = job->tag;
	fake->done[fake->out].result = carry_out(job);
	fake->out++;
	fake_ring.patient += job->patient;
	if (fake->out > fake_ring.most_out)
		fake_ring.most_out = fake->out;
}

int __wrap_ring_submit(struct ring *ring)
{
	struct fake *fake = (struct fake *)ring;
	if (!fake_ring.on)
		return __real_ring_submit(ring);
	if (fake->out > 0 && !fake->quiet && !fake_ring.holds && fake->bell >= 0)
		wake_ring(fake->bell);
	return 0;
}

bool __wrap_ring_take(struct ring *ring, unsigned int *tag, int *result)
{
	struct fake *fake = (struct fake *)ring;
	if (!fake_ring.on)
		return __real_ring_take(ring, tag, result);
	if (fake_ring.holds || fake->out == 0)
		return false;
	unsigned int i = fake_ring.backwards ? fake->out - 1 : 0;
	*tag = fake->done[i].tag;
	*result = fake->done[i].result;
	fake->out--;
	memmove(&fake->done[i], &fake->done[i + 1], (fake->out - i) * sizeof(fake->done[0]));
	return true;
}

void __wrap_ring_wait(struct ring *ring)
{
	if (fake_ring.on)
		fake_ring.holds = false;
	else
		__real_ring_wait(ring);
}

void fake_ring_let_go(void)
{
	fake_ring.holds = false;
	if (last && last->bell >= 0)
		wake_ring(last->bell);
}
